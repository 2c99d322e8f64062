package limiter

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestLaneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20})
		get(t, l, stop.LaneNormal)()
		type turn struct {
			Lane stop.Lane
			Nth  int
		}
		var got, want []turn
		var mu sync.Mutex
		var wg sync.WaitGroup
		for nth := range 3 {
			for _, lane := range []stop.Lane{stop.LaneBulk, stop.LaneNormal, stop.LaneUrgent} {
				wg.Go(func() {
					defer get(t, l, lane)()
					mu.Lock()
					defer mu.Unlock()
					got = append(got, turn{lane, nth})
				})
				synctest.Wait() // one after the other
			}
		}
		wg.Wait()
		for _, lane := range stop.Lanes() {
			for nth := range 3 {
				want = append(want, turn{lane, nth})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("permits went out (-want +got):\n%s", diff)
		}
	})
}

// Each lower lane gets its share of the permits while it waits, no more.
func TestShares(t *testing.T) {
	for name, tc := range map[string]struct {
		bulk    float64
		waiting []rank
		want    [ranks]float64
	}{
		"all wait":               {0.05, []rank{rankUrgent, rankNormal, rankBulk}, [ranks]float64{0.85, 0.10, 0.05}},
		"urgent and bulk":        {0.05, []rank{rankUrgent, rankBulk}, [ranks]float64{0.95, 0, 0.05}},
		"normal and bulk":        {0.05, []rank{rankNormal, rankBulk}, [ranks]float64{0, 0.95, 0.05}},
		"urgent and normal":      {0.05, []rank{rankUrgent, rankNormal}, [ranks]float64{0.90, 0.10, 0}},
		"bulk alone":             {0.05, []rank{rankBulk}, [ranks]float64{0, 0, 1}},
		"a share of no round n":  {0.03, []rank{rankUrgent, rankNormal, rankBulk}, [ranks]float64{0.87, 0.10, 0.03}},
		"the largest bulk share": {0.5, []rank{rankUrgent, rankNormal, rankBulk}, [ranks]float64{0.40, 0.10, 0.50}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newLanes(tc.bulk)
			for _, r := range tc.waiting {
				q.push(&waiter{rank: r})
			}
			const permits = 10000
			var got [ranks]int
			for range permits {
				w := q.pop()
				got[w.rank]++
				q.push(w)
			}
			for r, want := range tc.want {
				if share := float64(got[r]) / permits; math.Abs(share-want) > 0.001 {
					t.Errorf("lane %s got %.2f %% of the permits, want %.2f %%", stop.Lanes()[r], 100*share, 100*want)
				}
			}
		})
	}
}

// Every twentieth permit is bulk's and every tenth is normal's, neither earlier
// nor later.
func TestSharesComeEvenly(t *testing.T) {
	for r, every := range map[rank]int{rankNormal: 10, rankBulk: 20} {
		q := newLanes(defaultBulkShare)
		q.push(&waiter{rank: rankUrgent})
		q.push(&waiter{rank: r})
		for i := 1; i <= 2000; i++ {
			w := q.pop()
			if want := i%every == 0; (w.rank == r) != want {
				t.Fatalf("permit %d went to %s, every %dth is %s's", i, stop.Lanes()[w.rank], every, stop.Lanes()[r])
			}
			q.push(w)
		}
	}
}

// While a lane is served by its place it neither saves up nor owes anything.
func TestShareIsNotSavedUp(t *testing.T) {
	q := newLanes(defaultBulkShare)
	for range 1000 {
		q.push(&waiter{rank: rankBulk})
		q.pop()
	}
	q.push(&waiter{rank: rankBulk})
	for i := range 19 {
		q.push(&waiter{rank: rankUrgent})
		if w := q.pop(); w.rank != rankUrgent {
			t.Fatalf("bulk passed urgent at permit %d", i)
		}
	}
	q.push(&waiter{rank: rankUrgent})
	if w := q.pop(); w.rank != rankBulk {
		t.Error("bulk did not get the twentieth permit")
	}
}

// At most one permit of each lower lane passes an urgent waiter, however many
// wait and whatever they have saved up.
func TestUrgentBehindBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20})
		var wg sync.WaitGroup
		for range 10000 {
			wg.Go(func() {
				if release, err := l.Acquire(t.Context(), stop.ActionStop, quota, stop.LaneBulk); err == nil {
					time.Sleep(time.Millisecond)
					release()
				}
			})
		}
		for range 100 {
			wg.Go(func() {
				if release, err := l.Acquire(t.Context(), stop.ActionStop, quota, stop.LaneNormal); err == nil {
					release()
				}
			})
		}
		var worst time.Duration
		for i := range 200 {
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
			begun := time.Now()
			get(t, l, stop.LaneUrgent)()
			worst = max(worst, time.Since(begun))
		}
		t.Logf("longest wait of an urgent call: %s", worst)
		if worst > 160*time.Millisecond {
			t.Errorf("an urgent call waited %s behind bulk, want at most three permits", worst)
		}
		l.Close()
		wg.Wait()
	})
}

func TestUnknownLaneIsNormal(t *testing.T) {
	for i, lane := range stop.Lanes() {
		if got := rankOf(lane); got != rank(i) {
			t.Errorf("lane %s has place %d, want %d", lane, got, i)
		}
	}
	if got := rankOf("speedy"); got != rankNormal {
		t.Errorf("an unknown lane has place %d, want normal", got)
	}
}
