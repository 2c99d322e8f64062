package web

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func get(s *Server, path string) (int, string) {
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	fine := Check{"nats", func() error { return nil }}
	bad := Check{"credentials", func() error { return errors.New("account default:\nAuthFailure") }}
	tests := []struct {
		name   string
		do     func(*Server)
		path   string
		status int
		body   string
	}{
		{"alive while starting", func(*Server) {}, "/livez", 200, "ok\n"},
		{"not ready while starting", func(*Server) {}, "/readyz", 503, "[-]start failed: not over yet\nreadyz check failed\n"},
		{"ready", func(s *Server) { s.Ready(fine) }, "/readyz", 200, "ok\n"},
		{"healthz is readyz", func(s *Server) { s.Ready(fine) }, "/healthz", 200, "ok\n"},
		{"verbose", func(s *Server) { s.Ready(fine) }, "/readyz?verbose", 200, "[+]nats ok\nreadyz check passed\n"},
		{
			"one check fails", func(s *Server) { s.Ready(fine, bad) }, "/readyz", 503,
			"[+]nats ok\n[-]credentials failed: account default: AuthFailure\nreadyz check failed\n",
		},
		{"a failing check is no matter of life", func(s *Server) { s.Ready(bad) }, "/livez", 200, "ok\n"},
		{"draining", func(s *Server) { s.Ready(fine); s.Drain() }, "/readyz?verbose", 503, "[-]draining\nreadyz check failed\n"},
		{"alive while draining", func(s *Server) { s.Drain() }, "/livez", 200, "ok\n"},
		{"index", func(*Server) {}, "/", 200, "andon worker\n" + paths},
		{"no profiles", func(*Server) {}, "/debug/pprof/", 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New("andon worker", prometheus.NewRegistry(), quiet())
			tt.do(s)
			status, body := get(s, tt.path)
			if status != tt.status || body != tt.body {
				t.Errorf("GET %s: got %d %q, want %d %q", tt.path, status, body, tt.status, tt.body)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	RegisterBuildInfo(reg)
	status, body := get(New("andon worker", reg, quiet()), "/metrics")
	if status != http.StatusOK || !strings.Contains(body, `andon_build_info{goversion="go1.`) {
		t.Errorf("GET /metrics: got %d %s", status, body)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestReadinessIsAMetric(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := New("andon worker", reg, quiet())
	shows := func(want string) {
		t.Helper()
		const help = "# HELP andon_ready 1 while a check of readiness passes; start is whether the process has come to its work.\n# TYPE andon_ready gauge\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(help+want), "andon_ready"); err != nil {
			t.Error(err)
		}
	}
	shows("andon_ready{check=\"start\"} 0\n")
	away := errors.New("the broker is away")
	s.Ready(Check{"connection", func() error { return away }}, Check{"streams", func() error { return nil }})
	shows("andon_ready{check=\"connection\"} 0\nandon_ready{check=\"start\"} 1\nandon_ready{check=\"streams\"} 1\n")
	away = nil
	shows("andon_ready{check=\"connection\"} 1\nandon_ready{check=\"start\"} 1\nandon_ready{check=\"streams\"} 1\n")
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestServe(t *testing.T) {
	l, err := Listen("http-listen", "127.0.0.1:0", quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := New("andon worker", prometheus.NewRegistry(), quiet())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()

	resp, err := http.Get("http://" + l.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "ok\n" {
		t.Errorf("GET /livez: %q", body)
	}

	_, err = Listen("http-listen", l.Addr().String(), quiet())
	if err == nil || !strings.Contains(err.Error(), "--http-listen") {
		t.Errorf("a port in use: got %v, want an error that names --http-listen", err)
	}

	http.DefaultClient.CloseIdleConnections()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve after close: %v", err)
	}
}
