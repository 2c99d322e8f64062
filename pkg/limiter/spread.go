package limiter

import "time"

const (
	// firstSpread is assumed of a network of which nothing is known.
	firstSpread = 30 * time.Millisecond
	// The allowance stays within these: below, timers and schedulers are not
	// fine enough; above, late calls are made up for one by one.
	leastAllowance = 8 * time.Millisecond
	mostAllowance  = 100 * time.Millisecond
	// longest is the longest way of a call that is learnt from.
	longest = 2 * time.Second
	// memory is how many calls the shortest time is remembered for at least.
	memory = 500
	// trust is how many calls it takes to believe that none is faster than the
	// fastest of them.
	trust = 150
)

// spread is what the fleet knows of the time from a slot to the answer to its
// call. Only its variation matters: if every call were a second under way, the
// arrivals would be as far apart as the slots.
type spread struct {
	// Fast is the shortest time of the last calls, one to two times memory;
	// Faster that of the last Calls alone.
	Fast   time.Duration `json:"fast"`
	Faster time.Duration `json:"faster"`
	Calls  int           `json:"calls"`
	// Known counts calls up to trust.
	Known int `json:"known"`
	// Slow is a time that few calls exceed.
	Slow time.Duration `json:"slow"`
}

// What one answer moves: Slow settles where one call in twenty exceeds it.
const (
	stepDown = 0.01
	stepUp   = 19 * stepDown
)

// unknown reports whether no call was seen yet.
func (s spread) unknown() bool { return s == spread{} }

// learn takes in the time of one call.
func (s spread) learn(took time.Duration) spread {
	took = min(took, longest)
	if s.unknown() {
		return spread{Fast: took, Faster: took, Calls: 1, Known: 1, Slow: took + firstSpread}
	}
	if s.Calls >= memory {
		s.Fast, s.Faster, s.Calls = s.Faster, took, 0
	}
	s.Calls++
	s.Known = min(s.Known+1, trust)
	s.Fast, s.Faster = min(s.Fast, took), min(s.Faster, took)
	step := float64(s.width() + time.Millisecond)
	if took > s.Slow {
		s.Slow = min(s.Slow+time.Duration(stepUp*step), took)
	} else {
		s.Slow = max(s.Slow-time.Duration(stepDown*step), s.Fast)
	}
	return s
}

func (s spread) width() time.Duration { return max(s.Slow-s.Fast, 0) }

// margin is by how much a call may be faster than the fastest that is
// remembered.
func (s spread) margin() time.Duration { return 3*time.Millisecond + s.width()/16 }

// allowance is how late a call may be that the schedule takes into account
// beforehand.
func (s spread) allowance() time.Duration {
	if s.unknown() {
		return firstSpread
	}
	return min(max(s.width()+s.margin(), leastAllowance), mostAllowance)
}

// late is by how much a call of that time may have arrived later, in relation
// to its slot, than any other may arrive.
func (s spread) late(took time.Duration) time.Duration {
	return took - s.Fast*time.Duration(s.Known)/trust + s.margin()
}
