package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// aheadEvery is how often the backlog is searched for urgent requests.
	aheadEvery = 75 * time.Millisecond
	// backlogLife is how long a backlog is believed in without a word of it:
	// other workers may have planned the rest.
	backlogLife = 10 * time.Second
)

// ahead knows whether requests wait for their plan. All lanes share that one
// queue, because filters on a work queue must not overlap and a request on a
// subject that nobody has thought of must have a consumer too. So while there
// is a backlog, urgent requests in it are looked up by their subject and
// planned before their turn. Their turn still comes: nothing is acknowledged
// here, and the ordinary delivery finds the task, or the result.
type ahead struct {
	wake chan struct{} // has room for one: there is a backlog

	mu     sync.Mutex
	cursor uint64    // the newest request that was delivered
	until  time.Time // until then the backlog is believed in
}

// delivered takes in what the broker says with each request.
func (a *ahead) delivered(meta *nats.MsgMetadata, slots int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if meta.NumDelivered <= 1 {
		a.cursor = meta.Sequence.Stream
	}
	if meta.NumPending <= uint64(4*slots) { //nolint:gosec // a handful
		a.until = time.Time{}
		return
	}
	a.until = time.Now().Add(backlogLife)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// backlog says where the requests begin that have not been delivered, zero if
// there are few of them or none.
func (a *ahead) backlog() (first uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().After(a.until) {
		return 0
	}
	return a.cursor + 1
}

// lookAhead plans urgent requests in a backlog until ctx is done. Without a
// backlog it does nothing at all.
func (q *Queue) lookAhead(ctx context.Context, w Worker) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ahead.wake:
		}
		looked := make(map[string]uint64) // by subject, the next to look at
		for first := q.ahead.backlog(); first > 0 && ctx.Err() == nil; first = q.ahead.backlog() {
			for _, subject := range stop.UrgentSubjects() {
				looked[subject] = q.planAhead(ctx, subject, max(first, looked[subject]), w)
			}
			pause(ctx, aheadEvery)
		}
	}
}

// planAhead plans the requests of a subject that stand in the stream from a
// place on, and returns where to go on.
func (q *Queue) planAhead(ctx context.Context, subject string, from uint64, w Worker) uint64 {
	var group errgroup.Group
	group.SetLimit(max(w.Slots, 1))
	defer group.Wait() //nolint:errcheck // there are none
	for ctx.Err() == nil {
		msg, err := q.streams[stop.StreamStop].GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			if !errors.Is(err, jetstream.ErrMsgNotFound) && ctx.Err() == nil {
				q.conf.Log.Debug("cannot look for urgent requests; they are planned in their turn", "error", err)
			}
			return from
		}
		from = msg.Sequence + 1
		group.Go(func() error { q.planOne(ctx, msg, w); return nil })
	}
	return from
}

// planOne stores the tasks of a request, if that is what the plan wants. All
// else, a result, another try, a crash, is for the ordinary delivery.
func (q *Queue) planOne(ctx context.Context, msg *jetstream.RawStreamMsg, w Worker) {
	m := raw(msg)
	v, crash := run(ctx, w.Plan, m)
	if crash != nil || len(v.Tasks)+len(v.Parts) == 0 || ctx.Err() != nil {
		return
	}
	if err := q.store(ctx, stop.Verdict{Bulk: v.Bulk, Parts: v.Parts, Tasks: v.Tasks}); err != nil && ctx.Err() == nil {
		q.conf.Log.Debug("cannot store a task ahead of its turn", "sequence", m.Sequence, "error", err)
	}
}
