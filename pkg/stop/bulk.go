package stop

import (
	"strconv"
	"strings"
	"time"
)

const (
	// MaxTargets is how many targets one request may mean.
	MaxTargets = 10_000
	// PartSize is how many targets are planned together. A hundred activities
	// can be read with one call.
	PartSize = MaxActivityIDs

	partPrefix = "part-"
)

// Bulk is a request for several targets once it is known which these are: the
// head of its manifest. It is stored, with its targets, before anything is
// done about any of them, and never changes.
type Bulk struct {
	// Task is what the tasks of all targets have in common.
	Task Task `json:"Task"`
	// Team is the token of the subject that says who publishes.
	Team string `json:"Team,omitempty"`
	// Total counts the targets. Shares are the parts that hold them; a part of the
	// bulk does not repeat them.
	Total  int     `json:"Total"`
	Shares []Share `json:"Shares,omitempty"`
	// Digest names the lists of targets that belong to this head.
	Digest string `json:"Digest"`
}

// Share is how many targets of a bulk a part holds, and whose. Settled ones were
// so when the manifest was made, and nobody looks at them.
type Share struct {
	Account string `json:"Account"`
	Region  string `json:"Region"`
	Settled bool   `json:"Settled,omitempty"`
	Targets int    `json:"Targets"`
}

// Part is a share of a bulk: targets of one account and region, yet to be
// looked at. It waits among the tasks of their quota.
type Part struct {
	Of     Bulk  `json:"Of"`
	Number int   `json:"Number"`
	Quota  Quota `json:"Quota"`
}

// Key is the identity of a part, of the same form as that of a task.
func (p Part) Key() string {
	return p.Of.Task.Request + "." + partPrefix + strconv.Itoa(p.Number)
}

// Member is one target of a bulk.
type Member struct {
	Name   string `json:"Name"`
	Target Target `json:"Target"`
	// Outcome, where it is set, is settled already, for the reason in Message.
	Outcome Outcome `json:"Outcome,omitempty"`
	Message string  `json:"Message,omitempty"`
}

// Names gives every target its name within the request: the id of its group,
// with a number where the same group is meant in several ways.
func Names(targets []Target) []Member {
	members := make([]Member, len(targets))
	used := make(map[string]int, len(targets))
	for i, t := range targets {
		name := t.AutoScalingGroupID
		if used[name]++; used[name] > 1 {
			name += "-" + strconv.Itoa(used[name])
		}
		members[i] = Member{Name: name, Target: t}
	}
	return members
}

// distinct drops targets that stand twice.
func distinct(targets []Target) []Target {
	seen := make(map[Target]bool, len(targets))
	var kept []Target
	for _, t := range targets {
		if !seen[t] {
			seen[t] = true
			kept = append(kept, t)
		}
	}
	return kept
}

// Progress is how far a request for several targets has come. It is told once
// a second on [ProgressSubject] and stored nowhere.
type Progress struct {
	Request string `json:"Request"`
	Action  string `json:"Action"`
	Lane    Lane   `json:"Lane"`
	// Total counts the targets, Decided those that have their result.
	Total    int             `json:"Total"`
	Decided  int             `json:"Decided"`
	Outcomes map[Outcome]int `json:"Outcomes"`
	// Rate is how many calls a second the limiter has granted to this request of
	// late, over all quotas. End is when the last result is to be expected at the
	// rate of each quota; missing when nothing is granted.
	Rate float64   `json:"Rate"`
	End  time.Time `json:"End,omitzero"`
	At   time.Time `json:"At"`
	// Quotas are the shares of the accounts and access endpoints.
	Quotas []QuotaProgress `json:"Quotas"`
}

// QuotaProgress is the part of a Progress that one quota has.
type QuotaProgress struct {
	Quota

	Total   int     `json:"Total"`
	Decided int     `json:"Decided"`
	Rate    float64 `json:"Rate"`
}

// SplitKey takes the key of a task or a result apart.
func SplitKey(key string) (request, name string) {
	request, name, _ = strings.Cut(key, ".")
	return request, name
}
