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
	a := &asking{action: stop.ActionStop, dryRun: true, wait: true}
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
	r, err := a.request(s, args)
	if err != nil {
		return err
	}
	published := time.Now()
	if err := a.publish(ctx, s, r); err != nil {
		return err
	}
	end, err := s.follow(ctx, r.ID, followed{timeout: a.timeout})
	if err != nil {
		return err
	}
	if published.Sub(end.whole.RequestedAt) > time.Minute {
		s.say("%s was asked for %s ago already; this is what was found then", r.ID, long(time.Since(end.whole.RequestedAt)))
	}
	if err := list(s, end.rows(), resultColumns()); err != nil {
		return err
	}
	s.say("%s", a.estimate(ctx, s, end))
	return ended(end.code())
}

// estimate is how many groups would be paused, and how long that takes: calls are
// bound by the quota of their account and endpoint, and the slowest counts.
func (a *asking) estimate(ctx context.Context, s *session, end *ending) string {
	would := end.counts[stop.OutcomeWouldPause]
	if would == 0 {
		return "nothing would be paused"
	}
	summary := count(would, "group") + " would be paused"
	if rest := end.total - would; rest > 0 {
		summary += fmt.Sprintf(", and %d not", rest)
	}
	var workers []stop.Worker
	if err := s.ask(ctx, func(ctx context.Context) (err error) { workers, err = s.client.Workers(ctx); return err }); err != nil || len(workers) == 0 {
		return summary + "; how long that takes is not known, because no worker could be asked"
	}
	stops := make(map[stop.Quota]int)
	for _, r := range end.rows() {
		if r.Outcome == stop.OutcomeWouldPause {
			stops[quotaOf(workers[0], r.Account, r.Region)]++
		}
	}
	var slowest time.Duration
	var at float64
	for q, n := range stops {
		rate := granted(workers, q)
		if rate <= 0 {
			return summary + fmt.Sprintf("; account %s makes no calls at present, see andon status", q.Account)
		}
		if d := time.Duration(math.Ceil(float64(n) / rate * float64(time.Second))); d > slowest {
			slowest, at = d, rate
		}
	}
	took := "less than a second"
	if slowest >= time.Second {
		took = "about " + long(slowest)
	}
	return fmt.Sprintf("%s; it would take %s at the %.4g calls a second that are granted at present to %s", summary, took, at, each(len(stops)))
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
