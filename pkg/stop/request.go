package stop

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a request, contract section 2.
const (
	// MaxRequestBytes is the largest payload, a CloudEvents envelope included.
	MaxRequestBytes = 1 << 20
	// MaxTextBytes is the longest Reason, RequestedBy or Incident.
	MaxTextBytes = 1 << 10
	// DefaultLife is how long after its storing a request without a NotAfter
	// may still lead to a call.
	DefaultLife = 30 * time.Minute
)

// DefaultAccount is the account of a request that names none.
const DefaultAccount = "default"

// Request is what somebody asks: pause the instance refresh of a group.
// Its JSON form is contract section 2.
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

	// What the message around the payload says, not the payload.
	Lane        Lane      `json:"-"`
	Source      Source    `json:"-"`
	Traceparent string    `json:"-"`
	Sequence    uint64    `json:"-"`
	RequestedAt time.Time `json:"-"`
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
func (r Request) Several() bool { return r.Selector != nil || len(r.Targets) > 1 }

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
	if len(r.Targets) == 1 {
		t := r.Targets[0]
		r.AutoScalingGroupID, r.RefreshActivityID, r.Targets = t.AutoScalingGroupID, t.RefreshActivityID, nil
		r.Account, r.Region = first(t.Account, r.Account), first(t.Region, r.Region)
	}
	r.Account = first(r.Account, DefaultAccount)
	r.Region = first(r.Region, d.Region)
	for i := range r.Targets {
		t := &r.Targets[i]
		t.Account, t.Region = first(t.Account, r.Account), first(t.Region, r.Region)
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

func (s Selector) validate(most int) *Invalid {
	if s.Account == "" && len(s.Regions) == 0 && len(s.Tags) == 0 && s.Name == "" && s.LaunchConfigurationID == "" {
		return invalid("Selector", "is empty and would mean every group; say which")
	}
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
