package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// call makes one attempt: leave, permit, note of the call, call. It ends the way
// only where no call could be made.
func (h *Handler) call(ctx context.Context, m stop.Message, s *situation) (stop.Verdict, bool) {
	if h.holds.want(s.task.Target.Account, s.task.Action) > 0 {
		return h.putOff(m, *s, waitHold), true
	}
	leave := h.lines.enter(s.call.Place(), s.task.Lane)
	if leave == nil {
		return h.putOff(m, *s, waitOther), true
	}
	defer leave()
	why, err := h.policy.spend(ctx, s.task)
	if err != nil {
		return h.later(ctx, "cannot read how many groups were paused of late", s.task.Key(), err), true
	}
	if why != "" {
		return h.end(m, *s, end(stop.OutcomeRefused, "%s", why).of(s.last).saving(savedPolicy)), true
	}
	answer, err := h.attempt(ctx, s)
	switch {
	case answer != nil:
		h.learn(s, *answer)
		return stop.Verdict{}, false
	case ctx.Err() != nil:
		return handBack(*s), true
	case errors.Is(err, errHeld):
		return h.putOff(m, *s, waitHold), true
	case errors.Is(err, stop.ErrLost):
		return h.putOff(m, *s, waitOther), true
	case time.Now().After(s.task.NotAfter):
		return stop.Verdict{}, false // decided again: expired
	}
	v := h.later(ctx, "no call was made, trying again", s.task.Key(), err)
	if errors.Is(err, errVoid) {
		v.Retry = jitter(checkTimeout)
	}
	v.Call = release(*s)
	return v, true
}

var (
	errHeld = errors.New("the account is held")
	// errVoid: a call now would be one more than the quota has room for.
	errVoid = errors.New("the permit was void before the call had begun")
)

const (
	// noteTimeout bounds the note of a call.
	noteTimeout = 5 * time.Second
	// checkTimeout bounds the look whether it still stands, which is made with a
	// permit in hand.
	checkTimeout = 300 * time.Millisecond
)

// attempt returns the answer of the API, or why it was not asked. All that may
// take long, the note of the call among it, comes before the permit: calls that
// waited for the same thing with permits in hand would be made at once when it
// comes, whatever the quota.
func (h *Handler) attempt(ctx context.Context, s *situation) (*stop.Answer, error) {
	alive, cancel := context.WithDeadline(ctx, s.task.NotAfter)
	defer cancel()
	account, action := s.task.Target.Account, s.task.Action
	if unready, err := ready(alive, h.api, h.holds, account, action); unready != nil || err != nil {
		return unready, err
	}
	if err := h.begin(alive, s); err != nil {
		return nil, err
	}
	permit, err := h.permits.Acquire(alive, action, s.task.Quota, s.task.Lane)
	if err != nil {
		return nil, err
	}
	defer permit.Release()
	pass, held := h.holds.enter(account, action)
	if held > 0 {
		return nil, errHeld
	}
	var answer *stop.Answer
	defer func() { h.holds.leave(pass, answer) }()

	if err := h.unchallenged(alive, s); err != nil {
		return nil, err
	}
	if err := alive.Err(); err != nil {
		return nil, err
	}
	if time.Now().After(permit.Until) {
		return nil, errVoid
	}
	s.history.CalledAt = time.Now().UTC()
	// A call that has begun is finished, also while the worker is stopping.
	a := h.change(context.WithoutCancel(ctx), s.task)
	answer = &a
	return answer, nil
}

// change makes the call of a task.
func (h *Handler) change(ctx context.Context, t stop.Task) stop.Answer {
	if t.Action == stop.ActionResume {
		return h.api.Resume(ctx, t.Target, t.Mode)
	}
	return h.api.Stop(ctx, t.Target)
}

// begin notes that a call is about to be made.
func (h *Handler) begin(ctx context.Context, s *situation) error {
	note := h.noted(*s)
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	if s.history.Activity != "" && s.history.Revision == 0 {
		// The task does not say which activity it is about, and must never move on
		// to another.
		if err := h.ledger.Remember(ctx, &s.history); err != nil {
			return err
		}
	}
	if err := h.ledger.Begin(ctx, &note); err != nil {
		return err
	}
	s.call, s.begun = note, note.Revision
	return nil
}

// unchallenged makes sure that no other task, or another worker with this one,
// has taken the place of the note while it waited for its permit.
func (h *Handler) unchallenged(ctx context.Context, s *situation) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	call, err := h.ledger.Call(ctx, s.task.Target)
	if err != nil {
		return err //nolint:wrapcheck // by the caller
	}
	if call.Revision != s.begun {
		s.history.Clear = s.begun // no call has come of it
		return fmt.Errorf("call: %w", stop.ErrLost)
	}
	return nil
}

// ready waits until there is something to sign a call with. Of a held account
// one asks at a time, and its failure counts as the probe's.
func ready(ctx context.Context, api API, holds *holds, account, action string) (*stop.Answer, error) {
	pass, held := holds.enter(account, action)
	if held > 0 {
		return nil, errHeld
	}
	unready := api.Ready(ctx, account)
	holds.leave(pass, unready)
	if unready != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for credentials: %w", context.Cause(ctx))
	}
	return unready, nil
}

// learn takes the answer to the call just made into the history.
func (h *Handler) learn(s *situation, a stop.Answer) {
	s.fresh, s.seen, s.history.Last = true, nil, &a
	h.regions.answered(placeOf(s.task.Target), a)
	log := h.conf.Log.With("request", s.task.Key(), "action", s.task.Action, "group", s.task.Target.AutoScalingGroupID, "activity", s.task.Target.RefreshActivityID)
	log.Debug("call answered", "class", a.Class, "code", a.Code, "message", a.Message, "api_request", a.RequestID, "attempts", s.history.Attempts+1)
	switch a.Class {
	case stop.ClassThrottled:
		h.permits.Throttled(s.task.Action, s.task.Quota)
		return
	case stop.ClassCredential:
		return
	case stop.ClassTransient:
		if !a.Unsent {
			s.history.Unknown++
		}
	}
	s.history.Attempts++
}
