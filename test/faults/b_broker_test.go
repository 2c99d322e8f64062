package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// The streams that have a leader each.
var streams = []string{stop.StreamStop, stop.StreamTasks, stop.StreamResults, "KV_" + stop.BucketHistory, "KV_" + stop.BucketLimiter}

func TestB1AWorkerWithItsBrokerIsKilled(t *testing.T) {
	t.Parallel()
	w := begin(t, "B1 worker with the broker in it killed", conf{workers: 1, embedded: true, store: harness.DiskDir(t)})
	w.ask(0)
	for range sized(4, 60) {
		w.pause(300*time.Millisecond, 1200*time.Millisecond)
		w.crew[0].killed()
		w.row.brokerKills++
	}
	w.finish(2 * time.Minute)
}

func TestB1TheOnlyBrokerIsKilled(t *testing.T) {
	t.Parallel()
	w := begin(t, "B1 the only broker killed", conf{workers: 3})
	w.ask(0)
	for range sized(3, 80) {
		w.pause(500*time.Millisecond, 1500*time.Millisecond)
		w.kill(w.broker.Nodes[0])
		w.pause(0, 300*time.Millisecond)
		w.broker.Start(w.broker.Nodes[0])
		w.injected()
	}
	w.finish(2 * time.Minute)
}

func (w *world) kill(n *harness.Node) {
	w.t.Helper()
	if state := n.Ended(); state != nil {
		w.t.Fatalf("%s ended by itself: %v", n.Process.Name, state)
	}
	n.Kill()
	w.row.brokerKills++
}

// led waits until a stream has a leader.
func (w *world) led(stream string) *harness.Node {
	w.t.Helper()
	var leader *harness.Node
	harness.Eventually(w.t, time.Minute, func() (err error) {
		leader, err = w.broker.Leader(stream)
		return err
	})
	return leader
}

// A cluster loses the leader of a stream, two of its three nodes, or all.
func TestB3NodesOfAClusterAreKilled(t *testing.T) {
	t.Parallel()
	w := begin(t, "B3 nodes of a cluster killed", conf{workers: 3, nodes: 3})
	w.ask(0)
	for i := range sized(3, 24) {
		w.pause(time.Second, 2*time.Second)
		victims := []*harness.Node{w.led(streams[i%len(streams)])}
		switch i % 3 {
		case 1:
			other := slices.Index(w.broker.Nodes, victims[0])
			victims = append(victims, w.broker.Nodes[(other+1)%3])
		case 2:
			if i%2 == 0 {
				victims = w.broker.Nodes
			}
		}
		for _, n := range victims {
			w.kill(n)
		}
		w.row.leaderChanges++
		w.pause(0, time.Second)
		if i%3 == 1 {
			w.quorumLost()
		}
		for _, n := range victims {
			w.broker.Start(n)
		}
		w.led(streams[i%len(streams)])
		w.injected()
	}
	w.finish(3 * time.Minute)
}

// quorumLost: with one node of three nothing is confirmed.
func (w *world) quorumLost() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	if _, err := w.js().Publish(ctx, "as.refresh.stop.probe", newRequest(0, runs).payload()); err == nil {
		w.t.Error("a request was confirmed by one node of three")
	}
}

func TestB4LeadersStepDownAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, "B4 leader told to step down", conf{workers: 3, nodes: 3})
	w.ask(0)
	for i := range sized(6, 80) {
		w.pause(700*time.Millisecond, 1100*time.Millisecond)
		if err := w.broker.StepDown(streams[i%len(streams)]); err != nil {
			continue // it is being elected
		}
		w.row.leaderChanges++
		w.injected()
	}
	w.finish(2 * time.Minute)
	for _, took := range w.row.recovery {
		if took > 10*time.Second {
			t.Errorf("no call for %v after a leader stepped down", took)
		}
	}
}

// An administrator deletes the consumers, and makes a stream weaker.
func TestB5AnAdministratorBreaksTheTopology(t *testing.T) {
	t.Parallel()
	w := begin(t, "B5 consumer deleted, stream made weaker", conf{workers: 2})
	w.ask(0)
	for i := range sized(2, 10) {
		w.pause(500*time.Millisecond, time.Second)
		for _, stream := range []string{stop.StreamStop, stop.StreamTasks} {
			w.deleteConsumers(stream)
		}
		w.injected()
		if i == 0 {
			w.weaken()
		}
	}
	w.finish(2 * time.Minute)
}

func (w *world) deleteConsumers(stream string) {
	w.t.Helper()
	s, err := w.js().Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	for name := range s.ConsumerNames(w.t.Context()).Name() {
		if err := s.DeleteConsumer(w.t.Context(), name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			w.t.Fatal(err)
		}
	}
}

// weaken has requests dropped when they are old, which a worker must say, and
// takes that back, which it must notice.
func (w *world) weaken() {
	w.t.Helper()
	s, err := w.js().Stream(w.t.Context(), stop.StreamStop)
	if err != nil {
		w.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	weak := c
	weak.MaxAge, weak.Duplicates = time.Hour, time.Minute
	if _, err := w.js().UpdateStream(w.t.Context(), weak); err != nil {
		w.t.Fatal(err)
	}
	w.injected()
	m := w.crew[0]
	harness.Eventually(w.t, 3*ackWait+5*time.Second, func() error {
		_, body, err := m.get("/readyz?verbose")
		if err == nil && !strings.Contains(body, "[-]streams failed: stream "+stop.StreamStop+" is weaker than required: max age is 1h0m0s") {
			err = fmt.Errorf("not said to be weaker: %s", body)
		}
		return err
	})
	if _, err := w.js().UpdateStream(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	harness.Eventually(w.t, 3*ackWait+5*time.Second, func() error {
		_, body, err := m.get("/readyz?verbose")
		if err == nil && !strings.Contains(body, "[+]streams ok") {
			err = fmt.Errorf("still said to be weaker: %s", body)
		}
		return err
	})
}

// A stream that is full refuses, and what it has confirmed stays.
func TestB6AStreamIsFull(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{stop.StreamStop, stop.StreamTasks, stop.StreamResults} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			w := begin(t, "B6 stream full: "+stream, conf{workers: 2})
			s, err := w.js().Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			roomy := s.CachedInfo().Config
			small := roomy
			small.MaxMsgs = 5
			w.set(small)
			w.injected()
			n := sized(60, 200)
			w.beginAll(n)
			w.pause(2*time.Second, 2*time.Second)
			if stream == stop.StreamStop {
				// Whoever works empties it; it must have been full without them.
				for _, m := range w.crew {
					m.Freeze()
				}
				w.refuses()
				for _, m := range w.crew {
					m.Thaw()
				}
			}
			w.set(roomy)
			w.injected()
			w.asker.done()
			w.finish(time.Minute)
		})
	}
}

func (w *world) set(c jetstream.StreamConfig) {
	w.t.Helper()
	if _, err := w.js().UpdateStream(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

// refuses waits until a request is refused, with an error that says why.
func (w *world) refuses() {
	w.t.Helper()
	harness.Eventually(w.t, 10*time.Second, func() error {
		err := w.asker.try("as.refresh.stop.full", newRequest(0, w.fates[0]).payload())
		if err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") {
			return fmt.Errorf("a full stream says %w", cmp.Or(err, errors.New("nothing")))
		}
		return nil
	})
}
