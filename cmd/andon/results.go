package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newResults(s *session) *cobra.Command {
	var outcomes []string
	var since string
	c := &cobra.Command{
		Use: "results [REQUEST]", Short: "List results: of a request, or of late",
		Example: `  andon results INC-4711 --outcome conflict,failed
  andon results --since 2h -o csv`,
		Args: atMostOneRequest,
		RunE: coded(func(ctx context.Context, args []string) error {
			q := queue.Query{}
			if len(args) == 1 {
				q.Request = args[0]
			}
			var err error
			if q.Since, err = ago(since, q.Request == ""); err != nil {
				return err
			}
			for _, o := range outcomes {
				if !slices.Contains(stop.Outcomes(), stop.Outcome(o)) {
					return usage("--outcome %q: must be one of %s", o, words(stop.Outcomes()))
				}
			}
			rows := []stop.Result{}
			err = s.read(ctx, func(ctx context.Context) error {
				return s.client.Results(ctx, q, func(r stop.Result) bool {
					if len(outcomes) == 0 || slices.Contains(outcomes, string(r.Outcome)) {
						rows = append(rows, r)
					}
					return true
				})
			})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				s.say("no such results%s", where(q, since))
			}
			columns := resultColumns()
			if q.Request == "" {
				columns = append([]column[stop.Result]{
					{head: "TIME", cell: func(r stop.Result) string { return clock(r.FinishedAt) }},
					{head: "REQUEST", cell: func(r stop.Result) string { return r.Request }},
				}, columns...)
			}
			return list(s, rows, columns)
		}),
	}
	c.Flags().StringSliceVar(&outcomes, "outcome", nil, "only these, such as conflict,failed")
	c.Flags().StringVar(&since, "since", "", "only those later than a time such as 2026-11-23T04:05:06Z, or a duration ago such as 2h (default 24h without a REQUEST)")
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(strings.Split(words(stop.Outcomes()), ", "), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

func where(q queue.Query, since string) string {
	switch {
	case q.Request != "":
		return " of " + q.Request + ": it has not ended, or there is no such request. Look with: andon watch " + q.Request
	case since == "":
		return " within 24 hours; look further back with --since"
	default:
		return " since " + since
	}
}

func atMostOneRequest(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("%s takes one request at most: %s", c.CommandPath(), c.UseLine())
	}
	if len(args) == 1 {
		return validID(args[0])
	}
	return nil
}

// ago reads a time or how long ago it was. Results of all requests are many.
func ago(text string, all bool) (time.Time, error) {
	const usual = 24 * time.Hour
	if text == "" && all {
		return time.Now().Add(-usual), nil
	}
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d.Abs()), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usage("--since %q: want a time such as 2026-11-23T04:05:06Z, or a duration such as 2h", text)
	}
	return t, nil
}

func words[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// resultColumns show a result: on a terminal what matters first, in CSV all of it,
// by the names of the contract.
func resultColumns() []column[stop.Result] {
	type result = stop.Result
	return []column[result]{
		{field: "Request", cell: func(r result) string { return r.Request }},
		{field: "Target", cell: func(r result) string { return r.Target }},
		{head: "GROUP", field: "AutoScalingGroupId", cell: group},
		{head: "REGION", field: "Region", cell: func(r result) string { return r.Region }},
		{field: "Account", cell: func(r result) string { return r.Account }},
		{head: "ACTIVITY", field: "RefreshActivityId", cell: func(r result) string { return r.RefreshActivityID }},
		{head: "OUTCOME", field: "Outcome", cell: func(r result) string { return string(r.Outcome) }, color: func(r result) string { return outcomeColor(r.Outcome) }},
		{head: "STATUS", field: "Status", cell: func(r result) string { return string(r.Status) }},
		{field: "Code", cell: func(r result) string { return r.Code }},
		{field: "RequestId", cell: func(r result) string { return r.RequestID }},
		{field: "Attempts", cell: func(r result) string { return strconv.Itoa(r.Attempts) }},
		{field: "Lane", cell: func(r result) string { return string(r.Lane) }},
		{field: "Reason", cell: func(r result) string { return r.Reason }},
		{field: "RequestedBy", cell: func(r result) string { return r.RequestedBy }},
		{field: "Incident", cell: func(r result) string { return r.Incident }},
		{field: "RequestedAt", cell: func(r result) string { return stamp(r.RequestedAt) }},
		{field: "StartedAt", cell: func(r result) string { return stamp(r.StartedAt) }},
		{field: "FinishedAt", cell: func(r result) string { return stamp(r.FinishedAt) }},
		{field: "Worker", cell: func(r result) string { return r.Worker }},
		{head: "MESSAGE", field: "Message", cell: message},
	}
}

// group is what a result is about; the one of a request for several is about all.
func group(r stop.Result) string {
	switch {
	case r.AutoScalingGroupID != "":
		return r.AutoScalingGroupID
	case r.Summary != nil:
		return count(r.Total, "group")
	default:
		return r.Target
	}
}

func message(r stop.Result) string {
	if r.Summary == nil {
		return r.Message
	}
	var counts []string
	for _, o := range stop.Outcomes() {
		if n := r.Outcomes[o]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", o, n))
		}
	}
	return strings.TrimSpace(strings.Join(counts, ", ") + " " + r.Message)
}
