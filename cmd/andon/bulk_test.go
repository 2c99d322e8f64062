package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

// groups may be raised for a rehearsal of an incident of any size.
var groups = flag.Int("groups", 150, "groups of the bulk that is watched, interrupted and undone")

// manyGroups are groups whose refreshes run, and a file that names them.
func manyGroups(n int) (sc simulator.Scenario, file string) {
	sc = simulator.Scenario{
		Credentials: []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}},
		Quota:       simulator.Quota{Off: true},
	}
	sc.More(n, "ap-guangzhou")
	var b strings.Builder
	b.WriteString("Region,AutoScalingGroupId\n")
	for _, g := range sc.Groups {
		fmt.Fprintf(&b, "%s,%s\n", g.Region, g.ID)
	}
	return sc, b.String()
}

// seat is the program on a terminal.
type seat struct {
	t    testing.TB
	tty  *os.File
	cmd  *exec.Cmd
	read sync.WaitGroup

	mu   sync.Mutex
	text bytes.Buffer
}

// sit runs the program on a terminal of its own.
func (d *desk) sit(args ...string) *seat {
	d.t.Helper()
	s := &seat{t: d.t, cmd: exec.Command(d.program, args...)}
	s.cmd.Env = slices.Concat(d.env, []string{"TERM=xterm"})
	var err error
	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		d.t.Fatal(err)
	}
	s.read.Go(func() { _, _ = io.Copy(s, s.tty) }) // ends with an error when the program does
	d.t.Cleanup(func() { _ = s.cmd.Process.Kill(); s.tty.Close(); s.read.Wait() })
	return s
}

func (s *seat) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *seat) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// sees waits for a text on the screen.
func (s *seat) sees(text string) {
	s.t.Helper()
	harness.Eventually(s.t, 30*time.Second, func() error {
		if !strings.Contains(s.seen(), text) {
			return fmt.Errorf("%q is not on the screen:\n%q", text, s.seen())
		}
		return nil
	})
}

func (s *seat) types(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// leaves waits for the end of the program, which must have a code.
func (s *seat) leaves(code int) {
	s.t.Helper()
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }() // how it ended is in ProcessState
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		s.t.Fatalf("it does not end; on the screen is\n%q", s.seen())
	}
	s.read.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("it ends with %d, want %d; on the screen is\n%q", got, code, s.seen())
	}
}

const interrupt = "\x03"

func TestABulkIsConfirmedWatchedInterruptedAndUndone(t *testing.T) {
	t.Parallel()
	sc, list := manyGroups(*groups)
	d := newDesk(t, sc)
	// Long enough to look at, and as fast as two workers can be for thousands.
	rate := fmt.Sprint(max(50, *groups/5))
	d.work(d.url(""), "--rate", rate)
	d.work(d.url(""), "--rate", rate)
	file := filepath.Join(t.TempDir(), "groups.csv")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	question := fmt.Sprintf("Pause %d groups? A paused group neither scales nor heals. [y/N] ", *groups)

	if o := d.andon("stop", "-f", file); o.code != exitUsage || !strings.Contains(o.err, "add --yes") {
		t.Errorf("without anybody to ask it ends with %d: %s", o.code, o.err)
	}
	no := d.sit("stop", "-f", file, "--id", "INC-1")
	no.sees(question)
	no.types("n\n")
	no.leaves(exitFailed)
	no.sees("nothing was done")
	away := d.sit("stop", "-f", file, "--id", "INC-1")
	away.sees(question)
	away.types(interrupt)
	away.leaves(exitInterrupted)
	if stops := d.api.Between(time.Time{}, time.Now()); stops > 0 {
		t.Fatalf("%d Stops without a yes", stops)
	}

	yes := d.sit("stop", "-f", file, "--id", "INC-1", "--wait")
	yes.sees(question)
	yes.types("y\n")
	yes.sees("calls/s")
	yes.sees("paused")
	yes.sees("█")
	yes.sees("\x1b[")
	yes.types(interrupt)
	yes.leaves(exitInterrupted)
	yes.sees("INC-1 goes on")
	yes.sees("andon watch INC-1")

	watch := d.andon("watch", "INC-1", "-o", "json")
	if watch.code != exitReached || !strings.Contains(watch.out, fmt.Sprintf(`"paused": %d`, *groups)) {
		t.Errorf("watched again it ends with %d: %s%s", watch.code, watch.out, watch.err)
	}
	if strings.Contains(watch.err, "\x1b") {
		t.Errorf("without a terminal there are no colours and no bars: %q", watch.err)
	}
	if o := d.andon("resume", "INC-1", "--id", "UNDO-1"); o.code != exitUsage || !strings.Contains(o.err, fmt.Sprintf("Resume %d groups that INC-1 has paused", *groups)) {
		t.Errorf("an undo of many asks nobody: %d %s", o.code, o.err)
	}
	undo := d.andon("resume", "INC-1", "--id", "UNDO-1", "--wait", "--yes", "-o", "json")
	if undo.code != exitReached || !strings.Contains(undo.out, fmt.Sprintf(`"resumed": %d`, *groups)) {
		t.Errorf("the undo ends with %d: %s%s", undo.code, undo.out, undo.err)
	}
	for _, a := range sc.Activities {
		if now, _ := d.api.Sim.Activity(a.ID); now.Stops != 1 || now.Status != simulator.Running {
			t.Fatalf("%s had %d Stops and is %s", a.ID, now.Stops, now.Status)
		}
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	d.work(d.url(""))
	d.must("stop", "asg-shopweb1", "--wait", "--id", "one")
	const green = "\x1b[32mpaused\x1b[0m"
	colored := d.sit("results", "one")
	colored.leaves(exitReached)
	colored.sees(green)
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if o := d.with([]string{env}, "", "results", "one"); strings.Contains(o.out, "\x1b") {
			t.Errorf("%s: %q", env, o.out)
		}
	}
	plain := d.sit("results", "one", "--no-color")
	plain.leaves(exitReached)
	if strings.Contains(plain.seen(), "\x1b") {
		t.Errorf("--no-color: %q", plain.seen())
	}
}

// A selector that may mean many groups is looked into before anybody is asked.
func TestASelectorTellsHowManyGroupsItMeans(t *testing.T) {
	t.Parallel()
	const n = 30
	sc, _ := manyGroups(n)
	d := newDesk(t, sc)
	d.work(d.url(""), "--rate", "1000")
	s := d.sit("stop", "--name", "more*", "--all-regions", "--max-targets", "500", "--id", "SEL", "--wait", "--no-color")
	s.sees(fmt.Sprintf("Pause %d groups that match now?", n))
	s.types("y\n")
	s.leaves(exitReached)
	s.sees(fmt.Sprintf("SEL: %d groups", n))
}

// Anybody may tell progress, and what they tell must not act on the terminal; nor
// must a narrow one be drawn over.
func TestProgressThatIsForgedIsHarmless(t *testing.T) {
	t.Parallel()
	sc, _ := manyGroups(3)
	d := newDesk(t, sc)
	d.work(d.url(""), "--rate", "1")
	d.must("hold", "--reason", "to have time")
	d.must("stop", "asg-more00001", "asg-more00002", "--id", "FORGED")
	s := d.sit("watch", "FORGED", "--no-color")
	nc, err := nats.Connect(d.url(""))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	harness.Eventually(t, 30*time.Second, func() error {
		if err := nc.Publish("as.refresh.progress.FORGED", []byte(`{"Total":2,"Quotas":[{"Account":"\u001b]0;owned\u0007\u001b[2J","Endpoint":"x","Total":2}]}`)); err != nil {
			return err
		}
		if !strings.Contains(s.seen(), "owned") {
			return fmt.Errorf("not drawn yet: %q", s.seen())
		}
		return nil
	})
	s.sees("all calls are held by alice")
	if seen := s.seen(); strings.Contains(seen, "\x1b]") || strings.Contains(seen, "\x1b[2J") {
		t.Errorf("it reaches the terminal: %q", seen)
	}
	s.types(interrupt)
	s.leaves(exitInterrupted)
}

// A pipe that nobody writes to must not keep somebody from leaving.
func TestAFileThatDoesNotComeCanBeLeft(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, program: harness.Program(t, harness.Module+"/cmd/andon")}
	d.env = []string{"ANDON_BY=alice"}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c := exec.Command(d.program, "stop", "-f", "-")
	c.Env, c.Stdin = d.env, r
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() { _ = c.Wait(); close(left) }() // how it ended is in ProcessState
	// Before it listens to signals, one ends it too, but without a code.
	harness.Eventually(t, 30*time.Second, func() error {
		select {
		case <-left:
			return nil
		case <-time.After(200 * time.Millisecond):
			_ = c.Process.Signal(os.Interrupt)
			return errors.New("it does not leave")
		}
	})
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("it ends with %d", code)
	}
}
