package webhooks

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/cmd/internal/traces"
	"github.com/seed-a7c21902/andon/cmd/internal/web"
	"github.com/seed-a7c21902/andon/pkg/ingress"
	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Desk takes webhooks at an address and has the broker store what they ask for, on a
// connection of its own.
type Desk struct {
	client *queue.Client
	in     *ingress.Ingress
	ln     net.Listener
	over   chan error
}

// Open listens, and waits for the broker if that is not there. Until [Desk.Serve] is
// called, nothing is answered.
func Open(listen string, to queue.Config, c ingress.Config, tracer *traces.Tracer) (*Desk, error) {
	d := &Desk{over: make(chan error, 1)}
	var err error
	if d.client, err = queue.Reach(to, d.fail); err != nil {
		return nil, err //nolint:wrapcheck // it says where
	}
	if d.in, err = ingress.New(c, tracer.Publisher(publisher{d.client})); err != nil {
		d.client.Close()
		return nil, fmt.Errorf("ingress: %w", err)
	}
	if d.ln, err = web.Listen("ingress-listen", listen, c.Log); err != nil {
		d.client.Close()
		return nil, err //nolint:wrapcheck // it says where
	}
	return d, nil
}

// fail keeps the first reason why the connection is over.
func (d *Desk) fail(err error) {
	select {
	case d.over <- err:
	default:
	}
}

// Serve answers until ctx is done. Its error is that of the connection where that is
// over for good, as when the broker refuses the credentials.
func (d *Desk) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.in.Serve(ctx, d.ln) })
	group.Go(func() error {
		select {
		case err := <-d.over:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait() //nolint:wrapcheck // they say what
}

// Close closes the connection, once Serve has ended or will not be called.
func (d *Desk) Close() {
	d.client.Close()
	_ = d.ln.Close() // Serve has, where it was called
}

// Connected says why the broker cannot be reached, nil if it can.
func (d *Desk) Connected() error { return d.client.Connected() } //nolint:wrapcheck // it says what

// publisher stores what an ingress takes, over a client of the broker.
type publisher struct{ client *queue.Client }

// Publish returns when the broker has confirmed, or refuses a permission, or ctx ends.
func (p publisher) Publish(ctx context.Context, m stop.Message) (repeated bool, err error) {
	err = p.client.Ask(ctx, func(ctx context.Context) error {
		repeated, err = p.client.Publish(ctx, m)
		return err
	})
	return repeated, err //nolint:wrapcheck // it says what
}
