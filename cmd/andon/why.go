package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newWhy(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "why asg-…", Short: "Tell who paused a group, when, and why",
		Long: `Tell in a sentence who paused a group, when, why and for how long, with the RequestId
of the API; and what else andon did to it, as far as results are kept (30 days).`,
		Args: exactly(1),
		RunE: coded(func(ctx context.Context, args []string) error {
			if bad := (stop.Target{AutoScalingGroupID: args[0]}).Check(); bad != nil {
				return usage("%v", bad)
			}
			return s.why(ctx, args[0])
		}),
	}
}

// story is what is known of a group.
type story struct {
	AutoScalingGroupID string `json:"AutoScalingGroupId"`
	// Paused: it stands paused by andon. Since and Seconds are of that pause, also
	// of one that is over.
	Paused   bool          `json:"Paused"`
	Since    time.Time     `json:"Since,omitzero"`
	Seconds  int           `json:"Seconds,omitempty"`
	Sentence string        `json:"Sentence"`
	Results  []stop.Result `json:"Results"`
}

func (s *session) why(ctx context.Context, group string) error {
	var results []stop.Result
	var held []pause
	err := s.read(ctx, func(ctx context.Context) error {
		keys, err := s.client.About(ctx, group)
		if err != nil {
			return err
		}
		for _, key := range keys {
			r, err := s.client.Result(ctx, key)
			if err != nil {
				return err
			}
			if r != nil {
				results = append(results, *r)
			}
		}
		held, err = s.paused(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return failed(fmt.Errorf("andon was not asked about %s within the last 30 days", group))
	}
	st := tale(group, results, held)
	if s.output == formatJSON || s.output == formatJSONL {
		return printJSON(s, st)
	}
	if s.output == formatTable {
		fmt.Fprintln(s.out, clean(st.Sentence, ""))
		fmt.Fprintln(s.out)
	}
	return list(s, results, append([]column[stop.Result]{
		{head: "TIME", cell: func(r stop.Result) string { return clock(r.FinishedAt) }},
		{head: "REQUEST", cell: func(r stop.Result) string { return r.Request }},
		{head: "BY", cell: func(r stop.Result) string { return r.RequestedBy }},
	}, resultColumns()...))
}

// tale makes a sentence of the results about a group, the oldest first, and of what
// is held paused.
func tale(group string, results []stop.Result, held []pause) story {
	st := story{AutoScalingGroupID: group, Results: results}
	var pausing, resuming *stop.Result
	for i := range results {
		switch r := &results[i]; r.Outcome {
		case stop.OutcomePaused:
			pausing, resuming = r, nil
		case stop.OutcomeResumed:
			resuming = r
			if pausing != nil && pausing.RefreshActivityID != r.RefreshActivityID {
				pausing = nil // of a refresh that had ended before this one began
			}
		}
	}
	last := &results[len(results)-1]
	switch {
	case pausing == nil && resuming != nil:
		st.Sentence = fmt.Sprintf("%s was resumed %s; andon had not paused it.", group, done(*resuming)) + since(resuming, last)
	case pausing == nil:
		st.Sentence = fmt.Sprintf("andon has not paused %s: when it was last asked, %s, the outcome was %s (%s).", group, done(*last), last.Outcome, last.Message)
	case resuming != nil:
		st.Since = pausing.FinishedAt
		st.Seconds = int(resuming.FinishedAt.Sub(pausing.FinishedAt).Seconds())
		st.Sentence = fmt.Sprintf("%s is not held paused: it was resumed %s. Before that it was paused for %s, %s.",
			group, done(*resuming), long(resuming.FinishedAt.Sub(pausing.FinishedAt)), done(*pausing)) + since(resuming, last)
	default:
		st.Since = pausing.FinishedAt
		for _, p := range held {
			st.Paused = st.Paused || p.AutoScalingGroupID == group && p.RefreshActivityID == pausing.RefreshActivityID
		}
		if !st.Paused {
			st.Sentence = fmt.Sprintf("%s was paused %s, and stands so no longer: its refresh was resumed outside of andon, or has ended.", group, done(*pausing))
			break
		}
		st.Seconds = int(time.Since(st.Since).Seconds())
		st.Sentence = fmt.Sprintf("%s has been paused for %s, and neither scales nor heals: its refresh %s was paused %s. To resume it: andon resume %s --region %s",
			group, long(time.Since(st.Since)), pausing.RefreshActivityID, done(*pausing), group, pausing.Region)
		if pausing.Account != stop.DefaultAccount {
			st.Sentence += " --account " + pausing.Account
		}
	}
	return st
}

// since says what was found after a resume.
func since(resuming, last *stop.Result) string {
	if last == resuming {
		return ""
	}
	return fmt.Sprintf(" When it was last asked after that, %s, the outcome was %s (%s).", done(*last), last.Outcome, last.Message)
}

// done says when, by whom, by which request and why something was done.
func done(r stop.Result) string {
	parts := []string{"at " + r.FinishedAt.Local().Format("2006-01-02 15:04:05")}
	if r.RequestedBy != "" {
		parts = append(parts, "for "+r.RequestedBy)
	}
	parts = append(parts, "by the request "+r.Request)
	if r.Reason != "" {
		parts = append(parts, fmt.Sprintf("because of %q", r.Reason))
	}
	var also []string
	if r.Incident != "" {
		also = append(also, r.Incident)
	}
	if r.RequestID != "" {
		also = append(also, "RequestId "+r.RequestID)
	}
	if len(also) > 0 {
		parts = append(parts, "("+strings.Join(also, ", ")+")")
	}
	return strings.Join(parts, " ")
}
