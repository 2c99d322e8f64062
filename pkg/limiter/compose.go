package limiter

// compose makes the next record of the schedule out of the last. Under mu.
func (g *gate) compose(last stored, told news, i intent, at reading) record {
	now := at.broker()
	r := record{Base: last.next(), Number: last.number(), Count: i.count, Worker: g.worker, Rate: g.quota.rate(), Brake: last.Brake, Spread: last.Spread, Served: last.Served}
	if last.Worker == "" {
		// Nothing is known of slots that may be in use, by workers that have
		// seen a schedule which is gone: let them pass.
		r.Count, r.Pause, r.Brake.Factor = 0, reach, 1
	}
	if told.throttled {
		r.Brake = r.Brake.cut(now, g.quota)
	} else {
		r.Brake = r.Brake.ease(now)
	}
	for _, took := range told.took {
		r.Spread = r.Spread.learn(took)
	}
	r.Interval = g.quota.interval(r.Spread.allowance(), r.Brake.Factor)
	for _, l := range told.late {
		r.Base = max(r.Base, l.floor(at, r.Number, g.quota, r.Interval))
	}
	r.Turns = last.Turns
	if r.Count > 0 {
		end := stored{record: r, stamp: now}.slot(r.Count - 1)
		r.Served = r.Served.serve(i.rank, end)
		r.Turns = take(last.Turns, g.worker, turn{At: end, Wants: g.demand().more(i)}, now, blockTime(r.Interval))
	}
	return r
}

// show shows the rate that the fleet has now, and tells when it is full again.
// Under mu.
func (g *gate) show(now instant) {
	if g.view.Brake.Factor == 0 {
		return // there is no schedule yet
	}
	g.view.Brake = g.view.Brake.ease(now)
	full := g.quota.rate()
	if g.shown != nil {
		g.shown.Set(full * g.view.Brake.Factor)
	}
	if g.slowed && !g.view.Brake.on() {
		g.slowed = false
		g.log.Info("call rate is back to full", "full_rate", full)
	}
}

// rate is how many calls a second the schedule grants the fleet.
func (g *gate) rate() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view.Brake.Factor == 0 {
		return g.quota.rate() // there is no schedule yet
	}
	return g.quota.rate() * g.view.Brake.Factor
}

// tell logs what a write has changed, and what was strange about the schedule
// before it. Under mu.
func (g *gate) tell(before stored, told news) {
	full := g.quota.rate()
	if told.throttled && !g.slowed && !before.Brake.on() && g.view.Brake.on() {
		g.slowed = true
		g.log.Warn("the API throttles although the quota is kept: somebody else probably calls with the same sub-account (console, CLI, another tool); the whole fleet slows down",
			"rate", full*g.view.Brake.Factor, "full_rate", full)
	}
	if before.Worker != "" && before.Rate != full && !g.differs {
		g.differs = true
		g.log.Warn("workers with different rates share this quota: give them the same", "rate", full, "other_rate", before.Rate, "other_worker", before.Worker)
	}
}
