package limiter

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// backlog has so many workers call in one lane without end, and reports what
// they made of 20 s after a few to get into step.
type backlog struct {
	use      float64        // of the quota
	fair     float64        // the smallest share divided by the largest
	most     int            // arrivals in any second
	writes   float64        // of the schedule, for each call
	byWorker map[string]int // calls
}

func (f *fleet) backlog(workers int, lane func(worker int) stop.Lane) (b backlog) {
	var alive []*worker
	for i := range workers {
		w := f.join(rand.New(rand.NewPCG(7, uint64(i))))
		w.lane = func(*rand.Rand) stop.Lane { return lane(i) }
		w.work(32, uint64(i), none)
		alive = append(alive, w)
	}
	time.Sleep(5 * time.Second)
	from, before, writes := time.Now(), f.counts(), f.broker.written()
	time.Sleep(20 * time.Second)
	n := f.between(from, time.Now())
	b.byWorker, b.writes = f.counts(), float64(f.broker.written()-writes)/float64(n)
	for _, w := range alive {
		w.kill()
		b.byWorker[w.name] -= before[w.name]
	}
	f.group.Wait()
	counts := slices.Collect(maps.Values(b.byWorker))
	b.use, b.fair = float64(n)/20/f.rate, float64(slices.Min(counts))/float64(slices.Max(counts))
	b.most, _ = f.fullest(time.Second)
	return b
}

func TestUseAndFairness(t *testing.T) {
	simulation(t)
	for _, workers := range []int{1, 4, 16} {
		for _, rate := range []float64{20, 200} {
			for jitter, use := range map[time.Duration]float64{1: 0.985, 30 * time.Millisecond: 0.95} {
				t.Run(fmt.Sprintf("%d workers at %v/s, %s", workers, rate, jitter), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := newFleet(t, 1, rate)
						f.toAPI = func(r *rand.Rand) time.Duration { return time.Millisecond + upTo(r, jitter) }
						b := f.backlog(workers, func(int) stop.Lane { return stop.LaneNormal })
						t.Logf("%.1f %% used, at most %d in a second, fair to %.2f, %.2f writes a call", 100*b.use, b.most, b.fair, b.writes)
						if b.use < use || b.fair < 0.8 || float64(b.most) > rate || b.writes > 1.3 {
							t.Errorf("want %.1f %% used, at most %v in a second, fair to 0.8, at most 1.3 writes a call", 100*use, rate)
						}
					})
				})
			}
		}
	}
}

// Without the fleet's schedule each worker has the quota to itself: the
// property can fail.
func TestWorkersApartBreakTheQuota(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		f.apart = true
		if b := f.backlog(4, func(int) stop.Lane { return stop.LaneNormal }); b.most < 70 {
			t.Errorf("at most %d arrivals in a second of four workers that share nothing", b.most)
		}
	})
}

// Lanes hold over the fleet: who asks matters, not where.
func TestSharesOfLanes(t *testing.T) {
	simulation(t)
	for name, tc := range map[string]struct {
		lanes []stop.Lane // of one worker each
		want  []float64
	}{
		"urgent and bulk":        {[]stop.Lane{stop.LaneUrgent, stop.LaneBulk}, []float64{0.95, 0.05}},
		"normal and bulk":        {[]stop.Lane{stop.LaneNormal, stop.LaneBulk}, []float64{0.95, 0.05}},
		"urgent and normal":      {[]stop.Lane{stop.LaneUrgent, stop.LaneNormal}, []float64{0.90, 0.10}},
		"all wait":               {[]stop.Lane{stop.LaneUrgent, stop.LaneNormal, stop.LaneBulk}, []float64{0.85, 0.10, 0.05}},
		"two of them are bulk":   {[]stop.Lane{stop.LaneUrgent, stop.LaneBulk, stop.LaneBulk}, []float64{0.95, 0.025, 0.025}},
		"everybody is in a rush": {[]stop.Lane{stop.LaneUrgent, stop.LaneUrgent}, []float64{0.5, 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, 20)
				b := f.backlog(len(tc.lanes), func(i int) stop.Lane { return tc.lanes[i] })
				names := slices.Sorted(maps.Keys(b.byWorker))
				got, want := map[stop.Lane]float64{}, map[stop.Lane]float64{}
				for i, share := range tc.want {
					mine := float64(b.byWorker[names[i]]) / 400
					got[tc.lanes[i]] += mine
					want[tc.lanes[i]] += share
					// Within a lane chance has a say: bulk takes two of its few slots at a time.
					if mine < 0.3*share {
						t.Errorf("worker %d, %s, got %.3f of the quota, want about %.3f", i, tc.lanes[i], mine, share)
					}
				}
				for lane, share := range want {
					if got[lane] < 0.7*share || got[lane] > 1.1*share+0.01 {
						t.Errorf("%s got %.3f of the quota, want about %.3f", lane, got[lane], share)
					}
				}
				if b.use < 0.98 {
					t.Errorf("%.1f %% of the quota used", 100*b.use)
				}
			})
		})
	}
}

// The same within one worker, where the lanes share what is reserved.
func TestSharesOfLanesOfOneWorker(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		w := f.join(rand.New(rand.NewPCG(1, 1)))
		var got [ranks]int
		for i := range 30 {
			lane := stop.Lanes()[i%3]
			f.group.Go(func() {
				for w.dead.Err() == nil {
					if w.call(w.dead, rand.New(rand.NewPCG(1, 1)), lane) {
						f.mu.Lock()
						got[i%3]++
						f.mu.Unlock()
					}
				}
			})
		}
		time.Sleep(100 * time.Second)
		w.kill()
		w.l.Close()
		f.group.Wait()
		for r, want := range [ranks]float64{0.85, 0.10, 0.05} {
			if share := float64(got[r]) / 2000; share < 0.8*want || share > 1.1*want+0.01 {
				t.Errorf("lane %s got %.3f of the quota, want about %.3f", stop.Lanes()[r], share, want)
			}
		}
	})
}

// An urgent call passes by all that is bulk, on whichever worker.
func TestUrgentBehindBulk(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		var alive []*worker
		for i := range 4 {
			w := f.join(rand.New(rand.NewPCG(1, uint64(i))))
			w.lane = func(*rand.Rand) stop.Lane { return stop.LaneBulk }
			w.work(1000, uint64(i), none)
			alive = append(alive, w)
		}
		fifth := f.join(rand.New(rand.NewPCG(1, 9)))
		alive = append(alive, fifth)
		fifth.work(0, 0, none)
		fifth.l.Announce(deflt) // as a worker does at its start
		time.Sleep(5 * time.Second)
		var worst, sum time.Duration
		const tries = 200
		for i := range tries {
			time.Sleep(500*time.Millisecond + time.Duration(i)*7*time.Millisecond)
			w := alive[i%len(alive)]
			begun := time.Now()
			p, err := w.l.Acquire(t.Context(), stop.ActionStop, deflt, stop.LaneUrgent)
			if err != nil {
				t.Fatal(err)
			}
			p.Release()
			worst, sum = max(worst, time.Since(begun)), sum+time.Since(begun)
		}
		t.Logf("an urgent call waited %s at most, %s in the mean", worst, sum/tries)
		if worst > 250*time.Millisecond {
			t.Errorf("an urgent call waited %s behind bulk, want at most 250ms", worst)
		}
		for _, w := range alive {
			w.kill()
		}
		f.group.Wait()
	})
}
