package limiter

import "time"

// turn is what the fleet knows of one worker.
type turn struct {
	// At is its last slot.
	At instant `json:"at"`
	// Wants is the lane for which it had more to do than it could reserve,
	// counted from 1; 0 if it had not.
	Wants int `json:"wants,omitempty"`
}

// lane is the lane that a worker wants more for, if it does.
func (t turn) lane() (r rank, wants bool) { return rank(t.Wants - 1), t.Wants > 0 }

// gone is how long after its last turn a worker of so many is taken for dead
// or idle: it would have had two more since.
func gone(workers int, block time.Duration) time.Duration {
	return time.Second + time.Duration(2*workers)*block
}

// take returns the turns after a worker had its own. Who is gone is left out.
func take(turns map[string]turn, worker string, t turn, now instant, block time.Duration) map[string]turn {
	after := make(map[string]turn, len(turns)+1)
	for name, other := range turns {
		if age := now.sub(other.At); age < gone(len(turns), block) && age > -2*push {
			after[name] = other
		}
	}
	after[worker] = t
	return after
}

// before is how many workers that want slots as much have waited longer than
// this one. One that has not had any lately goes first.
func before(turns map[string]turn, worker string, i intent, now instant, block time.Duration) int {
	own, known := turns[worker]
	if !known {
		return 0
	}
	n := 0
	for name, other := range turns {
		lane, wants := other.lane()
		if name != worker && wants && i.yields(lane) && other.At < own.At && now.sub(other.At) < gone(len(turns), block) {
			n++
		}
	}
	return n
}
