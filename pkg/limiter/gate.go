package limiter

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// gate is what calls of one action against one quota pass through. Slots come
// from the fleet's schedule, reserved by run; lanes say who of those that wait
// here gets one when its time has come.
type gate struct {
	key       string // of the schedule
	worker    string
	quota     budget
	bulkShare float64
	most      int // calls in flight
	bucket    bucket
	clock     *clock
	log       *slog.Logger
	shown     prometheus.Gauge // nil for actions whose rate is not shown
	throttles prometheus.Counter
	kick      chan struct{} // wakes run
	patience  time.Duration // with the broker; run's own

	mu       sync.Mutex // guards all below
	lanes    lanes
	slots    []slot // reserved and not in use, the earliest first
	inFlight map[*permit]struct{}
	view     view
	news     news
	lost     int         // writes in a row that somebody else was faster with
	hushed   tick        // until then nothing is reserved
	used     tick        // when somebody last asked
	slowed   bool        // this worker has slowed the fleet down, and told
	differs  bool        // another rate was seen, and told
	timer    *time.Timer // for the next slot; nil until one is needed
	closed   bool
}

// view is the schedule as this worker last saw it.
type view struct {
	stored
	seen  tick // when it was read or written
	known bool // false: it must be read first
}

// news is what the next write of the schedule tells the fleet.
type news struct {
	took      []time.Duration // from slots to the answers to their calls
	late      []lateness
	throttled bool
}

// maxNews bounds what is told at once; more says nothing new.
const maxNews = 256

func newGate(l *Limiter, key gateKey) *gate {
	now := l.clock.read()
	g := &gate{
		hushed: now, used: now,
		key: key.action + "." + key.quota.Token(), worker: l.config.Worker, quota: budgetOf(l.config.Rate), bulkShare: l.config.BulkShare, most: l.config.InFlight,
		bucket: l.bucket, clock: l.clock,
		log:       l.log.With("action", key.action, "account", key.quota.Account, "endpoint", key.quota.Endpoint),
		throttles: l.metrics.throttled.WithLabelValues(key.quota.Account, key.quota.Endpoint),
		kick:      make(chan struct{}, 1), inFlight: map[*permit]struct{}{}, patience: leastPatience,
	}
	if key.action == stop.ActionStop {
		g.shown = l.metrics.rate.WithLabelValues(key.quota.Account, key.quota.Endpoint)
		g.shown.Set(g.quota.rate())
	}
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
	g.used = g.clock.read()
	g.dispatch()
	g.mu.Unlock()
	g.wake()

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

// leave takes w out of its lane. If a slot has just come for it all the same,
// no call has come of it, and the next waiter may have it.
func (g *gate) leave(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes.remove(w)
	if w.permit != nil {
		delete(g.inFlight, w.permit)
		g.slots = slices.Insert(g.slots, 0, w.permit.slot)
		w.permit = nil
		g.dispatch()
	}
}

// release says that the call of p has ended.
func (g *gate) release(p *permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	delete(g.inFlight, p)
	took := g.clock.read().sub(p.from) + p.width
	if len(g.news.took) < maxNews {
		g.news.took = append(g.news.took, took)
	}
	g.judge(p, g.view.Spread.late(took))
	g.dispatch()
	g.wake()
}

// judge takes note of a call that was late by more than was allowed for. Under
// mu.
func (g *gate) judge(p *permit, late time.Duration) {
	if late > min(p.allowance, g.view.Spread.allowance()) && len(g.news.late) < maxNews {
		g.news.late = append(g.news.late, lateness{number: p.number, by: p.from.add(min(late, lateArrival))})
	}
}

// watch takes note of calls that have no answer although it is time to make
// room for them, and returns when to look again. Under mu.
func (g *gate) watch(r reading) (next tick, watching bool) {
	for p := range g.inFlight {
		if p.watch <= r.now {
			g.judge(p, g.view.Spread.late(r.now.sub(p.from)+p.width)+overdue)
			p.watch = r.now.add(overdue * 2 / 3)
		}
		if p.watch < p.from.add(lateArrival) && (!watching || p.watch < next) {
			next, watching = p.watch, true
		}
	}
	return next, watching
}

// throttle says that the API refused a call for its rate.
func (g *gate) throttle() {
	g.throttles.Inc()
	g.mu.Lock()
	g.news.throttled = true
	g.mu.Unlock()
	g.wake()
}

// dispatch gives out the slots whose time has come, drops those that nobody
// used in time, and sets the timer for the next. Under mu.
func (g *gate) dispatch() {
	now := g.clock.read()
	for len(g.slots) > 0 && !g.closed {
		s := g.slots[0]
		if s.from > now {
			g.wakeFor(s.from.sub(now))
			return
		}
		if s.from.add(s.keep) >= now {
			if len(g.inFlight) >= g.most {
				return // the release comes back here
			}
			w := g.lanes.pop(s)
			if w == nil {
				return // the next waiter comes back here
			}
			w.permit = &permit{slot: s, watch: s.from.add(g.view.Spread.Fast + s.allowance + overdue)}
			g.inFlight[w.permit] = struct{}{}
			close(w.done)
		}
		g.slots = g.slots[1:]
	}
}

// wakeFor sets the timer. One that fires for nothing does no harm.
func (g *gate) wakeFor(in time.Duration) {
	if g.timer != nil {
		g.timer.Reset(in)
		return
	}
	g.timer = time.AfterFunc(in, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.dispatch()
		g.wake()
	})
}

// wake has run look at what has changed.
func (g *gate) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
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
	for r := range ranks {
		for e := g.lanes[r].Front(); e != nil; e = e.Next() {
			close(e.Value.(*waiter).done)
		}
		g.lanes[r].Init()
	}
}
