package handler

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Execute is the step that does what a task says to its activity: one call at
// most in a delivery, and as many readings as it takes to know what the call
// did. A part of a bulk it turns into tasks.
func (h *Handler) Execute(ctx context.Context, m stop.Message) stop.Verdict {
	if stop.IsPart(m.Subject) {
		return h.planPart(ctx, m)
	}
	var t stop.Task
	if err := json.Unmarshal(m.Data, &t); err != nil || !stop.ValidID(t.Request) || t.Name != "" && !stop.ValidID(t.Name) {
		return h.foreign(m, err)
	}
	t.Action = cmp.Or(t.Action, stop.ActionStop) // an older version does not say
	// The endpoint may have been changed since the plan; what counts is the
	// quota of the one that will be called.
	if quota, err := h.api.Quota(t.Target.Account, t.Target.Region); err == nil {
		t.Quota = quota
	}
	s := situation{task: t, last: t.Seen, unserved: !h.api.Serves(t.Target.Account)}
	// Also at what calls itself the first delivery: a broker that was killed
	// forgets how often it has delivered.
	var err error
	if s.history, err = h.ledger.History(ctx, "task."+t.Key()); err != nil {
		return h.later(ctx, "cannot read the history", t.Key(), err)
	}
	if now := time.Now(); s.history.CalledAt.After(now) {
		s.history.CalledAt = now.UTC() // by a clock that is wrong
	}
	if s.task.Target.RefreshActivityID == "" {
		s.task.Target.RefreshActivityID = s.history.Activity
	}
	if !s.doubt() && !t.Unread {
		s.seen = &reading{answer: stop.Answer{Class: stop.ClassOK}, activity: t.Seen, at: t.SeenAt}
		if t.SeenAt.IsZero() {
			s.seen.at = t.StartedAt // an older version does not say
		}
	}
	s.trouble = h.regions.trouble(placeOf(t.Target))
	leave := h.regions.enter(placeOf(t.Target))
	if leave == nil {
		return h.putOffSick(m, s)
	}
	defer leave()
	return h.advance(ctx, m, s)
}

// putOffSick has a task come again later whose region does not answer. When its
// time is over it ends, unless a call of its own must be looked up first.
func (h *Handler) putOffSick(m stop.Message, s situation) stop.Verdict {
	s.now = time.Now()
	if d := decide(s); d.next == doEnd && d.outcome == stop.OutcomeExpired {
		return h.end(m, s, d)
	}
	return h.putOff(m, s, waitRegion)
}

// advance decides and acts until there is a verdict. What has an effect, a call
// or an end that is not the answer to one, comes only after a look at what other
// workers have done meanwhile.
func (h *Handler) advance(ctx context.Context, m stop.Message, s situation) stop.Verdict {
	for {
		if ctx.Err() != nil && !s.fresh {
			return handBack(s)
		}
		s.now = time.Now()
		d := decide(s)
		if (d.next == doEnd || d.next == doCall) && !s.fresh && !s.looked {
			if v, over := h.look(ctx, &s, d.next); over {
				return v
			}
			continue
		}
		switch d.next {
		case doEnd:
			return h.end(m, s, d)
		case doWait:
			return h.putOff(m, s, d.wait)
		case doRead:
			h.read(ctx, &s)
		case doCall:
			if v, over := h.call(ctx, m, &s); over {
				return v
			}
		}
	}
}

// read looks at the activity, or at the group's live one.
func (h *Handler) read(ctx context.Context, s *situation) {
	seen := h.reader.read(ctx, s.task.Quota, s.task.Target, s.task.Lane)
	s.seen, s.fresh, s.looked = &seen, false, false
	if seen.held > 0 {
		return
	}
	h.regions.answered(placeOf(s.task.Target), seen.answer)
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
		v.DeadLetters = []stop.DeadLetter{h.bury(asRequest(m, s.task), s.task.Key(), stop.WhyFailed, r.Message)}
	}
	return v
}

// elsewhere is about when a message comes again that another worker has to
// deal with: soon enough for whoever asks next to have it, and seldom enough
// to keep the hands of this one free.
const elsewhere = 4 * time.Second

// putOff has the task come back later, with what it has been through.
func (h *Handler) putOff(m stop.Message, s situation, why wait) stop.Verdict {
	v := stop.Verdict{History: &s.history, Call: release(s)}
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
	case waitRegion:
		class, v.Retry = stop.ClassTransient, jitter(2*time.Second)
	case waitOther:
		// Those who wait for one call look less and less often.
		v.Retry = jitter(min(200*time.Millisecond*time.Duration(max(m.Delivered, 1)), 3*time.Second))
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
	answer, tries, most, action := s.history.Last, s.history.Attempts, maxAttempts, s.task.Action
	if why == waitRead {
		answer, tries, most, action = &s.seen.answer, s.history.Reads, maxReads, stop.ActionDescribe
	}
	h.conf.Log.Warn("request put off", "request", s.task.Key(), "group", s.task.Target.AutoScalingGroupID, "action", action,
		"code", answer.Code, "message", stop.Clip(answer.Message, 200), "try", tries, "of", most, "next_in", in.Round(time.Millisecond))
}

// afterHold is when a task of a held account is worth another look: soon after
// the next probe, and not much later than the account may be released.
func (h *Handler) afterHold(s situation) time.Duration {
	const most = 5 * time.Second
	wait := max(h.holds.wait(s.task.Target.Account, s.task.Action), h.holds.wait(s.task.Target.Account, stop.ActionDescribe), firstProbe)
	return min(wait, most) + jitter(100*time.Millisecond)
}

// handBack returns a task that has not been begun, because the worker stops.
func handBack(s situation) stop.Verdict {
	v := stop.Verdict{Retry: time.Millisecond, Call: release(s)}
	if s.history.Revision > 0 {
		v.History = &s.history
	}
	return v
}
