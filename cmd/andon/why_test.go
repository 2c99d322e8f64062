package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestWhyAGroupIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // it stands still
		const asg, asr = "asg-shopweb1", "asr-runweb01"
		before := func(d time.Duration) time.Time { return now.Add(-d) }
		// on is how a sentence tells a time.
		on := func(d time.Duration) string { return before(d).Local().Format("2006-01-02 15:04:05") }
		result := func(o stop.Outcome, request string, ago time.Duration) stop.Result {
			return stop.Result{
				Request: request, Account: stop.DefaultAccount, Region: "ap-guangzhou", AutoScalingGroupID: asg, RefreshActivityID: asr,
				Outcome: o, FinishedAt: before(ago),
			}
		}
		full := func(r stop.Result) stop.Result {
			r.RequestedBy, r.Reason, r.Incident, r.RequestID = "alice", "5xx in \"checkout\"", "INC-1", "3c140219"
			return r
		}
		but := func(r stop.Result, change func(*stop.Result)) stop.Result { change(&r); return r }
		held := func(group, activity string) pause {
			return pause{AutoScalingGroupID: group, RefreshActivityID: activity, Since: before(time.Minute)}
		}
		// by is how a sentence tells who has done something, where all of it is known.
		by := func(request string, ago time.Duration) string {
			return fmt.Sprintf(`at %s for alice by the request %s because of "5xx in \"checkout\"" (INC-1, RequestId 3c140219)`, on(ago), request)
		}
		for _, row := range []struct {
			name    string
			results []stop.Result
			held    []pause
			want    story // but for its group and its results
		}{
			{
				name:    "never paused",
				results: []stop.Result{but(result(stop.OutcomeNotFound, "a", time.Hour), func(r *stop.Result) { r.Message = "nothing is live" })},
				want:    story{Sentence: "andon has not paused asg-shopweb1: when it was last asked, at " + on(time.Hour) + " by the request a, the outcome was not_found (nothing is live)."},
			},
			{
				name: "never paused, the last of several counts",
				results: []stop.Result{
					but(result(stop.OutcomeNotFound, "a", time.Hour), func(r *stop.Result) { r.Message = "nothing is live" }),
					but(full(result(stop.OutcomeWouldPause, "b", time.Minute)), func(r *stop.Result) { r.Message = "dry run" }),
				},
				want: story{Sentence: "andon has not paused asg-shopweb1: when it was last asked, " + by("b", time.Minute) + ", the outcome was would_pause (dry run)."},
			},
			{
				name:    "paused by others",
				results: []stop.Result{but(full(result(stop.OutcomeAlreadyPaused, "a", time.Minute)), func(r *stop.Result) { r.Message = "paused by hand" })},
				// What stands here of another activity is not its pause.
				held: []pause{held("asg-other", asr)},
				want: story{Sentence: "andon has not paused asg-shopweb1: when it was last asked, " + by("a", time.Minute) + ", the outcome was already_paused (paused by hand)."},
			},
			{
				name:    "paused now",
				results: []stop.Result{full(result(stop.OutcomePaused, "a", 90*time.Second))},
				held:    []pause{held("asg-other", "asr-other"), held(asg, asr)},
				want: story{
					Paused: true, Since: before(90 * time.Second), Seconds: 90,
					Sentence: "asg-shopweb1 has been paused for 1m30s, and neither scales nor heals: its refresh asr-runweb01 was paused " + by("a", 90*time.Second) +
						". To resume it: andon resume asg-shopweb1 --region ap-guangzhou",
				},
			},
			{
				name:    "paused now, by a request of which little is known",
				results: []stop.Result{result(stop.OutcomePaused, "a", 3*time.Hour+time.Minute)},
				held:    []pause{held(asg, asr)},
				want: story{
					Paused: true, Since: before(3*time.Hour + time.Minute), Seconds: 3*3600 + 60,
					Sentence: "asg-shopweb1 has been paused for 3h01m, and neither scales nor heals: its refresh asr-runweb01 was paused at " + on(3*time.Hour+time.Minute) +
						" by the request a. To resume it: andon resume asg-shopweb1 --region ap-guangzhou",
				},
			},
			{
				name: "paused now in another account",
				results: []stop.Result{but(full(result(stop.OutcomePaused, "a", time.Minute)), func(r *stop.Result) {
					r.Account, r.Region = "shop", "ap-seoul"
				})},
				held: []pause{held(asg, asr)},
				want: story{
					Paused: true, Since: before(time.Minute), Seconds: 60,
					Sentence: "asg-shopweb1 has been paused for 1m00s, and neither scales nor heals: its refresh asr-runweb01 was paused " + by("a", time.Minute) +
						". To resume it: andon resume asg-shopweb1 --region ap-seoul --account shop",
				},
			},
			{
				name: "paused now, and asked for again",
				results: []stop.Result{
					full(result(stop.OutcomePaused, "a", time.Hour)),
					result(stop.OutcomeAlreadyPaused, "b", time.Minute),
					result(stop.OutcomeWouldResume, "c", time.Second),
				},
				held: []pause{held(asg, asr)},
				want: story{
					Paused: true, Since: before(time.Hour), Seconds: 3600,
					Sentence: "asg-shopweb1 has been paused for 1h00m, and neither scales nor heals: its refresh asr-runweb01 was paused " + by("a", time.Hour) +
						". To resume it: andon resume asg-shopweb1 --region ap-guangzhou",
				},
			},
			{
				name: "paused and resumed",
				results: []stop.Result{
					full(result(stop.OutcomePaused, "a", 2*time.Hour)),
					full(result(stop.OutcomeResumed, "b", time.Hour)),
				},
				want: story{
					Since: before(2 * time.Hour), Seconds: 3600,
					Sentence: "asg-shopweb1 is not held paused: it was resumed " + by("b", time.Hour) + ". Before that it was paused for 1h00m, " + by("a", 2*time.Hour) + ".",
				},
			},
			{
				name: "resumed, though andon had not paused it",
				results: []stop.Result{
					result(stop.OutcomeAlreadyPaused, "a", 2*time.Hour),
					full(result(stop.OutcomeResumed, "b", time.Hour)),
				},
				want: story{Sentence: "asg-shopweb1 was resumed " + by("b", time.Hour) + "; andon had not paused it."},
			},
			{
				name: "resumed, and found paused since",
				results: []stop.Result{
					full(result(stop.OutcomeResumed, "a", 2*time.Hour)),
					but(full(result(stop.OutcomeAlreadyPaused, "b", time.Hour)), func(r *stop.Result) { r.Message = "paused by hand" }),
				},
				want: story{Sentence: "asg-shopweb1 was resumed " + by("a", 2*time.Hour) + "; andon had not paused it." +
					" When it was last asked after that, " + by("b", time.Hour) + ", the outcome was already_paused (paused by hand)."},
			},
			{
				name: "one refresh paused, and later another one resumed",
				results: []stop.Result{
					but(full(result(stop.OutcomePaused, "a", 48*time.Hour)), func(r *stop.Result) { r.RefreshActivityID = "asr-first" }),
					full(result(stop.OutcomeResumed, "b", time.Hour)),
				},
				want: story{Sentence: "asg-shopweb1 was resumed " + by("b", time.Hour) + "; andon had not paused it."},
			},
			{
				name: "paused, resumed and paused again",
				results: []stop.Result{
					result(stop.OutcomePaused, "a", 3*time.Hour),
					result(stop.OutcomeResumed, "b", 2*time.Hour),
					full(but(result(stop.OutcomePaused, "c", time.Minute), func(r *stop.Result) { r.RefreshActivityID = "asr-second" })),
				},
				held: []pause{held(asg, "asr-second")},
				want: story{
					Paused: true, Since: before(time.Minute), Seconds: 60,
					Sentence: "asg-shopweb1 has been paused for 1m00s, and neither scales nor heals: its refresh asr-second was paused " + by("c", time.Minute) +
						". To resume it: andon resume asg-shopweb1 --region ap-guangzhou",
				},
			},
			{
				name:    "paused, and no longer held",
				results: []stop.Result{full(result(stop.OutcomePaused, "a", 2*time.Hour))},
				held:    []pause{held("asg-other", "asr-other")},
				want: story{
					Since:    before(2 * time.Hour),
					Sentence: "asg-shopweb1 was paused " + by("a", 2*time.Hour) + ", and stands so no longer: its refresh was resumed outside of andon, or has ended.",
				},
			},
			{
				name:    "paused, and another refresh of the group is held",
				results: []stop.Result{full(result(stop.OutcomePaused, "a", 2*time.Hour))},
				held:    []pause{held(asg, "asr-second")},
				want: story{
					Since:    before(2 * time.Hour),
					Sentence: "asg-shopweb1 was paused " + by("a", 2*time.Hour) + ", and stands so no longer: its refresh was resumed outside of andon, or has ended.",
				},
			},
		} {
			got := tale(asg, row.results, row.held)
			row.want.AutoScalingGroupID, row.want.Results = asg, row.results
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", row.name, diff)
			}
		}
	})
}

func TestWhoDidWhatIsToldAsFarAsItIsKnown(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)
	begin := "at " + at.Local().Format("2006-01-02 15:04:05")
	for _, row := range []struct {
		name string
		r    stop.Result
		want string
	}{
		{"the request alone", stop.Result{}, " by the request a"},
		{"who", stop.Result{RequestedBy: "alice"}, " for alice by the request a"},
		{"why", stop.Result{Reason: "checkout fails"}, ` by the request a because of "checkout fails"`},
		{"why, in words of more lines", stop.Result{Reason: "a\n\x1b[2J"}, ` by the request a because of "a\n\x1b[2J"`},
		{"why, in another script", stop.Result{Reason: "重启"}, ` by the request a because of "重启"`},
		{"the incident", stop.Result{Incident: "INC-1"}, " by the request a (INC-1)"},
		{"the RequestId of the API", stop.Result{RequestID: "3c14"}, " by the request a (RequestId 3c14)"},
		{"both", stop.Result{Incident: "INC-1", RequestID: "3c14"}, " by the request a (INC-1, RequestId 3c14)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.r.Request, row.r.FinishedAt = "a", at
			if diff := cmp.Diff(begin+row.want, done(row.r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
