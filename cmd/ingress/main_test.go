package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noEnv(string) string { return "" }

// startBroker is a broker as the first worker leaves it, and where it listens.
func startBroker(t *testing.T) string {
	t.Helper()
	return startBrokerAt(t, t.TempDir(), "127.0.0.1:0")
}

func startBrokerAt(t *testing.T, dir, addr string) string {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{StoreDir: dir, Listen: addr, AllowTemporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := queue.Open(ctx, queue.Config{
		URL: b.ClientURL(), Name: "test", Replicas: 1, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	return b.ClientURL()
}

// startGuardedBroker is one that lets in nobody who does not know its password.
func startGuardedBroker(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "u", Password: "p", NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	return s.ClientURL()
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "andon.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRunExitCodes(t *testing.T) {
	url := startBroker(t)
	secret := filepath.Join(t.TempDir(), "secret")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help is no failure", []string{"--help"}, exitStopped, []string{"Usage: ingress", "--ingress-listen", "$ANDON_INGRESS_LISTEN", "docs/alerting.md"}},
		{"version", []string{"--version"}, exitStopped, []string{"ingress ", " commit ", " go1"}},
		{"unknown flag", []string{"--nope"}, exitUsage, []string{"unknown flag: --nope", "ingress --help"}},
		{"argument", []string{"serve"}, exitUsage, []string{`"serve"`}},
		{"unknown level", []string{"--log-level", "loud"}, exitUsage, []string{"loud"}},
		{"file that is not there", []string{"--config", secret + ".yaml"}, exitUsage, []string{secret + ".yaml"}},
		{"misspelt key", []string{"--config", file(t, "ingress:\n  taem: sre\n")}, exitUsage, []string{"andon.yaml", "line 2", "taem"}},
		{"rule without a group", []string{"--config", file(t, "ingress: {rules: [{source: tcop}]}\n")}, exitUsage, []string{"rules[0]", "group"}},
		{"template that is none", []string{"--config", file(t, "ingress: {rules: [{group: '{{.Labels'}]}\n")}, exitUsage, []string{"rules[0]", "group"}},
		{"source that there is not", []string{"--config", file(t, "ingress: {sources: {zabbix: {}}}\n")}, exitUsage, []string{"zabbix", "alertmanager"}},
		{"secret that is missing", []string{"--config", file(t, "ingress: {sources: {grafana: {hmac-files: ["+secret+"]}}}\n")}, exitUsage, []string{"grafana", secret}},
		{"address for everybody without sources", []string{"--ingress-listen", "0.0.0.0:0"}, exitUsage, []string{"0.0.0.0:0", "ingress.sources"}},
		{"address without a port", []string{"--ingress-listen", "here"}, exitUsage, []string{"--ingress-listen", "host:port"}},
		{"address for everybody with a source for everybody", []string{"--ingress-listen", "192.0.2.1:0", "--config", file(t, "ingress: {sources: {request: {}}}\n")}, exitUsage, []string{"192.0.2.1", "request takes from everybody"}},
		{"section that is misspelt", []string{"--config", file(t, "ingres: {sources: {request: {}}}\n")}, exitUsage, []string{"misspelt"}},
		{"address that cannot be had", []string{"--ingress-listen", "192.0.2.1:0", "--config", file(t, "ingress: {sources: {request: {bearer-files: ["+file(t, "a secret that is long enough")+"]}}}\n")}, exitFailed, []string{"192.0.2.1"}},
		{"broker that refuses the user", []string{"--nats-url", startGuardedBroker(t)}, exitFailed, []string{"Authorization Violation"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // one that starts after all
			defer cancel()
			var out bytes.Buffer
			usual := []string{"--nats-url", url, "--http-listen", "127.0.0.1:0", "--ingress-listen", "127.0.0.1:0"}
			code := run(ctx, append(usual, tt.args...), noEnv, &out, &out)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in what it says:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestTheEnvironmentIsTheDefault(t *testing.T) {
	var stderr bytes.Buffer
	env := map[string]string{"ANDON_INGRESS_LISTEN": "0.0.0.0:8081"}
	if code := run(t.Context(), nil, func(k string) string { return env[k] }, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "0.0.0.0:8081") {
		t.Errorf("exit %d and %q", code, stderr.String())
	}
}

func TestRunServesUntilStopped(t *testing.T) {
	url, hooks, health := startBroker(t), harness.FreeAddr(t), harness.FreeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log harness.Log
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--nats-url", url, "--ingress-listen", hooks, "--http-listen", health, "--log-format", "text"}, noEnv, io.Discard, &log)
	}()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	harness.Eventually(t, 30*time.Second, func() error {
		select {
		case c := <-code:
			code <- c
			t.Fatalf("it ends by itself, exit %d:\n%s", c, log.String())
		default:
		}
		_, err := ask(client, http.MethodGet, "http://"+health+"/readyz", nil)
		return err
	})

	body, err := os.ReadFile("../../testdata/ingress/alertmanager.json")
	if err != nil {
		t.Fatal(err)
	}
	const id = "alert-36e338859ee5f6607da51c441a77e1e9"
	for range 2 { // it comes again at each repeat_interval
		if said, err := ask(client, http.MethodPost, "http://"+hooks+"/webhook/alertmanager", body); err != nil || !strings.Contains(said, id) {
			t.Errorf("the alert is answered %q: %v", said, err)
		}
	}
	m := only(t, url, "AS_REFRESH_STOP")
	if m.Subject != "as.refresh.stop" || m.Header.Get("Nats-Msg-Id") != id || !strings.Contains(string(m.Data), `"asg-12345"`) {
		t.Errorf("stored is %s %v: %s", m.Subject, m.Header, m.Data)
	}

	said, err := ask(client, http.MethodGet, "http://"+health+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`andon_ingress_requests_total{fate="done",source="alertmanager"} 2`,
		`andon_ingress_alerts_total{fate="stored",source="alertmanager"} 1`,
		`andon_ingress_alerts_total{fate="repeated",source="alertmanager"} 1`,
		"andon_build_info{", "process_start_time_seconds",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}

	stop()
	select {
	case c := <-code:
		if c != exitStopped {
			t.Errorf("exit %d, want %d:\n%s", c, exitStopped, log.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("it does not end:\n%s", log.String())
	}
}

// A broker that is away at the start is waited for, as one that goes away later is.
func TestTheBrokerMayComeLater(t *testing.T) {
	addr, hooks, health := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	var log harness.Log
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--nats-url", "nats://" + addr, "--ingress-listen", hooks, "--http-listen", health, "--log-format", "text"}, noEnv, io.Discard, &log)
	}()
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	body, err := os.ReadFile("../../testdata/ingress/alertmanager.json")
	if err != nil {
		t.Fatal(err)
	}
	post := func() error {
		_, err := ask(client, http.MethodPost, "http://"+hooks+"/webhook/alertmanager", body)
		return err
	}
	harness.Eventually(t, 30*time.Second, func() error {
		if err := post(); err == nil || !strings.Contains(err.Error(), "503") {
			return fmt.Errorf("without a broker the answer is %v", err) //nolint:errorlint // it may be none
		}
		return nil
	})
	startBrokerAt(t, t.TempDir(), addr)
	harness.Eventually(t, 30*time.Second, post)
	stop()
	if c := <-code; c != exitStopped {
		t.Errorf("exit %d, want %d:\n%s", c, exitStopped, log.String())
	}
}

// ask is one request; its error is also an answer that is not 200.
func ask(client *http.Client, method, url string, body []byte) (string, error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: %s", answer.Status, said))
	}
	return string(said), err
}

// only is the one message in a stream.
func only(t *testing.T, url, stream string) *jetstream.RawStreamMsg {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	state := s.CachedInfo().State
	if state.Msgs != 1 {
		t.Fatalf("%s has %d messages, want one", stream, state.Msgs)
	}
	m, err := s.GetMsg(t.Context(), state.FirstSeq)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
