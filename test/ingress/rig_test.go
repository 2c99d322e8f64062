package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	region = "ap-guangzhou"
	secret = "a-secret-of-this-test-alone"
)

// rig is all that stands between an alert and the API.
type rig struct {
	t      testing.TB
	broker *server.Server
	dir    string // of the broker
	addr   string // of the broker
	api    *harness.API

	ingress    string // where it takes webhooks
	secretFile string
	configFile string
	env        []string // of the worker and the ingress, beside what they need
}

// newRig starts a broker, and the simulated API with groups whose refreshes run.
func newRig(t testing.TB, groups int) *rig {
	t.Helper()
	sc := simulator.Scenario{
		Credentials: []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}},
		Quota:       simulator.Quota{Off: true},
	}
	sc.More(groups, region)
	dir := t.TempDir()
	r := &rig{
		t: t, dir: t.TempDir(), addr: harness.FreeAddr(t), api: harness.StartAPI(t, sc),
		ingress: harness.FreeAddr(t), secretFile: filepath.Join(dir, "secret"), configFile: filepath.Join(dir, "andon.yaml"),
	}
	config := fmt.Sprintf("ingress:\n  rate: 10000\n  sources:\n    alertmanager: {bearer-files: [%q]}\n", r.secretFile)
	for file, text := range map[string]string{r.secretFile: secret + "\n", r.configFile: config} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.startBroker()
	t.Cleanup(func() { r.stopBroker() })
	return r
}

// startBroker starts it, for the first time or with what it had.
func (r *rig) startBroker() {
	r.t.Helper()
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker, err = server.NewServer(&server.Options{
		Host: host, Port: number, NoSigs: true, NoLog: true, JetStream: true, StoreDir: r.dir, JetStreamMaxStore: 16 << 30, SyncAlways: true,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker.Start()
	if !r.broker.ReadyForConnections(10 * time.Second) {
		r.t.Fatal("the broker does not start")
	}
}

// stopBroker ends it and keeps its files.
func (r *rig) stopBroker() { r.broker.Shutdown(); r.broker.WaitForShutdown() }

// work starts a worker, and waits until it is ready.
func (r *rig) work(args ...string) {
	r.t.Helper()
	web := harness.FreeAddr(r.t)
	harness.Start(r.t, harness.Command{
		Name: "worker", Path: harness.Program(r.t, harness.Module+"/cmd/worker"),
		Args: append([]string{"--endpoint", r.api.URL, "--http-listen", web, "--rate", "10000"}, args...),
		Env: append([]string{
			"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
			"HOME=" + r.t.TempDir(), "NATS_URL=nats://" + r.addr,
		}, r.env...),
	})
	answers(r.t, "http://"+web+"/readyz")
}

// listen starts an ingress of its own, which has no credentials of the cloud.
func (r *rig) listen() {
	r.t.Helper()
	web := harness.FreeAddr(r.t)
	harness.Start(r.t, harness.Command{
		Name: "ingress", Path: harness.Program(r.t, harness.Module+"/cmd/ingress"),
		Args: []string{"--config", r.configFile, "--ingress-listen", r.ingress, "--http-listen", web},
		Env:  append([]string{"HOME=" + r.t.TempDir(), "NATS_URL=nats://" + r.addr}, r.env...),
	})
	answers(r.t, "http://"+web+"/readyz")
}

// connect is somebody who looks at the results.
func (r *rig) connect() *queue.Client {
	r.t.Helper()
	c, err := queue.Connect(queue.Config{URL: "nats://" + r.addr, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// results are all there are.
func (r *rig) results(c *queue.Client) (all []stop.Result, err error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	err = c.Results(ctx, queue.Query{}, func(got stop.Result) bool { all = append(all, got); return true })
	return all, err
}

// stops is how many Stops have arrived.
func (r *rig) stops() (n int) {
	for _, a := range r.api.Sim.Arrivals() {
		if a.Action == stop.ActionStop {
			n++
		}
	}
	return n
}

// asked is how many requests the broker has ever stored.
func (r *rig) asked() uint64 {
	r.t.Helper()
	return r.stream(stop.StreamStop).CachedInfo().State.LastSeq
}

// carried is the trace context in the header of a request's result.
func (r *rig) carried(request string) string {
	r.t.Helper()
	m, err := r.stream(stop.StreamResults).GetLastMsgForSubject(r.t.Context(), stop.ResultSubject(request))
	if err != nil {
		r.t.Fatal(err)
	}
	return m.Header.Get("traceparent")
}

func (r *rig) stream(name string) jetstream.Stream {
	r.t.Helper()
	nc, err := nats.Connect("nats://" + r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := js.Stream(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// await is the result of a request.
func (r *rig) await(c *queue.Client, request string) (got stop.Result) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Await(ctx, request, func(one stop.Result) bool { got = one; return false }); err != nil {
		r.t.Fatalf("no result of %s: %v", request, err)
	}
	return got
}

// once checks that there are one Stop and one result, when all that was asked for is
// done.
func (r *rig) once(c *queue.Client) stop.Result {
	r.t.Helper()
	var all []stop.Result
	harness.Eventually(r.t, 30*time.Second, func() error {
		waiting, err := c.Waiting(r.t.Context())
		if err != nil {
			return err
		}
		if all, err = r.results(c); err != nil {
			return err
		}
		if waiting.Unplanned > 0 || len(all) == 0 {
			return fmt.Errorf("%d results, and %d requests wait", len(all), waiting.Unplanned)
		}
		return nil
	})
	if n := r.stops(); n != 1 || len(all) != 1 {
		r.t.Fatalf("%d Stops and %d results, want one of each: %+v", n, len(all), all)
	}
	return all[0]
}

// notification is what Alertmanager posts of an alert about a group that begins to fire.
func notification(fingerprint, group string) string {
	return fmt.Sprintf(`{"receiver":"andon","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"RefreshUnhealthy",`+
		`"auto_scaling_group_id":%q,"region":%q},"annotations":{"summary":"bad refresh"},"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z",`+
		`"generatorURL":"http://prometheus.example/graph","fingerprint":%q}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},`+
		`"externalURL":"http://alertmanager.example","version":"4","groupKey":"{}","truncatedAlerts":0}`,
		group, region, time.Now().UTC().Format(time.RFC3339Nano), fingerprint)
}

// post posts to the ingress, within a trace if it is not empty, and returns the request
// that this has made.
func (r *rig) post(body, traceparent string) (id string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+r.ingress+"/webhook/alertmanager", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if traceparent != "" {
		req.Header.Set("traceparent", traceparent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var said struct{ Requests []string }
	if err := json.Unmarshal(text, &said); err != nil || resp.StatusCode != http.StatusOK || len(said.Requests) != 1 {
		r.t.Fatalf("answered %s: %s", resp.Status, text)
	}
	return said.Requests[0]
}
