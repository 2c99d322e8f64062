package stop

import (
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a request, contract section 2.
const (
	// MaxRequestBytes is the largest payload, a CloudEvents envelope included.
	MaxRequestBytes = 1 << 20
	// MaxTextBytes is the longest Reason, RequestedBy or Incident, and the longest
	// Name of a Selector.
	MaxTextBytes = 1 << 10
	// DefaultLife is how long after its storing a request without a NotAfter
	// may still lead to a call.
	DefaultLife = 30 * time.Minute
)

// DefaultAccount is the account of a request that names none.
const DefaultAccount = "default"

// Request is what somebody asks: pause, or resume, the instance refresh of a
// group. Its JSON form is contract section 2.
type Request struct {
	ID                 string    `json:"Id,omitempty"`
	Account            string    `json:"Account,omitempty"`
	Region             string    `json:"Region,omitempty"`
	AutoScalingGroupID string    `json:"AutoScalingGroupId,omitempty"`
	RefreshActivityID  string    `json:"RefreshActivityId,omitempty"`
	Targets            []Target  `json:"Targets,omitempty"`
	Selector           *Selector `json:"Selector,omitempty"`
	MaxTargets         int       `json:"MaxTargets,omitempty"`
	Reason             string    `json:"Reason,omitempty"`
	RequestedBy        string    `json:"RequestedBy,omitempty"`
	Incident           string    `json:"Incident,omitempty"`
	NotAfter           time.Time `json:"NotAfter,omitzero"`
	DryRun             bool      `json:"DryRun,omitempty"`
	AllowRollback      bool      `json:"AllowRollback,omitempty"`

	// Only in requests to resume: Of is the request whose pauses are undone.
	Of         string     `json:"Of,omitempty"`
	ResumeMode ResumeMode `json:"ResumeMode,omitempty"`

	// What the message around the payload says, not the payload.
	Action      string    `json:"-"`
	Lane        Lane      `json:"-"`
	Team        string    `json:"-"`
	Source      Source    `json:"-"`
	Traceparent string    `json:"-"`
	Sequence    uint64    `json:"-"`
	RequestedAt time.Time `json:"-"`
	// Since is since when what the request is about has been so; zero: not said.
	Since time.Time `json:"-"`
}

// Selector asks for every group that matches all of its fields.
type Selector struct {
	Account               string            `json:"Account,omitempty"`
	Regions               []string          `json:"Regions,omitempty"`
	Tags                  map[string]string `json:"Tags,omitempty"`
	Name                  string            `json:"Name,omitempty"`
	LaunchConfigurationID string            `json:"LaunchConfigurationId,omitempty"`
}

// Invalid says which field of a request breaks the contract and how. It is
// the Message of a result with the outcome invalid.
type Invalid struct {
	Field   string
	Problem string
}

func (i *Invalid) Error() string {
	if i.Field == "" {
		return i.Problem
	}
	return i.Field + " " + i.Problem
}

// invalid bounds what it says: a field may be named, and a number written, in
// a megabyte, and the result must still fit into a message.
func invalid(field, format string, args ...any) *Invalid {
	return &Invalid{Field: Clip(field, 80), Problem: Clip(fmt.Sprintf(format, args...), MaxTextBytes)}
}

// quote shows a value from outside in a message: bounded, and printable.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Several reports whether the request is not about exactly one named target.
// What it means if it is Of another, that one's results say.
func (r Request) Several() bool { return r.Selector != nil || r.Targets != nil || r.Of != "" }

// Target is the one target of a request that is not Several.
func (r Request) Target() Target {
	return Target{
		Account: r.Account, Region: r.Region,
		AutoScalingGroupID: r.AutoScalingGroupID, RefreshActivityID: r.RefreshActivityID,
	}
}

// complete fills in what the request leaves to others: the defaults of the
// worker, and a list of one target as that target.
func (r *Request) complete(d Defaults) *Invalid {
	if r.Targets != nil && len(r.Targets) == 0 {
		return invalid("Targets", "is an empty list; name a target or leave it out")
	}
	if len(r.Targets) > 0 && (r.AutoScalingGroupID != "" || r.RefreshActivityID != "") {
		return invalid("Targets", "cannot be combined with AutoScalingGroupId or RefreshActivityId")
	}
	if r.Selector != nil && (len(r.Targets) > 0 || r.AutoScalingGroupID != "" || r.RefreshActivityID != "") {
		return invalid("Selector", "cannot be combined with named targets")
	}
	// In requests to pause it has no place at all, see validateResume.
	if r.Of != "" && r.Action == ActionResume && (r.Selector != nil || r.Targets != nil || r.AutoScalingGroupID != "" || r.RefreshActivityID != "") {
		return invalid("Of", "cannot be combined with targets or a Selector: it means those of that request")
	}
	// As many as the list names: who reads the message counts those.
	if len(r.Targets) > MaxTargets {
		return invalid("Targets", "has %d targets; at most %d are allowed in one request", len(r.Targets), MaxTargets)
	}
	if r.Action == ActionResume {
		r.ResumeMode = ResumeMode(first(string(r.ResumeMode), string(ResumeRetry)))
	}
	if s := r.Selector; s != nil {
		if s.empty() {
			return invalid("Selector", "is empty and would mean every group; say which")
		}
		s.Account = first(s.Account, r.Account, DefaultAccount)
		if len(s.Regions) == 0 && r.Region != "" {
			s.Regions = []string{r.Region}
		}
	}
	if len(r.Targets) == 1 {
		t := r.Targets[0]
		r.AutoScalingGroupID, r.RefreshActivityID, r.Targets = t.AutoScalingGroupID, t.RefreshActivityID, nil
		r.Account, r.Region = first(t.Account, r.Account), first(t.Region, r.Region)
	}
	r.Account = first(r.Account, DefaultAccount)
	if r.Selector == nil && r.Of == "" {
		r.Region = first(r.Region, d.Region)
	}
	for i := range r.Targets {
		t := &r.Targets[i]
		t.Account, t.Region = first(t.Account, r.Account), first(t.Region, r.Region)
	}
	if r.Targets != nil {
		r.Targets = distinct(r.Targets)
	}
	if r.NotAfter.IsZero() {
		r.NotAfter = r.RequestedAt.Add(DefaultLife)
	}
	r.DryRun = r.DryRun || d.DryRun
	return nil
}

const notTime = "is not an RFC 3339 time such as 2026-11-23T04:05:06Z"

func (r *Request) validate() *Invalid {
	for _, text := range []struct{ name, value string }{
		{"Reason", r.Reason}, {"RequestedBy", r.RequestedBy}, {"Incident", r.Incident},
	} {
		if len(text.value) > MaxTextBytes {
			return invalid(text.name, "is %d bytes long; at most %d are allowed", len(text.value), MaxTextBytes)
		}
	}
	// encoding/json reads offsets of a whole day and does not write them: the task
	// could not be stored, and the request would never end.
	if _, err := r.NotAfter.MarshalText(); err != nil {
		return invalid("NotAfter", "%s", notTime)
	}
	if r.MaxTargets < 0 {
		return invalid("MaxTargets", "is %d; it must not be negative", r.MaxTargets)
	}
	if bad := r.validateResume(); bad != nil {
		return bad
	}
	if !r.Several() {
		return r.Target().validate("")
	}
	// Account and Region stand in the result of the whole request.
	if bad := validatePlace("", r.Account, r.Region); bad != nil {
		return bad
	}
	for i, t := range r.Targets {
		if bad := t.validate(fmt.Sprintf("Targets[%d].", i)); bad != nil {
			return bad
		}
	}
	if r.Selector != nil {
		return r.Selector.validate(r.MaxTargets)
	}
	return nil
}

// validateResume checks what only requests to resume may say.
func (r *Request) validateResume() *Invalid {
	const elsewhere = "is only for requests to resume, which are published under " + SubjectResume
	switch {
	case r.Action != ActionResume && r.Of != "":
		return invalid("Of", elsewhere)
	case r.Action != ActionResume && r.ResumeMode != "":
		return invalid("ResumeMode", elsewhere)
	case r.Of != "" && !ValidID(r.Of):
		return invalid("Of", "%s is no identity of a request: want letters, digits, - and _, at most 64", quote(r.Of))
	case r.Action == ActionResume && r.ResumeMode != ResumeRetry && r.ResumeMode != ResumeContinue:
		return invalid("ResumeMode", "%s is not allowed: want %s or %s", quote(string(r.ResumeMode)), ResumeRetry, ResumeContinue)
	}
	return nil
}

func (s Selector) empty() bool {
	return s.Account == "" && len(s.Regions) == 0 && len(s.Tags) == 0 && s.Name == "" && s.LaunchConfigurationID == ""
}

// Matches reports whether the selector means a group, by what it says of it.
func (s Selector) Matches(g Group) bool {
	if s.Name != "" {
		if ok, err := path.Match(s.Name, g.Name); !ok || err != nil {
			return false
		}
	}
	for key, value := range s.Tags {
		if have, ok := g.Tags[key]; !ok || have != value {
			return false
		}
	}
	return s.LaunchConfigurationID == "" || s.LaunchConfigurationID == g.LaunchConfigurationID
}

func (s Selector) validate(most int) *Invalid {
	if most == 0 {
		return invalid("MaxTargets", "is required with a Selector: the most groups it may mean")
	}
	if bad := validatePlace("Selector.", s.Account, ""); bad != nil {
		return bad
	}
	for i, region := range s.Regions {
		if !ValidRegion(region) {
			return invalid(fmt.Sprintf("Selector.Regions[%d]", i), "%s is not allowed: want %s", quote(region), wantRegion)
		}
	}
	// Every group is matched with it, which takes as long as the two are long.
	if len(s.Name) > MaxTextBytes {
		return invalid("Selector.Name", "is %d bytes long; at most %d are allowed", len(s.Name), MaxTextBytes)
	}
	if _, err := path.Match(s.Name, ""); err != nil {
		return invalid("Selector.Name", "%s is no pattern: * stands for any characters, ? for one, [a-z] for one of several", quote(s.Name))
	}
	if _, ok := s.Tags[""]; ok {
		return invalid("Selector.Tags", "has a tag without a key")
	}
	if id := s.LaunchConfigurationID; id != "" && !launchPattern.MatchString(id) {
		return invalid("Selector.LaunchConfigurationId", "%s is not allowed: want asc- and lower-case letters or digits", quote(id))
	}
	return nil
}

// validatePlace checks an account and a region where both may be left out.
func validatePlace(field, account, region string) *Invalid {
	if account != "" && !ValidAccount(account) {
		return invalid(field+"Account", "%s is not allowed: want %s", quote(account), wantAccount)
	}
	if region != "" && !ValidRegion(region) {
		return invalid(field+"Region", "%s is not allowed: want %s", quote(region), wantRegion)
	}
	return nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Clip shortens text to at most n bytes without cutting a character in two.
// What is not UTF-8 in it becomes "?", which is never longer.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "?")
}
