package asapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// TestMain fails the package when a call, a refresh of credentials or a
// connection outlives its test.
func TestMain(m *testing.M) {
	// A proxy would answer for hosts that do not exist.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// patience is what a call may take that is meant to end by itself.
const patience = 20 * time.Second

// web is Target's region, account and a group and activity of the sample.
var web = stop.Target{
	Account: "default", Region: "ap-guangzhou",
	AutoScalingGroupID: "asg-shopweb1", RefreshActivityID: "asr-runweb01",
}

func simulated() Account {
	return Static("simulator", simulator.SampleSecretID, simulator.SampleSecretKey, "")
}

// newClient is a client of the endpoint, closed at the end of the test.
func newClient(t testing.TB, endpoint string, change ...func(*Config)) *Client {
	t.Helper()
	conf := Config{
		Endpoint: endpoint, Accounts: map[string]Account{"default": simulated()},
		Timeout: patience, Version: "1.2.3",
	}
	for _, c := range change {
		c(&conf)
	}
	client, err := New(conf, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func timeout(d time.Duration) func(*Config) { return func(c *Config) { c.Timeout = d } }

func account(a Account) func(*Config) {
	return func(c *Config) { c.Accounts = map[string]Account{"default": a} }
}

// newSimulator serves the built-in scenario, without a quota.
func newSimulator(t testing.TB, change ...func(*simulator.Scenario)) (*simulator.Simulator, *httptest.Server) {
	t.Helper()
	sc := simulator.Sample()
	sc.Quota.Off = true
	for _, c := range change {
		c(&sc)
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return sim, server
}

func addFault(t testing.TB, sim *simulator.Simulator, f simulator.Fault) {
	t.Helper()
	if _, err := sim.AddFault(f); err != nil {
		t.Fatal(err)
	}
}

// serve answers calls with the function.
func serve(t testing.TB, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

// says answers every call with the body.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}
}

const accepted = `{"Response":{"RequestId":"req-1"}}`
