package handler

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// The rows below are the rules of the contract, one a line. Each starts from
// the same situation, a task whose activity has just been seen RUNNING, and
// says what is different.
var (
	now     = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	later   = now.Add(time.Minute)
	earlier = now.Add(-time.Minute)
)

const (
	group    = "asg-aaaaaaaa"
	activity = "asr-aaaaaaaa"
)

func shows(status stop.Status) *reading {
	return &reading{at: now, answer: stop.Answer{Class: stop.ClassOK}, activity: &stop.Activity{AutoScalingGroupID: group, RefreshActivityID: activity, Status: status, ActivityType: "NORMAL"}}
}

func rollback(status stop.Status) *reading {
	r := shows(status)
	r.activity.ActivityType = stop.TypeRollback
	return r
}

func nothing() *reading { return &reading{at: now, answer: stop.Answer{Class: stop.ClassOK}} }

func unread(c stop.Class) *reading { return &reading{answer: stop.Answer{Class: c, Message: "read"}} }

func base0() situation {
	return situation{
		task: stop.Task{Request: "r", Action: stop.ActionStop, NotAfter: later, Target: stop.Target{AutoScalingGroupID: group, RefreshActivityID: activity}},
		seen: shows(stop.StatusRunning), now: now,
	}
}

// answered is a call made just now.
func answered(c stop.Class, attempts, unknown int) func(*situation) {
	return func(s *situation) {
		s.fresh, s.seen = true, nil
		s.history = stop.History{Attempts: attempts, Unknown: unknown, CalledAt: now, Last: &stop.Answer{Class: c, Code: "Some.Code", RequestID: "req"}}
	}
}

// before is what earlier deliveries have been through.
func before(c stop.Class, attempts, unknown int, called time.Time) func(*situation) {
	return func(s *situation) {
		s.history = stop.History{Attempts: attempts, Unknown: unknown, CalledAt: called, Last: &stop.Answer{Class: c, Code: "Some.Code"}}
	}
}

func see(r *reading) func(*situation) { return func(s *situation) { s.seen = r } }

// seenAt sets the time of a reading.
func seenAt(at time.Time, r *reading) func(*situation) {
	return func(s *situation) {
		old := *r
		old.at, s.seen = at, &old
	}
}

func unserved(s *situation)  { s.unserved = true }
func over(s *situation)      { s.task.NotAfter = earlier }
func dry(s *situation)       { s.task.DryRun = true }
func allow(s *situation)     { s.task.AllowRollback = true }
func groupOnly(s *situation) { s.task.Target.RefreshActivityID = "" }
func pausedHere(s *situation) {
	s.other = &deed{key: "other", action: stop.ActionStop, outcome: stop.OutcomePaused, at: now, recent: true}
}

func resume(s *situation) { s.task.Action = stop.ActionResume }
func strict(s *situation) { s.task.Strict = true }
func wasPaused(s *situation) {
	s.task.Seen = shows(stop.StatusManualPause).activity
}

// other is what another task has done, or is doing.
func other(action string, o stop.Outcome, recent, accepted bool) func(*situation) {
	return func(s *situation) {
		s.other = &deed{key: "other", action: action, outcome: o, at: now, recent: recent, accepted: accepted}
	}
}

func reads(n int) func(*situation) { return func(s *situation) { s.history.Reads = n } }

func TestDecide(t *testing.T) {
	long := now.Add(-time.Hour)
	for _, row := range []struct {
		rule  string
		given []func(*situation)
		want  string
	}{
		{"not read yet", []func(*situation){see(nil)}, "read"},
		{"running is stopped", nil, "call"},
		{"INIT is stopped: the API may allow it", []func(*situation){see(shows(stop.StatusInit))}, "call"},
		{"a status nobody knows is stopped", []func(*situation){see(shows("PONDERING"))}, "call"},
		{"an activity that is not shown is stopped: the API judges", []func(*situation){see(nothing())}, "call"},
		{"a group without a live activity", []func(*situation){groupOnly, see(nothing())}, "not_found"},
		{"an activity of another group", []func(*situation){see(&reading{at: now, answer: stop.Answer{Class: stop.ClassOK}, activity: &stop.Activity{AutoScalingGroupID: "asg-b", Status: stop.StatusRunning}})}, "not_found"},
		{"paused by hand", []func(*situation){see(shows(stop.StatusManualPause))}, "already_paused MANUAL_PAUSE"},
		{"paused by policy", []func(*situation){see(shows(stop.StatusAutoPause))}, "already_paused AUTO_PAUSE"},
		{"paused by failure", []func(*situation){see(shows(stop.StatusFailedPause))}, "already_paused FAILED_PAUSE"},
		{"ended well", []func(*situation){see(shows(stop.StatusSuccessful))}, "conflict SUCCESSFUL"},
		{"ended badly", []func(*situation){see(shows(stop.StatusFailed))}, "conflict FAILED"},
		{"cancelled", []func(*situation){see(shows(stop.StatusCancelled))}, "conflict CANCELLED"},
		{"rollback", []func(*situation){see(rollback(stop.StatusRunning))}, "refused RUNNING"},
		{"rollback, allowed", []func(*situation){see(rollback(stop.StatusRunning)), allow}, "call"},
		{"rollback that stands still", []func(*situation){see(rollback(stop.StatusManualPause))}, "already_paused MANUAL_PAUSE"},

		{"expired before anything was read", []func(*situation){over, see(nil)}, "expired"},
		{"expired while it waited", []func(*situation){over}, "expired RUNNING"},
		{"dry run", []func(*situation){dry}, "would_pause RUNNING"},
		{"dry run of what is paused", []func(*situation){dry, see(shows(stop.StatusManualPause))}, "already_paused MANUAL_PAUSE"},
		{"dry run of a rollback", []func(*situation){dry, see(rollback(stop.StatusRunning))}, "refused RUNNING"},
		{"dry run of what is not there", []func(*situation){dry, see(nothing())}, "not_found"},

		{"an old reading of what runs is good for a call", []func(*situation){seenAt(now.Add(-time.Hour), shows(stop.StatusRunning))}, "call"},
		{"an old reading of nothing is good for a call", []func(*situation){seenAt(now.Add(-time.Hour), nothing())}, "call"},
		{"a reading of 5 s ends a task", []func(*situation){seenAt(now.Add(-stale), shows(stop.StatusAutoPause))}, "already_paused AUTO_PAUSE"},
		{"an older one ends none: paused", []func(*situation){seenAt(now.Add(-stale-1), shows(stop.StatusAutoPause))}, "read"},
		{"an older one ends none: ended", []func(*situation){seenAt(earlier, shows(stop.StatusSuccessful))}, "read"},
		{"an older one ends none: rollback", []func(*situation){seenAt(earlier, rollback(stop.StatusRunning))}, "read"},
		{"an older one ends none: not live", []func(*situation){groupOnly, seenAt(earlier, nothing())}, "read"},
		{"an older one ends none: dry run", []func(*situation){dry, seenAt(earlier, shows(stop.StatusRunning))}, "read"},
		{"an older one ends none: out of attempts", []func(*situation){before(stop.ClassTransient, 8, 0, now), seenAt(earlier, shows(stop.StatusRunning))}, "read"},
		{"a reading from the future is of another clock", []func(*situation){seenAt(later, shows(stop.StatusAutoPause))}, "read"},
		{"an old reading is not looked at after NotAfter", []func(*situation){over, seenAt(earlier, shows(stop.StatusAutoPause))}, "expired AUTO_PAUSE"},

		{"no account: left to others", []func(*situation){unserved, see(nil)}, "wait worker"},
		{"no account: also what could be ended", []func(*situation){unserved, see(shows(stop.StatusManualPause))}, "wait worker"},
		{"no account, fate unknown: left to others", []func(*situation){unserved, before(stop.ClassTransient, 1, 1, now), see(nil)}, "wait worker"},
		{"no account until NotAfter", []func(*situation){unserved, over, see(nil)}, "expired"},
		{"no account until NotAfter, conflict", []func(*situation){unserved, over, before(stop.ClassConflict, 1, 0, now), see(nil)}, "expired"},
		{"no account until NotAfter, fate unknown", []func(*situation){unserved, over, before(stop.ClassTransient, 1, 1, now), see(nil)}, "failed"},

		{"accepted", []func(*situation){answered(stop.ClassOK, 1, 0)}, "paused"},
		{"accepted at the last moment", []func(*situation){answered(stop.ClassOK, 1, 0), over}, "paused"},
		{"not found", []func(*situation){answered(stop.ClassNotFound, 1, 0)}, "not_found"},
		{"caller's fault", []func(*situation){answered(stop.ClassCaller, 1, 0)}, "failed"},
		{"throttled", []func(*situation){answered(stop.ClassThrottled, 0, 0)}, "wait throttle"},
		{"throttled for the hundredth time", []func(*situation){answered(stop.ClassThrottled, 7, 3)}, "wait throttle"},
		{"credentials refused", []func(*situation){answered(stop.ClassCredential, 0, 0)}, "wait hold"},
		{"transient", []func(*situation){answered(stop.ClassTransient, 1, 1)}, "wait backoff"},
		{"transient, never sent", []func(*situation){answered(stop.ClassTransient, 1, 0)}, "wait backoff"},
		{"transient for the last time", []func(*situation){answered(stop.ClassTransient, 8, 8)}, "read"},
		{"never sent for the last time", []func(*situation){answered(stop.ClassTransient, 8, 0)}, "read"},
		{"conflict is read back", []func(*situation){answered(stop.ClassConflict, 1, 0)}, "read"},
		{"conflict after NotAfter is read back", []func(*situation){answered(stop.ClassConflict, 1, 0), over}, "read"},

		{"conflict, paused by another", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(shows(stop.StatusManualPause))}, "already_paused MANUAL_PAUSE"},
		{"conflict, paused by our own lost Stop", []func(*situation){before(stop.ClassConflict, 2, 1, now), see(shows(stop.StatusManualPause))}, "paused MANUAL_PAUSE"},
		{"conflict, paused by failure before our lost Stop", []func(*situation){before(stop.ClassConflict, 2, 1, now), see(shows(stop.StatusFailedPause))}, "already_paused FAILED_PAUSE"},
		{"conflict, scaling in", []func(*situation){before(stop.ClassConflict, 1, 0, now)}, "conflict RUNNING"},
		{"conflict on INIT", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(shows(stop.StatusInit))}, "conflict INIT"},
		{"conflict, ended", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(shows(stop.StatusSuccessful))}, "conflict SUCCESSFUL"},
		{"conflict, nothing shown", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(nothing())}, "conflict"},
		{"conflict, shown running, another request paused it just now", []func(*situation){before(stop.ClassConflict, 1, 0, now), pausedHere}, "already_paused RUNNING"},
		{"conflict after a lost Stop, Describe may lag", []func(*situation){before(stop.ClassConflict, 2, 1, now)}, "wait settle"},
		{"conflict after a lost Stop, Describe had its time", []func(*situation){before(stop.ClassConflict, 2, 1, long)}, "conflict RUNNING"},
		{"conflict, NotAfter passed since: the truth comes first", []func(*situation){before(stop.ClassConflict, 1, 0, now), over, see(shows(stop.StatusManualPause))}, "already_paused MANUAL_PAUSE"},

		{"fate unknown is read first", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(nil)}, "read"},
		{"fate unknown is read first, also after NotAfter", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(nil), over}, "read"},
		{"our lost Stop had worked", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusManualPause))}, "paused MANUAL_PAUSE"},
		{"our lost Stop had worked, NotAfter passed", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusManualPause)), over}, "paused MANUAL_PAUSE"},
		{"our lost Stop had not worked", []func(*situation){before(stop.ClassTransient, 1, 1, now)}, "call"},
		{"it ended meanwhile", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusSuccessful))}, "conflict SUCCESSFUL"},
		{"out of attempts, Describe may lag", []func(*situation){before(stop.ClassTransient, 8, 8, now)}, "wait settle"},
		{"out of attempts", []func(*situation){before(stop.ClassTransient, 8, 8, long)}, "failed RUNNING"},
		{"out of attempts, never sent", []func(*situation){before(stop.ClassTransient, 8, 0, now)}, "failed RUNNING"},
		{"lost Stop, NotAfter passed, Describe may lag", []func(*situation){before(stop.ClassTransient, 1, 1, now), over}, "wait settle"},
		{"lost Stop had not worked, NotAfter passed", []func(*situation){before(stop.ClassTransient, 1, 1, long), over}, "expired RUNNING"},

		{"cannot be read: try again", []func(*situation){see(unread(stop.ClassTransient))}, "wait read"},
		{"cannot be read: throttled", []func(*situation){see(unread(stop.ClassThrottled)), reads(9)}, "wait throttle"},
		{"cannot be read: credentials", []func(*situation){see(unread(stop.ClassCredential)), reads(9)}, "wait hold"},
		{"cannot be read: held", []func(*situation){see(&reading{held: time.Second})}, "wait hold"},
		{"cannot be read: the API knows nothing of it", []func(*situation){see(unread(stop.ClassNotFound))}, "not_found"},
		{"cannot be read: caller's fault", []func(*situation){see(unread(stop.ClassCaller))}, "failed"},
		{"cannot be read, reads run out", []func(*situation){see(unread(stop.ClassTransient)), reads(8)}, "failed"},
		{"conflict that cannot be read back", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(unread(stop.ClassTransient))}, "wait read"},
		{"conflict that cannot be read back, reads run out", []func(*situation){before(stop.ClassConflict, 1, 0, now), see(unread(stop.ClassTransient)), reads(8)}, "conflict"},
		{"lost Stop that cannot be read back, reads run out", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(unread(stop.ClassTransient)), reads(8)}, "failed"},
		{"lost Stop that cannot be read back, NotAfter passed", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(unread(stop.ClassTransient)), over}, "failed"},
		{"lost Stop, credentials refused", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(unread(stop.ClassCredential))}, "wait hold"},
		{"another task is calling", []func(*situation){other(stop.ActionStop, "", true, false)}, "wait other"},
		{"another task was calling, long ago", []func(*situation){other(stop.ActionStop, "", false, false)}, "call"},
		{"another task has just paused it, and Describe may lag", []func(*situation){other(stop.ActionStop, stop.OutcomePaused, true, true)}, "wait settle"},
		{"another task has paused it, and somebody has resumed it since", []func(*situation){other(stop.ActionStop, stop.OutcomePaused, false, true)}, "call"},
		{"another task has failed to pause it", []func(*situation){other(stop.ActionStop, stop.OutcomeFailed, true, false)}, "call"},
		{"another task has resumed it", []func(*situation){other(stop.ActionResume, stop.OutcomeResumed, true, true)}, "call"},
		{"our lost Stop, and another's that was accepted after it", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusManualPause)), other(stop.ActionStop, stop.OutcomePaused, true, true)}, "already_paused MANUAL_PAUSE"},
		{"our lost Stop, and another's that was lost too", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusManualPause)), other(stop.ActionStop, stop.OutcomePaused, true, false)}, "paused MANUAL_PAUSE"},

		{"resume: what is paused by hand", []func(*situation){resume, see(shows(stop.StatusManualPause))}, "call"},
		{"resume: what paused by itself, and was named", []func(*situation){resume, see(shows(stop.StatusFailedPause))}, "call"},
		{"resume: what paused by itself, and was not named", []func(*situation){resume, strict, see(shows(stop.StatusAutoPause))}, "conflict AUTO_PAUSE"},
		{"resume: what runs", []func(*situation){resume}, "conflict RUNNING"},
		{"resume: what has not begun", []func(*situation){resume, see(shows(stop.StatusInit))}, "conflict INIT"},
		{"resume: what nobody knows", []func(*situation){resume, see(shows("PONDERING"))}, "call"},
		{"resume: what has ended", []func(*situation){resume, see(shows(stop.StatusCancelled))}, "conflict CANCELLED"},
		{"resume: a rollback", []func(*situation){resume, see(rollback(stop.StatusManualPause))}, "call"},
		{"resume: a group without a live activity", []func(*situation){resume, groupOnly, see(nothing())}, "not_found"},
		{"resume: an activity that is not shown", []func(*situation){resume, see(nothing())}, "call"},
		{"resume: dry run", []func(*situation){resume, dry, see(shows(stop.StatusManualPause))}, "would_resume MANUAL_PAUSE"},
		{"resume: accepted", []func(*situation){resume, answered(stop.ClassOK, 1, 0)}, "resumed"},
		{"resume: not found", []func(*situation){resume, answered(stop.ClassNotFound, 1, 0)}, "not_found"},
		{"resume: conflict is read back", []func(*situation){resume, answered(stop.ClassConflict, 1, 0)}, "read"},
		{"resume: conflict, going on", []func(*situation){resume, before(stop.ClassConflict, 1, 0, now)}, "conflict RUNNING"},
		{"resume: conflict, shown paused", []func(*situation){resume, before(stop.ClassConflict, 1, 0, now), see(shows(stop.StatusManualPause))}, "conflict MANUAL_PAUSE"},
		{"resume: our lost Resume had worked", []func(*situation){resume, before(stop.ClassTransient, 1, 1, now)}, "resumed RUNNING"},
		{"resume: our lost Resume had worked, and it is through", []func(*situation){resume, before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusSuccessful))}, "resumed SUCCESSFUL"},
		{"resume: our lost Resume had worked, and it paused by itself", []func(*situation){resume, wasPaused, before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusAutoPause))}, "resumed AUTO_PAUSE"},
		{"resume: our lost Resume of what had paused by itself", []func(*situation){resume, before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusAutoPause))}, "failed AUTO_PAUSE"},
		{"resume: our lost Resume had not worked", []func(*situation){resume, before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusManualPause))}, "call"},
		{"resume: cancelled after our lost Resume", []func(*situation){resume, before(stop.ClassTransient, 1, 1, now), see(shows(stop.StatusCancelled))}, "conflict CANCELLED"},
		{"resume: another task is calling", []func(*situation){resume, see(shows(stop.StatusManualPause)), other(stop.ActionStop, "", true, false)}, "wait other"},
		{"resume: another has just resumed it, and Describe may lag", []func(*situation){resume, see(shows(stop.StatusManualPause)), other(stop.ActionResume, stop.OutcomeResumed, true, true)}, "wait settle"},
		{"resume: expired", []func(*situation){resume, over, see(shows(stop.StatusManualPause))}, "expired MANUAL_PAUSE"},

		{"lost Stop, account held, NotAfter passed", []func(*situation){before(stop.ClassTransient, 1, 1, now), see(&reading{held: time.Second}), over}, "failed"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			s := base0()
			for _, g := range row.given {
				g(&s)
			}
			if got := name(decide(s)); got != row.want {
				t.Errorf("decided %q, want %q", got, row.want)
			}
		})
	}
}

func name(d decision) string {
	switch d.next {
	case doRead:
		return "read"
	case doCall:
		return "call"
	case doWait:
		return "wait " + map[wait]string{waitBackoff: "backoff", waitRead: "read", waitThrottle: "throttle", waitHold: "hold", waitSettle: "settle", waitWorker: "worker", waitOther: "other", waitRegion: "region"}[d.wait]
	}
	if d.status == "" {
		return string(d.outcome)
	}
	return fmt.Sprintf("%s %s", d.outcome, d.status)
}

// TestDecideEverywhere walks through every combination of what a decision
// depends on and checks what must hold whatever the combination.
func TestDecideEverywhere(t *testing.T) {
	statuses := []stop.Status{
		"", stop.StatusInit, stop.StatusRunning, stop.StatusSuccessful, stop.StatusFailedPause, stop.StatusAutoPause,
		stop.StatusManualPause, stop.StatusCancelled, stop.StatusFailed, "PONDERING",
	}
	var readings []*reading
	readings = append(readings, nil, &reading{held: time.Second})
	for _, c := range stop.Classes() {
		if c != stop.ClassOK {
			readings = append(readings, unread(c))
		}
	}
	for _, s := range statuses {
		if s == "" {
			readings = append(readings, nothing())
			continue
		}
		readings = append(readings, shows(s), rollback(s))
	}
	n := 0
	for _, seen := range readings {
		for _, last := range append(stop.Classes(), "") {
			for _, fresh := range []bool{false, seen == nil && last != ""} {
				for _, attempts := range []int{0, 1, maxAttempts} {
					for _, unknown := range []int{0, 1} {
						for bits := range 512 {
							s := base0()
							s.seen, s.fresh = seen, fresh
							s.history = stop.History{Attempts: attempts, Unknown: unknown, CalledAt: now}
							if last != "" {
								s.history.Last = &stop.Answer{Class: last, Code: "Some.Code"}
							}
							for i, set := range []func(*situation){over, dry, allow, groupOnly, pausedHere, reads(maxReads), unserved, resume, strict} {
								if bits&(1<<i) != 0 {
									set(&s)
								}
							}
							check(t, s, decide(s))
							n++
						}
					}
				}
			}
		}
	}
	t.Logf("%d situations", n)
}

func check(t *testing.T, s situation, d decision) {
	t.Helper()
	fail := func(rule string) {
		t.Fatalf("%s: %s in %+v (seen %+v, last %+v)", rule, name(d), s, s.seen, s.history.Last)
	}
	past := s.now.After(s.task.NotAfter)
	known := s.seen != nil && s.seen.held == 0 && s.seen.answer.OK()
	resumes := s.task.Action == stop.ActionResume
	freshOK := s.fresh && s.history.Last.Class == stop.ClassOK
	switch {
	case d.next == doCall && past:
		fail("no call after NotAfter")
	case d.next == doCall && s.unserved:
		fail("no call without the account")
	case d.next == doCall && s.task.DryRun:
		fail("no call in a dry run")
	case d.next == doCall && !known:
		fail("no call before the activity has been read")
	case d.next == doCall && !resumes && s.seen.activity != nil && s.seen.activity.Status.Paused():
		fail("no Stop for what stands still")
	case d.next == doCall && resumes && s.seen.activity != nil && (s.seen.activity.Status == stop.StatusRunning || s.seen.activity.Status.Ended()):
		fail("no Resume for what goes on or is over")
	case d.next == doCall && resumes && s.task.Strict && s.seen.activity != nil && s.seen.activity.Status.Paused() && s.seen.activity.Status != stop.StatusManualPause:
		fail("no Resume of a selector for what paused by itself")
	case d.next == doEnd && resumes && (d.outcome == stop.OutcomePaused || d.outcome == stop.OutcomeAlreadyPaused || d.outcome == stop.OutcomeWouldPause):
		fail("a Resume does not pause")
	case d.next == doEnd && !resumes && (d.outcome == stop.OutcomeResumed || d.outcome == stop.OutcomeWouldResume):
		fail("a Stop does not resume")
	case d.next == doEnd && d.outcome == stop.OutcomeResumed && !freshOK && s.history.Unknown == 0:
		fail("resumed without a Resume of ours")
	case d.next == doCall && !resumes && s.seen.activity != nil && s.seen.activity.ActivityType == stop.TypeRollback && !s.task.AllowRollback:
		fail("no call for a rollback")
	case d.next == doCall && s.history.Attempts >= maxAttempts:
		fail("no call when the attempts are used up")
	case d.next == doEnd && d.outcome == stop.OutcomePaused && !freshOK && s.history.Unknown == 0:
		fail("paused without a Stop of ours")
	case d.next == doEnd && !resumes && d.outcome == stop.OutcomeConflict && known && s.seen.activity != nil && s.seen.activity.Status.Paused():
		fail("a paused activity is no conflict")
	case d.next == doEnd && d.outcome == stop.OutcomeConflict && s.history.Unknown > 0 && s.seen == nil:
		fail("conflict without a read-back")
	case d.next == doEnd && (s.lastClass() == stop.ClassCredential && s.fresh):
		fail("refused credentials never end a request")
	case d.next == doEnd && d.message == "":
		fail("every end says why")
	}
}
