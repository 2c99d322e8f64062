package handler

import (
	"fmt"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// maxAttempts is how often a Stop is tried, contract section 4.
	maxAttempts = 8
	// maxReads is how often in a row reading an activity may fail.
	maxReads = 8
	// settling is how long DescribeRefreshActivities may lag behind a Stop.
	// The API documents no bound; this one is a guess, and only delays the
	// word "conflict" where our own Stop may have worked.
	settling = 15 * time.Second
	// stale is how old a reading may be that ends a task without a call. One
	// that leads to a call may be any age: the API judges the call.
	stale = 5 * time.Second
)

// next says what to do about a task.
type next int

const (
	doEnd  next = iota // the request ends with an outcome
	doRead             // read the activity, then decide again
	doCall             // make the call, then decide again
	doWait             // come back later
)

// wait says why a task comes back later; its delay follows from that.
type wait int

const (
	waitBackoff  wait = iota // after a failed attempt
	waitRead                 // after a failed read
	waitThrottle             // after the API refused for its rate
	waitHold                 // while the account's credentials are refused
	waitSettle               // until Describe shows what our Stop did
	waitWorker               // for a worker that has the account
	waitRegion               // for a region that does not answer
	waitOther                // for another task that is calling for the same activity
)

// decision is the answer of decide.
type decision struct {
	next    next
	wait    wait
	outcome stop.Outcome
	answer  stop.Answer // what the result says of the API: code, message, request id
	status  stop.Status
	message string
	saved   saved // why no call was needed, for the metric
}

func end(o stop.Outcome, format string, args ...any) decision {
	return decision{next: doEnd, outcome: o, message: fmt.Sprintf(format, args...)}
}

func (d decision) of(a *stop.Activity) decision {
	if a != nil {
		d.status = a.Status
	}
	return d
}

func (d decision) because(a *stop.Answer) decision {
	if a != nil {
		d.answer = *a
	}
	return d
}

func (d decision) saving(why saved) decision {
	d.saved = why
	return d
}

// decide holds every rule about how a request ends. It is pure: the same
// situation always has the same decision.
func decide(s situation) decision {
	if s.fresh {
		if d, done := decideAnswer(s); done {
			return d
		}
	}
	if s.unserved {
		return decideUnserved(s)
	}
	if !s.doubt() && s.now.After(s.task.NotAfter) {
		return expired(s)
	}
	if s.seen == nil {
		return decision{next: doRead}
	}
	if s.seen.held > 0 {
		return heldOff(s)
	}
	if !s.seen.answer.OK() {
		return decideUnread(s)
	}
	d := decideRead(s)
	if d.next == doEnd && s.stale() {
		return decision{next: doRead}
	}
	return d
}

// decideRead judges when the activity has been read.
func decideRead(s situation) decision {
	if d, done := decideSeen(s); done {
		return d
	}
	over, spent := s.now.After(s.task.NotAfter), s.history.Attempts >= maxAttempts
	switch {
	case (over || spent) && s.unsettled():
		return decision{next: doWait, wait: waitSettle}
	case over:
		return expired(s)
	case s.task.DryRun && s.seen.activity == nil:
		return end(stop.OutcomeNotFound, "dry run: the API shows no such activity").saving(savedDryRun)
	case s.task.DryRun:
		return end(would(s.task.Action), "dry run: a %s would have been sent", s.verb()).of(s.seen.activity).saving(savedDryRun)
	case spent:
		return end(stop.OutcomeFailed, "given up after %d attempts: %s", s.history.Attempts, say(s.history.Last)).of(s.seen.activity).because(s.history.Last)
	case s.other.busy():
		return decision{next: doWait, wait: waitOther}
	case s.other.did(s.task.Action) && s.other.recent:
		// Describe lags, or somebody has undone it since: soon it is known.
		return decision{next: doWait, wait: waitSettle}
	default:
		return decision{next: doCall}
	}
}

// decideAnswer judges the answer to a call made just now, where it says
// enough by itself.
func decideAnswer(s situation) (decision, bool) {
	last := s.history.Last
	switch last.Class {
	case stop.ClassOK:
		return end(goal(s.task.Action), "the API accepted the %s", s.verb()).of(s.last).because(last), true
	case stop.ClassNotFound:
		return end(stop.OutcomeNotFound, "%s", say(last)).because(last), true
	case stop.ClassCaller:
		return end(stop.OutcomeFailed, "the API will not accept this call: %s", say(last)).of(s.last).because(last), true
	case stop.ClassThrottled:
		return decision{next: doWait, wait: waitThrottle}, true
	case stop.ClassCredential:
		return decision{next: doWait, wait: waitHold}, true
	case stop.ClassTransient:
		if s.history.Attempts < maxAttempts {
			return decision{next: doWait, wait: waitBackoff}, true
		}
	}
	return decision{}, false
}

// decideSeen judges by the activity as it was read.
func decideSeen(s situation) (decision, bool) {
	a, conflict := s.seen.activity, s.lastClass() == stop.ClassConflict
	switch {
	case a == nil && s.task.Target.RefreshActivityID == "":
		return end(stop.OutcomeNotFound, "no live instance refresh was found for %s in %s; if one should be, check group, region and account, for the API does not say whether the group exists",
			s.task.Target.AutoScalingGroupID, s.task.Target.Region).saving(savedNotLive), true
	case a == nil && conflict:
		return end(stop.OutcomeConflict, "the API refused the %s and shows no such activity", s.verb()).because(s.history.Last), true
	case a == nil:
		// The API may know what it does not show: let it judge the call.
		return decision{}, false
	case a.AutoScalingGroupID != "" && a.AutoScalingGroupID != s.task.Target.AutoScalingGroupID:
		return end(stop.OutcomeNotFound, "activity %s belongs to the group %s", a.RefreshActivityID, a.AutoScalingGroupID).saving(savedNotLive), true
	case s.task.Action == stop.ActionResume:
		return decideResume(s, a, conflict)
	default:
		return decideStop(s, a, conflict)
	}
}

// decideStop judges an activity that is to be paused.
func decideStop(s situation, a *stop.Activity, conflict bool) (decision, bool) {
	switch {
	case a.Status == stop.StatusManualPause && s.history.Unknown > 0 && !s.other.took(stop.ActionStop):
		return end(stop.OutcomePaused, "found paused after a Stop of this request whose answer was lost").of(a).because(s.history.Last), true
	case a.Status.Paused():
		d := end(stop.OutcomeAlreadyPaused, "%s", standing(a.Status, s.other)).of(a)
		if s.history.Attempts == 0 {
			d = d.saving(savedPaused)
		}
		return d, true
	case s.other.since(stop.ActionResume, s.task.Since):
		return end(stop.OutcomeRefused, "it was resumed at %s by request %s, after what asks for the pause had begun (%s); whoever resumed it knew. A request without %s pauses it all the same",
			s.other.at.UTC().Format(time.RFC3339), s.other.key, s.task.Since.Format(time.RFC3339), stop.HeaderSince).of(a).saving(savedResumed), true
	case a.ActivityType == stop.TypeRollback && !s.task.AllowRollback:
		return end(stop.OutcomeRefused, "the activity is a rollback, which is the way out of a bad rollout; set AllowRollback to pause it all the same").of(a).saving(savedRollback), true
	case a.Status.Ended():
		return ended(s, a, conflict), true
	case conflict && s.other.did(stop.ActionStop) && s.other.recent:
		return end(stop.OutcomeAlreadyPaused, "%s", standing(stop.StatusManualPause, s.other)).of(a), true
	case conflict && s.unsettled():
		return decision{next: doWait, wait: waitSettle}, true
	case conflict:
		return end(stop.OutcomeConflict, "the activity cannot be paused in its present phase (%s)", a.Status).of(a).because(s.history.Last), true
	}
	return decision{}, false
}

// decideResume judges an activity that is to go on.
func decideResume(s situation, a *stop.Activity, conflict bool) (decision, bool) {
	byItself := a.Status == stop.StatusAutoPause || a.Status == stop.StatusFailedPause
	wasManual := s.task.Seen != nil && s.task.Seen.Status == stop.StatusManualPause
	switch {
	case s.history.Unknown > 0 && (a.Status == stop.StatusRunning || a.Status == stop.StatusSuccessful || byItself && wasManual):
		return end(stop.OutcomeResumed, "found going on after a Resume of this request whose answer was lost").of(a).because(s.history.Last), true
	case s.history.Unknown > 0 && byItself:
		// Once more could skip a batch that nobody has looked at.
		return end(stop.OutcomeFailed, "a Resume was sent and its fate is not known: the activity was %s before and is now; look at it before you go on", a.Status).of(a).because(s.history.Last), true
	case a.Status.Ended():
		return ended(s, a, conflict), true
	case a.Status == stop.StatusRunning || a.Status == stop.StatusInit:
		return notPaused(s, a, conflict), true
	case byItself && s.task.Strict:
		return end(stop.OutcomeConflict, "the activity stands still by itself (%s), not by a pause; to resume it, name its group in a request of its own", a.Status).of(a).saving(savedNotLive), true
	case conflict && s.unsettled():
		return decision{next: doWait, wait: waitSettle}, true
	case conflict:
		return end(stop.OutcomeConflict, "the activity cannot be resumed in its present phase (%s)", a.Status).of(a).because(s.history.Last), true
	}
	return decision{}, false
}

// ended: nothing can be done to the activity any more.
func ended(s situation, a *stop.Activity, conflict bool) decision {
	d := end(stop.OutcomeConflict, "the activity has ended: %s", a.Status).of(a).because(s.history.Last)
	if conflict {
		return d
	}
	return unasked(d, savedEnded)
}

// notPaused: there is nothing to resume.
func notPaused(s situation, a *stop.Activity, conflict bool) decision {
	message := fmt.Sprintf("the activity is not paused: %s", a.Status)
	if s.other.did(stop.ActionResume) {
		message = fmt.Sprintf("the activity was resumed at %s by request %s: %s", s.other.at.UTC().Format(time.RFC3339), s.other.key, a.Status)
	}
	d := end(stop.OutcomeConflict, "%s", message).of(a).because(s.history.Last)
	if conflict {
		return d
	}
	return unasked(d, savedNotPaused)
}

// unasked: the API would refuse with this code; asking it is a call wasted.
func unasked(d decision, why saved) decision {
	d.answer = stop.Answer{Code: stop.CodeConflict}
	return d.saving(why)
}

// would is the outcome of a dry run.
func would(action string) stop.Outcome {
	if action == stop.ActionResume {
		return stop.OutcomeWouldResume
	}
	return stop.OutcomeWouldPause
}

// decideUnread judges when the activity could not be read.
func decideUnread(s situation) decision {
	read := &s.seen.answer
	over := s.now.After(s.task.NotAfter)
	switch {
	case s.doubt() && (over || s.history.Reads >= maxReads):
		return fateUnknown(s)
	case read.Class == stop.ClassThrottled:
		return decision{next: doWait, wait: waitThrottle}
	case read.Class == stop.ClassCredential:
		return decision{next: doWait, wait: waitHold}
	case read.Class == stop.ClassNotFound && !s.doubt():
		return end(stop.OutcomeNotFound, "%s", say(read)).because(read)
	case read.Class == stop.ClassTransient && s.history.Reads < maxReads:
		return decision{next: doWait, wait: waitRead}
	case s.doubt():
		return fateUnknown(s)
	default:
		return end(stop.OutcomeFailed, "the activity cannot be read, given up after %d tries: %s", max(s.history.Reads, 1), say(read)).because(read)
	}
}

// decideUnserved leaves a task to workers that have its account, for as long as
// one may come.
func decideUnserved(s situation) decision {
	switch account := s.task.Target.Account; {
	case !s.now.After(s.task.NotAfter):
		return decision{next: doWait, wait: waitWorker}
	case s.history.Unknown > 0:
		return end(stop.OutcomeFailed, "a %s was sent and its fate is not known, because no worker serves the account %s any more; look at the activity before you go on", s.verb(), account).
			because(s.history.Last)
	default:
		return end(stop.OutcomeExpired, "NotAfter %s passed before a %s was accepted: no worker serves the account %s",
			s.task.NotAfter.UTC().Format(time.RFC3339), s.verb(), account).because(s.history.Last).saving(savedExpired)
	}
}

// heldOff: the API could not be asked.
func heldOff(s situation) decision {
	if s.doubt() && s.now.After(s.task.NotAfter) {
		return fateUnknown(s)
	}
	return decision{next: doWait, wait: waitHold}
}

func fateUnknown(s situation) decision {
	if s.history.Unknown == 0 {
		return end(stop.OutcomeConflict, "the API refused the %s, and the activity could not be read: %s", s.verb(), say(&s.seen.answer)).because(s.history.Last)
	}
	return end(stop.OutcomeFailed, "a %s was sent and its fate is not known, because the activity could not be read: %s; look at the activity before you go on", s.verb(), say(&s.seen.answer)).
		because(s.history.Last)
}

func expired(s situation) decision {
	why := ""
	if last := s.history.Last; last != nil {
		why = "; the last answer was: " + say(last)
	} else if s.trouble != nil {
		why = "; the region does not answer: " + say(s.trouble)
	}
	d := end(stop.OutcomeExpired, "NotAfter %s passed before a %s was accepted%s", s.task.NotAfter.UTC().Format(time.RFC3339), s.verb(), why).saving(savedExpired)
	if s.seen != nil {
		d = d.of(s.seen.activity)
	}
	return d.because(s.history.Last)
}

// standing says of an activity that stands still by whose doing.
func standing(s stop.Status, by *deed) string {
	switch {
	case s == stop.StatusManualPause && by.did(stop.ActionStop):
		return fmt.Sprintf("the activity was paused at %s by request %s", by.at.UTC().Format(time.RFC3339), by.key)
	case s == stop.StatusManualPause:
		return "the activity was paused by hand or by another request"
	case s == stop.StatusAutoPause:
		return "the activity paused by itself, by its batch policy; a resume goes on without knowing of this request"
	default:
		return "the activity paused by itself, after a failed batch; a resume goes on without knowing of this request"
	}
}

// say puts an answer of the API in words.
func say(a *stop.Answer) string {
	switch {
	case a == nil:
		return "no answer"
	case a.Code == "":
		return a.Message
	case a.Message == "":
		return a.Code
	default:
		return a.Code + ": " + a.Message
	}
}
