package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// stage is a whole fleet that a real Prometheus watches: a broker, the simulated API,
// two workers, an ingress, and the rules.
type stage struct {
	t       testing.TB
	broker  *harness.Broker
	api     *harness.API
	workers []*member
	ingress *member
	prom    *prom
	post    string // where the ingress takes webhooks

	mu   sync.Mutex
	last int // number of a group that somebody has asked for
}

// member is a process of the fleet, which may be killed and come back to its place.
type member struct {
	*harness.Process

	command harness.Command
	addr    string // where its metrics are
}

const (
	stageRegion = "ap-guangzhou"
	poison      = "the-poison" // in the Reason of a request that crashes its handling
	secretOfWeb = "a-secret-of-this-test-alone"
	workerJob   = "andon"
	ingressJob  = "andon-ingress"
	// broken is the number of a group whose refresh the API refuses to stop for good.
	broken = 1
)

// newStage starts everything, scraped and judged by the rules as often as is said.
func newStage(t testing.TB, rules string, groups int, every time.Duration) *stage {
	t.Helper()
	prometheus := prometheusTool(t, "prometheus")
	sc := simulator.Scenario{Credentials: []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}}}
	sc.More(groups, stageRegion)
	s := &stage{t: t, api: harness.StartAPI(t, sc), broker: harness.StartBroker(t, harness.BrokerConfig{Nodes: 1, Dir: harness.MemoryDir(t)}), last: broken}
	s.broker.Prepare()
	dir := t.TempDir()
	env := []string{"HOME=" + dir, "NATS_URL=" + s.broker.URL()}
	for _, name := range []string{"worker a", "worker b"} {
		addr := harness.FreeAddr(t)
		s.workers = append(s.workers, &member{addr: addr, command: harness.Command{
			Name: name, Path: harness.Program(t, harness.Module+"/cmd/worker", "hooks"),
			Args: []string{"--endpoint", s.api.URL, "--region", stageRegion, "--http-listen", addr},
			Env: append([]string{
				"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
				"ANDON_TEST_PANIC=" + poison, "ANDON_TEST_ACK_WAIT=3s",
			}, env...),
		}})
	}
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "andon.yaml")
	write(t, secret, secretOfWeb+"\n")
	write(t, config, fmt.Sprintf("ingress:\n  sources:\n    alertmanager: {bearer-files: [%q]}\n    grafana: {bearer-files: [%q]}\n", secret, secret))
	addr := harness.FreeAddr(t)
	s.post = harness.FreeAddr(t)
	s.ingress = &member{addr: addr, command: harness.Command{
		Name: "ingress", Path: harness.Program(t, harness.Module+"/cmd/ingress"),
		Args: []string{"--config", config, "--ingress-listen", s.post, "--http-listen", addr}, Env: env,
	}}
	for _, m := range s.all() {
		s.begin(m)
	}
	for _, m := range s.all() {
		s.ready(m)
	}
	s.prom = startPrometheus(t, prometheus, rules, every, map[string][]string{
		workerJob: {s.workers[0].addr, s.workers[1].addr}, ingressJob: {s.ingress.addr},
	})
	return s
}

func (s *stage) all() []*member { return append([]*member{s.ingress}, s.workers...) }

// begin starts a process, for the first time or again.
func (s *stage) begin(m *member) { s.t.Helper(); m.Process = harness.Start(s.t, m.command) }

// ready waits until a process works.
func (s *stage) ready(m *member) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error { return harness.Answers(s.t.Context(), "http://"+m.addr+"/readyz") })
}

// fault puts a fault of the API in force; the function ends it.
func (s *stage) fault(f simulator.Fault) (end func()) {
	s.t.Helper()
	name, err := s.api.Sim.AddFault(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return func() { s.api.Sim.RemoveFault(name) }
}

// fresh is a group that nobody has asked for.
func (s *stage) fresh() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return groupName(s.last)
}

// publish asks for something. While the broker is away nobody can.
func (s *stage) publish(subject string, request map[string]any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	_, err = s.broker.JS.Publish(ctx, subject, data)
	return err
}

// ask is publish where the broker is there.
func (s *stage) ask(subject string, request map[string]any) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error { return s.publish(subject, request) })
}

// one is a request for a group.
func one(group, reason string) map[string]any {
	return map[string]any{"AutoScalingGroupId": group, "Reason": reason}
}

// flow asks for one group after the other, on a lane, until it is ended.
func (s *stage) flow(subject string, every time.Duration) (end func()) {
	return s.flowOf(subject, every, func() map[string]any { return one(s.fresh(), "flow") })
}

// expiring is flow with requests that nobody wants any more after a while.
func (s *stage) expiring(subject string, every, life time.Duration) (end func()) {
	return s.flowOf(subject, every, func() map[string]any {
		request := one(s.fresh(), "soon too late")
		request["NotAfter"] = time.Now().Add(life)
		return request
	})
}

func (s *stage) flowOf(subject string, every time.Duration, next func() map[string]any) (end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = s.publish(subject, next()) // it comes again
			case <-ctx.Done():
				return
			}
		}
	}()
	end = sync.OnceFunc(func() { cancel(); <-done })
	s.t.Cleanup(end)
	return end
}

// bulk asks for so many groups at once.
func (s *stage) bulk(id string, n int) {
	s.t.Helper()
	s.mu.Lock()
	first := s.last + 1
	s.last += n
	s.mu.Unlock()
	s.ask(stop.RequestSubject(stop.ActionStop, stop.LaneBulk), map[string]any{"Id": id, "Targets": targets(first, first+n-1), "Reason": "bad image"})
}

// resume asks for all that was asked to be paused.
func (s *stage) resume() {
	s.t.Helper()
	s.mu.Lock()
	all := targets(broken+1, s.last)
	s.mu.Unlock()
	s.ask("as.refresh.resume", map[string]any{"Targets": all, "Reason": "the image is mended"})
}

// targets are the groups with such numbers.
func targets(from, to int) (all []map[string]string) {
	for n := from; n <= to; n++ {
		all = append(all, map[string]string{"AutoScalingGroupId": groupName(n)})
	}
	return all
}

func groupName(n int) string { return fmt.Sprintf("asg-more%05d", n) }

// alert posts an alert to the ingress as its source does, about a group or about
// nobody's, and returns the status.
func (s *stage) alert(source, secret, group string) (int, error) {
	labels := map[string]string{"alertname": "RefreshUnhealthy", "region": stageRegion}
	if group != "" {
		labels["auto_scaling_group_id"] = group
	}
	body, err := json.Marshal(map[string]any{"status": "firing", "alerts": []any{map[string]any{
		"status": "firing", "labels": labels, "annotations": map[string]string{"summary": "unhealthy"},
		"startsAt": time.Now().UTC().Format(time.RFC3339), "fingerprint": strconv.FormatInt(time.Now().UnixNano(), 16),
	}}})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.post+"/webhook/"+source, strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// hold tells the whole fleet to make no calls; the function releases it.
func (s *stage) hold(reason string) (release func()) {
	s.t.Helper()
	control := func(do func(ctx context.Context) error) {
		harness.Eventually(s.t, time.Minute, func() error {
			ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
			defer cancel()
			return do(ctx)
		})
	}
	control(func(ctx context.Context) error {
		kv, err := s.broker.JS.KeyValue(ctx, stop.BucketControl)
		if err != nil {
			return err
		}
		_, err = kv.PutString(ctx, stop.ControlHold, `{"Reason":"`+reason+`","By":"alice"}`)
		return err
	})
	return func() {
		control(func(ctx context.Context) error {
			kv, err := s.broker.JS.KeyValue(ctx, stop.BucketControl)
			if err != nil {
				return err
			}
			return kv.Delete(ctx, stop.ControlHold)
		})
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// prom is a Prometheus, asked by its HTTP API.
type prom struct {
	t     testing.TB
	url   string
	begun time.Time
}

// prometheusTool is promtool or prometheus, or the end of the test where it cannot be
// had. Service discovery is left out, for not all of its modules can be had everywhere.
func prometheusTool(t testing.TB, name string) string {
	t.Helper()
	path, err := harness.Tool{Package: "github.com/prometheus/prometheus/cmd/" + name, Version: "v0.316.0", Tags: "remove_all_sd"}.Installed(t)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func startPrometheus(t testing.TB, program, rules string, every time.Duration, jobs map[string][]string) *prom {
	t.Helper()
	dir, addr := t.TempDir(), harness.FreeAddr(t)
	config := fmt.Sprintf("global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: %v}\nrule_files: [%q]\nscrape_configs:\n", every, every, every, rules)
	for job, targets := range jobs {
		config += fmt.Sprintf("  - {job_name: %s, static_configs: [{targets: [%s]}]}\n", job, strings.Join(targets, ", "))
	}
	file := filepath.Join(dir, "prometheus.yml")
	write(t, file, config)
	harness.Start(t, harness.Command{
		Name: "prometheus", Path: program,
		Args: []string{"--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr},
		Env:  []string{"HOME=" + dir},
	})
	p := &prom{t: t, url: "http://" + addr, begun: time.Now()}
	harness.Eventually(t, time.Minute, func() error {
		var up struct{ Result []sample }
		if err := p.get("/api/v1/query", url.Values{"query": {"up == 1"}}, &up); err != nil {
			return err
		}
		want := 0
		for _, targets := range jobs {
			want += len(targets)
		}
		if len(up.Result) < want {
			return fmt.Errorf("%d of %d targets are scraped", len(up.Result), want)
		}
		return nil
	})
	return p
}

// sample is a series of an answer, with its values over time.
type sample struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values,omitempty"`
}

// get asks Prometheus and decodes the data of its answer.
func (p *prom) get(path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// between is what an expression was in a span of time.
func (p *prom) between(expr string, from, to time.Time, step time.Duration) ([]sample, error) {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	var found struct{ Result []sample }
	err := p.get("/api/v1/query_range", url.Values{
		"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}, &found)
	return found.Result, err
}

// firing are the alerts that fire, each as its rule is called.
func (p *prom) firing() (map[string]bool, error) {
	var found struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get("/api/v1/alerts", nil, &found); err != nil {
		return nil, err
	}
	all := make(map[string]bool)
	for _, a := range found.Alerts {
		if a.State == "firing" {
			all[ruleName(a.Labels["alertname"], a.Labels)] = true
		}
	}
	return all, nil
}

// fires waits until each of some alerts has fired, at a time or one after the other.
func (p *prom) fires(names ...string) {
	p.t.Helper()
	seen := make(map[string]bool)
	harness.Eventually(p.t, 2*time.Minute, func() error {
		firing, err := p.firing()
		maps.Copy(seen, firing)
		for _, name := range names {
			if err == nil && !seen[name] {
				err = fmt.Errorf("%s does not fire", name)
			}
		}
		return err
	})
	p.t.Logf("%4.0f s: fires: %s", time.Since(p.begun).Seconds(), strings.Join(names, ", "))
}

// resolves waits until alerts are over.
func (p *prom) resolves(names ...string) {
	p.t.Helper()
	harness.Eventually(p.t, 2*time.Minute, func() error {
		firing, err := p.firing()
		for _, name := range names {
			if err == nil && firing[name] {
				err = fmt.Errorf("%s still fires", name)
			}
		}
		return err
	})
	p.t.Logf("%4.0f s: is over: %s", time.Since(p.begun).Seconds(), strings.Join(names, ", "))
}

// parsed is an expression, or the end of the test.
func parsed(t testing.TB, expr string) parser.Expr {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s\n%v", expr, err)
	}
	return e
}
