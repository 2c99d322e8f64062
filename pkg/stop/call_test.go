package stop_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func callOn(region, activity string) stop.Call {
	return stop.Call{Target: stop.Target{Region: region, RefreshActivityID: activity}}
}

func TestPlaceOfACall(t *testing.T) {
	if got, want := callOn("ap-guangzhou", "asr-runweb01").Place(), "ap-guangzhou.asr-runweb01"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Of two calls on one activity, whoever makes them, only one gets through.
	one, other := callOn("ap-guangzhou", "asr-a"), callOn("ap-guangzhou", "asr-a")
	other.Key, other.Worker, other.Action, other.Lane = "r.asg-a", "w", stop.ActionResume, stop.LaneUrgent
	other.Target.Account, other.Target.AutoScalingGroupID = "shop", "asg-a"
	if one.Place() != other.Place() {
		t.Errorf("one activity has the places %s and %s", one.Place(), other.Place())
	}

	seen := make(map[string]stop.Target)
	for _, c := range []stop.Call{
		callOn("ap-guangzhou", "asr-a"), callOn("ap-guangzhou", "asr-b"), callOn("ap-seoul", "asr-a"),
		callOn("", ""), callOn("ap-seoul", ""), callOn("", "asr-a"), callOn("*", "asr-a"), callOn("ap-seoul", "*"), callOn("ap-seoul", ">"),
		callOn("ap-seoul.asr-a", ""), callOn("ap-seoul", "asr-a.>"), callOn("ap-seoul", "asr-A"), callOn("ap-seoul", "asr-a\r\n"), callOn("ap-seoul", "asr-"),
		callOn("ap-seoul", "asg-a"), callOn("ap-seoul", "asr-ü"), callOn("ap-seoul", "asr-a b"), callOn("ap-seoul", "asr-\x00"), callOn("ap-seoul", "asr-\xff"),
		callOn("ap-seoul", "asr-"+text(33)), callOn("ap-seoul", "asr-"+text(5000)), callOn("x", "asr-a"), callOn("a", "b"), callOn("ab", ""), callOn("", "ab"),
	} {
		place := c.Place()
		checkPlace(t, c)
		if before, ok := seen[place]; ok {
			t.Errorf("%+v and %+v are both at %s", before, c.Target, place)
		}
		seen[place] = c.Target
	}
}

func checkPlace(t *testing.T, c stop.Call) {
	t.Helper()
	place := c.Place()
	checkSubject(t, place, 2)
	if len(place) > 128 || c.Place() != place {
		t.Errorf("%+v: the place %.200q is too long, or another each time", c.Target, place)
	}
	region, activity, _ := strings.Cut(place, ".")
	if region != "x" && (region != c.Target.Region || activity != c.Target.RefreshActivityID) {
		t.Errorf("%+v is at the place of another: %s", c.Target, place)
	}
}

func TestCallsAndControlAreReadAsWritten(t *testing.T) {
	roundTrip(t, stop.Call{})
	roundTrip(t, stop.Call{
		Key: "r.asg-a", Action: stop.ActionStop, Lane: stop.LaneUrgent, Worker: "w", At: stored, Over: true, Paused: stored.Add(1),
		Target: stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"},
		Doubts: []stop.Doubt{{Key: "q", Revision: 1<<64 - 1}, {Key: "p.asg-a", Revision: 7}},
	})
	roundTrip(t, stop.Hold{Reason: "x"})
	roundTrip(t, stop.Hold{Reason: "x", By: "y", Until: stored})
	roundTrip(t, stop.Budget{Groups: map[string]time.Time{"asg-a": stored}})
	roundTrip(t, stop.Paused{Groups: 2, Oldest: stored, At: stored, Worker: "w"})
	roundTrip(t, stop.Paused{At: stored})

	// Where it is stored is not part of a call.
	got, err := json.Marshal(stop.Call{Revision: 9, StoredAt: stored})
	want, _ := json.Marshal(stop.Call{})
	if err != nil || string(got) != string(want) {
		t.Errorf("got %s, want %s (%v)", got, want, err)
	}
}

// Somebody sets a hold by hand, so it is pinned how; one without an end is no
// hold until year one.
func TestHoldToTheLetter(t *testing.T) {
	for want, h := range map[string]stop.Hold{
		`{"Reason":"change freeze"}`: {Reason: "change freeze"},
		`{"Reason":"change freeze","By":"ops","Until":"2026-11-23T04:00:00.000000005Z"}`: {Reason: "change freeze", By: "ops", Until: stored},
	} {
		got, err := json.Marshal(h)
		if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
			t.Errorf("hold (-want +got):\n%s (%v)", diff, err)
		}
	}
}
