package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func quiet(c *Config) { c.Log = slog.New(slog.DiscardHandler) }

// BenchmarkSettle is the way of a request through one loop: delivered, its
// result stored on disk, acknowledged. A fleet needs 20 a second and quota.
func BenchmarkSettle(b *testing.B) {
	for _, slots := range []int{1, 32} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			q := openQueue(b, startBroker(b), quiet)
			for i := range b.N {
				publish(b, q, stop.SubjectStop, fmt.Sprint("r-", i))
			}
			var done atomic.Int64
			all := make(chan struct{})
			b.ResetTimer()
			end := work(b, q, Worker{Slots: slots, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
				if done.Add(1) == int64(b.N) {
					close(all)
				}
				return planned(ctx, m)
			}})
			<-all
			if err := end(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "results/s")
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{100, 10_000, stop.MaxRequestBytes} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			q := openQueue(b, startBroker(b), quiet)
			m := stop.Message{Subject: stop.SubjectStop, Data: make([]byte, size)}
			if size > 100_000 {
				m.Subject = stop.SubjectDead + ".bench" // the one stream that makes room
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := q.Publish(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
