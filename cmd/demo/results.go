package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// result is a stored result and when it was stored.
type result struct {
	stop.Result
	stored time.Time
}

// client is a publisher and a reader of results, like any other.
type client struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	reader  jetstream.ConsumeContext
	results chan result
}

// connect reads results as they are stored, from the first on.
func connect(ctx context.Context, url string) (*client, error) {
	nc, err := nats.Connect(url, nats.Name("andon demo"))
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	// A result that nobody takes at once waits here while a sample is published.
	b := &client{nc: nc, results: make(chan result, 1024)}
	if b.js, err = jetstream.New(nc); err == nil {
		err = b.read(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("read results: %w", err)
	}
	return b, nil
}

func (b *client) read(ctx context.Context) error {
	c, err := b.js.OrderedConsumer(ctx, stop.StreamResults, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{stop.SubjectResults + ".>"},
	})
	if err != nil {
		return err
	}
	b.reader, err = c.Consume(func(m jetstream.Msg) {
		var r result
		if err := json.Unmarshal(m.Data(), &r.Result); err != nil {
			r.Request, r.Message = m.Subject(), "cannot be read: "+err.Error()
		}
		if meta, err := m.Metadata(); err == nil {
			r.stored = meta.Timestamp
		}
		b.results <- r
	})
	return err
}

func (b *client) close() {
	b.reader.Stop()
	b.nc.Close()
}

// try publishes the samples, each when the one before has its result, so that
// what one finds is what the other left. It returns how many failed, and an
// error that names those without a result.
func try(ctx context.Context, b *client, t *table, samples []sample) (failed int, err error) {
	var missing []string
	for _, s := range samples {
		t.samples[s.id] = s.Name
		r, why := one(ctx, b, t, s)
		switch {
		case why != nil:
			missing, err = append(missing, s.Name), why
			failed++
		case !s.Expect.met(r.Result):
			fmt.Fprintf(t.to, "%9s  expected %v\n", "!", s.Expect)
			failed++
		}
	}
	if err != nil {
		err = fmt.Errorf("no result of %q: %w", missing, err)
	}
	return failed, err
}

func one(ctx context.Context, b *client, t *table, s sample) (result, error) {
	if _, err := b.js.PublishMsg(ctx, s.message()); err != nil {
		return result{}, fmt.Errorf("publish: %w", first(context.Cause(ctx), err))
	}
	for {
		select {
		case r := <-b.results:
			t.line(r)
			if r.Request == s.id {
				return r, nil
			}
		case <-ctx.Done():
			return result{}, context.Cause(ctx)
		}
	}
}

// follow prints results until ctx ends or the worker does.
func follow(ctx context.Context, b *client, t *table, w *worker) error {
	for {
		select {
		case r := <-b.results:
			t.line(r)
		case <-ctx.Done():
			return nil
		case <-w.exited:
			return w.died()
		}
	}
}

// table prints results, one a line.
type table struct {
	to io.Writer
	// samples are the names of samples by the identity of their requests.
	samples map[string]string
}

const columns = "%9s  %-24s  %-14s  %-12s  %-12s  %-13s  %s"

func (t *table) head() {
	t.print("", "request", "outcome", "group", "activity", "status", "message")
}

// line shows how long after the request was stored its result was.
func (t *table) line(r result) {
	name := t.samples[r.Request]
	if name == "" {
		name = r.Request
	}
	took := "-"
	if !r.RequestedAt.IsZero() && !r.stored.IsZero() {
		took = fmt.Sprintf("%.1f ms", float64(r.stored.Sub(r.RequestedAt).Microseconds())/1000)
	}
	t.print(took, name, string(r.Outcome), dash(r.AutoScalingGroupID), dash(r.RefreshActivityID), dash(string(r.Status)), r.Message)
}

func (t *table) print(cells ...any) {
	fmt.Fprintln(t.to, strings.TrimRight(fmt.Sprintf(columns, cells...), " "))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
