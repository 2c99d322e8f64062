package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// messages are n results that nobody has stored yet.
func messages(n int, prefix string) []*nats.Msg {
	var all []*nats.Msg
	for i := range n {
		all = append(all, expecting(stop.ResultSubject(fmt.Sprintf("%s-%d", prefix, i)), nil, fmt.Appendf(nil, "%s %d", prefix, i), 0, ""))
	}
	return all
}

// stands checks that each message was stored once, where it is said to be.
func stands(t *testing.T, q *Queue, msgs []*nats.Msg, writes []*write) {
	t.Helper()
	for i, w := range writes {
		if w.err != nil {
			t.Errorf("%s: %v", msgs[i].Subject, w.err)
			continue
		}
		got, err := q.streams[stop.StreamResults].GetMsg(t.Context(), w.sequence)
		if err != nil || got.Subject != msgs[i].Subject || string(got.Data) != string(msgs[i].Data) {
			t.Errorf("%s is said to be at %d, where %+v is: %v", msgs[i].Subject, w.sequence, got, err)
		}
	}
}

func TestWhatIsStoredTogetherStandsWhereItIsSaid(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, open func(...func(*Config)) *Queue) {
		q := open()
		for _, n := range []int{1, fewest - 1, fewest, mostTogether + 3} {
			msgs := messages(n, fmt.Sprint("list-", n))
			stands(t, q, msgs, q.into[stop.StreamResults].storeAll(t.Context(), msgs))
		}
		// From many sides at once.
		var group sync.WaitGroup
		for side := range 40 {
			group.Go(func() {
				msgs := messages(1+side%5, fmt.Sprint("side-", side))
				stands(t, q, msgs, q.into[stop.StreamResults].storeAll(t.Context(), msgs))
			})
		}
		group.Wait()
	})
}

// One that is refused does not take others with it.
func TestARefusedMessageHurtsItselfOnly(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, open func(...func(*Config)) *Queue) {
		q := open()
		into := q.into[stop.StreamResults]
		msgs := messages(3*fewest, "r")
		if w := into.storeAll(t.Context(), msgs[7:8])[0]; w.err != nil {
			t.Fatal(w.err)
		}
		refused := 0
		for i, w := range into.storeAll(t.Context(), msgs) {
			if w.err == nil {
				continue
			}
			refused++
			if i != 7 || !refusedWith(w.err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
				t.Errorf("message %d: %v", i, w.err)
			}
		}
		if n := left(t, q, stop.StreamResults); n != uint64(len(msgs)) || refused != 1 {
			t.Errorf("%d messages stand and %d were refused, want %d and 1", n, refused, len(msgs))
		}
	})
}

func TestNothingIsStoredOfNothing(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	into := q.into[stop.StreamResults]
	if got := into.storeAll(t.Context(), nil); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := into.store(t.Context(), messages(1, "after")[0]); err != nil {
		t.Error(err)
	}
}

// A stream of an older broker takes no batches.
func TestAStreamWithoutBatchesIsStoredOneByOne(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	q.into[stop.StreamResults].together = false
	msgs := messages(3*fewest, "r")
	stands(t, q, msgs, q.into[stop.StreamResults].storeAll(t.Context(), msgs))
}

func TestWhatWaitsWithoutABrokerFails(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	b.Shutdown()
	for _, w := range q.into[stop.StreamResults].storeAll(t.Context(), messages(3*fewest, "r")) {
		if w.err == nil {
			t.Error("stored without a broker")
		}
	}
}

// A broker that is restarted forgets the consumers of tasks, and a fleet that
// is restarted with it knows no quota: the tasks themselves say.
func TestTasksAreFoundAfterEverybodyWasRestarted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	one := task("r", stop.LaneBulk)
	if err := q.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
		t.Fatal(err)
	}
	name := taskSource(one.Quota, one.Lane).durable
	if err := q.js.DeleteConsumer(t.Context(), stop.StreamTasks, name); err != nil {
		t.Fatal(err)
	}
	newcomer := openQueue(t, b)
	done := make(chan string, 1)
	work(t, newcomer, Worker{Execute: func(_ context.Context, m stop.Message) stop.Verdict {
		done <- m.Subject
		return answer("r")
	}})
	if subject := receive(t, done, "the task"); !strings.HasSuffix(subject, ".bulk.r") {
		t.Errorf("got %s", subject)
	}
}

// Whoever waits behind others is not kept longer than its own time.
func TestAMessageWhoseTimeIsOverIsTakenBack(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	into := q.into[stop.StreamResults]
	into.leading = true // somebody who never comes to an end
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range into.storeAll(over, messages(3, "late")) {
		if !errors.Is(w.err, context.Canceled) {
			t.Errorf("%v", w.err)
		}
	}
	into.leading = false
	if _, err := into.store(t.Context(), messages(1, "next")[0]); err != nil {
		t.Error(err)
	}
	if n := left(t, q, stop.StreamResults); n != 1 {
		t.Errorf("%d messages stand, want 1", n)
	}
}
