package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// rig is the whole service on one desk: a real broker, the simulated API over
// HTTP, a worker through its main function, and somebody who publishes.
type rig struct {
	t      testing.TB
	sim    *simulator.Simulator
	api    *httptest.Server
	broker *broker.Broker
	url    string // of the broker
	nc     *nats.Conn
	js     jetstream.JetStream
	http   string // of the worker

	mu      sync.Mutex
	results map[string][]published // by request
	changed chan struct{}
}

type published struct {
	stop.Result
	header nats.Header
	at     time.Time
}

const rigRegion = "ap-guangzhou"

// newRig has n groups whose refreshes run: asg-g0001 with asr-a0001 and so on.
func newRig(t testing.TB, n int, change ...func(*simulator.Scenario)) *rig {
	t.Helper()
	r := &rig{t: t, results: make(map[string][]published), changed: make(chan struct{}, 1)}
	r.sim = newSimulator(t, n, change...)
	r.api = serveAPI(t, r.sim)

	b, err := broker.Start(t.Context(), broker.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", AllowTemporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	r.broker = b
	r.connect(b.ClientURL())
	return r
}

func serveAPI(t testing.TB, sim *simulator.Simulator) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); api.Close() })
	return api
}

func newSimulator(t testing.TB, n int, change ...func(*simulator.Scenario)) *simulator.Simulator {
	t.Helper()
	sc := simulator.Scenario{
		Credentials: []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}},
		Quota:       simulator.Quota{Off: true},
	}
	for i := range n {
		g, a := names(i)
		sc.Groups = append(sc.Groups, simulator.Group{Region: rigRegion, ID: g, Name: g})
		sc.Activities = append(sc.Activities, simulator.Activity{GroupID: g, ID: a, Status: "RUNNING"})
	}
	for _, c := range change {
		c(&sc)
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// activityOf is also what requests for it are called, where a test does not say.
func activityOf(i int) string { _, a := names(i); return a }

func names(i int) (group, activity string) {
	return fmt.Sprintf("asg-g%04d", i), fmt.Sprintf("asr-a%04d", i)
}

func (r *rig) connect(url string) {
	r.t.Helper()
	r.url = url
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	r.nc = nc
	if r.js, err = jetstream.New(nc); err != nil {
		r.t.Fatal(err)
	}
	if _, err := nc.Subscribe("as.refresh.result.>", r.keep); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) keep(m *nats.Msg) {
	p := published{header: m.Header, at: time.Now()}
	if err := json.Unmarshal(m.Data, &p.Result); err != nil {
		r.t.Errorf("result on %s: %v", m.Subject, err)
	}
	r.mu.Lock()
	r.results[p.Request] = append(r.results[p.Request], p)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// work runs a worker until the test ends or the returned function is called,
// which returns its exit code.
func (r *rig) work(args ...string) (end func() int) {
	r.t.Helper()
	return r.workWith(map[string]string{
		"TENCENTCLOUD_SECRET_ID": simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY": simulator.SampleSecretKey,
	}, args...)
}

func (r *rig) workWith(env map[string]string, args ...string) (end func() int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs, sink := io.Pipe()
	listening := make(chan string, 1)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		follow(r.t, logs, listening)
	}()
	code := make(chan int, 1)
	args = append([]string{
		"--nats-url", r.url, "--endpoint", r.api.URL, "--region", rigRegion, "--http-listen", "127.0.0.1:0",
		"--rate", "1000", "--log-format", "json", "--log-level", "debug",
	}, args...)
	go func() {
		code <- run(ctx, args, func(k string) string { return env[k] }, io.Discard, sink)
		sink.Close()
	}()
	var once sync.Once
	var exit int
	end = func() int {
		once.Do(func() {
			cancel()
			select {
			case exit = <-code:
			case <-time.After(15 * time.Second):
				exit = -1
				r.t.Error("the worker does not stop")
			}
			<-reading
		})
		return exit
	}
	r.t.Cleanup(func() { end() })
	select {
	case r.http = <-listening:
	case exit := <-code:
		code <- exit
		r.t.Fatalf("the worker ended at once with %d", exit)
	case <-time.After(20 * time.Second):
		r.t.Fatal("the worker does not listen")
	}
	r.eventually(30*time.Second, func() error {
		status, body := r.get("/readyz?verbose")
		if status != http.StatusOK {
			return fmt.Errorf("not ready: %s", body)
		}
		return nil
	})
	return end
}

// follow keeps the worker's log with the test's and finds the address in it.
func follow(t testing.TB, logs io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(logs)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), simulator.SampleSecretKey) {
			t.Errorf("a secret is in the log: %s", lines.Text())
		}
		if testing.Verbose() {
			t.Log(lines.Text())
		}
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "http listening" {
			listening <- line.Addr
		}
	}
}

func (r *rig) get(path string) (status int, body string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.http + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// metric reads one sample from /metrics, by its line up to the value.
func (r *rig) metric(line string) string {
	r.t.Helper()
	_, body := r.get("/metrics")
	for l := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(l, line+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// publish sends until the broker has it, as a careful publisher does.
func (r *rig) publish(subject, payload string, header ...string) {
	r.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(payload)
	for i := 0; i+1 < len(header); i += 2 {
		m.Header[header[i]] = append(m.Header[header[i]], header[i+1])
	}
	r.eventually(30*time.Second, func() error {
		_, err := r.js.PublishMsg(r.t.Context(), m)
		return err
	})
}

// ask publishes a request for the i-th group's activity.
func (r *rig) ask(id string, i int) {
	r.t.Helper()
	g, a := names(i)
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":%q,"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, id, g, a))
}

// result waits for the result of a request.
func (r *rig) result(request string, within time.Duration) published {
	r.t.Helper()
	r.await(within, request)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[request][0]
}

// await waits until all the requests have results.
func (r *rig) await(within time.Duration, requests ...string) {
	r.t.Helper()
	deadline := time.After(within)
	for {
		missing := r.missing(requests)
		if len(missing) == 0 {
			return
		}
		select {
		case <-r.changed:
		case <-deadline:
			r.t.Fatalf("no result within %v for %d of %d: %v", within, len(missing), len(requests), missing[:min(len(missing), 10)])
		}
	}
}

func (r *rig) missing(requests []string) (missing []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range requests {
		if len(r.results[id]) == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

// drained waits until nothing is left in the queues.
func (r *rig) drained(within time.Duration) {
	r.t.Helper()
	r.eventually(within, func() error {
		for _, name := range []string{stop.StreamStop, stop.StreamResume, stop.StreamTasks, stop.StreamBulk} {
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

// settled waits until nothing is left in the queues, and checks that each
// request has one result.
func (r *rig) settled(within time.Duration) {
	r.t.Helper()
	r.drained(within)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, all := range r.results {
		if len(all) != 1 {
			r.t.Errorf("request %s has %d results", id, len(all))
		}
	}
}

// dead reads a dead letter.
func (r *rig) dead(request string) (d stop.DeadLetter, ok bool) {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), stop.StreamDead)
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(r.t.Context(), stop.DeadSubject(request))
	if err != nil {
		return d, false
	}
	if err := json.Unmarshal(m.Data, &d); err != nil {
		r.t.Fatal(err)
	}
	return d, true
}

func (r *rig) stops() int { return r.calls(stop.ActionStop) }

// calls counts the calls of an action, whether they took effect or not.
func (r *rig) calls(action string) (n int) {
	for _, a := range r.sim.Arrivals() {
		if a.Action == action {
			n++
		}
	}
	return n
}

func (r *rig) fault(f simulator.Fault) (name string) {
	r.t.Helper()
	name, err := r.sim.AddFault(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return name
}

func (r *rig) eventually(within time.Duration, f func() error) {
	r.t.Helper()
	harness.Eventually(r.t, within, f)
}

// wasPaused checks the result of a request, called after the activity that it
// is for, which ran: one Stop was accepted, and the result says so.
func (r *rig) wasPaused(id string) {
	r.t.Helper()
	got := r.result(id, 0)
	if a, _ := r.sim.Activity(id); got.Outcome != stop.OutcomePaused || a.Stops != 1 || a.Status != simulator.ManualPause {
		r.t.Errorf("%s: %s (%s), and the API has it %q after %d Stops", id, got.Outcome, got.Message, a.Status, a.Stops)
	}
}
