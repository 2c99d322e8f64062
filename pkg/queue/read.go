package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// readAhead is how many messages are asked for at a time by whoever reads a
// stream in order.
const readAhead = 500

// reader reads what stands in the streams and buckets. It is what workers have in
// common with those who only look.
type reader struct {
	js  jetstream.JetStream
	log *slog.Logger
	// stream and bucket look one up by its name.
	stream func(ctx context.Context, name string) (jetstream.Stream, error)
	bucket func(ctx context.Context, name string) (jetstream.KeyValue, error)
}

// reading says what is to be read of a stream: all that stands under subjects.
func reading(subjects ...string) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{FilterSubjects: subjects, InactiveThreshold: time.Minute}
}

// read hands every message that is there now to take, in order, until it wants
// no more.
func (r *reader) read(ctx context.Context, stream string, what jetstream.OrderedConsumerConfig, take func(jetstream.Msg) bool) error {
	return r.follow(ctx, stream, what, true, func(msg jetstream.Msg) bool {
		meta, err := msg.Metadata()
		return take(msg) && err == nil && meta.NumPending > 0
	})
}

// watch hands every message that is there, and every one that comes, to take, in
// order, until it wants no more or ctx ends.
func (r *reader) watch(ctx context.Context, stream string, what jetstream.OrderedConsumerConfig, take func(jetstream.Msg) bool) error {
	return r.follow(ctx, stream, what, false, take)
}

// follow does so; there may be nothing to take, and then a mere look is over.
func (r *reader) follow(ctx context.Context, stream string, what jetstream.OrderedConsumerConfig, look bool, take func(jetstream.Msg) bool) error {
	brief, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	cons, err := r.js.OrderedConsumer(brief, stream, what)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(readAhead))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer msgs.Stop()
	if look && cons.CachedInfo().NumPending == 0 {
		return nil
	}
	for {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil && look:
			return fmt.Errorf("read %s: %w", stream, context.Cause(ctx))
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // it looks for the broker by itself
		case err != nil:
			return fmt.Errorf("read %s: %w", stream, err)
		case !take(msg):
			return nil
		}
	}
}

// Watch tells each the results that the targets of a request have, and those
// that they get, until it wants no more or ctx ends.
func (r *reader) Watch(ctx context.Context, request string, each func(stop.Result) bool) error {
	return r.watch(ctx, stop.StreamResults, reading(stop.TargetResults(request)), r.results(each))
}

// results reads messages as results. One that is none is told as failed, so that
// whoever counts or waits comes to an end.
func (r *reader) results(each func(stop.Result) bool) func(jetstream.Msg) bool {
	return func(msg jetstream.Msg) bool {
		result, err := resultOf(msg.Subject(), msg.Data())
		if err != nil {
			r.log.Error("what stands in the place of a result is none", "subject", msg.Subject(), "error", err)
			result = stop.Result{Outcome: stop.OutcomeFailed, Message: "what stands in the place of the result is none: " + stop.Clip(err.Error(), 200)}
			result.Request, result.Target, _ = strings.Cut(strings.TrimPrefix(msg.Subject(), stop.SubjectResults+"."), ".")
		}
		return each(result)
	}
}

// Standing lists the names of the targets of a request that have a task or a
// result. Tasks are looked for first, because one that ends in between leaves a
// result.
func (q *Queue) Standing(ctx context.Context, request string) (map[string]bool, error) {
	names := make(map[string]bool)
	for _, in := range []struct{ stream, subject string }{
		{stop.StreamTasks, stop.TaskClaim(request) + ".*"},
		{stop.StreamResults, stop.TargetResults(request)},
	} {
		info, err := q.streams[in.stream].Info(ctx, jetstream.WithSubjectFilter(in.subject))
		if err != nil {
			return nil, fmt.Errorf("list targets of %s in %s: %w", request, in.stream, err)
		}
		for subject := range info.State.Subjects {
			names[subject[strings.LastIndex(subject, ".")+1:]] = true
		}
	}
	return names, nil
}

// Tell publishes how far a request has come. Nobody is sure to hear it.
func (q *Queue) Tell(p stop.Progress) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode progress of %s: %w", p.Request, err)
	}
	if err := q.nc.Publish(stop.ProgressSubject(p.Request), data); err != nil {
		return fmt.Errorf("tell progress of %s: %w", p.Request, err)
	}
	return nil
}
