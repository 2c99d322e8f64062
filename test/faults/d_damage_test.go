package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// Files of the broker are damaged while it is down, with requests in them. What
// it cannot read it may lose, in silence too; but whoever asks again, as all
// should who have no result, has one true result.
func TestD2FilesOfTheBrokerAreDamaged(t *testing.T) {
	t.Parallel()
	for _, damage := range []struct {
		name string
		do   func(t *testing.T, stream string)
	}{
		{"a bit of the requests", func(t *testing.T, stream string) { flip(t, stream, "msgs/*.blk") }},
		{"a bit of the requests, and no index", func(t *testing.T, stream string) {
			flip(t, stream, "msgs/*.blk")
			remove(t, stream, "msgs/index.db")
		}},
		{"the end of the requests", func(t *testing.T, stream string) { shorten(t, stream, "msgs/*.blk") }},
		{"a bit of the stream's settings", func(t *testing.T, stream string) { flip(t, stream, "meta.inf") }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, "D2 files damaged: "+damage.name, conf{workers: 1})
			w.crew[0].Kill()
			w.askAll(sized(36, 200))
			node := w.broker.Nodes[0]
			node.Signal(syscall.SIGTERM)
			if _, err := node.Exit(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			damage.do(t, filepath.Join(node.Dir, "jetstream", "$G", "streams", stop.StreamStop))
			w.broker.Start(node)
			node.Answers(t)
			w.injected()
			w.crew[0].start()
			w.crew[0].ready()
			for _, r := range w.asker.asked() {
				w.asker.confirm(r)
			}
			// A message that cannot be read stays in its stream.
			harness.Eventually(t, time.Minute, func() error {
				missing, err := w.asker.unanswered()
				if err == nil && len(missing) > 0 {
					err = fmt.Errorf("%d requests have no result", len(missing))
				}
				return err
			})
			w.asker.end()
			for _, err := range w.judge() {
				t.Error(err)
			}
		})
	}
}

// A consumer whose state cannot be read is refused by the broker for good. The
// worker says so, and what to do; that done, it goes on.
func TestD2TheStateOfAConsumerIsDamaged(t *testing.T) {
	t.Parallel()
	w := begin(t, "D2 files damaged: the state of the consumer", conf{workers: 1})
	w.crew[0].Kill()
	w.askAll(sized(36, 200))
	node := w.broker.Nodes[0]
	stream := filepath.Join(node.Dir, "jetstream", "$G", "streams", stop.StreamStop)
	restart := func(change func()) {
		node.Signal(syscall.SIGTERM)
		if _, err := node.Exit(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		change()
		w.broker.Start(node)
		node.Answers(t)
	}
	restart(func() { zero(t, stream, "obs/plan/o.dat") })
	w.injected()
	w.crew[0].start()
	if _, err := w.crew[0].Says("/obs/plan", 20*time.Second); err != nil {
		t.Error(err)
	}
	restart(func() {
		if err := os.RemoveAll(filepath.Join(stream, "obs", "plan")); err != nil {
			t.Fatal(err)
		}
	})
	w.crew[0].ready()
	w.finish(time.Minute)
}

// files of a stream; there must be some.
func files(t *testing.T, stream, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(stream, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("no files %s in %s: %v", pattern, stream, err)
	}
	return found
}

// change writes what becomes of each file's bytes.
func change(t *testing.T, stream, pattern string, to func([]byte) []byte) {
	t.Helper()
	for _, file := range files(t, stream, pattern) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, to(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(t *testing.T, stream, pattern string) {
	t.Helper()
	change(t, stream, pattern, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
}

func shorten(t *testing.T, stream, pattern string) {
	t.Helper()
	change(t, stream, pattern, func(b []byte) []byte { return b[:max(0, len(b)-100)] })
}

func zero(t *testing.T, stream, pattern string) {
	t.Helper()
	change(t, stream, pattern, func(b []byte) []byte { return make([]byte, len(b)) })
}

func remove(t *testing.T, stream, pattern string) {
	t.Helper()
	for _, file := range files(t, stream, pattern) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
