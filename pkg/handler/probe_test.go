package handler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A worker that nobody asks for anything finds out that an account is well again: its
// readiness, and an alert, depend on that.
func TestAHoldThatNobodyWaitsForIsLookedAfter(t *testing.T) {
	denied := &stop.Answer{Class: stop.ClassCredential, Code: "UnauthorizedOperation", Message: "no"}
	for name, row := range map[string]struct {
		action  string
		refused *stop.Answer
		read    *stop.Answer // of the probe; nil: all is well again
		within  time.Duration
		not     time.Duration
	}{
		"a key that is accepted again":      {action: stop.ActionStop, refused: refused, within: 3 * time.Minute, not: unwanted},
		"a reading that is allowed again":   {action: stop.ActionDescribe, refused: denied, within: 3 * time.Minute, not: unwanted},
		"a key that is still refused":       {action: stop.ActionStop, refused: refused, read: refused, not: time.Hour},
		"an API that is away":               {action: stop.ActionStop, refused: refused, read: timedOut, not: time.Hour},
		"a permission that no reading asks": {action: stop.ActionStop, refused: denied, within: unprovable + time.Minute, not: unprovable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if row.read != nil {
					r.api.read = func(stop.Scope) *stop.Answer { return row.read }
				}
				call(r.holds, "default", row.action, row.refused)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan struct{})
				go func() { defer close(ended); r.Probe(ctx) }()

				<-time.After(row.not - time.Millisecond)
				if r.Credentials() == nil {
					t.Errorf("it is let go before %v are over", row.not)
				}
				if row.within > 0 {
					<-time.After(row.within - row.not)
					if err := r.Credentials(); err != nil {
						t.Errorf("after %v: %v", row.within, err)
					}
				}
				r.api.mu.Lock()
				// Half of lastProbe is the least that lies between two.
				if most := int(max(row.not, row.within) / (lastProbe / 2)); len(r.api.reads) > most || len(r.api.stopped) > 0 {
					t.Errorf("%d readings and %d Stops, want at most %d and none", len(r.api.reads), len(r.api.stopped), most)
				}
				r.api.mu.Unlock()
				cancel()
				<-ended
			})
		})
	}
}

// Who waits for the next probe makes it, and nobody else.
func TestAHoldThatSomebodyWaitsForIsLeftToThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); r.Probe(ctx) }()
		for ctx.Err() == nil {
			call(r.holds, "default", stop.ActionStop, refused)
		}
		<-ended
		if r.Credentials() == nil || len(r.api.reads) > 0 {
			t.Errorf("held: %v, after %d readings", r.Credentials(), len(r.api.reads))
		}
	})
}
