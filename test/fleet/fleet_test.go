package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// network is what lies between the members and the API.
type network struct {
	name    string
	latency time.Duration // between arrival and answer
	jitter  time.Duration // at most, between sending and arrival
}

// plan is what a fleet consists of.
type plan struct {
	nodes   int // of the broker
	rate    float64
	members int
	network network
	// apart gives each member a bucket of its own.
	apart bool
}

// fleet is members that share a quota, and what they depend on.
type fleet struct {
	t       testing.TB
	api     *harness.API
	broker  *broker
	members []*crew
}

// crew is a member as the test sees it.
type crew struct {
	*harness.Process

	t    testing.TB
	name string
}

// newFleet starts everything and waits until all members are ready.
func newFleet(t testing.TB, p plan) *fleet {
	t.Helper()
	f := &fleet{t: t, api: newAPI(t, p.rate, 1, p.network.latency), broker: newBroker(t, p.nodes)}
	endpoint := f.api.URL
	if p.network.jitter > 0 {
		link := harness.NewLink(t, f.api.Listener.Addr().String())
		link.Set(harness.Condition{Jitter: p.network.jitter})
		endpoint = "http://" + link.Addr()
	}
	for i := range p.members {
		j := job{Name: fmt.Sprintf("member-%02d", i), Broker: f.broker.URL(), Bucket: stop.BucketLimiter, Endpoint: endpoint, Rate: p.rate}
		if p.apart {
			j.Bucket = fmt.Sprintf("limiter_%02d", i)
			f.broker.bucket(j.Bucket)
		}
		f.members = append(f.members, begin(t, j))
	}
	for _, m := range f.members {
		m.answer(30 * time.Second)
	}
	return f
}

// begin starts a member; its first answer says that it is ready.
func begin(t testing.TB, j job) *crew {
	t.Helper()
	given, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &crew{t: t, name: j.Name, Process: harness.Start(t, harness.Command{
		Name: j.Name, Path: self, Env: []string{memberVariable + "=" + string(given)},
	})}
}

// answer waits for the answer to an order.
func (c *crew) answer(within time.Duration) (got tally) {
	c.t.Helper()
	select {
	case line, ok := <-c.Lines:
		if !ok {
			<-c.Done
			c.t.Fatalf("%s is gone: %v", c.name, c.Ended())
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			c.t.Fatalf("%s: %v: %.200s", c.name, err, line)
		}
	case <-time.After(within):
		c.t.Fatalf("%s does not answer within %v", c.name, within)
	}
	return got
}

// order gives an order; its answer must be taken.
func (c *crew) order(what string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.In, what); err != nil {
		c.t.Fatalf("%s takes no orders: %v", c.name, err)
	}
}

// orderTimeout is long enough for the last call of a load to end.
const orderTimeout = 15 * time.Second

// ask has a single call made.
func (c *crew) ask() tally {
	c.t.Helper()
	c.order(orderAsk)
	return c.answer(time.Minute)
}

// all gives an order to every member at the same time.
func (f *fleet) all(what string) []tally {
	f.t.Helper()
	var group sync.WaitGroup
	for _, m := range f.members {
		group.Go(func() { fmt.Fprintln(m.In, what) })
	}
	group.Wait()
	var tallies []tally
	for _, m := range f.members {
		tallies = append(tallies, m.answer(orderTimeout))
	}
	return tallies
}

// within fails the test if any second held more Stops than the quota.
func (f *fleet) within(rate int) {
	f.t.Helper()
	most := f.api.Most()
	f.t.Logf("%d Stops in a sliding second at most, %d throttled", most, f.api.Throttled())
	if most > rate {
		f.t.Errorf("%d Stops arrived within a second, the quota is %d", most, rate)
	}
}
