package limiter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

var quota = stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"}

func newLimiter(t testing.TB, c Config) *Limiter {
	t.Helper()
	l, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// get acquires and fails the test if that fails.
func get(t testing.TB, l *Limiter, lane stop.Lane) (release func()) {
	t.Helper()
	release, err := l.Acquire(t.Context(), stop.ActionStop, quota, lane)
	if err != nil {
		t.Fatalf("no permit: %v", err)
	}
	return release
}

func TestQuotasAndActionsDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 1})
		begun := time.Now()
		for _, action := range []string{stop.ActionStop, stop.ActionDescribe} {
			for _, q := range []stop.Quota{quota, {Account: "other", Endpoint: quota.Endpoint}, {Account: "default", Endpoint: "https://as.ap-guangzhou.tencentcloudapi.com"}} {
				if _, err := l.Acquire(t.Context(), action, q, stop.LaneBulk); err != nil {
					t.Fatal(err)
				}
			}
		}
		if d := time.Since(begun); d > 0 {
			t.Errorf("permits of six budgets took %s", d)
		}
	})
}

func TestCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20, InFlight: 3})
		var releases []func()
		for range 3 {
			releases = append(releases, get(t, l, stop.LaneNormal))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneUrgent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth call in flight: %v, want to wait for a free slot", err)
		}
		time.AfterFunc(time.Second, func() {
			releases[1]()
			releases[1]() // must not free a second slot
		})
		begun := time.Now()
		get(t, l, stop.LaneNormal)
		if d := time.Since(begun); d != time.Second {
			t.Errorf("permit came %s after a slot was freed, want at once", d-time.Second)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneUrgent); err == nil {
			t.Error("releasing twice freed two slots")
		}
	})
}

func TestCanceledWaitersCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20})
		get(t, l, stop.LaneNormal)()
		why := errors.New("rollout is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneUrgent); !errors.Is(err, why) {
					t.Errorf("canceled waiter got %v, want the cause", err)
				}
			})
		}
		begun := time.Now()
		wg.Go(func() {
			get(t, l, stop.LaneBulk)()
			if d := time.Since(begun); d != 50*time.Millisecond {
				t.Errorf("permit behind 1000 canceled waiters came after %s, want 50ms", d)
			}
		})
		synctest.Wait()
		cancel(why)
		wg.Wait()
		if _, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneUrgent); !errors.Is(err, why) {
			t.Errorf("with a canceled context: %v, want the cause", err)
		}
	})
}

// A permit that comes at the very moment at which its waiter gives up goes to
// the next one, at that moment.
func TestPermitOfCanceledWaiterIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 20, InFlight: 1})
		g := l.gate(stop.ActionStop, quota)
		begun := time.Now()
		w := &waiter{done: make(chan struct{})}
		g.mu.Lock()
		g.lanes.push(w)
		g.dispatch()
		g.mu.Unlock()
		if w.permit == nil {
			t.Fatal("no permit when idle")
		}
		second := &waiter{done: make(chan struct{})}
		g.mu.Lock()
		g.lanes.push(second)
		g.mu.Unlock()
		g.leave(w)
		if w.permit != nil || second.permit == nil {
			t.Fatal("the permit of a canceled waiter did not go to the next one")
		}
		g.release(second.permit)
		if d := time.Since(begun); d > 0 {
			t.Errorf("the permit was passed on after %s, want at once", d)
		}
		get(t, l, stop.LaneNormal)()
		if d := time.Since(begun); d != 50*time.Millisecond {
			t.Errorf("the permit after it came after %s, want 50ms", d)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 1})
		release := get(t, l, stop.LaneNormal)
		l.Throttled(stop.ActionStop, quota)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if release, err := l.Acquire(t.Context(), stop.ActionStop, quota, stop.LaneUrgent); !errors.Is(err, ErrClosed) || release != nil {
					t.Errorf("waiter at Close got %v, want %v", err, ErrClosed)
				}
			})
		}
		synctest.Wait()
		l.Close()
		l.Close()
		wg.Wait()
		if _, err := l.Acquire(t.Context(), stop.ActionDescribe, quota, stop.LaneNormal); !errors.Is(err, ErrClosed) {
			t.Errorf("Acquire after Close: %v, want %v", err, ErrClosed)
		}
		release()
		l.Throttled(stop.ActionStop, quota)
		l.Announce(quota)
	})
}

func TestConfigIsRefused(t *testing.T) {
	for _, c := range []Config{
		{},
		{Rate: -1},
		{Rate: math.NaN()},
		{Rate: math.Inf(1)},
		{Rate: 1e-9},
		{Rate: 20, InFlight: -1},
		{Rate: 20, BulkShare: -0.1},
		{Rate: 20, BulkShare: 0.6},
		{Rate: 20, BulkShare: math.NaN()},
	} {
		if _, err := New(c, nil, nil); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	_, err := New(Config{Rate: 0, InFlight: -1, BulkShare: 2}, nil, nil)
	for _, fault := range []string{"rate is 0", "in flight are -1", "bulk lane is 2"} {
		if !strings.Contains(fmt.Sprint(err), fault) {
			t.Errorf("error %q does not name the fault %q", err, fault)
		}
	}
}
