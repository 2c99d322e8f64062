package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// planUnlessDone makes a task of an urgent request that has no result yet, as
// the real plan does, and holds all other requests until they are let go.
func planUnlessDone(t *testing.T, q *Queue, let <-chan struct{}) stop.Step {
	return func(ctx context.Context, m stop.Message) stop.Verdict {
		if stop.LaneOf(m.Subject) != stop.LaneUrgent {
			select {
			case <-let:
				return planned(ctx, m)
			case <-ctx.Done():
				return stop.Verdict{Retry: time.Millisecond}
			}
		}
		id := string(m.Data)
		r, err := q.Result(ctx, id)
		switch {
		case err != nil:
			return stop.Verdict{Retry: time.Second}
		case r != nil:
			return stop.Verdict{Settled: true}
		}
		if m.Stored.IsZero() || m.Sequence == 0 {
			t.Errorf("message %+v, want what the broker knows of it", m)
		}
		return stop.Verdict{Tasks: []stop.Task{task(id, stop.LaneUrgent)}}
	}
}

func hasResult(t *testing.T, q *Queue, request string) func() error {
	return func() error {
		r, err := q.Result(t.Context(), request)
		if err == nil && r == nil {
			err = errors.New("no result of " + request)
		}
		return err
	}
}

// Thousands of bulk requests may wait for their plan; an urgent one does not
// wait behind them.
func TestAnUrgentRequestIsPlannedAheadOfABacklog(t *testing.T) {
	t.Parallel()
	const bulk = 5000
	q := openQueue(t, startBroker(t))
	publishMany(t, q, "as.refresh.stop.bulk", "b-%d", bulk)
	publish(t, q, "as.refresh.stop.urgent", "u-1")
	publish(t, q, "as.refresh.stop.urgent.team-a", "u-2")
	var executed sync.Map
	let := make(chan struct{})
	work(t, q, Worker{Slots: 8, Plan: planUnlessDone(t, q, let), Execute: func(ctx context.Context, m stop.Message) stop.Verdict {
		n, _ := executed.LoadOrStore(m.Subject, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return executeTask(ctx, m)
	}})
	eventually(t, soon, hasResult(t, q, "u-1"))
	eventually(t, soon, hasResult(t, q, "u-2"))
	// Later ones are found as well.
	publish(t, q, "as.refresh.stop.urgent", "u-3")
	eventually(t, soon, hasResult(t, q, "u-3"))
	if n := left(t, q, stop.StreamStop); n != bulk+3 {
		t.Errorf("%d requests left, want all %d: none may be acknowledged before its turn", n, bulk+3)
	}
	close(let)
	eventually(t, 4*soon, func() error {
		if n := left(t, q, stop.StreamStop); n > 0 {
			return fmt.Errorf("%d requests left", n)
		}
		return nil
	})
	empty(t, q, stop.StreamTasks)
	if n := left(t, q, stop.StreamResults); n != bulk+3 {
		t.Errorf("%d results, want %d", n, bulk+3)
	}
	for n := range 3 {
		subject := stop.TaskSubject(task(fmt.Sprintf("u-%d", n+1), stop.LaneUrgent))
		if times, ok := executed.Load(subject); !ok || times.(*atomic.Int64).Load() != 1 {
			t.Errorf("%s was not executed once", subject)
		}
	}
}

func TestNothingIsPlannedAheadWithoutABacklog(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	ahead := make(chan string, 100)
	for n := range 30 {
		publish(t, q, "as.refresh.stop.urgent", fmt.Sprintf("u-%d", n))
	}
	work(t, q, Worker{Slots: 8, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		if m.Delivered == 0 {
			ahead <- string(m.Data)
		}
		return planned(ctx, m)
	}})
	empty(t, q, stop.StreamStop)
	nothing(t, ahead, 3*aheadEvery, "planned ahead of its turn")
}

// What needs more than a task, such as a result, is done in its turn, and a
// request that crashes the plan crashes no worker.
func TestOnlyTasksAreStoredAheadOfTheirTurn(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	publishMany(t, q, "as.refresh.stop.bulk", "b-%d", 100)
	publish(t, q, "as.refresh.stop.urgent", "u-result")
	publish(t, q, "as.refresh.stop.urgent", "u-crash")
	let, seen := make(chan struct{}), make(chan string, 10)
	others := planUnlessDone(t, q, let)
	work(t, q, Worker{Slots: 8, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		if m.Delivered > 0 || !strings.HasPrefix(string(m.Data), "u-") {
			if stop.LaneOf(m.Subject) == stop.LaneUrgent {
				return planned(ctx, m)
			}
			return others(ctx, m)
		}
		defer func() { seen <- string(m.Data) }()
		if string(m.Data) == "u-crash" {
			panic("ahead of its turn")
		}
		return planned(ctx, m)
	}})
	receive(t, seen, "look ahead")
	receive(t, seen, "look ahead")
	nothing(t, seen, 3*aheadEvery, "looked at twice")
	if n := left(t, q, stop.StreamResults); n > 0 {
		t.Errorf("%d results ahead of their turn", n)
	}
	close(let)
	empty(t, q, stop.StreamStop)
	if n := left(t, q, stop.StreamResults); n != 102 {
		t.Errorf("%d results, want 102", n)
	}
}
