package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestGrantedIsTheLeastThatAWorkerKnowsOf(t *testing.T) {
	t.Parallel()
	q := stop.Quota{Account: "default", Endpoint: "https://as.example"}
	elsewhere := stop.Quota{Account: "default", Endpoint: "https://as.other.example"}
	worker := func(rate float64, granted ...stop.Granted) stop.Worker {
		return stop.Worker{Rate: rate, Granted: granted}
	}
	of := func(q stop.Quota, action string, rate float64) stop.Granted {
		return stop.Granted{Quota: q, Action: action, Rate: rate}
	}
	holds := func(w stop.Worker, account, action string) stop.Worker {
		w.Held = append(w.Held, stop.HeldAccount{Account: account, Action: action})
		return w
	}
	for _, row := range []struct {
		name    string
		workers []stop.Worker
		want    float64
	}{
		{"the rate that the quota has", []stop.Worker{worker(20, of(q, stop.ActionStop, 20))}, 20},
		{"the rate after a throttle", []stop.Worker{worker(20, of(q, stop.ActionStop, 14))}, 14},
		{"the least of several", []stop.Worker{worker(20, of(q, stop.ActionStop, 14)), worker(20, of(q, stop.ActionStop, 9.8)), worker(20, of(q, stop.ActionStop, 20))}, 9.8},
		{"a worker that has not used the quota has its full rate", []stop.Worker{worker(20)}, 20},
		{"a worker that has not used it does not know of a throttle", []stop.Worker{worker(20), worker(20, of(q, stop.ActionStop, 14)), worker(20)}, 14},
		{"a worker with a lower rate slows all down", []stop.Worker{worker(20, of(q, stop.ActionStop, 20)), worker(5)}, 5},
		{"the rate of another action is another one", []stop.Worker{worker(20, of(q, stop.ActionDescribe, 1), of(q, stop.ActionStop, 20), of(q, stop.ActionResume, 2))}, 20},
		{"the rate at another endpoint is another one", []stop.Worker{worker(20, of(elsewhere, stop.ActionStop, 1))}, 20},
		{"the rate of another account is another one", []stop.Worker{worker(20, of(stop.Quota{Account: "shop", Endpoint: q.Endpoint}, stop.ActionStop, 1))}, 20},
		{"an account that is held gets none", []stop.Worker{holds(worker(20, of(q, stop.ActionStop, 20)), "default", stop.ActionStop)}, 0},
		{"whichever worker holds it", []stop.Worker{worker(20), worker(20), holds(worker(20), "default", stop.ActionStop)}, 0},
		{"another account that is held", []stop.Worker{holds(worker(20), "shop", stop.ActionStop)}, 20},
		{"an account that may not resume can be paused", []stop.Worker{holds(worker(20), "default", stop.ActionResume)}, 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := granted(row.workers, q); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			slices.Reverse(row.workers)
			if got := granted(row.workers, q); got != row.want {
				t.Errorf("the other way round: got %v, want %v", got, row.want)
			}
		})
	}
}

// Where each region has an endpoint of its own, each has a quota of its own.
func TestQuotaOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		endpoint, region, want string
	}{
		{"https://as.intl.tencentcloudapi.com", "ap-seoul", "https://as.intl.tencentcloudapi.com"},
		{"https://as.{region}.tencentcloudapi.com", "ap-seoul", "https://as.ap-seoul.tencentcloudapi.com"},
		{"https://as.{region}.example/{region}", "ap-shanghai-fsi", "https://as.ap-shanghai-fsi.example/ap-shanghai-fsi"},
		{"http://127.0.0.1:8080", "", "http://127.0.0.1:8080"},
	} {
		want := stop.Quota{Account: "shop", Endpoint: row.want}
		if diff := cmp.Diff(want, quotaOf(stop.Worker{Endpoint: row.endpoint}, "shop", row.region)); diff != "" {
			t.Errorf("%s in %s (-want +got):\n%s", row.endpoint, row.region, diff)
		}
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(300 * time.Millisecond) // the bubble's clock
		now := time.Now()
		for _, row := range []struct {
			text string
			want time.Time
		}{
			{"", time.Time{}},
			{"10m", now.Add(10 * time.Minute)},
			{"1h30m", now.Add(90 * time.Minute)},
			{"1.8s", now.Add(1800 * time.Millisecond)},
			{"2026-11-23T04:05:06Z", time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)},
			{"2026-11-23T04:05:06.5Z", time.Date(2026, 11, 23, 4, 5, 6, 500_000_000, time.UTC)},
			{"2026-11-23T12:05:06+08:00", time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)},
			// That it has passed is for the one to say who knows of the request.
			{"1999-01-01T00:00:00Z", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			if got, err := deadline(row.text); err != nil || !got.Equal(row.want) {
				t.Errorf("%q: got %v, want %v (%v)", row.text, got, row.want, err)
			}
		}
		for _, text := range []string{"0", "0s", "-10m", "10", "10 m", " 10m", "tomorrow", "04:05", "2026-11-23", "2026-11-23 04:05:06", "2026-11-23T04:05:06", "2026-02-30T00:00:00Z", "9999999h"} {
			_, err := deadline(text)
			checkUsage(t, err, fmt.Sprintf("--not-after %q", text), "such as 2026-11-23T04:05:06Z", "such as 10m")
		}
	})
}

// checkUsage checks that an error is one of the command line, and what it says.
func checkUsage(t *testing.T, err error, says ...string) {
	t.Helper()
	if e, ok := errors.AsType[*exit](err); !ok || e.code != exitUsage {
		t.Errorf("got %v, want an error with the exit code %d that says %q", err, exitUsage, says)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error %q does not say %q", err, text)
		}
	}
}

// targetsOf are the targets that the workers read in a request, whose own region is
// ap-guangzhou.
func targetsOf(t *testing.T, r stop.Request) []stop.Target {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	read, bad := stop.Decode(stop.Message{Subject: stop.SubjectStop, Data: data, Stored: time.Unix(0, 0)}, stop.Defaults{Region: "ap-guangzhou"})
	if bad != nil {
		t.Fatal(bad)
	}
	return read.Targets
}

func TestShareSaysOnceWhatAllTargetsHaveInCommon(t *testing.T) {
	t.Parallel()
	in := func(account, region, group string) stop.Target {
		return stop.Target{Account: account, Region: region, AutoScalingGroupID: group}
	}
	list := func(account, region string, targets ...stop.Target) stop.Request {
		return stop.Request{Account: account, Region: region, Targets: targets}
	}
	for _, row := range []struct {
		name         string
		before, want stop.Request
	}{
		{
			"a common account and region",
			list("", "", in("shop", "ap-seoul", "asg-a"), in("shop", "ap-seoul", "asg-b")),
			list("shop", "ap-seoul", in("", "", "asg-a"), in("", "", "asg-b")),
		},
		{
			"a common region of mixed accounts",
			list("", "", in("shop", "ap-seoul", "asg-a"), in("pay", "ap-seoul", "asg-b"), in("shop", "ap-seoul", "asg-c")),
			list("", "ap-seoul", in("shop", "", "asg-a"), in("pay", "", "asg-b"), in("shop", "", "asg-c")),
		},
		{
			"a common account of mixed regions",
			list("", "", in("shop", "ap-seoul", "asg-a"), in("shop", "ap-tokyo", "asg-b"), in("shop", "ap-seoul", "asg-c")),
			list("shop", "", in("", "ap-seoul", "asg-a"), in("", "ap-tokyo", "asg-b"), in("", "ap-seoul", "asg-c")),
		},
		{
			"nothing in common",
			list("", "", in("shop", "ap-seoul", "asg-a"), in("pay", "ap-tokyo", "asg-b")),
			list("", "", in("shop", "ap-seoul", "asg-a"), in("pay", "ap-tokyo", "asg-b")),
		},
		{
			"the last one says nothing",
			list("", "", in("shop", "ap-seoul", "asg-a"), in("", "", "asg-b")),
			list("", "", in("shop", "ap-seoul", "asg-a"), in("", "", "asg-b")),
		},
		{
			"the first one says nothing",
			list("", "", in("", "", "asg-a"), in("shop", "ap-seoul", "asg-b"), in("shop", "ap-seoul", "asg-c")),
			list("", "", in("", "", "asg-a"), in("shop", "ap-seoul", "asg-b"), in("shop", "ap-seoul", "asg-c")),
		},
		{
			"the request speaks for those that say nothing",
			list("shop", "ap-tokyo", in("", "", "asg-a"), in("", "", "asg-b")),
			list("shop", "ap-tokyo", in("", "", "asg-a"), in("", "", "asg-b")),
		},
		{
			"the request speaks for one that says nothing",
			list("shop", "ap-tokyo", in("", "", "asg-a"), in("pay", "ap-seoul", "asg-b")),
			list("shop", "ap-tokyo", in("", "", "asg-a"), in("pay", "ap-seoul", "asg-b")),
		},
		{
			"targets that speak for themselves are believed",
			list("shop", "ap-tokyo", in("pay", "ap-seoul", "asg-a"), in("pay", "ap-seoul", "asg-b")),
			list("pay", "ap-seoul", in("", "", "asg-a"), in("", "", "asg-b")),
		},
		{
			"activities stay",
			list("", "", stop.Target{Region: "ap-seoul", AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}, in("", "ap-seoul", "asg-b")),
			list("", "ap-seoul", stop.Target{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}, in("", "", "asg-b")),
		},
		{
			"a request for one group",
			stop.Request{Account: "shop", Region: "ap-seoul", AutoScalingGroupID: "asg-a"},
			stop.Request{Account: "shop", Region: "ap-seoul", AutoScalingGroupID: "asg-a"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := targetsOf(t, row.before)
			got := row.before
			share(&got)
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, targetsOf(t, got)); diff != "" {
				t.Errorf("it means other targets (-before +after):\n%s", diff)
			}
		})
	}
}

// As many targets as a request may have fit into one, however much their file
// says of each, because what they have in common is said once.
func TestTheLargestRequestFits(t *testing.T) {
	t.Parallel()
	r := stop.Request{ID: strings.Repeat("x", 64), Reason: strings.Repeat("x", stop.MaxTextBytes), RequestedBy: strings.Repeat("x", stop.MaxTextBytes)}
	for i := range stop.MaxTargets {
		r.Targets = append(r.Targets, stop.Target{
			Account: "production", Region: "ap-guangzhou",
			AutoScalingGroupID: fmt.Sprintf("asg-%08d", i), RefreshActivityID: fmt.Sprintf("asr-%08d", i),
		})
	}
	size := func() int {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return len(data)
	}
	// Else this would prove nothing.
	if got := size(); got <= stop.MaxRequestBytes {
		t.Fatalf("it fits in %d bytes with all that is said of each target", got)
	}
	want := slices.Clone(r.Targets)
	share(&r)
	if got := size(); got > stop.MaxRequestBytes {
		t.Fatalf("it has %d bytes, and %d are allowed", got, stop.MaxRequestBytes)
	}
	if diff := cmp.Diff(want, targetsOf(t, r)); diff != "" {
		t.Errorf("it means other targets (-want +got):\n%s", diff)
	}
}
