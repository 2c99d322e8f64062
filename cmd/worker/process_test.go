package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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
	os.Exit(code)
}

// process is a worker as a child process.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// start runs a worker process against the rig's API with a bare environment.
func start(t testing.TB, path, api string, env []string, args ...string) *process {
	t.Helper()
	p := &process{log: &tail{}, done: make(chan struct{})}
	p.cmd = exec.Command(path, append([]string{
		"--endpoint", api, "--region", rigRegion, "--http-listen", "127.0.0.1:0", "--rate", "1000", "--log-format", "json",
	}, args...)...)
	p.cmd.Env = append([]string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
		"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
	}, env...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may be gone

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
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

// keepRunning restarts a worker whenever it dies, until the test calls the
// returned function, which says how often it died.
func keepRunning(t *testing.T, begin func() *process) (end func() int) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	deaths := 0
	go func() {
		defer close(ended)
		for {
			p := begin()
			select {
			case <-p.done:
				deaths++
				if p.cmd.ProcessState.ExitCode() > 0 {
					t.Errorf("the worker failed:\n%s", p.log)
					return
				}
			case <-stop:
				p.kill()
				return
			}
		}
	}()
	var once sync.Once
	end = func() int {
		once.Do(func() { close(stop) })
		<-ended
		return deaths
	}
	t.Cleanup(func() { end() })
	return end
}

// tail keeps the end of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 1<<20 {
		l.buf.Reset()
	}
	return l.buf.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.buf.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
