package handler

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Execute is the step that stops the activity of a task: one call at most in
// a delivery, and as many readings as it takes to know what the call did.
func (h *Handler) Execute(ctx context.Context, m stop.Message) stop.Verdict {
	var t stop.Task
	if err := json.Unmarshal(m.Data, &t); err != nil || !stop.ValidID(t.Request) {
		return h.foreign(m, err)
	}
	result, err := h.ledger.Result(ctx, t.Request)
	if err != nil {
		return h.later(ctx, "cannot read the ledger", t.Request, err)
	}
	if result != nil {
		return h.settled(t, result)
	}
	// The endpoint may have been changed since the plan; what counts is the
	// quota of the one that will be called.
	if quota, err := h.api.Quota(t.Target.Account, t.Target.Region); err == nil {
		t.Quota = quota
	}
	s := situation{task: t, history: stop.History{Key: "task." + t.Request}, last: t.Seen}
	// Also at what calls itself the first delivery: a broker that was killed
	// forgets how often it has delivered.
	if s.history, err = h.ledger.History(ctx, s.history.Key); err != nil {
		return h.later(ctx, "cannot read the history", t.Request, err)
	}
	if s.history.Calling {
		// A worker died, or was cut off, between the call and its answer.
		s.history.Calling = false
		s.history.Unknown++
	}
	if !s.doubt() {
		s.seen = &reading{answer: stop.Answer{Class: stop.ClassOK}, activity: t.Seen}
	}
	return h.advance(ctx, m, s, nil)
}

// advance decides and acts until there is a verdict. enough, where given, may
// end the way before each decision.
func (h *Handler) advance(ctx context.Context, m stop.Message, s situation, enough func(*situation) (stop.Verdict, bool)) stop.Verdict {
	for {
		if ctx.Err() != nil && !s.fresh {
			return handBack(s)
		}
		if enough != nil {
			if v, over := enough(&s); over {
				return v
			}
		}
		s.now = time.Now()
		s.recent = h.recent.has(s.task.Target.RefreshActivityID)
		switch d := decide(s); d.next {
		case doEnd:
			return h.end(m, s, d)
		case doWait:
			return h.putOff(s, d.wait)
		case doRead:
			h.read(ctx, &s)
		case doCall:
			if v, over := h.call(ctx, &s); over {
				return v
			}
		}
	}
}

// read looks at the activity, or at the group's live one.
func (h *Handler) read(ctx context.Context, s *situation) {
	seen := h.reader.read(ctx, s.task.Quota, s.task.Target, s.task.Lane)
	s.seen, s.fresh = &seen, false
	if seen.held > 0 {
		return
	}
	if !seen.answer.OK() {
		if seen.answer.Class == stop.ClassTransient {
			s.history.Reads++
		}
		return
	}
	s.history.Reads, s.last = 0, seen.activity
	if s.history.Unknown > 0 {
		h.metrics.ambiguous.WithLabelValues(resolution(seen.activity)).Inc()
	}
}

func resolution(a *stop.Activity) string {
	switch {
	case a == nil:
		return resolvedUnknown
	case a.Status.Paused():
		return resolvedPaused
	case a.Status.Ended():
		return resolvedEnded
	default:
		return resolvedRunning
	}
}

// call makes one attempt: permit, note in the history, Stop. It ends the way
// only where no call could be made.
func (h *Handler) call(ctx context.Context, s *situation) (stop.Verdict, bool) {
	if h.holds.wait(s.task.Target.Account, stop.ActionStop) > 0 {
		return h.putOff(*s, waitHold), true
	}
	answer, err := h.attempt(ctx, s)
	switch {
	case answer != nil:
		h.learn(s, *answer)
		return stop.Verdict{}, false
	case ctx.Err() != nil:
		return handBack(*s), true
	case errors.Is(err, errHeld):
		return h.putOff(*s, waitHold), true
	case time.Now().After(s.task.NotAfter):
		return stop.Verdict{}, false // decided again: expired
	default:
		v := h.later(ctx, "no call was made, trying again", s.task.Request, err)
		if s.history.Revision > 0 {
			v.History = &s.history // takes back the note of a call
		}
		return v, true
	}
}

var errHeld = errors.New("the account is held")

// beginTimeout bounds the note before a call, which is made with a permit in
// hand.
const beginTimeout = 2 * time.Second

// attempt returns the answer of the API, or why it was not asked.
func (h *Handler) attempt(ctx context.Context, s *situation) (*stop.Answer, error) {
	wait, cancel := context.WithDeadline(ctx, s.task.NotAfter)
	defer cancel()
	permit, err := h.permits.Acquire(wait, stop.ActionStop, s.task.Quota, s.task.Lane)
	if err != nil {
		return nil, err
	}
	defer permit.Release()
	pass, held := h.holds.enter(s.task.Target.Account, stop.ActionStop)
	if held > 0 {
		return nil, errHeld
	}
	var answer *stop.Answer
	defer func() { h.holds.leave(pass, answer) }()

	note := s.history
	note.Calling, note.CalledAt = true, time.Now().UTC()
	wait, cancel = context.WithTimeout(wait, beginTimeout)
	defer cancel()
	if err := h.ledger.Begin(wait, &note); err != nil {
		return nil, err
	}
	s.history = note
	s.history.Calling = false
	if err := wait.Err(); err != nil {
		return nil, err
	}
	// A call that has begun is finished, also while the worker is stopping.
	a := h.api.Stop(context.WithoutCancel(ctx), s.task.Target)
	answer = &a
	return answer, nil
}

// learn takes the answer to the call just made into the history.
func (h *Handler) learn(s *situation, a stop.Answer) {
	s.fresh, s.seen, s.history.Last = true, nil, &a
	log := h.conf.Log.With("request", s.task.Request, "group", s.task.Target.AutoScalingGroupID, "activity", s.task.Target.RefreshActivityID)
	log.Debug("stop answered", "class", a.Class, "code", a.Code, "message", a.Message, "api_request", a.RequestID, "attempts", s.history.Attempts+1)
	switch a.Class {
	case stop.ClassThrottled:
		h.permits.Throttled(stop.ActionStop, s.task.Quota)
		return
	case stop.ClassCredential:
		return
	case stop.ClassOK:
		h.recent.add(s.task.Target.RefreshActivityID)
	case stop.ClassTransient:
		if !a.Unsent {
			s.history.Unknown++
		}
	}
	s.history.Attempts++
}

// end makes the result of a decision, and the dead letter where it was given up.
func (h *Handler) end(m stop.Message, s situation, d decision) stop.Verdict {
	r := h.result(s.task, d.outcome)
	r.Status, r.Attempts = d.status, s.history.Attempts
	r.Code, r.RequestID = d.answer.Code, d.answer.RequestID
	r.Message = stop.Clip(d.message, stop.MaxTextBytes)
	if s.seen != nil && s.seen.activity != nil && r.RefreshActivityID == "" {
		r.RefreshActivityID = s.seen.activity.RefreshActivityID
	}
	if d.saved != "" && s.history.Attempts == 0 {
		h.metrics.saved.WithLabelValues(string(d.saved)).Inc()
	}
	v := stop.Verdict{Results: []stop.Result{r}, History: &s.history}
	if d.outcome == stop.OutcomeFailed {
		v.DeadLetters = []stop.DeadLetter{h.bury(asRequest(m, s.task), s.task.Request, stop.WhyFailed, r.Message)}
	}
	return v
}

// putOff has the task come back later, with what it has been through.
func (h *Handler) putOff(s situation, why wait) stop.Verdict {
	v := stop.Verdict{History: &s.history}
	var class stop.Class
	switch why {
	case waitBackoff:
		class, v.Retry = stop.ClassTransient, delay(s.history.Attempts)
	case waitRead:
		class, v.Retry = stop.ClassTransient, delay(s.history.Reads)
	case waitThrottle:
		class, v.Retry = stop.ClassThrottled, jitter(time.Second)
	case waitSettle:
		class, v.Retry = stop.ClassConflict, time.Second
	case waitHold:
		class, v.Retry = stop.ClassCredential, h.afterHold(s)
	}
	h.metrics.retries.WithLabelValues(string(class)).Inc()
	if why == waitBackoff || why == waitRead {
		h.tellRetry(s, why, v.Retry)
	}
	// Wake up for NotAfter, to end the request then and not after one more delay.
	if left := time.Until(s.task.NotAfter); left > 0 && left < v.Retry {
		v.Retry = left + time.Millisecond
	}
	v.Retry = max(v.Retry, time.Millisecond)
	if s.history.Revision == 0 && s.history == (stop.History{Key: s.history.Key}) {
		v.History = nil
	}
	return v
}

// tellRetry says what went wrong and when it will be tried again.
func (h *Handler) tellRetry(s situation, why wait, in time.Duration) {
	answer, tries, most, action := s.history.Last, s.history.Attempts, maxAttempts, stop.ActionStop
	if why == waitRead {
		answer, tries, most, action = &s.seen.answer, s.history.Reads, maxReads, stop.ActionDescribe
	}
	h.conf.Log.Warn("request put off", "request", s.task.Request, "group", s.task.Target.AutoScalingGroupID, "action", action,
		"code", answer.Code, "message", stop.Clip(answer.Message, 200), "try", tries, "of", most, "next_in", in.Round(time.Millisecond))
}

// afterHold is when a task of a held account is worth another look: soon after
// the next probe, and not much later than the account may be released.
func (h *Handler) afterHold(s situation) time.Duration {
	const most = 5 * time.Second
	wait := max(h.holds.wait(s.task.Target.Account, stop.ActionStop), h.holds.wait(s.task.Target.Account, stop.ActionDescribe), firstProbe)
	return min(wait, most) + jitter(100*time.Millisecond)
}

// handBack returns a task that has not been begun, because the worker stops.
func handBack(s situation) stop.Verdict {
	v := stop.Verdict{Retry: time.Millisecond}
	if s.history.Revision > 0 {
		v.History = &s.history
	}
	return v
}

// foreign keeps what is on the tasks' subjects without being a task.
func (h *Handler) foreign(m stop.Message, err error) stop.Verdict {
	why := "not a task"
	if err != nil {
		why += ": " + err.Error()
	}
	return stop.Verdict{DeadLetters: []stop.DeadLetter{h.bury(m, stop.Place(m), stop.WhyInvalid, why)}}
}

// GiveUp ends a message whose handling crashes again and again.
func (h *Handler) GiveUp(m stop.Message, crash error) stop.Verdict {
	const what = "given up: handling the request crashed again and again; the log of the worker has the trace"
	h.conf.Log.Error("message given up", "sequence", m.Sequence, "subject", m.Subject, "error", crash)
	t := stop.Task{Request: stop.Place(m), Lane: stop.LaneOf(m.Subject), RequestedAt: m.Stored, StartedAt: time.Now().UTC()}
	var planned stop.Task
	if json.Unmarshal(m.Data, &planned) == nil && stop.TaskSubject(planned) == m.Subject {
		t = planned
	} else if r, bad := stop.Decode(m, h.conf.Defaults); bad == nil {
		t.Request, t.Target = r.ID, r.Target()
	}
	r := h.result(t, stop.OutcomeFailed)
	r.Message = what
	return stop.Verdict{
		Results:     []stop.Result{r},
		DeadLetters: []stop.DeadLetter{h.bury(asRequest(m, t), t.Request, stop.WhyPanic, crash.Error())},
	}
}

// asRequest is the message to publish in order to ask for a task again. A
// request is that message itself.
func asRequest(m stop.Message, t stop.Task) stop.Message {
	if m.Subject != stop.TaskSubject(t) {
		return m
	}
	data, err := json.Marshal(stop.Request{
		ID: t.Request, Account: t.Target.Account, Region: t.Target.Region,
		AutoScalingGroupID: t.Target.AutoScalingGroupID, RefreshActivityID: t.Target.RefreshActivityID,
		Reason: t.Reason, RequestedBy: t.RequestedBy, Incident: t.Incident,
		NotAfter: t.NotAfter, DryRun: t.DryRun, AllowRollback: t.AllowRollback,
	})
	if err != nil {
		return m
	}
	again := stop.Message{Subject: stop.RequestSubject(t.Lane), Data: data, Stored: t.RequestedAt, Sequence: t.Sequence}
	if t.Traceparent != "" {
		again.Header = map[string][]string{"traceparent": {t.Traceparent}}
	}
	return again
}

func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}
