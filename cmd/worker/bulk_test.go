package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// bulk waits for all results of a request for several targets: by the name of
// the target, and the summary.
func (r *rig) bulk(request string, within time.Duration) (map[string]published, published) {
	r.t.Helper()
	targets := make(map[string]published)
	var done published
	r.eventually(within, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range r.results[request] {
			if p.Target == "" {
				done = p
				continue
			}
			targets[p.Target] = p
		}
		switch {
		case done.Request == "":
			return fmt.Errorf("%d results and no summary", len(targets))
		case done.Summary == nil || len(targets) != done.Total:
			return fmt.Errorf("%d results, summary %+v", len(targets), done.Result)
		default:
			return nil
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.results[request]); n != done.Total+1 {
		r.t.Errorf("%d results of %d targets and a summary", n, done.Total)
	}
	counts := make(map[stop.Outcome]int)
	for name, p := range targets {
		counts[p.Outcome]++
		if p.header.Get("ce-id") != request+"."+name || p.header.Get("ce-type") != stop.ResultType {
			r.t.Errorf("headers of %s: %v", name, p.header)
		}
	}
	if done.Outcome != stop.OutcomeDone || !maps.Equal(counts, done.Outcomes) {
		r.t.Errorf("summary %+v of %v", done.Result, counts)
	}
	return targets, done
}

func target(region string, i int) string {
	g, _ := names(i)
	return fmt.Sprintf(`{"Region":%q,"AutoScalingGroupId":%q}`, region, g)
}

func TestABulkHasAResultForEachTarget(t *testing.T) {
	t.Parallel()
	r := newRig(t, 40, func(sc *simulator.Scenario) {
		sc.Activities[1].Status = simulator.ManualPause
		sc.Activities[2].Status = simulator.Successful
		sc.Activities[3].Type = "ROLLBACK"
		sc.Activities = sc.Activities[:38] // two groups without a refresh
	})
	var mu sync.Mutex
	var told []stop.Progress
	if _, err := r.nc.Subscribe("as.refresh.progress.b", func(m *nats.Msg) {
		var p stop.Progress
		if err := json.Unmarshal(m.Data, &p); err != nil {
			t.Error(err)
		}
		mu.Lock()
		told = append(told, p)
		mu.Unlock()
	}); err != nil {
		t.Fatal(err)
	}
	r.work("--rate", "10")
	var list []string
	for i := range 40 {
		list = append(list, target(rigRegion, i))
	}
	list = append(list, list[5], target("ap-tokyo", 0))
	r.publish("as.refresh.stop", `{"Id":"b","Reason":"bad build","Targets":[`+strings.Join(list, ",")+`]}`)
	targets, done := r.bulk("b", 30*time.Second)
	want := map[stop.Outcome]int{stop.OutcomePaused: 35, stop.OutcomeAlreadyPaused: 1, stop.OutcomeNotFound: 4, stop.OutcomeRefused: 1}
	if !maps.Equal(done.Outcomes, want) || done.Total != 41 || done.Lane != stop.LaneBulk || done.Reason != "bad build" || done.AutoScalingGroupID != "" {
		t.Errorf("summary %+v, want %v", done.Result, want)
	}
	if n := r.calls(stop.ActionStop); n != 35 {
		t.Errorf("%d Stops for 35 live refreshes", n)
	}
	if n := r.calls(stop.ActionDescribe); n > 4 {
		t.Errorf("%d readings of two regions", n)
	}
	if g, _ := names(0); targets[g].Region != rigRegion || targets[g+"-2"].Region != "ap-tokyo" || targets[g+"-2"].Outcome != stop.OutcomeNotFound {
		t.Errorf("the group that is meant in two regions: %+v and %+v", targets[g].Result, targets[g+"-2"].Result)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 3 {
		t.Fatalf("told %d times of something that takes three seconds", len(told))
	}
	last, middle := told[len(told)-1], told[1]
	if last.Decided != 41 || last.Total != 41 || !maps.Equal(last.Outcomes, want) || len(last.Quotas) != 1 {
		t.Errorf("at the end: %+v", last)
	}
	if middle.Decided >= 41 || middle.Rate <= 0 || middle.End.Before(middle.At) || middle.End.After(middle.At.Add(10*time.Second)) {
		t.Errorf("in the middle: %+v", middle)
	}
	r.drained(10 * time.Second)
}

func TestASelectorMeansWhatMatchesAndIsLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, func(sc *simulator.Scenario) {
		for i := range sc.Groups {
			sc.Groups[i].Name = fmt.Sprintf("web-%d", i)
			sc.Groups[i].LaunchConfigurationID = "asc-bad"
			sc.Groups[i].Tags = map[string]string{"env": "prod", "n": fmt.Sprint(i)}
		}
		sc.Groups[0].Name = "db-0"
		sc.Groups[1].Tags["env"] = "test"
		sc.Groups[2].LaunchConfigurationID = "asc-good"
		sc.Activities[3].Status = simulator.Successful
		sc.Groups[5].Region = "ap-singapore"
	})
	r.work()
	ask := func(id, selector string, most int) {
		r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":%q,"MaxTargets":%d,"DryRun":true,"Selector":%s}`, id, most, selector))
	}
	for _, row := range []struct {
		id, selector string
		groups       []int
	}{
		{"all", `{"Account":"default"}`, []int{0, 1, 2, 4, 5}},
		{"name", `{"Name":"web-*"}`, []int{1, 2, 4, 5}},
		{"tags", `{"Tags":{"env":"prod"},"Name":"web-*"}`, []int{2, 4, 5}},
		{"launch", `{"LaunchConfigurationId":"asc-bad","Tags":{"env":"prod"}}`, []int{0, 4, 5}},
		{"region", `{"Regions":["ap-singapore"]}`, []int{5}},
		{"nothing", `{"Name":"xyz*"}`, nil},
	} {
		ask(row.id, row.selector, 10)
		targets, done := r.bulk(row.id, 20*time.Second)
		var want []string
		for _, i := range row.groups {
			g, _ := names(i)
			want = append(want, g)
		}
		if got := slices.Sorted(maps.Keys(targets)); !slices.Equal(got, want) || done.Outcomes[stop.OutcomeWouldPause] != len(want) {
			t.Errorf("%s means %v, want %v: %+v", row.id, got, want, done.Result)
		}
	}
	ask("many", `{"Name":"web-*"}`, 3)
	if got := r.result("many", 20*time.Second); got.Outcome != stop.OutcomeRefused || !strings.Contains(got.Message, "means 4 targets, and MaxTargets allows 3") {
		t.Errorf("%+v", got.Result)
	}
	ask("empty", `{}`, 3)
	if got := r.result("empty", 20*time.Second); got.Outcome != stop.OutcomeInvalid {
		t.Errorf("%+v", got.Result)
	}
	if n := r.calls(stop.ActionStop); n != 0 {
		t.Errorf("%d Stops in dry runs and refusals", n)
	}
}

// A thousand alerts about one activity are one Stop, whoever of the fleet takes
// which.
func TestAStormCostsOneStop(t *testing.T) {
	t.Parallel()
	const requests = 1000
	r := newRig(t, 2, func(sc *simulator.Scenario) {
		sc.Quota.Off = false
		sc.Faults = []simulator.Fault{{Kind: simulator.Latency, Delay: 20 * time.Millisecond}}
		sc.Undocumented.DescribeLag = 300 * time.Millisecond
	})
	r.work("--rate", "20")
	r.work("--rate", "20")
	var all []string
	for i := range requests {
		id := fmt.Sprintf("storm-%d", i)
		all = append(all, id)
		g, a := names(0)
		subject, activity := "as.refresh.stop", ""
		if i%3 == 0 {
			subject = "as.refresh.stop.urgent"
		}
		if i%2 == 0 {
			activity = a
		}
		payload := fmt.Sprintf(`{"Id":%q,"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, id, g, activity)
		if _, err := r.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	r.await(60*time.Second, all...)
	if n := r.calls(stop.ActionStop); n != 1 {
		t.Errorf("%d Stops of one activity", n)
	}
	var first string
	for _, id := range all {
		if r.result(id, time.Second).Outcome == stop.OutcomePaused {
			if first != "" {
				t.Errorf("%s and %s are both told that they paused it", first, id)
			}
			first = id
		}
	}
	unnamed := 0
	for _, id := range all {
		got := r.result(id, time.Second)
		if id != first && got.Outcome != stop.OutcomeAlreadyPaused {
			t.Errorf("%s: %+v", id, got.Result)
		}
		if id != first && !strings.Contains(got.Message, "by request "+first) {
			unnamed++
		}
	}
	if first == "" || unnamed > 0 {
		t.Errorf("paused by %q; %d results do not say so", first, unnamed)
	}
}

func TestUndoResumesWhatTheRequestHasPaused(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6, func(sc *simulator.Scenario) { sc.Activities[4].Status = simulator.ManualPause })
	r.work()
	var list []string
	for i := range 5 {
		list = append(list, target(rigRegion, i))
	}
	r.publish("as.refresh.stop", `{"Id":"b","Targets":[`+strings.Join(list, ",")+`]}`)
	r.bulk("b", 20*time.Second)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.sim.SetStatus(activityOf(1), simulator.Running))
	must(r.sim.SetStatus(activityOf(2), simulator.Cancelled))
	must(r.sim.SetStatus(activityOf(3), simulator.AutoPause))
	r.publish("as.refresh.resume", `{"Id":"undo","Of":"b","ResumeMode":"CONTINUE"}`)
	targets, done := r.bulk("undo", 20*time.Second)
	want := []struct {
		outcome stop.Outcome
		status  stop.Status
		says    string
	}{
		{stop.OutcomeResumed, stop.StatusManualPause, "accepted the Resume"},
		{stop.OutcomeConflict, stop.StatusRunning, "is not paused"},
		{stop.OutcomeConflict, stop.StatusCancelled, "has ended"},
		{stop.OutcomeConflict, stop.StatusAutoPause, "stands still by itself"},
		{stop.OutcomeRefused, "", "request b has not paused it"},
	}
	for i, w := range want {
		g, a := names(i)
		if got := targets[g]; got.Outcome != w.outcome || got.Status != w.status || !strings.Contains(got.Message, w.says) || i < 4 && got.RefreshActivityID != a {
			t.Errorf("%s: %+v, want %+v", g, got.Result, w)
		}
	}
	if done.Total != 5 || r.calls(stop.ActionResume) != 1 {
		t.Errorf("summary %+v after %d Resumes", done.Result, r.calls(stop.ActionResume))
	}
	// One target, and what there is nothing to undo of.
	r.ask("one", 5)
	r.result("one", 10*time.Second)
	r.publish("as.refresh.resume.urgent", `{"Id":"undo-one","Of":"one"}`)
	if got := r.result("undo-one", 10*time.Second); got.Outcome != stop.OutcomeResumed || got.Lane != stop.LaneUrgent || got.AutoScalingGroupID != "asg-g0005" {
		t.Errorf("%+v", got.Result)
	}
	r.publish("as.refresh.resume", `{"Id":"undo-again","Of":"one"}`)
	if got := r.result("undo-again", 10*time.Second); got.Outcome != stop.OutcomeConflict || !strings.Contains(got.Message, "was resumed at") || !strings.Contains(got.Message, "by request undo-one") {
		t.Errorf("%+v", got.Result)
	}
	r.publish("as.refresh.resume", `{"Id":"undo-nothing","Of":"never-asked"}`)
	if got := r.result("undo-nothing", 30*time.Second); got.Outcome != stop.OutcomeNotFound {
		t.Errorf("%+v", got.Result)
	}
	r.publish("as.refresh.resume", `{"Id":"by-group","AutoScalingGroupId":"asg-g0003"}`)
	if got := r.result("by-group", 10*time.Second); got.Outcome != stop.OutcomeResumed {
		t.Errorf("a group that is named is resumed also when it paused by itself: %+v", got.Result)
	}
}

func TestAHoldStopsEveryCallAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.work()
	control, err := r.js.KeyValue(t.Context(), stop.BucketControl)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.PutString(t.Context(), stop.ControlHold, `{"Reason":"maintenance","By":"alice"}`); err != nil {
		t.Fatal(err)
	}
	r.eventually(30*time.Second, func() error {
		if status, body := r.get("/readyz?verbose"); status == http.StatusOK || !strings.Contains(body, "maintenance") {
			return fmt.Errorf("readiness is %d: %s", status, body)
		}
		return nil
	})
	if got := r.metric("andon_hold"); got != "1" {
		t.Errorf("andon_hold is %q", got)
	}
	before := len(r.sim.Arrivals())
	r.ask("held", 0)
	r.publish("as.refresh.stop", `{"Id":"bulk","Targets":[`+target(rigRegion, 1)+`,`+target(rigRegion, 2)+`]}`)
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":"late","AutoScalingGroupId":"asg-g0000","NotAfter":%q}`, time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)))
	if got := r.result("late", 20*time.Second); got.Outcome != stop.OutcomeExpired {
		t.Errorf("%+v", got.Result)
	}
	if n := len(r.sim.Arrivals()); n != before {
		t.Errorf("%d calls during the hold", n-before)
	}
	if err := control.Delete(t.Context(), stop.ControlHold); err != nil {
		t.Fatal(err)
	}
	if got := r.result("held", 20*time.Second); got.Outcome != stop.OutcomePaused {
		t.Errorf("%+v", got.Result)
	}
	if _, done := r.bulk("bulk", 20*time.Second); done.Outcomes[stop.OutcomePaused] != 2 {
		t.Errorf("%+v", done.Result)
	}
}

func TestThePolicyRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, func(sc *simulator.Scenario) {
		for i := range sc.Groups {
			sc.Groups[i].Name = fmt.Sprintf("web-%d", i)
		}
	})
	file := filepath.Join(t.TempDir(), "andon.yaml")
	if err := os.WriteFile(file, []byte(`
policy:
  max-groups: 3
  rules:
    "*": {regions: [ap-guangzhou], max-targets: 2}
    team-a: {groups: ["web-[0-2]", asg-g0007], max-targets: 5}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.work("--config", file)
	one := func(id, subject, payload string) published {
		t.Helper()
		r.publish(subject, fmt.Sprintf(`{"Id":%q,%s}`, id, payload))
		return r.result(id, 20*time.Second)
	}
	refused := func(got published, says string) {
		t.Helper()
		if got.Outcome != stop.OutcomeRefused || !strings.HasPrefix(got.Message, "policy") || !strings.Contains(got.Message, says) {
			t.Errorf("%+v, want refused: %s", got.Result, says)
		}
	}
	refused(one("region", "as.refresh.stop", `"Region":"ap-tokyo","AutoScalingGroupId":"asg-g0000"`), "the region ap-tokyo is not allowed")
	refused(one("many", "as.refresh.stop", `"Targets":[`+target(rigRegion, 0)+`,`+target(rigRegion, 1)+`,`+target(rigRegion, 2)+`]`), "at most 2 targets")
	refused(one("group", "as.refresh.stop.urgent.team-a", `"AutoScalingGroupId":"asg-g0003"`), "policy for team-a: the group asg-g0003 is not allowed")
	if got := one("named", "as.refresh.stop.urgent.team-a.x", `"AutoScalingGroupId":"asg-g0007"`); got.Outcome != stop.OutcomePaused {
		t.Errorf("%+v", got.Result)
	}
	r.publish("as.refresh.stop.team-a", `{"Id":"bulk","Targets":[`+target(rigRegion, 2)+`,`+target(rigRegion, 5)+`]}`)
	targets, _ := r.bulk("bulk", 20*time.Second)
	refused(targets["asg-g0005"], "not allowed")
	if targets["asg-g0002"].Outcome != stop.OutcomePaused {
		t.Errorf("%+v", targets["asg-g0002"].Result)
	}
	// Three groups in ten minutes: the fourth is one too many, and one of the
	// three is not counted again.
	if got := one("third", "as.refresh.stop", `"AutoScalingGroupId":"asg-g0004"`); got.Outcome != stop.OutcomePaused {
		t.Errorf("%+v", got.Result)
	}
	refused(one("fourth", "as.refresh.stop", `"AutoScalingGroupId":"asg-g0006"`), "at most 3 distinct groups")
	if err := r.sim.SetStatus(activityOf(4), simulator.Running); err != nil {
		t.Fatal(err)
	}
	if got := one("again", "as.refresh.stop", `"AutoScalingGroupId":"asg-g0004"`); got.Outcome == stop.OutcomeRefused {
		t.Errorf("%+v", got.Result)
	}
}

// Regions that share an endpoint share its queues. One that does not answer
// must not fill them.
func TestAnUnreachableRegionDelaysNobody(t *testing.T) {
	t.Parallel()
	const each = 60
	r := newRig(t, 2*each, func(sc *simulator.Scenario) {
		for i := range each {
			sc.Groups[i].Region = "ap-tokyo"
		}
		sc.Faults = []simulator.Fault{{Kind: simulator.Hang, Match: simulator.Match{Region: "ap-tokyo"}}}
	})
	r.work("--rate", "100")
	var list []string
	for i := range 2 * each {
		region := rigRegion
		if i < each {
			region = "ap-tokyo"
		}
		list = append(list, target(region, i))
	}
	begun := time.Now()
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":"b","NotAfter":%q,"Targets":[%s]}`, begun.Add(14*time.Second).UTC().Format(time.RFC3339Nano), strings.Join(list, ",")))
	r.eventually(30*time.Second, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.results["b"]); n < each {
			return fmt.Errorf("%d results", n)
		}
		return nil
	})
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the region that answers took %v", took)
	}
	targets, done := r.bulk("b", 60*time.Second)
	if done.Outcomes[stop.OutcomePaused] != each || done.Outcomes[stop.OutcomeExpired]+done.Outcomes[stop.OutcomeFailed] != each {
		t.Errorf("%+v", done.Result)
	}
	unexplained := 0
	for _, got := range targets {
		if got.Outcome != stop.OutcomePaused && !strings.Contains(got.Message, "no answer") {
			unexplained++
			t.Logf("%+v", got.Result)
		}
	}
	if unexplained > 0 {
		t.Errorf("%d results do not say why", unexplained)
	}
}
