// Command demo shows a worker at work, without an account and without
// anything installed: it starts the worker's binary with a simulated API and
// an empty store, publishes sample requests as any publisher would, and prints
// each result on a line of its own.
//
// Then it goes on printing the results of requests published by hand. With
// DEMO_EXIT=1 it stops the worker instead, and succeeds only if every sample
// came to the outcome its file expects.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is how long start and samples may take together.
const patience = 60 * time.Second

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

type options struct {
	worker, requests string
	verbose, exit    bool
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	o := options{exit: getenv("DEMO_EXIT") == "1"}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.worker, "worker", "bin/worker", "the worker's `binary`")
	flags.StringVar(&o.requests, "requests", "testdata/request", "`folder` of sample requests")
	flags.BoolVar(&o.verbose, "v", false, "show the worker's log too")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "demo: %q is not a flag, and demo takes nothing else\n", flags.Arg(0))
		return 2
	}
	samples, err := loadSamples(o.requests)
	if err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 2
	}
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer release()
	if err := show(ctx, o, samples, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

// show is the demonstration, from the start of the worker to its end.
func show(ctx context.Context, o options, samples []sample, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "andon-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	echo := io.Discard
	if o.verbose {
		echo = stderr
	}
	w, err := startWorker(o.worker, dir, echo)
	if err != nil {
		return err
	}
	early, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("gave up after %v", patience))
	defer cancel()
	err = watch(ctx, early, o, w, samples, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "the worker's last lines:\n%s", w.tail())
	}
	return errors.Join(err, w.stop())
}

// watch waits for the worker, has it answer the samples, and goes on until
// ctx ends unless it was asked to exit. early bounds all but that.
func watch(ctx, early context.Context, o options, w *worker, samples []sample, stdout io.Writer) error {
	early, cancel := w.within(early)
	defer cancel()
	if err := w.ready(early); err != nil {
		return stopped(ctx, err)
	}
	fmt.Fprintf(stdout, "The worker is ready: broker %s, HTTP %s%s\n\n", w.natsURL, w.httpURL, w.moved())

	b, err := connect(early, w.natsURL)
	if err != nil {
		return stopped(ctx, err)
	}
	defer b.close()
	t := &table{to: stdout, samples: make(map[string]string)}
	t.head()
	failed, err := try(early, b, t, samples)
	fmt.Fprintf(stdout, "\n%d passed, %d failed\n", len(samples)-failed, failed)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case o.exit && failed > 0:
		return fmt.Errorf("%d of %d samples came to another end than expected", failed, len(samples))
	case o.exit:
		return nil
	}
	fmt.Fprintf(stdout, hint, w.natsURL, w.httpURL, w.logFile)
	return follow(ctx, b, t, w)
}

const hint = `
Now publish one yourself; its result appears here:

  nats --server %s pub as.refresh.stop '{"Region":"ap-singapore","AutoScalingGroupId":"asg-gamelive"}'

Metrics: %s/metrics   worker's log: %s   Ctrl-C stops.

`

// stopped is nil for an error that only says that the user stopped the demo.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
