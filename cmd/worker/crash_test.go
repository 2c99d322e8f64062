package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// crashes is how many requests meet a crash at each point.
func crashes() int {
	if testing.Short() {
		return 10
	}
	return 100
}

// A worker that dies anywhere between a call and its acknowledgement leaves
// exactly one true result. The worker kills itself once for each request, at
// the point under test, and is started again.
func TestACrashLeavesOneTrueResult(t *testing.T) {
	for _, point := range []string{"before-call", "after-call", "after-result", "after-ack"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n := crashes()
			r, marks := crashRig(t, n, point)
			var ids []string
			for i := range n {
				ids = append(ids, activityOf(i))
				r.ask(activityOf(i), i)
			}
			r.await(2*time.Minute, ids...)
			r.settled(time.Minute)
			reached, err := os.ReadDir(marks)
			if err != nil {
				t.Fatal(err)
			}
			if len(reached) != n {
				t.Errorf("crashed for %d of %d requests", len(reached), n)
			}
			for _, id := range ids {
				r.true_(id)
			}
		})
	}
}

// The check above can fail: a worker that keeps no note of its calls takes
// its own pauses for somebody else's.
func TestACrashWithoutTheNoteIsCaught(t *testing.T) {
	t.Parallel()
	r, _ := crashRig(t, 5, "after-call", "ANDON_TEST_NO_NOTE=1")
	for i := range 5 {
		r.ask(activityOf(i), i)
	}
	var ids []string
	for i := range 5 {
		ids = append(ids, activityOf(i))
	}
	r.await(time.Minute, ids...)
	wrong := 0
	for _, id := range ids {
		if r.untrue(id) != nil {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("without the note every result is true: the check proves nothing")
	}
}

// Crash points know requests by their id; here it is the activity's, so that
// points around a call and points around a result mean the same.
func activityOf(i int) string { _, a := names(i); return a }

func crashRig(t *testing.T, n int, point string, env ...string) (r *rig, marks string) {
	t.Helper()
	worker := program(t, "crashpoints")
	r, marks = newRig(t, n), t.TempDir()
	env = append(env, "ANDON_TEST_ACK_WAIT=2s", "ANDON_TEST_CRASH_AT="+point, "ANDON_TEST_CRASH_DIR="+marks)
	// One at a time: a death must not spare another request its crash.
	begin := func() *process { return start(t, worker, r.api.URL, env, "--nats-url", r.url, "--concurrency", "1") }
	keepRunning(t, begin)
	r.eventually(20*time.Second, func() error {
		_, err := r.js.Stream(t.Context(), stop.StreamTasks)
		return err
	})
	return r, marks
}

// true_ checks the result of a request, whose id is its activity's, against
// what happened at the API.
func (r *rig) true_(id string) {
	r.t.Helper()
	if err := r.untrue(id); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) untrue(id string) error {
	got := r.result(id, 0)
	a, ok := r.sim.Activity(id)
	if !ok {
		return fmt.Errorf("no activity %s", id)
	}
	if got.Outcome != stop.OutcomePaused || a.Stops != 1 || a.Status != "MANUAL_PAUSE" {
		return fmt.Errorf("%s: %s (%s), but the API has it %s after %d Stops", id, got.Outcome, got.Message, a.Status, a.Stops)
	}
	return nil
}

// What the broker has confirmed outlives kill -9 of a worker with the broker
// in it, whenever it comes.
func TestKillOfTheEmbeddedWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	const kills, requests = 20, 400
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	worker := program(t, "crashpoints")
	r := &rig{t: t, results: make(map[string][]published), changed: make(chan struct{}, 1)}
	r.sim = newSimulator(t, requests)
	r.api = serveAPI(t, r.sim)
	addr := freeAddr(t)
	store := storeDir(t)
	args := []string{"--nats-listen", addr, "--store-dir", store}
	begin := func() *process { return start(t, worker, r.api.URL, []string{"ANDON_TEST_ACK_WAIT=2s"}, args...) }

	p := begin()
	r.eventually(20*time.Second, func() error {
		select {
		case <-p.done:
			t.Fatalf("the worker ended:\n%s", p.log)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	r.connect("nats://" + addr)
	published := make(chan []string)
	go func() { published <- r.publishAll(requests) }()
	for range kills {
		<-time.After(time.Duration(100+random.IntN(300)) * time.Millisecond) // a moment to be killed in
		p.kill()
		p = begin()
	}
	ids := <-published
	r.storedResults(time.Minute, ids)
	r.settled(30 * time.Second)

	second := start(t, worker, r.api.URL, nil, "--nats-listen", "off", "--store-dir", store)
	if code, err := second.exit(20 * time.Second); err != nil || code != 1 || !strings.Contains(second.log.String(), store) {
		t.Errorf("a second worker on the store: code %d, %v\n%s", code, err, second.log)
	}
}

// publishAll publishes a request for every activity, each until the broker
// has confirmed it, while workers with the broker in them are killed.
func (r *rig) publishAll(n int) (ids []string) {
	for i := range n {
		g, a := names(i)
		m := nats.NewMsg("as.refresh.stop")
		m.Data = fmt.Appendf(nil, `{"Id":%q,"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, a, g, a)
		for r.t.Context().Err() == nil {
			if _, err := r.js.PublishMsg(r.t.Context(), m); err == nil {
				ids = append(ids, a)
				break
			}
			<-time.After(20 * time.Millisecond) // the broker is being restarted
		}
	}
	return ids
}

// storedResults reads the results from their stream, for a subscription
// misses what is stored while its connection is away.
func (r *rig) storedResults(within time.Duration, ids []string) {
	r.t.Helper()
	r.eventually(within, func() error {
		s, err := r.js.Stream(r.t.Context(), stop.StreamResults)
		if err != nil {
			return err
		}
		info, err := s.Info(r.t.Context(), jetstream.WithSubjectFilter(stop.SubjectResults+".>"))
		if err != nil {
			return err
		}
		if len(info.State.Subjects) != len(ids) || info.State.Msgs != uint64(len(ids)) {
			return fmt.Errorf("%d results under %d subjects for %d requests", info.State.Msgs, len(info.State.Subjects), len(ids))
		}
		return nil
	})
	s, err := r.js.Stream(r.t.Context(), stop.StreamResults)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	clear(r.results)
	r.mu.Unlock()
	for _, id := range ids {
		m, err := s.GetLastMsgForSubject(r.t.Context(), stop.ResultSubject(id))
		if err != nil {
			r.t.Fatalf("%s: %v", id, err)
		}
		var p published
		if err := json.Unmarshal(m.Data, &p.Result); err != nil {
			r.t.Fatal(err)
		}
		r.mu.Lock()
		r.results[id] = []published{p}
		r.mu.Unlock()
		r.true_(id)
	}
}

func TestARollingRestartLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const requests = 300
	worker := program(t, "crashpoints")
	r := newRig(t, requests)
	if _, err := r.sim.AddFault(simulator.Fault{Kind: simulator.Latency, Delay: 20 * time.Millisecond, DelayMax: 80 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	begin := func() *process { return start(t, worker, r.api.URL, nil, "--nats-url", r.url, "--rate", "100") }
	workers := []*process{begin(), begin()}
	r.eventually(20*time.Second, func() error {
		_, err := r.js.Stream(t.Context(), stop.StreamTasks)
		return err
	})
	var ids []string
	for i := range requests {
		ids = append(ids, activityOf(i))
		r.ask(activityOf(i), i)
	}
	for round := range 4 {
		p := workers[round%2]
		<-time.After(300 * time.Millisecond) // some work in between
		p.signal(syscall.SIGTERM)
		if code, err := p.exit(10 * time.Second); err != nil || code != 0 {
			t.Errorf("SIGTERM: code %d, %v\n%s", code, err, p.log)
		}
		workers[round%2] = begin()
	}
	// AckWait is the usual 30 s here: what a stopping worker keeps would show.
	r.await(20*time.Second, ids...)
	r.settled(20 * time.Second)
	for _, id := range ids {
		r.true_(id)
	}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// storeDir is a directory on a disk: the embedded broker refuses others, for
// what it has confirmed must outlive the machine.
func storeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", ".test-store-") //nolint:usetesting // t.TempDir may be on a tmpfs
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
