package limiter

import (
	"container/list"

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

// normalShare is what the normal lane gets of the permits while it waits,
// however much is urgent. A choice: an urgent storm is slowed by a tenth, and
// what is pushed back moves on at 2 calls a second of 20.
const normalShare = 0.10

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

// waiter waits in a lane for a permit.
type waiter struct {
	rank   rank
	place  *list.Element // in its lane; nil once it has left
	done   chan struct{} // closed when the wait is over
	permit *permit       // nil if it got none; by the gate's mutex until done
}

// lanes say who is next. They know nothing of time.
type lanes struct {
	lane [ranks]list.List
	// share of the permits that a lane gets while it waits, and what it has
	// saved up of it: at 1 the next permit is its own.
	share  [ranks]float64
	credit [ranks]float64
}

func newLanes(bulkShare float64) lanes {
	return lanes{share: [ranks]float64{rankNormal: normalShare, rankBulk: bulkShare}}
}

func (q *lanes) empty() bool {
	for r := range ranks {
		if q.lane[r].Len() > 0 {
			return false
		}
	}
	return true
}

// push puts w at the end of its lane.
func (q *lanes) push(w *waiter) { w.place = q.lane[w.rank].PushBack(w) }

// remove takes w out of its lane, wherever it stands.
func (q *lanes) remove(w *waiter) {
	if w.place != nil {
		q.lane[w.rank].Remove(w.place)
		w.place = nil
	}
}

// pop takes out who is next. There must be somebody.
func (q *lanes) pop() *waiter {
	r := q.next()
	w := q.lane[r].Front().Value.(*waiter)
	q.remove(w)
	return w
}

// next is the first lane that waits, unless a lower one has earned the permit:
// each one earns its share of every permit that is given out while it waits.
func (q *lanes) next() rank {
	first, earned := rank(-1), rank(-1)
	for r := range ranks {
		if q.lane[r].Len() == 0 {
			continue
		}
		if first < 0 {
			first = r
		}
		q.credit[r] += q.share[r]
		if q.credit[r] > 1-1e-9 { // twenty times 0.05 may fall short of 1
			earned = r
		}
	}
	if earned >= 0 {
		first = earned
	}
	q.credit[first] = max(0, q.credit[first]-1)
	return first
}
