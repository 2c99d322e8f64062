package limiter

import (
	"container/heap"
	"math"
	"time"
)

const (
	// slack is what the API's clock may gain on ours in a second, clock drift
	// and rounding together. A guess on the safe side: clocks drift by 0.1 ms.
	slack = time.Millisecond
	// lateArrival is how long after its permit a call can still arrive. An
	// older one has arrived or died with its connection.
	lateArrival = time.Second
)

// permit is one grant, from the moment it is given until its call cannot
// matter to the window any more.
type permit struct {
	granted  time.Time
	before   time.Time // the grant before this one
	expires  time.Time // when it no longer counts
	index    int       // in the window; -1 once it has left
	released bool      // by the gate's mutex
}

// pace says when the next permit may be granted: the window guard and the even
// spacing of doc.go. It knows nothing of waiters; the time is always handed in
// and never goes back.
type pace struct {
	full   float64       // calls a second
	most   int           // permits that count at a time
	span   time.Duration // how long a permit counts after its last arrival
	last   time.Time     // last grant
	window window        // permits that count, or did when it was last looked at
}

// newPace returns a pace of rate calls a second. Above one, the fraction is
// dropped: no second holds part of a call.
func newPace(rate float64) pace {
	if rate < 1 {
		return pace{full: rate, most: 1, span: interval(rate) + slack}
	}
	whole := math.Floor(rate)
	return pace{full: whole, most: int(whole), span: time.Second + slack}
}

// interval is the time between two permits at a rate.
func interval(rate float64) time.Duration {
	return time.Duration(math.Ceil(float64(time.Second) / rate))
}

// next is the earliest time for the next permit at the given rate. It may be
// past. A release may make it earlier.
func (p *pace) next(now time.Time, rate float64) time.Time {
	at := p.last.Add(interval(rate))
	for len(p.window) > 0 && !p.window[0].expires.After(now) {
		heap.Pop(&p.window)
	}
	if len(p.window) >= p.most && p.window[0].expires.After(at) {
		at = p.window[0].expires
	}
	return at
}

// grant gives a permit; next must have allowed it.
func (p *pace) grant(now time.Time) *permit {
	m := &permit{granted: now, before: p.last, expires: now.Add(lateArrival + p.span)}
	heap.Push(&p.window, m)
	p.last = now
	return m
}

// release says that the call of m has ended, so it arrived by now at the
// latest.
func (p *pace) release(m *permit, now time.Time) {
	if e := now.Add(p.span); m.index >= 0 && e.Before(m.expires) {
		m.expires = e
		heap.Fix(&p.window, m.index)
	}
}

// undo takes back a permit of which no call has come.
func (p *pace) undo(m *permit) {
	if m.index >= 0 {
		heap.Remove(&p.window, m.index)
	}
	if p.last.Equal(m.granted) {
		p.last = m.before
	}
}

// window is a heap of permits, the one that expires first on top.
type window []*permit

func (w window) Len() int           { return len(w) }
func (w window) Less(i, j int) bool { return w[i].expires.Before(w[j].expires) }

func (w window) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push is for container/heap.
func (w *window) Push(x any) {
	m := x.(*permit)
	m.index = len(*w)
	*w = append(*w, m)
}

// Pop is for container/heap.
func (w *window) Pop() any {
	last := len(*w) - 1
	m := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	m.index = -1
	return m
}
