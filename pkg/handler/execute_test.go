package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// bare is a handler for what needs neither API nor broker.
func bare(t *testing.T) *Handler {
	t.Helper()
	h := New(Config{Worker: "w", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, nil, nil, nil)
	t.Cleanup(h.Close)
	return h
}

func plannedTask(t *testing.T) (stop.Task, stop.Message) {
	t.Helper()
	stored := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	task := stop.Task{
		Request: "r1", Sequence: 7, Action: stop.ActionStop, Lane: stop.LaneUrgent, Quota: stop.Quota{Account: "default", Endpoint: "https://as.example"},
		Target: stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity},
		Reason: "why", RequestedBy: "me", Incident: "INC", AllowRollback: true,
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		RequestedAt: stored, NotAfter: stored.Add(time.Hour), StartedAt: stored,
	}
	data, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return task, stop.Message{Subject: stop.TaskSubject(task), Data: data, Sequence: 3, Stored: stored.Add(time.Second)}
}

// What is dead can be published again as it was asked for.
func TestADeadLetterCanBePublishedAgain(t *testing.T) {
	h := bare(t)
	task, m := plannedTask(t)
	v := h.end(m, situation{task: task}, end(stop.OutcomeFailed, "no luck"))
	if len(v.DeadLetters) != 1 || len(v.Results) != 1 {
		t.Fatalf("failed gives %d dead letters and %d results, want one each", len(v.DeadLetters), len(v.Results))
	}
	letter := v.DeadLetters[0]
	again, bad := stop.Decode(stop.Message{Subject: letter.Subject, Data: letter.Data, Header: letter.Header, Stored: letter.StoredAt}, stop.Defaults{})
	if bad != nil {
		t.Fatalf("the dead letter is no request: %v", bad)
	}
	want := stop.Request{
		ID: "r1", Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity,
		Reason: "why", RequestedBy: "me", Incident: "INC", AllowRollback: true, NotAfter: task.NotAfter,
		Action: stop.ActionStop, Lane: stop.LaneUrgent, Traceparent: task.Traceparent,
	}
	if diff := cmp.Diff(want, again, cmpopts.IgnoreFields(stop.Request{}, "Source", "Sequence", "RequestedAt")); diff != "" {
		t.Errorf("published again it asks for something else (-want +got):\n%s", diff)
	}
}

func TestAMessageIsGivenUpWithAResultAndALetter(t *testing.T) {
	h := newRig(t)
	_, taskMessage := plannedTask(t)
	request := stop.Message{
		Subject: "as.refresh.stop.bulk", Sequence: 9, Stored: time.Now(),
		Data: []byte(`{"Id":"r2","Region":"ap-guangzhou","AutoScalingGroupId":"asg-bbbbbbbb"}`),
	}
	garbage := stop.Message{Subject: "as.refresh.stop", Sequence: 11, Stored: time.Unix(1, 0), Data: []byte("{")}
	for _, row := range []struct {
		name, request, group string
		lane                 stop.Lane
		m                    stop.Message
	}{
		{"a task", "r1", group, stop.LaneUrgent, taskMessage},
		{"a request", "r2", "asg-bbbbbbbb", stop.LaneBulk, request},
		{"garbage", stop.Place(garbage), "", stop.LaneNormal, garbage},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := h.GiveUp(t.Context(), row.m, errors.New("panic: boom"))
			if !v.Final() || len(v.Results) != 1 || len(v.DeadLetters) != 1 {
				t.Fatalf("verdict %+v", v)
			}
			r, d := v.Results[0], v.DeadLetters[0]
			if r.Request != row.request || r.Outcome != stop.OutcomeFailed || r.AutoScalingGroupID != row.group || r.Lane != row.lane {
				t.Errorf("result %+v", r)
			}
			if d.Request != row.request || d.Why != stop.WhyPanic || d.Worker != "w" {
				t.Errorf("letter %+v", d)
			}
		})
	}
}

func TestWhatIsNoTaskIsBuried(t *testing.T) {
	h := bare(t)
	for _, data := range []string{"", "{", "{}", `{"Request":"a.b"}`, `{"Request":">"}`, "[]"} {
		v := h.Execute(t.Context(), stop.Message{Subject: "as.refresh.task.q.normal.x", Data: []byte(data), Sequence: 1})
		if !v.Final() || len(v.DeadLetters) != 1 || v.DeadLetters[0].Why != stop.WhyInvalid {
			t.Errorf("%q: %+v", data, v)
		}
	}
}

// Between plan and call may lie minutes, in which what was paused was resumed.
func TestAnOldReadingEndsNoTask(t *testing.T) {
	for what, old := range map[string]*reading{
		"paused": shows(stop.StatusManualPause), "ended": shows(stop.StatusSuccessful), "rollback": rollback(stop.StatusRunning), "not live": nothing(),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.show(stop.StatusRunning)
				task := fresh("r")
				task.Seen, task.SeenAt = old.activity, time.Now()
				if old.activity == nil {
					task.Target.RefreshActivityID = ""
				}
				<-time.After(stale + time.Second)
				if got := r.deliver(t, task); got.Outcome != stop.OutcomePaused || got.RefreshActivityID != activity || len(r.api.reads) != 1 {
					t.Errorf("after %d readings %+v", len(r.api.reads), got)
				}
			})
		})
	}
}

func TestAReadingIsTakenAtItsWord(t *testing.T) {
	for _, row := range []struct {
		what  string
		seen  stop.Status
		after time.Duration
		want  stop.Outcome
	}{
		{"a new one ends a task", stop.StatusManualPause, stale, stop.OutcomeAlreadyPaused},
		{"an old one leads to a call", stop.StatusRunning, time.Minute, stop.OutcomePaused},
	} {
		t.Run(row.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				task := fresh("r")
				task.Seen, task.SeenAt = shows(row.seen).activity, time.Now()
				<-time.After(row.after)
				if got := r.deliver(t, task); got.Outcome != row.want || len(r.api.reads) != 0 {
					t.Errorf("after %d readings %+v", len(r.api.reads), got)
				}
			})
		})
	}
}

// A worker without the account leaves its tasks to those that have it.
func TestATaskOfAnAccountThatIsNotServedIsLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.accounts = []string{"other"}
		task := fresh("r")
		v := r.ledger.settle(t, r.Execute(t.Context(), taskMessage(t, task)))
		if v.Final() || v.History != nil || v.Retry < elsewhere/2 || v.Retry > 2*elsewhere {
			t.Errorf("verdict %+v, want it put off for some seconds", v)
		}
		got := r.deliver(t, task)
		if got.Outcome != stop.OutcomeExpired || got.Attempts != 0 || !strings.Contains(got.Message, "no worker serves the account default") {
			t.Errorf("result %+v", got)
		}
		if late := time.Since(task.NotAfter); late < 0 || late > time.Second || r.api.asked > 0 {
			t.Errorf("ended %v after NotAfter, credentials asked for %d times", late, r.api.asked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.accounts = []string{"other"}
		time.AfterFunc(time.Minute, r.api.recover)
		if got := r.deliver(t, fresh("r")); got.Outcome != stop.OutcomePaused || got.Attempts != 1 {
			t.Errorf("with a worker that has the account: %+v", got)
		}
	})
}

// A worker whose clock was wrong has died during its call. Whoever takes over
// must not wait until its own clock is there, nor take the call for an old one.
func TestANoteOfAnotherClockDelaysNothing(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name           string
		called, stored time.Duration // from now
		want           time.Duration
	}{
		{"clocks that agree", -3 * time.Second, -3 * time.Second, -3 * time.Second},
		{"the worker's was ten minutes fast", 10 * time.Minute, -3 * time.Second, 0},
		{"the worker's was ten minutes slow", -10 * time.Minute, -3 * time.Second, -3 * time.Second},
		{"the broker's is ten minutes fast", -3 * time.Second, 10 * time.Minute, 0},
		{"the broker's is ten minutes slow", -3 * time.Second, -10 * time.Minute, -3 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			var h stop.History
			takeOver(&h, stop.Call{At: now.Add(row.called), StoredAt: now.Add(row.stored)}, now)
			if h.Unknown != 1 || !h.CalledAt.Equal(now.Add(row.want)) {
				t.Errorf("called %v from now, want %v: %+v", h.CalledAt.Sub(now), row.want, h)
			}
		})
	}
}

// The broker was away, and another worker has the task too: what it has paused
// while this one was reading is no pause of somebody else's.
func TestThePauseOfAnotherWorkerIsNotToldAsSomebodyElses(t *testing.T) {
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprintf("over=%v", over), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				task := fresh("r")
				task.SeenAt = time.Now().Add(-time.Minute)
				task.Seen = shows(stop.StatusAutoPause).activity // to be read again before it ends the task
				r.api.shows[group] = *shows(stop.StatusManualPause).activity
				paused := &stop.Result{Request: "r", Outcome: stop.OutcomePaused}
				r.api.read = func(stop.Scope) *stop.Answer {
					if over {
						r.ledger.results["r"] = paused // and its history is forgotten
						return nil
					}
					if c := (stop.Call{Key: "r", Action: stop.ActionStop, Target: task.Target}); r.ledger.calls[c.Place()].Revision == 0 {
						go r.ledger.note(&c)
						synctest.Wait()
					}
					return nil
				}
				v := r.Execute(t.Context(), taskMessage(t, task))
				if over && (!v.Settled || len(v.Results) > 0) {
					t.Errorf("verdict %+v", v)
				}
				if !over && (len(v.Results) != 1 || v.Results[0].Outcome != stop.OutcomePaused || len(r.api.stopped) > 0) {
					t.Errorf("verdict %+v after %d calls, want it told as its own pause", v, len(r.api.stopped))
				}
			})
		})
	}
}
