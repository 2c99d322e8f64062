package ingress

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Rule says which groups an alert means. The first rule that matches counts; an
// alert that no rule matches means what its labels say, see labelRule.
type Rule struct {
	// Source limits the rule to one sender; empty: all.
	Source Source
	// Match are labels that the alert must have; * stands for any text.
	Match map[string]string
	// Account, Region, Group and Activity are templates of the target
	// (https://pkg.go.dev/text/template), over .Labels, .Annotations, .Name, .Summary,
	// .Link and .Source. Group is required.
	Account, Region, Group, Activity string
	// Urgent has the requests go before all others.
	Urgent bool
	// Reason is a template too; empty: the summary of the alert.
	Reason string
}

// labelRule reads the target from the labels that alerts of refreshes have by
// convention.
var labelRule = Rule{
	Account:  `{{with index .Labels "account"}}{{.}}{{end}}`,
	Region:   `{{with index .Labels "region"}}{{.}}{{end}}`,
	Group:    `{{.Labels.auto_scaling_group_id}}`,
	Activity: `{{with index .Labels "refresh_activity_id"}}{{.}}{{end}}`,
}

// mapping are rules that have been understood.
type mapping struct{ rules []rule }

type rule struct {
	Rule

	match map[string]*regexp.Regexp
	// By the name of the field.
	templates map[string]*template.Template
}

var errUnmapped = errors.New("maps to no group")

// newMapping understands rules; its error has every fault in them.
func newMapping(rules []Rule) (*mapping, error) {
	m := &mapping{}
	var faults []error
	for i, r := range append(slices.Clone(rules), labelRule) {
		known, err := understand(r)
		if err != nil {
			faults = append(faults, fmt.Errorf("rules[%d]: %w", i, err))
		}
		m.rules = append(m.rules, known)
	}
	return m, errors.Join(faults...)
}

func understand(r Rule) (rule, error) {
	known := rule{Rule: r, match: make(map[string]*regexp.Regexp), templates: make(map[string]*template.Template)}
	var faults []error
	if r.Source != "" && decoders[r.Source] == nil {
		faults = append(faults, fmt.Errorf("source %q is none that sends alerts", r.Source))
	}
	if r.Group == "" {
		faults = append(faults, errors.New("group is required: the id, or a template such as {{.Labels.asg}}"))
	}
	for label, pattern := range r.Match {
		compiled, err := stop.Wildcard(pattern)
		if err != nil {
			faults = append(faults, fmt.Errorf("match %s: %q is no pattern", label, pattern))
		}
		known.match[label] = compiled
	}
	for field, text := range map[string]string{"account": r.Account, "region": r.Region, "group": r.Group, "activity": r.Activity, "reason": r.Reason} {
		// A label that is missing must not become an empty text, which would mean
		// something else.
		t, err := template.New(field).Option("missingkey=error").Parse(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field, err))
		}
		known.templates[field] = t
	}
	return known, errors.Join(faults...)
}

// request makes the request of an alert that fires. An error says why it means no
// group; nothing is guessed then.
func (m *mapping) request(a Alert) (stop.Request, error) {
	for _, r := range m.rules {
		if r.matches(a) {
			return r.request(a)
		}
	}
	return stop.Request{}, errUnmapped
}

func (r rule) matches(a Alert) bool {
	if r.Source != "" && r.Source != a.Source {
		return false
	}
	for label, pattern := range r.match {
		value, ok := a.Labels[label]
		if !ok || !pattern.MatchString(value) {
			return false
		}
	}
	return true
}

func (r rule) request(a Alert) (stop.Request, error) {
	texts := make(map[string]string, len(r.templates))
	for field, t := range r.templates {
		var b strings.Builder
		if err := t.Execute(&b, a.fields()); err != nil {
			return stop.Request{}, fmt.Errorf("%w: %s: %w", errUnmapped, field, err)
		}
		texts[field] = strings.TrimSpace(b.String())
	}
	target := stop.Target{Account: texts["account"], Region: texts["region"], AutoScalingGroupID: texts["group"], RefreshActivityID: texts["activity"]}
	if bad := target.Check(); bad != nil {
		return stop.Request{}, fmt.Errorf("%w: %w", errUnmapped, bad)
	}
	lane := stop.LaneNormal
	if r.Urgent {
		lane = stop.LaneUrgent
	}
	return stop.Request{
		ID:      id(string(a.Source), a.Identity, target.Account, target.Region, target.AutoScalingGroupID, target.RefreshActivityID),
		Account: target.Account, Region: target.Region,
		AutoScalingGroupID: target.AutoScalingGroupID, RefreshActivityID: target.RefreshActivityID,
		Reason: stop.Clip(cmp.Or(texts["reason"], a.Summary, a.Name), stop.MaxTextBytes), RequestedBy: string(a.Source),
		Incident: stop.Clip(a.Link, stop.MaxTextBytes), Lane: lane,
	}, nil
}
