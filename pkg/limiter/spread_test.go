package limiter

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestAllowanceFollowsTheSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s spread
	if a := s.allowance(); a != firstSpread {
		t.Errorf("knowing nothing it is %s, want %s", a, firstSpread)
	}
	learn := func(calls int, least, spread time.Duration) {
		for range calls {
			s = s.learn(least + upTo(r, spread+1))
		}
	}
	for _, tc := range []struct {
		least, spread time.Duration
		from, to      time.Duration
	}{
		{time.Millisecond, 0, leastAllowance, leastAllowance},
		{time.Second, 0, leastAllowance, leastAllowance}, // slow is not uneven
		{time.Millisecond, 30 * time.Millisecond, 29 * time.Millisecond, 36 * time.Millisecond},
		{time.Millisecond, time.Second, mostAllowance, mostAllowance},
		{time.Millisecond, 0, leastAllowance, leastAllowance},
	} {
		learn(3000, tc.least, tc.spread)
		if a := s.allowance(); a < tc.from || a > tc.to {
			t.Errorf("calls that take %s and up to %s more: %s, want %s to %s", tc.least, tc.spread, a, tc.from, tc.to)
		}
	}
}

// Of a few calls nobody knows how fast one can be.
func TestFirstCallsAreNotTrusted(t *testing.T) {
	var s spread
	for range 5 {
		s = s.learn(100 * time.Millisecond)
	}
	if late := s.late(100 * time.Millisecond); late < 90*time.Millisecond {
		t.Errorf("the fifth call counts as %s late, want nearly all of its 100ms", late)
	}
	for range trust {
		s = s.learn(100 * time.Millisecond)
	}
	if late := s.late(100 * time.Millisecond); late > leastAllowance {
		t.Errorf("a call as fast as all others counts as %s late", late)
	}
}
