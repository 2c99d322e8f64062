package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestAFreshBrokerGetsTheContractsStreams(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, open func(...func(*Config)) *Queue) {
		q := open()
		const day = 24 * time.Hour
		for _, want := range []struct {
			name       string
			subjects   string
			retention  jetstream.RetentionPolicy
			discard    jetstream.DiscardPolicy
			maxAge     time.Duration
			perSubject int64
			newPerSubj bool
			duplicates time.Duration
		}{
			{"AS_REFRESH_STOP", "as.refresh.stop as.refresh.stop.>", jetstream.WorkQueuePolicy, jetstream.DiscardNew, 0, -1, false, time.Hour},
			{"AS_REFRESH_RESUME", "as.refresh.resume as.refresh.resume.>", jetstream.WorkQueuePolicy, jetstream.DiscardNew, 0, -1, false, time.Hour},
			{"AS_REFRESH_BULK", "as.refresh.bulk.>", jetstream.WorkQueuePolicy, jetstream.DiscardNew, 0, -1, false, 2 * time.Minute},
			{"AS_REFRESH_TASKS", "as.refresh.task.>", jetstream.WorkQueuePolicy, jetstream.DiscardNew, 0, -1, false, 2 * time.Minute},
			{"AS_REFRESH_RESULTS", "as.refresh.result.>", jetstream.LimitsPolicy, jetstream.DiscardNew, 30 * day, 1, true, 2 * time.Minute},
			{"AS_REFRESH_DEAD", "as.refresh.dead.>", jetstream.LimitsPolicy, jetstream.DiscardOld, 90 * day, -1, false, time.Hour},
			{"KV_as_refresh_history", "$KV.as_refresh_history.>", jetstream.LimitsPolicy, jetstream.DiscardNew, 7 * day, 1, false, 2 * time.Minute},
			{"KV_as_refresh_manifests", "$KV.as_refresh_manifests.>", jetstream.LimitsPolicy, jetstream.DiscardNew, 8 * day, 1, false, 2 * time.Minute},
			{"KV_as_refresh_calls", "$KV.as_refresh_calls.>", jetstream.LimitsPolicy, jetstream.DiscardNew, 90 * day, 1, false, 2 * time.Minute},
			{"KV_as_refresh_control", "$KV.as_refresh_control.>", jetstream.LimitsPolicy, jetstream.DiscardNew, 0, 1, false, 2 * time.Minute},
		} {
			s, err := q.js.Stream(t.Context(), want.name)
			if err != nil {
				t.Errorf("%s: %v", want.name, err)
				continue
			}
			have := s.CachedInfo().Config
			if got := strings.Join(have.Subjects, " "); got != want.subjects {
				t.Errorf("%s: subjects %s, want %s", want.name, got, want.subjects)
			}
			if have.Retention != want.retention || have.Discard != want.discard || have.MaxAge != want.maxAge || have.MaxMsgsPerSubject != want.perSubject ||
				have.DiscardNewPerSubject != want.newPerSubj || have.Duplicates != want.duplicates {
				t.Errorf("%s: settings %+v, want %+v", want.name, have, want)
			}
			if have.Storage != jetstream.FileStorage || have.Replicas != q.conf.Replicas || have.NoAck || have.MaxMsgs > 0 || have.MaxBytes <= 0 || have.MaxMsgSize > 0 {
				t.Errorf("%s: settings %+v, want files, %d replicas, a limit in bytes and none in messages", want.name, have, q.conf.Replicas)
			}
		}
		plan, err := q.js.Consumer(t.Context(), stop.StreamStop, planDurable)
		if err != nil {
			t.Fatal(err)
		}
		c := plan.CachedInfo().Config
		if c.AckPolicy != jetstream.AckExplicitPolicy || c.MaxDeliver != -1 || c.AckWait != 30*time.Second || len(c.BackOff) > 0 || c.MaxAckPending != -1 {
			t.Errorf("the consumer of the requests is %+v", c)
		}
	})
}

func TestOpenAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	publish(t, q, stop.SubjectStop, "{}")
	openQueue(t, b)
	if n := left(t, q, stop.StreamStop); n != 1 {
		t.Errorf("%d requests after a second Open, want 1", n)
	}
}

func TestManyMayOpenAtOnce(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, open func(...func(*Config)) *Queue) {
		const workers = 6
		confs := make(chan Config, workers)
		probe := open() // only for its way to the broker; the streams are gone again below
		for _, s := range streams(Config{Replicas: 1}) {
			if err := probe.js.DeleteStream(t.Context(), s.Name); err != nil {
				t.Fatal(err)
			}
		}
		if err := probe.js.DeleteKeyValue(t.Context(), stop.BucketHistory); err != nil {
			t.Fatal(err)
		}
		for range workers {
			confs <- config(t, nil, func(c *Config) {
				c.URL, c.InProcess, c.Replicas = probe.conf.URL, probe.conf.InProcess, probe.conf.Replicas
			})
		}
		race(workers, func(i int) {
			q, err := Open(t.Context(), <-confs)
			if err != nil {
				t.Errorf("worker %d: %v", i, err)
				return
			}
			q.Close()
		})
	})
}

func TestAWeakerStreamIsRefused(t *testing.T) {
	t.Parallel()
	of := func(name string) jetstream.StreamConfig {
		for _, s := range streams(Config{Replicas: 1}) {
			if s.Name == name {
				return s
			}
		}
		panic(name)
	}
	for _, c := range []struct {
		rule, stream string
		weaken       func(*jetstream.StreamConfig)
		words        []string
	}{
		{"requests kept by limits only", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy }, []string{"retention", "Limits", "WorkQueue"}},
		{"requests kept by interest only", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, []string{"retention", "Interest", "WorkQueue"}},
		{"requests dropped when full", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, []string{"discard", "DiscardOld", "DiscardNew"}},
		{"requests that age", stop.StreamStop, func(c *jetstream.StreamConfig) { c.MaxAge = 24 * time.Hour }, []string{"max age", "24h", "no limit"}},
		{"requests in memory", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Storage, c.MaxBytes = jetstream.MemoryStorage, 1<<20 }, []string{"storage", "Memory", "File"}},
		{"a subject of the requests missing", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Subjects = []string{stop.SubjectStop} }, []string{"subjects", "as.refresh.stop.>"}},
		{"the bare subject of the requests missing", stop.StreamStop, func(c *jetstream.StreamConfig) { c.Subjects = []string{stop.SubjectStop + ".>"} }, []string{"subjects"}},
		{"requests without PubAck", stop.StreamStop, func(c *jetstream.StreamConfig) { c.NoAck = true }, []string{"no ack"}},
		{"requests that replace each other", stop.StreamStop, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Discard = 1, jetstream.DiscardOld }, []string{"messages per subject"}},
		{"tasks dropped when full", stop.StreamTasks, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, []string{"discard"}},
		{"tasks that age", stop.StreamTasks, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, []string{"max age"}},
		{"results of some days", stop.StreamResults, func(c *jetstream.StreamConfig) { c.MaxAge = 7 * 24 * time.Hour }, []string{"max age", "168h", "at least 720h"}},
		{"several results a request", stop.StreamResults, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 5, false }, []string{"messages per subject is 5, want 1"}},
		{"results that replace each other", stop.StreamResults, func(c *jetstream.StreamConfig) { c.Discard, c.DiscardNewPerSubject = jetstream.DiscardOld, false }, []string{"discard new per subject"}},
		{"results consumed like work", stop.StreamResults, func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, []string{"retention"}},
		{"dead letters in memory", stop.StreamDead, func(c *jetstream.StreamConfig) { c.Storage, c.MaxBytes = jetstream.MemoryStorage, 1<<20 }, []string{"storage"}},
		{"dead letters of a day", stop.StreamDead, func(c *jetstream.StreamConfig) { c.MaxAge = 24 * time.Hour }, []string{"max age"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			conf := config(t, startBroker(t))
			weak := of(c.stream)
			c.weaken(&weak)
			js := admin(t, conf)
			if _, err := js.CreateStream(t.Context(), weak); err != nil {
				t.Fatal(err)
			}
			refuse(t, conf, append(c.words, c.stream)...)
			s, err := js.Stream(t.Context(), c.stream)
			if err != nil {
				t.Fatal(err)
			}
			if have := s.CachedInfo().Config; have.MaxAge != weak.MaxAge || have.Discard != weak.Discard || have.Retention != weak.Retention {
				t.Errorf("the stream was touched: %+v", have)
			}
		})
	}
	t.Run("fewer replicas", func(t *testing.T) {
		t.Parallel()
		conf := config(t, startBroker(t))
		if _, err := admin(t, conf).CreateStream(t.Context(), of(stop.StreamStop)); err != nil {
			t.Fatal(err)
		}
		conf.Replicas = 3
		refuse(t, conf, stop.StreamStop, "replicas is 1, want 3")
	})
}

func TestAWeakerBucketIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		kv   jetstream.KeyValueConfig
		word string
	}{
		{"in memory", jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage, TTL: historyLife}, "storage"},
		{"of an hour", jetstream.KeyValueConfig{TTL: time.Hour}, "max age"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			conf := config(t, startBroker(t))
			c.kv.Bucket = stop.BucketHistory
			if _, err := admin(t, conf).CreateKeyValue(t.Context(), c.kv); err != nil {
				t.Fatal(err)
			}
			refuse(t, conf, stop.BucketHistory, c.word)
		})
	}
}

// refuse opens what must be refused, at once, with these words.
func refuse(t *testing.T, conf Config, words ...string) {
	t.Helper()
	before := time.Now()
	q, err := Open(t.Context(), conf)
	if err == nil {
		q.Close()
		t.Fatal("Open accepted it")
	}
	if !errors.Is(err, ErrWeaker) {
		t.Fatalf("not ErrWeaker: %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not mention %q: %v", w, err)
		}
	}
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("it took %v to refuse", took)
	}
}

func TestAStrongerStreamIsAcceptedAndLeftAlone(t *testing.T) {
	t.Parallel()
	conf := config(t, startBroker(t))
	js := admin(t, conf)
	for _, s := range streams(Config{Replicas: 1}) {
		s.Description = "made by somebody else"
		s.MaxBytes *= 2
		switch s.Name {
		case stop.StreamStop:
			s.Subjects = append(s.Subjects, "as.refresh.more")
			s.MaxMsgs, s.MaxMsgSize, s.Duplicates = 1000, 1<<20, 2*time.Hour
		case stop.StreamResults:
			s.MaxAge *= 2
		case stop.StreamDead:
			s.MaxAge, s.Discard = 0, jetstream.DiscardNew
		case stop.StreamTasks:
			s.DenyDelete = true
		}
		if _, err := js.CreateStream(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: stop.BucketHistory, History: 5}); err != nil {
		t.Fatal(err)
	}
	open(t, conf)
	for _, want := range streams(Config{Replicas: 1}) {
		s, err := js.Stream(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if have := s.CachedInfo().Config; have.MaxBytes != 2*want.MaxBytes || have.Description != "made by somebody else" {
			t.Errorf("%s was touched: %+v", want.Name, have)
		}
	}
}

func TestCovered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject string
		list    []string
		want    bool
	}{
		{"as.refresh.stop", []string{"as.refresh.stop"}, true},
		{"as.refresh.stop", []string{"as.refresh.stop.>"}, false},
		{"as.refresh.stop", []string{"as.refresh.>"}, true},
		{"as.refresh.stop.>", []string{"as.refresh.>"}, true},
		{"as.refresh.stop.>", []string{"as.refresh.stop"}, false},
		{"as.refresh.stop.>", []string{"as.refresh.stopped.>"}, false},
		{"as.refresh.stop", []string{"as.refresh.result", ">"}, true},
		{"as.refresh.stop", nil, false},
	} {
		if got := covered(c.subject, c.list); got != c.want {
			t.Errorf("covered(%s, %v) = %v", c.subject, c.list, got)
		}
	}
}

func TestWhatWaitingCannotHelp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		want bool
	}{
		{"not heard of yet", &jetstream.APIError{Code: 404, ErrorCode: jetstream.JSErrCodeStreamNotFound}, false},
		{"still forming", &jetstream.APIError{Code: 503, ErrorCode: 10008}, false},
		{"no answer", context.DeadlineExceeded, false},
		{"a wrong request", &jetstream.APIError{Code: 400, ErrorCode: 10052}, true},
		{"refused", nats.ErrAuthorization, true},
		{"no JetStream for the account", jetstream.ErrJetStreamNotEnabledForAccount, true},
	} {
		if got := lasting(fmt.Errorf("wrapped: %w", row.err)); got != row.want {
			t.Errorf("%s: lasting is %v, want %v", row.name, got, row.want)
		}
	}
}

// A replica that lags must not say that a request has neither task nor result.
func TestTheLedgerIsReadFromTheLeader(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, open func(...func(*Config)) *Queue) {
		q := open()
		several := q.conf.Replicas > 1
		for _, name := range []string{stop.StreamResults, stop.StreamTasks, "KV_" + stop.BucketCalls} {
			s, err := q.js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			have := s.CachedInfo().Config
			if have.AllowDirect == several {
				t.Errorf("%s with %d replicas is read from any: %v", name, have.Replicas, have.AllowDirect)
			}
			want := have
			have.AllowDirect = true
			if weak := weaknesses(have, want); (len(weak) > 0) != several {
				t.Errorf("%s read from any of %d replicas: %v", name, have.Replicas, weak)
			}
		}
	})
}
