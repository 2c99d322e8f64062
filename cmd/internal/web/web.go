// Package web serves the health of a process and its metrics. It answers for what the
// process says of itself, and never asks anybody else.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Check is one condition of readiness. Fn says why the condition does not
// hold, or nil; it answers at once and may be called from any goroutine.
type Check struct {
	Name string
	Fn   func() error
}

// Server answers for the health of the process and shows its metrics. It is
// alive before it is ready: it serves while the parts it reports on are still
// being made.
type Server struct {
	http     *http.Server
	index    string
	draining atomic.Bool

	mu      sync.Mutex
	checks  []Check // by mu
	started bool    // by mu
}

// paths are what every process serves.
const paths = `
/livez           is the process alive
/readyz          does it take requests; ?verbose names each check
/metrics         Prometheus metrics
`

// New makes a server that is not ready until [Server.Ready]. The name is what it calls
// itself, reg has the metrics that it shows, its own among them.
func New(name string, reg *prometheus.Registry, log *slog.Logger) *Server {
	s := &Server{index: name + "\n" + paths}
	reg.MustRegister(readiness{s})
	errs := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, s.index) })
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /healthz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// One broken collector must not blind the rest.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      errs,
		// Collecting asks the broker: scrapers share one answer, and one that
		// does not come is given up.
		CoalesceGather: true,
		Timeout:        8 * time.Second,
	}))
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          errs,
	}
	return s
}

// Listen opens the port by itself, so that one that is taken fails the start.
func Listen(flag, addr string, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s; choose another address with --%s: %w", addr, flag, err)
	}
	log.Info("http listening", "addr", l.Addr().String())
	return l, nil
}

// Serve answers on l until Close; it returns an error when it stops before.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Ready says that the start is over; readiness depends on the checks now.
func (s *Server) Ready(checks ...Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks, s.started = checks, true
}

// Drain makes the server unready for good, while it still serves: the
// shutdown has begun.
func (s *Server) Drain() { s.draining.Store(true) }

// End closes the server when all else is over, so that it still tells of the shutdown
// while that lasts.
func (s *Server) End() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // what is still being answered then is cut
}

// Close lets requests that are being answered end, as long as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
		return fmt.Errorf("stop serving HTTP: %w", err)
	}
	return nil
}

// state is what readiness depends on, and whether the start is over. The checks are run
// without the lock.
func (s *Server) state() (checks []Check, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checks, s.started
}

// readyz is written as Kubernetes writes it: the status code counts, the list
// is for people.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	report, ok := s.report()
	_, verbose := r.URL.Query()["verbose"]
	switch {
	case !ok:
		plain(w, http.StatusServiceUnavailable, report+"readyz check failed")
	case verbose:
		plain(w, http.StatusOK, report+"readyz check passed")
	default:
		plain(w, http.StatusOK, "ok")
	}
}

// Troubles are the checks that fail.
func (s *Server) Troubles() []stop.Trouble {
	checks, _ := s.state()
	troubles := []stop.Trouble{}
	for _, c := range checks {
		if err := c.Fn(); err != nil {
			troubles = append(troubles, stop.Trouble{Check: c.Name, Message: oneLine(err)})
		}
	}
	if s.draining.Load() {
		troubles = append(troubles, stop.Trouble{Check: "draining", Message: "the worker is stopping"})
	}
	return troubles
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// report runs the checks.
func (s *Server) report() (string, bool) {
	checks, started := s.state()
	var b strings.Builder
	if s.draining.Load() {
		return "[-]draining\n", false
	}
	if !started {
		return "[-]start failed: not over yet\n", false
	}
	ok := true
	for _, c := range checks {
		if err := c.Fn(); err != nil {
			ok = false
			fmt.Fprintf(&b, "[-]%s failed: %s\n", c.Name, oneLine(err))
			continue
		}
		fmt.Fprintf(&b, "[+]%s ok\n", c.Name)
	}
	return b.String(), ok
}

var readyDesc = prometheus.NewDesc("andon_ready", "1 while a check of readiness passes; start is whether the process has come to its work.", []string{"check"}, nil)

// readiness shows the checks to Prometheus, which does not read /readyz.
type readiness struct{ *Server }

func (r readiness) Describe(ch chan<- *prometheus.Desc) { ch <- readyDesc }

func (r readiness) Collect(ch chan<- prometheus.Metric) {
	checks, started := r.state()
	show := func(check string, passes bool) {
		value := 0.0
		if passes {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, value, check)
	}
	show("start", started)
	for _, c := range checks {
		show(c.Name, c.Fn() == nil)
	}
}

func plain(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.TrimSuffix(body, "\n")+"\n")
}

// RegisterBuildInfo adds the metric that tells dashboards which build runs.
func RegisterBuildInfo(reg prometheus.Registerer) {
	b := build.Info()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "andon_build_info", Help: "Always 1; the labels say what this binary was made from.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion},
	}, func() float64 { return 1 }))
}
