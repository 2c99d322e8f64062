package limiter

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// storm is what a run of random calls did, seen from the API's side.
type storm struct {
	arrivals []time.Time
	canceled int
}

// fullest is the most arrivals in any second of the run, and where it begins.
func (s storm) fullest() (most int, at time.Time) {
	slices.SortFunc(s.arrivals, time.Time.Compare)
	first := 0
	for i, a := range s.arrivals {
		for !s.arrivals[first].After(a.Add(-time.Second)) {
			first++
		}
		if i-first+1 > most {
			most, at = i-first+1, s.arrivals[first]
		}
	}
	return most, at
}

// latency of a call: mostly short, at times longer than the window.
func latency(r *rand.Rand) time.Duration {
	switch r.IntN(20) {
	case 0:
		return time.Duration(r.Int64N(int64(12 * time.Second)))
	case 1, 2, 3:
		return time.Duration(r.Int64N(int64(900 * time.Millisecond)))
	default:
		return time.Duration(r.Int64N(int64(60 * time.Millisecond)))
	}
}

// run lets callers loose on l for ten minutes: latencies, points of arrival, lanes,
// cancellations, pauses and throttles are random.
func run(t *testing.T, l *Limiter, seed uint64, throttles bool) storm {
	t.Helper()
	var (
		s     storm
		mu    sync.Mutex // guards s
		wg    sync.WaitGroup
		q     = stop.Quota{Account: "default", Endpoint: "https://as.example"}
		begun = time.Now()
	)
	for worker := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, worker))
		wg.Go(func() {
			for time.Since(begun) < 10*time.Minute {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if r.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(3*time.Second))))
				}
				release, err := l.Acquire(ctx, stop.ActionStop, q, stop.Lanes()[r.IntN(3)])
				cancel()
				if err != nil {
					mu.Lock()
					s.canceled++
					mu.Unlock()
					continue
				}
				takes := latency(r)
				way := time.Duration(r.Float64() * float64(min(takes, time.Second)))
				time.Sleep(way)
				mu.Lock()
				s.arrivals = append(s.arrivals, time.Now())
				mu.Unlock()
				time.Sleep(takes - way)
				if throttles && r.IntN(200) == 0 {
					l.Throttled(stop.ActionStop, q)
				}
				release()
				if r.IntN(30) == 0 {
					time.Sleep(time.Duration(r.Int64N(int64(20 * time.Second))))
				}
			}
		})
	}
	wg.Wait()
	return s
}

// seeds are fixed ones and a fresh one. All are printed.
func seeds(t *testing.T) []uint64 {
	s := []uint64{1, 2, 3, rand.Uint64()}
	if testing.Short() {
		s = s[3:]
	}
	t.Logf("seeds %d", s)
	return s
}

// No second holds more arrivals than the rate, whatever happens to the calls.
func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		rate float64
		most int
	}{{20, 20}, {20.9, 20}, {7, 7}, {2.5, 2}, {1, 1}, {0.5, 1}, {100, 100}} {
		for _, seed := range seeds(t) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(t, Config{Rate: tc.rate})
				s := run(t, l, seed, seed%2 == 0)
				most, at := s.fullest()
				if most > tc.most {
					t.Errorf("rate %v, seed %d: %d arrivals in the second from %s, want at most %d", tc.rate, seed, most, at, tc.most)
				}
				t.Logf("rate %v, seed %d: %d arrivals, at most %d a second, %d canceled", tc.rate, seed, len(s.arrivals), most, s.canceled)
				if s.canceled == 0 || len(s.arrivals) < int(200*min(tc.rate, 10)) {
					t.Errorf("rate %v, seed %d: %d arrivals and %d canceled: the storm was too weak to prove anything", tc.rate, seed, len(s.arrivals), s.canceled)
				}
			})
		}
	}
}

// Negative control: even spacing alone does not keep the window.
func TestWindowNeedsItsGuard(t *testing.T) {
	for _, seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(t, Config{Rate: 20})
			l.gate(stop.ActionStop, stop.Quota{Account: "default", Endpoint: "https://as.example"}).pace.most = math.MaxInt
			most, _ := run(t, l, seed, false).fullest()
			if most <= 20 {
				t.Errorf("seed %d: at most %d arrivals in a second without the guard: the property cannot fail", seed, most)
			}
			t.Logf("seed %d: %d arrivals in a second without the guard", seed, most)
		})
	}
}

// Negative control: a guard that counts from the grant does not keep it either.
func TestWindowMustCountFromRelease(t *testing.T) {
	for _, seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(t, Config{Rate: 20})
			l.gate(stop.ActionStop, stop.Quota{Account: "default", Endpoint: "https://as.example"}).pace.span = 0
			most, _ := run(t, l, seed, false).fullest()
			if most <= 20 {
				t.Errorf("seed %d: at most %d arrivals in a second with a guard of no span: the property cannot fail", seed, most)
			}
		})
	}
}

// Below one a second the window is as long as the interval.
func TestWindowOfSlowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 0.25})
		s := run(t, l, 5, false)
		slices.SortFunc(s.arrivals, time.Time.Compare)
		for i, a := range s.arrivals[1:] {
			if d := a.Sub(s.arrivals[i]); d < 4*time.Second {
				t.Fatalf("two arrivals %s apart at a rate of 0.25, want at least 4s", d)
			}
		}
	})
}
