package limiter

import (
	"sync"
	"time"
)

const (
	// clockDrift is how much faster or slower than this machine's monotonic
	// clock the broker's may run, NTP at work included.
	clockDrift = 500e-6
	// clockStep is how far the broker's clock may jump unnoticed; the margin of
	// the allowance covers it.
	clockStep = 2 * time.Millisecond
)

// tick is a reading of this machine's monotonic clock.
type tick time.Duration

func (t tick) add(d time.Duration) tick     { return t + tick(d) }
func (t tick) sub(other tick) time.Duration { return time.Duration(t - other) }

// clock relates the broker's clock to this machine's monotonic clock. All it
// knows are stamps: the broker has stored a record after it was sent and before
// that was confirmed. What time of day this machine believes it is does not
// matter.
type clock struct {
	read func() tick
	// single: it is always the same machine that stamps.
	single bool

	mu sync.Mutex // guards all below
	// The broker is between low and high ahead, as of the time at.
	low, high time.Duration
	at        tick
	era       int // how often the clock was found changed; 0: nothing known yet
	// embargo: until then slots of another clock may be in use elsewhere.
	embargo tick
}

func newClock() *clock {
	begun := time.Now()
	return &clock{read: func() tick { return tick(time.Since(begun)) }}
}

// learn takes in that something sent and confirmed at these times was stamped
// so by the broker. It reports false where that does not agree with what was
// known: the leader of the bucket has changed, or somebody has set its clock.
// Nothing may be sent then until all slots of the old clock are over. The first
// stamp agrees with nothing, and the leader may have changed just before;
// unless there is only one that can lead.
func (c *clock) learn(sent, confirmed tick, stamp instant) bool {
	low, high := time.Duration(stamp)-time.Duration(confirmed), time.Duration(stamp)-time.Duration(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	oldLow, oldHigh := c.bounds(confirmed)
	c.low, c.high, c.at = low, high, confirmed
	if c.era > 0 && low <= oldHigh && oldLow <= high {
		c.low, c.high = max(low, oldLow), min(high, oldHigh)
		return true
	}
	if c.era > 0 && low <= oldHigh+clockStep && oldLow <= high+clockStep {
		return true
	}
	c.era++
	if c.era == 1 && c.single {
		c.embargo = confirmed.add(-maxInterval)
		return true
	}
	c.embargo = confirmed.add(reach + clockStep)
	return false
}

// bounds are what is known at a time. Under mu.
func (c *clock) bounds(now tick) (low, high time.Duration) {
	widened := time.Duration(clockDrift * float64(now-c.at))
	return c.low - widened, c.high + widened
}

// reading is the clock at one moment.
type reading struct {
	now       tick
	low, high time.Duration
	era       int
	embargo   tick
}

func (c *clock) look() reading {
	now := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	low, high := c.bounds(now)
	return reading{now: now, low: low, high: high, era: c.era, embargo: c.embargo}
}

// broker is the broker's time, as well as it is known.
func (r reading) broker() instant { return r.of(r.now) }

func (r reading) of(t tick) instant {
	return instant(t) + instant(r.low+(r.high-r.low)/2)
}

// surely is when, on this machine, the broker's clock has reached i for
// certain.
func (r reading) surely(i instant) tick { return tick(i) - tick(r.low) }

// latest is the latest that the broker's clock can show at t.
func (r reading) latest(t tick) instant { return instant(t) + instant(r.high) }

// about is when, on this machine, the broker's clock reaches i.
func (r reading) about(i instant) tick { return tick(i) - tick(r.low+(r.high-r.low)/2) }

// width is the uncertainty.
func (r reading) width() time.Duration { return r.high - r.low }
