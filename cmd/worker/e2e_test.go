package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Every row of contract section 3, for requests that name one target.
func TestEveryOutcome(t *testing.T) {
	statuses := []string{
		"RUNNING", "MANUAL_PAUSE", "AUTO_PAUSE", "FAILED_PAUSE", "SUCCESSFUL", "FAILED", "CANCELLED", "INIT", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING",
	}
	const scaleIn, rollback, rollbackAllowed, byGroup, expired, dry, broken = 8, 9, 10, 11, 12, 13, 14
	r := newRig(t, len(statuses), func(sc *simulator.Scenario) {
		for i, s := range statuses {
			sc.Activities[i].Status = simulator.Status(s)
		}
		sc.Activities[scaleIn].ScaleIn = true
		sc.Activities[rollback].Type, sc.Activities[rollbackAllowed].Type = "ROLLBACK", "ROLLBACK"
		sc.Groups = append(sc.Groups, simulator.Group{Region: rigRegion, ID: "asg-idle", Name: "idle"})
	})
	r.work()
	for _, row := range []struct {
		name, extra string
		i           int
		noActivity  bool
		outcome     stop.Outcome
		status      stop.Status
		code        string
		stops       int
	}{
		{name: "running", i: 0, outcome: stop.OutcomePaused, status: "RUNNING", stops: 1},
		{name: "manual-pause", i: 1, outcome: stop.OutcomeAlreadyPaused, status: "MANUAL_PAUSE"},
		{name: "auto-pause", i: 2, outcome: stop.OutcomeAlreadyPaused, status: "AUTO_PAUSE"},
		{name: "failed-pause", i: 3, outcome: stop.OutcomeAlreadyPaused, status: "FAILED_PAUSE"},
		{name: "successful", i: 4, outcome: stop.OutcomeConflict, status: "SUCCESSFUL", code: stop.CodeConflict},
		{name: "failed", i: 5, outcome: stop.OutcomeConflict, status: "FAILED", code: stop.CodeConflict},
		{name: "cancelled", i: 6, outcome: stop.OutcomeConflict, status: "CANCELLED", code: stop.CodeConflict},
		{name: "init", i: 7, outcome: stop.OutcomeConflict, status: "INIT", code: stop.CodeConflict, stops: 1},
		{name: "scale-in", i: scaleIn, outcome: stop.OutcomeConflict, status: "RUNNING", code: stop.CodeConflict, stops: 1},
		{name: "rollback", i: rollback, outcome: stop.OutcomeRefused, status: "RUNNING"},
		{name: "rollback-allowed", i: rollbackAllowed, extra: `,"AllowRollback":true`, outcome: stop.OutcomePaused, status: "RUNNING", stops: 1},
		{name: "by-group", i: byGroup, noActivity: true, outcome: stop.OutcomePaused, status: "RUNNING", stops: 1},
		{name: "by-group-ended", i: 4, noActivity: true, outcome: stop.OutcomeNotFound},
		{name: "expired", i: expired, extra: `,"NotAfter":"2020-01-01T00:00:00Z"`, outcome: stop.OutcomeExpired},
		{name: "dry-run", i: dry, extra: `,"DryRun":true`, outcome: stop.OutcomeWouldPause, status: "RUNNING"},
		{name: "unknown-activity", i: 9999, outcome: stop.OutcomeNotFound, code: "ResourceNotFound.RefreshActivityNotFound", stops: 1},
		{name: "account", i: 0, extra: `,"Account":"nobody"`, outcome: stop.OutcomeRefused},
		{name: "several", i: 0, extra: `,"MaxTargets":-1`, outcome: stop.OutcomeInvalid},
		{name: "misspelt", i: broken, extra: `,"DryRunn":true`, outcome: stop.OutcomeInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			r.t = t
			r.sim.ForgetArrivals()
			g, a := names(row.i)
			payload := fmt.Sprintf(`{"Id":%q,"AutoScalingGroupId":%q,"Reason":"why","RequestedBy":"me","Incident":"INC-1"`, row.name, g)
			if !row.noActivity {
				payload += fmt.Sprintf(`,"RefreshActivityId":%q`, a)
			}
			r.publish("as.refresh.stop", payload+row.extra+"}")
			got := r.result(row.name, 10*time.Second)
			if got.Outcome != row.outcome || got.Status != row.status || got.Code != row.code {
				t.Errorf("outcome %s, status %q, code %q (%s); want %s, %q, %q", got.Outcome, got.Status, got.Code, got.Message, row.outcome, row.status, row.code)
			}
			if n := r.stops(); n != row.stops {
				t.Errorf("%d Stops, want %d", n, row.stops)
			}
			if got.Reason != "why" || got.RequestedBy != "me" || got.Incident != "INC-1" || got.Lane != stop.LaneNormal || got.Worker == "" {
				t.Errorf("the result does not repeat the request: %+v", got.Result)
			}
			if row.outcome == stop.OutcomePaused && (got.RequestID == "" || got.Attempts != 1) {
				t.Errorf("paused without the API's request id or with %d attempts", got.Attempts)
			}
			if got.RequestedAt.IsZero() || got.StartedAt.Before(got.RequestedAt.Add(-time.Second)) || got.FinishedAt.Before(got.StartedAt) {
				t.Errorf("times are out of order: %v, %v, %v", got.RequestedAt, got.StartedAt, got.FinishedAt)
			}
			_, buried := r.dead(row.name)
			if want := row.outcome == stop.OutcomeInvalid; buried != want {
				t.Errorf("dead letter: %v, want %v", buried, want)
			}
		})
	}
	r.t = t
	r.settled(5 * time.Second)
}

// Every row of contract section 4. The codes themselves are tested with the
// table of pkg/asapi; here it is what becomes of a request.
func TestEveryErrorClass(t *testing.T) {
	const conflict = "ResourceUnavailable.RefreshActivityStatusConflictWithOperation"
	for _, row := range []struct {
		name     string
		faults   []simulator.Fault
		outcome  stop.Outcome
		attempts int
		stops    int
		dead     bool
	}{
		{"throttled", []simulator.Fault{{Kind: simulator.Throttle, Count: 3}}, stop.OutcomePaused, 1, 4, false},
		{"throttled by the main account", []simulator.Fault{{Kind: simulator.Throttle, Code: "RequestLimitExceeded.UinLimitExceeded", Count: 2}}, stop.OutcomePaused, 1, 3, false},
		{"internal error", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "InternalError.CallCvmError", Count: 2}}, stop.OutcomePaused, 3, 3, false},
		{"service unavailable", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "ServiceUnavailable", Count: 1}}, stop.OutcomePaused, 2, 2, false},
		{"bad gateway", []simulator.Fault{{Kind: simulator.BadGateway, Count: 2}}, stop.OutcomePaused, 3, 3, false},
		{"null", []simulator.Fault{{Kind: simulator.NullBody, Count: 1}}, stop.OutcomePaused, 2, 2, false},
		{"empty object", []simulator.Fault{{Kind: simulator.EmptyObject, Count: 1}}, stop.OutcomePaused, 2, 2, false},
		{"cut before", []simulator.Fault{{Kind: simulator.Cut, Count: 2}}, stop.OutcomePaused, 3, 3, false},
		{"code nobody knows", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "Surprise.Surprise", Count: 1}}, stop.OutcomePaused, 2, 2, false},
		{"answer lost", []simulator.Fault{{Kind: simulator.LostAnswer, Count: 1}}, stop.OutcomePaused, 1, 1, false},
		{"answer truncated", []simulator.Fault{{Kind: simulator.TruncatedBody, Count: 1}}, stop.OutcomePaused, 1, 1, false},
		{"answer lost, Describe lags", []simulator.Fault{{Kind: simulator.LostAnswer, Count: 1}, {Kind: simulator.DescribeLag, Delay: 3 * time.Second, Count: 1}}, stop.OutcomePaused, 2, 2, false},
		{"conflict", []simulator.Fault{{Kind: simulator.ErrorCode, Code: conflict, Count: 1}}, stop.OutcomeConflict, 1, 1, false},
		{"not found", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "ResourceNotFound.AutoScalingGroupNotFound", Count: 1}}, stop.OutcomeNotFound, 1, 1, false},
		{"caller", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "InvalidParameterValue.Filter", Count: 1}}, stop.OutcomeFailed, 1, 1, true},
		{"credential", []simulator.Fault{{Kind: simulator.RefuseCredentials, Code: "AuthFailure.SignatureFailure", Count: 2}}, stop.OutcomePaused, 1, 3, false},
		{"permission", []simulator.Fault{{Kind: simulator.ErrorCode, Code: "UnauthorizedOperation.AutoScalingRoleUnauthorized", Count: 1}}, stop.OutcomePaused, 1, 2, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.work()
			for _, f := range row.faults {
				f.Match.Action = stop.ActionStop
				r.fault(f)
			}
			r.ask("r", 0)
			got := r.result("r", 30*time.Second)
			if got.Outcome != row.outcome || got.Attempts != row.attempts || r.stops() != row.stops {
				t.Errorf("%s after %d attempts and %d Stops (%s); want %s after %d and %d", got.Outcome, got.Attempts, r.stops(), got.Message, row.outcome, row.attempts, row.stops)
			}
			if _, buried := r.dead("r"); buried != row.dead {
				t.Errorf("dead letter: %v, want %v", buried, row.dead)
			}
			r.settled(5 * time.Second)
		})
	}
}

func TestAttemptsRunOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.work()
	r.fault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InternalError", Match: simulator.Match{Action: stop.ActionStop}})
	r.ask("r", 0)
	got := r.result("r", 150*time.Second)
	if got.Outcome != stop.OutcomeFailed || got.Attempts != 8 || r.stops() != 8 {
		t.Errorf("%s after %d attempts and %d Stops (%s), want failed after 8", got.Outcome, got.Attempts, r.stops(), got.Message)
	}
	letter, ok := r.dead("r")
	if !ok || letter.Why != stop.WhyFailed || !strings.Contains(string(letter.Data), `"Id":"r"`) || letter.Subject != "as.refresh.stop" {
		t.Errorf("dead letter %v: %+v, data %s", ok, letter, letter.Data)
	}
}

func TestTheSameIDTwiceCallsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.fault(simulator.Fault{Kind: simulator.Latency, Delay: 100 * time.Millisecond})
	r.work()
	for range 5 {
		for i := range 3 {
			r.ask("same", i)
			g, a := names(i)
			r.publish("as.refresh.stop.urgent", fmt.Sprintf(`{"Id":"same","AutoScalingGroupId":%q,"RefreshActivityId":%q}`, g, a))
		}
	}
	r.result("same", 10*time.Second)
	r.settled(10 * time.Second)
	r.ask("same", 1)
	r.settled(10 * time.Second)
	if n := r.stops(); n != 1 {
		t.Errorf("%d Stops for one id, want 1", n)
	}
}

// The second copy finds the activity paused, by the first, whose result is not
// there yet.
func TestACopyDoesNotAnswerForTheFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.fault(simulator.Fault{Kind: simulator.Latency, Delay: time.Second, Accepted: true, Match: simulator.Match{Action: stop.ActionStop}})
	r.work()
	r.ask("same", 0)
	_, activity := names(0)
	r.eventually(30*time.Second, func() error {
		if a, _ := r.sim.Activity(activity); a.Status != "MANUAL_PAUSE" {
			return fmt.Errorf("still %s", a.Status)
		}
		return nil
	})
	r.ask("same", 0)
	g, _ := names(0)
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":"same","AutoScalingGroupId":%q,"Wrong":1}`, g))
	if got := r.result("same", 10*time.Second); got.Outcome != stop.OutcomePaused {
		t.Errorf("%s (%s), want paused", got.Outcome, got.Message)
	}
	r.settled(5 * time.Second)
}

func TestRefusedCredentialsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"", stop.ActionStop} {
		t.Run("refused "+action, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 30)
			r.work("--rate", "20")
			fault := r.fault(simulator.Fault{Kind: simulator.RefuseCredentials, Match: simulator.Match{Action: action}})
			var ids []string
			for i := range 30 {
				ids = append(ids, fmt.Sprintf("r%d", i))
				r.ask(ids[i], i)
			}
			<-time.After(4 * time.Second) // the span in which the probes are counted
			refused := slices.DeleteFunc(r.sim.Arrivals(), func(a simulator.Arrival) bool { return a.Code == "" })
			if len(refused) >= 10 || len(refused) == 0 {
				t.Errorf("%d calls while the credentials were refused, want fewer than 10", len(refused))
			}
			if status, body := r.get("/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(body, "[-]credentials failed") {
				t.Errorf("readiness is %d while the account is held: %s", status, body)
			}
			if got := r.missing(ids); len(got) != 30 {
				t.Errorf("%d requests ended while the credentials were refused", 30-len(got))
			}
			if got := r.metric(`andon_breaker_open{account="default",cause="authentication"}`); got != "1" {
				t.Errorf("andon_breaker_open is %q", got)
			}
			r.sim.RemoveFault(fault)
			r.await(30*time.Second, ids...)
			for _, id := range ids {
				if got := r.result(id, 0); got.Outcome != stop.OutcomePaused {
					t.Errorf("%s: %s %s", id, got.Outcome, got.Message)
				}
			}
			r.settled(5 * time.Second)
			r.eventually(30*time.Second, func() error {
				if status, body := r.get("/readyz?verbose"); status != http.StatusOK {
					return fmt.Errorf("not ready again: %s", body)
				}
				return nil
			})
		})
	}
}

func TestNotAfterEndsHeldRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.work()
	r.fault(simulator.Fault{Kind: simulator.RefuseCredentials, Match: simulator.Match{Action: stop.ActionStop}})
	g, a := names(0)
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":"r","AutoScalingGroupId":%q,"RefreshActivityId":%q,"NotAfter":%q}`, g, a, time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)))
	if got := r.result("r", 10*time.Second); got.Outcome != stop.OutcomeExpired {
		t.Errorf("%s (%s), want expired", got.Outcome, got.Message)
	}
}

func TestBadAnswersHurtNobodyElse(t *testing.T) {
	t.Parallel()
	for _, f := range []simulator.Fault{
		{Kind: simulator.Hang},
		{Kind: simulator.HugeBody, Megabytes: 50},
		{Kind: simulator.SlowBody, BytesPerSecond: 1},
	} {
		t.Run(string(f.Kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 20)
			r.work()
			_, bad := names(0)
			f.Match = simulator.Match{Action: stop.ActionStop, ActivityID: bad}
			f.Count = 1
			r.fault(f)
			r.ask("bad", 0)
			var others []string
			for i := 1; i < 20; i++ {
				others = append(others, fmt.Sprintf("r%d", i))
				r.ask(others[i-1], i)
			}
			r.await(4*time.Second, others...)
			got := r.result("bad", 30*time.Second)
			if got.Outcome != stop.OutcomePaused && got.Outcome != stop.OutcomeAlreadyPaused {
				t.Errorf("%s (%s)", got.Outcome, got.Message)
			}
			r.settled(5 * time.Second)
		})
	}
}

func TestTheQuotaIsKept(t *testing.T) {
	t.Parallel()
	const requests = 65
	r := newRig(t, requests, func(sc *simulator.Scenario) { sc.Quota.Off = false })
	r.fault(simulator.Fault{Kind: simulator.Latency, DelayMax: 20 * time.Millisecond})
	r.work("--rate", "20")
	var ids []string
	for i := range requests {
		ids = append(ids, fmt.Sprintf("r%d", i))
		r.ask(ids[i], i)
	}
	r.await(20*time.Second, ids...)
	if most := r.sim.MaxArrivals(stop.ActionStop, time.Second); most > 20 {
		t.Errorf("%d Stops arrived within a second", most)
	}
	for _, a := range r.sim.Arrivals() {
		if a.Code != "" {
			t.Errorf("%s was answered %s", a.Action, a.Code)
		}
	}
}

func TestUrgentGoesFirst(t *testing.T) {
	t.Parallel()
	const bulk = 100
	r := newRig(t, bulk+1, func(sc *simulator.Scenario) { sc.Quota.Off = false })
	r.work("--rate", "20")
	for i := range bulk {
		g, a := names(i)
		r.publish("as.refresh.stop.bulk.team-a", fmt.Sprintf(`{"Id":"b%d","AutoScalingGroupId":%q,"RefreshActivityId":%q}`, i, g, a))
	}
	r.eventually(30*time.Second, func() error {
		if r.stops() < 5 {
			return fmt.Errorf("the bulk has not begun")
		}
		return nil
	})
	g, a := names(bulk)
	asked := time.Now()
	r.publish("as.refresh.stop.urgent.team-a", fmt.Sprintf(`{"Id":"urgent","AutoScalingGroupId":%q,"RefreshActivityId":%q}`, g, a))
	got := r.result("urgent", 5*time.Second)
	if got.Lane != stop.LaneUrgent || got.at.Sub(asked) > 2*time.Second {
		t.Errorf("urgent took %v in lane %s", got.at.Sub(asked), got.Lane)
	}
}

func TestATraceGoesThrough(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.work()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	g, a := names(0)
	r.publish("as.refresh.stop", fmt.Sprintf(`{"Id":"r","AutoScalingGroupId":%q,"RefreshActivityId":%q}`, g, a), "traceparent", trace)
	got := r.result("r", 10*time.Second)
	for name, want := range map[string]string{
		"traceparent": trace, "ce-type": "as.refresh.stop.result", "ce-specversion": "1.0", "ce-id": "r", "Content-Type": "application/json",
	} {
		if got := got.header[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

func TestAWorkerCanBeDryAsAWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.work("--dry-run")
	r.ask("r", 0)
	if got := r.result("r", 10*time.Second); got.Outcome != stop.OutcomeWouldPause || r.stops() != 0 {
		t.Errorf("%s with %d Stops", got.Outcome, r.stops())
	}
}

// Whatever is published under the prefix ends as a result.
func TestGarbageEndsAsAResult(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.work()
	garbage := []string{
		"", "null", "[]", "{}", "{", "\x00\xff", `"text"`, `{"AutoScalingGroupId":5}`, `{"AutoScalingGroupId":"asg-*"}`,
		`{"AutoScalingGroupId":"asg-a.b"}`, `{"Id":">","AutoScalingGroupId":"asg-> "}`, strings.Repeat("[", 100000), strings.Repeat("x", 900_000),
		`{"AutoScalingGroupId":"asg-g0000","DryRun":null}`, `{"AutoScalingGroupId":"asg-g0000","Region":"../../etc"}`,
	}
	for i, payload := range garbage {
		r.publish("as.refresh.stop."+[]string{"urgent", "bulk", "team-a.x.y", "urgentx"}[i%4], payload)
	}
	r.eventually(30*time.Second, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.results) != len(garbage) {
			return fmt.Errorf("%d results of %d", len(r.results), len(garbage))
		}
		return nil
	})
	r.settled(5 * time.Second)
	for id, all := range r.results {
		if all[0].Outcome != stop.OutcomeInvalid || all[0].Message == "" {
			t.Errorf("%s: %s %q", id, all[0].Outcome, all[0].Message)
		}
		if _, buried := r.dead(id); !buried {
			t.Errorf("%s has no dead letter", id)
		}
	}
	if r.stops() > 0 {
		t.Error("garbage led to a Stop")
	}
}

// A read is shared by many requests; an id that the API refuses must not
// spoil it for the others.
func TestABadIDDoesNotSpoilTheReadOfOthers(t *testing.T) {
	t.Parallel()
	const requests = 40
	r := newRig(t, requests)
	_, bad := names(7)
	r.fault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InvalidParameterValue.InvalidActivityId", Match: simulator.Match{Action: stop.ActionDescribe, ActivityID: bad}})
	r.fault(simulator.Fault{Kind: simulator.Latency, Delay: 50 * time.Millisecond, Match: simulator.Match{Action: stop.ActionDescribe}})
	r.work("--rate", "20")
	var ids []string
	for i := range requests {
		ids = append(ids, fmt.Sprintf("r%d", i))
		r.ask(ids[i], i)
	}
	r.await(20*time.Second, ids...)
	for i, id := range ids {
		want := stop.OutcomePaused
		if i == 7 {
			want = stop.OutcomeFailed
		}
		if got := r.result(id, 0); got.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", id, got.Outcome, got.Message, want)
		}
	}
}

// Many answers lost, many refused: each request still has its one true result.
func TestABadDayAtTheAPI(t *testing.T) {
	t.Parallel()
	const requests = 150
	r := newRig(t, requests)
	at := simulator.Match{Action: stop.ActionStop}
	r.fault(simulator.Fault{Kind: simulator.LostAnswer, Match: at, Probability: .3, Seed: 1})
	r.fault(simulator.Fault{Kind: simulator.BadGateway, Match: at, Probability: .1, Seed: 2})
	r.fault(simulator.Fault{Kind: simulator.Throttle, Match: at, Probability: .1, Seed: 3})
	r.fault(simulator.Fault{Kind: simulator.TruncatedBody, Match: at, Probability: .1, Seed: 4})
	r.fault(simulator.Fault{Kind: simulator.NullBody, Match: simulator.Match{Action: stop.ActionDescribe}, Probability: .2, Seed: 5})
	r.work()
	var ids []string
	for i := range requests {
		ids = append(ids, activityOf(i))
		r.ask(activityOf(i), i)
	}
	r.await(90*time.Second, ids...)
	r.settled(10 * time.Second)
	for _, id := range ids {
		r.wasPaused(id)
	}
}

func TestAWorkerStopsAtOnceAndHandsBack(t *testing.T) {
	t.Parallel()
	const requests = 60
	r := newRig(t, requests, func(sc *simulator.Scenario) { sc.Quota.Off = false })
	r.fault(simulator.Fault{Kind: simulator.Latency, Delay: 300 * time.Millisecond})
	end := r.work("--rate", "20")
	var ids []string
	for i := range requests {
		ids = append(ids, fmt.Sprintf("r%d", i))
		r.ask(ids[i], i)
	}
	r.eventually(30*time.Second, func() error {
		if r.stops() < 10 {
			return fmt.Errorf("not at work yet")
		}
		return nil
	})
	began := time.Now()
	if code := end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	handed := time.Now()
	r.work("--rate", "20")
	r.await(20*time.Second, ids...)
	t.Logf("all done %v after the second worker started", time.Since(handed))
	r.settled(5 * time.Second)
	if n := r.stops(); n != requests {
		t.Errorf("%d Stops for %d requests", n, requests)
	}
}

// However many requests wait, reading their activities costs a few calls.
func TestReadsAreShared(t *testing.T) {
	t.Parallel()
	const requests = 200
	r := newRig(t, requests, func(sc *simulator.Scenario) { sc.Quota.Off = false })
	r.work("--rate", "20")
	var ids []string
	for i := range requests {
		g, a := names(i)
		payload := fmt.Sprintf(`{"Id":"r%d","AutoScalingGroupId":%q,"DryRun":true`, i, g)
		if i%2 == 0 {
			payload += fmt.Sprintf(`,"RefreshActivityId":%q`, a)
		}
		ids = append(ids, fmt.Sprintf("r%d", i))
		r.publish("as.refresh.stop", payload+"}")
	}
	r.await(10*time.Second, ids...)
	for _, id := range ids {
		if got := r.result(id, 0); got.Outcome != stop.OutcomeWouldPause {
			t.Errorf("%s: %s (%s)", id, got.Outcome, got.Message)
		}
	}
	reads := r.sim.Arrivals()
	if len(reads) > requests/2 {
		t.Errorf("%d reads for %d requests", len(reads), requests)
	}
	t.Logf("%d reads for %d requests", len(reads), requests)
}

// The broker goes away between the call and the result, and the worker is
// told to stop: it does not wait for a broker that may never come back.
func TestAWorkerStopsInTimeWithoutItsBroker(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.fault(simulator.Fault{Kind: simulator.Latency, Delay: time.Second, Accepted: true, Match: simulator.Match{Action: stop.ActionStop}})
	end := r.work()
	r.ask("r", 0)
	r.eventually(30*time.Second, func() error {
		if a, _ := r.sim.Activity(activityOf(0)); a.Status != "MANUAL_PAUSE" {
			return fmt.Errorf("still %s", a.Status)
		}
		return nil
	})
	r.broker.Shutdown()
	began := time.Now()
	if code := end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("stopping took %v", took)
	}
}
