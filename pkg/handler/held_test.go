package handler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func checkHeld(t *testing.T, when string, h *Handler, want ...stop.HeldAccount) {
	t.Helper()
	// Nothing is an empty list in JSON, not null.
	if want == nil {
		want = []stop.HeldAccount{}
	}
	if diff := cmp.Diff(want, h.HeldAccounts()); diff != "" {
		t.Errorf("held %s (-want +got):\n%s", when, diff)
	}
}

// call makes one call for an account, as soon as it may be made.
func call(h *holds, account, action string, a *stop.Answer) {
	p, wait := h.enter(account, action)
	for p == nil {
		time.Sleep(wait) // the bubble's clock
		p, wait = h.enter(account, action)
	}
	h.leave(p, a)
}

func TestHeldAccountsAreNamedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRig(t)
		checkHeld(t, "before the first call", h.Handler)
		denied := &stop.Answer{Class: stop.ClassCredential, Code: "UnauthorizedOperation", Message: "no", RequestID: "req-1"}
		began := time.Now()
		var want []stop.HeldAccount
		for _, row := range []struct {
			account, action string
			answer          *stop.Answer
			place           int // in the list, when all are held
		}{
			{"shop", stop.ActionStop, refused, 3},
			{"default", stop.ActionStop, refused, 1},
			{"other", stop.ActionStop, accepted, -1},
			{"shop", stop.ActionDescribe, denied, 2},
			{"default", stop.ActionDescribe, denied, 0},
			{"slow", stop.ActionStop, timedOut, -1},
		} {
			time.Sleep(time.Millisecond)
			call(h.holds, row.account, row.action, row.answer)
			if row.place < 0 {
				continue
			}
			if want == nil {
				want = make([]stop.HeldAccount, 4)
			}
			want[row.place] = stop.HeldAccount{Account: row.account, Action: row.action, Since: time.Now().UTC(), Answer: *row.answer}
		}
		checkHeld(t, "after four refusals", h.Handler, want...)
		if since := want[3].Since; since.Sub(began) != time.Millisecond || since.Location() != time.UTC {
			t.Errorf("held since %v, which is not in UTC when it was refused", since)
		}
		call(h.holds, "default", stop.ActionDescribe, accepted)
		checkHeld(t, "after one was released", h.Handler, want[1:]...)
	})
}

// A hold begins once; what the API says of it may change.
func TestAHeldAccountShowsTheLastRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRig(t)
		call(h.holds, "default", stop.ActionStop, refused)
		want := stop.HeldAccount{Account: "default", Action: stop.ActionStop, Since: time.Now().UTC(), Answer: *refused}
		checkHeld(t, "after the first refusal", h.Handler, want)
		call(h.holds, "default", stop.ActionStop, timedOut)
		checkHeld(t, "after a probe that said nothing", h.Handler, want)
		want.Answer = stop.Answer{Class: stop.ClassCredential, Code: "AuthFailure.SignatureFailure", Message: "wrong key"}
		call(h.holds, "default", stop.ActionStop, &want.Answer)
		checkHeld(t, "after another refusal", h.Handler, want)
		call(h.holds, "default", stop.ActionStop, accepted)
		checkHeld(t, "after the release", h.Handler)
	})
}

// The way of a task: its account is held while the API refuses its credentials,
// and released when they work again.
func TestAnAccountIsHeldUntilItsCredentialsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRig(t)
		began := time.Now()
		h.api.stop = func(stop.Target) stop.Answer {
			if time.Since(began) < time.Minute {
				return *refused
			}
			return *accepted
		}
		during := make(chan []stop.HeldAccount, 1)
		time.AfterFunc(30*time.Second, func() { during <- h.HeldAccounts() })
		if r := h.deliver(t, fresh("r1")); r.Outcome != stop.OutcomePaused {
			t.Errorf("the task ended %s: %s", r.Outcome, r.Message)
		}
		want := []stop.HeldAccount{{Account: "default", Action: stop.ActionStop, Since: began.UTC(), Answer: *refused}}
		if diff := cmp.Diff(want, <-during); diff != "" {
			t.Errorf("held while the API refuses (-want +got):\n%s", diff)
		}
		checkHeld(t, "when the task has ended", h.Handler)
	})
}
