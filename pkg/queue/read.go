package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// readAhead is how many messages are asked for at a time by whoever reads a
// stream in order.
const readAhead = 500

// read hands every message that stands under a subject now to take, until it
// wants no more.
func (q *Queue) read(ctx context.Context, stream, subject string, take func(jetstream.Msg) bool) error {
	info, err := q.streams[stream].Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return fmt.Errorf("count messages of %s: %w", stream, err)
	}
	if len(info.State.Subjects) == 0 {
		return nil
	}
	return q.watch(ctx, stream, subject, func(msg jetstream.Msg) bool {
		meta, err := msg.Metadata()
		return take(msg) && err == nil && meta.NumPending > 0
	})
}

// watch hands every message that stands under a subject to take, and every one
// that comes, in order, until it wants no more or ctx ends.
func (q *Queue) watch(ctx context.Context, stream, subject string, take func(jetstream.Msg) bool) error {
	cons, err := q.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(readAhead))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer msgs.Stop()
	for {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		switch {
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
func (q *Queue) Watch(ctx context.Context, request string, each func(stop.Result) bool) error {
	err := q.watch(ctx, stop.StreamResults, stop.TargetResults(request), func(msg jetstream.Msg) bool {
		var r stop.Result
		if err := json.Unmarshal(msg.Data(), &r); err != nil {
			q.conf.Log.Warn("a result cannot be read", "subject", msg.Subject(), "error", err)
			return true
		}
		return each(r)
	})
	if err != nil {
		return fmt.Errorf("follow the results of %s: %w", request, err)
	}
	return nil
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
