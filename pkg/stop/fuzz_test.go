package stop_test

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// headers reads lines of "name: value", as the wire has them.
func headers(lines string) map[string][]string {
	h := make(map[string][]string)
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, ":")
		h[name] = append(h[name], strings.TrimPrefix(value, " "))
	}
	return h
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples(f) {
		var lines []string
		for name, value := range s.Headers {
			lines = append(lines, name+": "+value)
		}
		slices.Sort(lines)
		f.Add([]byte(s.Payload), strings.Join(lines, "\n"), s.Subject)
	}
	for _, r := range rules() {
		if len(r.payload) < 1000 {
			f.Add([]byte(r.payload), "", r.message().Subject)
		}
	}
	f.Add([]byte(structured(`"id":"e","source":"/s"`, oneGroup)), "traceparent: "+trace, "as.refresh.stop.bulk")
	f.Add([]byte(oneGroup), "Ce-SpecVersion: 1.0\nce-id: %65%zz\nCe-Id: x\nce-source: /s\nce-type: as.refresh.stop", "as.refresh.stop.urgentx")
	f.Add([]byte(`{"Of":"deploy-4711","ResumeMode":"CONTINUE"}`), "ce-specversion: 1.0\nce-id: e\nce-source: /s\nce-type: as.refresh.resume", "as.refresh.resume.urgent.team-a")
	f.Add([]byte(strings.Replace(structured(`"id":"e","source":"/s"`, oneGroup), "as.refresh.stop", "as.refresh.resume", 1)), "", "as.refresh.resume.as.refresh.stop")
	f.Add([]byte(same(3)), "", "as.refresh.resume.bulk")
	f.Add([]byte(`{"Region":"ap-seoul","Selector":{"Regions":[],"Tags":{},"Name":"*["},"MaxTargets":1}`), "", stop.SubjectResume)
	f.Add([]byte("[]"), "Content-Type: application/cloudevents-batch+json", "")

	request, result := compile(f, requestSchema), compile(f, resultSchema)
	f.Fuzz(func(t *testing.T, payload []byte, lines, subject string) {
		m := stop.Message{Subject: subject, Data: payload, Header: headers(lines), Stored: stored, Sequence: 7, Delivered: 1}
		r, bad := stop.Decode(m, defaults)
		if !stop.ValidID(r.ID) {
			t.Errorf("the id %q cannot name a result", r.ID)
		}
		if !slices.Contains(stop.Lanes(), r.Lane) || !slices.Contains(stop.Sources(), r.Source) {
			t.Errorf("lane %q and source %q are not in their sets", r.Lane, r.Source)
		}
		m.Delivered++
		m.Header = headers(lines)
		again, badAgain := stop.Decode(m, defaults)
		if diff := cmp.Diff(r, again) + cmp.Diff(bad, badAgain); diff != "" {
			t.Errorf("redelivered it reads otherwise:\n%s", diff)
		}
		if r.Action != stop.ActionOf(subject) || r.Team != stop.TeamOf(subject) {
			t.Errorf("under %q it asks for %s, of the team %q", subject, r.Action, r.Team)
		}
		// Also of what is invalid, only what may be repeated is left.
		if resume := r.Action == stop.ActionResume; r.Of != "" && (!resume || !stop.ValidID(r.Of)) ||
			r.ResumeMode != "" && (!resume || r.ResumeMode != stop.ResumeRetry && r.ResumeMode != stop.ResumeContinue) {
			t.Errorf("%s has the mode %q, of %q", r.Action, r.ResumeMode, r.Of)
		}
		if bad != nil {
			if r.Targets != nil || r.Selector != nil {
				t.Errorf("is invalid and keeps the targets %+v and the selector %+v", r.Targets, r.Selector)
			}
			invalidResult(t, r, bad, func(data []byte) error { return conforms(result, data) })
			return
		}
		checkTargets(t, r)
		m.Header = headers(lines)
		reencode(t, request, m)
		// What Decode allows as it stands, the schema allows.
		if r.Source == stop.SourceJSON && utf8.Valid(payload) {
			if err := conforms(request, payload); err != nil {
				t.Errorf("Decode allows it and the schema does not: %v", err)
			}
		}
	})
}

func checkTargets(t *testing.T, r stop.Request) {
	t.Helper()
	targets := r.Targets
	if !r.Several() {
		targets = []stop.Target{r.Target()}
	}
	if s := r.Selector; s != nil && (r.MaxTargets < 1 || !stop.ValidAccount(s.Account) || slices.ContainsFunc(s.Regions, func(r string) bool { return !stop.ValidRegion(r) })) {
		t.Errorf("the selector %+v is allowed, for %d targets", s, r.MaxTargets)
	}
	if len(targets) > stop.MaxTargets {
		t.Errorf("%d targets are allowed", len(targets))
	}
	seen := make(map[stop.Target]bool)
	for _, target := range targets {
		if seen[target] {
			t.Errorf("the target %+v stands twice", target)
		}
		seen[target] = true
	}
	if r.Selector == nil && r.Of == "" {
		checkNames(t, targets)
	}
	for _, target := range targets {
		if !stop.ValidAccount(target.Account) || !stop.ValidRegion(target.Region) ||
			!strings.HasPrefix(target.AutoScalingGroupID, "asg-") || !safeToken.MatchString(target.AutoScalingGroupID) ||
			target.RefreshActivityID != "" && !safeToken.MatchString(target.RefreshActivityID) {
			t.Errorf("the target %+v is allowed", target)
		}
	}
	for _, text := range []string{r.Reason, r.RequestedBy, r.Incident} {
		if len(text) > stop.MaxTextBytes {
			t.Errorf("a text of %d bytes is allowed", len(text))
		}
	}
	if r.NotAfter.IsZero() || !r.RequestedAt.Equal(stored) {
		t.Errorf("requested at %v, not after %v", r.RequestedAt, r.NotAfter)
	}
}

// invalidResult checks that the result of an invalid request can be stored.
func invalidResult(t *testing.T, r stop.Request, bad *stop.Invalid, fits func([]byte) error) {
	t.Helper()
	h, data, err := stop.Result{
		Request: r.ID, Account: r.Account, Region: r.Region, AutoScalingGroupID: r.AutoScalingGroupID, RefreshActivityID: r.RefreshActivityID,
		Outcome: stop.OutcomeInvalid, Message: bad.Error(), Lane: r.Lane, Reason: r.Reason, RequestedBy: r.RequestedBy, Incident: r.Incident,
		RequestedAt: r.RequestedAt, StartedAt: stored, FinishedAt: stored, Worker: "w", Traceparent: r.Traceparent,
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := fits(data); err != nil {
		t.Errorf("its result %s does not fit the schema: %v", data, err)
	}
	if len(data) > 64<<10 {
		t.Errorf("its result is %d bytes long", len(data))
	}
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("its result has the header %s: %q", name, v)
			}
		}
	}
}

func FuzzSubject(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.Subject, "default", "https://as.intl.tencentcloudapi.com", s.Headers["Nats-Msg-Id"])
	}
	for _, q := range quotas() {
		f.Add("as.refresh.stop.urgentx", q.Account, q.Endpoint, "a.b")
	}
	f.Add("as.refresh.task.a.bulk.r", "*", "https://user:pass@host:1/%zz", ">")
	f.Fuzz(func(t *testing.T, subject, account, endpoint, id string) {
		lane := stop.LaneOf(subject)
		if !slices.Contains(stop.Lanes(), lane) || !slices.Contains(stop.Lanes(), stop.TaskLane(subject)) {
			t.Errorf("%q has a lane that is none", subject)
		}
		if lane != stop.LaneNormal && !strings.HasPrefix(subject+".", stop.RequestSubject(stop.ActionOf(subject), lane)+".") {
			t.Errorf("%q is taken for %s", subject, lane)
		}
		if team := stop.TeamOf(subject); team != "" && !strings.Contains(subject+".", "."+team+".") {
			t.Errorf("%q is taken for one of the team %q", subject, team)
		}
		q := stop.Quota{Account: account, Endpoint: endpoint}
		token := q.Token()
		if !safeToken.MatchString(token) {
			t.Errorf("%+v: %q is not one token", q, token)
		}
		if stop.ValidAccount(account) && !strings.HasPrefix(token, account+"_") {
			t.Errorf("%+v: %q does not hold the account", q, token)
		}
		r, _ := stop.Decode(stop.Message{Subject: subject, Header: map[string][]string{"Nats-Msg-Id": {id}}}, stop.Defaults{})
		for _, l := range stop.Lanes() {
			task := stop.TaskSubject(stop.Task{Request: r.ID, Lane: l, Quota: q})
			if parts := strings.Split(task, "."); len(parts) != 6 || slices.ContainsFunc(parts, func(p string) bool { return !safeToken.MatchString(p) }) {
				t.Errorf("%q is not a subject of six tokens", task)
			}
			if stop.TaskLane(task) != l || !matches(stop.TaskClaim(r.ID), task) || !matches(stop.LaneTasks(token, l), task) {
				t.Errorf("%q is not found again", task)
			}
		}
		// Whatever an account is called, a letter about it can be written.
		if _, err := json.Marshal(stop.Bury(stop.Message{Subject: subject, Header: map[string][]string{account: {endpoint}}}, r.ID, stop.WhyPanic, id)); err != nil {
			t.Error(err)
		}
	})
}

// What the API calls an activity becomes a part of a subject.
func FuzzCallPlace(f *testing.F) {
	for _, region := range []string{"", "ap-guangzhou", "ap-shanghai-fsi", "*", ">", "x", "ap-seoul.asr-a", "ap-\u0000", "\xff"} {
		for _, activity := range []string{"", "asr-runweb01", "asr-", "asr-*", "asr-a.b", "asr-a\r\nb", "asr-" + text(33), "größe", "\xff"} {
			f.Add(region, activity, "ap-seoul", "asr-a")
		}
	}
	f.Fuzz(func(t *testing.T, region, activity, otherRegion, otherActivity string) {
		one, other := callOn(region, activity), callOn(otherRegion, otherActivity)
		checkPlace(t, one)
		if same := one.Target == other.Target; same != (one.Place() == other.Place()) {
			t.Errorf("%+v is at %s, %+v at %s", one.Target, one.Place(), other.Target, other.Place())
		}
	})
}

// Whatever groups a request names, and in whatever order, each target has a
// name, and a subject, of its own.
func FuzzNames(f *testing.F) {
	f.Add("asg-a asg-a asg-a", "as.refresh.stop", "r")
	f.Add("asg-a asg-a2 asg-a asg-2 asg-a2", "as.refresh.resume", "part-1")
	f.Add("asg-1 asg-1 asg-11 asg-1 asg-11", "as.refresh.stop.bulk", "a.b")
	f.Fuzz(func(t *testing.T, groups, subject, id string) {
		var targets []stop.Target
		for i, group := range strings.Split(groups, " ") {
			targets = append(targets, stop.Target{AutoScalingGroupID: group, Region: []string{"ap-seoul", "ap-tokyo"}[i%2]})
		}
		payload, err := json.Marshal(stop.Request{ID: id, Targets: targets})
		if err != nil {
			t.Fatal(err)
		}
		r, bad := stop.Decode(stop.Message{Subject: subject, Data: payload, Stored: stored}, defaults)
		if bad != nil || !r.Several() {
			return
		}
		checkNames(t, r.Targets)
		for n, m := range stop.Names(r.Targets) {
			task := stop.Task{Request: r.ID, Name: m.Name, Lane: r.Lane, Quota: quotas()[0]}
			p := stop.Part{Of: stop.Bulk{Task: task}, Number: n, Quota: task.Quota}
			if stop.IsPart(stop.TaskSubject(task)) || !stop.IsPart(stop.PartSubject(p)) {
				t.Errorf("%s is taken for a part, or %s is not", stop.TaskSubject(task), stop.PartSubject(p))
			}
			if request, name := stop.SplitKey(task.Key()); request != r.ID || name != m.Name {
				t.Errorf("%s is taken apart into %q and %q", task.Key(), request, name)
			}
		}
		task := stop.Task{Request: r.ID, Lane: r.Lane, Quota: quotas()[0]}
		if stop.IsPart(stop.TaskSubject(task)) {
			t.Errorf("%s is taken for a part", stop.TaskSubject(task))
		}
	})
}

// What is allowed as a pattern is one for every name.
func FuzzSelectorName(f *testing.F) {
	for _, pattern := range []string{"", "*", "shop-*", "?*[a-c]", "[^a]", `\\*`, "[", "*[", "[]", `\`, "[a-", "*x*[", "网站-*", "a/*", "\xff"} {
		f.Add(pattern, "shop-web-1")
		f.Add(pattern, "网站/1")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		payload, err := json.Marshal(map[string]any{"Selector": stop.Selector{Name: pattern}, "MaxTargets": 1})
		if err != nil {
			t.Fatal(err)
		}
		r, bad := stop.Decode(bare(string(payload)), defaults)
		if bad != nil {
			if bad.Field != "Selector.Name" && bad.Field != "Selector" || pattern == "" != (bad.Field == "Selector") {
				t.Errorf("%q: %v", pattern, bad)
			}
			if pattern != "" && (stop.Selector{Name: pattern}).Matches(stop.Group{Name: name}) {
				t.Errorf("%q is refused and matches %q", pattern, name)
			}
			return
		}
		want, err := path.Match(r.Selector.Name, name)
		if err != nil {
			t.Errorf("%q is allowed and no pattern for %q", r.Selector.Name, name)
		}
		if got := r.Selector.Matches(stop.Group{Name: name}); got != want {
			t.Errorf("%q matches %q: %t, want %t", r.Selector.Name, name, got, want)
		}
	})
}
