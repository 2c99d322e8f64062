package handler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// unheard is how long a request to undo waits for a request that nobody knows:
// it may not have been planned yet.
const unheard = 10 * time.Second

// undo finds out what a request has paused: that alone is resumed, and only
// what stands paused by hand in the same activity. While the request is at work
// there is more to come, so it is waited for.
func (h *Handler) undo(ctx context.Context, m stop.Message, r stop.Request, t *stop.Task) ([]stop.Member, stop.Verdict, bool) {
	t.Strict = true
	if r.Of == r.ID {
		return nil, h.refused(*t, "Of names the request itself; give the undo an Id of its own"), true
	}
	of, err := h.ledger.Result(ctx, r.Of)
	switch {
	case err != nil:
		return nil, h.later(ctx, "cannot read the ledger", t.Request, err), true
	case of == nil:
		return nil, h.undoLater(ctx, m, r, *t), true
	case of.Summary == nil:
		return nil, h.undoOne(ctx, m, r, *t, *of), true
	}
	results := make(map[string]stop.Result, of.Total)
	brief, cancel := context.WithTimeout(ctx, glance+10*time.Second)
	defer cancel()
	if of.Total > 0 {
		err = h.ledger.Watch(brief, r.Of, func(one stop.Result) bool {
			results[one.Target] = one
			return len(results) < of.Total
		})
	}
	if err == nil && len(results) < of.Total {
		err = fmt.Errorf("%d of %d results of %s were read", len(results), of.Total, r.Of)
	}
	if err != nil {
		return nil, h.later(ctx, "cannot read what the request has paused", t.Request, err), true
	}
	var members []stop.Member
	for name, one := range results {
		member := stop.Member{Name: name, Target: targetOf(one)}
		if one.Outcome != stop.OutcomePaused {
			member.Outcome, member.Message = stop.OutcomeRefused, notItsPause(r.Of, one)
		}
		members = append(members, member)
	}
	slices.SortFunc(members, func(a, b stop.Member) int { return cmp.Compare(a.Name, b.Name) })
	return members, stop.Verdict{}, false
}

func targetOf(r stop.Result) stop.Target {
	return stop.Target{Account: r.Account, Region: r.Region, AutoScalingGroupID: r.AutoScalingGroupID, RefreshActivityID: r.RefreshActivityID}
}

func notItsPause(of string, r stop.Result) string {
	return fmt.Sprintf("request %s has not paused it, so there is nothing to undo: its outcome there was %s", of, r.Outcome)
}

// undoLater waits for a request that has no result yet, if there is one.
func (h *Handler) undoLater(ctx context.Context, m stop.Message, r stop.Request, t stop.Task) stop.Verdict {
	b, err := h.ledger.Manifest(ctx, r.Of)
	known := b != nil
	if err == nil && !known {
		known, err = h.ledger.Planned(ctx, r.Of)
	}
	switch {
	case err != nil:
		return h.later(ctx, "cannot read the ledger", t.Request, err)
	case known || time.Since(m.Stored) < unheard:
		return stop.Verdict{Retry: jitter(time.Second)}
	default:
		return h.ended(t, stop.OutcomeNotFound, fmt.Sprintf("there is no request %s at work, and none that ended within the last 30 days", r.Of))
	}
}

// undoOne undoes a request for one target: the task is one too.
func (h *Handler) undoOne(ctx context.Context, m stop.Message, r stop.Request, t stop.Task, of stop.Result) stop.Verdict {
	t.Target = targetOf(of)
	if of.Outcome != stop.OutcomePaused {
		return h.refused(t, notItsPause(r.Of, of))
	}
	if v, over := h.admit(ctx, m, r, &t); over {
		return v
	}
	return h.planOne(ctx, m, t)
}
