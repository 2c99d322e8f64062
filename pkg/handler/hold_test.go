package handler

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func testHolds() *holds {
	return newHolds(slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
}

var (
	refused  = &stop.Answer{Class: stop.ClassCredential, Code: "AuthFailure.SecretIdNotFound", Message: "no such key"}
	accepted = &stop.Answer{Class: stop.ClassOK}
	timedOut = &stop.Answer{Class: stop.ClassTransient}
)

// probe makes the call that is due, waiting for it as long as the hold says,
// and returns how long that was.
func probe(t *testing.T, h *holds, a *stop.Answer) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		p, wait := h.enter("default", stop.ActionStop)
		if wait > 0 {
			time.Sleep(wait) // the bubble's clock
			continue
		}
		if again, wait := h.enter("default", stop.ActionStop); wait == 0 && h.err() != nil {
			t.Errorf("two probes at once: %v", again)
		}
		h.leave(p, a)
		return time.Since(began)
	}
}

func TestProbesOfAHeldAccountGrowRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHolds()
		if waited := probe(t, h, refused); waited != 0 {
			t.Errorf("the first call waited %v", waited)
		}
		var waits []time.Duration
		for range 9 {
			waits = append(waits, probe(t, h, refused))
		}
		want := firstProbe
		for i, got := range waits {
			if got != want {
				t.Errorf("probe %d came after %v, want %v", i+1, got, want)
			}
			want = min(2*want, lastProbe)
		}
		if err := h.err(); err == nil || !strings.Contains(err.Error(), "account default is held") || !strings.Contains(err.Error(), refused.Code) {
			t.Errorf("readiness says %v", err)
		}
		probe(t, h, accepted)
		if err := h.err(); err != nil {
			t.Errorf("still held after a success: %v", err)
		}
		if waited := probe(t, h, accepted); waited != 0 {
			t.Errorf("a call after the release waited %v", waited)
		}
	})
}

func TestAHoldIsForOneAccountAndOneAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHolds()
		probe(t, h, refused)
		for _, row := range []struct {
			account, action string
			held            bool
		}{
			{"default", stop.ActionStop, true},
			{"default", stop.ActionDescribe, false},
			{"other", stop.ActionStop, false},
		} {
			if got := h.wait(row.account, row.action) > 0; got != row.held {
				t.Errorf("%s of %s held: %v, want %v", row.action, row.account, got, row.held)
			}
		}
	})
}

func TestAProbeThatSaysNothingIsRepeatedAtTheSamePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHolds()
		probe(t, h, refused)
		for range 3 {
			if waited := probe(t, h, timedOut); waited != firstProbe {
				t.Errorf("the next probe came after %v, want %v", waited, firstProbe)
			}
		}
	})
}

func TestAProbeThatWasNotMadeIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHolds()
		probe(t, h, refused)
		time.Sleep(firstProbe)
		p, _ := h.enter("default", stop.ActionStop)
		h.leave(p, nil)
		if wait := h.wait("default", stop.ActionStop); wait != 0 {
			t.Errorf("the next probe waits %v", wait)
		}
	})
}

func TestCallsUnderWayDoNotLengthenTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHolds()
		first, _ := h.enter("default", stop.ActionStop)
		second, _ := h.enter("default", stop.ActionStop)
		h.leave(first, refused)
		h.leave(second, refused)
		if wait := h.wait("default", stop.ActionStop); wait != firstProbe {
			t.Errorf("the first probe waits %v, want %v", wait, firstProbe)
		}
	})
}

func TestTheBreakerMetricFollowsTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		h := newHolds(slog.New(slog.DiscardHandler), newMetrics(reg))
		gauge := h.metrics.breaker.WithLabelValues("default", causeAuth)
		probe(t, h, refused)
		if got := testutil.ToFloat64(gauge); got != 1 {
			t.Errorf("held: %v", got)
		}
		probe(t, h, accepted)
		if got := testutil.ToFloat64(gauge); got != 0 {
			t.Errorf("released: %v", got)
		}
		if faults, err := testutil.GatherAndLint(reg); err != nil || len(faults) > 0 {
			t.Errorf("metrics: %v %v", faults, err)
		}
	})
}

// Permissions are given one by one, and each may be refused.
func TestTheBreakerMetricStandsForAllActions(t *testing.T) {
	h := testHolds()
	for _, action := range []string{stop.ActionStop, stop.ActionDescribe} {
		p, _ := h.enter("default", action)
		h.leave(p, refused)
	}
	gauge := h.metrics.breaker.WithLabelValues("default", causeAuth)
	h.leave(&pass{key: holdKey{"default", stop.ActionDescribe}, probe: true}, accepted)
	if got := testutil.ToFloat64(gauge); got != 1 {
		t.Errorf("one of two actions is held: %v", got)
	}
	h.leave(&pass{key: holdKey{"default", stop.ActionStop}, probe: true}, accepted)
	if got := testutil.ToFloat64(gauge); got != 0 {
		t.Errorf("none is held: %v", got)
	}
}

func TestCauseOfAHold(t *testing.T) {
	for code, want := range map[string]string{
		"AuthFailure.SecretIdNotFound":                      causeAuth,
		"AuthFailure.UnauthorizedOperation":                 causePermission,
		"UnauthorizedOperation.AutoScalingRoleUnauthorized": causePermission,
		"UnauthorizedOperation":                             causePermission,
		"ClientError.CredentialError":                       causeSource,
		"IpNotInWhitelist":                                  causeAuth,
	} {
		if got := cause(code); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}
