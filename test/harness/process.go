package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Command is how a process is started, once or again and again.
type Command struct {
	Name string
	Path string
	Args []string
	Env  []string // all of it: nothing is inherited
	// Watch, if set, sees everything that the processes write to their logs.
	Watch *Watch
}

// Process is a child that dies with the test.
type Process struct {
	Name  string
	In    io.WriteCloser // its end tells the process that the test is over
	Lines chan string    // what it prints; closed when it prints no more
	Log   *Log           // what it writes to its standard error
	Done  chan struct{}  // closed when it has ended
	cmd   *exec.Cmd
}

// Start starts a process that is killed when the test ends.
func Start(t testing.TB, c Command) *Process {
	t.Helper()
	p := &Process{
		Name: c.Name, Lines: make(chan string, 64), Log: &Log{watch: c.Watch}, Done: make(chan struct{}),
		cmd: exec.Command(c.Path, c.Args...),
	}
	p.cmd.Env, p.cmd.Stderr, p.cmd.SysProcAttr = c.Env, p.Log, dieWithParent()
	if p.cmd.Env == nil {
		p.cmd.Env = []string{}
	}
	var err error
	if p.In, err = p.cmd.StdinPipe(); err != nil {
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
		p.Kill()
		if t.Failed() && c.Watch == nil {
			t.Logf("the end of what %s said:\n%s", c.Name, p.Log)
		}
	})
	return p
}

// follow hands on what the process prints. Lines that nobody takes are dropped
// rather than left to block it.
func (p *Process) follow(out io.Reader) {
	defer close(p.Done)
	defer close(p.Lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		select {
		case p.Lines <- lines.Text():
		default:
		}
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

// PID is its number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is how it ended; nil while it runs.
func (p *Process) Ended() *os.ProcessState {
	select {
	case <-p.Done:
		return p.cmd.ProcessState
	default:
		return nil
	}
}

// Signal sends a signal; the process may be gone.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the process without a chance to tidy up, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.Done
}

// Exit waits for the process to end by itself and returns its code, -1 when a
// signal ended it.
func (p *Process) Exit(within time.Duration) (int, error) {
	select {
	case <-p.Done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return 0, fmt.Errorf("%s still runs after %v", p.Name, within)
	}
}

// Says returns the first line of its log with the text, as soon as there is one.
func (p *Process) Says(text string, within time.Duration) (string, error) {
	deadline := time.After(within)
	for {
		if line := p.Log.Line(text); line != "" {
			return line, nil
		}
		select {
		case <-p.Done:
			if line := p.Log.Line(text); line != "" {
				return line, nil
			}
			return "", fmt.Errorf("%s ended (%v) without saying %q:\n%s", p.Name, p.cmd.ProcessState, text, p.Log)
		case <-deadline:
			return "", fmt.Errorf("%s does not say %q within %v:\n%s", p.Name, text, within, p.Log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Freeze has the process stand still until Thaw.
func (p *Process) Freeze() { p.Signal(signalFreeze) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.Signal(signalThaw) }

// Log keeps the begin and the end of what a process writes.
type Log struct {
	watch *Watch

	mu   sync.Mutex
	head []byte
	buf  []byte
}

// How much of each a log keeps at least.
const (
	headSize = 8 << 10
	tailSize = 64 << 10
)

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := len(p)
	if len(l.head) < headSize {
		l.head = append(l.head, p...)
	}
	l.buf = append(l.buf, p...)
	if l.watch != nil {
		l.watch.look(l.buf[max(0, len(l.buf)-fresh-longestWatched):], fresh)
	}
	if len(l.buf) > 2*tailSize {
		l.buf = append(l.buf[:0], l.buf[len(l.buf)-tailSize:]...)
	}
	return len(p), nil
}

// Line is the first line with the text, empty if there is none.
func (l *Log) Line(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, part := range [][]byte{l.head, l.buf} {
		for line := range bytes.Lines(part) {
			if bytes.Contains(line, []byte(text)) {
				return string(line)
			}
		}
	}
	return ""
}

// String is the last lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const lines = 30
	at := len(l.buf)
	for n := 0; n <= lines && at > 0; n++ {
		at = bytes.LastIndexByte(l.buf[:at], '\n')
	}
	return string(l.buf[max(at, 0):])
}

// Watch looks for texts that must not be in any log.
type Watch struct {
	texts []string

	mu    sync.Mutex
	found map[string]string // the text, and where it stood
}

// longestWatched bounds the texts, so that one that is written in two pieces is
// found.
const longestWatched = 128

// NewWatch looks for texts of at most 128 bytes.
func NewWatch(texts ...string) *Watch { return &Watch{texts: texts, found: make(map[string]string)} }

// look at bytes of which the last ones are new.
func (w *Watch) look(b []byte, fresh int) {
	for _, text := range w.texts {
		from := max(0, len(b)-fresh-len(text)+1)
		at := bytes.Index(b[from:], []byte(text))
		if at < 0 {
			continue
		}
		begin := max(0, from+at-200)
		w.mu.Lock()
		if w.found[text] == "" {
			w.found[text] = string(b[begin:min(len(b), from+at+2000)])
		}
		w.mu.Unlock()
	}
}

// Look has the watch look at what is not a log.
func (w *Watch) Look(text string) { w.look([]byte(text), len(text)) }

// Found says which texts were there, and where; nil if none was.
func (w *Watch) Found() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for text, where := range w.found {
		all = append(all, fmt.Sprintf("%q in: %s", text, where))
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("found %s", strings.Join(all, "\n"))
}
