package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// crashes is how many requests meet a crash at each point around a call.
func crashes() int {
	if testing.Short() {
		return 10
	}
	return 100
}

// fate is what a request meets at the API, and the one result that is true of it.
type fate struct {
	status  simulator.Status // empty: no such activity
	scaleIn bool
	outcome stop.Outcome
	// called: it takes a Stop to know, so that the points around a call are met.
	called bool
}

// fates come in this order again and again. Ten of the twelve take a call.
var fates = func() []fate {
	var all []fate
	for range 7 {
		all = append(all, fate{status: simulator.Running, outcome: stop.OutcomePaused, called: true})
	}
	return append(all,
		fate{outcome: stop.OutcomeNotFound, called: true},
		fate{status: simulator.Running, scaleIn: true, outcome: stop.OutcomeConflict, called: true},
		fate{status: simulator.Init, outcome: stop.OutcomeConflict, called: true},
		fate{status: simulator.AutoPause, outcome: stop.OutcomeAlreadyPaused},
		fate{status: simulator.Successful, outcome: stop.OutcomeConflict},
	)
}()

// mixed gives the activities of a scenario their fates.
func mixed(sc *simulator.Scenario) {
	var known []simulator.Activity
	for i, a := range sc.Activities {
		f := fates[i%len(fates)]
		if f.status != "" {
			a.Status, a.ScaleIn = f.status, f.scaleIn
			known = append(known, a)
		}
	}
	sc.Activities = known
}

// A worker that dies anywhere between a call and its acknowledgement leaves
// exactly one true result. The worker kills itself once for each request that
// comes to the point under test, and is started again.
func TestACrashLeavesOneTrueResult(t *testing.T) {
	for _, point := range []string{"before-call", "after-call", "after-result", "after-ack"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n := crashes() / 10 * len(fates)
			r, crashed := crashRig(t, n, mixed, point)
			want := make(map[string]fate)
			meet := 0
			for i := range n {
				f := fates[i%len(fates)]
				want[activityOf(i)] = f
				if f.called || point == "after-result" || point == "after-ack" {
					meet++
				}
				r.ask(activityOf(i), i)
			}
			r.stored(2*time.Minute, n)
			r.emptied(time.Minute)
			if got := crashed(); got != meet || got < crashes() {
				t.Errorf("%d crashes at the point for %d requests that come to it, and %d are wanted", got, meet, crashes())
			}
			if err := r.prove(want); err != nil {
				t.Error(err)
			}
		})
	}
}

// The check above can fail: a worker that keeps no note of its calls takes
// its own pauses for somebody else's.
func TestACrashWithoutTheNoteIsCaught(t *testing.T) {
	t.Parallel()
	const n = 5
	r, crashed := crashRig(t, n, func(*simulator.Scenario) {}, "after-call", "ANDON_TEST_NO_NOTE=1")
	want := running(n)
	for i := range n {
		r.ask(activityOf(i), i)
	}
	r.stored(time.Minute, n)
	if got := crashed(); got != n {
		t.Fatalf("%d crashes for %d requests", got, n)
	}
	err := r.prove(want)
	for id := range want {
		if err == nil || !strings.Contains(err.Error(), id+": already_paused") {
			t.Errorf("without the note the result of %s passes for true: the check proves nothing", id)
		}
	}
}

// Nor does it pass when results are lost, doubled, made up or replaced.
func TestTheProofCanFail(t *testing.T) {
	t.Parallel()
	const n = 3
	for _, row := range []struct {
		name, says string
		damage     func(*rig, jetstream.Stream) error
	}{
		{"sound", "", func(*rig, jetstream.Stream) error { return nil }},
		{"lost", "no result", func(r *rig, s jetstream.Stream) error { return s.DeleteMsg(r.t.Context(), 2) }},
		{"doubled", "a second result", func(r *rig, _ jetstream.Stream) error {
			return r.forge(stop.SubjectResults+".second", activityOf(0), stop.OutcomePaused)
		}},
		{"made up", "nobody asked", func(r *rig, _ jetstream.Stream) error {
			return r.forge(stop.ResultSubject("stranger"), "stranger", stop.OutcomePaused)
		}},
		{"replaced by a wrong one", "asr-a0000: conflict", func(r *rig, s jetstream.Stream) error {
			id := activityOf(0)
			if err := s.Purge(r.t.Context(), jetstream.WithPurgeSubject(stop.ResultSubject(id))); err != nil {
				return err
			}
			return r.forge(stop.ResultSubject(id), id, stop.OutcomeConflict)
		}},
		{"replaced by the same", "were replaced or removed", func(r *rig, s jetstream.Stream) error {
			id := activityOf(0)
			if err := s.Purge(r.t.Context(), jetstream.WithPurgeSubject(stop.ResultSubject(id))); err != nil {
				return err
			}
			return r.forge(stop.ResultSubject(id), id, stop.OutcomePaused)
		}},
		{"resumed and paused again", "after 2 Stops", func(r *rig, _ jetstream.Stream) error {
			if err := r.sim.SetStatus(activityOf(0), simulator.Running); err != nil {
				return err
			}
			r.ask("again", 0)
			r.stored(10*time.Second, n+1)
			return nil
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, n)
			r.work()
			want := running(n)
			for i := range n {
				r.ask(activityOf(i), i)
			}
			s := r.stored(10*time.Second, n)
			if err := row.damage(r, s); err != nil {
				t.Fatal(err)
			}
			err := r.prove(want)
			if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
				t.Errorf("got %v, want an error with %q", err, row.says)
			}
		})
	}
}

// Crash points know requests by their id; here it is the activity's, so that
// points around a call and points around a result mean the same.
func activityOf(i int) string { _, a := names(i); return a }

// running are n requests for activities that run.
func running(n int) map[string]fate {
	want := make(map[string]fate)
	for i := range n {
		want[activityOf(i)] = fates[0]
	}
	return want
}

// crashRig has a worker that crashes once at the point for each request.
// crashed counts how often it has done so.
func crashRig(t *testing.T, n int, change func(*simulator.Scenario), point string, env ...string) (r *rig, crashed func() int) {
	t.Helper()
	worker := program(t, "crashpoints")
	r = newRig(t, n, change)
	marks := t.TempDir()
	env = append(env, "ANDON_TEST_ACK_WAIT=2s", "ANDON_TEST_CRASH_AT="+point, "ANDON_TEST_CRASH_DIR="+marks)
	// One at a time: a death must not spare another request its crash.
	keepRunning(t, newCommand(t, worker, r.api.URL, env, "--nats-url", r.url, "--concurrency", "1"))
	r.streams()
	return r, func() int {
		reached, err := os.ReadDir(marks)
		if err != nil {
			t.Fatal(err)
		}
		return len(reached)
	}
}

// streams waits until a worker has made the streams.
func (r *rig) streams() {
	r.t.Helper()
	r.eventually(20*time.Second, func() error {
		_, err := r.js.Stream(r.t.Context(), stop.StreamTasks)
		return err
	})
}

// stored waits until the broker holds so many results. It looks at the stream,
// for a subscription misses what comes while its connection is away.
func (r *rig) stored(within time.Duration, n int) jetstream.Stream {
	r.t.Helper()
	var s jetstream.Stream
	r.eventually(within, func() (err error) {
		ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
		defer cancel()
		if s, err = r.js.Stream(ctx, stop.StreamResults); err != nil {
			return err
		}
		if got := s.CachedInfo().State.Msgs; got < uint64(n) {
			return fmt.Errorf("%d results for %d requests", got, n)
		}
		return nil
	})
	return s
}

// emptied waits until nothing is left in the queues.
func (r *rig) emptied(within time.Duration) {
	r.t.Helper()
	r.eventually(within, func() error {
		for _, name := range []string{stop.StreamStop, stop.StreamTasks} {
			s, err := r.js.Stream(r.t.Context(), name)
			if err != nil {
				return err
			}
			if n := s.CachedInfo().State.Msgs; n > 0 {
				return fmt.Errorf("%d messages are left in %s", n, name)
			}
		}
		return nil
	})
}

// prove compares what is stored with what was asked and with what happened at
// the API: one result for each request, none removed or replaced since, each
// true. Requests are called after their activities.
func (r *rig) prove(want map[string]fate) error {
	r.t.Helper()
	ctx := r.t.Context()
	s, err := r.js.Stream(ctx, stop.StreamResults)
	if err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	state := s.CachedInfo().State
	if state.LastSeq != state.Msgs {
		fault("%d of %d results were replaced or removed", state.LastSeq-state.Msgs, state.LastSeq)
	}
	results := make(map[string]stop.Result)
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var got stop.Result
		if err := json.Unmarshal(m.Data, &got); err != nil {
			return err
		}
		if _, twice := results[got.Request]; twice {
			fault("%s has a second result on %s", got.Request, m.Subject)
		}
		if _, asked := want[got.Request]; !asked {
			fault("%s has a result, and nobody asked", got.Request)
		}
		results[got.Request] = got
	}
	for id, f := range want {
		got, ok := results[id]
		if !ok {
			fault("%s has no result", id)
		} else if err := r.agrees(got, f); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// agrees compares a result with what happened to the activity that its request
// is called after.
func (r *rig) agrees(got stop.Result, f fate) error {
	a, known := r.sim.Activity(got.Request)
	stops, status := 0, f.status
	if f.outcome == stop.OutcomePaused {
		stops, status = 1, simulator.ManualPause
	}
	switch {
	case known != (f.status != "") || a.Stops != stops || a.Status != status:
	case got.Outcome != f.outcome:
	case f.outcome != stop.OutcomePaused && got.Status != stop.Status(f.status):
		// How a paused one was last seen depends on when.
	default:
		return nil
	}
	return fmt.Errorf("%s: %s with status %q (%s), but the API has it %q after %d Stops; want %s and %q",
		got.Request, got.Outcome, got.Status, got.Message, a.Status, a.Stops, f.outcome, status)
}

// true_ checks the result of a request for an activity that ran.
func (r *rig) true_(id string) {
	r.t.Helper()
	if err := r.agrees(r.result(id, 0).Result, fates[0]); err != nil {
		r.t.Error(err)
	}
}

// forge stores a result that no worker gave.
func (r *rig) forge(subject, request string, o stop.Outcome) error {
	_, err := r.js.Publish(r.t.Context(), subject, fmt.Appendf(nil, `{"Request":%q,"Outcome":%q}`, request, o))
	return err
}

// What the broker has confirmed outlives kill -9 of a worker with the broker
// in it, whenever it comes.
func TestKillOfTheEmbeddedWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	// More requests than can be published while the kills last, so that each
	// kill meets a worker that has work.
	const kills, requests = 20, 6000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	worker := program(t, "crashpoints")
	r := &rig{t: t, results: make(map[string][]published), changed: make(chan struct{}, 1)}
	r.sim = newSimulator(t, requests)
	r.api = serveAPI(t, r.sim)
	addr, store := freeAddr(t), storeDir(t)
	c := newCommand(t, worker, r.api.URL, []string{"ANDON_TEST_ACK_WAIT=2s"}, "--nats-listen", addr, "--store-dir", store)
	begin := func() *process {
		p, err := c.start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.done })
		return p
	}

	p := begin()
	p.works(r)
	r.connect("nats://" + addr)
	r.nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // its connections are going to break
	end := r.publishUntilTold(requests)
	for range kills {
		<-time.After(time.Duration(50+random.IntN(450)) * time.Millisecond) // a moment to be killed in
		if err := p.kill(); err != nil {
			t.Fatal(err)
		}
		p = begin()
	}
	n := end()
	r.stored(90*time.Second, n)
	if err := r.prove(running(n)); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests confirmed", n)

	second := start(t, worker, r.api.URL, nil, "--nats-listen", "off", "--store-dir", store)
	if code, err := second.exit(20 * time.Second); err != nil || code != exitFailed || !strings.Contains(second.log.String(), store) {
		t.Errorf("a second worker on the store: code %d, %v\n%s", code, err, second.log)
	}
}

// publishUntilTold publishes requests for one activity after the other, each
// until the broker has confirmed it, while workers with the broker in them are
// killed. end begins no more, and returns how many were published.
func (r *rig) publishUntilTold(most int) (end func() int) {
	var group sync.WaitGroup
	var next atomic.Int64
	over := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(5 * time.Millisecond): // less than the worker can do
				}
				i := int(next.Add(1) - 1)
				if i >= most {
					return
				}
				r.confirm(i)
			}
		})
	}
	end = sync.OnceValue(func() int {
		close(over)
		group.Wait()
		return min(int(next.Load()), most)
	})
	r.t.Cleanup(func() { end() })
	return end
}

// confirm publishes a request until the broker has confirmed it. An answer
// that was lost with the broker is not waited for.
func (r *rig) confirm(i int) {
	g, a := names(i)
	m := nats.NewMsg(stop.SubjectStop)
	m.Data = fmt.Appendf(nil, `{"Id":%q,"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, a, g, a)
	for r.t.Context().Err() == nil {
		ctx, cancel := context.WithTimeout(r.t.Context(), 300*time.Millisecond)
		_, err := r.js.PublishMsg(ctx, m)
		cancel()
		if err == nil {
			return
		}
		<-time.After(20 * time.Millisecond) // the broker is being restarted
	}
}

// Workers that are told to stop under load stop soon, and what they held is
// with the others at once.
func TestARollingRestartLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const requests = 300
	worker := program(t, "crashpoints")
	r := newRig(t, requests)
	if _, err := r.sim.AddFault(simulator.Fault{Kind: simulator.Latency, Delay: 20 * time.Millisecond, DelayMax: 80 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	begin := func() *process {
		p := start(t, worker, r.api.URL, nil, "--nats-url", r.url, "--rate", "50")
		p.works(r)
		return p
	}
	workers := []*process{begin(), begin()}
	var ids []string
	for i := range requests {
		ids = append(ids, activityOf(i))
		r.ask(activityOf(i), i)
	}
	for round := range 4 {
		p := workers[round%2]
		<-time.After(300 * time.Millisecond) // some work in between
		if len(r.missing(ids)) == 0 {
			t.Fatalf("nothing was left to do at the restart %d", round+1)
		}
		p.signal(syscall.SIGTERM)
		if code, err := p.exit(10 * time.Second); err != nil || code != exitStopped {
			t.Errorf("SIGTERM: code %d, %v\n%s", code, err, p.log)
		}
		workers[round%2] = begin()
	}
	// AckWait is the usual 30 s here: what a stopping worker keeps would show.
	r.stored(20*time.Second, requests)
	r.emptied(20 * time.Second)
	if err := r.prove(running(requests)); err != nil {
		t.Error(err)
	}
	if n := r.stops(); n != requests {
		t.Errorf("%d Stops for %d requests: a call that was begun was not finished", n, requests)
	}
}

// freeAddr is a free address to listen on, now and after a restart: its port
// is below those that systems give to connections by themselves.
func freeAddr(t testing.TB) string {
	t.Helper()
	var last error
	for range 50 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		l.Close()
		return addr
	}
	t.Fatal(last)
	return ""
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
