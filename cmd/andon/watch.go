package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newWatch(s *session) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use: "watch REQUEST", Short: "Follow a request until it has ended",
		Long: `Follow a request until all its targets have their results: live bars on a terminal,
plain lines elsewhere, on the standard error. The output has the summary, and those
that did not reach the goal; with -o jsonl every result as it comes. Watching, and
ending to, change nothing.`,
		Example: `  andon watch stop-k3v9q2mxw7
  andon watch INC-4711 -o jsonl | jq .AutoScalingGroupId`,
		Args: exactly(1),
		RunE: coded(func(ctx context.Context, args []string) error {
			if err := validID(args[0]); err != nil {
				return err
			}
			if timeout < 0 {
				return usage("--timeout %v: must not be negative", timeout)
			}
			end, err := s.follow(ctx, args[0], followed{timeout: timeout, stream: s.output == formatJSONL, known: true})
			if err != nil {
				return err
			}
			return s.show(end)
		}),
	}
	waitFor(c.Flags(), &timeout)
	return c
}

// followed says how a request is followed.
type followed struct {
	timeout time.Duration
	// quiet: without a sign of progress.
	quiet bool
	// stream: each result is printed when it comes.
	stream bool
	// known: the request was published by somebody else, if at all.
	known bool
	// dry: the request changes nothing, so there is nothing to undo.
	dry bool
}

// ending is how a request has ended: as a whole, and its targets.
type ending struct {
	whole   stop.Result
	targets []stop.Result
	tally
}

// tally counts the results of a request as they come.
type tally struct {
	request        string
	total, decided int
	counts         map[stop.Outcome]int
	told           stop.Progress
}

// rows are the results of the targets, by account, region and group; of a request
// for one that is its own.
func (e *ending) rows() []stop.Result {
	if e.whole.Summary == nil {
		return []stop.Result{e.whole}
	}
	slices.SortFunc(e.targets, func(a, b stop.Result) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Target, b.Target))
	})
	return e.targets
}

// missed are those that did not reach the goal.
func (e *ending) missed() []stop.Result {
	var missed []stop.Result
	for _, r := range e.rows() {
		if !r.Outcome.Reached() {
			missed = append(missed, r)
		}
	}
	return missed
}

// code is what the process exits with.
func (e *ending) code() int {
	missed := len(e.missed())
	switch {
	case missed == len(e.rows()): // also where there are none
		return exitFailed
	case missed == 0:
		return exitReached
	default:
		return exitPartly
	}
}

var errTimeout = errors.New("timed out")

// follow waits for the results of a request.
func (s *session) follow(ctx context.Context, request string, how followed) (*ending, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	following := ctx
	if how.timeout > 0 {
		var cancel context.CancelFunc
		following, cancel = context.WithTimeoutCause(ctx, how.timeout, errTimeout)
		defer cancel()
	}
	var end *ending
	err := s.client.Ask(following, func(ctx context.Context) (err error) {
		end, err = s.collect(ctx, request, how)
		return err
	})
	switch {
	case err == nil:
		return end, nil
	case ctx.Err() != nil:
		return nil, &exit{exitInterrupted, interrupted(request, how)}
	case errors.Is(context.Cause(following), errTimeout):
		return nil, &exit{exitTimedOut, fmt.Errorf("%s has not ended within %v; it goes on. Watch it: andon watch %s", request, how.timeout, request)}
	default:
		return nil, err
	}
}

// interrupted says what goes on, and what can be done about that.
func interrupted(request string, how followed) error {
	if how.dry {
		return fmt.Errorf("interrupted; %s changes nothing, and can be watched again: andon watch %s", request, request)
	}
	return fmt.Errorf("interrupted; %s goes on\n  watch it again:  andon watch %s\n  hold all calls:  andon hold --for 15m --reason …\n  undo it:         %s", request, request, undoing(request))
}

// news is what happens while a request is followed: one of these.
type news struct {
	result   *stop.Result
	progress *stop.Progress
}

// How long there may be no result before the reason is looked into, at first and
// then again.
const (
	silent = 2 * time.Second
	still  = 10 * time.Second
)

// collect takes in results and progress until the result of the request as a whole
// is there, and draws.
func (s *session) collect(ctx context.Context, request string, how followed) (*ending, error) {
	var group errgroup.Group
	defer group.Wait() //nolint:errcheck // there are none but of the end
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan news)
	lost := make(chan error, 1)
	tell := func(n news) bool {
		select {
		case heard <- n:
			return true
		case <-ctx.Done():
			return false
		}
	}
	group.Go(func() error {
		lost <- s.client.Await(ctx, request, func(r stop.Result) bool { return tell(news{result: &r}) })
		return nil
	})
	group.Go(func() error {
		return s.client.Progress(ctx, request, func(p stop.Progress) { tell(news{progress: &p}) })
	})
	end := &ending{tally: tally{request: request, counts: make(map[stop.Outcome]int)}}
	screen := s.newScreen(how)
	tick := time.NewTicker(screen.every)
	defer tick.Stop()
	silence := time.NewTimer(silent)
	defer silence.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case err := <-lost:
			if err == nil {
				err = context.Cause(ctx)
			}
			return nil, err
		case <-silence.C:
			why, err := s.unheard(ctx, request, how)
			if err != nil {
				return nil, err
			}
			if why != "" && why != said {
				screen.say(s, "%s waits: %s", request, why)
			}
			said = why
			silence.Reset(still)
		case <-tick.C:
			screen.draw(end.tally)
		case n := <-heard:
			if n.progress != nil {
				end.told, end.total = *n.progress, n.progress.Total
				continue
			}
			silence.Reset(still)
			if how.stream {
				if err := printJSON(s, n.result); err != nil {
					return nil, err
				}
			}
			if end.add(*n.result) {
				screen.finish(end.tally)
				return end, nil
			}
		}
	}
}

// add counts a result, and reports whether it is the last.
func (e *ending) add(r stop.Result) bool {
	if r.Target == "" {
		e.whole = r
		if r.Summary == nil {
			e.total, e.decided = 1, 1
			e.counts[r.Outcome]++
		} else {
			e.total = r.Total
		}
		return true
	}
	e.targets = append(e.targets, r)
	e.decided++
	e.counts[r.Outcome]++
	return false
}

// unheard looks into why there is no result of a request, or no other; empty: it is
// just not its turn. What may not be looked at is left out.
func (s *session) unheard(ctx context.Context, request string, how followed) (why string, err error) {
	known, err := s.heardOf(ctx, request)
	if err != nil {
		return "", err
	}
	var waiting queue.Waiting
	if !known {
		if waiting, err = s.client.Waiting(ctx); err != nil {
			return "", err
		}
		if how.known && waiting.Unplanned == 0 {
			// It may have been planned, or have ended, just now.
			if known, err = s.heardOf(ctx, request); err != nil || known {
				return "", err
			}
			return "", fmt.Errorf("there is no request %s: nothing waits to be planned, and no result is kept (they are for 30 days)", request)
		}
	}
	var hold *stop.Hold
	if err := s.client.Ask(ctx, func(ctx context.Context) (err error) { hold, err = s.client.Hold(ctx); return err }); err == nil && hold.InForce(time.Now()) {
		return fmt.Sprintf("all calls are held by %s, %s: %s", cmp.Or(hold.By, "somebody"), until(*hold), clean(hold.Reason, "")), nil
	}
	workers, err := s.workers(ctx)
	switch {
	case err == nil && len(workers) == 0:
		return "no worker answers. Nothing is lost; it goes on when one is there", nil
	case !known && how.known:
		return fmt.Sprintf("nobody knows of it yet; it may be among the %s that no worker has looked at", count(int(waiting.Unplanned), "request")), nil
	case !known:
		return fmt.Sprintf("no worker has looked at it yet (%s before it or with it)", count(int(waiting.Unplanned), "request")), nil
	}
	for _, w := range workers {
		for _, h := range w.Held {
			return clean(fmt.Sprintf("account %s is left alone, because its credentials are refused since %s: %s %s", h.Account, clock(h.Since), h.Answer.Code, h.Answer.Message), ""), nil
		}
	}
	return "", nil
}

// heardOf reports whether a request has been planned, or has ended.
func (s *session) heardOf(ctx context.Context, request string) (bool, error) {
	result, err := s.client.Result(ctx, request)
	if err != nil || result != nil {
		return result != nil, err
	}
	bulk, err := s.client.Manifest(ctx, request)
	if err != nil || bulk != nil {
		return bulk != nil, err
	}
	return s.client.Planned(ctx, request)
}

// whole is the result of a request with those of its targets.
type whole struct {
	stop.Result

	Results []stop.Result `json:"Results,omitempty"`
}

// listed is how many of those that did not reach the goal are shown by themselves.
const listed = 20

// sayIfOld says that a request was published before this program began: what it ends
// with is of then. Clocks differ; that long ago is not just now by any.
func (e *ending) sayIfOld(s *session, published time.Time, so string) {
	const before = time.Minute
	if published.Sub(e.whole.RequestedAt) > before {
		s.say("%s was asked for %s ago already; %s", e.request, long(time.Since(e.whole.RequestedAt)), so)
	}
}

// show prints how a request has ended, and ends with the exit code for that.
func (s *session) show(end *ending) error {
	var err error
	switch {
	case s.output == formatJSONL: // printed as they came
	case s.output == formatJSON && end.whole.Summary != nil:
		err = printJSON(s, whole{end.whole, end.rows()})
	case s.output == formatJSON:
		err = printJSON(s, end.whole)
	case s.output == formatCSV || end.whole.Summary == nil:
		err = list(s, end.rows(), resultColumns())
	default:
		err = s.summary(end)
	}
	if err != nil {
		return err
	}
	return ended(end.code())
}

// summary prints what became of many targets, and those that somebody must look at.
func (s *session) summary(end *ending) error {
	type line struct {
		outcome stop.Outcome
		groups  int
	}
	var lines []line
	for _, o := range stop.Outcomes() {
		if n := end.whole.Outcomes[o]; n > 0 {
			lines = append(lines, line{o, n})
		}
	}
	fmt.Fprintf(s.out, "%s: %s in %s\n", end.request, count(end.whole.Total, "group"), took(end.whole.FinishedAt.Sub(end.whole.RequestedAt), ""))
	if end.whole.Message != "" {
		fmt.Fprintln(s.out, clean(end.whole.Message, ""))
	}
	err := list(s, lines, []column[line]{
		{head: "OUTCOME", cell: func(l line) string { return string(l.outcome) }, color: func(l line) string { return outcomeColor(l.outcome) }},
		{head: "GROUPS", cell: func(l line) string { return fmt.Sprint(l.groups) }},
	})
	missed := end.missed()
	if err != nil || len(missed) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	if err := list(s, missed[:min(len(missed), listed)], resultColumns()); err != nil {
		return err
	}
	if more := len(missed) - listed; more > 0 {
		s.say("and %d more: andon results %s --outcome …", more, end.request)
	}
	return nil
}
