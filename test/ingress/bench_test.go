package ingress

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// BenchmarkWebhookToStop is the time from the post of a webhook, as Alertmanager sends
// it, to the Stop's arrival at the API: for one group after the other, each when the
// one before has its result, without a limit on the rate, with every write synced.
func BenchmarkWebhookToStop(b *testing.B) {
	r := newRig(b, b.N)
	r.work()
	r.listen()
	c := r.connect()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		number := fmt.Sprintf("more%05d", i+1)
		body := notification(fmt.Sprintf("%016x", i), "asg-"+number)
		arrives, posted := r.api.Await("asr-"+number), time.Now()
		id := r.post(body, "")
		select {
		case at := <-arrives:
			took = append(took, at.Sub(posted))
		case <-time.After(30 * time.Second):
			b.Fatalf("no Stop for asg-%s", number)
		}
		if got := r.await(c, id); got.Outcome != stop.OutcomePaused {
			b.Fatalf("asg-%s: %q %s", number, got.Outcome, got.Message)
		}
	}
	b.StopTimer()
	slices.Sort(took)
	for _, percent := range []int{50, 99} {
		at := took[(len(took)*percent+99)/100-1] // the nearest rank
		b.ReportMetric(float64(at)/float64(time.Millisecond), fmt.Sprintf("ms-p%d", percent))
	}
}
