package stop_test

import (
	"encoding/json"
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
			f.Add([]byte(r.payload), "", stop.SubjectStop)
		}
	}
	f.Add([]byte(structured(`"id":"e","source":"/s"`, oneGroup)), "traceparent: "+trace, "as.refresh.stop.bulk")
	f.Add([]byte(oneGroup), "Ce-SpecVersion: 1.0\nce-id: %65%zz\nCe-Id: x\nce-source: /s\nce-type: as.refresh.stop", "as.refresh.stop.urgentx")
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
		if bad != nil {
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
		if lane != stop.LaneNormal && !strings.HasPrefix(subject+".", stop.RequestSubject(lane)+".") {
			t.Errorf("%q is taken for %s", subject, lane)
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
