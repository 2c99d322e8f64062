package stop

import (
	"errors"
	"time"
)

// ErrLost says that another worker has taken over: what this one knows is out of
// date, and it must not call.
var ErrLost = errors.New("it is in other hands")

// Call is the last call that was intended in order to change an activity. The
// fleet keeps one for each activity, stored before the permit is asked for: so a
// task that finds one of its own knows that a call may have been made of which
// it has no answer, and of many tasks for the same activity only one calls.
type Call struct {
	// Key is of the task that called, Action what it called.
	Key    string `json:"Key"`
	Action string `json:"Action"`
	Lane   Lane   `json:"Lane"`
	Target Target `json:"Target"`
	Worker string `json:"Worker"`
	// At is when, by the clock of the worker.
	At time.Time `json:"At"`
	// Over: the call has been answered, and the task will not call again before
	// it comes back.
	Over bool `json:"Over,omitempty"`
	// Paused is when the call was found to have paused the activity, which has
	// stood paused since.
	Paused time.Time `json:"Paused,omitzero"`
	// Doubts are the calls of other tasks that were not Over and had not led to a
	// result when this one took their place.
	Doubts []Doubt `json:"Doubts,omitempty"`

	// Revision is where the call was stored: zero for never. StoredAt is when,
	// by the broker's clock.
	Revision uint64    `json:"-"`
	StoredAt time.Time `json:"-"`
}

// Doubt is a call that may have been made: of which task, and where it was
// stored.
type Doubt struct {
	Key      string `json:"Key"`
	Revision uint64 `json:"Revision"`
}

// Place names the activity in the bucket of calls. What is no id of the API's
// form is hashed, because it becomes a part of a subject.
func (c Call) Place() string {
	region, activity := c.Target.Region, c.Target.RefreshActivityID
	if !ValidRegion(region) || !activityPattern.MatchString(activity) {
		return "x." + Hash(region, activity)
	}
	return region + "." + activity
}
