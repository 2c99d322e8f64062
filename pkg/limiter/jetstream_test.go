package limiter_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/limiter"
	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

var quota = stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"}

// bucket is the real one, on an embedded broker.
func bucket(t testing.TB) jetstream.KeyValue {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, err := broker.Start(t.Context(), broker.Config{StoreDir: t.TempDir(), Listen: "off", AllowTemporary: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	q, err := queue.Open(t.Context(), queue.Config{InProcess: b, Capacity: b.MaxStore(), Registerer: prometheus.NewRegistry(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q.Permits()
}

func start(t testing.TB, permits jetstream.KeyValue, c limiter.Config) *limiter.Limiter {
	t.Helper()
	l, err := limiter.New(c, permits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// take gets so many permits one after the other and says when each came.
func take(ctx context.Context, t testing.TB, l *limiter.Limiter, n int) (at []time.Time) {
	t.Helper()
	for range n {
		p, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneNormal)
		if err != nil {
			t.Error(err)
			return at
		}
		at = append(at, time.Now())
		p.Release()
	}
	return at
}

func TestWorkersShareARealBucket(t *testing.T) {
	t.Parallel()
	permits := bucket(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var all []time.Time
	for _, name := range []string{"a", "b", "c"} {
		l := start(t, permits, limiter.Config{Worker: name, Rate: 50})
		group.Go(func() {
			at := take(t.Context(), t, l, 25)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, at...)
		})
	}
	group.Wait()
	slices.SortFunc(all, time.Time.Compare)
	// 75 slots of 20 ms.
	if took := all[len(all)-1].Sub(all[0]); took < 1400*time.Millisecond {
		t.Errorf("three workers had %d permits in %s at 50 a second", len(all), took)
	}
}

func TestDeletedScheduleIsBegunAnew(t *testing.T) {
	t.Parallel()
	permits := bucket(t)
	l := start(t, permits, limiter.Config{Worker: "w", Rate: 100})
	take(t.Context(), t, l, 3)
	key := stop.ActionStop + "." + quota.Token()
	if err := permits.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	take(ctx, t, l, 3)
	if err := permits.Purge(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	take(ctx, t, l, 3)
}

// What an idle permit costs: the schedule is written, synced to the disk, and
// read back.
func BenchmarkAcquireIdle(b *testing.B) {
	l := start(b, bucket(b), limiter.Config{Worker: "w", Rate: 1e6})
	take(b.Context(), b, l, 1)
	b.ReportAllocs()
	for b.Loop() {
		take(b.Context(), b, l, 1)
	}
}

// Permits for 32 that wait all the time share what one write costs.
func BenchmarkAcquireBacklog(b *testing.B) {
	l := start(b, bucket(b), limiter.Config{Worker: "w", Rate: 1e6})
	take(b.Context(), b, l, 1)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			take(b.Context(), b, l, 1)
		}
	})
}
