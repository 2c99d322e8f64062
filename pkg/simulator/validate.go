package simulator

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The ids have a prefix in the API; length and alphabet are not promised, so
// only their shape is checked.
var (
	groupIDShape    = regexp.MustCompile(`^asg-[a-z0-9]+$`)
	activityIDShape = regexp.MustCompile(`^asr-[a-z0-9]+$`)
	regionShape     = regexp.MustCompile(`^[a-z]{2}-[a-z]+(-[a-z]+)*$`)
)

// faultList collects what is wrong with a scenario, so that its author sees all of
// it at once.
type faultList []error

func (l *faultList) check(ok bool, format string, args ...any) {
	if !ok {
		*l = append(*l, fmt.Errorf(format, args...))
	}
}

// Validate returns everything that is wrong with the scenario, joined.
func (s Scenario) Validate() error {
	var l faultList
	l.check(len(s.Credentials) > 0, "Credentials: at least one pair is needed, or every call is refused")
	l = append(l, validateCredentials(s.Credentials)...)
	s.validateSettings(&l)
	s.validateWorld(&l)
	faults := new(faultSet)
	for i, f := range s.Faults {
		if _, err := faults.add(f); err != nil {
			l = append(l, fmt.Errorf("Faults[%d]: %w", i, err))
		}
	}
	return errors.Join(l...)
}

func validateCredentials(cs []Credential) faultList {
	var l faultList
	seen := map[string]bool{}
	for i, c := range cs {
		l.check(strings.HasPrefix(c.SecretID, "AKID"), "Credentials[%d].SecretId: %q does not start with AKID", i, c.SecretID)
		l.check(!strings.ContainsAny(c.SecretID, "/, \t"), "Credentials[%d].SecretId: %q cannot stand in an Authorization header", i, c.SecretID)
		l.check(c.SecretKey != "", "Credentials[%d].SecretKey: is empty", i)
		l.check(!seen[c.SecretID], "Credentials[%d].SecretId: %q is there twice", i, c.SecretID)
		seen[c.SecretID] = true
	}
	return l
}

func (s Scenario) validateSettings(l *faultList) {
	l.check(s.Quota.Default >= 0, "Quota.Default: %d is negative; Off: true lifts the quota", s.Quota.Default)
	for action, n := range s.Quota.Actions {
		_, known := actions[action]
		l.check(known, "Quota.Actions: %q is not an action of this API", action)
		l.check(n > 0, "Quota.Actions.%s: %d is not positive", action, n)
	}
	for name, d := range map[string]time.Duration{
		"Timing.InitDuration":      s.Timing.InitDuration,
		"Timing.BatchDuration":     s.Timing.BatchDuration,
		"Timing.ScaleInDuration":   s.Timing.ScaleInDuration,
		"Undocumented.DescribeLag": s.Undocumented.DescribeLag,
	} {
		l.check(d >= 0, "%s: %s is negative", name, d)
	}
	u := s.Undocumented
	l.check(slices.Contains([]Choice{"", Conflict, OK}, u.StopOnInit), "Undocumented.StopOnInit: %q is neither conflict nor ok", u.StopOnInit)
	l.check(slices.Contains([]Choice{"", Conflict, OK}, u.StopOnPaused), "Undocumented.StopOnPaused: %q is neither conflict nor ok", u.StopOnPaused)
	l.check(slices.Contains([]Order{"", Newest, Oldest, Scrambled}, u.DescribeOrder), "Undocumented.DescribeOrder: %q is none of newest, oldest, scrambled", u.DescribeOrder)
	l.check(s.MaxArrivals >= 0, "MaxArrivals: %d is negative", s.MaxArrivals)
	for _, r := range slices.Concat(s.Regions, s.UnservedRegions) {
		l.check(regionShape.MatchString(r), "Regions: %q is not like ap-guangzhou", r)
	}
}

// validateWorld builds the groups and activities for the sake of its errors.
func (s Scenario) validateWorld(l *faultList) {
	w := newWorld(s.Timing, s.Undocumented)
	now := time.Now()
	for i, g := range s.Groups {
		if err := w.addGroup(g, now); err != nil {
			*l = append(*l, fmt.Errorf("Groups[%d]: %w", i, err))
		}
	}
	for i, a := range s.Activities {
		if err := w.addActivity(a, now); err != nil {
			*l = append(*l, fmt.Errorf("Activities[%d]: %w", i, err))
		}
	}
}
