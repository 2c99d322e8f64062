package limiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// ErrClosed is what Acquire returns once the limiter is closed.
var ErrClosed = errors.New("limiter is closed")

// Rates outside of these are refused: below, the time between two permits
// cannot be told as a duration with any use; above, no timer is fine enough.
const (
	minRate = 1e-6
	maxRate = 1e6
)

// Defaults of Config.
const (
	defaultInFlight  = 32
	defaultBulkShare = 0.05
)

// Config is what a Limiter needs to know.
type Config struct {
	// Worker names this process among those that share the quotas: two that run
	// at the same time must not have the same. Required.
	Worker string
	// Rate is how many calls a second may arrive for one (action, account,
	// endpoint). Required. Above one a second its fraction is dropped.
	Rate float64
	// InFlight is how many calls may be in flight at most for one (action,
	// quota). Zero: 32.
	InFlight int
	// BulkShare is the share of the permits that the bulk lane gets while it
	// waits, at most one half. Zero: 0.05.
	BulkShare float64
}

// validate reports everything that is wrong, and fills in the defaults.
func (c *Config) validate() error {
	var faults []error
	if c.Worker == "" {
		faults = append(faults, errors.New("the name of the worker is empty"))
	}
	if !(c.Rate >= minRate && c.Rate <= maxRate) { // also refuses NaN
		faults = append(faults, fmt.Errorf("rate is %v calls a second: it must be from %v to %v", c.Rate, minRate, maxRate))
	}
	if c.InFlight < 0 {
		faults = append(faults, fmt.Errorf("calls in flight are %d: they must be at least 1, or 0 for %d", c.InFlight, defaultInFlight))
	}
	if !(c.BulkShare >= 0 && c.BulkShare <= 0.5) {
		faults = append(faults, fmt.Errorf("share of the bulk lane is %v: it must be from 0 to 0.5, 0 meaning %v", c.BulkShare, defaultBulkShare))
	}
	if c.InFlight == 0 {
		c.InFlight = defaultInFlight
	}
	if c.BulkShare == 0 {
		c.BulkShare = defaultBulkShare
	}
	return errors.Join(faults...)
}

// Limiter gives permits. It is safe for concurrent use.
type Limiter struct {
	config  Config
	metrics *metrics
	log     *slog.Logger

	bucket  bucket
	clock   *clock
	over    context.Context //nolint:containedctx // the life of the gates, ended by Close
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	gates  map[gateKey]*gate // by mu; a gate is never taken out again
	closed bool              // by mu
}

// gateKey is what the API counts separately.
type gateKey struct {
	action string
	quota  stop.Quota
}

// New returns a Limiter that shares its quotas with all others on the same
// bucket, which is one of pkg/queue: its reads show what was written before.
// Metrics are registered with reg. Both reg and log may be nil. Close must be
// called.
func New(c Config, permits jetstream.KeyValue, reg prometheus.Registerer, log *slog.Logger) (*Limiter, error) {
	k := newClock()
	l, err := open(c, permits, k, reg, log)
	if err != nil {
		return nil, err
	}
	k.single = replicas(permits) == 1
	return l, nil
}

// replicas is how many brokers may lead the bucket, 0 if that is not known.
func replicas(permits jetstream.KeyValue) int {
	ctx, cancel := context.WithTimeout(context.Background(), mostPatience)
	defer cancel()
	status, err := permits.Status(ctx)
	if err != nil {
		return 0
	}
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return 0
	}
	return bucket.StreamInfo().Config.Replicas
}

func open(c Config, b bucket, k *clock, reg prometheus.Registerer, log *slog.Logger) (*Limiter, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure limiter: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register metrics of limiter: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{config: c, metrics: m, log: log, bucket: b, clock: k, gates: map[gateKey]*gate{}}
	l.over, l.end = context.WithCancel(context.Background())
	return l, nil
}

// Acquire waits for leave to make one call of action against q. The call must
// be begun at once, and not after Until; Release must be called when it has
// ended, however it ended, and not before.
//
// While the broker is away nobody gets a permit, and Acquire waits. Its error
// is the context's cause, or ErrClosed; the waiter has cost nobody anything
// then.
func (l *Limiter) Acquire(ctx context.Context, action string, q stop.Quota, lane stop.Lane) (stop.Permit, error) {
	if ctx.Err() != nil {
		return stop.Permit{}, context.Cause(ctx)
	}
	g := l.gate(action, q)
	if g == nil {
		return stop.Permit{}, ErrClosed
	}
	begun, rank := time.Now(), rankOf(lane)
	p, err := g.acquire(ctx, rank)
	if err != nil {
		return stop.Permit{}, err
	}
	now := time.Now()
	l.metrics.waited[rank].Observe(now.Sub(begun).Seconds())
	until := now.Add(p.from.add(inTime).sub(l.clock.read()))
	return stop.Permit{Until: until, Release: func() { g.release(p) }}, nil
}

// Throttled tells the limiter that the API refused a call for its rate. It
// lowers the rate of that action and quota for a while, for the whole fleet.
func (l *Limiter) Throttled(action string, q stop.Quota) {
	if g := l.gate(action, q); g != nil {
		g.throttle()
	}
}

// Rate is how many calls of action against q a second the whole fleet is granted
// at present, as far as this worker knows.
func (l *Limiter) Rate(action string, q stop.Quota) float64 {
	g := l.gate(action, q)
	if g == nil {
		return 0
	}
	return g.rate()
}

// Granted is the rate of every action and quota that this worker has used, or
// announced: calls a second of the whole fleet, in no order.
func (l *Limiter) Granted() []stop.Granted {
	l.mu.Lock()
	gates := maps.Clone(l.gates)
	l.mu.Unlock()
	all := make([]stop.Granted, 0, len(gates))
	for key, g := range gates {
		all = append(all, stop.Granted{Quota: key.quota, Action: key.action, Rate: g.rate()})
	}
	return all
}

// Announce makes q known, so that its metrics are there and its schedules are
// begun before its first call.
func (l *Limiter) Announce(q stop.Quota) { l.gate(stop.ActionDescribe, q) }

// Close ends every wait with ErrClosed, refuses new ones, and returns when
// nothing is written to the bucket any more. Permits that are out may still be
// released. Closing again does nothing.
func (l *Limiter) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	// No gate is added from here on.
	l.end()
	for _, g := range l.gates {
		g.close()
	}
	l.running.Wait()
}

// gate returns the gate of an action and quota, nil once the limiter is closed.
func (l *Limiter) gate(action string, q stop.Quota) *gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if g := l.gates[gateKey{action, q}]; g != nil {
		return g
	}
	// Whatever is called first, the quota's rate of Stop is shown.
	for _, key := range []gateKey{{stop.ActionStop, q}, {action, q}} {
		if l.gates[key] == nil {
			g := newGate(l, key)
			l.gates[key] = g
			l.running.Go(func() { g.run(l.over) })
		}
	}
	return l.gates[gateKey{action, q}]
}
