package permissions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

// work starts a worker under a role.
func (b *broker) work(api *harness.API, role string, args ...string) (p *harness.Process, web string) {
	b.t.Helper()
	web = harness.FreeAddr(b.t)
	return harness.Start(b.t, harness.Command{
		Name: "worker as " + role, Path: harness.Program(b.t, harness.Module+"/cmd/worker"),
		Args: append([]string{"--endpoint", api.URL, "--region", "ap-guangzhou", "--http-listen", web}, args...),
		Env: []string{
			"NATS_CONTEXT=" + b.as(role), "HOME=" + b.t.TempDir(),
			"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
		},
	}), web
}

// ready starts a worker, and waits until it is ready.
func (b *broker) ready(api *harness.API, role string, args ...string) *harness.Process {
	b.t.Helper()
	p, web := b.work(api, role, args...)
	isReady(b.t, web)
	return p
}

func isReady(t testing.TB, web string) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() error { return harness.Answers(t.Context(), "http://"+web+"/readyz?verbose") })
}

// andon runs the command line as a role, which must end well, and returns what it
// printed.
func (b *broker) andon(role string, args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, harness.Program(b.t, harness.Module+"/cmd/andon"), args...)
	c.Env = []string{"NATS_CONTEXT=" + b.as(role), "HOME=" + b.t.TempDir(), "TENCENTCLOUD_REGION=ap-guangzhou"}
	out, err := c.CombinedOutput()
	if err != nil {
		b.t.Fatalf("andon %s as %s: %v\n%s", strings.Join(args, " "), role, err, out)
	}
	return string(out)
}

// post has an ingress asked to pause a group.
func post(t testing.TB, ingress, id, group string) (status int, said string) {
	t.Helper()
	body := fmt.Sprintf(`{"Id":%q,"Region":"ap-guangzhou","AutoScalingGroupId":%q}`, id, group)
	harness.Eventually(t, time.Minute, func() error {
		resp, err := http.Post("http://"+ingress+"/v1/stop", "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		status, said = resp.StatusCode, string(text)
		return err
	})
	return status, said
}

func TestTheProgramsWorkUnderTheirRoles(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	api := harness.StartAPI(t, simulator.Sample())

	// A worker may not make its streams; the admin does, by a start of the same.
	early, _ := b.work(api, worker)
	if code, err := early.Exit(time.Minute); err != nil || code != 1 || early.Log.Line(`$JS.API.STREAM.CREATE.AS_REFRESH_STOP`) == "" {
		t.Errorf("a worker without streams: code %d, %v:\n%s", code, err, early.Log)
	}
	first := b.ready(api, admin)
	first.Signal(syscall.SIGTERM)
	if code, err := first.Exit(time.Minute); err != nil || code != 0 {
		t.Errorf("the first start: code %d, %v:\n%s", code, err, first.Log)
	}

	works := b.ready(api, worker)
	b.andon(teamA, "stop", "asg-shopweb1", "--urgent", "--team", "team-a", "--id", "INC-1")
	if said := b.andon(observer, "watch", "INC-1", "-o", "jsonl"); !strings.Contains(said, `"Outcome":"paused"`) {
		t.Errorf("the result of team-a: %s", said)
	}
	if said := b.andon(operator, "resume", "INC-1", "--wait", "-o", "jsonl"); !strings.Contains(said, `"Outcome":"resumed"`) {
		t.Errorf("the undoing: %s", said)
	}
	if said := b.andon(operator, "stop", "--tag", "team=shop", "--max-targets", "5", "--id", "INC-2", "--wait"); !strings.Contains(said, "paused") {
		t.Errorf("a pause of many: %s", said)
	}
	b.andon(operator, "plan", "asg-shopweb1")
	if said := b.andon(observer, "status"); !strings.Contains(said, "ready") {
		t.Errorf("the status: %s", said)
	}

	addr, web := harness.FreeAddr(t), harness.FreeAddr(t)
	takes := harness.Start(t, harness.Command{
		Name: "ingress", Path: harness.Program(t, harness.Module+"/cmd/ingress"), Args: []string{"--ingress-listen", addr, "--http-listen", web},
		Env: []string{"NATS_CONTEXT=" + b.as(ingress), "HOME=" + t.TempDir()},
	})
	isReady(t, web)
	if status, said := post(t, addr, "INC-3", "asg-gamelive"); status/100 != 2 {
		t.Errorf("the ingress answers %d: %s", status, said)
	}
	b.andon(observer, "results", "INC-2")
	harness.Eventually(t, time.Minute, func() error {
		if said := b.andon(observer, "results"); !strings.Contains(said, "INC-3") {
			return errors.New(said)
		}
		return nil
	})

	// The service API: who may ask it is answered by the worker.
	nc := b.connect(t, admin)
	for _, verb := range []micro.Verb{micro.PingVerb, micro.InfoVerb, micro.StatsVerb} {
		answer, err := nc.Request(micro.APIPrefix+"."+verb.String()+".andon", nil, 30*time.Second)
		var said micro.ServiceIdentity
		if err != nil || json.Unmarshal(answer.Data, &said) != nil || said.Name != "andon" {
			t.Errorf("%s: %v, %v", verb, answer, err)
		}
	}
	for _, p := range []*harness.Process{works, takes} {
		if line := p.Log.Line("ermissions "); line != "" {
			t.Errorf("%s was refused something: %s", p.Name, line)
		}
	}
}

// A worker that takes webhooks itself needs what roles/worker.conf has as comments.
func TestAWorkerThatTakesWebhooksNeedsMore(t *testing.T) {
	t.Parallel()
	dir := copied(t)
	b := start(t, dir+"/server.conf", nil)
	b.prepare()
	api := harness.StartAPI(t, simulator.Sample())
	addr := harness.FreeAddr(t)
	b.ready(api, worker, "--ingress-listen", addr)
	if status, said := post(t, addr, "INC-1", "asg-shopweb1"); status != http.StatusServiceUnavailable {
		t.Errorf("without, it answers %d: %s", status, said)
	}
	edit(t, dir+"/roles/worker.conf", func(text string) string { return strings.ReplaceAll(text, `# "as.refresh.`, `"as.refresh.`) })
	b.reload(t)
	harness.Eventually(t, time.Minute, func() error {
		if status, said := post(t, addr, "INC-1", "asg-shopweb1"); status/100 != 2 {
			return fmt.Errorf("with them, it answers %d: %s", status, said)
		}
		return nil
	})
	if said := b.andon(observer, "watch", "INC-1", "-o", "jsonl"); !strings.Contains(said, `"Outcome":"paused"`) {
		t.Errorf("the result: %s", said)
	}
}

// A worker of dry runs asks the API for no more than policy-dry-run.json grants, and
// for all of it.
func TestADryRunNeedsTheSmallerPolicy(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	b.prepare()
	api := harness.StartAPI(t, simulator.Sample())
	b.ready(api, worker, "--dry-run")
	b.andon(operator, "stop", "asg-shopweb1", "--wait")
	b.andon(operator, "stop", "--tag", "team=shop", "--max-targets", "5", "--wait")
	b.andon(operator, "resume", "asg-shopcart", "--wait")
	called := make(map[string]bool)
	for _, a := range api.Sim.Arrivals() {
		called["as:"+a.Action] = true
	}
	if want := granted(t, "policy-dry-run.json"); !maps.Equal(called, want) {
		t.Errorf("a dry run calls %v, and is granted %v", called, want)
	}
}
