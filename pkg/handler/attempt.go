package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

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
	}
	v := h.later(ctx, "no call was made, trying again", s.task.Request, err)
	if errors.Is(err, errVoid) {
		v.Retry = jitter(beginTimeout)
	}
	// The history takes back the note of a call. Where it is not known whether
	// the note was stored, the next delivery finds out.
	if s.history.Revision > 0 && !errors.Is(err, context.DeadlineExceeded) {
		v.History = &s.history
	}
	return v, true
}

var (
	errHeld = errors.New("the account is held")
	// errVoid: a call now would be one more than the quota has room for.
	errVoid = errors.New("the permit was void before the call had begun")
)

// beginTimeout bounds the note before a call, which is made with a permit in
// hand.
const beginTimeout = 500 * time.Millisecond

// attempt returns the answer of the API, or why it was not asked. All that may
// take long comes before the permit: calls that waited for the same thing with
// permits in hand would be made at once when it comes, whatever the quota.
func (h *Handler) attempt(ctx context.Context, s *situation) (*stop.Answer, error) {
	alive, cancel := context.WithDeadline(ctx, s.task.NotAfter)
	defer cancel()
	account := s.task.Target.Account
	if unready, err := ready(alive, h.api, h.holds, account, stop.ActionStop); unready != nil || err != nil {
		return unready, err
	}
	permit, err := h.permits.Acquire(alive, stop.ActionStop, s.task.Quota, s.task.Lane)
	if err != nil {
		return nil, err
	}
	defer permit.Release()
	pass, held := h.holds.enter(account, stop.ActionStop)
	if held > 0 {
		return nil, errHeld
	}
	var answer *stop.Answer
	defer func() { h.holds.leave(pass, answer) }()

	if err := h.begin(alive, s); err != nil {
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
	a := h.api.Stop(context.WithoutCancel(ctx), s.task.Target)
	answer = &a
	return answer, nil
}

// begin notes that a call is about to be made. What the situation says is what
// the history will be without that call.
func (h *Handler) begin(ctx context.Context, s *situation) error {
	note := s.history
	note.Calling, note.CalledAt = true, time.Now().UTC()
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	if err := h.ledger.Begin(ctx, &note); err != nil {
		return err
	}
	s.history.Revision = note.Revision
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
