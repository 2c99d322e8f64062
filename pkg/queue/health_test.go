package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Somebody changes the streams of a worker that runs: it goes on, and says so
// until they are as they must be.
func TestAStreamThatIsMadeWeakerIsTold(t *testing.T) {
	t.Parallel()
	l, logger := newLog(t)
	q := openQueue(t, startBroker(t), ackWait(300*time.Millisecond), func(c *Config) { c.Log = logger })
	work(t, q, Worker{Plan: planned})
	s, err := q.js.Stream(t.Context(), stop.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	sound := s.CachedInfo().Config
	weak := sound
	weak.MaxAge = time.Hour
	update := func(c jetstream.StreamConfig) {
		t.Helper()
		if _, err := q.js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Intact(); err != nil {
		t.Fatal(err)
	}
	update(weak)
	eventually(t, soon, func() error {
		if err := q.Intact(); !errors.Is(err, ErrWeaker) || !strings.Contains(err.Error(), "max age is 1h0m0s") {
			return fmt.Errorf("Intact says %w", err)
		}
		return nil
	})
	publish(t, q, stop.SubjectStop, "r")
	empty(t, q, stop.StreamStop)
	update(sound)
	eventually(t, soon, q.Intact)
	if err := q.js.DeleteStream(t.Context(), stop.StreamDead); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error {
		if err := q.Intact(); !errors.Is(err, errGone) || !strings.Contains(err.Error(), stop.StreamDead) {
			return fmt.Errorf("Intact says %w", err)
		}
		return nil
	})
	if n := strings.Count(l.String(), "do not keep what is promised"); n != 2 {
		t.Errorf("two faults were told %d times", n)
	}
}

// The broker can neither read the files of a consumer nor make another of its
// name, and does not say what to do.
func TestAConsumerWithoutItsFilesIsExplained(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "off")
	openQueue(t, b).Close()
	b.Shutdown()
	obs := filepath.Join("streams", stop.StreamStop, "obs", "plan")
	found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", obs))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if err := os.WriteFile(filepath.Join(found[0], "o.dat"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	l, logger := newLog(t)
	opened := make(chan *Queue, 1)
	again := startBrokerAt(t, dir, "off")
	c := config(t, again, func(c *Config) { c.Log = logger })
	go func() {
		q, err := Open(t.Context(), c)
		if err == nil {
			opened <- q
		}
	}()
	eventually(t, soon, func() error {
		if !strings.Contains(l.String(), "remove "+obs) {
			return fmt.Errorf("nobody says what to do")
		}
		return nil
	})
	again.Shutdown()
	select {
	case q := <-opened:
		q.Close()
		t.Error("opened without its consumer")
	default:
	}
}
