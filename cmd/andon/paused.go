package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func newPaused(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "paused", Short: "List what andon holds paused now, oldest first",
		Long: `List the groups that stand paused by andon, the oldest pause first. Each of them is
disabled: it neither scales nor heals. The workers look at the API three times a
minute, so what was resumed elsewhere may stand here for that long.`,
		Args: exactly(0),
		RunE: coded(func(ctx context.Context, _ []string) error {
			var rows []pause
			err := s.read(ctx, func(ctx context.Context) (err error) { rows, err = s.paused(ctx); return err })
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				s.say("andon holds nothing paused")
			}
			return list(s, rows, pauseColumns())
		}),
	}
}

// pause is a group that stands paused, and by which request.
type pause struct {
	AutoScalingGroupID string        `json:"AutoScalingGroupId"`
	Region             string        `json:"Region"`
	Account            string        `json:"Account"`
	RefreshActivityID  string        `json:"RefreshActivityId"`
	Since              time.Time     `json:"Since"`
	For                time.Duration `json:"-"`
	Seconds            int           `json:"Seconds"`
	Request            string        `json:"Request"`
	RequestedBy        string        `json:"RequestedBy,omitempty"`
	Reason             string        `json:"Reason,omitempty"`
	Incident           string        `json:"Incident,omitempty"`
	RequestID          string        `json:"RequestId,omitempty"`
}

// paused are the calls that have paused what stands so now: those that the workers
// have found to, and those of late whose result says so.
func (s *session) paused(ctx context.Context) ([]pause, error) {
	calls, err := s.client.Calls(ctx)
	if err != nil {
		return nil, err
	}
	calls = slices.DeleteFunc(calls, func(c stop.Call) bool { return c.Action != stop.ActionStop })
	results, err := s.resultsOf(ctx, calls)
	if err != nil {
		return nil, err
	}
	rows := []pause{}
	for _, c := range calls {
		r := results[c.Key]
		since := c.Paused
		if since.IsZero() && r.Outcome == stop.OutcomePaused {
			since = r.FinishedAt
		}
		if since.IsZero() {
			continue
		}
		request, _ := stop.SplitKey(c.Key)
		held := time.Since(since)
		rows = append(rows, pause{
			AutoScalingGroupID: c.Target.AutoScalingGroupID, Region: c.Target.Region, Account: c.Target.Account, RefreshActivityID: c.Target.RefreshActivityID,
			Since: since, For: held, Seconds: int(held.Seconds()), Request: request,
			RequestedBy: r.RequestedBy, Reason: r.Reason, Incident: r.Incident, RequestID: r.RequestID,
		})
	}
	slices.SortFunc(rows, func(a, b pause) int { return a.Since.Compare(b.Since) })
	return rows, nil
}

// resultsOf reads the results of calls by their keys. Of a request that has called
// for many targets all are read at once.
func (s *session) resultsOf(ctx context.Context, calls []stop.Call) (map[string]stop.Result, error) {
	const many = 5
	keys := make(map[string][]string)
	for _, c := range calls {
		request, _ := stop.SplitKey(c.Key)
		keys[request] = append(keys[request], c.Key)
	}
	results := make(map[string]stop.Result, len(calls))
	for request, of := range keys {
		if len(of) >= many {
			err := s.client.Results(ctx, queue.Query{Request: request}, func(r stop.Result) bool { results[r.Key()] = r; return true })
			if err != nil {
				return nil, err
			}
			continue
		}
		for _, key := range of {
			r, err := s.client.Result(ctx, key)
			if err != nil {
				return nil, err
			}
			if r != nil {
				results[key] = *r
			}
		}
	}
	return results, nil
}

func pauseColumns() []column[pause] {
	return []column[pause]{
		{head: "SINCE", cell: func(p pause) string { return clock(p.Since) }},
		{field: "Since", cell: func(p pause) string { return stamp(p.Since) }},
		{field: "Seconds", cell: func(p pause) string { return strconv.Itoa(p.Seconds) }},
		{head: "FOR", cell: func(p pause) string { return long(p.For) }, color: func(p pause) string { return ageColor(p.For) }},
		{head: "GROUP", field: "AutoScalingGroupId", cell: func(p pause) string { return p.AutoScalingGroupID }},
		{head: "REGION", field: "Region", cell: func(p pause) string { return p.Region }},
		{head: "ACCOUNT", field: "Account", cell: func(p pause) string { return p.Account }},
		{head: "ACTIVITY", field: "RefreshActivityId", cell: func(p pause) string { return p.RefreshActivityID }},
		{head: "REQUEST", field: "Request", cell: func(p pause) string { return p.Request }},
		{head: "BY", field: "RequestedBy", cell: func(p pause) string { return p.RequestedBy }},
		{head: "REASON", field: "Reason", cell: func(p pause) string { return p.Reason }},
		{field: "Incident", cell: func(p pause) string { return p.Incident }},
		{field: "RequestId", cell: func(p pause) string { return p.RequestID }},
	}
}

// ageColor warns of what nobody may be looking at any more.
func ageColor(d time.Duration) string {
	switch {
	case d > 4*time.Hour:
		return bad
	case d > time.Hour:
		return fair
	default:
		return ""
	}
}
