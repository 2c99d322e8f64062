package handler

import (
	"context"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Plan is the step that turns a request into a task. It gives a result itself
// only where nothing was read and no task exists: what depends on the
// activity is for Execute to say, because a request whose task is at work, be
// it this message come again or another with the same id, would find its own
// pause and take it for somebody else's.
func (h *Handler) Plan(ctx context.Context, m stop.Message) stop.Verdict {
	started := time.Now().UTC()
	r, bad := h.decode(m, h.conf.Defaults)
	if m.Delivered == 1 {
		h.metrics.requests.WithLabelValues(string(r.Lane), string(r.Source)).Inc()
	}
	t := stop.Task{
		Request: r.ID, Sequence: r.Sequence, Target: r.Target(), Lane: r.Lane,
		Reason: r.Reason, RequestedBy: r.RequestedBy, Incident: r.Incident, Traceparent: r.Traceparent,
		DryRun: r.DryRun, AllowRollback: r.AllowRollback,
		RequestedAt: r.RequestedAt, NotAfter: r.NotAfter, StartedAt: started,
	}
	v := h.plan(ctx, m, r, t, bad)
	if len(v.Results) == 0 {
		return v
	}
	if settled, over := h.stands(ctx, t); over {
		return settled
	}
	return v
}

func (h *Handler) plan(ctx context.Context, m stop.Message, r stop.Request, t stop.Task, bad *stop.Invalid) stop.Verdict {
	if bad != nil {
		return h.unreadable(m, t, bad)
	}
	if r.Several() {
		return h.refused(t, "Targets with more than one group and Selector are not served by this version; send one request for each group")
	}
	var err error
	if t.Quota, err = h.api.Quota(r.Account, r.Region); err != nil {
		if now := time.Now(); !h.api.Serves(r.Account) && now.Sub(m.Stored) < newcomers && now.Before(r.NotAfter) {
			return stop.Verdict{Retry: jitter(newcomers / 3)}
		}
		return h.refused(t, err.Error())
	}
	result, err := h.ledger.Result(ctx, r.ID)
	if err != nil {
		return h.later(ctx, "cannot read the ledger", r.ID, err)
	}
	if result != nil {
		return h.settled(t, result)
	}
	return h.look(ctx, m, t)
}

const (
	// newcomers is how long a request for an account that nobody here knows
	// waits for a worker that has it: while a fleet is being updated, the first
	// to look at the request need not be one of those. A misspelt name is told
	// as soon.
	newcomers = 3 * time.Second
	// glance is how long the plan waits for a reading. All accounts share its
	// hands, and one whose readings do not come must not fill them.
	glance = 2 * time.Second
)

// look makes the task of a request, with the activity as it is now. Where the
// API cannot be asked for a reason that is not the request's, it leaves the
// reading to Execute, in whose queue each account waits for itself alone.
func (h *Handler) look(ctx context.Context, m stop.Message, t stop.Task) stop.Verdict {
	s := situation{task: t, now: time.Now()}
	d := decide(s)
	if d.next == doRead {
		brief, cancel := context.WithTimeout(ctx, glance)
		h.read(brief, &s)
		cancel()
		if ctx.Err() != nil {
			return handBack(s)
		}
		if s.seen.held == 0 && s.seen.answer.OK() {
			s.task.Seen, s.task.SeenAt = s.seen.activity, s.seen.at.UTC()
			return stop.Verdict{Tasks: []stop.Task{s.task}}
		}
		s.now = time.Now()
		d = decide(s)
	}
	if d.next == doEnd {
		return h.end(m, s, d)
	}
	s.task.Unread = true
	return stop.Verdict{Tasks: []stop.Task{s.task}}
}

// unreadable answers a request that breaks the contract, and keeps it.
func (h *Handler) unreadable(m stop.Message, t stop.Task, bad *stop.Invalid) stop.Verdict {
	r := h.result(t, stop.OutcomeInvalid)
	r.Message = bad.Error()
	return stop.Verdict{
		Results:     []stop.Result{r},
		DeadLetters: []stop.DeadLetter{h.bury(m, t.Request, stop.WhyInvalid, r.Message)},
	}
}

func (h *Handler) refused(t stop.Task, why string) stop.Verdict {
	r := h.result(t, stop.OutcomeRefused)
	r.Message = why
	return stop.Verdict{Results: []stop.Result{r}}
}

// settled: the request has its result, so this is a second copy of it, or one
// whose acknowledgement was lost. A copy that names another group is no copy:
// somebody took an incident's number for the identity of two requests.
func (h *Handler) settled(t stop.Task, result *stop.Result) stop.Verdict {
	h.metrics.saved.WithLabelValues(string(savedDecided)).Inc()
	log, group := h.conf.Log.With("request", t.Request), t.Target.AutoScalingGroupID
	if group != "" && result.AutoScalingGroupID != "" && group != result.AutoScalingGroupID {
		log.Warn("the id of a request was used before, for another group; nothing is done: give each request an id of its own",
			"group", group, "decided_group", result.AutoScalingGroupID, "decided", result.Outcome)
		return stop.Verdict{Settled: true}
	}
	log.Info("request has its result already; nothing is done", "group", group, "decided", result.Outcome)
	return stop.Verdict{Settled: true}
}

// later asks for the message again when something on our side is in trouble.
func (h *Handler) later(ctx context.Context, what, request string, err error) stop.Verdict {
	if ctx.Err() == nil {
		h.conf.Log.Warn("request put off", "why", what, "request", request, "error", err)
	}
	return stop.Verdict{Retry: time.Second}
}
