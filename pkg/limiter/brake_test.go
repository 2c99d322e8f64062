package limiter

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// The curve of one cut and of many, by the second.
func TestBrake(t *testing.T) {
	for name, tc := range map[string]struct {
		full      float64
		throttles []float64 // seconds
		want      map[float64]float64
	}{
		"one cut":                      {20, []float64{0}, map[float64]float64{0: 14, 0.99: 14, 1: 15, 2: 16, 5: 19, 6: 20, 60: 20}},
		"one cut a second at most":     {20, []float64{0, 0.1, 0.5, 0.9}, map[float64]float64{0.95: 14, 1.89: 14, 1.9: 15}},
		"two seconds, two cuts":        {20, []float64{0, 0.9999}, map[float64]float64{1.9: 14, 2: 15}},
		"cut on cut":                   {20, []float64{0, 1}, map[float64]float64{1: 10.5, 2: 11.5}},
		"floor of one":                 {20, []float64{0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5}, map[float64]float64{10.6: 1, 11.5: 2, 29.4: 19, 29.5: 20}},
		"slow quota keeps all it has":  {0.5, []float64{0, 1, 2}, map[float64]float64{2: 0.5}},
		"quota of one keeps it":        {1, []float64{0, 1, 2}, map[float64]float64{2: 1}},
		"a quota just above the floor": {2, []float64{0, 0.8, 1.2}, map[float64]float64{1.2: 1, 2.2: 1.1}},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(second float64) time.Time {
				return time.Unix(1000, 0).Add(time.Duration(math.Round(second * 1e9)))
			}
			for second, want := range tc.want {
				b := newBrake(tc.full)
				for _, s := range tc.throttles {
					b.ease(at(s))
					b.cut(at(s))
				}
				b.ease(at(second))
				if math.Abs(b.rate-want) > 1e-9 {
					t.Errorf("%v s after the first throttle the rate is %v, want %v", second, b.rate, want)
				}
				if b.on() != (b.rate < b.full || second < tc.throttles[len(tc.throttles)-1]+1) {
					t.Errorf("%v s after the first throttle: rate %v, slow-down %v", second, b.rate, b.on())
				}
			}
		})
	}
}

// The pace follows the brake, and the gauge does so also when nobody calls.
func TestPaceFollowsBrake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20})
		g := l.gate(stop.ActionStop, quota)
		l.Throttled(stop.ActionStop, quota)
		for second, want := range []float64{14, 15, 16, 17, 18, 19, 20, 20} {
			time.Sleep(time.Millisecond)
			if got := testutil.ToFloat64(g.shown); got != want {
				t.Errorf("%d s after the throttle the gauge shows %v, want %v", second, got, want)
			}
			time.Sleep(999 * time.Millisecond)
		}
		for range 12 {
			l.Throttled(stop.ActionStop, quota)
			time.Sleep(500 * time.Millisecond)
			l.Throttled(stop.ActionStop, quota)
			time.Sleep(500 * time.Millisecond)
		}
		get(t, l, stop.LaneNormal)()
		begun := time.Now()
		get(t, l, stop.LaneNormal)()
		if d := time.Since(begun); d < 500*time.Millisecond || d > time.Second {
			t.Errorf("at the floor the next permit came after %s, want between the interval of 2/s and of 1/s", d)
		}
	})
}
