package stop

import (
	"maps"
	"slices"
	"time"
)

// Outcome says how a request ended: the closed set of contract section 3.
type Outcome string

// The outcomes, in the order of the contract.
const (
	// OutcomePaused: the API accepted the Stop, or our own earlier Stop,
	// whose answer never came, had worked.
	OutcomePaused Outcome = "paused"
	// OutcomeAlreadyPaused: the activity stands still, not by this request.
	OutcomeAlreadyPaused Outcome = "already_paused"
	// OutcomeResumed: the API accepted the Resume, or our own earlier one.
	OutcomeResumed Outcome = "resumed"
	// OutcomeWouldPause: dry run; a Stop would have been sent.
	OutcomeWouldPause Outcome = "would_pause"
	// OutcomeWouldResume: dry run; a Resume would have been sent.
	OutcomeWouldResume Outcome = "would_resume"
	// OutcomeConflict: the status does not allow a Stop, and it is not a pause.
	OutcomeConflict Outcome = "conflict"
	// OutcomeNotFound: no such activity or group, or nothing live in it.
	OutcomeNotFound Outcome = "not_found"
	// OutcomeRefused: a guard said no.
	OutcomeRefused Outcome = "refused"
	// OutcomeExpired: NotAfter passed before a Stop was accepted.
	OutcomeExpired Outcome = "expired"
	// OutcomeInvalid: the request cannot be read or breaks the contract.
	OutcomeInvalid Outcome = "invalid"
	// OutcomeFailed: the API refused for another lasting reason, or the
	// attempts ran out.
	OutcomeFailed Outcome = "failed"
	// OutcomeDone: all targets of the request have their result.
	OutcomeDone Outcome = "done"
)

// Outcomes lists every outcome, for metrics that create their labels at start.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomePaused, OutcomeAlreadyPaused, OutcomeResumed, OutcomeWouldPause, OutcomeWouldResume, OutcomeConflict,
		OutcomeNotFound, OutcomeRefused, OutcomeExpired, OutcomeInvalid, OutcomeFailed, OutcomeDone,
	}
}

// Reached reports whether what was asked for is so now, whoever did it.
func (o Outcome) Reached() bool {
	switch o {
	case OutcomePaused, OutcomeAlreadyPaused, OutcomeResumed, OutcomeWouldPause, OutcomeWouldResume:
		return true
	default:
		return false
	}
}

// ResultType is the CloudEvents type of a result.
const ResultType = "as.refresh.stop.result"

// Result is the one terminal record of a request, or of one target of a request
// that means several. Its JSON form is contract section 3.
type Result struct {
	Request string `json:"Request"`
	// Target is the name of the target within a request that means several.
	Target             string    `json:"Target,omitempty"`
	Account            string    `json:"Account,omitempty"`
	Region             string    `json:"Region,omitempty"`
	AutoScalingGroupID string    `json:"AutoScalingGroupId,omitempty"`
	RefreshActivityID  string    `json:"RefreshActivityId,omitempty"`
	Outcome            Outcome   `json:"Outcome"`
	Status             Status    `json:"Status,omitempty"`
	Code               string    `json:"Code,omitempty"`
	Message            string    `json:"Message,omitempty"`
	RequestID          string    `json:"RequestId,omitempty"`
	Attempts           int       `json:"Attempts"`
	Lane               Lane      `json:"Lane"`
	Reason             string    `json:"Reason,omitempty"`
	RequestedBy        string    `json:"RequestedBy,omitempty"`
	Incident           string    `json:"Incident,omitempty"`
	RequestedAt        time.Time `json:"RequestedAt"`
	StartedAt          time.Time `json:"StartedAt"`
	FinishedAt         time.Time `json:"FinishedAt"`
	Worker             string    `json:"Worker"`

	// Summary is there when the Outcome is done.
	*Summary

	// Traceparent travels as a header, not in the payload.
	Traceparent string `json:"-"`
}

// Summary counts how the targets of a request have ended.
type Summary struct {
	Total    int             `json:"Total"`
	Outcomes map[Outcome]int `json:"Outcomes"`
}

// Key is the identity of the result, as of its task: see [Task.Key].
func (r Result) Key() string { return Task{Request: r.Request, Name: r.Target}.Key() }

// Why says for what reason something became a dead letter. It is a metric
// label and a closed set.
type Why string

const (
	// WhyInvalid: the request could not be read or breaks the contract.
	WhyInvalid Why = "invalid"
	// WhyFailed: the request was given up.
	WhyFailed Why = "failed"
	// WhyPanic: handling the message crashed again and again.
	WhyPanic Why = "panic"
)

// Whys lists every reason, for metrics that create their labels at start.
func Whys() []Why { return []Why{WhyInvalid, WhyFailed, WhyPanic} }

// MaxDeadData caps the payload kept in a dead letter, in bytes. In the base64
// of its JSON that much still fits into one message of a broker with the usual
// limit of 1 MiB; a longer payload is kept in part, see Truncated.
const MaxDeadData = 512 << 10

// DeadLetter keeps what was given up together with all that is needed to
// publish it again: Data under Subject with Header.
type DeadLetter struct {
	Request  string              `json:"Request"`
	Target   string              `json:"Target,omitempty"`
	Why      Why                 `json:"Why"`
	Message  string              `json:"Message"`
	Subject  string              `json:"Subject"`
	Header   map[string][]string `json:"Header,omitempty"`
	Data     []byte              `json:"Data"`
	Size     int                 `json:"Size"`
	Sequence uint64              `json:"Sequence"`
	StoredAt time.Time           `json:"StoredAt"`
	DeadAt   time.Time           `json:"DeadAt"`
	Worker   string              `json:"Worker"`
}

// Truncated reports whether Data is only the beginning of the payload.
func (d DeadLetter) Truncated() bool { return len(d.Data) < d.Size }

// Bury makes the dead letter of a message.
func Bury(m Message, key string, why Why, message string) DeadLetter {
	request, target := SplitKey(key)
	data := m.Data
	if len(data) > MaxDeadData {
		data = data[:MaxDeadData]
	}
	return DeadLetter{
		Request: request, Target: target, Why: why, Message: Clip(message, MaxTextBytes),
		Subject: m.Subject, Header: headersToKeep(m.Header), Data: data, Size: len(m.Data),
		Sequence: m.Sequence, StoredAt: m.Stored,
	}
}

// MaxDeadHeader caps the headers kept in a dead letter, in bytes on the wire.
// JSON may write each of them six times as long.
const MaxDeadHeader = 32 << 10

// headersToKeep leaves out what JetStream would act on, or refuse, when the
// letter is published again, and bounds the rest: a letter that is too long
// for the broker could never be stored, and its message never be settled.
func headersToKeep(h map[string][]string) map[string][]string {
	kept := make(map[string][]string)
	room := MaxDeadHeader
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if reserved(name) {
			continue
		}
		for _, v := range h[name] {
			v = Clip(v, MaxTextBytes)
			size := len(name) + len(v) + len(": \r\n")
			if size > room {
				continue
			}
			room -= size
			kept[name] = append(kept[name], v)
		}
	}
	return kept
}
