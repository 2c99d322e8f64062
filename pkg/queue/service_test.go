package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func serve(t *testing.T, q *Queue, name string) {
	t.Helper()
	end, err := q.Serve(name, "v1.2.3", func() stop.Worker { return stop.Worker{Worker: name, InHand: q.InHand()} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
}

// client connects as somebody who only asks.
func client(t *testing.T, c Config) *Client {
	t.Helper()
	if c.Log == nil {
		_, c.Log = newLog(t)
	}
	k, err := Connect(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestEveryWorkerAnswersWhoAsks(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, name := range []string{"a", "b", "c"} {
		serve(t, openQueue(t, b), name)
	}
	k := client(t, Config{InProcess: b})
	eventually(t, soon, func() error {
		workers, err := k.Workers(t.Context())
		if err == nil && len(workers) != 3 {
			err = fmt.Errorf("%d workers answer", len(workers))
		}
		return err
	})
	// As "nats micro ping" asks.
	inbox := k.nc.NewInbox()
	answers := make(chan *nats.Msg, 8)
	if _, err := k.nc.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	if err := k.nc.PublishRequest("$SRV.PING."+serviceName, inbox, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var ping micro.Ping
		if err := json.Unmarshal(receive(t, answers, "answer").Data, &ping); err != nil || ping.Version != "1.2.3" || ping.Metadata["worker"] == "" {
			t.Errorf("the service is %+v (%v)", ping, err)
		}
	}
}

func TestNobodyAnswersWhereThereIsNoWorker(t *testing.T) {
	t.Parallel()
	k := client(t, Config{InProcess: startBroker(t)})
	before := time.Now()
	workers, err := k.Workers(t.Context())
	if err != nil || len(workers) != 0 {
		t.Errorf("%d workers answer (%v)", len(workers), err)
	}
	if took := time.Since(before); took >= answersWithin {
		t.Errorf("it took %v to learn that nobody listens", took)
	}
}

// The right to ask must not be a right to store with the worker's permissions.
func TestAnAnswerIsNotStored(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	serve(t, q, "a")
	for _, reply := range []string{"as.refresh.result.INC-1", "$KV." + stop.BucketControl + "." + stop.ControlHold} {
		if err := q.nc.PublishRequest(stop.SubjectStatus, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	// One that comes after is answered, so these have been looked at.
	if _, err := q.nc.Request(stop.SubjectStatus, nil, soon); err != nil {
		t.Fatal(err)
	}
	if r, err := q.Result(t.Context(), "INC-1"); err != nil || r != nil {
		t.Errorf("the answer became a result: %+v (%v)", r, err)
	}
	if h, err := q.Hold(t.Context()); err != nil || h != nil {
		t.Errorf("the answer became a hold: %+v (%v)", h, err)
	}
}

func TestAWorkerThatMayNotBeAskedWorks(t *testing.T) {
	t.Parallel()
	q := open(t, guarded(t, append([]string{"as.refresh.stop"}, allowed...), true))
	serve(t, q, "a")
	work(t, q, Worker{Plan: planToTask(stop.LaneNormal), Execute: executeTask})
	publish(t, q, stop.SubjectStop, "r")
	empty(t, q, stop.StreamStop, stop.StreamTasks)
	select {
	case err := <-q.Failed():
		t.Error(err)
	default:
	}
}

func TestWhatAWorkerCannotDoWithout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`Permissions Violation for Publish to "as.refresh.result.r"`:        true,
		`Permissions Violation for Publish to "$JS.API.STREAM.INFO.X"`:      true,
		`Permissions Violation for Publish to "_INBOX.somebody.else"`:       false,
		`Permissions Violation for Subscription to "_INBOX_w.>"`:            true,
		`Permissions Violation for Subscription to "$SRV.PING.andon"`:       false,
		`Permissions Violation for Subscription to "as.refresh.status"`:     false,
		`something that the broker may say in another version about rights`: true,
	} {
		if got := vital(errors.New(text)); got != want {
			t.Errorf("%s: vital is %v, want %v", text, got, want)
		}
	}
}

func TestVersionsOfTheServiceAreSemantic(t *testing.T) {
	t.Parallel()
	nc := client(t, Config{InProcess: startBroker(t)}).nc
	for given, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3-rc.1": "1.2.3-rc.1", "(devel)": "0.0.0", "unknown": "0.0.0", "v0.0.0-20261127120000-0bd829ae0a11+dirty": "0.0.0-20261127120000-0bd829ae0a11+dirty",
	} {
		got := semantic(given)
		if got != want {
			t.Errorf("%s becomes %s, want %s", given, got, want)
		}
		service, err := micro.AddService(nc, micro.Config{Name: serviceName, Version: got})
		if err != nil {
			t.Errorf("%s is refused: %v", got, err)
			continue
		}
		if err := service.Stop(); err != nil {
			t.Error(err)
		}
	}
}
