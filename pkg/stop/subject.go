package stop

import "strings"

// Streams of JetStream that are the contract's, as is what they hold.
const (
	StreamStop    = "AS_REFRESH_STOP"
	StreamResume  = "AS_REFRESH_RESUME"
	StreamResults = "AS_REFRESH_RESULTS"
	StreamDead    = "AS_REFRESH_DEAD"
)

// Streams and buckets that are internal.
const (
	// StreamTasks holds what the plan made of the requests.
	StreamTasks = "AS_REFRESH_TASKS"
	// StreamBulk holds the requests for several targets until their summary.
	StreamBulk = "AS_REFRESH_BULK"
	// BucketHistory holds what tasks have been through.
	BucketHistory = "as_refresh_history"
	// BucketLimiter holds the schedule of permits, one key for each action and
	// quota.
	BucketLimiter = "as_refresh_limiter"
	// BucketManifests holds the targets of requests that mean several.
	BucketManifests = "as_refresh_manifests"
	// BucketCalls holds the last call that was made on each activity.
	BucketCalls = "as_refresh_calls"
	// BucketControl holds what the whole fleet goes by, such as the hold.
	BucketControl = "as_refresh_control"
)

// Subjects. Nothing from a payload becomes part of one before it has been
// checked against a pattern of this package.
const (
	SubjectStop     = "as.refresh.stop"
	SubjectResume   = "as.refresh.resume"
	SubjectResults  = "as.refresh.result"
	SubjectDead     = "as.refresh.dead"
	SubjectTasks    = "as.refresh.task"
	SubjectBulk     = "as.refresh.bulk"
	SubjectProgress = "as.refresh.progress"
)

// HeaderSince is the header of a request that says since when what it is about has
// been so, as RFC 3339: a pause that is asked because of an alert is not made when
// somebody has resumed the group since the alert began.
const HeaderSince = "Andon-Since"

// ActionOf is what a request asks for by the subject it was published to.
func ActionOf(subject string) string {
	if under(subject, SubjectResume) {
		return ActionResume
	}
	return ActionStop
}

// LaneOf is the lane of a request by the subject it was published to.
func LaneOf(subject string) Lane {
	lane, _ := laneToken(subject)
	return lane
}

// TeamOf is the first token of a subject that is free, by which operators tell
// publishers apart; empty when there is none.
func TeamOf(subject string) string {
	_, rest := laneToken(subject)
	team, _, _ := strings.Cut(rest, ".")
	return team
}

// ValidTeam reports whether a token can name a team: it stands where a lane might.
func ValidTeam(team string) bool {
	return ValidID(team) && LaneOf(SubjectStop+"."+team) == LaneNormal
}

// laneToken reads the lane of a subject, and what follows it.
func laneToken(subject string) (l Lane, rest string) {
	prefix := prefixOf(ActionOf(subject))
	if !under(subject, prefix) {
		return LaneNormal, ""
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(subject, prefix), ".")
	token, after, _ := strings.Cut(rest, ".")
	switch l := Lane(token); l {
	case LaneUrgent, LaneBulk:
		return l, after
	default:
		return LaneNormal, rest
	}
}

func prefixOf(action string) string {
	if action == ActionResume {
		return SubjectResume
	}
	return SubjectStop
}

func under(subject, prefix string) bool {
	return subject == prefix || strings.HasPrefix(subject, prefix+".")
}

// UrgentSubjects are the subjects whose requests have the urgent lane.
func UrgentSubjects() []string {
	urgent := RequestSubject(ActionStop, LaneUrgent)
	return []string{urgent, urgent + ".>"}
}

// RequestSubject is where a request for this action and lane is published.
func RequestSubject(action string, l Lane) string {
	if l == LaneUrgent || l == LaneBulk {
		return prefixOf(action) + "." + string(l)
	}
	return prefixOf(action)
}

// ResultSubject is where the result of a request stands, or of one target of
// it: see [Task.Key].
func ResultSubject(key string) string { return SubjectResults + "." + key }

// TargetResults matches the results of the targets of a request that names
// several.
func TargetResults(request string) string { return ResultSubject(request) + ".*" }

// DeadSubject is where a request that was given up stands.
func DeadSubject(request string) string { return SubjectDead + "." + request }

// BulkSubject is where a request for several targets waits for its summary.
func BulkSubject(request string) string { return SubjectBulk + "." + request }

// ProgressSubject is where the progress of a request is told, not stored.
func ProgressSubject(request string) string { return SubjectProgress + "." + request }

// TaskSubject is where a task waits: quota and lane have tokens of their own,
// so that each (quota, lane) can be consumed by itself.
func TaskSubject(t Task) string {
	return strings.Join([]string{SubjectTasks, t.Quota.Token(), string(t.Lane), t.Key()}, ".")
}

// PartSubject is where a part of a bulk waits, among the tasks of its quota.
func PartSubject(p Part) string {
	return strings.Join([]string{SubjectTasks, p.Quota.Token(), string(p.Of.Task.Lane), p.Key()}, ".")
}

// IsPart reports whether the subject of a task is that of a part. A request may
// be called like a part, but has no token before its own.
func IsPart(subject string) bool {
	tokens := strings.Split(strings.TrimPrefix(subject, SubjectTasks+"."), ".")
	return len(tokens) == 4 && strings.HasPrefix(tokens[3], partPrefix)
}

// TaskClaim matches the task with this key, whatever its quota and lane: at
// most one message may stand under it.
func TaskClaim(key string) string { return SubjectTasks + ".*.*." + key }

// LaneTasks matches the tasks of one quota (by token) in one lane.
func LaneTasks(quota string, l Lane) string {
	return SubjectTasks + "." + quota + "." + string(l) + ".>"
}

// TaskQuota is the token of the quota in the subject of a task.
func TaskQuota(subject string) string {
	token, _, _ := strings.Cut(strings.TrimPrefix(subject, SubjectTasks+"."), ".")
	return token
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
