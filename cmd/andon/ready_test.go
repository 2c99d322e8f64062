package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/test/harness"
)

func TestReadyTellsByItsExitCode(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/readyz?verbose" {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	for _, tt := range []struct {
		name, addr string
		code       int
		says       string
	}{
		{"ready", answers(http.StatusOK, "[+]connection ok\n"), exitReached, "[+]connection ok"},
		{"not ready", answers(http.StatusServiceUnavailable, "[-]connection failed: gone\n"), exitFailed, "[-]connection failed"},
		{"no answer", harness.FreeAddr(t), exitFailed, "refused"},
		{"no address", "a b", exitUsage, `"a b" is no host:port`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"ready", tt.addr}, func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
			if said := stdout.String() + stderr.String(); code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("exit %d and %q, want %d and %q", code, said, tt.code, tt.says)
			}
		})
	}
}
