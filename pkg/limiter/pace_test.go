package limiter

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// backlog makes calls that take so long for a while, with more callers than can
// be served, and returns when each got its permit.
func backlog(t *testing.T, l *Limiter, takes, length time.Duration) (grants []time.Time) {
	t.Helper()
	begun := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				release := get(t, l, stop.LaneNormal)
				if time.Since(begun) >= length {
					release()
					return
				}
				mu.Lock()
				grants = append(grants, time.Now())
				mu.Unlock()
				time.Sleep(takes)
				release()
			}
		})
	}
	wg.Wait()
	return grants
}

func TestEvenPace(t *testing.T) {
	for _, tc := range []struct {
		rate  float64
		apart time.Duration
	}{{20, 50 * time.Millisecond}, {3, 333 * time.Millisecond}, {2.5, 500 * time.Millisecond}, {0.5, 2 * time.Second}, {500, 2 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			grants := backlog(t, newLimiter(t, Config{Rate: tc.rate}), time.Millisecond, time.Minute)
			for i, g := range grants[1:] {
				if d := g.Sub(grants[i]); d < tc.apart || d > tc.apart+10*time.Millisecond {
					t.Fatalf("rate %v: permits %d and %d are %s apart, want %s", tc.rate, i, i+1, d, tc.apart)
				}
			}
		})
	}
}

func TestUseOfQuotaUnderBacklog(t *testing.T) {
	for _, tc := range []struct {
		takes time.Duration
		least float64
	}{{0, 0.998}, {time.Millisecond, 0.997}, {20 * time.Millisecond, 0.975}, {100 * time.Millisecond, 0.90}} {
		synctest.Test(t, func(t *testing.T) {
			grants := backlog(t, newLimiter(t, Config{Rate: 20}), tc.takes, 5*time.Minute)
			use := float64(len(grants)) / (20 * 300)
			t.Logf("calls of %s: %.2f %% of the quota used", tc.takes, 100*use)
			if use < tc.least {
				t.Errorf("calls of %s: %.2f %% of the quota used, want %.2f %%", tc.takes, 100*use, 100*tc.least)
			}
		})
	}
}

func TestFirstPermitIsImmediateAndIdleTimeSavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20})
		for range 3 {
			begun := time.Now()
			get(t, l, stop.LaneNormal)()
			if d := time.Since(begun); d > 0 {
				t.Errorf("first permit after an idle time came after %s", d)
			}
			for i := range 5 {
				get(t, l, stop.LaneNormal)()
				if d, want := time.Since(begun), time.Duration(i+1)*50*time.Millisecond; d != want {
					t.Errorf("permit %d after an idle time came after %s, want %s", i+2, d, want)
				}
			}
			time.Sleep(time.Hour)
		}
	})
}

// How long a permit counts, to the instant.
func TestPermitCounts(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }
	for name, tc := range map[string]struct {
		released []time.Duration // of the permits at 0 s and 0.5 s; negative: not at all
		now      time.Duration
		want     time.Duration // next permit, at a rate of 2
	}{
		"a second after the release":                  {[]time.Duration{100 * time.Millisecond, 600 * time.Millisecond}, 600 * time.Millisecond, 1101 * time.Millisecond},
		"the spacing, if the calls took no time":      {[]time.Duration{0, 500 * time.Millisecond}, 1200 * time.Millisecond, time.Second},
		"a slow call holds up no other":               {[]time.Duration{-1, 600 * time.Millisecond}, 600 * time.Millisecond, 1601 * time.Millisecond},
		"not released: a second after it is a second": {[]time.Duration{-1, -1}, 600 * time.Millisecond, 2001 * time.Millisecond},
		"released late: as if not":                    {[]time.Duration{1500 * time.Millisecond, -1}, 1500 * time.Millisecond, 2001 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace(2)
			permits := []*permit{p.grant(at(0)), p.grant(at(500 * time.Millisecond))}
			for i, d := range tc.released {
				if d >= 0 {
					p.release(permits[i], at(d))
				}
			}
			if got := p.next(at(tc.now), 2); !got.Equal(at(tc.want)) {
				t.Errorf("next permit %s after the first, want %s", got.Sub(at(0)), tc.want)
			}
		})
	}
}

// An unused permit that is taken back leaves the pace as it was before it.
func TestUndo(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(2)
	p.grant(now)
	before := p.next(now, 2)
	m := p.grant(before)
	p.undo(m)
	if got := p.next(before, 2); !got.Equal(before) || len(p.window) != 1 {
		t.Errorf("next permit %s later than without it, %d count, want 0s and 1", got.Sub(before), len(p.window))
	}
	p.undo(p.grant(before))
	late := p.grant(before)
	if p.next(before.Add(time.Hour), 2); len(p.window) != 0 {
		t.Errorf("%d permits count after an hour, want none", len(p.window))
	}
	p.undo(late) // has left the window long ago
	p.release(late, before.Add(time.Hour))
}
