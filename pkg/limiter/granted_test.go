package limiter

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// granted lists what a limiter grants in an order that does not change.
func granted(l *Limiter) []stop.Granted {
	all := l.Granted()
	slices.SortFunc(all, func(a, b stop.Granted) int {
		return strings.Compare(a.Account+" "+a.Action, b.Account+" "+b.Action)
	})
	return all
}

func checkGranted(t *testing.T, when string, l *Limiter, want []stop.Granted) {
	t.Helper()
	if diff := cmp.Diff(want, granted(l)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// Every quota has its rate of Stop, whatever it is used for.
func TestGrantedIsWhatWasAnnouncedAndUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := open(Config{Worker: "w", Rate: 20.9}, newBroker(1), newClock(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		checkGranted(t, "before the first quota", l, []stop.Granted{})
		used := stop.Quota{Account: "shop", Endpoint: "https://as.ap-seoul.example"}
		l.Announce(deflt)
		announced := []stop.Granted{
			{Quota: deflt, Action: stop.ActionDescribe, Rate: 20},
			{Quota: deflt, Action: stop.ActionStop, Rate: 20},
		}
		checkGranted(t, "announced", l, announced)
		p, err := l.Acquire(t.Context(), stop.ActionResume, used, stop.LaneNormal)
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
		all := slices.Concat(announced, []stop.Granted{
			{Quota: used, Action: stop.ActionResume, Rate: 20},
			{Quota: used, Action: stop.ActionStop, Rate: 20},
		})
		checkGranted(t, "used", l, all)
		l.Close()
		checkGranted(t, "closed", l, all)
	})
}

func TestGrantedIsLowerAfterAThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(1)
		l := start(t, Config{Worker: "w", Rate: 20}, b, nil, nil)
		other := start(t, Config{Worker: "other", Rate: 20}, b, nil, nil)
		want := func(stops float64) []stop.Granted {
			return []stop.Granted{
				{Quota: deflt, Action: stop.ActionDescribe, Rate: 20},
				{Quota: deflt, Action: stop.ActionStop, Rate: stops},
			}
		}
		l.Throttled(stop.ActionStop, deflt)
		time.Sleep(100 * time.Millisecond)
		checkGranted(t, "throttled", l, want(14))
		// The rate is the fleet's: who was not throttled learns it by looking.
		time.Sleep(lookEvery)
		for _, g := range granted(other) {
			if lower := g.Action == stop.ActionStop; (g.Rate < 20) != lower {
				t.Errorf("another worker is granted %v calls a second of %s after a throttle of Stop", g.Rate, g.Action)
			}
		}
		time.Sleep(time.Minute)
		checkGranted(t, "a minute later", l, want(20))
		checkGranted(t, "a minute later, on another worker", other, want(20))
	})
}

// A rate below one a second is told as it is.
func TestGrantedOfALowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 0.5}, newBroker(1), nil, nil)
		checkGranted(t, "one call in two seconds", l, []stop.Granted{
			{Quota: deflt, Action: stop.ActionDescribe, Rate: 0.5},
			{Quota: deflt, Action: stop.ActionStop, Rate: 0.5},
		})
	})
}
