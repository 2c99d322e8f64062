package limiter

import "time"

// How a throttled quota slows down and recovers: quickly down, slowly up.
const (
	brakeFactor = 0.7         // what a cut leaves of the rate
	brakeGrowth = 0.05        // share of the full rate given back a second
	brakePeriod = time.Second // between two cuts, and between two steps back
	brakeFloor  = 1.0         // calls a second that always remain
)

// brake lowers the rate of the whole fleet after throttles and gives it back.
type brake struct {
	// Factor is what is left of the rate, from above 0 to 1.
	Factor float64 `json:"factor"`
	// Cut is when the rate was last lowered, Calm when the last throttle or
	// step back was.
	Cut  instant `json:"cut,omitempty"`
	Calm instant `json:"calm,omitempty"`
}

// on reports whether the fleet is slowed down.
func (b brake) on() bool { return b.Factor < 1 }

// cut takes note of throttles, however many there were.
func (b brake) cut(now instant, q budget) brake {
	b = b.ease(now)
	b.Calm = now
	if since := now.sub(b.Cut); since >= brakePeriod || since < 0 {
		b.Cut = now
		b.Factor = max(b.Factor*brakeFactor, min(brakeFloor/q.rate(), 1))
	}
	return b
}

// ease gives back what is due for the time without throttles.
func (b brake) ease(now instant) brake {
	if !b.on() {
		return b
	}
	if b.Calm > now { // the broker's clock went back
		b.Calm = now
	}
	steps := int(now.sub(b.Calm) / brakePeriod)
	b.Calm = b.Calm.add(time.Duration(steps) * brakePeriod)
	b.Factor += float64(steps) * brakeGrowth
	if b.Factor > 1-1e-9 { // twenty steps of a twentieth may fall short
		b.Factor = 1
	}
	return b
}
