package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/cmd/internal/systemd"
	"github.com/seed-a7c21902/andon/cmd/internal/traces"
	"github.com/seed-a7c21902/andon/cmd/internal/web"
	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/asapi"
	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/limiter"
	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// work makes every part once, in the order in which each needs the one before
// it, runs until ctx is done, and takes the parts down in reverse. It is the
// one place where the rooms of pkg/ meet.
func work(ctx context.Context, c Config, getenv func(string) string, log *slog.Logger) error {
	name, hooks := workerName(c.Simulate), newHooks(getenv)
	reg := prometheus.NewRegistry()
	web.RegisterBuildInfo(reg)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	api, closeAPI, err := newAPI(ctx, c, getenv, reg, log)
	if err != nil {
		return err
	}
	defer closeAPI()

	tracer := traces.Start(ctx, "andon-worker", getenv, log)
	defer tracer.End()

	ln, err := web.Listen("http-listen", c.HTTPListen, log)
	if err != nil {
		return err
	}
	site := web.New("andon worker", reg, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return site.Serve(ln) })
	defer group.Wait() //nolint:errcheck // a second look at what the last line returns
	defer site.End()

	var checks []web.Check
	var inProcess nats.InProcessConnProvider
	var capacity int64
	if c.Embedded() {
		embedded, err := broker.Start(ctx, broker.Config{StoreDir: c.StoreDir, Listen: c.NATSListen, Logger: log, AllowTemporary: c.Simulate})
		if err != nil {
			return err
		}
		defer embedded.Shutdown()
		inProcess, capacity = embedded, embedded.MaxStore()
		checks = append(checks, web.Check{Name: "broker", Fn: embedded.Healthy})
		log.Info("broker listening", "url", embedded.ClientURL(), "store_dir", c.StoreDir)
	}
	to := queue.Config{
		URL: c.NATSURL, Creds: c.NATSCreds, Context: c.NATSContext, InboxPrefix: c.NATSInboxPrefix, InProcess: inProcess,
		Name: "andon " + name, Replicas: c.Replicas, Capacity: capacity, AckWait: hooks.ackWait(), Crash: hooks.crash(), Stored: tracer.Stored(), Registerer: reg, Log: log,
	}
	q, err := queue.Open(ctx, to)
	if err != nil {
		return err
	}
	defer q.Close()

	permits, err := limiter.New(limiter.Config{Worker: name, Rate: c.Rate, InFlight: c.Concurrency}, hooks.permits(q.Permits(), name), reg, log)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	defer permits.Close()
	for _, quota := range api.Quotas() {
		permits.Announce(quota)
	}

	h := handler.New(handler.Config{
		Worker: name, Defaults: stop.Defaults{Region: c.Region, DryRun: c.DryRun}, Policy: c.Policy, Registerer: reg, Log: log,
	}, tracer.API(hooks.api(api)), permits, hooks.ledger(q))
	defer h.Close()
	// Known before the first call is made.
	hold, err := q.Hold(ctx)
	if err != nil {
		return err
	}
	h.SetHold(hold)

	checks = append(checks, web.Check{Name: "connection", Fn: q.Connected}, web.Check{Name: "consumers", Fn: q.Consuming}, web.Check{Name: "streams", Fn: q.Intact},
		web.Check{Name: "credentials", Fn: h.Credentials}, web.Check{Name: "hold", Fn: h.Held})
	if c.IngressListen != "" {
		c.Ingress.Registerer, c.Ingress.Log = reg, log
		to.Name += " ingress"
		desk, err := webhooks.Open(c.IngressListen, to, c.Ingress, tracer)
		if err != nil {
			return err
		}
		defer desk.Close()
		group.Go(func() error { return desk.Serve(ctx) })
		checks = append(checks, web.Check{Name: "webhooks", Fn: desk.Connected})
	}
	site.Ready(checks...)
	if c.DryRun {
		log.Warn("dry run: every request is answered and none is carried out, now or later")
	}
	log.Info("working", "worker", name, "version", build.Info().Version, "rate", c.Rate, "concurrency", c.Concurrency, "dry_run", c.DryRun)
	self := stop.Worker{
		Worker: name, Version: build.Info().Version, StartedAt: time.Now().UTC(), DryRun: c.DryRun, Simulated: c.Simulate,
		Region: c.Region, Regions: c.Regions, Accounts: api.Accounts(), Endpoint: api.Endpoint(), Rate: c.Rate,
	}
	offList, err := q.Serve(self.Worker, self.Version, func() stop.Worker {
		now := self
		now.InHand, now.Troubles, now.Held, now.Granted = q.InHand(), site.Troubles(), h.HeldAccounts(), permits.Granted()
		return now
	})
	if err != nil {
		return err
	}
	defer offList()
	group.Go(func() error { q.WatchHold(ctx, h.SetHold); return nil })
	group.Go(func() error { h.Audit(ctx); return nil })
	group.Go(func() error { h.Probe(ctx); return nil })
	group.Go(func() error {
		defer context.AfterFunc(ctx, site.Drain)()
		defer site.End()
		w := queue.Worker{Plan: h.Plan, Execute: h.Execute, Follow: h.Follow, GiveUp: h.GiveUp, Serves: api.Serves, Gate: h.Gate, Slots: c.Concurrency}
		return q.Work(ctx, hooks.worker(tracer.Worker(w), q))
	})
	systemd.Tell(getenv, log, systemd.Ready)
	return group.Wait()
}

// newAPI is the client of the real API, or of a simulated one: what tells them
// apart is the endpoint and the credentials, and nothing after this function.
func newAPI(ctx context.Context, c Config, getenv func(string) string, reg prometheus.Registerer, log *slog.Logger) (api *asapi.Client, closeAll func(), err error) {
	closeAll = func() {}
	var accounts map[string]asapi.Account
	if c.Simulate {
		sim, err := startSimulator(log)
		if err != nil {
			return nil, nil, err
		}
		closeAll, c.Endpoint = sim.close, sim.endpoint
		if !c.Embedded() {
			log.Warn("requests on this broker are answered from the simulated API: their groups are not paused")
		}
		accounts = map[string]asapi.Account{stop.DefaultAccount: asapi.Static("simulator", sim.secretID, asapi.Secret(sim.secretKey), "")}
	} else if accounts, err = accountsOf(ctx, c, getenv, log); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	api, err = asapi.New(asapi.Config{
		Endpoint: c.Endpoint, Accounts: accounts, Regions: c.Regions, Concurrency: c.Concurrency, Version: build.Info().Version,
	}, reg, log)
	if err != nil {
		closeAll()
		return nil, nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	closeSimulator := closeAll
	return api, func() { api.Close(); closeSimulator() }, nil
}

// workerName tells processes apart in results and in the broker's listings,
// and results of a rehearsal from real ones.
func workerName(simulated bool) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if simulated {
		host = "simulated-" + host
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}
