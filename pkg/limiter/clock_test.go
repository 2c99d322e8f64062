package limiter

import (
	"testing"
	"time"
)

func TestClockNarrowsDown(t *testing.T) {
	var now tick
	c := &clock{read: func() tick { return now }}
	ahead := 5 * time.Minute
	stampAt := func(at tick) instant { return instant(at) + instant(ahead) }
	tell := func(there, back time.Duration) bool {
		sent := now
		stamp := stampAt(now.add(there))
		now = now.add(there + back)
		return c.learn(sent, now, stamp)
	}
	if tell(5*time.Millisecond, 5*time.Millisecond) {
		t.Error("the first stamp agreed with nothing")
	}
	for _, way := range []struct{ there, back time.Duration }{{time.Millisecond, 9 * time.Millisecond}, {9 * time.Millisecond, time.Millisecond}} {
		if !tell(way.there, way.back) {
			t.Error("stamps of one clock do not agree")
		}
	}
	r := c.look()
	if w := r.width(); w > 2100*time.Microsecond {
		t.Errorf("uncertain by %s, want hardly more than the two short ways", w)
	}
	if at := r.surely(stampAt(now)); at < now {
		t.Errorf("an instant was thought over %s too early", now.sub(at))
	}
	if d := r.broker().sub(stampAt(now)); d.Abs() > r.width() {
		t.Errorf("the broker's time is wrong by %s, more than the uncertainty of %s", d, r.width())
	}
	now = now.add(time.Hour)
	if w := c.look().width(); w < 3*time.Second {
		t.Errorf("after an hour it is uncertain by %s only, although clocks drift", w)
	}
}

func TestClockFindsAChange(t *testing.T) {
	for _, tc := range []struct {
		by     time.Duration
		agrees bool
	}{{0, true}, {time.Millisecond, true}, {-time.Millisecond, true}, {10 * time.Millisecond, false}, {-10 * time.Millisecond, false}, {time.Hour, false}} {
		var now tick
		c := &clock{read: func() tick { return now }}
		c.learn(now, now.add(time.Millisecond), noon)
		now = now.add(time.Second)
		agrees := c.learn(now, now.add(time.Millisecond), noon.add(time.Second+tc.by))
		if agrees != tc.agrees {
			t.Errorf("a change by %s: agrees %t", tc.by, agrees)
		}
		if r := c.look(); !agrees && (r.era != 2 || r.embargo < now.add(reach)) {
			t.Errorf("a change by %s: era %d, embargo of %s", tc.by, r.era, r.embargo.sub(now))
		}
		if r := c.look(); r.broker().sub(noon.add(time.Second+tc.by)).Abs() > 2*time.Millisecond {
			t.Errorf("a change by %s is not followed", tc.by)
		}
	}
}
