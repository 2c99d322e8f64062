package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

func TestW1AWorkerIsKilled(t *testing.T) {
	t.Parallel()
	w := begin(t, "W1 worker killed", conf{workers: 4})
	w.ask(0)
	for range sized(10, 300) {
		w.pause(100*time.Millisecond, 500*time.Millisecond)
		w.any().killed()
	}
	w.finish(2 * time.Minute)
}

// A worker kills itself once for each request that comes to the point under
// test, and is started again.
func TestW2AWorkerDiesAtAPointOfTheWay(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before-call", "after-call", "after-result", "after-ack"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n, marks := sized(5, 100), t.TempDir()
			// One at a time, in one lane: a death must not spare another request its crash.
			w := begin(t, "W2 worker dies "+strings.Replace(point, "-", " ", 1), conf{
				always: true, rate: 100, workers: 1, oneLane: true, fates: []fate{runs, runs, runs, mixed[3], mixed[6]},
				env: []string{"ANDON_TEST_CRASH_AT=" + point, "ANDON_TEST_CRASH_DIR=" + marks}, args: []string{"--concurrency", "1"},
			})
			end := w.crew[0].kept()
			w.ask(n)
			w.asker.done()
			w.settle(5 * time.Minute)
			w.row.workerKills = end(n)
			w.crew[0].ready()
			crashed, err := os.ReadDir(marks)
			if err != nil {
				t.Fatal(err)
			}
			if w.row.injected = len(crashed); len(crashed) != n || w.row.workerKills < n {
				t.Errorf("%d crashes at the point, and %d deaths, for %d requests that come to it", len(crashed), w.row.workerKills, n)
			}
			w.finish(time.Second)
		})
	}
}

// A worker that stands still for longer than its messages are left to it wakes
// up with what others have done in the meantime.
func TestW3AWorkerIsFrozen(t *testing.T) {
	t.Parallel()
	if !harness.CanFreeze {
		t.Skip("processes cannot be frozen here")
	}
	w := begin(t, "W3 worker frozen for longer than AckWait", conf{workers: 3})
	w.ask(0)
	for range sized(2, 15) {
		w.pause(300*time.Millisecond, 600*time.Millisecond)
		m := w.any()
		m.Freeze()
		w.pause(ackWait+500*time.Millisecond, ackWait+1500*time.Millisecond)
		m.Thaw()
		w.injected()
	}
	w.finish(2 * time.Minute)
}

// Workers that are told to stop under load stop soon, and what they held is
// with the others at once.
func TestW4AllWorkersAreRestartedInTurn(t *testing.T) {
	t.Parallel()
	w := begin(t, "W4 worker told to stop", conf{workers: 3})
	w.ask(0)
	for i := range sized(4, 30) {
		w.pause(200*time.Millisecond, 800*time.Millisecond)
		m := w.crew[i%len(w.crew)]
		m.ready()
		if took := m.stopped(); took > 10*time.Second {
			t.Errorf("%s took %v to stop", m.name, took)
		}
	}
	w.finish(time.Minute)
}

// A message whose handling crashes hurts itself only.
func TestW5AMessageCrashesItsHandling(t *testing.T) {
	t.Parallel()
	const poison, every = "aspoison", 10
	bad := fate{status: runs.status, extra: `,"Reason":"` + poison + `"`, outcome: stop.OutcomeFailed}
	worse := fate{status: runs.status, extra: `,"Reason":"plan-` + poison + `"`, outcome: stop.OutcomeFailed}
	w := begin(t, "W5 message that crashes its handling", conf{
		workers: 2, env: []string{"ANDON_TEST_PANIC=" + poison},
		fates: []fate{runs, runs, bad, runs, mixed[8], runs, worse, runs, runs, mixed[11]},
	})
	w.ask(sized(20, 100))
	w.asker.done()
	w.settle(time.Minute)
	w.row.injected = 2 * len(w.asker.asked()) / every
	letters, _, err := readAll(t.Context(), w.js(), stop.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != w.row.injected {
		t.Errorf("%d dead letters for %d messages that crash", len(letters), w.row.injected)
	}
	w.finish(time.Second)
}

// Nobody works for a long time, then all begin at once.
func TestW7AllWorkersWereAway(t *testing.T) {
	t.Parallel()
	w := begin(t, "W7 all workers away while requests come", conf{workers: sized(2, 4), rate: sized(20, 50)})
	for _, m := range w.crew {
		m.alive()
		m.Kill()
		w.row.workerKills++
	}
	n := sized(60, 1500)
	w.askAll(n)
	w.injected()
	for _, m := range w.crew {
		m.start()
	}
	w.finish(8 * time.Minute)
	w.row.note = fmt.Sprintf("%d requests waited", n)
}
