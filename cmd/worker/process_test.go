package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// programs are built once for all tests that need real processes, by tags.
var programs struct {
	mu   sync.Mutex
	dir  string
	path map[string]string
}

// program builds the worker with the tags and returns its path.
func program(t testing.TB, tags string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	if path := programs.path[tags]; path != "" {
		return path
	}
	path := filepath.Join(programs.dir, "worker-"+tags)
	out, err := exec.Command("go", "build", "-tags", tags, "-o", path, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	if programs.path == nil {
		programs.path = make(map[string]string)
	}
	programs.path[tags] = path
	return path
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "andon-worker-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Connections that are kept for the next request are nobody's leak.
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// command is how a worker process is started, once or again and again. The
// processes share a log, of which a failing test shows the end.
type command struct {
	path string
	args []string
	env  []string
	log  *tail
}

// newCommand runs a worker against the API with a bare environment.
func newCommand(t testing.TB, path, api string, env []string, args ...string) *command {
	t.Helper()
	c := &command{path: path, log: &tail{}}
	c.args = append([]string{
		"--endpoint", api, "--region", rigRegion, "--http-listen", "127.0.0.1:0", "--rate", "1000", "--log-format", "json",
	}, args...)
	c.env = append([]string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
		"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
	}, env...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the worker's log:\n%s", c.log)
		}
	})
	return c
}

// process is a worker as a child process.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// start starts one process, which somebody must kill or wait for.
func (c *command) start() (*process, error) {
	p := &process{cmd: exec.Command(c.path, c.args...), log: c.log, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = c.env, c.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	return p, nil
}

// start runs a worker process until the test ends.
func start(t testing.TB, path, api string, env []string, args ...string) *process {
	t.Helper()
	p, err := newCommand(t, path, api, env, args...).start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may be gone

// kill ends the process and waits for it. Its error says that the process had
// ended by itself.
func (p *process) kill() error {
	p.signal(syscall.SIGKILL)
	<-p.done
	return p.fell()
}

// fell is an error unless a signal ended the process, which is over.
func (p *process) fell() error {
	if code := p.cmd.ProcessState.ExitCode(); code >= 0 {
		return fmt.Errorf("the worker ended by itself with %d:\n%s", code, p.log)
	}
	return nil
}

// exit waits for the process to end and returns its code, -1 when a signal
// ended it.
func (p *process) exit(within time.Duration) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return 0, fmt.Errorf("still running after %v", within)
	}
}

// works waits until a process that was just started feeds on the queues.
func (p *process) works(r *rig) {
	r.t.Helper()
	r.eventually(20*time.Second, func() error {
		select {
		case <-p.done:
			r.t.Fatalf("the worker ended:\n%s", p.log)
		default:
		}
		if !p.log.has(`"msg":"working"`) {
			return errors.New("the worker does not say that it works")
		}
		return nil
	})
}

// keepRunning has one worker at any time: when one is killed the next is
// started at once, until the test ends.
func keepRunning(t *testing.T, c *command) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			p, err := c.start()
			if err != nil {
				t.Errorf("start the worker: %v", err)
				return
			}
			select {
			case <-p.done:
				if err := p.fell(); err != nil {
					t.Error(err)
					return
				}
			case <-stop:
				_ = p.kill() // it may just have crashed
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
}

// tail keeps the end of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// tailSize is how much a tail keeps at least.
const tailSize = 64 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if len(l.buf) > 2*tailSize {
		l.buf = append(l.buf[:0], l.buf[len(l.buf)-tailSize:]...)
	}
	return len(p), nil
}

func (l *tail) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.buf, []byte(text))
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const lines = 30
	at := len(l.buf)
	for n := 0; n <= lines && at > 0; n++ {
		at = bytes.LastIndexByte(l.buf[:at], '\n')
	}
	return string(l.buf[max(at, 0):])
}
