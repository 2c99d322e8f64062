package stop

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Lane orders the tasks of one quota: urgent before normal before bulk.
type Lane string

// The three lanes.
const (
	LaneUrgent Lane = "urgent"
	LaneNormal Lane = "normal"
	LaneBulk   Lane = "bulk"
)

// Lanes lists the lanes, first come first served among them.
func Lanes() []Lane { return []Lane{LaneUrgent, LaneNormal, LaneBulk} }

// Before reports whether tasks of this lane go before those of the other.
func (l Lane) Before(other Lane) bool {
	return slices.Index(Lanes(), l) < slices.Index(Lanes(), other)
}

// Actions of the API that andon calls. They are also metric labels.
const (
	ActionStop     = "StopInstanceRefresh"
	ActionResume   = "ResumeInstanceRefresh"
	ActionDescribe = "DescribeRefreshActivities"
	ActionGroups   = "DescribeAutoScalingGroups"
)

// Actions lists the actions, for metrics that create their labels at start.
func Actions() []string { return []string{ActionStop, ActionResume, ActionDescribe, ActionGroups} }

// Quota is what the API counts calls against: the account (its sub-account)
// and the access endpoint, whatever region the resource is in. Each action
// has a budget of its own within it.
// Source: https://cloud.tencent.com/document/product/1278/109059
type Quota struct {
	Account string `json:"Account"`
	// Endpoint is the access endpoint as a URL, "{region}" already replaced.
	Endpoint string `json:"Endpoint"`
}

// Token is the quota as one subject token: letters, digits, "-" and "_" only.
// The account stands in it to the letter, so that no two accounts share one.
func (q Quota) Token() string {
	host := q.Endpoint
	if u, err := url.Parse(q.Endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	return token(q.Account) + "_" + strings.ReplaceAll(token(host), "_", "-")
}

func token(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, s)
}

// Task is one activity to stop or to resume, for one request, in one lane,
// against one quota. It is made once by the plan and never changes.
type Task struct {
	// Request is the identity of the request. Sequence is where the request
	// stood in its stream: two messages with the same identity differ in it.
	Request  string `json:"Request"`
	Sequence uint64 `json:"Sequence"`
	// Name is the target's within a request that means several, empty else.
	Name string `json:"Name,omitempty"`
	// Action is ActionStop or ActionResume. Resuming has a Mode.
	Action string     `json:"Action"`
	Mode   ResumeMode `json:"Mode,omitempty"`
	// Strict: only what was paused by hand is resumed.
	Strict bool   `json:"Strict,omitempty"`
	Target Target `json:"Target"`
	Lane   Lane   `json:"Lane"`
	Quota  Quota  `json:"Quota"`

	Reason        string `json:"Reason,omitempty"`
	RequestedBy   string `json:"RequestedBy,omitempty"`
	Incident      string `json:"Incident,omitempty"`
	Traceparent   string `json:"Traceparent,omitempty"`
	DryRun        bool   `json:"DryRun,omitempty"`
	AllowRollback bool   `json:"AllowRollback,omitempty"`
	// Since is since when what the request is about has been so. Who has resumed the
	// group after that knows of it, and is not overruled.
	Since time.Time `json:"Since,omitzero"`

	// RequestedAt is the stored time of the request; NotAfter ends its life;
	// StartedAt is when the plan first looked at it.
	RequestedAt time.Time `json:"RequestedAt"`
	NotAfter    time.Time `json:"NotAfter"`
	StartedAt   time.Time `json:"StartedAt"`

	// Seen is the activity as the plan read it at SeenAt, nil where the API
	// showed none. Of a task that is Unread the plan knows neither, because the
	// API could not be asked; it is read before anything is decided.
	Seen   *Activity `json:"Seen,omitempty"`
	SeenAt time.Time `json:"SeenAt,omitzero"`
	Unread bool      `json:"Unread,omitempty"`
}

// TaskTraceparent is the trace context of the request whose task, or part, a message
// holds.
func TaskTraceparent(m Message) string {
	var held struct {
		Traceparent string
		Of          struct{ Task struct{ Traceparent string } }
	}
	_ = json.Unmarshal(m.Data, &held) // what cannot be read has no trace
	return traceparent(first(held.Traceparent, held.Of.Task.Traceparent))
}

// Key is the identity of a task: of its request, or of its target within that.
// It makes one or two tokens of a subject.
func (t Task) Key() string {
	if t.Name == "" {
		return t.Request
	}
	return t.Request + "." + t.Name
}

// ResumeMode says what becomes of the instances of a batch that failed
// (https://www.tencentcloud.com/document/api/377/59079).
type ResumeMode string

// The modes of ResumeInstanceRefresh.
const (
	// ResumeRetry tries them again.
	ResumeRetry ResumeMode = "RETRY"
	// ResumeContinue leaves them as they are.
	ResumeContinue ResumeMode = "CONTINUE"
)

// History is what a task has been through. Deliveries of its message are not
// attempts: waiting, throttling, refused credentials and crashes of a worker
// cost a delivery but no attempt.
type History struct {
	// Attempts counts calls that were answered, or not, on the task's account.
	Attempts int `json:"Attempts,omitempty"`
	// Unknown counts calls that may have been executed without our knowing.
	Unknown int `json:"Unknown,omitempty"`
	// Reads counts read-backs in a row that failed.
	Reads int `json:"Reads,omitempty"`
	// CalledAt is when the last call was begun.
	CalledAt time.Time `json:"CalledAt,omitzero"`
	// Activity is what the group's live activity was found to be, where the
	// task does not name it. A task never moves on to another.
	Activity string `json:"Activity,omitempty"`
	// Clear is up to which revision of the call on the activity it is known what
	// became of this task's own.
	Clear uint64 `json:"Clear,omitempty"`
	// Last is the last answer to the task's own call, nil before the first.
	Last *Answer `json:"Last,omitempty"`

	// Key names the history in its bucket.
	Key string `json:"-"`
	// Revision is where the history was stored; a writer whose revision is
	// stale has lost the task to another worker. Zero: never stored.
	Revision uint64 `json:"-"`
}
