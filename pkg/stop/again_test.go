package stop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// under is a message as it stood under another subject.
func under(subject string, m stop.Message) stop.Message { m.Subject = subject; return m }

// stood is the message that a letter keeps.
func stood(d stop.DeadLetter) stop.Message {
	return stop.Message{Subject: d.Subject, Header: d.Header, Data: d.Data, Stored: d.StoredAt, Sequence: d.Sequence, Delivered: 1}
}

// members reads a payload as its members, each to the letter.
func members(t *testing.T, payload []byte) map[string]string {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(payload, &raw); err != nil {
		t.Fatalf("%.200s: %v", payload, err)
	}
	texts := make(map[string]string, len(raw))
	for name, value := range raw {
		var text bytes.Buffer
		if err := json.Compact(&text, value); err != nil {
			t.Fatal(err)
		}
		texts[name] = text.String()
	}
	return texts
}

// checkAgain checks that a message asks for what a letter holds, as a request of
// its own that has its whole life before it.
func checkAgain(t *testing.T, d stop.DeadLetter, m stop.Message, id string) {
	t.Helper()
	want, bad := stop.Decode(stood(d), defaults)
	if bad != nil {
		t.Fatalf("the letter breaks the contract, and is asked for again: %v", bad)
	}
	anew := m
	anew.Stored, anew.Sequence, anew.Delivered = d.StoredAt, d.Sequence, 1
	got, bad := stop.Decode(anew, defaults)
	if bad != nil {
		t.Fatalf("what is asked for again breaks the contract: %v\n%.200s", bad, m.Data)
	}
	want.ID, want.Source, want.NotAfter = id, stop.SourceJSON, d.StoredAt.Add(stop.DefaultLife)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it asks for something else (-want +got):\n%s", diff)
	}
	if !stop.ValidID(id) {
		t.Errorf("the id %q cannot name a result", id)
	}
	header := map[string][]string{"Nats-Msg-Id": {id}}
	if want.Traceparent != "" {
		header["traceparent"] = []string{want.Traceparent}
	}
	if diff := cmp.Diff(header, m.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if m.Subject != d.Subject || got.Action != stop.ActionOf(d.Subject) || got.Lane != want.Lane || got.Team != stop.TeamOf(d.Subject) {
		t.Errorf("it is asked for under %q, in the lane %s; it stood under %q, in the lane %s", m.Subject, got.Lane, d.Subject, want.Lane)
	}
}

func TestALetterIsAskedForAgainAsItWas(t *testing.T) {
	const all = `{
		"Id": "deploy-4711", "Account": "shop", "Region": "ap-seoul", "AutoScalingGroupId": "asg-shopweb1", "RefreshActivityId": "asr-runweb01",
		"Reason": "5xx", "RequestedBy": "alice", "Incident": "INC-1", "NotAfter": "2026-11-23T05:00:00Z", "DryRun": true, "AllowRollback": true
	}`
	event := func(extension, data string) string {
		return `{"specversion":"1.0","type":"as.refresh.stop","id":"e","source":"/s"` + extension + `,` + data + `}`
	}
	binary := func(payload string, pairs ...string) stop.Message {
		return with(payload, append([]string{"ce-specversion", "1.0", "ce-id", "e%201", "ce-source", "/s", "ce-type", "as.refresh.stop"}, pairs...)...)
	}
	for _, row := range []struct {
		name string
		m    stop.Message
		key  string // of what was given up; empty: deploy-4711
		data string // the payload, where that is not all of the message
	}{
		{name: "a bare request", m: bare(all)},
		{name: "a bare request that has neither Id nor region", m: bare(oneGroup)},
		{name: "the identity in a header", m: with(oneGroup, "Nats-Msg-Id", "deploy-4711", "X-Team", "shop")},
		{name: "an empty Id and a zero NotAfter", m: bare(group(`"Id":"","NotAfter":"0001-01-01T00:00:00Z"`))},
		{name: "names that are written with escapes", m: bare(`{"\u0049d":"own","\u004eotAfter":"2026-11-23T05:00:00Z","AutoScalingGroupId":"asg-\u0061"}`)},
		{name: "texts that JSON may write otherwise", m: bare(group(`"Reason":"<5xx> & \u003e\u00fc ü \u2028` + "\u2028" + `","Incident":"\/x\ud800"`))},
		{name: "a text that is no text", m: bare(group(`"Reason":"` + "\xff\xfe" + `"`))},
		{name: "a list of targets", m: bare(`{"Region":"ap-seoul","Targets":[{"AutoScalingGroupId":"asg-a"},{"Account":"b","Region":"ap-tokyo","AutoScalingGroupId":"asg-b","RefreshActivityId":"asr-b"}],"MaxTargets":3}`)},
		{name: "a list of one", m: bare(`{"Targets":[{"AutoScalingGroupId":"asg-a"}]}`)},
		{name: "a selector", m: bare(`{"Selector":{"Account":"shop","Regions":["ap-seoul"],"Tags":{"b":"<1>","a":"","ü":"x"},"Name":"web-*","LaunchConfigurationId":"asc-a"},"MaxTargets":300}`)},
		{name: "a trace", m: with(all, "traceparent", trace)},
		{name: "a trace whose header is spelled otherwise", m: with(all, "Traceparent", trace)},
		{name: "a trace that is none", m: with(all, "traceparent", "x\r\nNats-Rollup: all")},

		{name: "a structured CloudEvent", m: bare(event("", `"data":`+all)), data: all},
		{name: "a structured CloudEvent by its Content-Type", m: with(event("", `"data":`+all), "Content-Type", "application/cloudevents+json; charset=utf-8"), data: all},
		{name: "a structured CloudEvent whose data has no Id", m: bare(event("", `"data":`+oneGroup)), data: oneGroup},
		{name: "a structured CloudEvent with a trace", m: bare(event(`,"traceparent":"`+trace+`"`, `"data":`+all)), data: all},
		{name: "a structured CloudEvent in base64", m: bare(event("", `"data_base64":"`+base64.StdEncoding.EncodeToString([]byte(all))+`"`)), data: all},
		{name: "a binary CloudEvent", m: binary(all, "Content-Type", "application/json")},
		{name: "a binary CloudEvent whose data has no Id", m: binary(oneGroup)},
		{name: "a binary CloudEvent with a trace", m: binary(all, "ce-traceparent", trace)},

		{name: "a resume", m: under("as.refresh.resume", bare(group(`"ResumeMode":"CONTINUE"`)))},
		{name: "an undo of another request", m: under("as.refresh.resume.urgent.team-a", bare(`{"Id":"undo","Of":"deploy-4711","NotAfter":"2026-11-23T05:00:00Z"}`))},
		{
			name: "a CloudEvent that asks to resume", data: all,
			m: under("as.refresh.resume", bare(strings.Replace(event("", `"data":`+all), "as.refresh.stop", "as.refresh.resume", 1))),
		},
		// As pkg/handler writes them: a target of a bulk becomes a request of its own.
		{
			name: "a target of a bulk", key: "deploy-4711.asg-a-2",
			m: under("as.refresh.stop.bulk", with(`{"Id":"deploy-4711-asg-a-2","Account":"default","Region":"ap-seoul","AutoScalingGroupId":"asg-a","NotAfter":"2026-11-23T04:30:00Z"}`, "traceparent", trace)),
		},
		{
			name: "a region of a selector", key: "deploy-4711.region-ap-seoul",
			m: under("as.refresh.stop.bulk.team-a", bare(`{"Id":"deploy-4711-region-ap-seoul","Account":"default","Selector":{"Account":"default","Regions":["ap-seoul"],"Name":"web-*"},"MaxTargets":9,"NotAfter":"2026-11-23T04:30:00Z"}`)),
		},
		{
			name: "a target of an undo", key: "undo.asg-a",
			m: under("as.refresh.resume.bulk", bare(`{"Id":"undo-asg-a","Region":"ap-seoul","AutoScalingGroupId":"asg-a","ResumeMode":"RETRY"}`)),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			key := row.key
			if key == "" {
				key = "deploy-4711"
			}
			d := stop.Bury(row.m, key, stop.WhyFailed, "no luck")
			got, id, err := d.Again(3)
			if err != nil {
				t.Fatal(err)
			}
			checkAgain(t, d, got, id)
			payload := row.m.Data
			if row.data != "" {
				payload = []byte(row.data)
			}
			want := members(t, payload)
			want["Id"] = `"` + id + `"`
			delete(want, "NotAfter")
			if diff := cmp.Diff(want, members(t, got.Data)); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever asks twice for a letter, with whatever version of the program, asks
// once: that needs the same id.
func TestAskedAgainToTheLetter(t *testing.T) {
	m := with(group(`"Reason":"<5xx>","Id":"deploy-4711","NotAfter":"2026-11-23T05:00:00Z"`), "traceparent", trace, "Nats-Msg-Id", "deploy-4711", "X-Team", "shop")
	d := stop.Bury(under("as.refresh.stop.urgent.team-a", m), "deploy-4711", stop.WhyFailed, "no luck")
	before, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	got, id, err := d.Again(17)
	if err != nil {
		t.Fatal(err)
	}
	want := stop.Message{
		Subject: "as.refresh.stop.urgent.team-a",
		Header:  map[string][]string{"Nats-Msg-Id": {"again-17-1c06f3d626a3"}, "traceparent": {trace}},
		Data:    []byte(`{"AutoScalingGroupId":"asg-shopweb1","Id":"again-17-1c06f3d626a3","Reason":"<5xx>"}`),
	}
	if diff := cmp.Diff(want, got); id != "again-17-1c06f3d626a3" || diff != "" {
		t.Errorf("the id is %s, the message (-want +got):\n%s", id, diff)
	}
	if after, err := json.Marshal(d); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the letter itself has changed from\n%s to\n%s (%v)", before, after, err)
	}
}

func TestIdentityOfWhatIsAskedForAgain(t *testing.T) {
	again := func(key string, place uint64) string {
		t.Helper()
		_, id, err := stop.Bury(bare(oneGroup), key, stop.WhyFailed, "").Again(place)
		if err != nil {
			t.Fatal(err)
		}
		if !stop.ValidID(id) {
			t.Errorf("%s at %d: the id %q cannot name a result", key, place, id)
		}
		return id
	}
	longest := text(64) + ".asg-" + text(32) + "-10000"
	seen := make(map[string]string)
	for _, key := range []string{"deploy-4711", "deploy-4711.asg-a", "deploy-4711.asg-a-2", "deploy-4711-asg-a", longest, longest[1:]} {
		// A stream that was made again counts from one again: other letters stand at
		// the same places then.
		for _, place := range []uint64{1, 2, 11, math.MaxUint64} {
			id := again(key, place)
			if other, ok := seen[id]; ok {
				t.Errorf("%s at %d and %s are both asked for again as %s", key, place, other, id)
			}
			seen[id] = key
			if second := again(key, place); second != id {
				t.Errorf("%s at %d is asked for again as %s, and then as %s", key, place, id, second)
			}
		}
	}
}

func TestALetterIsAskedForAgainInItsLane(t *testing.T) {
	for _, row := range []struct {
		subject string
		want    stop.Request
	}{
		{"as.refresh.stop", stop.Request{Action: stop.ActionStop, Lane: stop.LaneNormal}},
		{"as.refresh.stop.team-a", stop.Request{Action: stop.ActionStop, Lane: stop.LaneNormal, Team: "team-a"}},
		{"as.refresh.stop.urgent", stop.Request{Action: stop.ActionStop, Lane: stop.LaneUrgent}},
		{"as.refresh.stop.urgent.team-a", stop.Request{Action: stop.ActionStop, Lane: stop.LaneUrgent, Team: "team-a"}},
		{"as.refresh.stop.bulk.team-a.web", stop.Request{Action: stop.ActionStop, Lane: stop.LaneBulk, Team: "team-a"}},
		{"as.refresh.resume", stop.Request{Action: stop.ActionResume, Lane: stop.LaneNormal}},
		{"as.refresh.resume.urgent.team-a", stop.Request{Action: stop.ActionResume, Lane: stop.LaneUrgent, Team: "team-a"}},
		{"as.refresh.resume.bulk", stop.Request{Action: stop.ActionResume, Lane: stop.LaneBulk}},
	} {
		t.Run(row.subject, func(t *testing.T) {
			m, _, err := stop.Bury(under(row.subject, bare(oneGroup)), "r", stop.WhyFailed, "").Again(1)
			if err != nil {
				t.Fatal(err)
			}
			r, bad := stop.Decode(m, defaults)
			got := stop.Request{Action: r.Action, Lane: r.Lane, Team: r.Team}
			if diff := cmp.Diff(row.want, got); m.Subject != row.subject || bad != nil || diff != "" {
				t.Errorf("it is asked for under %s, invalid: %v, (-want +got):\n%s", m.Subject, bad, diff)
			}
		})
	}
}

// Whatever a letter holds whole is not too long to be asked for again.
func TestTheLongestLetterIsAskedForAgain(t *testing.T) {
	const begin, end = `{"Selector":{"Tags":{"a":"`, `"}},"MaxTargets":1}`
	// "<" may be written in six bytes.
	payload := begin + strings.Repeat("<", stop.MaxDeadData-len(begin)-len(end)) + end
	d := stop.Bury(bare(payload), "deploy-4711", stop.WhyFailed, "")
	m, id, err := d.Again(1)
	if err != nil {
		t.Fatal(err)
	}
	checkAgain(t, d, m, id)
}

func TestLettersThatCannotBeAskedForAgain(t *testing.T) {
	list := many(20_000)
	for _, row := range []struct {
		name string
		m    stop.Message
		says []string
	}{
		{"one of which a part is lost", bare(list), []string{"524288 of ", " bytes are kept"}},
		{"one that is not JSON", bare("{broken\x00\xff"), []string{"cannot be carried out as it is", "not JSON"}},
		{"an empty one", bare(""), []string{"the payload is empty"}},
		{"null", bare("null"), []string{"the payload is null"}},
		{"a list", bare("[" + oneGroup + "]"), []string{"is a JSON array"}},
		{"an unknown field", bare(group(`"Dryrun":true`)), []string{"cannot be carried out as it is", "Dryrun is not a field of a request; did you mean DryRun?"}},
		{"a field that stands twice", bare(group(`"Id":"a","Id":"b"`)), []string{"Id stands twice"}},
		{"no group", bare(`{"Id":"a"}`), []string{"AutoScalingGroupId is required"}},
		{"a stop that says how to resume", bare(group(`"ResumeMode":"RETRY"`)), []string{"ResumeMode is only for requests to resume"}},
		{"a CloudEvent of another type", bare(strings.Replace(structured(`"id":"e","source":"/s"`, oneGroup), "as.refresh.stop", "other", 1)), []string{`type "other" is not a request`}},
		{"a CloudEvent whose data breaks the contract", bare(structured(`"id":"e","source":"/s"`, `{"id":"x"}`)), []string{"did you mean Id?"}},
		// What was put where the workers keep their own would only come back.
		{"a task", under("as.refresh.task.default_host.normal.r", bare(`{"Request":"r"}`)), []string{`"as.refresh.task.default_host.normal.r"`, "no requests"}},
		{"a request among the tasks", under("as.refresh.task.x", bare(oneGroup)), []string{`"as.refresh.task.x"`, "no requests"}},
		{"a request among the bulks", under("as.refresh.bulk.r", bare(oneGroup)), []string{`"as.refresh.bulk.r"`, "no requests"}},
		{"a subject that only begins alike", under("as.refresh.stopped", bare(oneGroup)), []string{`"as.refresh.stopped"`, "no requests"}},
		{"no subject", under("", bare(oneGroup)), []string{`""`, "no requests"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, id, err := stop.Bury(row.m, "deploy-4711", stop.WhyInvalid, "").Again(1)
			if err == nil {
				t.Fatalf("it is asked for again: %.200s", m.Data)
			}
			for _, says := range row.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the error %q does not say %q", err, says)
				}
			}
			if diff := cmp.Diff(stop.Message{}, m); id != "" || diff != "" {
				t.Errorf("with the error comes the id %q and a message (-want +got):\n%s", id, diff)
			}
		})
	}
}

// FuzzAgain: what can be carried out as it stood can be asked for again, and is
// the same but for its identity and its deadline, also when it is given up a
// second time; nothing else can be.
func FuzzAgain(f *testing.F) {
	for _, s := range samples(f) {
		var lines []string
		for name, value := range s.Headers {
			lines = append(lines, name+": "+value)
		}
		slices.Sort(lines)
		f.Add([]byte(s.Payload), strings.Join(lines, "\n"), s.Subject, "deploy-4711", uint64(1))
	}
	for _, r := range rules() {
		if len(r.payload) < 1000 {
			f.Add([]byte(r.payload), "", r.message().Subject, "deploy-4711.asg-a", uint64(7))
		}
	}
	f.Add([]byte(structured(`"id":"e","source":"/s"`, group(`"Reason":"<\u003c>"`))), "traceparent: "+trace, "as.refresh.stop.urgent.team-a", "r", uint64(math.MaxUint64))
	f.Add([]byte(`{"specversion":"1.0","type":"as.refresh.stop","id":"e","source":"/s","data_base64":"`+base64.StdEncoding.EncodeToString([]byte(oneGroup))+`"}`), "", "as.refresh.stop", ".", uint64(0))
	f.Add([]byte(group(`"\u0049d":"x","NotAfter":"2026-11-23T05:00:00Z"`)), "ce-specversion: 1.0\nce-id: e\nce-source: /s\nce-type: as.refresh.resume", "as.refresh.resume.bulk", "a.b.c", uint64(2))
	f.Add([]byte(`{"Of":"deploy-4711","ResumeMode":"CONTINUE"}`), "", "as.refresh.resume.urgent", text(200), uint64(3))
	f.Add([]byte(oneGroup), "", "as.refresh.task.x", "\xff", uint64(4))
	f.Fuzz(func(t *testing.T, payload []byte, lines, subject, key string, place uint64) {
		d := stop.Bury(stop.Message{Subject: subject, Header: headers(lines), Data: payload, Stored: stored, Sequence: 7}, key, stop.WhyFailed, "")
		_, bad := stop.Decode(stood(d), defaults)
		request := strings.HasPrefix(subject+".", stop.SubjectStop+".") || strings.HasPrefix(subject+".", stop.SubjectResume+".")
		m, id, err := d.Again(place)
		if want := bad == nil && request && !d.Truncated(); want != (err == nil) {
			t.Fatalf("under %q, invalid: %v, %d of %d bytes are kept: it is asked for again as %q with the error %v", subject, bad, len(d.Data), d.Size, id, err)
		}
		if err != nil {
			if id != "" || m.Data != nil {
				t.Errorf("with the error %v comes the id %q and the payload %.200q", err, id, m.Data)
			}
			return
		}
		checkAgain(t, d, m, id)
		if _, other, err := d.Again(place + 1); err != nil || other == id {
			t.Errorf("at another place it is asked for again as %q, and here as %q (%v)", other, id, err)
		}
		m.Stored, m.Sequence = stored, 8
		second := stop.Bury(m, id, stop.WhyFailed, "")
		if second.Truncated() {
			return // the new id was longer than the old one
		}
		again, next, err := second.Again(place)
		if err != nil || next == id {
			t.Fatalf("given up again it is asked for as %q, before as %q (%v)", next, id, err)
		}
		checkAgain(t, second, again, next)
		want, got := members(t, m.Data), members(t, again.Data)
		want["Id"] = got["Id"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("given up again it is another request (-want +got):\n%s", diff)
		}
	})
}
