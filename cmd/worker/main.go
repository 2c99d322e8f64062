// Command worker pauses bad rollouts: it takes requests from NATS JetStream,
// calls StopInstanceRefresh of Tencent Cloud's Auto Scaling, and stores one
// result for each request. Run it with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/cmd/internal/logs"
	"github.com/seed-a7c21902/andon/cmd/internal/systemd"
)

// What the process exits with.
const (
	exitStopped = iota
	exitFailed
	exitUsage
)

// errConfig marks an error that only the user's configuration can cure.
var errConfig = errors.New("configuration")

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

// gcPercent has the garbage collected earlier than is usual: a worker's life is
// small things in large numbers, and a bulk of ten thousand groups must not need
// the memory of a machine. GOGC in the environment counts as always.
const gcPercent = 35

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	c, ask, err := load(args, getenv)
	switch {
	case ask == askedHelp:
		help(stdout)
		return exitStopped
	case ask == askedVersion:
		b := build.Info()
		fmt.Fprintf(stdout, "worker %s commit %s %s\n", b.Version, b.Revision, b.GoVersion)
		return exitStopped
	case err != nil:
		complain(stderr, err)
		return exitUsage
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log, err := logs.New(stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		complain(stderr, err)
		return exitUsage
	}

	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	defer context.AfterFunc(ctx, func() {
		// From here on a signal does what it does to any process.
		release()
		log.Info("stopping; a second signal ends at once", "cause", context.Cause(ctx))
		systemd.Tell(getenv, log, systemd.Stopping)
	})()
	defer systemd.Watchdog(getenv, log)()

	switch err = work(ctx, c, getenv, log); {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		log.Info("stopped")
		return exitStopped
	case errors.Is(err, errConfig):
		complain(stderr, err)
		return exitUsage
	default:
		log.Error("worker failed", "error", err)
		return exitFailed
	}
}

// complain lists faults, one a line.
func complain(w io.Writer, err error) {
	fmt.Fprintln(w, "worker: cannot start with this configuration")
	for _, fault := range lines(err) {
		fmt.Fprintln(w, " ", fault)
	}
}

// lines are the faults of a joined error.
func lines(err error) []string {
	return strings.Split(strings.TrimPrefix(err.Error(), errConfig.Error()+": "), "\n")
}
