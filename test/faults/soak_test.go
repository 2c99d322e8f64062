package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// mishap is a fault that can come at any time, and its end.
type mishap struct {
	name   string
	inject func(w *world) (end func())
}

// mishaps are of all kinds that need no world of their own.
var mishaps = []mishap{
	{"worker killed", func(w *world) func() { w.any().killed(); return nil }},
	{"worker told to stop", func(w *world) func() {
		m := w.any()
		m.alive()
		m.ready()
		m.stopped()
		return nil
	}},
	{"worker frozen", func(w *world) func() {
		if !harness.CanFreeze {
			return nil
		}
		m := w.any()
		m.Freeze()
		return m.Thaw
	}},
	{"node killed", func(w *world) func() {
		n := w.broker.Nodes[w.random.IntN(len(w.broker.Nodes))]
		w.kill(n)
		return func() { w.broker.Start(n); n.Answers(w.t) }
	}},
	{"leader told to step down", func(w *world) func() {
		if len(w.broker.Nodes) > 1 && w.broker.StepDown(streams[w.random.IntN(len(streams))]) == nil {
			w.row.leaderChanges++
		}
		return nil
	}},
	{"consumers deleted", func(w *world) func() {
		for _, stream := range []string{stop.StreamStop, stop.StreamTasks} {
			if s, err := w.js().Stream(w.t.Context(), stream); err == nil {
				for name := range s.ConsumerNames(w.t.Context()).Name() {
					_ = s.DeleteConsumer(w.t.Context(), name) // the broker may be away
				}
			}
		}
		return nil
	}},
	{"link to the broker", func(w *world) func() {
		m := w.any()
		c := []harness.Condition{{Refuse: true}, {Silent: true}, {BytesPerSecond: 1000}, {Latency: 500 * time.Millisecond}}[w.random.IntN(4)]
		m.each(c)
		if c.Refuse {
			m.cut()
		}
		return func() { m.each(harness.Condition{}) }
	}},
	{"link to the API", func(w *world) func() {
		m := w.any()
		m.api.Set([]harness.Condition{{Refuse: true}, {Reset: true}, {Mute: true}, {CutAfter: 60}}[w.random.IntN(4)])
		m.api.Cut()
		return func() { m.api.Set(harness.Condition{}) }
	}},
	{"API", func(w *world) func() {
		kinds := []simulator.FaultKind{
			simulator.LostAnswer, simulator.Cut, simulator.BadGateway, simulator.NullBody, simulator.EmptyObject, simulator.TruncatedBody,
			simulator.Hang, simulator.Throttle, simulator.RefuseCredentials,
		}
		return w.fault(simulator.Fault{Kind: kinds[w.random.IntN(len(kinds))], Probability: .3, Seed: w.random.Uint64()})
	}},
}

// turmoil lets mishaps happen, one upon another, until the time is over, and
// counts each kind.
func (w *world) turmoil(until time.Time, least, most time.Duration) {
	w.t.Helper()
	seen := make(map[string]int)
	for time.Now().Before(until) {
		w.pause(least, most)
		m := mishaps[w.random.IntN(len(mishaps))]
		seen[m.name]++
		before := w.row.injected
		if end := m.inject(w); end != nil {
			w.pause(least, 2*most)
			end()
		}
		if w.row.injected == before {
			w.injected()
		}
	}
	var notes []string
	for _, m := range mishaps {
		if seen[m.name] > 0 {
			notes = append(notes, fmt.Sprintf("%d %s", seen[m.name], m.name))
		}
	}
	w.row.note = strings.Join(notes, ", ")
}

// calm: after so much trouble a request may have run out of attempts, and an
// activity may not have been readable for as long as it was tried.
func calm(r request, got stop.Result) bool {
	return givenUp(r, got) || got.Outcome == stop.OutcomeFailed
}

func TestW1ToN3AllAtOnce(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			w := begin(t, fmt.Sprintf("all of W, B, N and A by chance, %d node(s)", nodes), conf{workers: 3, nodes: nodes, also: calm, always: true})
			w.ask(0)
			w.turmoil(time.Now().Add(time.Duration(sized(10, 150))*time.Second), 200*time.Millisecond, 1200*time.Millisecond)
			w.finish(3 * time.Minute)
		})
	}
}

// TestSoak goes on for as long as SOAK says, with the usual AckWait and fewer
// mishaps: what grows or comes late shows only then.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK does not say for how long, such as 1h")
	}
	ackWait = 30 * time.Second
	w := begin(t, fmt.Sprintf("soak for %v, three nodes", d), conf{workers: 4, nodes: 3, also: calm})
	w.ask(0)
	w.turmoil(time.Now().Add(d), 2*time.Second, 10*time.Second)
	w.finish(5 * time.Minute)
}
