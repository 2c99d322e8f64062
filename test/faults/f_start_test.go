package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-a7c21902/andon/test/harness"
)

// alone runs one worker that is not expected to work.
func alone(t *testing.T, env []string, args ...string) *harness.Process {
	t.Helper()
	return harness.Start(t, harness.Command{
		Name: "worker", Path: harness.Program(t, harness.Module+"/cmd/worker", "hooks"), Args: args,
		Env: append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...),
	})
}

// A configuration that cannot be right is refused at once, in one line that says
// what is wrong with what.
func TestF1TheConfigurationIsWrong(t *testing.T) {
	t.Parallel()
	suite(t)
	row := newRow("F1 configuration missing or contradictory")
	t.Cleanup(func() { row.end(t) })
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "andon.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := []string{"TENCENTCLOUD_SECRET_ID=" + secretID, "TENCENTCLOUD_SECRET_KEY=" + secretKey}
	for _, bad := range []struct {
		name string
		env  []string
		args []string
		says string
	}{
		{"flag that does not exist", keys, []string{"--ratte", "20"}, "--ratte"},
		{"word that is no flag", keys, []string{"run"}, `"run" is not a flag`},
		{"file that does not exist", keys, []string{"--config", "/nonexistent/andon.yaml"}, "/nonexistent/andon.yaml"},
		{"file that is no YAML", keys, []string{"--config", file("rate: [")}, "is not YAML"},
		{"key that does not exist", keys, []string{"--config", file("ratte: 20\n")}, `andon.yaml:1: "ratte" is not a setting`},
		{"the same key twice", keys, []string{"--config", file("rate: 20\nrate: 30\n")}, "stands in line 1 already"},
		{"rate of nothing", keys, []string{"--rate", "0"}, "--rate"},
		{"no room for a call", keys, []string{"--concurrency", "0"}, "--concurrency"},
		{"two brokers", keys, []string{"--nats-url", "nats://127.0.0.1:1", "--nats-context", "prod"}, "--nats-context"},
		{"replicas of one", keys, []string{"--replicas", "3"}, "--replicas"},
		{"endpoint with a path", keys, []string{"--endpoint", "https://as.example.test/v3"}, "as.example.test/v3"},
		{"region that is none", keys, []string{"--region", "../etc"}, "--region"},
		{"address that is none", keys, []string{"--http-listen", "nowhere"}, "--http-listen"},
		{"half of the credentials", keys[:1], nil, "TENCENTCLOUD_SECRET_KEY"},
		{"credentials that are not there", nil, []string{"--config", file("accounts: {default: {credentials-file: /nonexistent/keys}}\n")}, "/nonexistent/keys"},
		{"account of two kinds", nil, []string{"--config", file("accounts: {default: {credentials-file: /k, cvm-role: r}}\n")}, "default"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			p := alone(t, append(slices.Clone(bad.env), "ANDON_HTTP_LISTEN=127.0.0.1:0", "ANDON_NATS_LISTEN=off"), bad.args...)
			code, err := p.Exit(20 * time.Second)
			if err != nil || code != 2 || !strings.Contains(p.Log.String(), bad.says) {
				t.Errorf("code %d, %v; want 2 and %q in:\n%s", code, err, bad.says, p.Log)
			}
			if strings.Contains(p.Log.String(), secretKey) || strings.Contains(p.Log.String(), "goroutine ") {
				t.Errorf("not a line for people:\n%s", p.Log)
			}
		})
		row.injected++
	}
}

// A worker says at its start, and not when the first request comes, that the
// broker refuses something it will need.
func TestF2APermissionIsMissing(t *testing.T) {
	t.Parallel()
	suite(t)
	row := newRow("F2 permission of the broker missing")
	t.Cleanup(func() { row.end(t) })
	var shipped server.Options
	if err := shipped.ProcessConfigString(`authorization {users: [{user: w, password: p, permissions: {include "../../deploy/nats/roles/worker.conf"}}]}`); err != nil {
		t.Fatal(err)
	}
	allowed := shipped.Users[0].Permissions.Publish.Allow
	// These are asked only when the first task of a quota comes, when a request is
	// looked up, or when the broker has left something over; and what others
	// listen to is not tried.
	later := regexp.MustCompile(`^as\.refresh\.(result|dead|progress)\.>$|CONSUMER\.(INFO|CREATE|MSG\.NEXT)\.AS_REFRESH_(TASKS|RESULTS)\.|` +
		`DIRECT\.GET|STREAM\.MSG\.|CONSUMER\.CREATE\.AS_REFRESH_(STOP|RESUME|BULK)\.|CONSUMER\.DELETE\.|` +
		`CONSUMER\.(INFO|CREATE|MSG\.NEXT)\.KV_as_refresh_calls\.|CONSUMER\.INFO\.KV_as_refresh_control\.`)
	api := harness.StartAPI(t, (&world{conf: conf{rate: 20}}).scenario())
	for i, missing := range allowed {
		if later.MatchString(missing) || !full && i%3 != 0 {
			continue
		}
		row.injected++
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			rest := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == missing })
			b := harness.StartBroker(t, harness.BrokerConfig{Nodes: 1, User: "admin", Password: password, Authorization: fmt.Sprintf(
				`{ users: [ {user: admin, password: %q}, {user: worker, password: %q, permissions: { publish: {allow: ["%s"]}, subscribe: {allow: ["_INBOX_w.>"]} } } ] }`,
				password, password, strings.Join(rest, `","`))})
			b.Prepare()
			p := alone(t, []string{
				"NATS_URL=nats://worker:" + password + "@" + b.Nodes[0].Addr, "ANDON_NATS_INBOX_PREFIX=_INBOX_w", "ANDON_ENDPOINT=" + api.URL,
				"ANDON_HTTP_LISTEN=127.0.0.1:0", "TENCENTCLOUD_REGION=" + region, "TENCENTCLOUD_SECRET_ID=" + secretID, "TENCENTCLOUD_SECRET_KEY=" + secretKey,
			})
			code, err := p.Exit(20 * time.Second)
			if err != nil || code != 1 || !strings.Contains(p.Log.String(), strings.TrimRight(missing, "*>")) {
				t.Errorf("code %d, %v; want 1 and the name of what is missing in:\n%s", code, err, p.Log)
			}
		})
	}
}

// Two workers must not write to the same files.
func TestD3TwoWorkersOnOneDirectory(t *testing.T) {
	t.Parallel()
	w := begin(t, "D3 second worker on the same directory", conf{workers: 1, embedded: true, store: harness.DiskDir(t)})
	w.ask(sized(20, 100))
	second := alone(t, w.crew[0].command.Env, append(slices.Clone(w.crew[0].command.Args), "--nats-listen", "off")...)
	w.row.injected++
	if code, err := second.Exit(20 * time.Second); err != nil || code != 1 || !strings.Contains(second.Log.String(), w.store) {
		t.Errorf("a second worker on the store: code %d, %v\n%s", code, err, second.Log)
	}
	w.asker.done()
	w.finish(time.Minute)
}

// Clocks that jump are simulated where time is: no process here has a clock of
// its own.
func TestC2ClocksJump(t *testing.T) {
	t.Parallel()
	if harness.Race {
		t.Skip("the simulations run without the race detector")
	}
	suite(t)
	row := newRow("C2 clocks of broker and workers jump by minutes (simulated time)")
	t.Cleanup(func() { row.end(t) })
	out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "^("+strings.Join(clockTests, "|")+")$", "../../pkg/limiter", "../../pkg/handler").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range clockTests {
		if !strings.Contains(string(out), "--- PASS: "+name) {
			t.Errorf("%s was not run:\n%s", name, out)
		}
	}
	row.injected = strings.Count(string(out), "--- PASS: ")
	row.note = strings.Join(clockTests, ", ")
}

var clockTests = func() []string {
	list := []string{"TestChangedClockOfTheBrokerNeitherBurstsNorStops", "TestClockFindsAChange", "TestANoteOfAnotherClockDelaysNothing"}
	if full {
		list = append(list, "TestWindow")
	}
	return list
}()
