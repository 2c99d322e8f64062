// Command simulator serves a simulated Tencent Cloud Auto Scaling API to
// rehearse against. See package simulator for what it does and does not do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// The exit codes, as of every program here.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// stopWithin is how long calls may take to finish when asked to stop.
const stopWithin = 5 * time.Second

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// mostGroups is how many groups have a number of five digits.
const mostGroups = 99_999

type options struct {
	listen        string
	scenario      string
	moreGroups    int
	control       bool
	printScenario bool
}

// run serves until ctx is done, or until the process is asked to stop.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "simulator: %s\nsimulator --help lists the flags\n", err)
		return exitUsage
	}
	if o.printScenario {
		_, _ = stdout.Write(simulator.SampleYAML())
		return exitOK
	}
	sc, err := o.load()
	if err != nil {
		fmt.Fprintf(stderr, "simulator: %s\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, o.listen, sc, stdout); err != nil {
		fmt.Fprintf(stderr, "simulator: %s\n", err)
		return exitFailed
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := pflag.NewFlagSet("simulator", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.SortFlags = false
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8089", "address to serve on, port 0 for any free one")
	flags.StringVar(&o.scenario, "scenario", "", "scenario file; without one the built-in sample")
	flags.IntVar(&o.moreGroups, "more-groups", 0, "so many groups more, asg-more00001 and so on in ap-guangzhou, whose refreshes run")
	flags.BoolVar(&o.control, "control", false, "serve the unsigned endpoints under /_sim/ (default: on loopback only)")
	flags.BoolVar(&o.printScenario, "print-scenario", false, "print the built-in sample as a file to start from, and exit")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "simulator serves a simulated Tencent Cloud Auto Scaling API\n\nUsage: simulator [flags]\n\n%s", flags.FlagUsages())
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.moreGroups < 0 || o.moreGroups > mostGroups {
		return o, fmt.Errorf("--more-groups %d: must be from 0 to %d", o.moreGroups, mostGroups)
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return o, fmt.Errorf("--listen: %w; use host:port, for example 127.0.0.1:8089", err)
	}
	if !flags.Changed("control") {
		o.control = isLoopback(host)
	}
	return o, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o options) load() (simulator.Scenario, error) {
	sc := simulator.Sample()
	if o.scenario != "" {
		loaded, err := simulator.Load(o.scenario)
		if err != nil {
			return loaded, err
		}
		sc = loaded
	}
	sc.Control = o.control
	sc.More(o.moreGroups, "ap-guangzhou")
	return sc, nil
}

func serve(ctx context.Context, address string, sc simulator.Scenario, stdout io.Writer) error {
	sim, err := simulator.New(sc)
	if err != nil {
		return err
	}
	defer sim.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	// There is no write timeout: a slow or hanging answer is a fault to rehearse.
	server := &http.Server{
		Handler:           sim,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	printUse(stdout, listener.Addr().String(), sc)

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	sim.Close()
	// The stop itself must not end because we were asked to stop.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("calls still open after %s: %w", stopWithin, err), server.Close())
	}
	return nil
}
