package fleet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

// How long the parts of a run take.
const (
	warmUp   = 3 * time.Second // connections are opened; counts for the most in a second
	measured = 20 * time.Second
	coolDown = 2 * time.Second // until what the load has reserved is over
	samples  = 60              // single calls
)

var networks = []network{
	{name: "none"},
	{name: "latency", latency: 30 * time.Millisecond},
	{name: "jitter", jitter: 30 * time.Millisecond},
}

// BenchmarkLimiter measures the limiter of a fleet of processes: how much of
// the quota is used under a backlog, whether any second holds more than the
// quota, how long a permit takes when there is no backlog, and what it costs.
// A run takes about 40 s; one iteration is enough. A single row is
//
//	go test -run '^$' -bench '^BenchmarkLimiter$/R1/^20$/^4$/none' -benchtime 1x ./test/fleet
func BenchmarkLimiter(b *testing.B) {
	var rows []*row
	for _, broker := range []struct {
		name  string
		nodes int
	}{{"R1", 1}, {"R3", 3}} {
		b.Run(broker.name, func(b *testing.B) {
			for _, rate := range []float64{20, 200} {
				b.Run(fmt.Sprint(rate), func(b *testing.B) {
					for _, members := range []int{1, 4, 16} {
						b.Run(fmt.Sprint(members), func(b *testing.B) {
							for _, n := range networks {
								b.Run(n.name, func(b *testing.B) {
									r := measure(b, plan{nodes: broker.nodes, rate: rate, members: members, network: n})
									r.broker = broker.name
									r.report(b)
									rows = append(rows, r)
									keep(b, tableText(rows))
								})
							}
						})
					}
				})
			}
		})
	}
	table(b, rows)
}

// measure runs a fleet under load and then with single calls.
func measure(b *testing.B, p plan) *row {
	b.Helper()
	f := newFleet(b, p)
	r := &row{rate: p.rate, members: p.members, network: p.network.name}

	f.all(orderLoad)
	harness.Pause(b, warmUp)
	f.all(orderCount)
	begun := time.Now()
	harness.Pause(b, measured)
	ended := time.Now()
	r.add(f.all(orderCount))
	f.all(orderRest)
	r.used = float64(f.api.Between(begun, ended)) / (p.rate * ended.Sub(begun).Seconds())

	harness.Pause(b, coolDown)
	f.all(orderCount)
	var single []tally
	for range samples {
		single = append(single, f.members[rand.N(len(f.members))].ask())
		harness.Pause(b, 100*time.Millisecond+rand.N(100*time.Millisecond))
	}
	r.addIdle(append(single, f.all(orderCount)...))

	r.most, r.throttled = f.api.Most(), f.api.Throttled()
	if r.failed > 0 || r.void > 0 {
		b.Logf("%d calls failed, %d permits were void", r.failed, r.void)
	}
	return r
}
