package stop

import "time"

// Keys of the bucket of control. The hold is set from outside; the others are
// the workers' own.
const (
	ControlHold   = "hold"
	ControlBudget = "budget"
	ControlPaused = "paused"
)

// Hold stops the calls of the whole fleet while it stands in the bucket of
// control.
type Hold struct {
	Reason string `json:"Reason"`
	By     string `json:"By,omitempty"`
	// Until ends the hold by itself; zero: when somebody removes it.
	Until time.Time `json:"Until,omitzero"`
}

// InForce reports whether there is a hold, and its time is not over.
func (h *Hold) InForce(now time.Time) bool {
	return h != nil && (h.Until.IsZero() || !now.After(h.Until))
}

// Budget is which groups were paused of late, and when, for the limit on how
// many may be.
type Budget struct {
	Groups map[string]time.Time `json:"Groups"`
}

// Paused is what the fleet holds paused, as found by one of the workers.
type Paused struct {
	Groups int       `json:"Groups"`
	Oldest time.Time `json:"Oldest,omitzero"`
	At     time.Time `json:"At"`
	Worker string    `json:"Worker"`
}
