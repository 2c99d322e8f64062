package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func add(t *testing.T, s *simulator.Simulator, f simulator.Fault) string {
	t.Helper()
	name, err := s.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// serveCut calls s and reports whether the connection was cut.
func serveCut(t *testing.T, s *simulator.Simulator, r *http.Request) (w *httptest.ResponseRecorder, cut bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			cut = true
		}
	}()
	w = httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w, false
}

func TestTheLongestDelayIsOne(t *testing.T) {
	s := sim(t, nil)
	add(t, s, simulator.Fault{Kind: simulator.Latency, DelayMax: math.MaxInt64})
	s.Close() // cuts what is held up
	if w, cut := serveCut(t, s, request{body: goodStop}.build(t)); !cut {
		t.Errorf("answered %s", w.Body)
	}
}

func TestFaultMatch(t *testing.T) {
	for _, tt := range []struct {
		name  string
		match simulator.Match
		hit   bool
	}{
		{"everything", simulator.Match{}, true},
		{"action", simulator.Match{Action: "StopInstanceRefresh"}, true},
		{"other action", simulator.Match{Action: "ResumeInstanceRefresh"}, false},
		{"group", simulator.Match{GroupID: "asg-shopweb1"}, true},
		{"other group", simulator.Match{GroupID: "asg-shopapi1"}, false},
		{"activity", simulator.Match{ActivityID: "asr-runweb01"}, true},
		{"other activity", simulator.Match{ActivityID: "asr-runapi01"}, false},
		{"region", simulator.Match{Region: "ap-guangzhou"}, true},
		{"other region", simulator.Match{Region: "ap-singapore"}, false},
		{"account", simulator.Match{SecretID: simulator.SampleSecretID}, true},
		{"other account", simulator.Match{SecretID: "AKIDOTHER"}, false},
		{"all but one fit", simulator.Match{GroupID: "asg-shopweb1", Region: "ap-singapore"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sim(t, nil)
			add(t, s, simulator.Fault{Kind: simulator.ErrorCode, Code: "Hit", Match: tt.match})
			if got := stop(t, s, "asg-shopweb1", "asr-runweb01") == "Hit"; got != tt.hit {
				t.Errorf("fault happened: %v, want %v", got, tt.hit)
			}
		})
	}
}

// The place of a fault is its region and account: calls to all others are served.
func TestFaultsOfOneRegionOrAccount(t *testing.T) {
	const resumeAction = "ResumeInstanceRefresh"
	resume := func(region, group, activity string) request {
		return request{action: resumeAction, region: region, body: fmt.Sprintf(`{"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, group, activity)}
	}
	here, elsewhere := resume("ap-guangzhou", "asg-shopcart", "asr-pausecrt"), resume("ap-singapore", "asg-idlepool", "asr-pauseidl")
	stranger := resume("ap-guangzhou", "asg-payments", "asr-failpay1")
	stranger.id, stranger.key = "AKIDOTHER", "other"
	for _, tt := range []struct {
		kind     simulator.FaultKind
		cut      bool
		code     string
		accepted bool
	}{
		{simulator.LostAnswer, true, "", true},
		{simulator.Cut, true, "", false},
		{simulator.Throttle, false, limited, false},
		{simulator.Latency, false, "", true},
	} {
		for _, where := range []struct {
			name   string
			match  simulator.Match
			spared request
		}{
			{"region", simulator.Match{Action: resumeAction, Region: "ap-guangzhou"}, elsewhere},
			{"account", simulator.Match{Action: resumeAction, SecretID: simulator.SampleSecretID}, stranger},
		} {
			t.Run(string(tt.kind)+" of a "+where.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := sim(t, func(sc *simulator.Scenario) {
						sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: "AKIDOTHER", SecretKey: "other"})
						sc.Activities = append(sc.Activities, simulator.Activity{GroupID: "asg-idlepool", ID: "asr-pauseidl", Status: simulator.AutoPause})
					})
					f := simulator.Fault{Kind: tt.kind, Match: where.match}
					if tt.kind == simulator.Latency {
						f.Delay = time.Second
					}
					add(t, s, f)
					serveCut(t, s, where.spared.build(t))
					if _, cut := serveCut(t, s, here.build(t)); cut != tt.cut {
						t.Errorf("the connection was cut: %v, want %v", cut, tt.cut)
					}
					wantCode(t, "another action", stop(t, s, "asg-shopweb1", "asr-runweb01"), "")

					arrivals := s.Arrivals()
					spared, hit, other := arrivals[0], arrivals[1], arrivals[2]
					if spared.Fault != "" || !spared.Accepted || other.Fault != "" {
						t.Errorf("spared calls: %+v and %+v", spared, other)
					}
					if hit.Fault != tt.kind || hit.Code != tt.code || hit.Accepted != tt.accepted {
						t.Errorf("the call it was for: %+v", hit)
					}
				})
			})
		}
	}
}

// codes are those of n Describe calls, which change nothing.
func codes(t *testing.T, s *simulator.Simulator, n int) (out []string) {
	t.Helper()
	for range n {
		out = append(out, call(t, s, request{action: "DescribeRefreshActivities", body: `{}`}).Error.Code)
	}
	return out
}

func TestFaultSkipCountAndOrder(t *testing.T) {
	s := sim(t, nil)
	add(t, s, simulator.Fault{Name: "first", Kind: simulator.ErrorCode, Code: "A", Skip: 1, Count: 2})
	add(t, s, simulator.Fault{Name: "second", Kind: simulator.ErrorCode, Code: "B", Count: 2})
	want := []string{"B", "A", "A", "B", ""}
	if diff := cmp.Diff(want, codes(t, s, 5)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if left := s.Faults(); len(left) != 0 {
		t.Errorf("faults that are used up are still there: %+v", left)
	}
}

func TestFaultNames(t *testing.T) {
	s := sim(t, nil)
	name := add(t, s, simulator.Fault{Kind: simulator.Cut})
	if _, err := s.AddFault(simulator.Fault{Name: name, Kind: simulator.Cut}); err == nil {
		t.Error("two faults of one name")
	}
	if !s.RemoveFault(name) || s.RemoveFault(name) {
		t.Error("a fault can be removed once")
	}
	add(t, s, simulator.Fault{Kind: simulator.Cut})
	s.ClearFaults()
	wantCode(t, "after clearing", stop(t, s, "asg-shopweb1", "asr-runweb01"), "")
}

func TestFaultProbabilityIsRepeatable(t *testing.T) {
	run := func(seed uint64) []string {
		s := sim(t, func(sc *simulator.Scenario) { sc.Quota.Off = true })
		add(t, s, simulator.Fault{Kind: simulator.ErrorCode, Code: "X", Probability: 0.3, Seed: seed})
		return codes(t, s, 200)
	}
	first := run(7)
	if diff := cmp.Diff(first, run(7)); diff != "" {
		t.Errorf("the same seed gave another run:\n%s", diff)
	}
	if cmp.Equal(first, run(8)) {
		t.Error("another seed gave the same run")
	}
	if hits := strings.Count(strings.Join(first, ""), "X"); hits < 30 || hits > 90 {
		t.Errorf("%d of 200 calls hit at probability 0.3", hits)
	}
}

func TestFaultValidation(t *testing.T) {
	for _, f := range []simulator.Fault{
		{},
		{Kind: "meteor"},
		{Kind: simulator.Latency},
		{Kind: simulator.ErrorCode},
		{Kind: simulator.Throttle, Code: "InternalError"},
		{Kind: simulator.RefuseCredentials, Code: "InternalError"},
		{Kind: simulator.Cut, Match: simulator.Match{Action: "Stop"}},
		{Kind: simulator.Cut, Accepted: true},
		{Kind: simulator.Cut, Count: -1},
		{Kind: simulator.Cut, Skip: -1},
		{Kind: simulator.Cut, Probability: 1.5},
		{Kind: simulator.Latency, Delay: 2, DelayMax: 1},
		{Kind: simulator.BadGateway, HTTPStatus: 200},
	} {
		if _, err := sim(t, nil).AddFault(f); err == nil {
			t.Errorf("accepted %+v", f)
		}
	}
}

func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, nil)
		add(t, s, simulator.Fault{Kind: simulator.Latency, Delay: time.Second, Count: 1})
		add(t, s, simulator.Fault{Kind: simulator.Latency, Delay: time.Second, DelayMax: 3 * time.Second, Count: 1, Seed: 1})
		start := time.Now()
		wantCode(t, "stop", stop(t, s, "asg-shopweb1", "asr-runweb01"), "")
		if took := time.Since(start); took < 2*time.Second || took > 4*time.Second {
			t.Errorf("took %s, want both delays", took)
		}
		a := s.Arrivals()[0]
		if !a.Time.Equal(start) || a.Answered.Sub(start) < 2*time.Second {
			t.Errorf("arrived %s and answered %s after the start", a.Time.Sub(start), a.Answered.Sub(start))
		}
	})
}

// A caller that gives up during a delay has stopped nothing, unless the delay
// is on the way back.
func TestGivingUpDuringLatency(t *testing.T) {
	for accepted, want := range map[bool]simulator.Status{false: simulator.Running, true: simulator.ManualPause} {
		synctest.Test(t, func(t *testing.T) {
			s := sim(t, nil)
			add(t, s, simulator.Fault{Kind: simulator.Latency, Delay: time.Minute, Accepted: accepted})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, cut := serveCut(t, s, request{body: goodStop}.build(t).WithContext(ctx))
			if !cut {
				t.Error("answered a caller that had gone")
			}
			wantStatus(t, s, "asr-runweb01", want)
		})
	}
}

// The quota counts arrivals: a delay must not move a call into another second.
func TestLatencyDoesNotCheatTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Quota.Default = 1 })
		add(t, s, simulator.Fault{Kind: simulator.Latency, Delay: 10 * time.Second, Count: 1})
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, "slow call", stop(t, s, "asg-shopweb1", "asr-runweb01"), "") })
		synctest.Wait()
		wantCode(t, "call in the same second", stop(t, s, "asg-shopapi1", "asr-runapi01"), limited)
		time.Sleep(9500 * time.Millisecond)
		wantCode(t, "call before the slow one ends", stop(t, s, "asg-shopapi1", "asr-runapi01"), "")
		wg.Wait()
	})
}

func TestDescribeLag(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*simulator.Scenario)
	}{
		{"of every stop", func(sc *simulator.Scenario) { sc.Undocumented.DescribeLag = 3 * time.Second }},
		{"as a fault", func(sc *simulator.Scenario) {
			sc.Faults = []simulator.Fault{{Kind: simulator.DescribeLag, Delay: 3 * time.Second, Count: 1}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sim(t, tt.edit)
				shown := func() string {
					t.Helper()
					body := `{"RefreshActivityIds":["asr-runweb01"]}`
					return call(t, s, request{action: "DescribeRefreshActivities", body: body}).RefreshActivitySet[0].Status
				}
				shown() // a Describe does not use the fault up
				wantCode(t, "stop", stop(t, s, "asg-shopweb1", "asr-runweb01"), "")
				wantCode(t, "second stop", stop(t, s, "asg-shopweb1", "asr-runweb01"), conflict)
				if got := shown(); got != "RUNNING" {
					t.Errorf("at once %s, want RUNNING", got)
				}
				paused := `{"Filters":[{"Name":"refresh-activity-id","Values":["asr-runweb01"]},{"Name":"refresh-activity-status-code","Values":["MANUAL_PAUSE"]}]}`
				if got := call(t, s, request{action: "DescribeRefreshActivities", body: paused}).TotalCount; got != 0 {
					t.Error("a filter sees the pause before the status shows it")
				}
				wantStatus(t, s, "asr-runweb01", simulator.ManualPause)
				time.Sleep(3 * time.Second)
				if got := shown(); got != "MANUAL_PAUSE" {
					t.Errorf("later %s, want MANUAL_PAUSE", got)
				}
			})
		})
	}
}

// Every call that waits ends with its caller, and with the Simulator. synctest
// fails if a goroutine is left.
func TestNothingIsLeftWaiting(t *testing.T) {
	for _, f := range []simulator.Fault{
		{Kind: simulator.Hang},
		{Kind: simulator.Hang, Accepted: true},
		{Kind: simulator.Latency, Delay: time.Hour},
		{Kind: simulator.Latency, Delay: time.Hour, Accepted: true},
		{Kind: simulator.SlowBody, BytesPerSecond: 1},
	} {
		for _, end := range []string{"caller", "simulator"} {
			t.Run(fmt.Sprintf("%s %v %s", f.Kind, f.Accepted, end), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := sim(t, nil)
					add(t, s, f)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ended := false
					go func() {
						_, ended = serveCut(t, s, request{body: goodStop}.build(t).WithContext(ctx))
					}()
					time.Sleep(2 * time.Second)
					synctest.Wait()
					if ended {
						t.Fatal("did not wait")
					}
					if end == "caller" {
						cancel()
					} else {
						s.Close()
					}
					synctest.Wait()
					if !ended {
						t.Errorf("still waits after the %s is gone", end)
					}
					if a := s.Arrivals()[0]; !a.Answered.IsZero() {
						t.Error("recorded as answered")
					}
				})
			})
		}
	}
}

func TestHangingCallEndsWithItsConnection(t *testing.T) {
	s := sim(t, nil)
	add(t, s, simulator.Fault{Kind: simulator.Hang})
	server := serve(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(goodStop))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(r)
	if err == nil {
		resp.Body.Close()
		t.Fatal("a hanging call was answered")
	}
	// Blocks until every connection is idle: the handler has to have returned.
	server.Close()
}
