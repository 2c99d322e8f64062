package handler

import (
	"context"
	"encoding/json"
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
	s := situation{task: t, history: stop.History{Key: "task." + t.Request}, last: t.Seen, unserved: !h.api.Serves(t.Target.Account)}
	// Also at what calls itself the first delivery: a broker that was killed
	// forgets how often it has delivered.
	if s.history, err = h.ledger.History(ctx, s.history.Key); err != nil {
		return h.later(ctx, "cannot read the history", t.Request, err)
	}
	takeOver(&s.history, time.Now())
	if s.task.Target.RefreshActivityID == "" {
		s.task.Target.RefreshActivityID = s.history.Activity
	}
	if !s.doubt() && !t.Unread {
		s.seen = &reading{answer: stop.Answer{Class: stop.ClassOK}, activity: t.Seen, at: t.SeenAt}
		if t.SeenAt.IsZero() {
			s.seen.at = t.StartedAt // an older version does not say
		}
	}
	return h.advance(ctx, m, s)
}

// takeOver reads a history that another worker may have written, by a clock
// that may be wrong: the call it tells of was made no sooner than its note was
// stored, and no later than now.
func takeOver(h *stop.History, now time.Time) {
	if h.Calling {
		// A worker died, or was cut off, between the call and its answer.
		h.Calling = false
		h.Unknown++
		if h.StoredAt.After(h.CalledAt) {
			h.CalledAt = h.StoredAt
		}
	}
	if h.CalledAt.After(now) {
		h.CalledAt = now.UTC()
	}
}

// advance decides and acts until there is a verdict.
func (h *Handler) advance(ctx context.Context, m stop.Message, s situation) stop.Verdict {
	for {
		if ctx.Err() != nil && !s.fresh {
			return handBack(s)
		}
		s.now = time.Now()
		s.recent = h.recent.has(s.task.Target.RefreshActivityID)
		switch d := decide(s); d.next {
		case doEnd:
			if v, over := h.overtaken(ctx, s); over {
				return v
			}
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

// overtaken is about another worker that has the task too, as happens when the
// broker was away: the pause that this one has read may be that one's doing, on
// behalf of the same request. Nobody calls without a note in the history, so one
// that stands as it was says that no call of another came before the reading.
// A note that was taken back, because the request has ended, looks the same as
// none, so the result is looked for after that.
func (h *Handler) overtaken(ctx context.Context, s situation) (stop.Verdict, bool) {
	if s.fresh {
		return stop.Verdict{}, false // the answer to a call of our own
	}
	now, err := h.ledger.History(ctx, s.history.Key)
	if err != nil {
		return h.later(ctx, "cannot read the history", s.task.Request, err), true
	}
	if now.Revision != s.history.Revision {
		h.conf.Log.Debug("task is in other hands", "request", s.task.Request)
		return stop.Verdict{Retry: jitter(time.Second)}, true
	}
	result, err := h.ledger.Result(ctx, s.task.Request)
	switch {
	case err != nil:
		return h.later(ctx, "cannot read the ledger", s.task.Request, err), true
	case result != nil:
		return h.settled(s.task, result), true
	default:
		return stop.Verdict{}, false
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
	if a := seen.activity; a != nil && s.task.Target.RefreshActivityID == "" {
		s.task.Target.RefreshActivityID, s.history.Activity = a.RefreshActivityID, a.RefreshActivityID
	}
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

// elsewhere is about when a message comes again that another worker has to
// deal with: soon enough for whoever asks next to have it, and seldom enough
// to keep the hands of this one free.
const elsewhere = 4 * time.Second

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
	case waitWorker:
		v.Retry = jitter(elsewhere)
	}
	if class != "" {
		h.metrics.retries.WithLabelValues(string(class)).Inc()
	}
	if why == waitBackoff || why == waitRead {
		h.tellRetry(s, why, v.Retry)
	}
	// Wake up for NotAfter, to end the request then and not after one more delay.
	if left := time.Until(s.task.NotAfter); left > 0 && left < v.Retry {
		v.Retry = left + time.Millisecond
	}
	v.Retry = max(v.Retry, time.Millisecond)
	if why == waitWorker || s.history.Revision == 0 && s.history == (stop.History{Key: s.history.Key}) {
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
