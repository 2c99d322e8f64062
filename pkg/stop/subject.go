package stop

import "strings"

// Streams of JetStream. The first three and what they hold are the contract's.
const (
	StreamStop    = "AS_REFRESH_STOP"
	StreamResults = "AS_REFRESH_RESULTS"
	StreamDead    = "AS_REFRESH_DEAD"
	// StreamTasks is internal: what the plan made of the requests.
	StreamTasks = "AS_REFRESH_TASKS"
	// BucketHistory is internal: what tasks have been through.
	BucketHistory = "as_refresh_history"
	// BucketLimiter is internal: the schedule of permits, one key for each
	// action and quota.
	BucketLimiter = "as_refresh_limiter"
)

// Subjects. Nothing from a payload becomes part of one before it has been
// checked against a pattern of this package.
const (
	SubjectStop    = "as.refresh.stop"
	subjectUrgent  = SubjectStop + ".urgent"
	subjectBulk    = SubjectStop + ".bulk"
	SubjectResults = "as.refresh.result"
	SubjectDead    = "as.refresh.dead"
	SubjectTasks   = "as.refresh.task"
)

// LaneOf is the lane of a request by the subject it was published to.
func LaneOf(subject string) Lane {
	switch {
	case under(subject, subjectUrgent):
		return LaneUrgent
	case under(subject, subjectBulk):
		return LaneBulk
	default:
		return LaneNormal
	}
}

// UrgentSubjects are the subjects whose requests have the urgent lane.
func UrgentSubjects() []string { return []string{subjectUrgent, subjectUrgent + ".>"} }

func under(subject, prefix string) bool {
	return subject == prefix || strings.HasPrefix(subject, prefix+".")
}

// RequestSubject is where a request of this lane is published.
func RequestSubject(l Lane) string {
	switch l {
	case LaneUrgent:
		return subjectUrgent
	case LaneBulk:
		return subjectBulk
	default:
		return SubjectStop
	}
}

// ResultSubject is where the result of a request stands.
func ResultSubject(request string) string { return SubjectResults + "." + request }

// DeadSubject is where a request that was given up stands.
func DeadSubject(request string) string { return SubjectDead + "." + request }

// TaskSubject is where a task waits: quota and lane have tokens of their own,
// so that each (quota, lane) can be consumed by itself.
func TaskSubject(t Task) string {
	return strings.Join([]string{SubjectTasks, t.Quota.Token(), string(t.Lane), t.Request}, ".")
}

// TaskClaim matches every task of a request, whatever its quota and lane: at
// most one message may stand under it.
func TaskClaim(request string) string { return SubjectTasks + ".*.*." + request }

// LaneTasks matches the tasks of one quota (by token) in one lane.
func LaneTasks(quota string, l Lane) string {
	return SubjectTasks + "." + quota + "." + string(l) + ".>"
}

// TaskLane is the lane in the subject of a task.
func TaskLane(subject string) Lane {
	tokens := strings.Split(strings.TrimPrefix(subject, SubjectTasks+"."), ".")
	if len(tokens) < 2 {
		return LaneNormal
	}
	switch l := Lane(tokens[1]); l {
	case LaneUrgent, LaneNormal, LaneBulk:
		return l
	default:
		return LaneNormal
	}
}
