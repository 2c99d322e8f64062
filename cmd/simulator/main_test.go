package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunExitCodes(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("Grups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"help is no failure", []string{"--help"}, 0, "--listen"},
		{"unknown flag", []string{"--nope"}, 2, "unknown flag"},
		{"argument", []string{"serve"}, 2, `unexpected argument "serve"`},
		{"listen without port", []string{"--listen", "here"}, 2, "--listen"},
		{"fewer than no groups", []string{"--more-groups", "-1"}, 2, "--more-groups"},
		{"no such file", []string{"--scenario", broken + "x"}, 2, "no such file"},
		{"misspelt field", []string{"--scenario", broken}, 2, "Grups"},
		{"address that cannot be had", []string{"--listen", "192.0.2.1:0"}, 1, "192.0.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := run(t.Context(), tt.args, io.Discard, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit %d and %q, want %d and %q", code, stderr.String(), tt.code, tt.stderr)
			}
		})
	}
}

func TestRunPrintsAScenarioThatLoads(t *testing.T) {
	var stdout bytes.Buffer
	if code := run(t.Context(), []string{"--print-scenario"}, &stdout, io.Discard); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	if _, err := simulator.Decode(&stdout); err != nil {
		t.Errorf("the printed scenario does not load: %s", err)
	}
}

func TestRunServesUntilStopped(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		control bool
	}{
		{"loopback has control", nil, true},
		{"control can be switched off", []string{"--control=false"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			r, w := io.Pipe()
			code := make(chan int, 1)
			go func() {
				code <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, tt.args...), w, io.Discard)
				w.Close()
			}()
			base := regexp.MustCompile(`http://[0-9.:]+[0-9]`).FindString(readUntil(t, r, "worker --endpoint"))
			go func() { _, _ = io.Copy(io.Discard, r) }()

			if got := get(t, base+"/_sim/arrivals"); strings.HasPrefix(got, "[") != tt.control {
				t.Errorf("GET /_sim/arrivals answers %q, want control %v", got, tt.control)
			}
			stop()
			select {
			case got := <-code:
				if got != exitOK {
					t.Errorf("exit %d after a stop", got)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still running ten seconds after the stop")
			}
		})
	}
}

func readUntil(t *testing.T, r io.Reader, mark string) string {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(all.String(), mark) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("output ended: %s\n%s", err, all.String())
		}
	}
	return all.String()
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
