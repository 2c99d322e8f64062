package handler

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestWhoHasResumedIsNotOverruledByWhatBeganBefore(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		since   time.Time
		other   *deed
		refused bool
	}{
		{"resumed after it began", now.Add(-time.Hour), &deed{key: "person", action: stop.ActionResume, outcome: stop.OutcomeResumed, at: now.Add(-time.Minute)}, true},
		{"resumed before it began", now.Add(-time.Minute), &deed{key: "person", action: stop.ActionResume, outcome: stop.OutcomeResumed, at: now.Add(-time.Hour)}, false},
		{"since when is not said", time.Time{}, &deed{key: "person", action: stop.ActionResume, outcome: stop.OutcomeResumed, at: now}, false},
		{"a resume that failed", now.Add(-time.Hour), &deed{key: "person", action: stop.ActionResume, outcome: stop.OutcomeFailed, at: now}, false},
		{"paused by another, and resumed elsewhere", now.Add(-time.Hour), &deed{key: "other", action: stop.ActionStop, outcome: stop.OutcomePaused, at: now.Add(-30 * time.Minute)}, false},
		{"nobody has done anything", now.Add(-time.Hour), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := situation{task: fresh("r"), seen: shows(stop.StatusRunning), other: c.other, now: now}
			s.task.Since, s.task.NotAfter, s.seen.at = c.since, now.Add(time.Hour), now
			d := decide(s)
			refused := d.next == doEnd && d.outcome == stop.OutcomeRefused
			if refused != c.refused {
				t.Fatalf("decided %v %s (%s), want refused: %t", d.next, d.outcome, d.message, c.refused)
			}
			if refused && !strings.Contains(d.message, "by request person") {
				t.Errorf("it does not say who: %s", d.message)
			}
		})
	}
}

// That an activity was resumed is remembered, and costs no reading.
func TestAResumeIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.world(1)
		target := stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-00000000", RefreshActivityID: "asr-00000000"}
		c := stop.Call{Key: "person", Action: stop.ActionResume, Target: target}
		if err := r.ledger.Begin(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		look := func(after time.Duration) (kept bool, reads int) {
			t.Helper()
			<-time.After(after)
			before := len(r.api.reads)
			if _, err := r.count(t.Context()); err != nil {
				t.Fatal(err)
			}
			calls, err := r.ledger.Calls(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(calls) == 1, len(r.api.reads) - before
		}
		if kept, reads := look(24 * time.Hour); !kept || reads > 0 {
			t.Errorf("after a day it is kept: %t, and cost %d readings", kept, reads)
		}
		r.ledger.results["person"] = &stop.Result{Request: "person", Outcome: stop.OutcomeResumed}
		if kept, _ := look(resumedLife); kept {
			t.Error("it is kept for ever")
		}
	})
}
