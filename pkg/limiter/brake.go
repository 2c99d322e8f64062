package limiter

import "time"

// How a throttled quota slows down and recovers: quickly down, slowly up.
const (
	brakeFactor = 0.7         // what a cut leaves of the rate
	brakeGrowth = 0.05        // share of the full rate given back a second
	brakePeriod = time.Second // between two cuts, and between two steps back
	brakeFloor  = 1.0         // calls a second that always remain
)

// brake lowers the rate after throttles and gives it back. A slow-down lasts
// from the first throttle until the rate is full again. The time is always
// handed in.
type brake struct {
	full      float64   // calls a second
	rate      float64   // at present
	since     time.Time // begin of the slow-down; zero: there is none
	lastCut   time.Time
	calm      time.Time // last throttle, or last step back since
	throttles int       // in this slow-down
}

func newBrake(full float64) brake { return brake{full: full, rate: full} }

// on reports whether there is a slow-down.
func (b *brake) on() bool { return !b.since.IsZero() }

// cut takes note of a throttle, and reports whether a slow-down begins.
func (b *brake) cut(now time.Time) (begins bool) {
	if !b.on() {
		b.since, b.throttles, begins = now, 0, true
	}
	b.throttles++
	b.calm = now
	if now.Sub(b.lastCut) >= brakePeriod {
		b.lastCut = now
		b.rate = max(b.rate*brakeFactor, min(brakeFloor, b.full))
	}
	return begins
}

// next is when the next step back is due, zero if none is.
func (b *brake) next() time.Time {
	if !b.on() {
		return time.Time{}
	}
	return b.calm.Add(brakePeriod)
}

// ease takes the steps back that are due, and reports whether that ends the
// slow-down.
func (b *brake) ease(now time.Time) (ends bool) {
	for b.on() && !b.next().After(now) {
		b.calm = b.next()
		b.rate += b.full * brakeGrowth
		if b.rate > b.full*(1-1e-9) { // twenty steps of a twentieth may fall short
			b.rate, b.since = b.full, time.Time{}
		}
	}
	return !b.on()
}
