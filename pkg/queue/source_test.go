package queue

import (
	"context"
	"encoding/json"
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
	if err := older.storeTask(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	nothing(t, byOlder, 300*time.Millisecond, "a task was taken without its credentials")
	work(t, newer, Worker{Plan: planned, Execute: executed(byNewer)})
	if account := receive(t, byNewer, "task"); account != "added" {
		t.Errorf("executed for %s", account)
	}
}
