package fleet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	bulk   = 10_000 // requests that are in the way
	urgent = 50     // requests that must not wait for them
)

// BenchmarkUrgentBehindBulk is how long an urgent request takes from its
// publishing to its Stop at the API, while four workers have work for more than
// eight minutes: planned, so that only permits are wanted, or just published.
func BenchmarkUrgentBehindBulk(b *testing.B) {
	for _, planned := range []bool{true, false} {
		name := "planned"
		if !planned {
			name = "unplanned"
		}
		b.Run(name, func(b *testing.B) {
			api, broker := newAPI(b, 20, bulk+urgent, 0), newBroker(b, 1)
			for i := range 4 {
				work(b, fmt.Sprintf("worker %d", i), broker, api)
			}
			flood(b, broker.JS)
			if planned {
				harness.Eventually(b, 5*time.Minute, func() error { return empty(b, broker.JS, stop.StreamStop) })
			}
			var took []time.Duration
			for i := range urgent {
				took = append(took, press(b, broker.JS, api, bulk+i))
				harness.Pause(b, rand.N(200*time.Millisecond))
			}
			if empty(b, broker.JS, stop.StreamTasks) == nil {
				b.Error("there was no bulk any more")
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(percentile(took, 0.5), "ms-median")
			b.ReportMetric(percentile(took, 1), "ms-max")
			b.ReportMetric(float64(api.Most()), "most/s")
			b.ReportMetric(float64(api.Throttled()), "throttled")
		})
	}
}

// work runs a worker with the usual settings and waits until it works.
func work(t testing.TB, name string, b *broker, a *harness.API) {
	t.Helper()
	p := harness.Start(t, harness.Command{Name: name, Path: harness.Program(t, harness.Module+"/cmd/worker"), Env: []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
		"NATS_URL=" + b.URL(), "ANDON_ENDPOINT=" + a.URL, "ANDON_HTTP_LISTEN=127.0.0.1:0", "ANDON_LOG_FORMAT=json",
		"TENCENTCLOUD_REGION=" + region, "TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
	}})
	if _, err := p.Says(`"msg":"working"`, 20*time.Second); err != nil {
		t.Fatal(err)
	}
}

// flood publishes the bulk as fast as the broker takes it.
func flood(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	var sent []jetstream.PubAckFuture
	for i := range bulk {
		f, err := js.PublishAsync(stop.RequestSubject(stop.ActionStop, stop.LaneBulk), request("bulk", i), jetstream.WithStallWait(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, f)
	}
	<-js.PublishAsyncComplete()
	for _, f := range sent {
		select {
		case err := <-f.Err():
			t.Fatal(err)
		default:
		}
	}
}

// press publishes an urgent request and waits for its Stop.
func press(t testing.TB, js jetstream.JetStream, a *harness.API, i int) time.Duration {
	t.Helper()
	_, activity := names(i)
	arrived := a.Await(activity)
	begun := time.Now()
	if _, err := js.Publish(t.Context(), stop.RequestSubject(stop.ActionStop, stop.LaneUrgent), request("urgent", i)); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-arrived:
		return at.Sub(begun)
	case <-time.After(5 * time.Minute):
		t.Fatalf("no Stop of %s arrives", activity)
		return 0
	}
}

func request(name string, i int) []byte {
	group, activity := names(i)
	return fmt.Appendf(nil, `{"Id":"%s-%d","AutoScalingGroupId":%q,"RefreshActivityId":%q}`, name, i, group, activity)
}

// empty is an error while the stream holds messages.
func empty(t testing.TB, js jetstream.JetStream, stream string) error {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		return err
	}
	if n := s.CachedInfo().State.Msgs; n > 0 {
		return fmt.Errorf("%d messages are left in %s", n, stream)
	}
	return nil
}
