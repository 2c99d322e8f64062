package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newHold(s *session) *cobra.Command {
	var h stop.Hold
	var length time.Duration
	var replace bool
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
			case length != 0 && length < time.Second:
				return usage("--for %v: must be at least 1s", length)
			case length > 0:
				h.Until = time.Now().Add(length).UTC().Truncate(time.Second)
			}
			h.By = s.asker(h.By)
			if err := s.ask(ctx, func(ctx context.Context) error { return s.hold(ctx, h, replace) }); err != nil {
				return err
			}
			s.say("all calls are held %s: %s. Go on with: andon release", until(h), clean(h.Reason, ""))
			return s.heldBy(ctx, true)
		}),
	}
	c.Flags().StringVar(&h.Reason, "reason", "", "why; shown by andon status and the readiness of the workers")
	c.Flags().StringVar(&h.By, "by", "", "who holds, $ANDON_BY (default the user of this machine)")
	c.Flags().BoolVar(&replace, "replace", false, "instead of a hold that is there")
	c.Flags().DurationVar(&length, "for", 0, "end by itself after this time (default when it is released)")
	return c
}

// hold stores a hold, and leaves one that is in force unless it is to be replaced:
// whoever made that counts on it.
func (s *session) hold(ctx context.Context, h stop.Hold, replace bool) error {
	there, err := s.client.Hold(ctx)
	if err != nil {
		return err
	}
	over := there != nil && !there.InForce(time.Now())
	err = s.client.SetHold(ctx, h, replace || over)
	if !errors.Is(err, stop.ErrLost) {
		return err
	}
	if there == nil {
		return errors.New("somebody else holds all calls since just now; see andon status, and say --replace if yours is to count")
	}
	return fmt.Errorf("%s holds all calls already, %s: %s; say --replace if yours is to count instead", cmp.Or(there.By, "somebody"), until(*there), there.Reason)
}

func until(h stop.Hold) string {
	if h.Until.IsZero() {
		return "until somebody releases them"
	}
	return "until " + clock(h.Until)
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
			if !hold.InForce(time.Now()) {
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
	for {
		workers, err := s.workers(ctx)
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
		if len(workers) == 0 {
			s.say("no worker answers; each that is started hears of it")
			return nil
		}
		if heard == len(workers) || ctx.Err() != nil {
			s.say("heard by %d of %s", heard, count(len(workers), "worker"))
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
