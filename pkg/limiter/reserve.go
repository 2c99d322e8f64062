package limiter

import (
	"context"
	"errors"
	"time"
)

const (
	// lookEvery is how often a gate that was used lately looks at the schedule
	// although nobody waits, to show the fleet's rate; more often while that is
	// lowered.
	lookEvery       = 5 * time.Second
	lookEverySlowed = time.Second
	usedLately      = 10 * time.Minute
	// quiet is how long a worker waits, after a short time without the broker,
	// for those that have late calls to tell.
	quiet = 700 * time.Millisecond
	// forgotten, and a period of the quota, is how long a time without the broker
	// must be for no call from before it to matter: what was reserved was used
	// then and has arrived, however late.
	forgotten = reach + lateArrival + time.Second
	// sure is how long a schedule that somebody else wrote is taken to be the
	// last word.
	sure = 50 * time.Millisecond
)

// run reserves slots for those who wait, until ctx ends.
func (g *gate) run(ctx context.Context) {
	var t trouble
	for ctx.Err() == nil {
		what, at, i := g.todo(g.clock.look())
		if in := at.sub(g.clock.read()); what == stepRest || in > 0 {
			g.rest(ctx, in)
			continue
		}
		var err error
		begun := g.clock.read()
		if what == stepRead {
			err = g.look(ctx)
		} else {
			err = g.reserve(ctx, i)
		}
		g.learnPatience(g.clock.read().sub(begun), err)
		pause, over := t.note(g.log, err)
		if over > 0 && over < forgotten+g.quota.period {
			g.hush()
		}
		if pause > 0 && ctx.Err() == nil {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// learnPatience adapts to how long the broker takes. Called by run alone.
func (g *gate) learnPatience(took time.Duration, err error) {
	if err == nil {
		g.patience = 4 * took
	} else if errors.Is(err, context.DeadlineExceeded) {
		g.patience *= 2
	}
	g.patience = min(max(g.patience, leastPatience), mostPatience)
}

// rest waits for something to happen, for so long at most.
func (g *gate) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-g.kick:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// todo says what to do next and when, as things stand.
func (g *gate) todo(r reading) (what step, at tick, i intent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.view.known {
		return stepRead, r.now, intent{}
	}
	if r.era == 0 || g.view.Worker == "" {
		return stepWrite, r.now, intent{} // its stamp tells the broker's time
	}
	now := r.broker()
	g.show(now)
	watch, watching := g.watch(r)
	i = g.demand().intent(g.view.Served, max(now, g.view.next()), g.view.Interval, g.bulkShare)
	if i.count > 0 {
		what, at = g.turn(r, i)
	} else {
		what, at = g.restless(r)
	}
	if g.pressing(r) && (what != stepWrite || at > r.now) {
		return stepWrite, r.now, intent{}
	}
	if watching && watch < at {
		return stepRest, watch, intent{}
	}
	return what, at, i
}

// turn says when to act for an intent. Under mu.
func (g *gate) turn(r reading, i intent) (step, tick) {
	free := g.view.next() <= r.broker()
	if free && g.view.Worker != g.worker && r.now.sub(g.view.seen) > sure {
		return stepRead, max(r.now, g.allowed(r)) // probably taken
	}
	what, at := turnOf(g.view.stored, i, g.worker, g.lost, r.broker(), r.of(g.view.seen))
	return what, max(r.about(at), g.allowed(r))
}

// allowed is when slots may be used after the broker's clock was found changed:
// one interval after the last that there can be by the old one; and after a
// time without the broker. Under mu.
func (g *gate) allowed(r reading) tick { return max(r.embargo.add(g.view.Interval), g.hushed) }

// hush makes this worker wait, after a time without the broker, until those
// that know of late calls must have come back and told it.
func (g *gate) hush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hushed = g.clock.read().add(quiet)
}

// restless says when to look at the schedule although nobody waits. Under mu.
func (g *gate) restless(r reading) (step, tick) {
	if r.now.sub(g.used) > usedLately {
		return stepRest, r.now.add(usedLately)
	}
	every := lookEvery
	if g.view.Brake.on() {
		every = lookEverySlowed
	}
	return stepRead, g.view.seen.add(every)
}

// pressing: the fleet must be told now. Under mu.
func (g *gate) pressing(r reading) bool {
	if g.news.throttled {
		return true
	}
	next := g.view.next()
	for _, l := range g.news.late {
		if l.floor(r, g.view.number(), g.quota, g.view.Interval) > next {
			return true
		}
	}
	return false
}

// demand counts who waits. Under mu.
func (g *gate) demand() demand {
	d := demand{reserved: len(g.slots), room: g.most - len(g.inFlight)}
	for r := range ranks {
		d.waiting[r] = g.lanes[r].Len()
	}
	for _, s := range g.slots {
		if s.due {
			d.due[s.rank]++
		}
	}
	return d
}

// look reads the schedule.
func (g *gate) look(ctx context.Context) error {
	s, broken, err := load(ctx, g.bucket, g.key, g.patience)
	if err != nil {
		return err
	}
	if broken != nil {
		g.log.Warn("the schedule makes no sense and is begun anew", "key", g.key, "error", broken)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view = view{stored: s, seen: g.clock.read(), known: true}
	return nil
}

// reserve writes the schedule: with the slots that are wanted, or only with
// what the fleet must know.
func (g *gate) reserve(ctx context.Context, i intent) error {
	g.mu.Lock()
	before, told := g.view.stored, g.news
	g.news = news{}
	r := g.compose(before, told, i, g.clock.look())
	g.mu.Unlock()

	s, sent, confirmed, err := store(ctx, g.bucket, g.key, r, before.revision, g.patience, g.clock.read)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.view.known = false
		g.retell(told)
		if errors.Is(err, errLost) {
			g.lost++
		}
		return err
	}
	g.lost = 0
	agreed := g.clock.learn(sent, confirmed, s.stamp)
	g.view = view{stored: s, seen: confirmed, known: true}
	g.tell(before, told)
	if !agreed {
		// Slots by this clock may lie between those by the old one, and what was
		// told was of the old one's time.
		g.retell(news{late: told.late})
		return nil
	}
	g.keep(s, i, g.clock.look())
	g.dispatch()
	return nil
}

// keep takes over the slots that were granted. Under mu.
func (g *gate) keep(s stored, i intent, r reading) {
	allowance := s.Spread.allowance()
	for n := range s.granted() {
		slot := slot{
			rank: i.rank, due: i.due, number: s.Number + uint64(n), from: r.surely(s.slot(n)), //nolint:gosec // never negative
			keep: max(s.Interval, allowance, leastKeep), width: r.width(), allowance: allowance,
		}
		if slot.from >= g.allowed(r) {
			g.slots = append(g.slots, slot)
		}
	}
}

// retell keeps what could not be told for the next write. Under mu.
func (g *gate) retell(n news) {
	g.news.took = append(n.took, g.news.took...)
	g.news.late = append(n.late, g.news.late...)
	g.news.throttled = g.news.throttled || n.throttled
}
