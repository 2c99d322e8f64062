package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// allowed is what a worker must be allowed to publish once its streams exist. A
// verb that is missing in the list fails the first test.
var allowed = func() []string {
	var o server.Options
	if err := o.ProcessConfigString(`authorization {users: [{user: w, password: p, permissions: {include "../../deploy/nats/roles/worker.conf"}}]}`); err != nil {
		panic(err)
	}
	return o.Users[0].Permissions.Publish.Allow
}()

// guarded is a server whose worker may publish these subjects only, and an
// administrator everything.
func guarded(t *testing.T, may []string, prepared bool) Config {
	t.Helper()
	s := startServer(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 16 << 30,
		Users: []*server.User{
			{Username: "admin", Password: "p"},
			{Username: "worker", Password: "p", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: may},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_w.>"}},
			}},
		},
	})
	as := func(user string) string { return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":p@", 1) }
	if prepared {
		openQueue(t, nil, func(c *Config) { c.URL = as("admin") })
	}
	return config(t, nil, func(c *Config) { c.URL, c.InboxPrefix = as("worker"), "_INBOX_w" })
}

func TestTheListedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	q := open(t, guarded(t, append([]string{"as.refresh.stop"}, allowed...), true))
	work(t, q, Worker{Plan: planToTask(stop.LaneNormal), Execute: executeTask})
	publish(t, q, stop.SubjectStop, "r")
	empty(t, q, stop.StreamStop, stop.StreamTasks)
	if r, err := q.Result(t.Context(), "r"); err != nil || r == nil {
		t.Errorf("no result: %v", err)
	}
	if _, ok := sample(t, q, "andon_queue_pending", "lane=normal"); !ok {
		t.Error("no backlog")
	}
	select {
	case err := <-q.Failed():
		t.Error(err)
	default:
	}
}

func TestAMissingPermissionEndsOpen(t *testing.T) {
	t.Parallel()
	without := func(subject string) []string {
		return slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == subject })
	}
	for _, c := range []struct {
		rule     string
		may      []string
		prepared bool
		subject  string
	}{
		{"no streams and no leave to make them", allowed, false, "$JS.API.STREAM.CREATE.AS_REFRESH_STOP"},
		{"no leave to look at streams", without("$JS.API.STREAM.INFO.*"), true, "$JS.API.STREAM.INFO.AS_REFRESH_STOP"},
		{"no leave to look at the consumer", without("$JS.API.CONSUMER.INFO.AS_REFRESH_STOP.plan"), true, "$JS.API.CONSUMER.INFO.AS_REFRESH_STOP.plan"},
		{"no leave to store tasks", without("as.refresh.task.>"), true, "as.refresh.task."},
		{"no leave to store histories", without("$KV.as_refresh_history.>"), true, "$KV.as_refresh_history."},
		{"no leave to store the schedule", without("$KV.as_refresh_limiter.>"), true, "$KV.as_refresh_limiter."},
		{"no leave to acknowledge", without("$JS.ACK.>"), true, "$JS.ACK."},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			before := time.Now()
			q, err := Open(t.Context(), guarded(t, c.may, c.prepared))
			if err == nil {
				q.Close()
				t.Fatal("Open accepted it")
			}
			if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), c.subject) {
				t.Errorf("got %v, want ErrPermission and %s", err, c.subject)
			}
			if took := time.Since(before); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAMissingPermissionEndsWork(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{
		"as.refresh.result.>", "as.refresh.dead.>",
		"$JS.API.CONSUMER.MSG.NEXT.AS_REFRESH_STOP.plan", "$JS.API.CONSUMER.CREATE.AS_REFRESH_TASKS.>",
	} {
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			may := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == subject })
			c := guarded(t, append(may, "as.refresh.stop"), true)
			q := open(t, c)
			publish(t, q, stop.SubjectStop, "r")
			before := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
			defer cancel()
			err := q.Work(ctx, Worker{Slots: 2, Execute: executeTask, Plan: func(_ context.Context, m stop.Message) stop.Verdict {
				return stop.Verdict{
					Tasks: []stop.Task{task("r", stop.LaneNormal)}, DeadLetters: []stop.DeadLetter{stop.Bury(m, "r", stop.WhyFailed, "no")},
					Results: []stop.Result{result("r")},
				}
			}})
			want := strings.TrimSuffix(subject, ">")
			if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), want) {
				t.Errorf("Work returned %v, want ErrPermission and %s", err, want)
			}
			if took := time.Since(before); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestPermissionsAreForTheWorkerOnly(t *testing.T) {
	t.Parallel()
	c := guarded(t, allowed, true)
	q := open(t, c)
	// The list gives no leave to ask for a pause or to remove anything.
	js := admin(t, Config{URL: c.URL})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := js.DeleteStream(ctx, stop.StreamStop); err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("deleting a stream: %v", err)
	}
	if n := left(t, q, stop.StreamStop); n != 0 {
		t.Errorf("%d requests", n)
	}
}
