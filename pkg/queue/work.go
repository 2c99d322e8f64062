package queue

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Worker is what the loops feed messages to.
type Worker struct {
	// Plan looks at requests, Execute at tasks, Follow at requests for several
	// targets until these have their results.
	Plan    stop.Step
	Execute stop.Step
	Follow  stop.Step
	// GiveUp ends a message whose handling has crashed again and again.
	GiveUp func(ctx context.Context, m stop.Message, cause error) stop.Verdict
	// Serves says whether this worker has the account's credentials; nil: it
	// has all. Of tasks of other accounts it takes only a few, and only those
	// that no other worker is waiting for: Execute puts them off for whoever has
	// the account, and ends them when their time is over.
	Serves func(account string) bool
	// Gate waits until tasks of the account may be fetched. It returns soon
	// after ctx is done.
	Gate func(ctx context.Context, account string)
	// Slots is how many messages of one consumer are in hand at most. The
	// broker keeps the rest, so that other workers can have it.
	Slots int
}

// stepOf is the step for the messages of a standing consumer.
func (w Worker) stepOf(s source) stop.Step {
	if s.durable == bulkDurable {
		return w.Follow
	}
	return w.Plan
}

// followSlots is how many bulks one worker follows at a time. It costs little:
// the work is in their tasks.
const followSlots = 256

// What a worker takes, and how often, of tasks whose account it does not have.
const (
	foreignSlots = 8
	foreignPause = 2 * time.Second
)

// maxPanics is how often handling a message may crash before it is given up.
const maxPanics = 3

// Work feeds requests and tasks to the worker until ctx is done, then hands
// back what has not been begun and returns when all else is settled. It
// returns an error only when the process cannot go on.
func (q *Queue) Work(ctx context.Context, w Worker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	q.quotas.mu.Lock()
	q.quotas.added = make(chan source, quotaChannelSize)
	for _, s := range q.quotas.known {
		q.quotas.added <- s
	}
	q.quotas.mu.Unlock()

	group.Go(func() error {
		select {
		case <-q.over.Done():
			return context.Cause(q.over)
		case <-ctx.Done():
			return nil
		}
	})
	for _, s := range standing() {
		slots := w.Slots
		if s.durable == bulkDurable {
			slots = followSlots
		}
		group.Go(func() error { q.loop(ctx, s, slots, w.stepOf(s), w); return nil })
	}
	group.Go(func() error { q.lookAhead(ctx, w); return nil })
	group.Go(func() error { q.discover(ctx); return nil })
	group.Go(func() error { q.guard(ctx, w); return nil })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case s := <-q.quotas.added:
				slots := w.Slots
				if s.foreign = w.Serves != nil && !w.Serves(s.quota.Account); s.foreign {
					q.conf.Log.Info("there are tasks, or were, for an account that this worker does not serve", "account", s.quota.Account, "endpoint", s.quota.Endpoint, "lane", s.lane)
					slots = min(slots, foreignSlots)
				}
				group.Go(func() error { q.loop(ctx, s, slots, w.Execute, w); return nil })
			}
		}
	})
	return group.Wait()
}

// loop works off one consumer. A consumer that was deleted, or that the
// broker no longer serves, is made again; one that somebody changed is brought
// back when it is looked at, once each AckWait.
func (q *Queue) loop(ctx context.Context, s source, slots int, step stop.Step, w Worker) {
	l := q.loops.add(s.durable)
	defer q.loops.remove(s.durable)
	hands := newHands(s.ackWait(q.conf), slots, &q.inHand)
	// What has been begun is kept alive until it is settled.
	defer hands.beat()()
	defer hands.wait()

	var p *puller
	defer func() {
		if p != nil {
			p.close()
		}
	}()
	var looked time.Time
	for trouble := 0; ctx.Err() == nil; {
		var err error
		if p == nil {
			p, err = newPuller(q.nc, s, slots)
		}
		if err == nil && time.Since(looked) >= q.conf.AckWait {
			brief, cancel := context.WithTimeout(ctx, lookTimeout)
			err = q.ensureConsumer(brief, s)
			cancel()
			looked = time.Now()
		}
		if err == nil {
			err = q.fetch(ctx, p, s, hands, func() { l.alive(nil) }, step, w)
		}
		if err == nil || ctx.Err() != nil {
			l.alive(nil)
			trouble = 0
			continue
		}
		looked = time.Time{}
		trouble++
		l.alive(err)
		if trouble == 1 {
			q.conf.Log.Warn("consumer in trouble, trying again", "consumer", s.durable, "error", err)
		}
		pause(ctx, min(time.Duration(trouble)*100*time.Millisecond, 2*time.Second))
	}
}

// fetch asks for as many messages as can be taken in hand and starts each.
func (q *Queue) fetch(ctx context.Context, p *puller, s source, h *hands, heard func(), step stop.Step, w Worker) error {
	if s.foreign {
		pause(ctx, foreignPause)
	} else if s.lane != "" && w.Gate != nil {
		w.Gate(ctx, s.quota.Account)
	}
	free := h.free(ctx)
	if free == 0 {
		return nil
	}
	return p.pull(ctx, free, heard, func(d *delivery) {
		h.take(d, func(t *inHand) { q.handle(ctx, s, t, step, w) })
	})
}

func (q *Queue) handle(ctx context.Context, s source, t *inHand, step stop.Step, w Worker) {
	msg := t.delivery.msg
	meta, err := msg.Metadata()
	if err != nil {
		// Not a message of a consumer: nothing can be acknowledged.
		q.conf.Log.Error("message without metadata", "subject", msg.Subject, "error", err)
		return
	}
	if s.durable == planDurable {
		q.ahead.delivered(meta, w.Slots)
	}
	m := stop.Message{
		Subject: msg.Subject, Data: msg.Data, Header: msg.Header,
		Stored: meta.Timestamp, Sequence: meta.Sequence.Stream, Delivered: int(min(meta.NumDelivered, 1<<30)), //nolint:gosec // bounded just here
	}
	lane := s.laneOf(m.Subject)
	q.metrics.inFlight.WithLabelValues(string(lane)).Inc()
	defer q.metrics.inFlight.WithLabelValues(string(lane)).Dec()

	v, crash := run(ctx, step, m)
	if crash != nil {
		v = q.crashed(s, m, crash, w)
	}
	q.settle(ctx, t, m, v)
}

// run calls a step and turns a panic into an error.
func run(ctx context.Context, step stop.Step, m stop.Message) (v stop.Verdict, crash error) {
	defer func() {
		if p := recover(); p != nil {
			crash = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return step(ctx, m), nil
}

// crashed counts a panic on the message's account, where a restart does not
// forget it, and gives the message up after a few: one broken message hurts
// itself only.
func (q *Queue) crashed(s source, m stop.Message, crash error, w Worker) stop.Verdict {
	q.metrics.panics.Inc()
	q.conf.Log.Error("handling a message crashed", "stream", s.stream, "sequence", m.Sequence, "error", crash)
	// A crash counts also when it is the last thing before a stop.
	ctx, cancel := context.WithTimeout(q.over, q.conf.AckWait)
	defer cancel()
	key := fmt.Sprintf("panic.%s.%d", s.stream, m.Sequence)
	h, err := q.History(ctx, key)
	if err != nil {
		return stop.Verdict{Retry: time.Second}
	}
	h.Attempts++
	if h.Attempts < maxPanics {
		return stop.Verdict{Retry: time.Duration(h.Attempts) * time.Second, History: &h}
	}
	v, again := run(ctx, func(ctx context.Context, m stop.Message) stop.Verdict { return w.GiveUp(ctx, m, crash) }, m)
	if again != nil {
		q.conf.Log.Error("giving up a message crashed", "stream", s.stream, "sequence", m.Sequence, "error", again)
		return stop.Verdict{Retry: time.Minute}
	}
	return v
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
