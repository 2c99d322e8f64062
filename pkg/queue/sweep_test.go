package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A broker that was killed has kept messages behind the places of its
// consumers: they are ended all the same, and only they.
func TestWhatTheBrokerDoesNotDeliverAnyMoreIsEnded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "off")
	q := openQueue(t, b)
	publish(t, q, stop.SubjectStop, "r-1")
	publish(t, q, stop.SubjectStop, "r-2")
	// The removal of what is acknowledged does not reach the disk.
	restarted := func(change func(messages string)) {
		t.Helper()
		q.Close()
		b.Shutdown()
		found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", stop.StreamStop, "msgs"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		change(found[0])
		b = startBrokerAt(t, dir, "off")
		q = openQueue(t, b, ackWait(300*time.Millisecond))
	}
	kept := filepath.Join(t.TempDir(), "msgs")
	restarted(func(messages string) {
		if err := os.CopyFS(kept, os.DirFS(messages)); err != nil {
			t.Fatal(err)
		}
	})
	lost := work(t, q, Worker{Plan: func(context.Context, stop.Message) stop.Verdict { return stop.Verdict{Settled: true} }})
	empty(t, q, stop.StreamStop)
	if err := lost(); err != nil {
		t.Fatal(err)
	}
	restarted(func(messages string) {
		if err := os.RemoveAll(messages); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(messages, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	})
	publish(t, q, stop.SubjectStop, "later")
	var swept atomic.Int32
	begun := make(chan struct{}, 1)
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		switch {
		case m.Delivered == 0:
			swept.Add(1)
		case strings.HasPrefix(string(m.Data), "r-"):
			t.Errorf("%s was delivered after all", m.Data)
		default:
			begun <- struct{}{}
			<-ctx.Done() // in hand, which is no reason to take it for left over
			return stop.Verdict{Retry: time.Millisecond}
		}
		return planned(ctx, m)
	}})
	receive(t, begun, "delivery")
	eventually(t, soon, func() error {
		for _, id := range []string{"r-1", "r-2"} {
			if r, err := q.Result(t.Context(), id); err != nil || r == nil {
				return fmt.Errorf("%s has no result: %w", id, err)
			}
		}
		return nil
	})
	eventually(t, soon, func() error {
		if n := left(t, q, stop.StreamStop); n != 1 {
			return fmt.Errorf("%d requests are left", n)
		}
		return nil
	})
	nothing(t, begun, 3*q.conf.AckWait, "what is in hand was taken again")
	if n := swept.Load(); n != 2 {
		t.Errorf("%d messages were ended, want 2", n)
	}
}
