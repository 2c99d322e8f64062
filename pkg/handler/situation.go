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
	// recent: this worker's Stop of the same activity, for another request,
	// was accepted within the time that Describe may lag.
	recent bool
	// unserved: this worker does not have the task's account.
	unserved bool
	now      time.Time
}

// doubt reports whether the task's own calls may have done something that
// only reading the activity can tell.
func (s situation) doubt() bool {
	return s.history.Unknown > 0 || s.lastClass() == stop.ClassConflict
}

// unsettled reports whether a Stop of ours may have worked and Describe may
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
