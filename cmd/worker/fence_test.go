package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// An alert that goes on firing does not pause again what a person has resumed since it
// began; one that began later does.
func TestAnAlertDoesNotOverruleWhoHasResumed(t *testing.T) {
	r := newRig(t, 1)
	r.work()
	g, a := names(0)
	began := time.Now()
	ask := func(subject, id string, since time.Time) published {
		t.Helper()
		var header []string
		if !since.IsZero() {
			header = []string{stop.HeaderSince, since.UTC().Format(time.RFC3339Nano)}
		}
		r.publish(subject, fmt.Sprintf(`{"Id":%q,"AutoScalingGroupId":%q}`, id, g), header...)
		return r.result(id, 20*time.Second)
	}
	if got := ask("as.refresh.stop", "alert-1", began); got.Outcome != stop.OutcomePaused {
		t.Fatalf("the alert ends %s (%s)", got.Outcome, got.Message)
	}
	if got := ask("as.refresh.resume", "person", time.Time{}); got.Outcome != stop.OutcomeResumed {
		t.Fatalf("the resume ends %s (%s)", got.Outcome, got.Message)
	}
	again := ask("as.refresh.stop", "alert-2", began)
	if again.Outcome != stop.OutcomeRefused || !strings.Contains(again.Message, "by request person") || again.RefreshActivityID != a {
		t.Errorf("an alert that began before ends %s (%s) of %s", again.Outcome, again.Message, again.RefreshActivityID)
	}
	if got := ask("as.refresh.stop", "alert-3", time.Now().Add(time.Second)); got.Outcome != stop.OutcomePaused {
		t.Errorf("an alert that began later ends %s (%s)", got.Outcome, got.Message)
	}
	if got := ask("as.refresh.resume", "person-2", time.Time{}); got.Outcome != stop.OutcomeResumed {
		t.Fatalf("the resume ends %s (%s)", got.Outcome, got.Message)
	}
	if got := ask("as.refresh.stop", "somebody", time.Time{}); got.Outcome != stop.OutcomePaused {
		t.Errorf("a person's request ends %s (%s)", got.Outcome, got.Message)
	}
}
