package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
)

// childDir names the environment variable that turns the test binary into a process
// that runs a broker in the directory it holds.
const childDir = "ANDON_TEST_BROKER_DIR"

// nobody is a user that owns nothing.
const nobody = 65534

// child says in one line how the start went and runs until its standard input ends.
func child(dir string) {
	b, err := broker.Start(context.Background(), broker.Config{StoreDir: dir, AllowTemporary: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Shutdown()
	fmt.Println("started")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// process runs child and returns its one line.
func process(t *testing.T, dir string, attr *syscall.SysProcAttr) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = attr
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if attr != nil || runtime.GOOS != "linux" {
			t.Skip("cannot start a second process here:", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the second process said nothing:", err)
	}
	return cmd, strings.TrimSpace(line)
}

func TestOneBrokerForADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := start(t, broker.Config{StoreDir: dir})
	own := "pid " + strconv.Itoa(os.Getpid())

	t.Run("a second in this process is refused", func(t *testing.T) {
		err := refused(t, broker.Config{StoreDir: dir})
		if !errors.Is(err, broker.ErrLocked) {
			t.Errorf("not ErrLocked: %v", err)
		}
		mention(t, err, dir, own, "--store-dir", "--nats-url")
	})
	t.Run("a third is refused like the second", func(t *testing.T) {
		mention(t, refused(t, broker.Config{StoreDir: dir}), dir, own)
	})
	t.Run("one in another process is refused", func(t *testing.T) {
		_, line := process(t, dir, nil)
		mention(t, errors.New(line), dir, own, "already in use")
	})
	t.Run("the first is unharmed", func(t *testing.T) {
		if err := b.Healthy(); err != nil {
			t.Error(err)
		}
	})
	t.Run("after its shutdown the directory is free", func(t *testing.T) {
		b.Shutdown()
		start(t, broker.Config{StoreDir: dir})
	})
}

func TestAKilledProcessLeavesNoLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	cmd, line := process(t, dir, nil)
	if line != "started" {
		t.Fatal(line)
	}
	mention(t, refused(t, broker.Config{StoreDir: dir}), "pid "+strconv.Itoa(cmd.Process.Pid))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	start(t, broker.Config{StoreDir: dir})
}

// asNobody is the error of a start by a user without rights. Root may write
// anywhere, so root's tests ask another process.
func asNobody(t *testing.T, dir string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		return refused(t, broker.Config{StoreDir: dir})
	}
	// The parents are reachable for everybody, as the test's own user would find them.
	for parent := filepath.Dir(dir); strings.HasPrefix(parent, os.TempDir()+"/"); parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, mode(t, parent)|0o011); err != nil {
			t.Fatal(err)
		}
	}
	_, line := process(t, dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
	if line == "started" {
		t.Fatal("the broker started")
	}
	return errors.New(line)
}

// eventually asks until the answer is nil, for ten seconds at most.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
