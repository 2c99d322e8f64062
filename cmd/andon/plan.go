package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newPlan(s *session) *cobra.Command {
	a := &asking{action: stop.ActionStop, dryRun: true}
	c := &cobra.Command{
		Use: "plan [asg…]", Short: "Look what a stop would do, and change nothing",
		Long: `Ask the workers what they would do if the same flags were given to andon stop: which
groups would be paused, which not and why, and how long it would take at the rate
that is granted today.`,
		Example: `  andon plan --tag env=prod --name 'web-*' --all-regions --max-targets 50
  andon plan -f groups.csv -o csv`,
		RunE: coded(func(ctx context.Context, args []string) error { return a.look(ctx, s, args) }),
	}
	a.which(c.Flags())
	a.who(c.Flags())
	c.Flags().BoolVar(&a.rollback, "allow-rollback", false, "as for andon stop")
	return c
}

func (a *asking) look(ctx context.Context, s *session, args []string) error {
	r, err := a.request(ctx, s, args)
	if err != nil {
		return err
	}
	published := time.Now()
	if err := a.publish(ctx, s, r); err != nil {
		return err
	}
	end, err := s.follow(ctx, r.ID, followed{dry: true, timeout: a.timeout})
	if err != nil {
		return err
	}
	end.sayIfOld(s, published, "this is what was found then")
	f := a.forecast(ctx, s, end)
	if s.output == formatJSON {
		f.Results = end.rows()
		err = printJSON(s, f)
	} else {
		err = list(s, end.rows(), resultColumns())
	}
	if err != nil {
		return err
	}
	s.say("%s", f)
	return ended(end.code())
}

// forecast is what a stop would do.
type forecast struct {
	// WouldPause counts the groups that would be paused, Others those that would not.
	WouldPause int `json:"WouldPause"`
	Others     int `json:"Others"`
	// Seconds is how long that would take at the Rate that is granted at present to
	// the slowest of the Quotas; missing where that is not known.
	Seconds float64       `json:"Seconds,omitempty"`
	Rate    float64       `json:"Rate,omitempty"`
	Quotas  int           `json:"Quotas"`
	Unknown string        `json:"Unknown,omitempty"`
	Results []stop.Result `json:"Results"`
}

// forecast counts what would be paused, and how long that takes: calls are bound by
// the quota of their account and endpoint, and the slowest counts.
func (a *asking) forecast(ctx context.Context, s *session, end *ending) forecast {
	f := forecast{WouldPause: end.counts[stop.OutcomeWouldPause]}
	f.Others = end.total - f.WouldPause
	if f.WouldPause == 0 {
		return f
	}
	workers, err := s.workers(ctx)
	if err != nil || len(workers) == 0 {
		f.Unknown = "no worker could be asked"
		return f
	}
	stops := make(map[stop.Quota]int)
	for _, r := range end.rows() {
		if r.Outcome == stop.OutcomeWouldPause {
			stops[quotaOf(workers[0], r.Account, r.Region)]++
		}
	}
	f.Quotas = len(stops)
	for q, n := range stops {
		rate := granted(workers, q)
		if rate <= 0 {
			f.Seconds, f.Rate, f.Unknown = 0, 0, fmt.Sprintf("account %s makes no calls at present, see andon status", q.Account)
			return f
		}
		if seconds := float64(n) / rate; seconds > f.Seconds {
			f.Seconds, f.Rate = seconds, rate
		}
	}
	return f
}

// String says it in a sentence.
func (f forecast) String() string {
	if f.WouldPause == 0 {
		return "nothing would be paused"
	}
	text := count(f.WouldPause, "group") + " would be paused"
	if f.Others > 0 {
		text += fmt.Sprintf(", and %d not", f.Others)
	}
	if f.Unknown != "" {
		return text + "; how long that takes is not known: " + f.Unknown
	}
	return fmt.Sprintf("%s; it would take %s at the %.4g calls a second that are granted at present to %s",
		text, took(time.Duration(f.Seconds*float64(time.Second)), "about "), f.Rate, each(f.Quotas))
}

func each(quotas int) string {
	if quotas == 1 {
		return "their account and endpoint"
	}
	return fmt.Sprintf("each of %d accounts and endpoints", quotas)
}

// quotaOf is what calls for an account and region count against.
func quotaOf(w stop.Worker, account, region string) stop.Quota {
	return stop.Quota{Account: account, Endpoint: strings.ReplaceAll(w.Endpoint, "{region}", region)}
}

// granted is the rate of Stops of a quota: the least that a worker knows of, for one
// that has not used it does not know that it was throttled.
func granted(workers []stop.Worker, q stop.Quota) float64 {
	rate := math.Inf(1)
	for _, w := range workers {
		rate = min(rate, w.Rate)
		for _, g := range w.Granted {
			if g.Quota == q && g.Action == stop.ActionStop {
				rate = min(rate, g.Rate)
			}
		}
		for _, h := range w.Held {
			if h.Account == q.Account && h.Action == stop.ActionStop {
				return 0
			}
		}
	}
	return rate
}
