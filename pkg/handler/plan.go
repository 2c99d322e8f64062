package handler

import (
	"context"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Plan is the step that turns a request into a task, or into its result where
// no call is needed to know it.
func (h *Handler) Plan(ctx context.Context, m stop.Message) stop.Verdict {
	started := time.Now().UTC()
	r, bad := stop.Decode(m, h.conf.Defaults)
	if m.Delivered <= 1 {
		h.metrics.requests.WithLabelValues(string(r.Lane), string(r.Source)).Inc()
	}
	decided, err := h.ledger.Decided(ctx, r.ID)
	if err != nil {
		return h.later(ctx, "cannot read the ledger", r.ID, err)
	}
	if decided {
		return h.settled(r.ID)
	}
	t := stop.Task{
		Request: r.ID, Sequence: r.Sequence, Target: r.Target(), Lane: r.Lane,
		Reason: r.Reason, RequestedBy: r.RequestedBy, Incident: r.Incident, Traceparent: r.Traceparent,
		DryRun: r.DryRun, AllowRollback: r.AllowRollback,
		RequestedAt: r.RequestedAt, NotAfter: r.NotAfter, StartedAt: started,
	}
	if bad != nil {
		return h.unreadable(m, t, bad)
	}
	if r.Several() {
		return h.refused(t, "Targets with more than one group and Selector are not served by this version; send one request for each group")
	}
	if t.Quota, err = h.api.Quota(r.Account, r.Region); err != nil {
		return h.refused(t, err.Error())
	}
	s := situation{task: t, history: stop.History{Key: "plan." + r.ID}}
	if m.Delivered > 1 {
		if s.history, err = h.ledger.History(ctx, s.history.Key); err != nil {
			return h.later(ctx, "cannot read the history", r.ID, err)
		}
	}
	return h.advance(ctx, m, s, func(s *situation) (stop.Verdict, bool) {
		s.task.Seen = s.seen.activity
		if s.seen.activity != nil {
			s.task.Target.RefreshActivityID = s.seen.activity.RefreshActivityID
		}
		return stop.Verdict{Tasks: []stop.Task{s.task}}, true
	})
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
// whose acknowledgement was lost.
func (h *Handler) settled(request string) stop.Verdict {
	h.metrics.saved.WithLabelValues(string(savedDecided)).Inc()
	h.conf.Log.Info("request has its result already; nothing is done", "request", request)
	return stop.Verdict{Settled: true}
}

// later asks for the message again when something on our side is in trouble.
func (h *Handler) later(ctx context.Context, what, request string, err error) stop.Verdict {
	if ctx.Err() == nil {
		h.conf.Log.Warn("request put off", "why", what, "request", request, "error", err)
	}
	return stop.Verdict{Retry: time.Second}
}
