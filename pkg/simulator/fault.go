package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way in which the API can misbehave.
type FaultKind string

// The kinds of faults, and the fields of [Fault] each of them reads.
const (
	// Latency delays the call by Delay, or a random time up to DelayMax.
	Latency FaultKind = "latency"
	// Throttle answers Code, by default RequestLimitExceeded.
	Throttle FaultKind = "throttle"
	// LostAnswer lets the call take effect and cuts the connection.
	LostAnswer FaultKind = "lost_answer"
	// Cut cuts the connection, and the call has no effect.
	Cut FaultKind = "cut"
	// BadGateway answers HTTPStatus, by default 502, with an HTML page.
	BadGateway FaultKind = "bad_gateway"
	// NullBody answers the JSON literal null.
	NullBody FaultKind = "null_body"
	// EmptyObject answers {}.
	EmptyObject FaultKind = "empty_object"
	// TruncatedBody lets the call take effect and breaks off amid the answer.
	TruncatedBody FaultKind = "truncated_body"
	// ErrorCode answers Code and Message; the call has no effect.
	ErrorCode FaultKind = "error"
	// Hang never answers: until the caller gives up or [Simulator.Close].
	Hang FaultKind = "hang"
	// HugeBody lets the call take effect and pads the answer to Megabytes, by default 64.
	HugeBody FaultKind = "huge_body"
	// SlowBody lets the call take effect and sends BytesPerSecond, by default 16.
	SlowBody FaultKind = "slow_body"
	// RefuseCredentials answers Code, by default AuthFailure.SecretIdNotFound.
	RefuseCredentials FaultKind = "refuse_credentials"
	// DescribeLag makes Describe show the old status for Delay after a Stop. It
	// is used up by a Stop that takes effect.
	DescribeLag FaultKind = "describe_lag"
)

var faultKinds = []FaultKind{
	Latency, Throttle, LostAnswer, Cut, BadGateway, NullBody, EmptyObject, TruncatedBody,
	ErrorCode, Hang, HugeBody, SlowBody, RefuseCredentials, DescribeLag,
}

// Match chooses the calls a fault is for; an empty field matches all.
type Match struct {
	Action     string `yaml:"Action,omitempty"`
	GroupID    string `yaml:"AutoScalingGroupId,omitempty"`
	ActivityID string `yaml:"RefreshActivityId,omitempty"`
	Region     string `yaml:"Region,omitempty"`
	SecretID   string `yaml:"SecretId,omitempty"`
}

// Fault is a misbehaviour and the calls it happens to. Of several faults that
// match a call, all latencies happen and the first other one does. A fault is
// used up by an arrival, also one that is refused for another reason.
type Fault struct {
	// Name is for removing it; empty gets fault-1, fault-2 and so on.
	Name  string    `yaml:"Name"`
	Kind  FaultKind `yaml:"Kind"`
	Match Match     `yaml:"Match,omitempty"`
	// Skip lets so many matching calls pass first.
	Skip int `yaml:"Skip,omitempty"`
	// Count is how many calls it happens to; zero is until it is removed.
	Count int `yaml:"Count,omitempty"`
	// Probability, in (0,1], is that of happening to a matching call; zero is 1.
	Probability float64 `yaml:"Probability,omitempty"`
	// Seed makes the random choices of this fault repeatable.
	Seed uint64 `yaml:"Seed,omitempty"`
	// Accepted lets the call take effect first, for the kinds that would prevent
	// it: latency, bad_gateway, null_body, empty_object, hang.
	Accepted bool `yaml:"Accepted,omitempty"`

	Delay          time.Duration `yaml:"Delay,omitempty"`
	DelayMax       time.Duration `yaml:"DelayMax,omitempty"`
	Code           string        `yaml:"Code,omitempty"`
	Message        string        `yaml:"Message,omitempty"`
	HTTPStatus     int           `yaml:"HTTPStatus,omitempty"`
	Megabytes      int           `yaml:"Megabytes,omitempty"`
	BytesPerSecond int           `yaml:"BytesPerSecond,omitempty"`
}

func (f Fault) validate() error {
	var l faultList
	_, known := actions[f.Match.Action]
	l.check(slices.Contains(faultKinds, f.Kind), "Kind: %q is none of %v", f.Kind, faultKinds)
	l.check(f.Match.Action == "" || known, "Match.Action: %q is not an action of this API", f.Match.Action)
	l.check(f.Skip >= 0, "Skip: %d is negative", f.Skip)
	l.check(f.Count >= 0, "Count: %d is negative; zero is until removed", f.Count)
	l.check(f.Probability >= 0 && f.Probability <= 1, "Probability: %v is not in 0..1", f.Probability)
	l.check(f.Delay >= 0, "Delay: %s is negative", f.Delay)
	l.check(f.DelayMax == 0 || f.DelayMax >= f.Delay, "DelayMax: %s is less than Delay %s", f.DelayMax, f.Delay)
	l.check(f.HTTPStatus == 0 || f.HTTPStatus >= 400 && f.HTTPStatus <= 599, "HTTPStatus: %d is not in 400..599", f.HTTPStatus)
	l.check(f.Megabytes >= 0 && f.BytesPerSecond >= 0, "Megabytes, BytesPerSecond: negative")
	switch f.Kind {
	case Latency, DescribeLag:
		l.check(f.Delay > 0 || f.DelayMax > 0, "Delay: %s needs one", f.Kind)
	case ErrorCode:
		l.check(f.Code != "", "Code: error needs one, for example InternalError")
	case Throttle:
		l.check(f.Code == "" || strings.HasPrefix(f.Code, codeRequestLimit), "Code: %q does not start with RequestLimitExceeded", f.Code)
	case RefuseCredentials:
		credential := strings.HasPrefix(f.Code, "AuthFailure.") || strings.HasPrefix(f.Code, "UnauthorizedOperation")
		l.check(f.Code == "" || credential, "Code: %q is neither AuthFailure.* nor UnauthorizedOperation*", f.Code)
	case Cut:
		l.check(!f.Accepted, "Accepted: a cut that takes effect is lost_answer")
	}
	return errors.Join(l...)
}

// withDefaults fills what the kind needs.
func (f Fault) withDefaults() Fault {
	setDefault := func(code string) {
		if f.Code == "" {
			f.Code = code
		}
	}
	switch f.Kind {
	case Throttle:
		setDefault(codeRequestLimit)
	case RefuseCredentials:
		setDefault(codeSecretIDNotFound)
	}
	if f.HTTPStatus == 0 {
		f.HTTPStatus = 502
	}
	if f.Megabytes == 0 {
		f.Megabytes = 64
	}
	if f.BytesPerSecond == 0 {
		f.BytesPerSecond = 16
	}
	return f
}

// prevents says whether the call never reaches the API's own code.
func (f *Fault) prevents() bool {
	if f == nil || f.Accepted {
		return false
	}
	return slices.Contains([]FaultKind{Cut, BadGateway, NullBody, EmptyObject, Hang}, f.Kind)
}

func (m Match) matches(c *call) bool {
	fits := func(want, got string) bool { return want == "" || want == got }
	return fits(m.Action, c.action) && fits(m.GroupID, c.groupID) && fits(m.Region, c.region) &&
		fits(m.SecretID, c.secretID) && (m.ActivityID == "" || slices.Contains(c.activityIDs, m.ActivityID))
}

// planned is a fault that is in force. The Simulator's mutex guards it.
type planned struct {
	Fault
	given  Fault // as the caller spelled it
	random *rand.Rand
}

type faultSet struct {
	list []*planned
	made int
}

func (s *faultSet) add(f Fault) (string, error) {
	if err := f.validate(); err != nil {
		return "", err
	}
	s.made++
	if f.Name == "" {
		f.Name = fmt.Sprintf("fault-%d", s.made)
	}
	if s.index(f.Name) >= 0 {
		return "", fmt.Errorf("Name: %q is there twice", f.Name)
	}
	s.list = append(s.list, &planned{Fault: f.withDefaults(), given: f, random: rand.New(rand.NewPCG(f.Seed, f.Seed))})
	return f.Name, nil
}

func (s *faultSet) index(name string) int {
	return slices.IndexFunc(s.list, func(p *planned) bool { return p.Name == name })
}

// happens decides whether the fault happens to the call, and counts it.
func (s *faultSet) happens(p *planned, c *call) bool {
	if !p.Match.matches(c) {
		return false
	}
	if p.Skip > 0 {
		p.Skip--
		return false
	}
	if p.Probability > 0 && p.random.Float64() >= p.Probability {
		return false
	}
	if p.Count == 1 {
		s.list = slices.DeleteFunc(s.list, func(other *planned) bool { return other == p })
	} else if p.Count > 1 {
		p.Count--
	}
	return true
}

// fate is what the faults have in store for one call.
type fate struct {
	before time.Duration // delay before the call takes effect
	after  time.Duration // and after
	fault  *Fault        // anything but a latency
}

// kind is the word for the record.
func (f fate) kind() FaultKind {
	switch {
	case f.fault != nil:
		return f.fault.Kind
	case f.before > 0 || f.after > 0:
		return Latency
	default:
		return ""
	}
}

func (s *faultSet) fate(c *call) fate {
	var out fate
	for _, p := range slices.Clone(s.list) {
		switch {
		case p.Kind == DescribeLag || p.Kind != Latency && out.fault != nil:
		case !s.happens(p, c):
		case p.Kind == Latency && p.Accepted:
			out.after += p.delay()
		case p.Kind == Latency:
			out.before += p.delay()
		default:
			f := p.Fault
			out.fault = &f
		}
	}
	return out
}

// describeLag is asked once a Stop takes effect.
func (s *faultSet) describeLag(c *call) time.Duration {
	var lag time.Duration
	for _, p := range slices.Clone(s.list) {
		if p.Kind == DescribeLag && s.happens(p, c) {
			lag = max(lag, p.delay())
		}
	}
	return lag
}

func (p *planned) delay() time.Duration {
	if p.DelayMax <= p.Delay {
		return p.Delay
	}
	// Unsigned, for the range up to the longest duration has one value more than it.
	return p.Delay + time.Duration(p.random.Uint64N(uint64(p.DelayMax-p.Delay)+1)) //nolint:gosec // DelayMax is greater
}
