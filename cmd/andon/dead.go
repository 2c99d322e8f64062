package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newDead(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "dead", Short: "List, show and replay dead letters",
		Long: `Dead letters are requests, and targets of requests, that were given up or could not be
read, with all that is needed to ask again. They are kept for 90 days.`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDeadList(s), newDeadShow(s), newDeadReplay(s))
	return c
}

func newDeadList(s *session) *cobra.Command {
	var filters []string
	c := &cobra.Command{
		Use: "ls", Short: "List dead letters, the oldest first", Args: exactly(0),
		Example: `  andon dead ls --filter why=failed --filter 'request=INC-*'`,
		RunE: coded(func(ctx context.Context, _ []string) error {
			letters, err := s.letters(ctx, "", filters)
			if err != nil {
				return err
			}
			if len(letters) == 0 {
				s.say("no dead letters")
			}
			return list(s, letters, letterColumns())
		}),
	}
	filterFlag(c, &filters)
	return c
}

func newDeadShow(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST", Short: "Show the dead letters of a request, with what it asked for", Args: exactly(1),
		RunE: coded(func(ctx context.Context, args []string) error {
			if err := validID(args[0]); err != nil {
				return err
			}
			letters, err := s.letters(ctx, args[0], nil)
			switch {
			case err != nil:
				return err
			case len(letters) == 0:
				return failed(fmt.Errorf("there is no dead letter of %s", args[0]))
			case s.output != formatTable:
				return list(s, letters, letterColumns())
			}
			for i, l := range letters {
				if i > 0 {
					fmt.Fprintln(s.out)
				}
				s.letter(l)
			}
			return nil
		}),
	}
}

func newDeadReplay(s *session) *cobra.Command {
	var filters []string
	var rate float64
	var all, dryRun, yes bool
	c := &cobra.Command{
		Use: "replay [REQUEST…]", Short: "Ask again for what was given up",
		Long: `Publish what dead letters hold as new requests, with ids of their own. Replaying a
letter twice asks for one request once. The letters stay where they are. A NotAfter
of the old request does not count: this is a new decision. What could not be read at
all is left out, for it would end the same.`,
		Example: `  andon dead replay INC-4711
  andon dead replay --filter why=failed --rate 5 --dry-run`,
		RunE: coded(func(ctx context.Context, args []string) error {
			switch {
			case len(args) == 0 && len(filters) == 0 && !all:
				return usage("say which: REQUEST…, --filter, or --all")
			case !(rate >= slowestReplay && rate <= fastestReplay): // also what is no number
				return usage("--rate %v: must be from %v to %v", rate, slowestReplay, fastestReplay)
			}
			again, err := s.again(ctx, args, filters)
			if err != nil {
				return err
			}
			if len(again) == 0 {
				return failed(errors.New("there are no such dead letters"))
			}
			if !dryRun {
				if n := len(again); n > askAbove && !yes {
					if err := s.confirm(ctx, fmt.Sprintf("Ask again for %s?", count(n, "dead letter"))); err != nil {
						return err
					}
				}
				err = s.replay(ctx, again, rate)
			}
			if shown := list(s, again, replayColumns(dryRun)); err != nil || shown != nil {
				return cmp.Or(err, shown)
			}
			return ended(replayed(again, dryRun))
		}),
	}
	filterFlag(c, &filters)
	c.Flags().BoolVar(&all, "all", false, "all dead letters")
	c.Flags().Float64Var(&rate, "rate", 10, "requests a second")
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "show what would be published, and publish nothing")
	c.Flags().BoolVarP(&yes, "yes", "y", false, fmt.Sprintf("do not ask; more than %d are asked about", askAbove))
	return c
}

func filterFlag(c *cobra.Command, filters *[]string) {
	c.Flags().StringArrayVar(filters, "filter", nil, "only those whose request, target, why, message or subject matches, as why=failed or 'message=the API*'; several must all match")
}

// letters reads those that match.
func (s *session) letters(ctx context.Context, request string, filters []string) ([]queue.Letter, error) {
	match, err := matcher(filters)
	if err != nil {
		return nil, err
	}
	letters := []queue.Letter{}
	err = s.read(ctx, func(ctx context.Context) error {
		return s.client.Letters(ctx, request, func(l queue.Letter) bool {
			if match(l) {
				letters = append(letters, l)
			}
			return true
		})
	})
	return letters, err
}

// matcher reads filters such as why=failed; * stands for any text.
func matcher(filters []string) (func(queue.Letter) bool, error) {
	fields := map[string]func(queue.Letter) string{
		"request": func(l queue.Letter) string { return l.Request },
		"target":  func(l queue.Letter) string { return l.Target },
		"why":     func(l queue.Letter) string { return string(l.Why) },
		"message": func(l queue.Letter) string { return l.Message },
		"subject": func(l queue.Letter) string { return l.Subject },
	}
	type test struct {
		of      func(queue.Letter) string
		pattern *regexp.Regexp
	}
	var tests []test
	for _, f := range filters {
		name, pattern, ok := strings.Cut(f, "=")
		known, err := stop.Wildcard(pattern)
		if !ok || fields[name] == nil || err != nil {
			return nil, usage("--filter %q: want a field and a pattern, such as why=failed; the fields are request, target, why, message, subject", f)
		}
		tests = append(tests, test{fields[name], known})
	}
	return func(l queue.Letter) bool {
		for _, t := range tests {
			if !t.pattern.MatchString(t.of(l)) {
				return false
			}
		}
		return true
	}, nil
}

func letterColumns() []column[queue.Letter] {
	type letter = queue.Letter
	return []column[letter]{
		{head: "PLACE", field: "Place", cell: func(l letter) string { return strconv.FormatUint(l.Place, 10) }},
		{head: "TIME", cell: func(l letter) string { return clock(l.DeadAt) }},
		{field: "DeadAt", cell: func(l letter) string { return stamp(l.DeadAt) }},
		{head: "REQUEST", field: "Request", cell: func(l letter) string { return l.Request }},
		{head: "TARGET", field: "Target", cell: func(l letter) string { return l.Target }},
		{head: "WHY", field: "Why", cell: func(l letter) string { return string(l.Why) }},
		{field: "Subject", cell: func(l letter) string { return l.Subject }},
		{head: "MESSAGE", field: "Message", cell: func(l letter) string { return l.Message }},
	}
}

// letter prints one with its payload, as text: made easier to read where it is
// JSON, and harmless for the terminal where it is anything else.
func (s *session) letter(l queue.Letter) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.out, "%-9s %s\n", name, clean(value, ""))
		}
	}
	line("Request", l.Request)
	line("Target", l.Target)
	line("Why", string(l.Why))
	line("Message", l.Message)
	line("Subject", l.Subject)
	line("Stored", l.StoredAt.Local().Format(time.RFC3339))
	line("Dead", l.DeadAt.Local().Format(time.RFC3339))
	line("Worker", l.Worker)
	for _, name := range slices.Sorted(maps.Keys(l.Header)) {
		line("Header", name+": "+strings.Join(l.Header[name], ", "))
	}
	payload := l.Data
	var pretty bytes.Buffer
	if json.Indent(&pretty, l.Data, "", "  ") == nil {
		payload = pretty.Bytes()
	}
	fmt.Fprintln(s.out, clean(string(payload), "\n"))
	if l.Truncated() {
		s.say("%d of %d bytes are kept", len(l.Data), l.Size)
	}
}

// Bounds of --rate, in requests a second.
const (
	slowestReplay = 0.01
	fastestReplay = 1000.0
)

// replay is a letter that is to be asked for again, or why it cannot be.
type replay struct {
	Place     uint64 `json:"Place"`
	Of        string `json:"Of"`
	Request   string `json:"Request,omitempty"`
	Published bool   `json:"Published"`
	Problem   string `json:"Problem,omitempty"`

	message stop.Message
}

// again makes requests of the letters that match.
func (s *session) again(ctx context.Context, requests, filters []string) ([]replay, error) {
	if len(requests) == 0 {
		requests = []string{""}
	}
	var all []replay
	for _, request := range requests {
		if err := validID(request); request != "" && err != nil {
			return nil, err
		}
		letters, err := s.letters(ctx, request, filters)
		if err != nil {
			return nil, err
		}
		for _, l := range letters {
			r := replay{Place: l.Place, Of: stop.Task{Request: l.Request, Name: l.Target}.Key()}
			var err error
			if r.message, r.Request, err = l.Again(l.Place); err != nil {
				r.Problem = err.Error()
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// replay publishes them, no faster than the rate.
func (s *session) replay(ctx context.Context, all []replay, rate float64) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	published := 0
	for i := range all {
		r := &all[i]
		if r.Problem != "" {
			continue
		}
		var err error
		if published > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err == nil {
			err = s.publish(ctx, r.message)
		}
		if err != nil {
			return fmt.Errorf("after %s: %w; the same command goes on where it stopped and does nothing twice", count(published, "request"), err)
		}
		r.Published = true
		published++
	}
	return nil
}

// replayed is the exit code.
func replayed(all []replay, dryRun bool) int {
	problems := 0
	for _, r := range all {
		if r.Problem != "" {
			problems++
		}
	}
	switch {
	case problems == 0 || dryRun:
		return exitReached
	case problems == len(all):
		return exitFailed
	default:
		return exitPartly
	}
}

func replayColumns(dryRun bool) []column[replay] {
	done := "published"
	if dryRun {
		done = "would be published"
	}
	return []column[replay]{
		{head: "PLACE", field: "Place", cell: func(r replay) string { return strconv.FormatUint(r.Place, 10) }},
		{head: "OF", field: "Of", cell: func(r replay) string { return r.Of }},
		{head: "REQUEST", field: "Request", cell: func(r replay) string { return r.Request }},
		{head: "STATE", field: "State", cell: func(r replay) string {
			switch {
			case r.Problem != "":
				return "left out: " + r.Problem
			case !r.Published && !dryRun:
				return "not yet"
			default:
				return done
			}
		}, color: func(r replay) string {
			if r.Problem != "" {
				return fair
			}
			return ""
		}},
	}
}
