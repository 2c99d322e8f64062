package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newStatus(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show workers, queues, rates, what is held and what is paused",
		Long: `Ask the workers how they do, and the broker what waits. What may not be looked at, or
cannot, is named, and the rest is shown. Exit code 1: no worker answers, or something
could not be looked at.`,
		Args: exactly(0),
		RunE: coded(func(ctx context.Context, _ []string) error {
			if s.output == formatCSV {
				return usage("--output csv: the status is no list; use table, json or jsonl")
			}
			st, err := s.status(ctx)
			if err != nil {
				return err
			}
			if s.output != formatTable {
				if err := printJSON(s, st); err != nil {
					return err
				}
			} else if err := s.showStatus(st); err != nil {
				return err
			}
			if len(st.Workers) == 0 || len(st.Unknown) > 0 {
				return ended(exitFailed)
			}
			return nil
		}),
	}
}

// status is how the whole fleet does.
type status struct {
	Broker  string             `json:"Broker"`
	Workers []stop.Worker      `json:"Workers"`
	Queues  []lane             `json:"Queues"`
	Waiting *queue.Waiting     `json:"Waiting,omitempty"`
	Granted []stop.Granted     `json:"Granted"`
	Held    []stop.HeldAccount `json:"Held"`
	Hold    *stop.Hold         `json:"Hold,omitempty"`
	Paused  *stop.Paused       `json:"Paused,omitempty"`
	Unknown []unanswered       `json:"Unknown,omitempty"`
}

// lane is what waits in one.
type lane struct {
	Lane    stop.Lane     `json:"Lane"`
	Pending uint64        `json:"Pending"`
	Oldest  time.Duration `json:"-"`
	Seconds float64       `json:"OldestSeconds"`
}

// unanswered is a question that was not.
type unanswered struct {
	What string `json:"What"`
	Why  string `json:"Why"`
}

func (s *session) status(ctx context.Context) (*status, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	st := &status{Broker: s.client.Server(), Workers: []stop.Worker{}, Queues: []lane{}, Granted: []stop.Granted{}, Held: []stop.HeldAccount{}}
	questions := []struct {
		what string
		ask  func(context.Context) error
	}{
		{"workers", func(ctx context.Context) (err error) { st.Workers, err = s.client.Workers(ctx); return err }},
		{"queues", func(ctx context.Context) error {
			backlog, err := s.client.Backlog(ctx)
			if err != nil {
				return err
			}
			for _, l := range stop.Lanes() {
				b := backlog[l]
				st.Queues = append(st.Queues, lane{l, b.Pending, b.Oldest, b.Oldest.Seconds()})
			}
			return nil
		}},
		{"requests", func(ctx context.Context) error {
			w, err := s.client.Waiting(ctx)
			if err == nil {
				st.Waiting = &w
			}
			return err
		}},
		{"hold", func(ctx context.Context) error {
			h, err := s.client.Hold(ctx)
			if err == nil && h.InForce(time.Now()) {
				st.Hold = h
			}
			return err
		}},
		{"paused", func(ctx context.Context) error {
			var p stop.Paused
			revision, err := s.client.Control(ctx, stop.ControlPaused, &p)
			if err == nil && revision > 0 {
				st.Paused = &p
			}
			return err
		}},
	}
	for _, q := range questions {
		err := s.ask(ctx, q.ask)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || errors.Is(err, queue.ErrNoWorker) {
			return nil, err
		}
		st.Unknown = append(st.Unknown, unanswered{q.what, err.Error()})
	}
	st.gather()
	return st, nil
}

// gather makes one list of what each worker knows: of a rate the least, for who has
// not used a quota of late does not know that it was throttled.
func (st *status) gather() {
	slices.SortFunc(st.Workers, func(a, b stop.Worker) int { return cmp.Compare(a.Worker, b.Worker) })
	for _, w := range st.Workers {
		st.Held = append(st.Held, w.Held...)
		for _, g := range w.Granted {
			if g.Action == stop.ActionStop || g.Action == stop.ActionResume {
				st.Granted = append(st.Granted, g)
			}
		}
	}
	slices.SortFunc(st.Granted, func(a, b stop.Granted) int {
		return cmp.Or(-cmp.Compare(a.Action, b.Action), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Rate, b.Rate))
	})
	st.Granted = slices.CompactFunc(st.Granted, func(a, b stop.Granted) bool { return a.Action == b.Action && a.Quota == b.Quota })
	slices.SortFunc(st.Held, func(a, b stop.HeldAccount) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Action, b.Action), a.Since.Compare(b.Since))
	})
	st.Held = slices.CompactFunc(st.Held, func(a, b stop.HeldAccount) bool { return a.Account == b.Account && a.Action == b.Action })
}

func (s *session) showStatus(st *status) error {
	colored := s.colored(s.out)
	warn := func(text, color string) string {
		if colored {
			return paint(text, color)
		}
		return text
	}
	fmt.Fprintf(s.out, "broker %s\n", st.Broker)
	if h := st.Hold; h != nil {
		fmt.Fprintln(s.out, warn(clean(fmt.Sprintf("HELD: no worker makes a call, %s: %s (%s)", until(*h), h.Reason, cmp.Or(h.By, "nobody says who")), ""), bad))
	}
	for _, h := range st.Held {
		fmt.Fprintln(s.out, warn(clean(fmt.Sprintf("REFUSED: account %s since %s: %s: %s %s", h.Account, clock(h.Since), h.Action, h.Answer.Code, h.Answer.Message), ""), bad))
	}
	if p := st.Paused; p != nil && p.Groups > 0 {
		fmt.Fprintln(s.out, warn(fmt.Sprintf("paused: %s, the oldest for %s; see andon paused", count(p.Groups, "group"), long(time.Since(p.Oldest))), ageColor(time.Since(p.Oldest))))
	}
	if w := st.Waiting; w != nil {
		if w.DeadLetters > 0 {
			fmt.Fprintf(s.out, "%s; see andon dead ls\n", count(int(w.DeadLetters), "dead letter"))
		}
		if len(w.Bulks) > 0 {
			fmt.Fprintf(s.out, "at work: %s; see andon watch\n", clean(strings.Join(w.Bulks, ", "), ""))
		}
	}
	fmt.Fprintln(s.out)
	if err := s.showTables(st); err != nil {
		return err
	}
	for _, u := range st.Unknown {
		s.say("%s not known: %s", u.What, clean(u.Why, ""))
	}
	if len(st.Workers) == 0 {
		s.say("no worker answers: requests are kept, and carried out when one is there")
	}
	return nil
}

func (s *session) showTables(st *status) error {
	if len(st.Workers) > 0 {
		err := list(s, st.Workers, []column[stop.Worker]{
			{head: "WORKER", cell: func(w stop.Worker) string { return w.Worker }},
			{head: "VERSION", cell: func(w stop.Worker) string { return w.Version }},
			{head: "UP", cell: func(w stop.Worker) string { return long(time.Since(w.StartedAt)) }},
			{head: "IN HAND", cell: func(w stop.Worker) string { return strconv.Itoa(w.InHand) }},
			{head: "STATE", cell: state, color: func(w stop.Worker) string {
				if len(w.Troubles) > 0 {
					return bad
				}
				return good
			}},
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(s.out)
	}
	err := list(s, st.Queues, []column[lane]{
		{head: "LANE", cell: func(l lane) string { return string(l.Lane) }},
		{head: "PENDING", cell: func(l lane) string { return strconv.FormatUint(l.Pending, 10) }},
		{head: "OLDEST", cell: func(l lane) string { return long(l.Oldest) }},
	})
	if err != nil || len(st.Granted) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	return list(s, st.Granted, []column[stop.Granted]{
		{head: "ACTION", cell: func(g stop.Granted) string { return g.Action }},
		{head: "ACCOUNT", cell: func(g stop.Granted) string { return g.Account }},
		{head: "ENDPOINT", cell: func(g stop.Granted) string { return g.Endpoint }},
		{head: "GRANTED", cell: func(g stop.Granted) string { return fmt.Sprintf("%.4g/s", g.Rate) }},
	})
}

// state is whether a worker works, and why not.
func state(w stop.Worker) string {
	var kinds []string
	if w.DryRun {
		kinds = append(kinds, "dry run")
	}
	if w.Simulated {
		kinds = append(kinds, "simulated API")
	}
	state := "ready"
	if len(w.Troubles) > 0 {
		var troubles []string
		for _, t := range w.Troubles {
			troubles = append(troubles, t.Check+": "+t.Message)
		}
		state = strings.Join(troubles, "; ")
	}
	if len(kinds) > 0 {
		state += " (" + strings.Join(kinds, ", ") + ")"
	}
	return state
}
