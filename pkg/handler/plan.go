package handler

import (
	"context"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Plan is the step that turns a request into a task, or one for several targets
// into parts. It gives a result itself only where nothing was read and no task
// exists: what depends on the activity is for Execute to say, because a request
// whose task is at work, be it this message come again or another with the same
// id, would find its own pause and take it for somebody else's.
func (h *Handler) Plan(ctx context.Context, m stop.Message) stop.Verdict {
	started := time.Now().UTC()
	r, bad := h.decode(m, h.conf.Defaults)
	if m.Delivered == 1 {
		h.metrics.requests.WithLabelValues(string(r.Lane), string(r.Source)).Inc()
	}
	t := stop.Task{
		Request: r.ID, Sequence: r.Sequence, Action: r.Action, Mode: r.ResumeMode, Target: r.Target(), Lane: r.Lane,
		Reason: r.Reason, RequestedBy: r.RequestedBy, Incident: r.Incident, Traceparent: r.Traceparent,
		DryRun: r.DryRun, AllowRollback: r.AllowRollback, Since: r.Since,
		RequestedAt: r.RequestedAt, NotAfter: r.NotAfter, StartedAt: started,
	}
	v := h.plan(ctx, m, r, t, bad)
	if len(v.Results) == 0 || v.Bulk != nil {
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
	if !r.Several() {
		if v, over := h.admit(ctx, m, r, &t); over {
			return v
		}
	}
	result, err := h.ledger.Result(ctx, r.ID)
	if err != nil {
		return h.later(ctx, "cannot read the ledger", r.ID, err)
	}
	if result != nil {
		return h.settled(t, result)
	}
	if r.Several() {
		return h.planSeveral(ctx, m, r, t)
	}
	return h.planOne(ctx, m, t)
}

// admit finds the quota of a request for one target. Where there is none, or the
// policy does not allow the target, it ends the request.
func (h *Handler) admit(ctx context.Context, m stop.Message, r stop.Request, t *stop.Task) (stop.Verdict, bool) {
	why, wait := h.unserved(m, t.Target)
	if wait && time.Now().Before(r.NotAfter) {
		return stop.Verdict{Retry: jitter(newcomers / 3)}, true
	}
	if why == "" {
		why = h.policy.place(r.Team, t.Target.Account, t.Target.Region)
	}
	if why != "" {
		return h.refused(*t, why), true
	}
	t.Quota, _ = h.api.Quota(t.Target.Account, t.Target.Region)
	names := map[string]string{}
	if h.policy.byName(r.Team) {
		var answer *stop.Answer
		names, answer = h.names(ctx, *t, []string{t.Target.AutoScalingGroupID})
		if answer != nil && time.Now().After(t.NotAfter) {
			return h.ended(*t, stop.OutcomeExpired, "NotAfter passed before it was known whether the policy allows this group: "+say(answer)), true
		}
		if answer != nil {
			return stop.Verdict{Retry: jitter(2 * time.Second)}, true
		}
	}
	if why := h.policy.group(r.Team, t.Target.AutoScalingGroupID, names[t.Target.AutoScalingGroupID]); why != "" {
		return h.refused(*t, why), true
	}
	return stop.Verdict{}, false
}

// unserved says why a target's account or region is not served here, if so, and
// whether a worker that serves it may be about to come.
func (h *Handler) unserved(m stop.Message, t stop.Target) (why string, wait bool) {
	_, err := h.api.Quota(t.Account, t.Region)
	if err == nil {
		return "", false
	}
	return err.Error(), !h.api.Serves(t.Account) && time.Since(m.Stored) < newcomers
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

// planOne makes the task of a request, with the activity as it is now. Where the
// API cannot be asked for a reason that is not the request's, it leaves the
// reading to Execute, in whose queue each account waits for itself alone.
func (h *Handler) planOne(ctx context.Context, m stop.Message, t stop.Task) stop.Verdict {
	s := situation{task: t, now: time.Now()}
	d := decide(s)
	if d.next == doRead && h.regions.trouble(placeOf(t.Target)) == nil {
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
	return h.ended(t, stop.OutcomeRefused, why)
}

// ended answers a request without having asked the API.
func (h *Handler) ended(t stop.Task, o stop.Outcome, why string) stop.Verdict {
	r := h.result(t, o)
	r.Message = stop.Clip(why, stop.MaxTextBytes)
	return stop.Verdict{Results: []stop.Result{r}}
}

// settled: the request has its result, so this is a second copy of it, or one
// whose acknowledgement was lost. A copy that names another group is no copy:
// somebody took an incident's number for the identity of two requests.
func (h *Handler) settled(t stop.Task, result *stop.Result) stop.Verdict {
	h.metrics.saved.WithLabelValues(string(savedDecided)).Inc()
	log, group := h.conf.Log.With("request", t.Key()), t.Target.AutoScalingGroupID
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
