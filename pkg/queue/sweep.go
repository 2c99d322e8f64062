package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// sweeper finds messages that stay in a queue although their consumer is past
// them. A broker that dies between an acknowledgement and the removal that
// follows keeps such a message and never delivers it again (nats-server 2.15.2:
// about once in sixty kills under load, test/faults). It would count as a
// request without a result for ever.
type sweeper struct {
	// suspects were there at the last look, by stream and sequence: a message
	// that was acknowledged just now may be about to go.
	suspects map[string]bool
}

// sweep looks once at the queues that this worker works off. What it finds for
// the second time is done as if it had been delivered, so that what has its
// result is removed, and what has none is not lost.
func (s *sweeper) sweep(ctx context.Context, q *Queue, w Worker) error {
	seen := make(map[string]bool)
	var all []swept
	for _, s := range standing() {
		all = append(all, swept{s, q.streams[s.stream], w.stepOf(s)})
	}
	for _, tasks := range q.served() {
		all = append(all, swept{tasks, q.streams[stop.StreamTasks], w.Execute})
	}
	for _, from := range all {
		if err := s.look(ctx, q, from, seen); err != nil {
			return err
		}
	}
	s.suspects = seen
	return nil
}

// swept is a queue and what is done with its messages.
type swept struct {
	source
	in   jetstream.Stream
	step stop.Step
}

func (s *sweeper) look(ctx context.Context, q *Queue, from swept, seen map[string]bool) error {
	consumer, err := q.js.Consumer(ctx, from.stream, from.durable)
	if err != nil {
		return fmt.Errorf("look at consumer %s: %w", from.durable, err)
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	filter := from.filter
	if filter == "" {
		filter = ">"
	}
	for next := uint64(1); next <= floor; {
		msg, err := from.in.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for what was left in %s: %w", from.stream, err)
		}
		if msg.Sequence > floor {
			return nil
		}
		next = msg.Sequence + 1
		name := fmt.Sprintf("%s %d", from.stream, msg.Sequence)
		if seen[name] = true; s.suspects[name] {
			q.finish(ctx, from, msg)
		}
	}
	return nil
}

// finish does what is to be done about a message that is not delivered any
// more, and removes it.
func (q *Queue) finish(ctx context.Context, from swept, msg *jetstream.RawStreamMsg) {
	m := raw(msg)
	log := q.conf.Log.With("stream", from.stream, "sequence", m.Sequence, "subject", m.Subject)
	v, crash := run(ctx, from.step, m)
	if crash != nil || !v.Final() {
		log.Warn("a message that the broker does not deliver any more cannot be ended yet", "error", crash)
		return
	}
	if err := q.store(ctx, v); err != nil {
		log.Warn("a message that the broker does not deliver any more cannot be ended yet", "error", err)
		return
	}
	if err := from.in.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		log.Warn("a message that the broker does not deliver any more cannot be removed", "error", err)
		return
	}
	q.forget(ctx, v.History)
	log.Info("removed a message that the broker had kept after its acknowledgement")
}

// raw is a message as it stands in its stream, which is not a delivery.
func raw(msg *jetstream.RawStreamMsg) stop.Message {
	return stop.Message{Subject: msg.Subject, Data: msg.Data, Header: msg.Header, Stored: msg.Time, Sequence: msg.Sequence}
}
