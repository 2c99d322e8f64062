package limiter

import "time"

const (
	// inTime is how long after its slot a call may begin. Later the schedule
	// cannot make up for it any more: the slot one period on is reserved.
	inTime = 500 * time.Millisecond
	// overdue is how much longer than allowed for a call may be on its way
	// before the schedule makes room for it, without waiting for its end. Room
	// is made for so much more each time.
	overdue = 150 * time.Millisecond
	// lateArrival is how late a call is taken to arrive that has no answer by
	// then. What comes later still was in a broken connection.
	lateArrival = inTime + time.Second
	// leastKeep is how long a slot can be used after its time at least.
	leastKeep = 25 * time.Millisecond
)

// slot is one call's place in the schedule, reserved by this worker.
type slot struct {
	rank   rank // of the waiter for whom it was reserved
	due    bool // it is the share of that lane
	number uint64
	// from is when, on this machine, the slot has surely begun; it can be used
	// for keep.
	from tick
	keep time.Duration
	// width is by how much from may be too late.
	width time.Duration
	// allowance that the schedule has made for the call.
	allowance time.Duration
}

// permit is a slot in use.
type permit struct {
	slot
	released bool // by the gate's mutex
	watch    tick // by the gate's mutex: when to see whether it is overdue
}

// lateness is a call that was on its way for longer than allowed for.
type lateness struct {
	number uint64
	// by is when it has arrived at the latest, on a network on which the fastest
	// calls take no time.
	by tick
}

// floor is the earliest time for the slot with that number that keeps the
// quota: one period after the late arrival, when the same number of calls has
// followed. Zero if it is too late for that.
func (l lateness) floor(r reading, next uint64, q budget, interval time.Duration) instant {
	limit := l.number + uint64(q.calls) //nolint:gosec // never negative
	if next > limit {
		return 0
	}
	period := time.Duration(float64(q.period) * (1 + drift))
	return r.latest(l.by).add(period - time.Duration(limit-next)*interval) //nolint:gosec // at most calls
}
