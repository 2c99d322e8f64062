package handler

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// busiest is the most arrivals in any second.
func busiest(arrivals []time.Time) int {
	slices.SortFunc(arrivals, time.Time.Compare)
	most, first := 0, 0
	for i, at := range arrivals {
		for at.Sub(arrivals[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// What many calls wait for together must not be waited for with permits in
// hand: when it comes, all of them would be made at once.
func TestCredentialsThatComeLateBreakNoQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		came := make(chan struct{})
		time.AfterFunc(2*time.Second, func() { close(came) })
		r.api.ready = func(context.Context) *stop.Answer { <-came; return nil }
		r.api.stop = func(stop.Target) stop.Answer { <-came; return stop.Answer{Class: stop.ClassOK} }
		var tasks sync.WaitGroup
		for i := range 40 {
			tasks.Go(func() {
				if got := r.deliver(t, freshOf(i)); got.Outcome != stop.OutcomePaused {
					t.Errorf("r%d: %+v", i, got)
				}
			})
		}
		tasks.Wait()
		if most := busiest(r.api.arrivals); most > r.permits.rate || len(r.api.arrivals) != 40 {
			t.Errorf("%d calls, %d of them within a second, want 40 and at most %d", len(r.api.arrivals), most, r.permits.rate)
		}
		if r.permits.taken != r.permits.released {
			t.Errorf("%d permits taken and %d released", r.permits.taken, r.permits.released)
		}
	})
}

// Readings count against a quota too.
func TestAReadingWaitsForCredentialsBeforeItsPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.show(stop.StatusRunning)
		r.api.ready = func(context.Context) *stop.Answer {
			if r.permits.taken > 0 {
				t.Error("credentials are waited for with a permit in hand")
			}
			<-time.After(2 * time.Second)
			return nil
		}
		seen := r.reader.read(t.Context(), quota, fresh("r").Target, stop.LaneNormal)
		if !seen.answer.OK() || seen.activity == nil || len(r.api.reads) != 1 {
			t.Errorf("%d reads, seen %+v", len(r.api.reads), seen)
		}
	})
}

// Missing credentials hold the account, and one task at a time asks for them.
func TestMissingCredentialsHoldTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		until := time.Now().Add(10 * time.Second)
		var asking atomic.Int32
		r.api.ready = func(context.Context) *stop.Answer {
			if asking.Add(1) > 1 && r.Credentials() != nil {
				t.Error("two ask at once")
			}
			<-time.After(time.Second)
			asking.Add(-1)
			if time.Now().Before(until) {
				return &stop.Answer{Class: stop.ClassCredential, Code: "ClientError.CredentialError", Unsent: true}
			}
			return nil
		}
		v := r.ledger.settle(t, r.Execute(t.Context(), taskMessage(t, fresh("r0"))))
		if v.Final() || r.Credentials() == nil || r.permits.taken > 0 {
			t.Errorf("final %v, held %v, %d permits; want the account held and no permit taken", v.Final(), r.Credentials(), r.permits.taken)
		}
		var tasks sync.WaitGroup
		for i := range 10 {
			tasks.Go(func() {
				if got := r.deliver(t, freshOf(i)); got.Outcome != stop.OutcomePaused || got.Attempts != 1 {
					t.Errorf("r%d: %+v", i, got)
				}
			})
		}
		tasks.Wait()
		if err := r.Credentials(); err != nil {
			t.Errorf("still held: %v", err)
		}
	})
}

// A permit that is not used in its time would be one call too many later.
func TestAVoidPermitMakesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.permits.life, r.ledger.check = 200*time.Millisecond, 250*time.Millisecond
		began := time.Now()
		v := r.ledger.settle(t, r.Execute(t.Context(), taskMessage(t, fresh("r"))))
		if v.Final() || v.Retry > time.Second || len(r.api.arrivals) > 0 {
			t.Errorf("verdict %+v after %d calls, want no call and another try soon", v, len(r.api.arrivals))
		}
		if c := r.ledger.calls["ap-guangzhou."+activity]; c.Revision == 0 || !c.Over {
			t.Errorf("%+v, want the note taken back", c)
		}
		if r.permits.released != 1 {
			t.Error("the permit is not released")
		}
		r.ledger.check = 0
		if got := r.deliver(t, fresh("r")); got.Outcome != stop.OutcomePaused || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), got)
		}
	})
}

func TestALookThatTakesTooLongMakesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.permits.life, r.ledger.check = time.Minute, time.Second
		began := time.Now()
		v := r.Execute(t.Context(), taskMessage(t, fresh("r")))
		if v.Final() || len(r.api.arrivals) > 0 || time.Since(began) > 2*time.Second {
			t.Errorf("after %v and %d calls: %+v", time.Since(began), len(r.api.arrivals), v)
		}
	})
}

func TestNoCallIsMadeAfterNotAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ledger.begin = 200 * time.Millisecond
		task := fresh("r")
		task.NotAfter = time.Now().Add(200*time.Millisecond - time.Nanosecond)
		if got := r.deliver(t, task); got.Outcome != stop.OutcomeExpired || len(r.api.arrivals) > 0 {
			t.Errorf("%d calls and %+v, want expired", len(r.api.arrivals), got)
		}
	})
}

func TestAStoppingWorkerBeginsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.ledger.stores = true
		r.ledger.begin = 200 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		v := r.ledger.settle(t, r.Execute(ctx, taskMessage(t, fresh("r"))))
		if c := r.ledger.calls["ap-guangzhou."+activity]; v.Final() || len(r.api.arrivals) > 0 || !c.Over {
			t.Errorf("%d calls, %+v, note %+v", len(r.api.arrivals), v, c)
		}
	})
}
