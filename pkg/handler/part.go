package handler

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// partOf reads the part of a bulk in a message, if it is one.
func partOf(m stop.Message) (p stop.Part, ok bool) {
	if json.Unmarshal(m.Data, &p) != nil || !stop.ValidID(p.Of.Task.Request) || stop.PartSubject(p) != m.Subject {
		return stop.Part{}, false
	}
	return p, true
}

// planPart looks at the targets of a part, all at once, and makes tasks of those
// that need a call and results of the others. What a worker that died has made
// already is left as it is.
func (h *Handler) planPart(ctx context.Context, m stop.Message) stop.Verdict {
	p, ok := partOf(m)
	if !ok {
		return h.foreign(m, errors.New("not a part of a request"))
	}
	members, err := h.ledger.Members(ctx, p.Of, p.Number)
	if err != nil {
		return h.later(ctx, "cannot read the manifest", p.Key(), err)
	}
	if account := p.Quota.Account; !h.api.Serves(account) && time.Now().Before(p.Of.Task.NotAfter) {
		return stop.Verdict{Retry: jitter(elsewhere)}
	}
	first, note, err := h.firstLook(ctx, p)
	if err != nil {
		return h.later(ctx, "cannot note that a part is looked at", p.Key(), err)
	}
	targets, v, over := h.sight(ctx, p, members)
	if over {
		return v
	}
	if ctx.Err() != nil {
		return stop.Verdict{Retry: time.Millisecond}
	}
	v = stop.Verdict{History: note}
	for i := range targets {
		if err := h.sort(ctx, &v, m, targets[i]); err != nil {
			return h.later(ctx, "cannot read the ledger", p.Key(), err)
		}
	}
	if first {
		return v
	}
	return h.unlessStanding(ctx, p, v)
}

// firstLook reports whether nobody has looked at the part before, and notes that
// somebody has.
func (h *Handler) firstLook(ctx context.Context, p stop.Part) (bool, *stop.History, error) {
	note, err := h.ledger.History(ctx, "task."+p.Key())
	if err != nil {
		return false, nil, err //nolint:wrapcheck // by the caller
	}
	if note.Revision > 0 {
		return false, &note, nil
	}
	err = h.ledger.Remember(ctx, &note)
	if errors.Is(err, stop.ErrLost) {
		return false, nil, nil // another worker is at it, or was
	}
	if err != nil {
		return false, nil, err //nolint:wrapcheck // by the caller
	}
	return true, &note, nil
}

// sight reads the activities of a part's targets, and judges by the policy.
func (h *Handler) sight(ctx context.Context, p stop.Part, members []stop.Member) ([]situation, stop.Verdict, bool) {
	quota := p.Quota
	serves := h.api.Serves(quota.Account)
	if now, err := h.api.Quota(quota.Account, members[0].Target.Region); err == nil {
		quota = now // the endpoint may have been changed
	}
	targets := make([]situation, len(members))
	for i, member := range members {
		targets[i] = situation{task: taskFor(p.Of, member, quota), unserved: !serves}
	}
	names, v, over := h.namesFor(ctx, p, targets)
	if over {
		return nil, v, true
	}
	inTime := time.Now().Before(p.Of.Task.NotAfter)
	var ask []stop.Target
	for i := range targets {
		t := targets[i].task.Target
		if !inTime {
			continue // expired, whatever it is called
		}
		if why := h.policy.group(p.Of.Team, t.AutoScalingGroupID, names[t.AutoScalingGroupID]); why != "" {
			members[i].Outcome, members[i].Message = stop.OutcomeRefused, why
		} else {
			ask = append(ask, t)
		}
	}
	var readings []reading
	if serves && inTime && h.regions.trouble(placeOf(members[0].Target)) == nil {
		readings = h.reader.all(ctx, glance, quota, ask, p.Of.Task.Lane)
	}
	for i := range targets {
		s := &targets[i]
		if members[i].Outcome != "" {
			s.ruled = &members[i]
			continue
		}
		if len(readings) > 0 {
			s.seen, readings = &readings[0], readings[1:]
		}
	}
	return targets, stop.Verdict{}, false
}

// namesFor finds the names of the groups, where the policy goes by them.
func (h *Handler) namesFor(ctx context.Context, p stop.Part, targets []situation) (map[string]string, stop.Verdict, bool) {
	if !h.policy.byName(p.Of.Team) || len(targets) == 0 || time.Now().After(p.Of.Task.NotAfter) {
		return nil, stop.Verdict{}, false
	}
	var ids []string
	for i := range targets {
		ids = append(ids, targets[i].task.Target.AutoScalingGroupID)
	}
	names, answer := h.names(ctx, targets[0].task, ids)
	if answer != nil {
		h.conf.Log.Warn("request put off", "why", "the names of its groups cannot be read, and the policy goes by them", "request", p.Key(), "message", say(answer))
		return nil, stop.Verdict{Retry: jitter(2 * time.Second)}, true
	}
	return names, stop.Verdict{}, false
}

// sort adds to a verdict what becomes of one target.
func (h *Handler) sort(ctx context.Context, v *stop.Verdict, m stop.Message, s situation) error {
	if s.ruled != nil {
		h.conclude(v, m, s.task, *s.ruled)
		return nil
	}
	if s.seen != nil && s.seen.activity != nil {
		s.last = s.seen.activity
		if s.task.Target.RefreshActivityID == "" {
			s.task.Target.RefreshActivityID = s.seen.activity.RefreshActivityID
		}
		if s.seen.activity.Status.Paused() {
			call, err := h.ledger.Call(ctx, s.task.Target)
			if err == nil {
				s.other, err = h.deed(ctx, call, s.task)
			}
			if err != nil {
				return err //nolint:wrapcheck // by the caller
			}
		}
	}
	s.now = time.Now()
	if d := decide(s); d.next == doEnd {
		ended := h.end(m, s, d)
		v.Results, v.DeadLetters = append(v.Results, ended.Results...), append(v.DeadLetters, ended.DeadLetters...)
		return nil
	}
	if s.seen != nil && s.seen.held == 0 && s.seen.answer.OK() {
		s.task.Seen, s.task.SeenAt = s.seen.activity, s.seen.at.UTC()
	} else {
		s.task.Unread = true
	}
	v.Tasks = append(v.Tasks, s.task)
	return nil
}

// unlessStanding leaves out of a verdict the targets that have a task or a
// result: what the activities look like now may be their doing.
func (h *Handler) unlessStanding(ctx context.Context, p stop.Part, v stop.Verdict) stop.Verdict {
	names, err := h.ledger.Standing(ctx, p.Of.Task.Request)
	if err != nil {
		return h.later(ctx, "cannot list what stands", p.Key(), err)
	}
	kept := stop.Verdict{History: v.History, Settled: true}
	for _, t := range v.Tasks {
		if !names[t.Name] {
			kept.Tasks = append(kept.Tasks, t)
		}
	}
	for _, d := range v.DeadLetters {
		if !names[d.Target] {
			kept.DeadLetters = append(kept.DeadLetters, d)
		}
	}
	for _, r := range v.Results {
		if !names[r.Target] {
			kept.Results = append(kept.Results, r)
		}
	}
	return kept
}

// giveUpPart ends the targets of a part whose handling crashes.
func (h *Handler) giveUpPart(ctx context.Context, m stop.Message, p stop.Part, what string) stop.Verdict {
	members, err := h.ledger.Members(ctx, p.Of, p.Number)
	if err != nil {
		return h.later(ctx, "cannot read the manifest", p.Key(), err)
	}
	var v stop.Verdict
	for _, member := range members {
		member.Outcome, member.Message = stop.OutcomeFailed, what
		h.conclude(&v, m, taskFor(p.Of, member, p.Quota), member)
	}
	return h.unlessStanding(ctx, p, v)
}
