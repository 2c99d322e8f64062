package limiter

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// seeds are fixed ones and a fresh one. All are printed.
func seeds(t *testing.T) []uint64 {
	s := []uint64{1, 2, 3, rand.Uint64()}
	if testing.Short() {
		s = s[3:]
	}
	t.Logf("seeds %d", s)
	return s
}

// ways are the networks between a worker and the API that storms blow on.
func way(r *rand.Rand) time.Duration {
	switch r.IntN(40) {
	case 0:
		return upTo(r, 700*time.Millisecond)
	case 1, 2:
		return upTo(r, 150*time.Millisecond)
	default:
		return time.Millisecond + upTo(r, 30*time.Millisecond)
	}
}

// storm is ten minutes in which workers come, die and stutter, the broker goes
// away, is replaced by one whose clock is wrong by minutes, and loses messages.
func storm(f *fleet, seed uint64) {
	f.t.Helper()
	r := rand.New(rand.NewPCG(seed, 99))
	f.toAPI, f.back = way, way
	f.hiccup = func(r *rand.Rand) time.Duration {
		if r.IntN(100) == 0 {
			return upTo(r, 2*time.Second)
		}
		return upTo(r, 5*time.Millisecond)
	}
	f.broker.loss = 0.002
	f.broker.oneWay = func() time.Duration { return 200*time.Microsecond + upTo(f.broker.random, 4*time.Millisecond) }
	var alive []*worker
	join := func() {
		w := f.join(r)
		w.work(1+r.IntN(20), r.Uint64(), func(r *rand.Rand) time.Duration {
			if r.IntN(30) == 0 {
				return upTo(r, 10*time.Second)
			}
			return 0
		})
		alive = append(alive, w)
	}
	end := time.Now().Add(10 * time.Minute)
	for time.Now().Before(end) {
		switch n := r.IntN(10); {
		case len(alive) == 0 || n < 3 && len(alive) < 12:
			join()
			f.happened("%d join", len(alive))
		case n < 5:
			i := r.IntN(len(alive))
			alive[i].kill()
			f.happened("%s dies", alive[i].name)
			alive = append(alive[:i], alive[i+1:]...)
		case n == 5:
			f.broker.change(func(b *broker) { b.down = true })
			f.happened("the broker is down")
			time.Sleep(upTo(r, 5*time.Second))
			f.broker.change(func(b *broker) {
				b.down = false
				if r.IntN(2) == 0 {
					b.ahead = time.Duration((r.Float64() - 0.5) * float64(10*time.Minute))
				}
			})
			f.happened("the broker is back, %s ahead", f.broker.ahead)
		case n == 6:
			f.broker.change(func(b *broker) { b.ahead += time.Duration((r.Float64() - 0.5) * float64(time.Second)) })
			f.happened("the broker is %s ahead", f.broker.ahead)
		case n == 7:
			if i := r.IntN(len(alive)); r.IntN(4) == 0 {
				alive[i].l.Throttled("StopInstanceRefresh", deflt)
			}
		}
		time.Sleep(upTo(r, 8*time.Second))
	}
	for _, w := range alive {
		w.kill()
	}
	f.group.Wait()
}

func TestWindow(t *testing.T) {
	simulation(t)
	for _, tc := range []struct {
		rate   float64
		most   int
		period time.Duration
	}{
		{20, 20, time.Second}, {20.9, 20, time.Second}, {7, 7, time.Second}, {2.5, 2, time.Second}, {1, 1, time.Second}, {0.5, 1, 2 * time.Second}, {100, 100, time.Second},
	} {
		for _, seed := range seeds(t) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, seed, tc.rate)
				storm(f, seed)
				most, at := f.fullest(tc.period)
				if most > tc.most {
					t.Errorf("rate %v, seed %d: %d arrivals in the %s from %s, want at most %d", tc.rate, seed, most, tc.period, at, tc.most)
					f.tell(at, tc.period)
				}
				t.Logf("rate %v, seed %d: %d arrivals (%.0f%%) of %d workers, at most %d in %s", tc.rate, seed, len(f.arrivals), float64(len(f.arrivals))/tc.rate/6, f.names, most, tc.period)
			})
		}
	}
}
