package stop_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func quotas() []stop.Quota {
	const intl = "https://as.intl.tencentcloudapi.com"
	return []stop.Quota{
		{Account: "default", Endpoint: intl},
		{Account: "team-a", Endpoint: intl},
		{Account: "team_a", Endpoint: intl},
		{Account: "Team-a", Endpoint: intl},
		{Account: "default", Endpoint: "https://as.ap-guangzhou.tencentcloudapi.com"},
		{Account: "default", Endpoint: "http://127.0.0.1:8081"},
		{Account: "default", Endpoint: "http://127.0.0.1:8082/path?q=1"},
		{Account: "default", Endpoint: "http://[::1]:8081"},
		{Account: "a", Endpoint: "https://b_c"},
		{Account: "a_b", Endpoint: "https://c"},
		{Account: "default", Endpoint: "not a url.>"},
		{Account: "default", Endpoint: "https://günther.example"},
		{Account: "default", Endpoint: ":"},
		{Account: "*", Endpoint: ">"},
		{},
	}
}

func TestQuotaToken(t *testing.T) {
	seen := make(map[string]stop.Quota)
	for _, q := range quotas() {
		got := q.Token()
		if !safeToken.MatchString(got) {
			t.Errorf("%+v: %q is not one token", q, got)
		}
		// Two quotas under one token would be served under one of them.
		if other, ok := seen[got]; ok {
			t.Errorf("%+v and %+v are both %q", q, other, got)
		}
		seen[got] = q
	}
	for _, row := range []struct {
		q    stop.Quota
		want string
	}{
		{stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"}, "default_as-intl-tencentcloudapi-com"},
		{stop.Quota{Account: "team_a", Endpoint: "https://as.intl.tencentcloudapi.com/"}, "team_a_as-intl-tencentcloudapi-com"},
		{stop.Quota{Account: "default", Endpoint: "http://127.0.0.1:8081"}, "default_127-0-0-1-8081"},
		{stop.Quota{Account: "default", Endpoint: "as.intl.tencentcloudapi.com"}, "default_as-intl-tencentcloudapi-com"},
	} {
		if got := row.q.Token(); got != row.want {
			t.Errorf("%+v: got %s, want %s", row.q, got, row.want)
		}
	}
}

// A task and its history outlive the worker that wrote them.
func TestTaskAndHistoryAreReadAsWritten(t *testing.T) {
	task := stop.Task{
		Request: "r", Sequence: 7, Name: "asg-a", Action: stop.ActionResume, Mode: stop.ResumeContinue, Strict: true, Target: stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"},
		Lane: stop.LaneBulk, Quota: stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"},
		Reason: "x", RequestedBy: "y", Incident: "z", Traceparent: trace, DryRun: true, AllowRollback: true,
		RequestedAt: stored, NotAfter: stored.Add(time.Minute), StartedAt: stored.Add(1),
		Seen:   &stop.Activity{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a", ActivityType: stop.TypeRollback, Status: stop.StatusRunning, CreatedTime: stored},
		SeenAt: stored.Add(2), Unread: true,
	}
	roundTrip(t, task)
	roundTrip(t, stop.Task{})
	roundTrip(t, stop.History{})
	roundTrip(t, stop.History{
		Attempts: 1, Unknown: 2, Reads: 3, CalledAt: stored, Activity: "asr-a", Clear: 12,
		Last: &stop.Answer{Class: stop.ClassTransient, Code: "InternalError", Message: "m", RequestID: "q", Unsent: true},
	})

	// Its place in the bucket is not part of a history.
	got, err := json.Marshal(stop.History{Key: "k", Revision: 9})
	if err != nil || string(got) != "{}" {
		t.Errorf("got %s (%v)", got, err)
	}
}

func roundTrip[V any](t *testing.T, v V) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var again V
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, again); diff != "" {
		t.Errorf("%T written and read again (-before +after):\n%s", v, diff)
	}
}

func TestLanesInTheirOrder(t *testing.T) {
	if diff := cmp.Diff([]stop.Lane{"urgent", "normal", "bulk"}, stop.Lanes()); diff != "" {
		t.Errorf("lanes (-want +got):\n%s", diff)
	}
	for i, lane := range stop.Lanes() {
		for j, other := range stop.Lanes() {
			if got := lane.Before(other); got != (i < j) {
				t.Errorf("%s before %s: %t", lane, other, got)
			}
		}
	}
}

func TestActionsAreClosed(t *testing.T) {
	want := []string{"StopInstanceRefresh", "ResumeInstanceRefresh", "DescribeRefreshActivities", "DescribeAutoScalingGroups"}
	if diff := cmp.Diff(want, stop.Actions()); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestVerdictFinal(t *testing.T) {
	var (
		tasks   = []stop.Task{{}}
		letters = []stop.DeadLetter{{}}
		results = []stop.Result{{}}
		parts   = []stop.Part{{}}
	)
	// Every combination: nothing but a settled or stored end may be final,
	// and nothing that wants to come again is.
	for bits := range 512 {
		has := func(bit int) bool { return bits&(1<<bit) != 0 }
		var v stop.Verdict
		if has(0) {
			v.Tasks = tasks
		}
		if has(1) {
			v.DeadLetters = letters
		}
		if has(2) {
			v.Results = results
		}
		v.Settled = has(3)
		if has(4) {
			v.Retry = time.Second
		}
		if has(5) {
			v.History = &stop.History{}
		}
		if has(6) {
			v.Bulk = &stop.Bulk{}
		}
		if has(7) {
			v.Parts = parts
		}
		if has(8) {
			v.Call = &stop.Call{}
		}
		want := !has(4) && (has(0) || has(1) || has(2) || has(3) || has(6) || has(7))
		if got := v.Final(); got != want {
			t.Errorf("%+v: final %t, want %t", v, got, want)
		}
	}
	for name, row := range map[string]struct {
		v    stop.Verdict
		want bool
	}{
		"the zero verdict comes again":           {stop.Verdict{}, false},
		"history alone comes again":              {stop.Verdict{History: &stop.History{}}, false},
		"a call alone comes again":               {stop.Verdict{Call: &stop.Call{}}, false},
		"a bulk of nothing has its summary":      {stop.Verdict{Bulk: &stop.Bulk{}}, true},
		"no parts are nothing":                   {stop.Verdict{Parts: []stop.Part{}}, false},
		"the shortest retry":                     {stop.Verdict{Settled: true, Retry: 1}, false},
		"backoff's Stop is no delay":             {stop.Verdict{Settled: true, Retry: -1}, true},
		"backoff's Stop with nothing to store":   {stop.Verdict{Retry: -1}, false},
		"empty lists are nothing":                {stop.Verdict{Tasks: []stop.Task{}, Results: []stop.Result{}}, false},
		"a dead letter and a result, as a whole": {stop.Verdict{DeadLetters: letters, Results: results}, true},
	} {
		if got := row.v.Final(); got != row.want {
			t.Errorf("%s: final %t, want %t", name, got, row.want)
		}
	}
}

func TestStatus(t *testing.T) {
	type facts struct{ Paused, Ended, Live bool }
	for status, want := range map[stop.Status]facts{
		"INIT":         {Live: true},
		"RUNNING":      {Live: true},
		"FAILED_PAUSE": {Live: true, Paused: true},
		"AUTO_PAUSE":   {Live: true, Paused: true},
		"MANUAL_PAUSE": {Live: true, Paused: true},
		"SUCCESSFUL":   {Ended: true},
		"FAILED":       {Ended: true},
		"CANCELLED":    {Ended: true},
		// A word that the API learns later is not known to be over.
		"ROLLING":      {},
		"":             {},
		"manual_pause": {},
	} {
		got := facts{Paused: status.Paused(), Ended: status.Ended()}
		for _, s := range stop.LiveStatuses() {
			got.Live = got.Live || s == status
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", status, diff)
		}
	}
	// One filter of DescribeRefreshActivities takes five values.
	if n := len(stop.LiveStatuses()); n > 5 {
		t.Errorf("%d live statuses do not fit into one filter", n)
	}
}

func TestClassesAreClosed(t *testing.T) {
	want := []stop.Class{"ok", "throttled", "transient", "conflict", "not_found", "credential", "caller"}
	if diff := cmp.Diff(want, stop.Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	for _, c := range stop.Classes() {
		if got, want := (stop.Answer{Class: c}).OK(), c == "ok"; got != want {
			t.Errorf("%s: OK is %t, want %t", c, got, want)
		}
	}
	if (stop.Answer{}).OK() {
		t.Error("an answer that nobody classified is taken for a yes")
	}
}
