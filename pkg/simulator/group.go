package simulator

import (
	"fmt"
	"slices"
	"time"
)

// Group is a scaling group.
type Group struct {
	Region                  string            `yaml:"Region"`
	ID                      string            `yaml:"AutoScalingGroupId"`
	Name                    string            `yaml:"AutoScalingGroupName"`
	LaunchConfigurationID   string            `yaml:"LaunchConfigurationId"`
	LaunchConfigurationName string            `yaml:"LaunchConfigurationName"`
	Tags                    map[string]string `yaml:"Tags"`
	// DesiredCapacity is the number of instances; zero is 6.
	DesiredCapacity int `yaml:"DesiredCapacity"`
	// EnabledStatus outside of a refresh; empty is ENABLED. While a refresh is
	// live, paused or not, the API shows DISABLED.
	EnabledStatus string `yaml:"EnabledStatus"`
	// Accounts are the SecretIds that see the group; empty is all.
	Accounts []string `yaml:"Accounts"`

	// Created is when the group was added.
	Created time.Time `yaml:"-"`
}

// The two values of EnabledStatus.
const (
	enabled  = "ENABLED"
	disabled = "DISABLED"
)

func (g Group) visibleTo(secretID string) bool {
	return len(g.Accounts) == 0 || slices.Contains(g.Accounts, secretID)
}

// group is a Group and the refreshes it has had, in no order.
type group struct {
	Group

	refreshes []*activity
}

// seenBy says whether the group is in the call's region and its account may see
// it. There may be no group.
func (g *group) seenBy(c *call) bool {
	return g != nil && g.Region == c.region && g.visibleTo(c.secretID)
}

// live returns the refresh that has not ended, if there is one.
func (g *group) live() *activity {
	for _, a := range g.refreshes {
		if !a.Status.Ended() {
			return a
		}
	}
	return nil
}

// latest says whether the group has no activity younger than a.
func (g *group) latest(a *activity) bool {
	return !slices.ContainsFunc(g.refreshes, func(other *activity) bool { return other.Created.After(a.Created) })
}

// enabledStatus is what the API shows.
func (g *group) enabledStatus() string {
	if g.live() != nil {
		return disabled
	}
	return g.EnabledStatus
}

// region is the groups of one region.
type region struct {
	list  []*group // in the order they were added
	named map[string]*group
}

// world is the groups and activities of all regions. The Simulator's mutex
// guards it; nothing in it locks.
type world struct {
	timing       Timing
	undocumented Undocumented
	groups       map[string]*group
	regions      map[string]region
	activities   map[string]*activity
	agenda       agenda
}

func newWorld(t Timing, u Undocumented) *world {
	if t.BatchDuration == 0 {
		t.BatchDuration = 24 * time.Hour
	}
	if t.ScaleInDuration == 0 {
		t.ScaleInDuration = t.BatchDuration
	}
	if u.Mismatch == "" {
		u.Mismatch = codeActivityNotFound
	}
	return &world{
		timing:       t,
		undocumented: u,
		groups:       map[string]*group{},
		regions:      map[string]region{},
		activities:   map[string]*activity{},
	}
}

func (w *world) addGroup(g Group, now time.Time) error {
	switch {
	case !groupIDShape.MatchString(g.ID):
		return fmt.Errorf("AutoScalingGroupId: %q is not like asg-h7tgd87d", g.ID)
	case w.groups[g.ID] != nil:
		return fmt.Errorf("AutoScalingGroupId: %q is there twice; ids are unique over all regions here", g.ID)
	case !regionShape.MatchString(g.Region):
		return fmt.Errorf("group %s: Region: %q is not like ap-guangzhou", g.ID, g.Region)
	case g.DesiredCapacity < 0 || g.DesiredCapacity > 2000:
		return fmt.Errorf("group %s: DesiredCapacity: %d is not in 0..2000", g.ID, g.DesiredCapacity)
	case !slices.Contains([]string{"", enabled, disabled}, g.EnabledStatus):
		return fmt.Errorf("group %s: EnabledStatus: %q is neither ENABLED nor DISABLED", g.ID, g.EnabledStatus)
	}
	if g.Name == "" {
		g.Name = g.ID
	}
	in := w.regions[g.Region]
	if other := in.named[g.Name]; other != nil {
		return fmt.Errorf("group %s: AutoScalingGroupName: %q is taken by %s; names are unique in a region", g.ID, g.Name, other.ID)
	}
	if g.DesiredCapacity == 0 {
		g.DesiredCapacity = 6
	}
	if g.EnabledStatus == "" {
		g.EnabledStatus = enabled
	}
	g.Created = now
	added := &group{Group: g}
	w.groups[g.ID] = added
	if in.named == nil {
		in.named = map[string]*group{}
	}
	in.named[g.Name] = added
	in.list = append(in.list, added)
	w.regions[g.Region] = in
	return nil
}

// insert makes the activity one of the world's.
func (w *world) insert(a *activity) {
	w.activities[a.ID] = a
	a.group.refreshes = append(a.group.refreshes, a)
	w.agenda.add(a)
}

// remove takes it out again.
func (w *world) remove(a *activity) {
	delete(w.activities, a.ID)
	a.group.refreshes = slices.DeleteFunc(a.group.refreshes, func(other *activity) bool { return other == a })
	w.agenda.drop(a)
}
