// Command andon is for the person who is paged: it asks the workers to pause and
// to resume instance refreshes, shows what becomes of that, and what they hold
// paused. It speaks NATS alone, and never holds credentials of the cloud. Run it
// with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/seed-a7c21902/andon/pkg/queue"
)

// What the process exits with.
const (
	exitReached     = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartly      = 3
	exitTimedOut    = 4
	exitInterrupted = 130
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	// A second signal does what it does to any process.
	defer context.AfterFunc(ctx, release)()
	s := &session{getenv: getenv, in: stdin, out: stdout, err: stderr}
	defer s.close()
	root := newRoot(s)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	return s.finish(ctx, command.CommandPath(), err)
}

// exit is an end that has an exit code. Its error has been told, if it is nil.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func failed(err error) error { return &exit{exitFailed, err} }

func usage(format string, args ...any) error { return &exit{exitUsage, fmt.Errorf(format, args...)} }

// ended is an end of which all has been told.
func ended(code int) error {
	if code == exitReached {
		return nil
	}
	return &exit{code: code}
}

// finish tells how a command has ended and returns the exit code. Errors without a
// code come from the reading of the command line.
func (s *session) finish(ctx context.Context, command string, err error) int {
	if err == nil {
		return exitReached
	}
	e, coded := errors.AsType[*exit](err)
	if !coded {
		e = &exit{exitUsage, err}
	}
	switch {
	case e.code == exitFailed && ctx.Err() != nil:
		e = &exit{exitInterrupted, fmt.Errorf("interrupted: %w", e.err)}
		if errors.Is(ctx.Err(), err) || e.err == nil {
			e.err = errors.New("interrupted")
		}
	case e.code == exitFailed && errors.Is(err, context.DeadlineExceeded):
		e.code = exitTimedOut
	}
	if e.err != nil {
		fmt.Fprintln(s.err, "andon: "+clean(strings.ReplaceAll(e.err.Error(), "\n", "\n  "), "\n"))
	}
	if hint := hint(e, command); hint != "" {
		fmt.Fprintln(s.err, hint)
	}
	return e.code
}

// hint is what to do about an error.
func hint(e *exit, command string) string {
	switch {
	case errors.Is(e.err, queue.ErrPermission):
		return "This user of NATS may not do that. Ask whoever runs the broker for the permission named above; deploy/nats lists what each role needs."
	case errors.Is(e.err, queue.ErrNoWorker):
		return "Is it the right broker? Start a worker on it: the first one makes the streams."
	case errors.Is(e.err, errConnect):
		return "Say where the broker is with --nats-url, or name a context of the NATS CLI with --nats-context."
	case e.code == exitUsage && e.err != nil:
		return "See " + command + " --help."
	default:
		return ""
	}
}
