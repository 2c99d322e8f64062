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
			if !stop.ValidID(args[0]) {
				return usage("%q is no identity of a request: want letters, digits, - and _, at most 64", args[0])
			}
			end, err := s.follow(ctx, args[0], followed{timeout: timeout, stream: s.output == formatJSONL, known: true})
			if err != nil {
				return err
			}
			return s.show(end)
		}),
	}
	c.Flags().DurationVar(&timeout, "timeout", 0, "watch no longer than this; the request goes on (default without end)")
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
	begun          time.Time
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
	case missed == 0:
		return exitReached
	case missed == len(e.rows()):
		return exitFailed
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
	case ctx.Err() != nil:
		return nil, &exit{exitInterrupted, interrupted(request)}
	case errors.Is(context.Cause(following), errTimeout) && (end == nil || err != nil):
		return nil, &exit{exitTimedOut, fmt.Errorf("%s has not ended within %v; it goes on. Watch it: andon watch %s", request, how.timeout, request)}
	default:
		return end, err
	}
}

// interrupted says what goes on, and what can be done about that.
func interrupted(request string) error {
	return fmt.Errorf("interrupted; %s goes on\n  watch it again:  andon watch %s\n  hold all calls:  andon hold --for 15m --reason …\n  undo it:         andon resume %s", request, request, request)
}

// news is what happens while a request is followed: one of these.
type news struct {
	result   *stop.Result
	progress *stop.Progress
}

// unknown is how long a request may be unheard of before that is looked into.
const unknown = 2 * time.Second

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
	end := &ending{tally: tally{request: request, counts: make(map[stop.Outcome]int), begun: time.Now()}}
	screen := s.newScreen(how.quiet)
	tick := time.NewTicker(screen.every)
	defer tick.Stop()
	silence := time.NewTimer(unknown)
	defer silence.Stop()
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
			if err := s.unheard(ctx, request, how); err != nil {
				return nil, err
			}
		case <-tick.C:
			screen.draw(end.tally)
		case n := <-heard:
			silence.Stop()
			if n.progress != nil {
				end.told, end.total = *n.progress, n.progress.Total
				continue
			}
			if how.stream {
				if err := printLine(s, n.result); err != nil {
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

// unheard looks into why there is neither result nor progress of a request.
func (s *session) unheard(ctx context.Context, request string, how followed) error {
	bulk, err := s.client.Manifest(ctx, request)
	if err != nil || bulk != nil {
		return err
	}
	atWork, err := s.client.Planned(ctx, request)
	if err != nil || atWork {
		return err
	}
	waiting, err := s.client.Waiting(ctx)
	if err != nil {
		return err
	}
	if how.known && waiting.Unplanned == 0 {
		// A result may have come just now.
		if r, err := s.client.Result(ctx, request); err != nil || r != nil {
			return err
		}
		return fmt.Errorf("there is no request %s: nothing waits to be planned, and no result is kept (they are for 30 days)", request)
	}
	workers, err := s.client.Workers(ctx)
	switch {
	case errors.Is(err, queue.ErrPermission):
		return err
	case err == nil && len(workers) == 0:
		s.say("%s waits: no worker answers, so nobody has looked at it yet. Nothing is lost; start one", request)
	default:
		s.say("%s waits: no worker has looked at it yet (%s before it or with it, %s)", request, count(int(waiting.Unplanned), "request"), count(len(workers), "worker"))
	}
	return nil
}

// listed is how many of those that did not reach the goal are shown by themselves.
const listed = 20

// show prints how a request has ended, and ends with the exit code for that.
func (s *session) show(end *ending) error {
	whole := end.whole
	var err error
	switch {
	case s.output == formatJSONL:
	case s.output == formatJSON:
		err = printJSON(s, whole)
	case s.output == formatCSV || whole.Summary == nil:
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
	took := "less than a second"
	if d := end.whole.FinishedAt.Sub(end.whole.RequestedAt); d >= time.Second {
		took = long(d)
	}
	fmt.Fprintf(s.out, "%s: %s in %s\n", end.request, count(end.whole.Total, "group"), took)
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
