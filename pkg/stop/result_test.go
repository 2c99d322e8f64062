package stop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func fullResult() stop.Result {
	return stop.Result{
		Request: "deploy-4711", Account: "default", Region: "ap-guangzhou",
		AutoScalingGroupID: "asg-shopweb1", RefreshActivityID: "asr-runweb01",
		Outcome: stop.OutcomeFailed, Status: stop.StatusRunning, Code: "InvalidParameter", Message: "no <such> thing",
		RequestID: "3c140219-cfe9-470e-b241-907877d6fb03", Attempts: 2, Lane: stop.LaneUrgent,
		Reason: "5xx", RequestedBy: "alertmanager", Incident: "INC-1",
		RequestedAt: stored, StartedAt: stored.Add(time.Millisecond), FinishedAt: stored.Add(time.Second + 1),
		Worker: "worker-1", Traceparent: trace,
	}
}

// targetResult is the result of one target of a request that means several.
func targetResult() stop.Result {
	r := fullResult()
	r.Target, r.Outcome, r.Code, r.Message, r.Lane = "asg-shopweb1-2", stop.OutcomeResumed, "", "", stop.LaneBulk
	return r
}

// summaryResult is the result of that request.
func summaryResult() stop.Result {
	return stop.Result{
		Request: "deploy-4711", Outcome: stop.OutcomeDone, Lane: stop.LaneBulk, Reason: "5xx",
		RequestedAt: stored, StartedAt: stored, FinishedAt: stored, Worker: "worker-1",
		Summary: &stop.Summary{Total: 3, Outcomes: map[stop.Outcome]int{stop.OutcomePaused: 2, stop.OutcomeRefused: 1}},
	}
}

func TestKeyOfAResult(t *testing.T) {
	for key, r := range map[string]stop.Result{
		"deploy-4711":                fullResult(),
		"deploy-4711.asg-shopweb1-2": targetResult(),
		"seq-7-a":                    {Request: "seq-7-a"},
	} {
		if got := r.Key(); got != key {
			t.Errorf("got %s, want %s", got, key)
		}
		if got := (stop.Task{Request: r.Request, Name: r.Target}).Key(); got != key {
			t.Errorf("the task is called %s, its result %s", got, key)
		}
		if request, name := stop.SplitKey(key); request != r.Request || name != r.Target {
			t.Errorf("%s is taken apart into %q and %q", key, request, name)
		}
		h, _, err := r.Encode()
		if err != nil || h["ce-id"][0] != key {
			t.Errorf("ce-id is %v, want %s (%v)", h["ce-id"], key, err)
		}
		checkSubject(t, stop.ResultSubject(key), 4+strings.Count(key, "."))
		if got := matches(stop.TargetResults(r.Request), stop.ResultSubject(key)); got != (r.Target != "") {
			t.Errorf("%s is among the results of the targets: %t", key, got)
		}
	}
}

func TestEncodedResultOfATarget(t *testing.T) {
	h, data, err := targetResult().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := h["ce-subject"]; len(got) != 1 || got[0] != "asg-shopweb1" {
		t.Errorf("ce-subject is %v", got)
	}
	if want := `{"Request":"deploy-4711","Target":"asg-shopweb1-2","Account":"default",`; !strings.HasPrefix(string(data), want) {
		t.Errorf("got %s, want it to begin with %s", data, want)
	}
	for _, name := range []string{`"Total"`, `"Outcomes"`} {
		if strings.Contains(string(data), name) {
			t.Errorf("%s has %s, and is of one target", data, name)
		}
	}
	again := targetResult()
	again.Traceparent = ""
	roundTrip(t, again)
}

func TestEncodedSummaryToTheLetter(t *testing.T) {
	const times = `"RequestedAt":"2026-11-23T04:00:00.000000005Z","StartedAt":"2026-11-23T04:00:00.000000005Z","FinishedAt":"2026-11-23T04:00:00.000000005Z","Worker":"worker-1",`
	none := summaryResult()
	none.Summary, none.Message = &stop.Summary{Outcomes: map[stop.Outcome]int{}}, "nothing matches"
	for _, row := range []struct {
		r    stop.Result
		want string
	}{
		{summaryResult(), `{"Request":"deploy-4711","Outcome":"done","Attempts":0,"Lane":"bulk","Reason":"5xx",` + times + `"Total":3,"Outcomes":{"paused":2,"refused":1}}`},
		{none, `{"Request":"deploy-4711","Outcome":"done","Message":"nothing matches","Attempts":0,"Lane":"bulk","Reason":"5xx",` + times + `"Total":0,"Outcomes":{}}`},
	} {
		h, data, err := row.r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, string(data)); diff != "" {
			t.Errorf("payload (-want +got):\n%s", diff)
		}
		if v, ok := h["ce-subject"]; ok || h["ce-id"][0] != "deploy-4711" {
			t.Errorf("ce-id %v, ce-subject %v: a summary is of no group", h["ce-id"], v)
		}
		roundTrip(t, row.r)
	}
}

func TestEncodedResultToTheLetter(t *testing.T) {
	h, data, err := fullResult().Encode()
	if err != nil {
		t.Fatal(err)
	}
	wantHeader := map[string][]string{
		"ce-specversion":     {"1.0"},
		"ce-id":              {"deploy-4711"},
		"ce-source":          {"/andon/worker-1"},
		"ce-type":            {"as.refresh.stop.result"},
		"ce-time":            {"2026-11-23T04:00:01.000000006Z"},
		"ce-datacontenttype": {"application/json"},
		"ce-subject":         {"asg-shopweb1"},
		"Content-Type":       {"application/json"},
		"traceparent":        {trace},
	}
	if diff := cmp.Diff(wantHeader, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	want := `{"Request":"deploy-4711","Account":"default","Region":"ap-guangzhou",` +
		`"AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-runweb01",` +
		`"Outcome":"failed","Status":"RUNNING","Code":"InvalidParameter","Message":"no \u003csuch\u003e thing",` +
		`"RequestId":"3c140219-cfe9-470e-b241-907877d6fb03","Attempts":2,"Lane":"urgent",` +
		`"Reason":"5xx","RequestedBy":"alertmanager","Incident":"INC-1",` +
		`"RequestedAt":"2026-11-23T04:00:00.000000005Z","StartedAt":"2026-11-23T04:00:00.001000005Z","FinishedAt":"2026-11-23T04:00:01.000000006Z",` +
		`"Worker":"worker-1"}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}

	var again stop.Result
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	again.Traceparent = trace
	if diff := cmp.Diff(fullResult(), again); diff != "" {
		t.Errorf("read again (-before +after):\n%s", diff)
	}
}

// What has no value is left out, except what a reader counts on: Attempts is
// 0 and not missing where no call was made.
func TestEncodedResultOfAnUnreadableRequest(t *testing.T) {
	h, data, err := stop.Result{
		Request: "seq-1-a", Outcome: stop.OutcomeInvalid, Lane: stop.LaneNormal, Message: "the payload is empty",
		RequestedAt: stored, StartedAt: stored, FinishedAt: stored, Worker: "w",
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Request":"seq-1-a","Outcome":"invalid","Message":"the payload is empty","Attempts":0,"Lane":"normal",` +
		`"RequestedAt":"2026-11-23T04:00:00.000000005Z","StartedAt":"2026-11-23T04:00:00.000000005Z","FinishedAt":"2026-11-23T04:00:00.000000005Z","Worker":"w"}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	for _, name := range []string{"ce-subject", "traceparent"} {
		if v, ok := h[name]; ok {
			t.Errorf("%s is %q, and there is none", name, v)
		}
	}
}

func TestEncodedTimes(t *testing.T) {
	r := fullResult()
	r.FinishedAt = stored.In(time.FixedZone("", 8*3600))
	h, _, err := r.Encode()
	if got, want := h["ce-time"][0], "2026-11-23T04:00:00.000000005Z"; err != nil || got != want {
		t.Errorf("ce-time is %s, want %s (%v)", got, want, err)
	}
	r.FinishedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	r.Target = "asg-a"
	if _, _, err := r.Encode(); err == nil || !strings.Contains(err.Error(), r.Key()) {
		t.Errorf("a time beyond RFC 3339: got %v, want an error that names the request and its target", err)
	}
}

// A worker is named by its host or by an operator; neither may end a header.
func TestWorkerNameCannotBreakOutOfItsHeader(t *testing.T) {
	r := fullResult()
	r.Worker = "a b/c\r\nNats-Rollup: all\x00é"
	h, _, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got := h["ce-source"][0]
	if !strings.HasPrefix(got, "/andon/") || strings.ContainsFunc(got, func(c rune) bool { return c <= ' ' || c > '~' }) {
		t.Errorf("ce-source is %q", got)
	}
}

func TestOutcomesAreClosed(t *testing.T) {
	want := []stop.Outcome{
		"paused", "already_paused", "resumed", "would_pause", "would_resume", "conflict",
		"not_found", "refused", "expired", "invalid", "failed", "done",
	}
	if diff := cmp.Diff(want, stop.Outcomes()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]stop.Why{"invalid", "failed", "panic"}, stop.Whys()); diff != "" {
		t.Errorf("whys (-want +got):\n%s", diff)
	}
}

func TestBury(t *testing.T) {
	m := stop.Message{
		Subject: "as.refresh.stop.urgent.team-a", Data: []byte("{broken\x00\xff"), Stored: stored, Sequence: 42, Delivered: 3,
		Header: map[string][]string{
			"ce-id": {"e"}, "traceparent": {trace}, "X-Two": {"a", "b"},
			"Nats-Msg-Id": {"m"}, "Nats-Expected-Last-Sequence": {"1"}, "nats-rollup": {"all"}, "NATS-TTL": {"1s"},
		},
	}
	got := stop.Bury(m, "r", stop.WhyInvalid, "is broken")
	want := stop.DeadLetter{
		Request: "r", Why: stop.WhyInvalid, Message: "is broken", Subject: m.Subject, Data: m.Data, Size: len(m.Data), Sequence: 42, StoredAt: stored,
		Header: map[string][]string{"ce-id": {"e"}, "traceparent": {trace}, "X-Two": {"a", "b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("letter (-want +got):\n%s", diff)
	}
	if got.Truncated() {
		t.Error("says it is truncated and is whole")
	}
	written, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var again stop.DeadLetter
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("written and read again (-before +after):\n%s", diff)
	}
}

func TestBuryATarget(t *testing.T) {
	for key, want := range map[string][2]string{
		"r":                {"r", ""},
		"r.asg-a":          {"r", "asg-a"},
		"r.asg-a-2":        {"r", "asg-a-2"},
		"r.region-ap-a":    {"r", "region-ap-a"},
		"seq-7-dn2ag9osgs": {"seq-7-dn2ag9osgs", ""},
	} {
		d := stop.Bury(bare("{}"), key, stop.WhyFailed, "")
		if got := [2]string{d.Request, d.Target}; got != want {
			t.Errorf("%s: of the request and target %q, want %q", key, got, want)
		}
		d.Header = nil // none and an empty one are written alike
		roundTrip(t, d)
	}
	if data, err := json.Marshal(stop.Bury(bare("{}"), "r", stop.WhyFailed, "")); err != nil || strings.Contains(string(data), `"Target"`) {
		t.Errorf("got %s (%v)", data, err)
	}
}

func TestBuryCapsTheData(t *testing.T) {
	for size, want := range map[int]int{
		0:                         0,
		stop.MaxDeadData:          stop.MaxDeadData,
		stop.MaxDeadData + 1:      stop.MaxDeadData,
		2 * stop.MaxRequestBytes:  stop.MaxDeadData,
		stop.MaxRequestBytes:      stop.MaxDeadData,
		stop.MaxDeadData - 1<<10:  stop.MaxDeadData - 1<<10,
		stop.MaxDeadData/2 + 1<<5: stop.MaxDeadData/2 + 1<<5,
	} {
		d := stop.Bury(bare(text(size)), "r", stop.WhyInvalid, "")
		if len(d.Data) != want || d.Size != size || d.Truncated() != (want < size) {
			t.Errorf("of %d bytes %d are kept, size %d, truncated %t", size, len(d.Data), d.Size, d.Truncated())
		}
	}
}

// A letter that is too long for the broker can never be stored, and its
// message never be settled. A broker's own default for one message is 1 MiB.
func TestBuriedAlwaysFitsIntoAMessage(t *testing.T) {
	// JSON writes "<" in six bytes.
	worst := func(n int) string { return strings.Repeat("<", n) }
	many := make(map[string][]string)
	for i := range 1000 {
		many[fmt.Sprintf("%04d", i)+worst(600)] = []string{worst(600)}
	}
	for name, header := range map[string]map[string][]string{
		"none":               nil,
		"one very long":      {"x": {worst(1 << 20)}},
		"one very long name": {worst(1 << 20): {"x"}},
		"many":               many,
		"many values":        {"x": slices.Repeat([]string{worst(1000)}, 1000)},
		"many empty values":  {"": slices.Repeat([]string{""}, 500_000)},
	} {
		t.Run(name, func(t *testing.T) {
			m := bare(worst(stop.MaxRequestBytes))
			m.Header = header
			d := stop.Bury(m, text(64), stop.WhyPanic, worst(1<<20))
			written, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if len(written) > 1<<20-1<<12 {
				t.Errorf("is %d bytes long", len(written))
			}
			again, err := json.Marshal(stop.Bury(m, text(64), stop.WhyPanic, worst(1<<20)))
			if err != nil || !bytes.Equal(written, again) {
				t.Errorf("buried again it differs (%v)", err)
			}
		})
	}
}

func TestBuryKeepsSmallHeadersBesideLongOnes(t *testing.T) {
	m := with("{", "a"+text(stop.MaxDeadHeader), "x", "ce-id", "e", "ce-subject", text(5000))
	got := stop.Bury(m, "r", stop.WhyInvalid, "").Header
	want := map[string][]string{"ce-id": {"e"}, "ce-subject": {text(stop.MaxTextBytes)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}
