package stop_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestNames(t *testing.T) {
	of := func(group, region, activity string) stop.Target {
		return stop.Target{Account: "default", Region: region, AutoScalingGroupID: group, RefreshActivityID: activity}
	}
	for _, row := range []struct {
		name    string
		targets []stop.Target
		want    []string
	}{
		{"none", nil, []string{}},
		{"one", []stop.Target{of("asg-a", "ap-seoul", "")}, []string{"asg-a"}},
		{"each by its group", []stop.Target{of("asg-b", "ap-seoul", ""), of("asg-a", "ap-seoul", "")}, []string{"asg-b", "asg-a"}},
		{
			"a group in several ways",
			[]stop.Target{of("asg-a", "ap-seoul", ""), of("asg-b", "ap-seoul", ""), of("asg-a", "ap-tokyo", ""), of("asg-a", "ap-seoul", "asr-a")},
			[]string{"asg-a", "asg-b", "asg-a-2", "asg-a-3"},
		},
		// No group is called by the name of another with a number: an id has no "-" after the first.
		{"groups that look like numbers", []stop.Target{of("asg-a", "ap-seoul", ""), of("asg-a2", "ap-seoul", ""), of("asg-a", "ap-tokyo", "")}, []string{"asg-a", "asg-a2", "asg-a-2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			members := stop.Names(row.targets)
			got := make([]string, len(members))
			for i, m := range members {
				got[i] = m.Name
				if m.Target != row.targets[i] || m.Outcome != "" || m.Message != "" {
					t.Errorf("%s is %+v, want the target %+v, not settled", m.Name, m, row.targets[i])
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(members, stop.Names(row.targets)); diff != "" {
				t.Errorf("named again they are called otherwise:\n%s", diff)
			}
		})
	}
}

// As many as one request may mean, of few groups: every name is another, and
// can be a token.
func TestNamesOfVeryMany(t *testing.T) {
	targets := make([]stop.Target, stop.MaxTargets)
	for i := range targets {
		targets[i].AutoScalingGroupID = fmt.Sprintf("asg-%s%d", text(31), i%3)
	}
	checkNames(t, targets)
}

func checkNames(t *testing.T, targets []stop.Target) {
	t.Helper()
	seen := make(map[string]bool, len(targets))
	for _, m := range stop.Names(targets) {
		if seen[m.Name] {
			t.Fatalf("two targets are called %s", m.Name)
		}
		seen[m.Name] = true
		// Execute takes no other name for that of a target.
		if !stop.ValidID(m.Name) || strings.HasPrefix(m.Name, "part-") {
			t.Fatalf("%q cannot be the name of a target", m.Name)
		}
		key := stop.Task{Request: text(64), Name: m.Name}.Key()
		checkSubject(t, stop.ResultSubject(key), 5)
		checkSubject(t, stop.TaskSubject(stop.Task{Request: text(64), Name: m.Name, Lane: stop.LaneBulk, Quota: quotas()[0]}), 7)
	}
}

func part(request string, number int) stop.Part {
	return stop.Part{
		Of:     stop.Bulk{Task: stop.Task{Request: request, Lane: stop.LaneBulk}, Total: 250, Digest: "d"},
		Number: number, Quota: stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"},
	}
}

func TestKeyOfAPart(t *testing.T) {
	p := part("deploy-4711", 12)
	if got, want := p.Key(), "deploy-4711.part-12"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const want = "as.refresh.task.default_as-intl-tencentcloudapi-com.bulk.deploy-4711.part-12"
	if got := stop.PartSubject(p); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if request, name := stop.SplitKey(p.Key()); request != "deploy-4711" || name != "part-12" {
		t.Errorf("is taken apart into %q and %q", request, name)
	}
	if !matches(stop.TaskClaim(p.Key()), want) || !matches(stop.LaneTasks(p.Quota.Token(), stop.LaneBulk), want) ||
		stop.TaskLane(want) != stop.LaneBulk || stop.TaskQuota(want) != p.Quota.Token() {
		t.Errorf("%s is not found again", want)
	}
}

// What is taken for a part and is none gets no result, and what is none of a
// request's doing is what it is called.
func TestIsPart(t *testing.T) {
	q := quotas()[0]
	for _, request := range []string{"r", "part-", "part-0", "part-12", "part-" + text(59), "asg-a", "apart-1"} {
		for _, lane := range stop.Lanes() {
			p := part(request, 3)
			p.Of.Task.Lane = lane
			if subject := stop.PartSubject(p); !stop.IsPart(subject) {
				t.Errorf("%s is not taken for a part", subject)
			}
			for _, name := range []string{"", "asg-part", "asg-a-2"} {
				if subject := stop.TaskSubject(stop.Task{Request: request, Name: name, Lane: lane, Quota: q}); stop.IsPart(subject) {
					t.Errorf("%s is taken for a part", subject)
				}
			}
		}
	}
	for _, subject := range []string{"", "part-1", "as.refresh.task", "as.refresh.task.q.bulk.part-1", "as.refresh.stop.bulk.part-1", "as.refresh.task.q.bulk.r.part-1.x"} {
		if stop.IsPart(subject) {
			t.Errorf("%q is taken for a part", subject)
		}
	}
}

// What a bulk is made of outlives the worker that wrote it.
func TestBulksAreReadAsWritten(t *testing.T) {
	b := stop.Bulk{
		Task: stop.Task{
			Request: "r", Sequence: 7, Action: stop.ActionResume, Mode: stop.ResumeContinue, Strict: true, Lane: stop.LaneBulk,
			Reason: "x", RequestedAt: stored, NotAfter: stored.Add(time.Minute), StartedAt: stored.Add(1),
		},
		Team: "team-a", Total: 101, Digest: "0123456789abcdef",
		Shares: []stop.Share{{Account: "default", Region: "ap-guangzhou", Targets: 100}, {Account: "default", Region: "ap-seoul", Settled: true, Targets: 1}},
	}
	roundTrip(t, b)
	roundTrip(t, stop.Bulk{})
	roundTrip(t, stop.Part{Of: stop.Bulk{Task: b.Task, Total: 101, Digest: "d"}, Number: 1, Quota: quotas()[0]})
	roundTrip(t, []stop.Member{
		{Name: "asg-a", Target: stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}},
		{Name: "region-ap-seoul", Target: stop.Target{Account: "default", Region: "ap-seoul"}, Outcome: stop.OutcomeFailed, Message: "m"},
	})
	roundTrip(t, stop.Progress{
		Request: "r", Action: stop.ActionStop, Lane: stop.LaneBulk, Total: 3, Decided: 2,
		Outcomes: map[stop.Outcome]int{stop.OutcomePaused: 2}, Rate: 19.5, End: stored.Add(time.Second), At: stored,
		Quotas: []stop.QuotaProgress{{Quota: quotas()[0], Total: 3, Decided: 2, Rate: 19.5}},
	})
}

// A program that shows the progress reads it as it is written here.
func TestProgressToTheLetter(t *testing.T) {
	p := stop.Progress{
		Request: "r", Action: stop.ActionStop, Lane: stop.LaneBulk, Total: 3, Outcomes: map[stop.Outcome]int{}, At: stored,
		Quotas: []stop.QuotaProgress{{Quota: stop.Quota{Account: "default", Endpoint: "https://h"}, Total: 3, Decided: 1, Rate: 0.5}},
	}
	const want = `{"Request":"r","Action":"StopInstanceRefresh","Lane":"bulk","Total":3,"Decided":0,"Outcomes":{},"Rate":0,` +
		`"At":"2026-11-23T04:00:00.000000005Z","Quotas":[{"Account":"default","Endpoint":"https://h","Total":3,"Decided":1,"Rate":0.5}]}`
	got, err := json.Marshal(p)
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("progress (-want +got):\n%s (%v)", diff, err)
	}
}
