// Command ingress takes webhooks of alerting systems and publishes what they ask for,
// without credentials of the cloud. Run it with --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/cmd/internal/logs"
	"github.com/seed-a7c21902/andon/cmd/internal/systemd"
	"github.com/seed-a7c21902/andon/cmd/internal/traces"
	"github.com/seed-a7c21902/andon/cmd/internal/web"
	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/ingress"
	"github.com/seed-a7c21902/andon/pkg/queue"
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

type options struct {
	file                       string
	url, creds, context, inbox string
	listen, httpListen         string
	logLevel, logFormat        string
	version                    bool
}

const help = `ingress takes webhooks of Alertmanager, Grafana, Tencent Cloud Observability
Platform and PagerDuty, CloudEvents, and requests as JSON, and publishes what they
ask for to NATS, where andon's workers carry it out.

Usage: ingress [flags]

Who may post, and which groups an alert means, stands in the file of --config under
"ingress": docs/alerting.md. $OTEL_EXPORTER_OTLP_ENDPOINT names a collector that takes
traces (OTLP over HTTP).

`

func parse(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	set := pflag.NewFlagSet("ingress", pflag.ContinueOnError)
	set.SetOutput(stderr)
	set.SortFlags = false
	for _, f := range []struct {
		at               *string
		name, env, usual string
		what             string
	}{
		{&o.listen, "ingress-listen", "ANDON_INGRESS_LISTEN", "127.0.0.1:8081", "where webhooks are taken"},
		{&o.httpListen, "http-listen", "ANDON_HTTP_LISTEN", "127.0.0.1:8080", "where /livez, /readyz and /metrics are served"},
		{&o.file, "config", "ANDON_CONFIG", "", "YAML file, as the worker's"},
		{&o.url, "nats-url", "NATS_URL", "nats://127.0.0.1:4222", "broker, several separated by commas"},
		{&o.creds, "nats-creds", "NATS_CREDS", "", "credentials file for the broker"},
		{&o.context, "nats-context", "NATS_CONTEXT", "", "context of the NATS CLI, instead of --nats-url"},
		{&o.inbox, "nats-inbox-prefix", "ANDON_NATS_INBOX_PREFIX", "", "prefix of answers, where permissions ask for one"},
		{&o.logLevel, "log-level", "ANDON_LOG_LEVEL", "info", "debug, info, warn or error"},
		{&o.logFormat, "log-format", "ANDON_LOG_FORMAT", "auto", "auto, text or json"},
	} {
		set.StringVar(f.at, f.name, cmp.Or(getenv(f.env), f.usual), f.what+", $"+f.env)
	}
	set.BoolVar(&o.version, "version", false, "version, commit and Go release")
	set.Usage = func() { fmt.Fprint(stderr, help+set.FlagUsages()) }
	if err := set.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // it says what is wrong
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag, and ingress takes nothing else", set.Arg(0))
	}
	if o.context != "" && !set.Changed("nats-url") {
		o.url = ""
	}
	return o, nil
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	o, err := parse(args, getenv, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return exitStopped
	}
	if o.version && err == nil {
		b := build.Info()
		fmt.Fprintf(stdout, "ingress %s commit %s %s\n", b.Version, b.Revision, b.GoVersion)
		return exitStopped
	}
	var log *slog.Logger
	if err == nil {
		log, err = logs.New(stderr, o.logLevel, o.logFormat)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ingress: %v; see ingress --help\n", err)
		return exitUsage
	}
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	defer context.AfterFunc(ctx, func() { systemd.Tell(getenv, log, systemd.Stopping) })()
	defer systemd.Watchdog(getenv, log)()
	switch err = serve(ctx, o, getenv, log); {
	case errors.Is(err, errConfig):
		fmt.Fprintf(stderr, "ingress: cannot start: %v\n", err)
		return exitUsage
	case err != nil:
		log.Error("ingress failed", "error", err)
		return exitFailed
	default:
		log.Info("stopped")
		return exitStopped
	}
}

// settings reads the file, and judges all that can be without a broker.
func settings(o options, c *ingress.Config) error {
	if err := webhooks.Load(o.file, c); err != nil {
		return err //nolint:wrapcheck // it says where
	}
	// One that is misspelt would leave the door open.
	if o.file != "" && c.Auth == nil && c.Rules == nil {
		return fmt.Errorf("%s: has neither %s.sources nor %s.rules; is the section misspelt?", o.file, webhooks.Key, webhooks.Key)
	}
	return errors.Join(c.Validate(), webhooks.Guarded(o.listen, *c)) //nolint:wrapcheck // they say what
}

// serve makes every part, and runs until ctx is done.
func serve(ctx context.Context, o options, getenv func(string) string, log *slog.Logger) error {
	reg := prometheus.NewRegistry()
	web.RegisterBuildInfo(reg)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	conf := ingress.Config{Registerer: reg, Log: log}
	if err := settings(o, &conf); err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	tracer := traces.Start(ctx, "andon-ingress", getenv, log)
	defer tracer.End()
	health, err := web.Listen("http-listen", o.httpListen, log)
	if err != nil {
		return err //nolint:wrapcheck // it says where
	}
	site := web.New("andon ingress", reg, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return site.Serve(health) })
	defer group.Wait() //nolint:errcheck // a second look at what the last line returns
	defer site.End()
	to := queue.Config{URL: o.url, Context: o.context, Creds: o.creds, InboxPrefix: o.inbox, Name: "andon ingress", Log: log}
	desk, err := webhooks.Open(o.listen, to, conf, tracer)
	if err != nil {
		return err //nolint:wrapcheck // it says where
	}
	defer desk.Close()
	site.Ready(web.Check{Name: "connection", Fn: desk.Connected})
	log.Info("taking webhooks", "version", build.Info().Version)
	group.Go(func() error {
		defer site.End()
		defer context.AfterFunc(ctx, site.Drain)()
		return desk.Serve(ctx)
	})
	systemd.Tell(getenv, log, systemd.Ready)
	return group.Wait() //nolint:wrapcheck // it says what
}
