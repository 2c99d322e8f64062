package limiter

import (
	"context"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// unpaced is a limiter whose own cost can be measured: it grants as fast as it
// can.
func unpaced(b *testing.B, slots int) *Limiter {
	l := newLimiter(b, Config{Rate: 20, InFlight: slots})
	g := l.gate(stop.ActionStop, quota)
	g.pace.span, g.brake = 0, newBrake(1e12)
	return l
}

func BenchmarkAcquireUncontended(b *testing.B) {
	l := unpaced(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		get(b, l, stop.LaneNormal)()
	}
}

// One permit is handed from caller to caller while 1000 wait for it.
func BenchmarkAcquire1000Waiting(b *testing.B) {
	l := unpaced(b, 1)
	b.ReportAllocs()
	b.SetParallelism(1000)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get(b, l, stop.LaneNormal)()
		}
	})
}

// A waiter comes and goes while 1000 wait.
func BenchmarkCancelBehind1000(b *testing.B) {
	l := newLimiter(b, Config{Rate: minRate})
	get(b, l, stop.LaneNormal)
	g := l.gate(stop.ActionStop, quota)
	g.mu.Lock()
	for range 1000 {
		g.lanes.push(&waiter{rank: rankNormal, done: make(chan struct{})})
	}
	g.mu.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		time.AfterFunc(0, cancel)
		if _, err := l.Acquire(ctx, stop.ActionStop, quota, stop.LaneBulk); err == nil {
			b.Fatal("got a permit")
		}
	}
}

// How much of a quota of 20 is used with the clock on the wall.
func BenchmarkUseOfQuota(b *testing.B) {
	l := newLimiter(b, Config{Rate: 20})
	begun, permits := time.Now(), 0
	for b.Loop() {
		release := get(b, l, stop.LaneNormal)
		time.Sleep(time.Millisecond)
		release()
		permits++
	}
	if permits > 1 {
		b.ReportMetric(100*float64(permits-1)/(20*time.Since(begun).Seconds()), "%quota")
	}
}
