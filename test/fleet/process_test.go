package fleet

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"sync"
	"testing"
)

// process is a child that dies with the test.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser // its end tells a member to go
	lines chan string    // what it prints; closed when it prints no more
	log   *tail
	done  chan struct{}
}

// start starts a process that is killed when the test ends.
func start(t testing.TB, name string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), lines: make(chan string, 64), log: &tail{}, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr, p.cmd.SysProcAttr = env, p.log, dieWithParent()
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(out)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, p.log)
		}
	})
	return p
}

// follow hands on what the process prints. Lines that nobody takes are dropped
// rather than left to block it.
func (p *process) follow(out io.Reader) {
	defer close(p.done)
	defer close(p.lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		select {
		case p.lines <- lines.Text():
		default:
		}
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

// kill ends the process without a chance to tidy up, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

// freeze has the process stand still until thaw.
func (p *process) freeze() { _ = p.cmd.Process.Signal(signalFreeze) }

func (p *process) thaw() { _ = p.cmd.Process.Signal(signalThaw) }

// tail keeps the end of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// tailSize is how much a tail keeps at least: what a node of the broker says in
// its last seconds.
const tailSize = 2 << 10

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
	return string(l.buf[max(0, len(l.buf)-tailSize):])
}
