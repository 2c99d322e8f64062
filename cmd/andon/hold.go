package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newHold(s *session) *cobra.Command {
	var h stop.Hold
	var length time.Duration
	c := &cobra.Command{
		Use: "hold --reason TEXT", Short: "Have the whole fleet make no calls, until it is released",
		Long: `Have all workers make no calls. Nothing is lost: requests are taken and wait, and end
by their NotAfter. What is paused stays paused.`,
		Example: `  andon hold --for 15m --reason "maintenance of the API"
  andon release`,
		Args: exactly(0),
		RunE: coded(func(ctx context.Context, _ []string) error {
			switch {
			case h.Reason == "":
				return usage("--reason is required: whoever finds the fleet held must know why")
			case length < 0:
				return usage("--for %v: must not be negative", length)
			case length > 0:
				h.Until = time.Now().Add(length).UTC().Truncate(time.Second)
			}
			h.By = cmp.Or(h.By, s.getenv("ANDON_BY"), whoami(s.getenv))
			if err := s.ask(ctx, func(ctx context.Context) error { return s.client.SetHold(ctx, h) }); err != nil {
				return err
			}
			until := "until somebody releases them"
			if !h.Until.IsZero() {
				until = "until " + h.Until.Local().Format("15:04:05")
			}
			s.say("all calls are held %s: %s. Go on with: andon release", until, clean(h.Reason, ""))
			return s.heldBy(ctx, true)
		}),
	}
	c.Flags().StringVar(&h.Reason, "reason", "", "why; shown by andon status and the readiness of the workers")
	c.Flags().StringVar(&h.By, "by", "", "who holds, $ANDON_BY (default the user of this machine)")
	c.Flags().DurationVar(&length, "for", 0, "end by itself after this time (default when it is released)")
	return c
}

func newRelease(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "release", Short: "Have the fleet go on after a hold",
		Args: exactly(0),
		RunE: coded(func(ctx context.Context, _ []string) error {
			var hold *stop.Hold
			err := s.ask(ctx, func(ctx context.Context) (err error) {
				if hold, err = s.client.Hold(ctx); err != nil || hold == nil {
					return err
				}
				return s.client.Release(ctx)
			})
			if err != nil {
				return err
			}
			if hold == nil {
				s.say("there was no hold")
				return nil
			}
			s.say("released; it was held for: %s", clean(hold.Reason, ""))
			return s.heldBy(ctx, false)
		}),
	}
}

// heardWithin is how long the workers are given to hear of a hold.
const heardWithin = 5 * time.Second

// heldBy waits until all workers say that they have heard, and says how many do.
// That they cannot be asked does not take back what was stored.
func (s *session) heldBy(ctx context.Context, held bool) error {
	ctx, cancel := context.WithTimeout(ctx, heardWithin)
	defer cancel()
	var workers []stop.Worker
	for {
		err := s.ask(ctx, func(ctx context.Context) (err error) { workers, err = s.client.Workers(ctx); return err })
		if err != nil && len(workers) == 0 {
			s.say("whether the workers have heard is not known: %v", err)
			return nil
		}
		heard := 0
		for _, w := range workers {
			if holds(w) == held {
				heard++
			}
		}
		if len(workers) == 0 || heard == len(workers) || ctx.Err() != nil {
			s.say("%d of %s have heard", heard, count(len(workers), "worker"))
			if heard < len(workers) {
				return failed(fmt.Errorf("%s did not hear of it within %v", count(len(workers)-heard, "worker"), heardWithin))
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func holds(w stop.Worker) bool {
	for _, t := range w.Troubles {
		if t.Check == "hold" {
			return true
		}
	}
	return false
}
