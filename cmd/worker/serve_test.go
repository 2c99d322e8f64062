package main

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

func get(s *server, path string) (int, string) {
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	fine := Check{"nats", func() error { return nil }}
	bad := Check{"credentials", func() error { return errors.New("account default:\nAuthFailure") }}
	tests := []struct {
		name   string
		do     func(*server)
		path   string
		status int
		body   string
	}{
		{"alive while starting", func(*server) {}, "/livez", 200, "ok\n"},
		{"not ready while starting", func(*server) {}, "/readyz", 503, "[-]start failed: not over yet\nreadyz check failed\n"},
		{"ready", func(s *server) { s.ready(fine) }, "/readyz", 200, "ok\n"},
		{"healthz is readyz", func(s *server) { s.ready(fine) }, "/healthz", 200, "ok\n"},
		{"verbose", func(s *server) { s.ready(fine) }, "/readyz?verbose", 200, "[+]nats ok\nreadyz check passed\n"},
		{
			"one check fails", func(s *server) { s.ready(fine, bad) }, "/readyz", 503,
			"[+]nats ok\n[-]credentials failed: account default: AuthFailure\nreadyz check failed\n",
		},
		{"a failing check is no matter of life", func(s *server) { s.ready(bad) }, "/livez", 200, "ok\n"},
		{"draining", func(s *server) { s.ready(fine); s.drain() }, "/readyz?verbose", 503, "[-]draining\nreadyz check failed\n"},
		{"alive while draining", func(s *server) { s.drain() }, "/livez", 200, "ok\n"},
		{"index", func(*server) {}, "/", 200, index},
		{"no profiles", func(*server) {}, "/debug/pprof/", 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(prometheus.NewRegistry(), quiet())
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
	registerBuildInfo(reg)
	status, body := get(newServer(reg, quiet()), "/metrics")
	if status != http.StatusOK || !strings.Contains(body, `andon_build_info{goversion="go1.`) {
		t.Errorf("GET /metrics: got %d %s", status, body)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestServe(t *testing.T) {
	l, err := listen("127.0.0.1:0", quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(prometheus.NewRegistry(), quiet())
	done := make(chan error, 1)
	go func() { done <- s.serve(l) }()

	resp, err := http.Get("http://" + l.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "ok\n" {
		t.Errorf("GET /livez: %q", body)
	}

	_, err = listen(l.Addr().String(), quiet())
	if err == nil || !strings.Contains(err.Error(), "--http-listen") {
		t.Errorf("a port in use: got %v, want an error that names --http-listen", err)
	}

	http.DefaultClient.CloseIdleConnections()
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve after close: %v", err)
	}
}
