package fleet

import (
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

// The measuring would show it if members did not share the quota: four that
// each keep it for themselves break it.
func TestLimitersThatShareNothingAreCaught(t *testing.T) {
	t.Parallel()
	f := newFleet(t, plan{nodes: 1, rate: 20, members: 4, apart: true})
	f.all(orderLoad)
	harness.Pause(t, 3*time.Second)
	f.all(orderRest)
	if most := f.api.Most(); most <= 40 {
		t.Errorf("%d Stops in a second at most: four limiters of 20/s each should give about 80", most)
	}
	if f.api.Throttled() == 0 {
		t.Error("the API has throttled nothing")
	}
}
