package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/asapi"
	"github.com/seed-a7c21902/andon/pkg/limiter"
	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// job is what a member has to know.
type job struct {
	Name     string
	Broker   string
	Bucket   string
	Endpoint string
	Rate     float64
}

// The orders that a member takes, one a line. Each is answered with a tally.
const (
	orderLoad  = "load"  // call without a pause from now on
	orderRest  = "rest"  // no more
	orderAsk   = "ask"   // make a single call
	orderCount = "count" // tell what has happened since the last tally
)

// callers is how many goroutines of a member want a permit at the same time, as
// many as a worker of the usual settings has.
const callers = 32

// tally is what has happened since the last one.
type tally struct {
	Permits int
	// Void permits were too old to be used, Throttled calls were refused for
	// their rate, Failed ones by anything else.
	Void, Throttled, Failed int
	Waits                   []time.Duration
	Messages                uint64 // of NATS, in and out
	CPU                     time.Duration
}

// member is a worker without queues: the limiter and the API client, under
// orders.
type member struct {
	permits *limiter.Limiter
	api     *asapi.Client
	nc      *nats.Conn
	quota   stop.Quota
	target  stop.Target

	mu       sync.Mutex // guards what follows
	tally    tally
	messages uint64
	cpu      time.Duration
}

// serve is the member's main function. It ends with its input.
func serve(given string, in io.Reader, out, errs io.Writer) error {
	var j job
	if err := json.Unmarshal([]byte(given), &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	m, err := newMember(j, slog.New(slog.NewTextHandler(errs, nil)))
	if err != nil {
		return fmt.Errorf("member %s: %w", j.Name, err)
	}
	defer m.nc.Close()
	defer m.permits.Close()
	answer := json.NewEncoder(out)
	if err := answer.Encode(tally{}); err != nil { // ready
		return err
	}
	rest := func() {}
	defer func() { rest() }()
	for orders := bufio.NewScanner(in); orders.Scan(); {
		switch order := orders.Text(); order {
		case orderLoad:
			rest = m.load()
		case orderRest:
			rest()
		case orderAsk:
			m.once(context.Background())
		case orderCount:
		default:
			return fmt.Errorf("no such order: %q", order)
		}
		if err := answer.Encode(m.count()); err != nil {
			return err
		}
	}
	return nil
}

func newMember(j job, log *slog.Logger) (*member, error) {
	// As pkg/queue connects, but with a connection whose messages are all the
	// limiter's and can be counted.
	nc, err := nats.Connect(j.Broker,
		nats.Name(j.Name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	bucket, err := js.KeyValue(ctx, j.Bucket)
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	m := &member{nc: nc}
	m.api, err = asapi.New(asapi.Config{
		Endpoint: j.Endpoint, Concurrency: callers,
		Accounts: map[string]asapi.Account{stop.DefaultAccount: asapi.Static("simulator", simulator.SampleSecretID, simulator.SampleSecretKey, "")},
	}, reg, log)
	if err != nil {
		return nil, err
	}
	group, activity := names(0)
	m.target = stop.Target{Account: stop.DefaultAccount, Region: region, AutoScalingGroupID: group, RefreshActivityID: activity}
	if m.quota, err = m.api.Quota(m.target.Account, m.target.Region); err != nil {
		return nil, err
	}
	if m.permits, err = limiter.New(limiter.Config{Worker: j.Name, Rate: j.Rate, InFlight: callers}, bucket, reg, log); err != nil {
		return nil, err
	}
	m.permits.Announce(m.quota)
	return m, nil
}

// load calls as often as there are permits until rest is called, which returns
// when the last call has ended.
func (m *member) load() (rest func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for m.once(ctx) {
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

// once makes one call. It reports false when no permit comes any more.
func (m *member) once(ctx context.Context) bool {
	begun := time.Now()
	p, err := m.permits.Acquire(ctx, stop.ActionStop, m.quota, stop.LaneNormal)
	if err != nil {
		return false
	}
	defer p.Release()
	waited := time.Since(begun)
	if time.Now().After(p.Until) {
		m.note(func(t *tally) { t.Void++ })
		return true
	}
	answer := m.api.Stop(context.Background(), m.target)
	if answer.Class == stop.ClassThrottled {
		m.permits.Throttled(stop.ActionStop, m.quota)
	}
	m.note(func(t *tally) {
		t.Permits++
		t.Waits = append(t.Waits, waited)
		switch answer.Class {
		case stop.ClassOK:
		case stop.ClassThrottled:
			t.Throttled++
		default:
			t.Failed++
		}
	})
	return true
}

func (m *member) note(change func(*tally)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.tally)
}

// count returns the tally and begins a new one.
func (m *member) count() tally {
	s, cpu := m.nc.Stats(), harness.CPUTime()
	messages := s.InMsgs + s.OutMsgs
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tally
	t.Messages, t.CPU = messages-m.messages, cpu-m.cpu
	m.tally, m.messages, m.cpu = tally{}, messages, cpu
	return t
}
