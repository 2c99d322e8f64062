package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// While accounts are rolled out, an older worker must not end tasks for which
// it has no credentials.
func TestTasksOfAnotherAccountAreLeftToWhoServesIt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	older, newer := openQueue(t, b), openQueue(t, b)
	executed := func(who chan string) stop.Step {
		return func(ctx context.Context, m stop.Message) stop.Verdict {
			var got stop.Task
			if err := json.Unmarshal(m.Data, &got); err != nil {
				t.Error(err)
			}
			who <- got.Quota.Account
			return executeTask(ctx, m)
		}
	}
	byOlder, byNewer := make(chan string, 10), make(chan string, 10)
	work(t, older, Worker{Plan: planned, Execute: executed(byOlder), Serves: func(a string) bool { return a == "default" }})
	one := task("r", stop.LaneNormal)
	one.Quota = quotaOfAccount("added")
	if err := older.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
		t.Fatal(err)
	}
	nothing(t, byOlder, 300*time.Millisecond, "a task was taken without its credentials")
	work(t, newer, Worker{Plan: planned, Execute: executed(byNewer)})
	if account := receive(t, byNewer, "task"); account != "added" {
		t.Errorf("executed for %s", account)
	}
}

// An account that was taken out of the configuration has no worker left, and
// its requests have a result all the same.
func TestTasksOfAnAccountThatNobodyServesAreLookedAt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	serves := func(a string) bool { return a == "default" }
	q := openQueue(t, b)
	work(t, q, Worker{Plan: planned, Execute: executeTask, Serves: serves})
	one := task("r", stop.LaneNormal)
	one.Quota = quotaOfAccount("removed")
	if err := q.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
		t.Fatal(err)
	}
	empty(t, q, stop.StreamTasks)
	if r, err := q.Result(t.Context(), "r"); err != nil || r == nil {
		t.Errorf("no result: %v", err)
	}
}

// While there are workers with the account that wait for its tasks, others do
// not even see them.
func TestAWorkerWithoutTheAccountTakesNothingFromOneWithIt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	with, without := openQueue(t, b), openQueue(t, b)
	stolen := make(chan string, 100)
	work(t, with, Worker{Plan: planned, Execute: executeTask})
	first := task("r-0", stop.LaneNormal)
	if err := with.storeTasks(t.Context(), nil, []stop.Task{first}); err != nil {
		t.Fatal(err)
	}
	empty(t, with, stop.StreamTasks)
	work(t, without, Worker{Plan: planned, Serves: func(string) bool { return false }, Execute: func(_ context.Context, m stop.Message) stop.Verdict {
		stolen <- m.Subject
		return stop.Verdict{Retry: time.Millisecond}
	}})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := range 100 {
		<-tick.C
		if err := with.storeTasks(t.Context(), nil, []stop.Task{task(fmt.Sprintf("r-%d", n+1), stop.LaneNormal)}); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, with, stop.StreamTasks)
	if n := len(stolen); n > 0 {
		t.Errorf("%d of 100 tasks were taken by a worker without their account", n)
	}
}

// Requests that wait for something of their account stand in nobody's way.
func TestPutOffRequestsOfOneAccountDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	publishMany(t, q, stop.SubjectStop, "held-%d", 5100)
	publish(t, q, stop.SubjectStop, "other")
	work(t, q, Worker{Slots: 32, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		if strings.HasPrefix(string(m.Data), "held") {
			return stop.Verdict{Retry: time.Hour}
		}
		return planned(ctx, m)
	}})
	eventually(t, 2*soon, func() error {
		r, err := q.Result(t.Context(), "other")
		if err == nil && r == nil {
			err = errors.New("no result")
		}
		return err
	})
}
