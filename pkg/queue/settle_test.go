package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestAResultIsStoredThenTheRequestIsAcknowledged(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	work(t, q, Worker{Plan: planned})
	for i := range 20 {
		publish(t, q, stop.SubjectStop, fmt.Sprintf("r-%d", i))
	}
	empty(t, q, stop.StreamStop)
	// The stream is empty, so every result must be there by now.
	for i := range 20 {
		r, err := q.Result(t.Context(), fmt.Sprintf("r-%d", i))
		if err != nil || r == nil {
			t.Fatalf("acknowledged without a result: %v, %v", r, err)
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule      string
		verdict   stop.Verdict
		back      bool
		notBefore time.Duration
	}{
		{"the zero Verdict comes again", stop.Verdict{}, true, time.Millisecond},
		{"Settled acknowledges and stores nothing", stop.Verdict{Settled: true}, false, 0},
		{"Retry comes back not before its delay", stop.Verdict{Retry: 700 * time.Millisecond}, true, 700 * time.Millisecond},
		{"a tiny delay is no bare Nak", stop.Verdict{Retry: 1}, true, time.Millisecond},
		{"a negative delay is no bare Nak", stop.Verdict{Retry: -1}, true, time.Millisecond},
		{"backoff's Stop is no bare Nak", stop.Verdict{Retry: -time.Hour}, true, time.Millisecond},
		{"a delay beyond AckWait is kept", stop.Verdict{Retry: 2500 * time.Millisecond}, true, 2500 * time.Millisecond},
		{"Retry wins over Settled", stop.Verdict{Settled: true, Retry: 50 * time.Millisecond}, true, 50 * time.Millisecond},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			q := openQueue(t, startBroker(t), ackWait(time.Second))
			var first time.Time
			again := make(chan time.Duration, 1)
			work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
				if m.Delivered == 1 {
					first = time.Now()
					return c.verdict
				}
				again <- time.Since(first)
				return answer("r")
			}})
			publish(t, q, stop.SubjectStop, "{}")
			if c.back {
				if waited := receive(t, again, "second delivery"); waited < c.notBefore {
					t.Errorf("back after %v, want at least %v", waited, c.notBefore)
				}
			}
			empty(t, q, stop.StreamStop)
			if got, want := left(t, q, stop.StreamResults) == 1, c.back; got != want {
				t.Errorf("a result is stored: %v, want %v", got, want)
			}
		})
	}
}

// While a message waits for its retry the heartbeat of its worker must not
// reach it: a sign of life would replace the delay by AckWait.
func TestAHeartbeatDoesNotUndoADelay(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(300*time.Millisecond))
	var first time.Time
	again := make(chan time.Duration, 1)
	release := make(chan struct{})
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		switch {
		case string(m.Data) == "long":
			<-release // keeps the heartbeat running
		case m.Delivered == 1:
			first = time.Now()
			return stop.Verdict{Retry: 1500 * time.Millisecond}
		default:
			again <- time.Since(first)
		}
		return stop.Verdict{Settled: true}
	}})
	defer close(release)
	publish(t, q, stop.SubjectStop, "long")
	publish(t, q, stop.SubjectStop, "waits")
	if waited := receive(t, again, "second delivery"); waited < 1500*time.Millisecond || waited > 5*time.Second {
		t.Errorf("back after %v, want 1.5s", waited)
	}
}

func TestHistoryIsStoredBeforeTheMessageIsGivenBack(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	const rounds = 5
	seen := make(chan stop.History, rounds+1)
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		h, err := q.History(ctx, "task.r")
		if err != nil {
			t.Error(err)
			return stop.Verdict{}
		}
		seen <- h
		if h.Attempts == rounds {
			return answer("r")
		}
		h.Attempts++
		h.Last = &stop.Answer{Class: stop.ClassTransient, Code: "InternalError"}
		return stop.Verdict{Retry: time.Millisecond, History: &h}
	}})
	publish(t, q, stop.SubjectStop, "{}")
	empty(t, q, stop.StreamStop)
	if len(seen) != rounds+1 {
		t.Fatalf("%d deliveries, want %d", len(seen), rounds+1)
	}
	for i := range rounds + 1 {
		h := <-seen
		if h.Attempts != i || i > 0 && (h.Last == nil || h.Last.Code != "InternalError" || h.Revision == 0) {
			t.Errorf("delivery %d read history %+v", i+1, h)
		}
	}
}

// A history that somebody else has moved on is a task in other hands: nothing
// is given back or stored in its name, and the broker brings it back later.
func TestALostTaskIsLeftToItsNewOwner(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(time.Second))
	var first time.Time
	again := make(chan time.Duration, 1)
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		if m.Delivered > 1 {
			again <- time.Since(first)
			return answer("r")
		}
		first = time.Now()
		stale, err := q.History(ctx, "task.r")
		if err != nil {
			t.Error(err)
		}
		newer := stale
		newer.Attempts = 7
		if err := q.Remember(ctx, &newer); err != nil {
			t.Error(err)
		}
		stale.Attempts = 1
		return stop.Verdict{Retry: time.Millisecond, History: &stale}
	}})
	publish(t, q, stop.SubjectStop, "{}")
	if waited := receive(t, again, "redelivery"); waited < 900*time.Millisecond {
		t.Errorf("given back after %v by a worker that has lost the task", waited)
	}
	h, err := q.History(t.Context(), "task.r")
	if err != nil || h.Attempts != 7 {
		t.Errorf("history is %+v, %v; want the newer one", h, err)
	}
}

func TestEverythingInAVerdictIsStored(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	tasks := []stop.Task{task("t-1", stop.LaneUrgent), task("t-2", stop.LaneNormal), task("t-3", stop.LaneBulk)}
	gate := make(chan struct{})
	var mu sync.Mutex
	executed := map[string]stop.Lane{}
	work(t, q, Worker{
		Plan: func(_ context.Context, m stop.Message) stop.Verdict {
			return stop.Verdict{
				Tasks:       tasks,
				DeadLetters: []stop.DeadLetter{stop.Bury(m, "d-1", stop.WhyInvalid, "no"), stop.Bury(m, "d-2", stop.WhyFailed, "no")},
				Results:     []stop.Result{result("r-1"), result("r-2")},
			}
		},
		Execute: func(_ context.Context, m stop.Message) stop.Verdict {
			<-gate
			var got stop.Task
			if err := json.Unmarshal(m.Data, &got); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			executed[got.Request] = stop.TaskLane(m.Subject)
			return stop.Verdict{Settled: true}
		},
	})
	publish(t, q, stop.SubjectStop, "{}")
	empty(t, q, stop.StreamStop)
	for stream, want := range map[string]uint64{stop.StreamTasks: 3, stop.StreamDead: 2, stop.StreamResults: 2} {
		if got := left(t, q, stream); got != want {
			t.Errorf("%d messages in %s, want %d", got, stream, want)
		}
	}
	close(gate)
	empty(t, q, stop.StreamTasks)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range tasks {
		if executed[want.Request] != want.Lane {
			t.Errorf("task %s was executed in lane %q, want %q", want.Request, executed[want.Request], want.Lane)
		}
	}
}

// A result ends a request, so what it takes to replay it must be safe before.
func TestADeadLetterIsStoredBeforeItsResult(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	js := admin(t, q.conf)
	// Dead letters that cannot be stored must hold the result up.
	dead, err := q.js.Stream(t.Context(), stop.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	full := dead.CachedInfo().Config
	whole := full
	full.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	var deliveries atomic.Int32
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		deliveries.Add(1)
		return stop.Verdict{DeadLetters: []stop.DeadLetter{stop.Bury(m, "r", stop.WhyInvalid, "no")}, Results: []stop.Result{result("r")}}
	}})
	publish(t, q, stop.SubjectStop, "{}")
	eventually(t, soon, func() error {
		if deliveries.Load() == 0 {
			return fmt.Errorf("not delivered")
		}
		return nil
	})
	results := make(chan uint64)
	go func() {
		defer close(results)
		sub, err := js.Stream(t.Context(), stop.StreamResults)
		if err != nil {
			return
		}
		for range 20 {
			info, err := sub.Info(t.Context())
			if err == nil && info.State.Msgs > 0 {
				results <- info.State.Msgs
				return
			}
		}
	}()
	if n := <-results; n > 0 {
		t.Fatal("a result was stored without its dead letter")
	}
	if _, err := js.UpdateStream(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	empty(t, q, stop.StreamStop)
	letters, results2 := stored(t, q, stop.StreamDead), stored(t, q, stop.StreamResults)
	if len(letters) != 1 || len(results2) != 1 || letters[0].Time.After(results2[0].Time) {
		t.Errorf("%d dead letters and %d results, want one each and in this order", len(letters), len(results2))
	}
}

func TestADeadLetterHoldsWhatItTakesToReplay(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		return stop.Verdict{DeadLetters: []stop.DeadLetter{stop.Bury(m, "r", stop.WhyInvalid, "no")}, Settled: true}
	}})
	in := stop.Message{Subject: "as.refresh.stop.urgent.team-a", Data: []byte{0, 0xff, '{'}, Header: map[string][]string{"X-Team": {"a", "b"}, "Nats-Msg-Id": {"id"}}}
	if _, err := q.Publish(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	empty(t, q, stop.StreamStop)
	letters := stored(t, q, stop.StreamDead)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters", len(letters))
	}
	var d stop.DeadLetter
	if err := json.Unmarshal(letters[0].Data, &d); err != nil {
		t.Fatal(err)
	}
	if d.Subject != in.Subject || string(d.Data) != string(in.Data) || len(d.Header["X-Team"]) != 2 || d.Header["Nats-Msg-Id"] != nil {
		t.Errorf("the dead letter is %+v", d)
	}
}

// What cannot be stored is tried again, and the message stays in hand.
func TestStoringIsTriedAgain(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(3*time.Second))
	js := admin(t, q.conf)
	results, err := js.Stream(t.Context(), stop.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	open := results.CachedInfo().Config
	shut := open
	shut.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), shut); err != nil {
		t.Fatal(err)
	}
	deliveries := make(chan int, 100)
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		deliveries <- m.Delivered
		return answer("r")
	}})
	publish(t, q, stop.SubjectStop, "{}")
	receive(t, deliveries, "delivery")
	if _, err := js.UpdateStream(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	empty(t, q, stop.StreamStop)
	if len(deliveries) > 0 {
		t.Errorf("delivered %d times more while it was being stored", len(deliveries))
	}
	if r, err := q.Result(t.Context(), "r"); err != nil || r == nil {
		t.Errorf("no result: %v", err)
	}
}

// "Somebody is storing just now" is not "stored": the other may fail with its
// leader. Only a certain answer may lead to an acknowledgement.
func TestAnUncertainRefusalIsAskedAgain(t *testing.T) {
	t.Parallel()
	const busy = `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`
	for _, c := range []struct {
		rule    string
		answers []string
		first   bool
		bad     bool
	}{
		{"the other has stored", []string{busy, busy, `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"}}`}, false, false},
		{"the other has failed", []string{busy, `{"stream":"S","seq":1}`}, true, false},
		{"the stream is full", []string{busy, `{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}`}, false, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			q := openQueue(t, startBroker(t))
			var asked atomic.Int32
			sub, err := q.nc.Subscribe("fake.stream", func(m *nats.Msg) {
				if err := m.Respond([]byte(c.answers[asked.Add(1)-1])); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			first, err := q.storeOnce(t.Context(), stop.StreamResults, "fake.stream", nil)
			if first != c.first || (err != nil) != c.bad {
				t.Errorf("first %v, error %v", first, err)
			}
			if int(asked.Load()) != len(c.answers) {
				t.Errorf("asked %d times, want %d", asked.Load(), len(c.answers))
			}
		})
	}
}

func TestNoSignOfLifeAfterTheSettlement(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	sub, err := q.nc.SubscribeSync("fake.ack")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	d := &delivery{nc: q.nc, msg: &nats.Msg{Reply: "fake.ack"}}
	for _, f := range []func() error{d.inProgress, func() error { return d.giveBack(time.Second) }, d.inProgress} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for n, _, _ := sub.Pending(); n > 0; n-- {
		m, err := sub.NextMsg(soon)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, string(m.Data))
	}
	if want := []string{"+WPI", `-NAK {"delay": 1000000000}`}; !slices.Equal(said, want) {
		t.Errorf("the broker heard %q, want %q", said, want)
	}
}

// Two ends of one request are one too many; who looks for the reason must find
// that it happened.
func TestAnotherOutcomeOfTheSameRequestIsTold(t *testing.T) {
	t.Parallel()
	text, logger := newLog(t)
	q := openQueue(t, startBroker(t), func(c *Config) { c.Log = logger })
	first, again, other := result("r"), result("r"), result("r")
	again.Worker, other.Outcome = "another", stop.OutcomeFailed
	const words = "ended in two ways"
	for _, r := range []stop.Result{first, again} {
		if err := q.storeResults(t.Context(), []stop.Result{r}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text.String(), words) {
		t.Error("the same outcome is told as another one")
	}
	if err := q.storeResults(t.Context(), []stop.Result{other}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), words) || !strings.Contains(text.String(), "refused=failed") {
		t.Errorf("not told:\n%s", text)
	}
	if r, err := q.Result(t.Context(), "r"); err != nil || r.Outcome != first.Outcome {
		t.Errorf("%+v stands (%v), want the first", r, err)
	}
}
