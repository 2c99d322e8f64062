package limiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// start opens a limiter on a broker, and returns when it knows the broker's
// time.
func start(t testing.TB, c Config, b *broker, reg prometheus.Registerer, log *slog.Logger) *Limiter {
	t.Helper()
	if c.Worker == "" {
		c.Worker = "w"
	}
	l, err := open(c, b, newClock(), reg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.Announce(deflt)
	time.Sleep(3 * time.Second)
	return l
}

// get acquires and fails the test if that fails.
func get(t testing.TB, l *Limiter, lane stop.Lane) stop.Permit {
	t.Helper()
	p, err := l.Acquire(t.Context(), stop.ActionStop, deflt, lane)
	if err != nil {
		t.Fatalf("no permit: %v", err)
	}
	return p
}

// idle is what a permit takes when nobody else wants one: the schedule is
// written and read back, on ways of half a millisecond.
const idle = 2 * time.Millisecond

func TestIdlePermitComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 20}, newBroker(1), nil, nil)
		for range 20 {
			begun := time.Now()
			p := get(t, l, stop.LaneNormal)
			if d := time.Since(begun); d > idle {
				t.Errorf("an idle permit took %s, want %s", d, idle)
			}
			if left := time.Until(p.Until); left < inTime-idle || left > inTime {
				t.Errorf("the permit holds for %s, want about %s", left, inTime)
			}
			time.Sleep(time.Millisecond)
			p.Release()
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestQuotasAndActionsDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 1}, newBroker(1), nil, nil)
		begun := time.Now()
		var group sync.WaitGroup
		for _, action := range []string{stop.ActionStop, stop.ActionDescribe} {
			for _, q := range []stop.Quota{deflt, {Account: "other", Endpoint: deflt.Endpoint}, {Account: "default", Endpoint: "https://as.ap-guangzhou.tencentcloudapi.com"}} {
				group.Go(func() {
					if _, err := l.Acquire(t.Context(), action, q, stop.LaneBulk); err != nil {
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
		// New schedules begin with a pause.
		if d := time.Since(begun); d > reach+4*idle {
			t.Errorf("permits of six budgets took %s", d)
		}
	})
}

func TestCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 20, InFlight: 3}, newBroker(1), nil, nil)
		var permits []stop.Permit
		for range 3 {
			permits = append(permits, get(t, l, stop.LaneNormal))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Acquire(ctx, stop.ActionStop, deflt, stop.LaneUrgent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth call in flight: %v, want to wait for a free slot", err)
		}
		time.AfterFunc(time.Second, func() {
			permits[1].Release()
			permits[1].Release() // must not free a second one
		})
		begun := time.Now()
		get(t, l, stop.LaneNormal)
		if d := time.Since(begun) - time.Second; d > idle {
			t.Errorf("permit came %s after a call ended, want at once", d)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Acquire(ctx, stop.ActionStop, deflt, stop.LaneUrgent); err == nil {
			t.Error("releasing twice let two calls pass")
		}
	})
}

func TestCanceledWaitersCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 20}, newBroker(1), nil, nil)
		get(t, l, stop.LaneNormal).Release()
		why := errors.New("rollout is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if _, err := l.Acquire(ctx, stop.ActionStop, deflt, stop.LaneUrgent); !errors.Is(err, why) {
					t.Errorf("canceled waiter got %v, want the cause", err)
				}
			})
		}
		begun := time.Now()
		group.Go(func() {
			get(t, l, stop.LaneBulk).Release()
			if d := time.Since(begun); d > 60*time.Millisecond {
				t.Errorf("permit behind 1000 canceled waiters came after %s, want the next slot", d)
			}
		})
		synctest.Wait()
		cancel(why)
		group.Wait()
		if _, err := l.Acquire(ctx, stop.ActionStop, deflt, stop.LaneUrgent); !errors.Is(err, why) {
			t.Errorf("with a canceled context: %v, want the cause", err)
		}
	})
}

// A slot that comes at the very moment at which its waiter gives up goes to the
// next one, at that moment.
func TestSlotOfCanceledWaiterIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 20, InFlight: 1}, newBroker(1), nil, nil)
		g := l.gate(stop.ActionStop, deflt)
		w, second := &waiter{done: make(chan struct{})}, &waiter{done: make(chan struct{})}
		g.mu.Lock()
		g.slots = []slot{{from: g.clock.read(), keep: time.Second}}
		g.lanes.push(w)
		g.lanes.push(second)
		g.dispatch()
		g.mu.Unlock()
		if w.permit == nil || second.permit != nil {
			t.Fatal("the slot did not go to the first who waits")
		}
		g.leave(w)
		if w.permit != nil || second.permit == nil {
			t.Fatal("the slot of a canceled waiter did not go to the next one")
		}
		g.release(second.permit)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, Config{Rate: 1}, newBroker(1), nil, nil)
		p := get(t, l, stop.LaneNormal)
		l.Throttled(stop.ActionStop, deflt)
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, err := l.Acquire(t.Context(), stop.ActionStop, deflt, stop.LaneUrgent); !errors.Is(err, ErrClosed) {
					t.Errorf("waiter at Close got %v, want %v", err, ErrClosed)
				}
			})
		}
		synctest.Wait()
		l.Close()
		l.Close()
		group.Wait()
		if _, err := l.Acquire(t.Context(), stop.ActionDescribe, deflt, stop.LaneNormal); !errors.Is(err, ErrClosed) {
			t.Errorf("Acquire after Close: %v, want %v", err, ErrClosed)
		}
		p.Release()
		l.Throttled(stop.ActionStop, deflt)
		l.Announce(deflt)
	})
}

func TestConfigIsRefused(t *testing.T) {
	for _, c := range []Config{
		{},
		{Worker: "w"},
		{Rate: 20},
		{Worker: "w", Rate: -1},
		{Worker: "w", Rate: math.NaN()},
		{Worker: "w", Rate: math.Inf(1)},
		{Worker: "w", Rate: 1e-9},
		{Worker: "w", Rate: 20, InFlight: -1},
		{Worker: "w", Rate: 20, BulkShare: -0.1},
		{Worker: "w", Rate: 20, BulkShare: 0.6},
		{Worker: "w", Rate: 20, BulkShare: math.NaN()},
	} {
		if _, err := New(c, nil, nil, nil); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	_, err := New(Config{Rate: 0, InFlight: -1, BulkShare: 2}, nil, nil, nil)
	for _, fault := range []string{"name of the worker", "rate is 0", "in flight are -1", "bulk lane is 2"} {
		if !strings.Contains(fmt.Sprint(err), fault) {
			t.Errorf("error %q does not name the fault %q", err, fault)
		}
	}
}
