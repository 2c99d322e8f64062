package stop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestDefaults(t *testing.T) {
	base := stop.Request{
		ID: "r", Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-shopweb1",
		NotAfter: stored.Add(30 * time.Minute), Action: stop.ActionStop, Lane: stop.LaneNormal, Source: stop.SourceJSON, Sequence: 7, RequestedAt: stored,
	}
	but := func(change func(*stop.Request)) stop.Request { r := base; change(&r); return r }
	for _, row := range []struct {
		name    string
		payload string
		d       stop.Defaults
		want    stop.Request
	}{
		{"account, region and life", group(`"Id":"r"`), defaults, base},
		{"the request's region wins", group(`"Id":"r","Region":"ap-seoul"`), defaults, but(func(r *stop.Request) { r.Region = "ap-seoul" })},
		{"the request's account wins", group(`"Id":"r","Account":"shop"`), defaults, but(func(r *stop.Request) { r.Account = "shop" })},
		{"the request's NotAfter wins", group(`"Id":"r","NotAfter":"2026-11-23T13:00:00.5+08:00"`), defaults, but(func(r *stop.Request) {
			r.NotAfter = time.Date(2026, 11, 23, 5, 0, 0, 500_000_000, time.UTC)
		})},
		// A publisher in Go that does not omit an unset time sends year one.
		{"a zero NotAfter is none", group(`"Id":"r","NotAfter":"0001-01-01T00:00:00Z"`), defaults, base},
		{"the request's dry run", group(`"Id":"r","DryRun":true`), defaults, but(func(r *stop.Request) { r.DryRun = true })},
		{"the worker's dry run", group(`"Id":"r"`), stop.Defaults{Region: "ap-guangzhou", DryRun: true}, but(func(r *stop.Request) { r.DryRun = true })},
		{"the worker's dry run cannot be switched off", group(`"Id":"r","DryRun":false`), stop.Defaults{Region: "ap-guangzhou", DryRun: true}, but(func(r *stop.Request) { r.DryRun = true })},
		{"rollbacks only on purpose", group(`"Id":"r","AllowRollback":true`), defaults, but(func(r *stop.Request) { r.AllowRollback = true })},
		{"a list of one is that one", `{"Id":"r","Targets":[{"AutoScalingGroupId":"asg-shopweb1"}]}`, defaults, base},
		{
			"a list of one with all its fields",
			`{"Id":"r","Account":"x","Region":"ap-seoul","Targets":[{"Account":"shop","Region":"ap-tokyo","AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-a"}]}`,
			defaults, but(func(r *stop.Request) { r.Account, r.Region, r.RefreshActivityID = "shop", "ap-tokyo", "asr-a" }),
		},
		{
			"the request speaks for a list of one", `{"Id":"r","Account":"shop","Region":"ap-seoul","Targets":[{"AutoScalingGroupId":"asg-shopweb1"}]}`,
			defaults, but(func(r *stop.Request) { r.Account, r.Region = "shop", "ap-seoul" }),
		},
		{
			"the request speaks for targets that are silent",
			`{"Id":"r","Account":"shop","Targets":[{"AutoScalingGroupId":"asg-a"},{"Account":"b","Region":"ap-seoul","AutoScalingGroupId":"asg-b"}]}`,
			defaults, but(func(r *stop.Request) {
				r.Account, r.AutoScalingGroupID, r.Lane = "shop", "", stop.LaneBulk
				r.Targets = []stop.Target{
					{Account: "shop", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a"},
					{Account: "b", Region: "ap-seoul", AutoScalingGroupID: "asg-b"},
				}
			}),
		},
		{
			"a list of which one is left stays a list",
			`{"Id":"r","Targets":[{"AutoScalingGroupId":"asg-a"},{"Region":"ap-guangzhou","AutoScalingGroupId":"asg-a"}]}`,
			defaults, but(func(r *stop.Request) {
				r.AutoScalingGroupID, r.Lane = "", stop.LaneBulk
				r.Targets = []stop.Target{{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a"}}
			}),
		},
		{
			"a selector looks everywhere, whatever the worker's region",
			`{"Id":"r","Selector":{"Tags":{"team":"shop"}},"MaxTargets":3}`,
			defaults, but(func(r *stop.Request) {
				r.AutoScalingGroupID, r.Region, r.Lane, r.MaxTargets = "", "", stop.LaneBulk, 3
				r.Selector = &stop.Selector{Account: "default", Tags: map[string]string{"team": "shop"}}
			}),
		},
		{
			"the request speaks for a selector",
			`{"Id":"r","Account":"shop","Region":"ap-tokyo","Selector":{"Name":"web-*"},"MaxTargets":3}`,
			defaults, but(func(r *stop.Request) {
				r.AutoScalingGroupID, r.Account, r.Region, r.Lane, r.MaxTargets = "", "shop", "ap-tokyo", stop.LaneBulk, 3
				r.Selector = &stop.Selector{Account: "shop", Regions: []string{"ap-tokyo"}, Name: "web-*"}
			}),
		},
		{
			"a selector speaks for itself",
			`{"Id":"r","Account":"shop","Region":"ap-tokyo","Selector":{"Account":"other","Regions":["ap-seoul"],"LaunchConfigurationId":"asc-a"},"MaxTargets":3}`,
			defaults, but(func(r *stop.Request) {
				r.AutoScalingGroupID, r.Account, r.Region, r.Lane, r.MaxTargets = "", "shop", "ap-tokyo", stop.LaneBulk, 3
				r.Selector = &stop.Selector{Account: "other", Regions: []string{"ap-seoul"}, LaunchConfigurationID: "asc-a"}
			}),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, bad := stop.Decode(bare(row.payload), row.d)
			if bad != nil {
				t.Fatalf("is refused: %v", bad)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultsOfARequestToResume(t *testing.T) {
	base := stop.Request{
		ID: "r", Account: "default", ResumeMode: stop.ResumeRetry, Action: stop.ActionResume, Team: "team-a",
		NotAfter: stored.Add(30 * time.Minute), Lane: stop.LaneNormal, Source: stop.SourceJSON, Sequence: 7, RequestedAt: stored,
	}
	but := func(change func(*stop.Request)) stop.Request { r := base; change(&r); return r }
	for _, row := range []struct {
		name    string
		payload string
		want    stop.Request
	}{
		{"what failed is tried again", group(`"Id":"r"`), but(func(r *stop.Request) { r.Region, r.AutoScalingGroupID = "ap-guangzhou", "asg-shopweb1" })},
		{"the request's mode wins", group(`"Id":"r","ResumeMode":"CONTINUE"`), but(func(r *stop.Request) {
			r.Region, r.AutoScalingGroupID, r.ResumeMode = "ap-guangzhou", "asg-shopweb1", stop.ResumeContinue
		})},
		// Whether that is one target or many, its results say, and so the lane.
		{"another request's targets have their own regions", `{"Id":"r","Of":"deploy-4711"}`, but(func(r *stop.Request) { r.Of = "deploy-4711" })},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := bare(row.payload)
			m.Subject = "as.refresh.resume.team-a"
			got, bad := stop.Decode(m, defaults)
			if diff := cmp.Diff(row.want, got); bad != nil || diff != "" {
				t.Errorf("invalid: %v, request (-want +got):\n%s", bad, diff)
			}
		})
	}
}

func TestNoRegionAnywhere(t *testing.T) {
	_, bad := stop.Decode(bare(oneGroup), stop.Defaults{})
	if bad == nil || bad.Field != "Region" || !strings.Contains(bad.Error(), "is required") {
		t.Errorf("got %v", bad)
	}
}

func TestTargetOfARequest(t *testing.T) {
	r, bad := stop.Decode(bare(group(`"Account":"shop","RefreshActivityId":"asr-a"`)), defaults)
	want := stop.Target{Account: "shop", Region: "ap-guangzhou", AutoScalingGroupID: "asg-shopweb1", RefreshActivityID: "asr-a"}
	if diff := cmp.Diff(want, r.Target()); bad != nil || diff != "" {
		t.Errorf("invalid: %v, target (-want +got):\n%s", bad, diff)
	}
}

func structured(attributes, data string) string {
	return `{"specversion":"1.0","type":"as.refresh.stop",` + attributes + `,"data":` + data + `}`
}

func TestIdentity(t *testing.T) {
	const place = "seq-7-"
	for _, row := range []struct {
		name string
		m    stop.Message
		want string // a prefix where it ends in "-"
	}{
		{"its own Id comes first", with(structured(`"id":"e","source":"/s"`, group(`"Id":"own"`)), "Nats-Msg-Id", "msg"), "own"},
		{"then the CloudEvent", with(structured(`"id":"e","source":"/s"`, oneGroup), "Nats-Msg-Id", "msg"), "ce-"},
		{"then Nats-Msg-Id", with(oneGroup, "Nats-Msg-Id", "msg"), "msg"},
		{"Nats-Msg-Id in another case", with(oneGroup, "nats-msg-id", "msg"), "msg"},
		{"then its place in the stream", bare(oneGroup), place},
		{"an empty Id is none", with(group(`"Id":""`), "Nats-Msg-Id", "msg"), "msg"},
		{"an empty Nats-Msg-Id is none", with(oneGroup, "Nats-Msg-Id", ""), place},
		{"an Id that does not fit is hashed", bare(group(`"Id":"a.b"`)), "id-"},
		{"an Id with wildcards is hashed", bare(group(`"Id":"*.>"`)), "id-"},
		{"an Id that is too long is hashed", bare(group(`"Id":"` + text(65) + `"`)), "id-"},
		{"an Id of 5 KB is hashed", bare(group(`"Id":"` + text(5000) + `"`)), "id-"},
		{"an Id with NUL is hashed", bare(group(`"Id":"a\u0000"`)), "id-"},
		{"an Id beyond ASCII is hashed", bare(group(`"Id":"größe"`)), "id-"},
		{"a Nats-Msg-Id that does not fit is hashed", with(oneGroup, "Nats-Msg-Id", "a b"), "id-"},
		{"an invalid request keeps its Id", bare(`{"Id":"own","Foo":1}`), "own"},
		{"an Id before the broken field", bare(`{"Id":"own","DryRun":"x"}`), "own"},
		{"an Id after the broken field", bare(`{"DryRun":"x","Id":"own"}`), "own"},
		{"an Id after a broken time", bare(`{"NotAfter":"x","Id":"own"}`), "own"},
		{"a misspelt Id is no Id", bare(group(`"id":"x"`)), place},
		{"a misspelt Id does not overrule one", bare(group(`"Id":"own","ID":"x"`)), "own"},
		{"an Id of the wrong type is no Id", with(group(`"Id":7`), "Nats-Msg-Id", "msg"), "msg"},
		{"an unreadable payload has the header's", with(`{"Id":"own"`, "Nats-Msg-Id", "msg"), "msg"},
		{"an unreadable payload has its place", bare(`{"Id":"own"`), place},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, _ := stop.Decode(row.m, defaults)
			if !stop.ValidID(got.ID) {
				t.Errorf("the id %q cannot name a result", got.ID)
			}
			if got.ID != row.want && (!strings.HasSuffix(row.want, "-") || !strings.HasPrefix(got.ID, row.want)) {
				t.Errorf("got %q, want %q", got.ID, row.want)
			}
			again := row.m
			again.Delivered = 12
			if second, _ := stop.Decode(again, stop.Defaults{}); second.ID != got.ID {
				t.Errorf("redelivered it is %q, before it was %q", second.ID, got.ID)
			}
		})
	}
}

// Whatever differs in the sense of the contract has another identity.
func TestIdentitiesDiffer(t *testing.T) {
	event := func(source, id string) stop.Message {
		return bare(structured(`"id":"`+id+`","source":"`+source+`"`, oneGroup))
	}
	place := func(sequence uint64, at time.Time) stop.Message {
		m := bare(oneGroup)
		m.Sequence, m.Stored = sequence, at
		return m
	}
	seen := make(map[string]string)
	for name, m := range map[string]stop.Message{
		"event":                           event("/s", "e"),
		"another source":                  event("/t", "e"),
		"another event":                   event("/s", "f"),
		"the border between them":         event("/se", "e"),
		"source and id of the same text":  event("/", "se"),
		"swapped":                         event("e", "/s"),
		"Id with a dot":                   bare(group(`"Id":"a.b"`)),
		"Id with another":                 bare(group(`"Id":"a:b"`)),
		"long Id":                         bare(group(`"Id":"` + text(65) + `"`)),
		"longer Id":                       bare(group(`"Id":"` + text(66) + `"`)),
		"place":                           place(7, stored),
		"the next place":                  place(8, stored),
		"the same place in a new stream":  place(7, stored.Add(time.Nanosecond)),
		"a place before the epoch":        place(7, time.Unix(-1, 0)),
		"a place that was never told":     place(0, time.Time{}),
		"the last place there could ever": place(1<<64-1, stored),
	} {
		r, bad := stop.Decode(m, defaults)
		if bad != nil || !stop.ValidID(r.ID) {
			t.Errorf("%s: id %q, invalid: %v", name, r.ID, bad)
		}
		if other, ok := seen[r.ID]; ok {
			t.Errorf("%q and %q are both %s", name, other, r.ID)
		}
		seen[r.ID] = name
	}
}

// The published form of hashed ids is a promise too: a worker of the next
// version must find the results of this one.
func TestHashedIdentityIsPinned(t *testing.T) {
	for _, row := range []struct {
		m    stop.Message
		want string
	}{
		{bare(group(`"Id":"a.b"`)), "id-922b76c7542f6d2374fc1a82afe0db15"},
		{bare(structured(`"id":"e","source":"/s"`, oneGroup)), "ce-1370cef33456d1e4d9ab574dd83ed482"},
		{bare(oneGroup), "seq-7-dn2ag9osgsg5"},
	} {
		if got, _ := stop.Decode(row.m, defaults); got.ID != row.want {
			t.Errorf("got %q, want %q", got.ID, row.want)
		}
	}
}

func TestPlaceOfAMessage(t *testing.T) {
	m := with(group(`"Id":"own"`), "Nats-Msg-Id", "msg")
	if got, want := stop.Place(m), stop.Place(bare(oneGroup)); got != want || !stop.ValidID(got) {
		t.Errorf("got %q and %q; the place must not depend on what stands there", got, want)
	}
}

func TestLaneOfARequest(t *testing.T) {
	two := `{"Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}]}`
	query := `{"Selector":{"Name":"web"},"MaxTargets":3}`
	for _, row := range []struct {
		name, subject, payload string
		want                   stop.Lane
	}{
		{"one target", "as.refresh.stop", oneGroup, stop.LaneNormal},
		{"one target in a list", "as.refresh.stop", `{"Targets":[{"AutoScalingGroupId":"asg-a"}]}`, stop.LaneNormal},
		{"several targets are bulk", "as.refresh.stop", two, stop.LaneBulk},
		{"a selector is bulk", "as.refresh.stop", query, stop.LaneBulk},
		{"several targets under a free token are bulk", "as.refresh.stop.team-a", two, stop.LaneBulk},
		{"urgent stays urgent for several", "as.refresh.stop.urgent", two, stop.LaneUrgent},
		{"urgent stays urgent for a selector", "as.refresh.stop.urgent.team-a", query, stop.LaneUrgent},
		{"bulk stays bulk for one", "as.refresh.stop.bulk", oneGroup, stop.LaneBulk},
		{"a list of which one is left is bulk", "as.refresh.stop", same(2), stop.LaneBulk},
		{"several to resume are bulk", "as.refresh.resume", two, stop.LaneBulk},
		{"several to resume at once are urgent", "as.refresh.resume.urgent.team-a", two, stop.LaneUrgent},
		{"one to resume in bulk", "as.refresh.resume.bulk", oneGroup, stop.LaneBulk},
		{"to resume what another has paused may mean one", "as.refresh.resume", `{"Of":"r"}`, stop.LaneNormal},
		{"to resume what another has paused, urgent", "as.refresh.resume.urgent", `{"Of":"r"}`, stop.LaneUrgent},
		{"to resume what another has paused, bulk", "as.refresh.resume.bulk", `{"Of":"r"}`, stop.LaneBulk},
		{"an unreadable request has the lane of its subject", "as.refresh.stop.urgent", "{", stop.LaneUrgent},
		{"an unreadable request to resume too", "as.refresh.resume.bulk.team-a", "{", stop.LaneBulk},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := bare(row.payload)
			m.Subject = row.subject
			if got, _ := stop.Decode(m, defaults); got.Lane != row.want {
				t.Errorf("got %q, want %q", got.Lane, row.want)
			}
		})
	}
}
