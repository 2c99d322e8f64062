package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// conf is what a world consists of.
type conf struct {
	nodes   int // of the broker, 1 if not set
	workers int
	rate    int // calls a second, 20 if not set
	// fates of the requests, mixed if not set.
	fates []fate
	// oneLane has all requests published on the same subject.
	oneLane bool
	// env and args are for workers.
	env, args []string
	// api changes the scenario.
	api func(*simulator.Scenario)
	// also says which results are true as well, because of what is injected.
	also func(r request, got stop.Result) bool
	// embedded: the worker has its broker in it, with its files in store, and
	// there is no other.
	embedded bool
	store    string
	tls      bool // of the API
	// forgets: the disk may lose what it has called stored, so that a request
	// that is asked again finds its own pause.
	forgets bool
	// always: the test is run without being asked for.
	always bool
}

// world is a fleet with all that it depends on, and what it is asked.
type world struct {
	conf

	t      testing.TB
	row    *row
	random *rand.Rand // for the test's goroutine
	api    *harness.API
	broker *harness.Broker
	direct jetstream.JetStream // to the broker that is in a worker
	crew   []*worker
	asker  *asker
	// watch sees all logs: for what must never be in them.
	watch *harness.Watch
	// injections is when faults were over, where what followed is measured.
	injections []time.Time
}

// What must stay secret. Each is planted where a worker has it.
const (
	secretID  = simulator.SampleSecretID
	secretKey = "CanaryOfTheSecretKeyThatNobodyMaySee"
	token     = "CanaryOfTheTokenThatNobodyMaySee"
	password  = "CanaryOfTheBrokersPassword"
)

// begin makes a world that works, and the row of the table that it will fill.
func begin(t testing.TB, class string, c conf) *world {
	t.Helper()
	w := prepare(t, class, c)
	w.start()
	return w
}

// prepare makes a world whose workers are not started.
func prepare(t testing.TB, class string, c conf) *world {
	t.Helper()
	if !c.always {
		suite(t)
	}
	if c.nodes == 0 {
		c.nodes = 1
	}
	if c.rate == 0 {
		c.rate = 20
	}
	if c.fates == nil {
		c.fates = mixed
	}
	w := &world{conf: c, t: t, random: chance(class), row: newRow(class)}
	w.watch = harness.NewWatch(secretKey, token, password, "DATA RACE", "a request has ended in two ways", "fatal error: ")
	t.Cleanup(func() { w.row.end(t) })
	if c.tls {
		w.api = harness.StartTLS(t, w.scenario())
	} else {
		w.api = harness.StartAPI(t, w.scenario())
	}
	if !c.embedded {
		w.broker = harness.StartBroker(t, harness.BrokerConfig{Nodes: c.nodes, Dir: harness.MemoryDir(t), User: "andon", Password: password})
		w.broker.Prepare()
	}
	for i := range c.workers {
		w.crew = append(w.crew, newWorker(w, i))
	}
	return w
}

// start starts all workers and waits until they work.
func (w *world) start() {
	w.t.Helper()
	for _, m := range w.crew {
		m.start()
	}
	for _, m := range w.crew {
		m.ready()
		m.measure()
	}
	if w.embedded {
		w.connect(w.crew[0].nats)
	}
}

// connect makes the test's connection to a broker that is going to be killed.
func (w *world) connect(addr string) {
	w.t.Helper()
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	if w.direct, err = jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second)); err != nil {
		w.t.Fatal(err)
	}
}

// js is the broker, wherever it is.
func (w *world) js() jetstream.JetStream {
	if w.direct != nil {
		return w.direct
	}
	return w.broker.JS
}

func (w *world) scenario() simulator.Scenario {
	sc := simulator.Scenario{
		Credentials: []simulator.Credential{{SecretID: secretID, SecretKey: secretKey, Token: token}},
		Quota:       simulator.Quota{Actions: map[string]int{stop.ActionStop: w.rate, stop.ActionDescribe: w.rate}},
	}
	if w.conf.api != nil {
		w.conf.api(&sc)
	}
	return sc
}

// fault puts a fault of the API in force; the function ends it.
func (w *world) fault(f simulator.Fault) (end func()) {
	w.t.Helper()
	name, err := w.api.Sim.AddFault(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return func() { w.api.Sim.RemoveFault(name) }
}

// injected counts a fault. The time until calls arrive again is measured from
// now on.
func (w *world) injected() {
	w.row.injected++
	w.injections = append(w.injections, time.Now())
}

// any is a worker by chance.
func (w *world) any() *worker { return w.crew[w.random.IntN(len(w.crew))] }

// between is a time by chance.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.random.Int64N(int64(most-least)+1))
}

// pause lets the world go on.
func (w *world) pause(least, most time.Duration) {
	w.t.Helper()
	harness.Pause(w.t, w.between(least, most))
}

// finish waits until all that was asked has ended, and judges.
func (w *world) finish(within time.Duration) {
	w.t.Helper()
	w.asker.end()
	w.settle(within)
	for _, err := range w.judge() {
		w.t.Error(err)
	}
}

// settle waits until nothing is left in the queues.
func (w *world) settle(within time.Duration) {
	w.t.Helper()
	harness.Eventually(w.t, within, func() error {
		for _, name := range []string{stop.StreamStop, stop.StreamTasks} {
			s, err := w.js().Stream(w.t.Context(), name)
			if err != nil {
				return err
			}
			if n := s.CachedInfo().State.Msgs; n > 0 {
				return fmt.Errorf("%d messages are left in %s, %d requests were confirmed: %s", n, name, len(w.asker.asked()), w.left(s))
			}
		}
		return nil
	})
}

// left describes the first message of a queue.
func (w *world) left(s jetstream.Stream) string {
	info := s.CachedInfo()
	m, err := s.GetMsg(w.t.Context(), info.State.FirstSeq)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("the first is %d on %s of %v", m.Sequence, m.Subject, m.Time)
	for name := range s.ConsumerNames(w.t.Context()).Name() {
		c, err := s.Consumer(w.t.Context(), name)
		if err != nil {
			return text + ", " + err.Error()
		}
		i := c.CachedInfo()
		text += fmt.Sprintf("; %s has acknowledged to %d and delivered to %d, %d in hand, %d to come", name, i.AckFloor.Stream, i.Delivered.Stream, i.NumAckPending, i.NumPending)
	}
	return text
}
