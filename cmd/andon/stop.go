package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newStop(s *session) *cobra.Command {
	a := &asking{action: stop.ActionStop}
	c := &cobra.Command{
		Use: "stop [asg…]", Short: "Ask to pause the instance refreshes of groups",
		Long: `Publish a request to pause the live instance refresh of each group. It is stored
when the command ends, and has exactly one result. A paused group is disabled: it
neither scales nor heals until it is resumed.`,
		Example: `  andon stop asg-shopweb1 --region ap-guangzhou --reason "5xx after v18" --wait
  andon stop --urgent asg-shopweb1 --activity asr-runweb01
  andon stop -f groups.csv --incident INC-4711
  andon stop --tag env=prod --name 'web-*' --all-regions --max-targets 50`,
		RunE: coded(func(ctx context.Context, args []string) error { return a.run(ctx, s, args) }),
	}
	a.which(c.Flags())
	a.who(c.Flags())
	c.Flags().BoolVar(&a.rollback, "allow-rollback", false, "pause also an activity that is a rollback, which is usually the cure")
	a.how(c)
	return c
}

func newResume(s *session) *cobra.Command {
	a := &asking{action: stop.ActionResume}
	c := &cobra.Command{
		Use: "resume REQUEST | asg…", Short: "Ask to resume what a request has paused, or groups",
		Long: `Publish a request to resume. With the id of a request, exactly what that has paused
is resumed, and only where it still stands so. Groups that are named are resumed
whoever paused them. A word that begins with asg- is a group.`,
		Example: `  andon resume stop-k3v9q2mxw7 --wait
  andon resume asg-shopweb1 --region ap-guangzhou --mode continue`,
		RunE: coded(func(ctx context.Context, args []string) error { return a.run(ctx, s, args) }),
	}
	a.which(c.Flags())
	a.who(c.Flags())
	c.Flags().StringVar(&a.of, "of", "", "the request, where its id begins like that of a group")
	c.Flags().StringVar(&a.mode, "mode", "", "retry: instances of a batch that failed are tried again; continue: they are left (default retry)")
	a.how(c)
	return c
}

// how are the flags of commands that change something.
func (a *asking) how(c *cobra.Command) {
	set := c.Flags()
	set.BoolVar(&a.urgent, "urgent", false, "go before all others")
	set.BoolVarP(&a.dryRun, "dry-run", "n", false, "decide, and change nothing")
	set.BoolVar(&a.wait, "wait", false, "wait for the results, and show them")
	set.BoolVarP(&a.yes, "yes", "y", false, fmt.Sprintf("do not ask, however many groups; more than %d are asked about", askAbove))
}

func (a *asking) run(ctx context.Context, s *session, args []string) error {
	r, err := a.request(ctx, s, args)
	if err != nil {
		return err
	}
	if a.timeout > 0 && !a.wait {
		return usage("--timeout is for --wait")
	}
	if err := a.mayGoOn(ctx, s, r); err != nil {
		return err
	}
	published := time.Now()
	if err := a.publish(ctx, s, r); err != nil {
		return err
	}
	if !a.wait {
		return a.stored(s, r)
	}
	s.say("%s is stored; waiting for its results", r.ID)
	return a.await(ctx, s, r, published)
}

// mayGoOn asks before many groups are touched.
func (a *asking) mayGoOn(ctx context.Context, s *session, r stop.Request) error {
	if a.yes || r.DryRun {
		return nil
	}
	groups, of, err := a.reach(ctx, s, r)
	if err != nil || groups <= askAbove {
		return err
	}
	verb, means := "Pause", "A paused group neither scales nor heals."
	if a.action == stop.ActionResume {
		verb, means = "Resume", "Their refreshes go on."
	}
	return s.confirm(ctx, fmt.Sprintf("%s %s%s? %s", verb, count(groups, "group"), of, means))
}

// reach is how many groups the request will touch, as far as that is known before
// it is made. What a selector means is found out by a request that changes nothing.
func (a *asking) reach(ctx context.Context, s *session, r stop.Request) (groups int, of string, err error) {
	switch {
	case r.Of != "":
		return a.paused(ctx, s, r.Of)
	case r.Selector == nil:
		return max(len(r.Targets), 1), "", nil
	case r.MaxTargets <= askAbove:
		return r.MaxTargets, "", nil
	}
	look := *a
	look.dryRun = true
	r.ID, r.DryRun = look.newID(), true
	s.say("looking which groups match")
	if err := look.publish(ctx, s, r); err != nil {
		return 0, "", err
	}
	end, err := s.follow(ctx, r.ID, followed{quiet: true, dry: true, timeout: a.timeout})
	if err != nil {
		return 0, "", err
	}
	if end.whole.Outcome != stop.OutcomeDone {
		return 0, "", fmt.Errorf("%s: %s", end.whole.Outcome, end.whole.Message)
	}
	return end.counts[stop.OutcomeWouldPause] + end.counts[stop.OutcomeWouldResume], " that match now", nil
}

// paused is how many groups a request has paused, or may have by its end.
func (a *asking) paused(ctx context.Context, s *session, request string) (groups int, of string, err error) {
	var result *stop.Result
	var bulk *stop.Bulk
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		if result, err = s.client.Result(ctx, request); err != nil || result != nil {
			return err
		}
		bulk, err = s.client.Manifest(ctx, request)
		return err
	})
	switch {
	case err != nil:
		return 0, "", err
	case bulk != nil:
		s.say("%s is still at work, and is undone when it has ended; andon hold stops its calls now", request)
		return bulk.Total, " that " + request + " pauses", nil
	case result == nil || result.Summary == nil:
		return 1, "", nil
	default:
		return result.Outcomes[stop.OutcomePaused], " that " + request + " has paused", nil
	}
}

// publish stores the request, or says that nobody knows whether it is.
func (a *asking) publish(ctx context.Context, s *session, r stop.Request) error {
	m, err := a.message(s, r)
	if err != nil {
		return err
	}
	err = s.publish(ctx, m)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, queue.ErrPermission), errors.Is(err, queue.ErrNoWorker):
		return failed(fmt.Errorf("%s was not published: %w", r.ID, err))
	case errors.Is(err, queue.ErrUnconfirmed):
		return failed(fmt.Errorf("%w; the same command with --id %s asks again and does nothing twice", err, r.ID))
	default:
		return failed(fmt.Errorf("%s was not stored: %w", r.ID, err))
	}
}

// receipt is what is printed of a request that nobody waits for.
type receipt struct {
	Request string `json:"Request"`
}

// stored says that the request is, and what can be done now. On the output stands
// its id alone, for whoever goes on with that.
func (a *asking) stored(s *session, r stop.Request) error {
	s.say("stored; see what becomes of it with: andon watch %s", r.ID)
	if s.output != formatTable {
		return list(s, []receipt{{r.ID}}, []column[receipt]{{field: "Request", cell: func(r receipt) string { return r.Request }}})
	}
	fmt.Fprintln(s.out, r.ID)
	return nil
}

// await shows the results of a request that was published just now.
func (a *asking) await(ctx context.Context, s *session, r stop.Request, published time.Time) error {
	end, err := s.follow(ctx, r.ID, followed{dry: r.DryRun, timeout: a.timeout, stream: s.output == formatJSONL})
	if _, told := err.(*exit); err != nil && !told { //nolint:errorlint // one that is wrapped has been added to
		return fmt.Errorf("%s is stored; what becomes of it is not known: %w", r.ID, err)
	}
	if err != nil {
		return err
	}
	end.sayIfOld(s, published, "these are its results, and nothing was done again")
	return s.show(end)
}
