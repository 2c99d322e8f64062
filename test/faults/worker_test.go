package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

// worker is one place in the fleet, and the process that fills it now.
type worker struct {
	*harness.Process

	w       *world
	name    string
	command harness.Command
	api     *harness.Link
	links   []*harness.Link // to the nodes of the broker
	dir     string
	http    string // where its metrics are, once it is ready
	nats    string // where the broker in it is, if there is one

	goroutines, descriptors int // when it had just begun
}

const endpoint = "http://as.example.test"

// newWorker makes the place and its links. Workers reach the API through what
// they take for a proxy, because all must name the same endpoint.
func newWorker(w *world, i int) *worker {
	m := &worker{w: w, name: fmt.Sprintf("worker-%d", i), dir: w.t.TempDir(), api: harness.NewLink(w.t, w.api.Listener.Addr().String())}
	m.command = harness.Command{
		Name: m.name, Path: harness.Program(w.t, harness.Module+"/cmd/worker", "hooks"), Watch: w.watch,
		Env: append([]string{
			"HOME=" + m.dir, "PATH=" + os.Getenv("PATH"), "HTTP_PROXY=http://" + m.api.Addr(),
			"TENCENTCLOUD_SECRET_ID=" + secretID, "TENCENTCLOUD_SECRET_KEY=" + secretKey, "TENCENTCLOUD_TOKEN=" + token,
			"ANDON_TEST_ACK_WAIT=" + ackWait.String(),
		}, w.env...),
		Args: append([]string{
			"--endpoint", endpoint, "--region", region, "--http-listen", "127.0.0.1:0", "--rate", strconv.Itoa(w.rate),
			"--log-format", "json", "--replicas", strconv.Itoa(w.nodes),
		}, w.args...),
	}
	if w.embedded {
		m.nats = harness.FreeAddr(w.t)
		m.command.Args = append(m.command.Args, "--nats-listen", m.nats, "--store-dir", w.store)
	} else {
		var addrs []string
		for _, n := range w.broker.Nodes {
			l := harness.NewLink(w.t, n.Addr)
			m.links = append(m.links, l)
			addrs = append(addrs, l.Addr())
		}
		m.command.Env = append(m.command.Env, "NATS_URL="+w.broker.URLAt(addrs...))
	}
	return m
}

// start starts the process and does not wait for it.
func (m *worker) start() { m.w.t.Helper(); m.Process = harness.Start(m.w.t, m.command) }

// ready waits until the process works.
func (m *worker) ready() {
	m.w.t.Helper()
	if _, err := m.Says(`"msg":"working"`, 60*time.Second); err != nil {
		m.w.t.Fatal(err)
	}
	line, err := m.Says(`"msg":"http listening"`, time.Second)
	if err != nil {
		m.w.t.Fatal(err)
	}
	var said struct {
		Addr string `json:"addr"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		m.w.t.Fatal(err)
	}
	m.http = "http://" + said.Addr
}

// killed ends the process as a lack of memory would, and starts another. Its
// having ended before is a fault of its own.
func (m *worker) killed() {
	m.w.t.Helper()
	m.alive()
	m.Kill()
	m.w.row.workerKills++
	m.w.injected()
	m.start()
}

// alive fails the test if the process has ended by itself.
func (m *worker) alive() {
	m.w.t.Helper()
	if state := m.Ended(); state != nil {
		m.w.t.Fatalf("%s ended by itself: %v\n%s", m.name, state, m.Log)
	}
}

// stopped ends the process as a deployment does, and starts another. It says
// how long the old one took.
func (m *worker) stopped() time.Duration {
	m.w.t.Helper()
	begun := time.Now()
	m.Signal(syscall.SIGTERM)
	code, err := m.Exit(15 * time.Second)
	if err != nil || code != 0 {
		m.w.t.Errorf("%s: SIGTERM: code %d, %v\n%s", m.name, code, err, m.Log)
	}
	m.w.injected()
	m.start()
	return time.Since(begun)
}

// each sets the condition of all links to the broker.
func (m *worker) each(c harness.Condition) {
	for _, l := range m.links {
		l.Set(c)
	}
}

// get asks the worker's HTTP server.
func (m *worker) get(path string) (status int, body string, err error) {
	resp, err := (&http.Client{Timeout: 15 * time.Second}).Get(m.http + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

// metric is the value of one line of the worker's metrics.
func (m *worker) metric(name string) (float64, error) {
	_, body, err := m.get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// measure remembers what the process holds when it has just begun.
func (m *worker) measure() {
	m.w.t.Helper()
	var err error
	if m.goroutines, m.descriptors, err = m.holds(); err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *worker) holds() (goroutines, descriptors int, err error) {
	n, err := m.metric("go_goroutines")
	if err != nil {
		return 0, 0, err
	}
	fds, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(m.PID()), "fd"))
	if os.IsNotExist(err) {
		err = nil // no such thing on this system
	}
	return int(n), len(fds), err
}

// A worker keeps up to 32 connections to the API open, each with two
// goroutines, and has met its quotas only after it has begun.
const (
	moreGoroutines  = 120
	moreDescriptors = 60
)

// grown is an error if the process holds more than what work leaves behind.
func (m *worker) grown() error {
	goroutines, descriptors, err := m.holds()
	if err != nil {
		return err
	}
	if goroutines > m.goroutines+moreGoroutines || descriptors > m.descriptors+moreDescriptors {
		return fmt.Errorf("%s has %d goroutines and %d descriptors, and had %d and %d when it began", m.name, goroutines, descriptors, m.goroutines, m.descriptors)
	}
	return nil
}

// residentMB is how much memory the process has used at most; 0 where the
// system does not say.
func (m *worker) residentMB() float64 {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(m.PID()), "status"))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kb / 1024
		}
	}
	return 0
}

// kept has the process started again whenever a crash point has ended it. The
// function ends that, once that was so often or has not been for too long, and
// returns how often it was. A crash comes after what the process did last: all may
// be settled and the process about to die.
func (m *worker) kept() (end func(due int) int) {
	over, ended := make(chan struct{}), make(chan struct{})
	var deaths atomic.Int32
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-m.Done:
			}
			if code := m.Ended().ExitCode(); code >= 0 {
				m.w.t.Errorf("%s ended by itself with %d:\n%s", m.name, code, m.Log)
				return
			}
			m.start()
			deaths.Add(1)
		}
	}()
	stop := sync.OnceFunc(func() { close(over); <-ended })
	m.w.t.Cleanup(stop)
	return func(due int) int {
		for deadline := time.Now().Add(10 * time.Second); int(deaths.Load()) < due && time.Now().Before(deadline); {
			<-time.After(10 * time.Millisecond)
		}
		stop()
		return int(deaths.Load())
	}
}
