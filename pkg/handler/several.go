package handler

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// planSeveral settles which targets a request means and has them looked at by
// parts, each in the queue of its quota. The manifest is stored first: whoever
// plans the request again, after a crash, finds it and means the same targets.
func (h *Handler) planSeveral(ctx context.Context, m stop.Message, r stop.Request, t stop.Task) stop.Verdict {
	b, err := h.ledger.Manifest(ctx, t.Request)
	if err != nil {
		return h.later(ctx, "cannot read the manifest", t.Request, err)
	}
	if b == nil && time.Now().After(t.NotAfter) {
		return h.ended(t, stop.OutcomeExpired, fmt.Sprintf("NotAfter %s passed before it was settled which targets are meant", t.NotAfter.UTC().Format(time.RFC3339)))
	}
	if b == nil {
		members, v, over := h.resolve(ctx, m, r, &t)
		if over {
			return v
		}
		if b, err = h.settle(ctx, t, r.Team, members); err != nil {
			return h.later(ctx, "cannot store the manifest", t.Request, err)
		}
	}
	return h.divide(ctx, m, *b)
}

// resolve finds out what the request means. It may turn out to be one target,
// or nothing that can be done.
func (h *Handler) resolve(ctx context.Context, m stop.Message, r stop.Request, t *stop.Task) ([]stop.Member, stop.Verdict, bool) {
	var members []stop.Member
	var v stop.Verdict
	over := false
	switch {
	case r.Of != "":
		members, v, over = h.undo(ctx, m, r, t)
	case r.Selector != nil:
		t.Strict = true
		members, v, over = h.find(ctx, m, r, *t)
	default:
		members = stop.Names(r.Targets)
	}
	if over {
		return nil, v, true
	}
	if t.Lane == stop.LaneNormal {
		t.Lane = stop.LaneBulk
	}
	if why := tooMany(r, len(members)); why != "" {
		return nil, h.refused(*t, why), true
	}
	if why := h.policy.tooMany(r.Team, len(members)); why != "" {
		return nil, h.refused(*t, why), true
	}
	for i := range members {
		member := &members[i]
		if member.Outcome != "" {
			continue
		}
		why, wait := h.unserved(m, member.Target)
		if wait && time.Now().Before(r.NotAfter) {
			return nil, stop.Verdict{Retry: jitter(newcomers / 3)}, true
		}
		if why == "" {
			why = h.policy.place(r.Team, member.Target.Account, member.Target.Region)
		}
		if why != "" {
			member.Outcome, member.Message = stop.OutcomeRefused, why
		}
	}
	return members, stop.Verdict{}, false
}

// tooMany says why a request may not mean that many targets, if so.
func tooMany(r stop.Request, targets int) string {
	switch {
	case r.MaxTargets > 0 && targets > r.MaxTargets:
		return fmt.Sprintf("the request means %d targets, and MaxTargets allows %d; nothing was done", targets, r.MaxTargets)
	case targets > stop.MaxTargets:
		return fmt.Sprintf("the request means %d targets, and at most %d are allowed in one; nothing was done", targets, stop.MaxTargets)
	default:
		return ""
	}
}

// settle makes the manifest of a request and stores it.
func (h *Handler) settle(ctx context.Context, t stop.Task, team string, members []stop.Member) (*stop.Bulk, error) {
	t.Target, t.Quota = stop.Target{}, stop.Quota{}
	b := stop.Bulk{Task: t, Team: team, Total: len(members)}
	var parts [][]stop.Member
	b.Shares, parts = share(members)
	data, err := json.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("encode targets: %w", err)
	}
	digest := sha256.Sum256(data)
	b.Digest = hex.EncodeToString(digest[:8])
	stands, err := h.ledger.Settle(ctx, b, parts)
	if err != nil {
		return nil, err //nolint:wrapcheck // by the caller
	}
	h.conf.Log.Info("request means several targets", "request", t.Request, "action", stands.Task.Action, "targets", stands.Total, "parts", len(stands.Shares), "lane", stands.Task.Lane)
	return &stands, nil
}

// share divides the targets into parts of one account and region each, those
// that are settled already by themselves.
func share(members []stop.Member) (shares []stop.Share, parts [][]stop.Member) {
	place := func(m stop.Member) stop.Share {
		return stop.Share{Account: m.Target.Account, Region: m.Target.Region, Settled: m.Outcome != ""}
	}
	settled := func(m stop.Member) int { return min(len(m.Outcome), 1) }
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b stop.Member) int {
		return cmp.Or(cmp.Compare(a.Target.Account, b.Target.Account), cmp.Compare(a.Target.Region, b.Target.Region), cmp.Compare(settled(a), settled(b)))
	})
	for len(members) > 0 {
		of, n := place(members[0]), 1
		for n < len(members) && n < stop.PartSize && place(members[n]) == of {
			n++
		}
		of.Targets = n
		shares, parts = append(shares, of), append(parts, members[:n])
		members = members[n:]
	}
	return shares, parts
}

// divide makes the parts of a bulk.
func (h *Handler) divide(ctx context.Context, m stop.Message, b stop.Bulk) stop.Verdict {
	v := stop.Verdict{Bulk: &b}
	whole := b
	whole.Shares = nil
	for n, s := range b.Shares {
		if !s.Settled {
			quota, err := h.api.Quota(s.Account, s.Region)
			if err != nil {
				// Planned by a worker that has the account. This one waits for it.
				h.conf.Log.Warn("request put off", "why", "a part of it is not served here", "request", b.Task.Request, "error", err)
				return stop.Verdict{Retry: jitter(elsewhere)}
			}
			v.Parts = append(v.Parts, stop.Part{Of: whole, Number: n, Quota: quota})
			continue
		}
		members, err := h.ledger.Members(ctx, b, n)
		if err != nil {
			return h.later(ctx, "cannot read the manifest", b.Task.Request, err)
		}
		for _, member := range members {
			h.conclude(&v, m, taskFor(b, member, stop.Quota{}), member)
		}
	}
	return v
}

// conclude adds the result of a target that was settled with the manifest.
func (h *Handler) conclude(v *stop.Verdict, m stop.Message, t stop.Task, member stop.Member) {
	r := h.result(t, member.Outcome)
	r.Message = stop.Clip(member.Message, stop.MaxTextBytes)
	v.Results = append(v.Results, r)
	if member.Outcome == stop.OutcomeFailed {
		v.DeadLetters = append(v.DeadLetters, h.bury(h.again(m, t), t.Key(), stop.WhyFailed, r.Message))
	}
}

// again is the message to publish in order to ask for a target again. One
// without a group stands for all that a selector means in its region.
func (h *Handler) again(m stop.Message, t stop.Task) stop.Message {
	if t.Target.AutoScalingGroupID != "" {
		return asRequest(m, t)
	}
	r, bad := h.decode(m, h.conf.Defaults)
	if bad != nil || r.Selector == nil {
		return m
	}
	r.ID, r.Selector.Regions = nameAgain(t), []string{t.Target.Region}
	data, err := json.Marshal(r)
	if err != nil {
		return m
	}
	m.Data, m.Header = data, nil
	return m
}

// taskFor is the task of a target of a bulk.
func taskFor(b stop.Bulk, member stop.Member, q stop.Quota) stop.Task {
	t := b.Task
	t.Name, t.Target, t.Quota = member.Name, member.Target, q
	return t
}
