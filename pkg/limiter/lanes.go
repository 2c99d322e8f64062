package limiter

import (
	"container/list"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// rank is the place of a lane in stop.Lanes: the lowest goes first.
type rank int

const (
	rankUrgent rank = iota
	rankNormal
	rankBulk
	ranks
)

// normalShare is what the normal lane gets of the slots while it waits,
// however much is urgent. A choice: an urgent storm is slowed by a tenth, and
// what is pushed back moves on at 2 calls a second of 20.
const normalShare = 0.10

// ahead is how far before its time a slot is reserved, by who it is for: it
// must cover the way to the broker and back. More urgent ones reach further,
// so that they pass by those that wait everywhere in the fleet; a lane that is
// due reaches furthest. Together with one block none exceeds reach.
var ahead = [ranks]time.Duration{rankUrgent: 160 * time.Millisecond, rankNormal: 125 * time.Millisecond, rankBulk: 95 * time.Millisecond}

const (
	aheadDue = 180 * time.Millisecond
	// blockSpan is the time for which slots are reserved at once, where it holds
	// more than one.
	blockSpan = 50 * time.Millisecond
)

// rankOf places a lane. A lane that nobody knows is a normal one, as an
// unknown subject under the request prefix is.
func rankOf(l stop.Lane) rank {
	for i, known := range stop.Lanes() {
		if l == known {
			return rank(i)
		}
	}
	return rankNormal
}

// served is when the fleet last reserved a slot for the lower lanes.
type served struct {
	Normal instant `json:"normal,omitempty"`
	Bulk   instant `json:"bulk,omitempty"`
}

// due is how many slots a lane has earned by the time of one, which is its own
// then, whatever else waits.
func (s served) due(r rank, at instant, interval time.Duration, bulkShare float64) int {
	last, share := s.Bulk, bulkShare
	switch r {
	case rankUrgent:
		return 0
	case rankNormal:
		last, share = s.Normal, normalShare
	}
	since := at.sub(last)
	if since < -push { // the broker's clock went back
		return 1
	}
	return int(min(float64(since)*share/float64(max(interval, 1))+1e-9, maxRate))
}

// serve takes note of a slot for a lane.
func (s served) serve(r rank, at instant) served {
	switch r {
	case rankNormal:
		s.Normal = at
	case rankBulk:
		s.Bulk = at
	}
	return s
}

// waiter waits in a lane for a permit.
type waiter struct {
	rank   rank
	place  *list.Element // in its lane; nil once it has left
	done   chan struct{} // closed when the wait is over
	permit *permit       // nil if it got none; by the gate's mutex until done
}

// lanes say who of this process is next.
type lanes [ranks]list.List

// push puts w at the end of its lane.
func (q *lanes) push(w *waiter) { w.place = q[w.rank].PushBack(w) }

// remove takes w out of its lane, wherever it stands.
func (q *lanes) remove(w *waiter) {
	if w.place != nil {
		q[w.rank].Remove(w.place)
		w.place = nil
	}
}

// pop takes out who is next for a slot, nil if nobody waits: the lane that the
// slot is due to, or else the most urgent one.
func (q *lanes) pop(s slot) *waiter {
	r := s.rank
	if !s.due || q[r].Len() == 0 {
		for r = rankUrgent; r < ranks && q[r].Len() == 0; r++ {
		}
	}
	if r == ranks {
		return nil
	}
	w := q[r].Front().Value.(*waiter)
	q.remove(w)
	return w
}
