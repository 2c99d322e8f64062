package limiter

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// instant is a time of the broker's clock, in nanoseconds since 1970. It must
// never be compared with a clock of this machine; clock.go relates the two.
type instant int64

func (i instant) add(d time.Duration) instant     { return i + instant(d) }
func (i instant) sub(other instant) time.Duration { return time.Duration(i - other) }

const (
	// reach is how far ahead of the clock a slot may lie. It is what a restart
	// or a change of the broker's clock costs, and bounds what a worker that
	// dies takes with it.
	reach = 250 * time.Millisecond
	// push is how far a late call may move the schedule beyond that.
	push = time.Second
)

// record is the schedule of one action and quota: what the last writer
// reserved, and what the next one must know. Together with the time at which
// the broker stored it, it says when the next slot is free.
type record struct {
	// Base is the first slot that was free when the record was written.
	Base instant `json:"base"`
	// Count slots are reserved, Interval apart, the first with this Number.
	Count    int           `json:"count"`
	Interval time.Duration `json:"interval"`
	Number   uint64        `json:"number"`
	// Pause keeps what follows free; a schedule begins with one.
	Pause time.Duration `json:"pause,omitempty"`
	// Worker has written the record, by its configured Rate.
	Worker string  `json:"worker"`
	Rate   float64 `json:"rate"`

	Brake  brake  `json:"brake"`
	Spread spread `json:"spread"`
	// Served is when normal and bulk last had a slot.
	Served served `json:"served"`
	// Turns are the workers that had a slot lately, by name.
	Turns map[string]turn `json:"turns,omitempty"`
}

// stored is a record as the broker has it. The zero value is the schedule that
// does not exist yet.
type stored struct {
	record
	revision uint64
	stamp    instant // when the broker stored it
}

// start is the first reserved slot.
func (s stored) start() instant { return max(s.Base, s.stamp) }

// granted is how many of the reserved slots count: those within reach. A
// record that was written too early, or before the broker's clock went back,
// grants nothing.
func (s stored) granted() int {
	room := s.stamp.add(reach).sub(s.start())
	if s.Count <= 0 || room < 0 {
		return 0
	}
	if s.Interval <= 0 {
		return s.Count
	}
	return min(s.Count, int(room/s.Interval)+1)
}

// slot is the time of one of the granted slots.
func (s stored) slot(i int) instant { return s.start().add(time.Duration(i) * s.Interval) }

// next is the first slot that is free. No slot that was ever granted lies
// later than reach after the stamp, so one that does is of another clock.
func (s stored) next() instant {
	next := s.slot(s.granted()).add(s.Pause)
	return min(next, s.stamp.add(reach+push+s.Interval))
}

// number is that of the first slot that is free.
func (s stored) number() uint64 { return s.Number + uint64(s.granted()) } //nolint:gosec // never negative

func (r record) encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode schedule: %w", err)
	}
	return data, nil
}

// decode reads a record. What makes no sense is an error: whoever reads it
// begins a new schedule.
func decode(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("decode schedule: %w", err)
	}
	bad := r.Count < 0 || r.Count > 1e6 || r.Interval < 0 || r.Interval > maxInterval || r.Pause < 0 || r.Pause > push ||
		!(r.Brake.Factor > 0 && r.Brake.Factor <= 1) || min(r.Spread.Fast, r.Spread.Faster, r.Spread.Slow) < 0
	if bad {
		return record{}, fmt.Errorf("decode schedule: out of range: %.200s", data)
	}
	return r, nil
}

// budget is what a rate allows: whole calls in each period.
type budget struct {
	calls  int
	period time.Duration
}

// budgetOf drops the fraction of a rate above one: no second holds part of a
// call. Below one a second it is one call in 1 s / rate.
func budgetOf(rate float64) budget {
	if rate < 1 {
		return budget{calls: 1, period: time.Duration(math.Ceil(float64(time.Second) / rate))}
	}
	return budget{calls: int(rate), period: time.Second}
}

// rate is in calls a second.
func (b budget) rate() float64 { return float64(b.calls) / b.period.Seconds() }

// drift is what the API's clock may gain on the broker's, each second.
const drift = 100e-6

// interval is the time between two slots that keeps the quota although calls
// are up to allowance late, slowed down by factor.
func (b budget) interval(allowance time.Duration, factor float64) time.Duration {
	period := float64(b.period)*(1+drift) + float64(allowance)
	return time.Duration(math.Ceil(period / float64(b.calls) / factor))
}

// maxInterval is that of the lowest rate, slowed down as far as it can be.
const maxInterval = time.Duration(2 * float64(time.Second) / minRate)
