package handler

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// foreign keeps what is on the tasks' subjects without being a task.
func (h *Handler) foreign(m stop.Message, err error) stop.Verdict {
	why := "not a task"
	if err != nil {
		why += ": " + err.Error()
	}
	return stop.Verdict{DeadLetters: []stop.DeadLetter{h.bury(m, stop.Place(m), stop.WhyInvalid, why)}}
}

// GiveUp ends a message whose handling crashes again and again. A request that
// has a task is left to it, as by Plan: the task may be about to succeed.
func (h *Handler) GiveUp(ctx context.Context, m stop.Message, crash error) stop.Verdict {
	const what = "given up: handling the request crashed again and again; the log of the worker has the trace"
	h.conf.Log.Error("message given up", "sequence", m.Sequence, "subject", m.Subject, "error", crash)
	if p, ok := partOf(m); ok {
		return h.giveUpPart(ctx, m, p, what)
	}
	t, isTask := taskOf(m)
	if b, ok := bulkOf(m); ok {
		t = b.Task
	} else if !isTask {
		t = h.whose(m)
		if v, over := h.stands(ctx, t); over {
			return v
		}
	}
	r := h.result(t, stop.OutcomeFailed)
	r.Message = what
	return stop.Verdict{
		Results:     []stop.Result{r},
		DeadLetters: []stop.DeadLetter{h.bury(asRequest(m, t), t.Key(), stop.WhyPanic, crash.Error())},
	}
}

// taskOf reads the task in a message, if it is one.
func taskOf(m stop.Message) (t stop.Task, ok bool) {
	if json.Unmarshal(m.Data, &t) != nil || !stop.ValidID(t.Request) || stop.TaskSubject(t) != m.Subject {
		return stop.Task{}, false
	}
	t.Action = cmp.Or(t.Action, stop.ActionStop)
	return t, true
}

// whose says of a message as much as can be known. Reading it may be what
// crashes; its place in the stream is then its only name.
func (h *Handler) whose(m stop.Message) (t stop.Task) {
	unnamed := stop.Task{Request: stop.Place(m), Action: stop.ActionOf(m.Subject), Lane: stop.LaneOf(m.Subject), RequestedAt: m.Stored, StartedAt: time.Now().UTC()}
	t = unnamed
	defer func() {
		if p := recover(); p != nil {
			h.conf.Log.Error("a request cannot be read without a crash", "sequence", m.Sequence, "error", fmt.Sprint(p))
			t = unnamed
		}
	}()
	if r, bad := h.decode(m, h.conf.Defaults); bad == nil {
		t.Request, t.Target = r.ID, r.Target()
	}
	return t
}

// stands ends the handling of a request by what stands for it already: a
// task at work or a result. They are looked for in this order, because a task
// that ends in between leaves a result.
func (h *Handler) stands(ctx context.Context, t stop.Task) (v stop.Verdict, over bool) {
	atWork, err := h.ledger.Planned(ctx, t.Request)
	if err == nil && atWork {
		return stop.Verdict{Settled: true}, true
	}
	var result *stop.Result
	if err == nil {
		result, err = h.ledger.Result(ctx, t.Request)
	}
	switch {
	case err != nil:
		return h.later(ctx, "cannot read the ledger", t.Request, err), true
	case result != nil:
		return h.settled(t, result), true
	default:
		return stop.Verdict{}, false
	}
}

// asRequest is the message to publish in order to ask for a task again. A
// request is that message itself; one of several targets becomes a request of
// its own. Whether it is a task, the message says: the
// quota of t may have changed since.
func asRequest(m stop.Message, t stop.Task) stop.Message {
	if _, isTask := taskOf(m); !isTask && t.Name == "" {
		return m
	}
	data, err := json.Marshal(stop.Request{
		ID: nameAgain(t), Account: t.Target.Account, Region: t.Target.Region,
		AutoScalingGroupID: t.Target.AutoScalingGroupID, RefreshActivityID: t.Target.RefreshActivityID,
		Reason: t.Reason, RequestedBy: t.RequestedBy, Incident: t.Incident,
		NotAfter: t.NotAfter, DryRun: t.DryRun, AllowRollback: t.AllowRollback, ResumeMode: t.Mode,
	})
	if err != nil {
		return m
	}
	again := stop.Message{Subject: stop.RequestSubject(t.Action, t.Lane), Data: data, Stored: t.RequestedAt, Sequence: t.Sequence}
	if t.Traceparent != "" {
		again.Header = map[string][]string{"traceparent": {t.Traceparent}}
	}
	return again
}

// nameAgain is the identity of a task that becomes a request of its own.
func nameAgain(t stop.Task) string { return strings.ReplaceAll(t.Key(), ".", "-") }
