package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

var errDied = errors.New("the worker has ended by itself")

// Addresses of a worker that is not told others.
const (
	natsListen = "127.0.0.1:4222"
	httpListen = "127.0.0.1:8080"
)

// worker is the child process.
type worker struct {
	cmd     *exec.Cmd
	logFile string
	// natsURL and httpURL are known once the channel is closed.
	natsURL, httpURL string
	listening        chan struct{}
	exited           chan struct{}
	err              error // how it ended, once exited is closed

	mu   sync.Mutex
	last []string // by mu: the last lines of its log
}

// startWorker starts the binary on an empty store in dir. Its log goes to a
// file there and to echo.
func startWorker(binary, dir string, echo io.Writer) (*worker, error) {
	w := &worker{logFile: filepath.Join(dir, "worker.log"), listening: make(chan struct{}), exited: make(chan struct{})}
	log, err := os.Create(w.logFile)
	if err != nil {
		return nil, err
	}
	w.cmd = exec.Command(binary, "--simulate", "--store-dir", filepath.Join(dir, "store"),
		"--nats-listen", free(natsListen), "--http-listen", free(httpListen), "--log-format", "json")
	w.cmd.Env = ownEnvironment()
	ownGroup(w.cmd)
	out, err := w.cmd.StderrPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the worker: %w", err), log.Close())
	}
	go func() {
		defer close(w.exited)
		w.read(out, io.MultiWriter(log, echo))
		w.err = errors.Join(w.cmd.Wait(), log.Close())
	}()
	return w, nil
}

// free returns the address, or one with a free port if it is taken.
func free(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return addr
}

// ownEnvironment leaves out what would configure the worker otherwise.
func ownEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NATS_") && !strings.HasPrefix(v, "ANDON_") && !strings.HasPrefix(v, "TENCENTCLOUD_") {
			env = append(env, v)
		}
	}
	return env
}

// read copies the log and finds the addresses in it.
func (w *worker) read(from io.Reader, to io.Writer) {
	const most = 20
	r := bufio.NewReader(from)
	known := false
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(to, line)
			w.mu.Lock()
			w.last = append(w.last[max(0, len(w.last)-most+1):], line)
			w.mu.Unlock()
		}
		if err != nil {
			return
		}
		var said struct{ Msg, URL, Addr string }
		if known || json.Unmarshal([]byte(line), &said) != nil {
			continue
		}
		switch said.Msg {
		case "broker listening":
			w.natsURL = said.URL
		case "http listening":
			w.httpURL = "http://" + said.Addr
		}
		if known = w.natsURL != "" && w.httpURL != ""; known {
			close(w.listening)
		}
	}
}

func (w *worker) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.last, "")
}

// moved says that the usual addresses were taken.
func (w *worker) moved() string {
	if strings.HasSuffix(w.natsURL, natsListen) && strings.HasSuffix(w.httpURL, httpListen) {
		return ""
	}
	return " (free ports, because a usual one is taken)"
}

// within is ctx for as long as the worker lives.
func (w *worker) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-w.exited:
			cancel(w.died())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// ready waits until the worker takes requests.
func (w *worker) ready(ctx context.Context) error {
	select {
	case <-w.listening:
	case <-ctx.Done():
		return fmt.Errorf("wait for the worker to listen: %w", context.Cause(ctx))
	}
	for {
		answer, ok := w.readyz(ctx)
		if ok {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for the worker to be ready: %w\n%s", context.Cause(ctx), answer)
		}
	}
}

func (w *worker) readyz(ctx context.Context) (answer string, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.httpURL+"/readyz?verbose", nil)
	if err != nil {
		return err.Error(), false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error(), false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err.Error(), false
	}
	return string(body), resp.StatusCode == http.StatusOK
}

// died says that the worker ended without being asked; nil while it runs.
func (w *worker) died() error {
	select {
	case <-w.exited:
		return fmt.Errorf("%w: %w", errDied, first(w.err, errors.New("exit status 0")))
	default:
		return nil
	}
}

// stop asks the worker to stop and waits; a signal meanwhile, or half a
// minute, kills it.
func (w *worker) stop() error {
	select {
	case <-w.exited:
		return nil // said by died
	default:
	}
	again, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-again.Done():
		_ = w.cmd.Process.Kill()
		<-w.exited
	case <-time.After(30 * time.Second):
		_ = w.cmd.Process.Kill()
		<-w.exited
	}
	if w.err != nil {
		return fmt.Errorf("stop the worker: %w", w.err)
	}
	return nil
}
