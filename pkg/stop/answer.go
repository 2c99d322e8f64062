package stop

import "time"

// Class says what an answer of the API means for the request: the closed set
// of contract section 4. It is also a metric label.
type Class string

const (
	// ClassOK: the API accepted the call.
	ClassOK Class = "ok"
	// ClassThrottled: the quota is used up. The whole fleet slows down; it is
	// not an attempt.
	ClassThrottled Class = "throttled"
	// ClassTransient: worth another try; the fate of the call is unknown.
	ClassTransient Class = "transient"
	// ClassConflict: the activity's status does not allow the call.
	ClassConflict Class = "conflict"
	// ClassNotFound: the API knows no such activity or group.
	ClassNotFound Class = "not_found"
	// ClassCredential: the account's credentials or permissions were refused.
	// Not the request's fault.
	ClassCredential Class = "credential"
	// ClassCaller: the call itself is wrong and will be wrong again.
	ClassCaller Class = "caller"
)

// Classes lists every class, for metrics that create their labels at start.
func Classes() []Class {
	return []Class{
		ClassOK, ClassThrottled, ClassTransient, ClassConflict,
		ClassNotFound, ClassCredential, ClassCaller,
	}
}

// CodeConflict is the one code of StopInstanceRefresh that means "the status
// of the activity does not allow it"
// (https://www.tencentcloud.com/document/api/377/59078).
const CodeConflict = "ResourceUnavailable.RefreshActivityStatusConflictWithOperation"

// Answer is how one API call ended, as a value: a refusal of the API is data
// here, not an error to search.
type Answer struct {
	Class     Class  `json:"Class"`
	Code      string `json:"Code,omitempty"`
	Message   string `json:"Message,omitempty"`
	RequestID string `json:"RequestId,omitempty"`
	// Unsent is true when the call certainly never reached the API, for
	// instance because the connection was refused: its fate is known.
	Unsent bool `json:"Unsent,omitempty"`
}

// OK reports whether the API accepted the call.
func (a Answer) OK() bool { return a.Class == ClassOK }

// Status is the state of an activity in the API's own words
// (https://www.tencentcloud.com/document/api/377/59082). Values that are not
// listed here may appear and are treated as "not known to be over".
type Status string

// The statuses that the API documents.
const (
	StatusInit        Status = "INIT"
	StatusRunning     Status = "RUNNING"
	StatusSuccessful  Status = "SUCCESSFUL"
	StatusFailedPause Status = "FAILED_PAUSE"
	StatusAutoPause   Status = "AUTO_PAUSE"
	StatusManualPause Status = "MANUAL_PAUSE"
	StatusCancelled   Status = "CANCELLED"
	StatusFailed      Status = "FAILED"
)

// LiveStatuses are the statuses of an activity that is not over: a group has
// at most one such activity. There are five, which is as many values as one
// filter of DescribeRefreshActivities takes.
func LiveStatuses() []Status {
	return []Status{StatusInit, StatusRunning, StatusFailedPause, StatusAutoPause, StatusManualPause}
}

// Paused reports whether the activity stands still, by whoever's doing.
func (s Status) Paused() bool {
	return s == StatusManualPause || s == StatusAutoPause || s == StatusFailedPause
}

// Ended reports whether the activity is over and can never be paused again.
func (s Status) Ended() bool {
	return s == StatusSuccessful || s == StatusFailed || s == StatusCancelled
}

// TypeRollback is the ActivityType of an activity that undoes another one.
const TypeRollback = "ROLLBACK"

// Activity is an instance refresh as DescribeRefreshActivities showed it.
type Activity struct {
	AutoScalingGroupID string    `json:"AutoScalingGroupId"`
	RefreshActivityID  string    `json:"RefreshActivityId"`
	ActivityType       string    `json:"ActivityType,omitempty"`
	Status             Status    `json:"Status"`
	CreatedTime        time.Time `json:"CreatedTime,omitzero"`
}

// Group is a scaling group as DescribeAutoScalingGroups showed it.
type Group struct {
	AutoScalingGroupID    string
	Name                  string
	LaunchConfigurationID string
	Tags                  map[string]string
}

// GroupScope selects groups of one account in one region: those with GroupIDs
// (at most MaxActivityIDs), else those that have the launch configuration and
// the tags, where they are set.
type GroupScope struct {
	Account               string
	Region                string
	GroupIDs              []string
	LaunchConfigurationID string
	Tags                  map[string]string
	// Offset skips that many groups.
	Offset int
}

// GroupPage is a part of what a GroupScope selects. Total counts all of it.
type GroupPage struct {
	Groups []Group
	Total  int
}

// Scope selects activities of one account in one region. Either
// ActivityIDs names them (at most MaxActivityIDs), or GroupIDs (at most
// MaxGroupIDs) asks for the live activities of these groups, or both are
// empty and every live activity of the region is meant.
type Scope struct {
	Account     string
	Region      string
	ActivityIDs []string
	GroupIDs    []string
	// Offset skips that many activities: a region may need several pages.
	Offset int
}

// Page is a part of what a Scope selects. Total counts all of it.
type Page struct {
	Activities []Activity
	Total      int
}

// Limits of DescribeRefreshActivities: ids in one call, values in one filter.
const (
	MaxActivityIDs = 100
	MaxGroupIDs    = 5
)
