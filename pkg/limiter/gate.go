package limiter

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// gate is what calls of one action against one quota pass through: lanes say
// who is next, pace says when, and a slot in flight must be free. It has one
// timer and no goroutine of its own.
type gate struct {
	log       *slog.Logger
	shown     prometheus.Gauge // nil for actions whose rate is not shown
	throttles prometheus.Counter
	slots     int // calls in flight at most

	mu       sync.Mutex // guards all below
	lanes    lanes
	pace     pace
	brake    brake
	inFlight int
	timer    *time.Timer // nil until somebody has to wait
	closed   bool
}

func newGate(c Config, key gateKey, m *metrics, log *slog.Logger) *gate {
	g := &gate{
		log:       log.With("action", key.action, "account", key.quota.Account, "endpoint", key.quota.Endpoint),
		throttles: m.throttled.WithLabelValues(key.quota.Account, key.quota.Endpoint),
		slots:     c.InFlight,
		lanes:     newLanes(c.BulkShare),
		pace:      newPace(c.Rate),
	}
	g.brake = newBrake(g.pace.full)
	if key.action == stop.ActionStop {
		g.shown = m.rate.WithLabelValues(key.quota.Account, key.quota.Endpoint)
	}
	g.show()
	return g
}

// acquire waits for a permit.
func (g *gate) acquire(ctx context.Context, r rank) (*permit, error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	w := &waiter{rank: r, done: make(chan struct{})}
	g.lanes.push(w)
	g.dispatch()
	g.mu.Unlock()

	select {
	case <-w.done:
	case <-ctx.Done():
		g.leave(w)
	}
	if w.permit != nil {
		return w.permit, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, ErrClosed
}

// leave takes w out of its lane. If a permit has just come for it all the same,
// no call has come of it, and the next waiter may have it at once.
func (g *gate) leave(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes.remove(w)
	if w.permit != nil {
		g.pace.undo(w.permit)
		g.inFlight--
		w.permit = nil
	}
	g.dispatch()
}

// release says that the call of p has ended.
func (g *gate) release(p *permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	g.pace.release(p, time.Now())
	g.inFlight--
	g.dispatch()
}

// throttled slows the gate down.
func (g *gate) throttled() {
	g.throttles.Inc()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.ease(now)
	if g.brake.cut(now) {
		g.log.Warn("the API throttles although the quota is kept: somebody else probably calls with the same sub-account (console, CLI, another tool)",
			"rate", g.brake.rate, "full_rate", g.brake.full)
	}
	g.show()
	g.dispatch()
}

// dispatch gives out what can be given out now, and sets the timer for what
// comes next. Under mu.
func (g *gate) dispatch() {
	if g.closed {
		return
	}
	now := time.Now()
	g.ease(now)
	next := g.brake.next()
	for g.inFlight < g.slots && !g.lanes.empty() {
		if at := g.pace.next(now, g.brake.rate); at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			break
		}
		w := g.lanes.pop()
		w.permit = g.pace.grant(now)
		g.inFlight++
		close(w.done)
	}
	if !next.IsZero() {
		g.wake(next.Sub(now))
	}
}

// wake sets the timer. One that fires for nothing does no harm.
func (g *gate) wake(in time.Duration) {
	if g.timer != nil {
		g.timer.Reset(in)
		return
	}
	g.timer = time.AfterFunc(in, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.dispatch()
	})
}

// ease gives back rate for the time without throttles. Under mu.
func (g *gate) ease(now time.Time) {
	if !g.brake.on() {
		return
	}
	if count, since := g.brake.throttles, g.brake.since; g.brake.ease(now) {
		g.log.Info("call rate is back to full", "full_rate", g.brake.full, "throttles", count, "after", now.Sub(since))
	}
	g.show()
}

// show sets the gauge. Under mu.
func (g *gate) show() {
	if g.shown != nil {
		g.shown.Set(g.brake.rate)
	}
}

// close ends every wait.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	for !g.lanes.empty() {
		close(g.lanes.pop().done)
	}
}
