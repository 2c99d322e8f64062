package handler

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// asked is a request for the group's live activity.
func asked(change string) stop.Message {
	return stop.Message{
		Subject: "as.refresh.stop", Sequence: 1, Delivered: 1, Stored: time.Now(),
		Data: []byte(`{"Id":"r","Region":"ap-guangzhou","AutoScalingGroupId":"` + group + `"` + change + `}`),
	}
}

func plannedOne(t *testing.T, v stop.Verdict) stop.Task {
	t.Helper()
	if !v.Final() || len(v.Tasks) != 1 || len(v.Results)+len(v.DeadLetters) > 0 {
		t.Fatalf("verdict %+v, want a task", v)
	}
	return v.Tasks[0]
}

// The hands that plan are for all accounts: none may wait in them.
func TestARequestThatCannotBeReadNowIsPlannedUnread(t *testing.T) {
	refuse := func(c stop.Class) func(*rig) {
		return func(r *rig) { r.api.read = func(stop.Scope) *stop.Answer { return &stop.Answer{Class: c} } }
	}
	for why, trouble := range map[string]func(*rig){
		"held":        func(r *rig) { r.holds.hold(holdKey{"default", stop.ActionDescribe}, *refused) },
		"credentials": refuse(stop.ClassCredential),
		"throttled":   refuse(stop.ClassThrottled),
		"transient":   refuse(stop.ClassTransient),
		"no permit":   func(r *rig) { r.permits.next[stop.ActionDescribe+quota.Token()] = time.Now().Add(time.Minute) },
		"credentials slow": func(r *rig) {
			r.api.ready = func(context.Context) *stop.Answer { <-time.After(3 * glance); return nil }
		},
		"credentials absent": func(r *rig) { r.api.ready = func(context.Context) *stop.Answer { return refused } },
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.show(stop.StatusRunning)
				trouble(r)
				began := time.Now()
				task := plannedOne(t, r.Plan(t.Context(), asked("")))
				if took := time.Since(began); !task.Unread || task.Seen != nil || took > glance {
					t.Errorf("after %v: %+v", took, task)
				}
				// When the trouble is over, the task is read, and then stopped.
				r.api.recover()
				got := r.deliver(t, task)
				if got.Outcome != stop.OutcomePaused || got.RefreshActivityID != activity || len(r.api.stopped) != 1 || r.api.stopped[0].RefreshActivityID != activity {
					t.Errorf("stopped %v, result %+v", r.api.stopped, got)
				}
			})
		})
	}
}

func TestAReadingIsPlannedWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.show(stop.StatusRunning)
		task := plannedOne(t, r.Plan(t.Context(), asked("")))
		if task.Unread || task.Seen == nil || !task.SeenAt.Equal(time.Now()) || task.Target.RefreshActivityID != activity {
			t.Errorf("%+v", task)
		}
	})
}

// What the API says of the request itself needs no task.
func TestARequestThatTheAPIWillNotHaveEndsInThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.read = func(stop.Scope) *stop.Answer { return &stop.Answer{Class: stop.ClassCaller, Code: "InvalidParameter"} }
		v := r.Plan(t.Context(), asked(""))
		if len(v.Results) != 1 || v.Results[0].Outcome != stop.OutcomeFailed {
			t.Errorf("verdict %+v", v)
		}
	})
}

// A group may begin another refresh after ours was called for; that one was
// not asked about.
func TestAnUnreadTaskStaysWithTheActivityThatItFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.show(stop.StatusRunning)
		task := fresh("r")
		task.Seen, task.Unread, task.Target.RefreshActivityID = nil, true, ""
		r.api.stop = func(stop.Target) stop.Answer {
			other := r.api.shows[group]
			other.RefreshActivityID = "asr-bbbbbbbb"
			r.api.shows["asg-other"] = *shows(stop.StatusSuccessful).activity
			r.api.shows[group] = other
			return stop.Answer{Class: stop.ClassTransient}
		}
		got := r.deliver(t, task)
		if got.Outcome != stop.OutcomeConflict || got.RefreshActivityID != activity || len(r.api.stopped) != 1 {
			t.Errorf("stopped %v, result %+v", r.api.stopped, got)
		}
	})
}

func TestAnAccountThatNobodyKnowsIsLeftToOthersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.accounts = []string{"default"}
		m := asked(`,"Account":"added"`)
		for {
			v := r.Plan(t.Context(), m)
			if v.Final() {
				if waited := time.Since(m.Stored); waited < newcomers || waited > 2*newcomers {
					t.Errorf("refused after %v", waited)
				}
				if len(v.Results) != 1 || v.Results[0].Outcome != stop.OutcomeRefused || !strings.Contains(v.Results[0].Message, "added is not served") {
					t.Errorf("verdict %+v", v)
				}
				break
			}
			if v.Retry < newcomers/6 || v.Retry > newcomers {
				t.Errorf("put off for %v", v.Retry)
			}
			<-time.After(v.Retry)
			m.Delivered++
		}
		// A newer worker takes it meanwhile.
		r.api.accounts = nil
		m.Stored = time.Now()
		plannedOne(t, r.Plan(t.Context(), m))
		// Nobody waits for a request that is over anyway.
		r.api.accounts = []string{"default"}
		if v := r.Plan(t.Context(), asked(`,"Account":"added","NotAfter":"1999-01-01T00:00:00Z"`)); len(v.Results) != 1 {
			t.Errorf("expired and put off: %+v", v)
		}
	})
}
