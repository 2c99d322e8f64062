package handler

import (
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// reading is what the API said when it was asked for the activity.
type reading struct {
	answer   stop.Answer
	activity *stop.Activity // nil: the API shows none
	at       time.Time
	// held is set when the API was not asked, because the account is held or
	// the worker is stopping.
	held time.Duration
}

// deed is the last call on the activity that another task has begun.
type deed struct {
	key    string
	action string
	// outcome is how that task has ended, and when; empty: it has not.
	outcome stop.Outcome
	at      time.Time
	// accepted: the API has said so, so no earlier call had done it.
	accepted bool
	// recent: Describe may not show yet what it did. Of a task that has not
	// ended: it may be calling right now.
	recent bool
}

// did reports whether the other task has paused or resumed the activity.
func (d *deed) did(action string) bool {
	return d != nil && d.action == action && d.outcome == goal(action)
}

// took reports whether the API itself has said so, so that no earlier call had
// done it.
func (d *deed) took(action string) bool { return d.did(action) && d.accepted }

// since reports whether the other task has done so after a time; not if that is not
// known.
func (d *deed) since(action string, t time.Time) bool {
	return d.did(action) && !t.IsZero() && d.at.After(t)
}

// busy reports whether the other task may be calling.
func (d *deed) busy() bool { return d != nil && d.outcome == "" && d.recent }

// situation is all that a decision depends on.
type situation struct {
	task    stop.Task
	history stop.History
	// fresh: history.Last is the answer to a call made just now.
	fresh bool
	// seen is what the activity looked like, nil if it must be read first.
	seen *reading
	// last is the activity as it was last seen, before a call too. No decision
	// depends on it; the result tells it.
	last *stop.Activity
	// other is what another task has done to the activity, as far as is known.
	other *deed
	// unserved: this worker does not have the task's account.
	unserved bool
	now      time.Time

	// trouble is the last answer of the region, if that is sick.
	trouble *stop.Answer
	// ruled is how the policy has settled it, if it has: nothing is decided then.
	ruled *stop.Member

	// What no decision depends on: looked says that the ledger has been asked
	// since the activity was read, call what it knows of the activity, begun
	// which revision of that is this delivery's own, doubted that a call from
	// before has been counted.
	looked  bool
	call    stop.Call
	begun   uint64
	doubted bool
}

// goal is the outcome of a task whose call was accepted.
func goal(action string) stop.Outcome {
	if action == stop.ActionResume {
		return stop.OutcomeResumed
	}
	return stop.OutcomePaused
}

// verb is what messages call the action.
func verb(action string) string {
	if action == stop.ActionResume {
		return "Resume"
	}
	return "Stop"
}

func (s situation) verb() string { return verb(s.task.Action) }

// doubt reports whether the task's own calls may have done something that
// only reading the activity can tell.
func (s situation) doubt() bool {
	return s.history.Unknown > 0 || s.lastClass() == stop.ClassConflict
}

// unsettled reports whether a call of ours may have worked and Describe may
// not show it yet.
func (s situation) unsettled() bool {
	return s.history.Unknown > 0 && s.now.Sub(s.history.CalledAt) < settling
}

// stale reports whether the activity may look different by now. A time that
// is still to come was written by a clock that is not this one.
func (s situation) stale() bool {
	age := s.now.Sub(s.seen.at)
	return age < 0 || age > stale
}

func (s situation) lastClass() stop.Class {
	if s.history.Last == nil {
		return ""
	}
	return s.history.Last.Class
}
