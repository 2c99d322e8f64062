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

// world is the groups and activities of all regions. The Simulator's mutex
// guards it; nothing in it locks.
type world struct {
	timing       Timing
	undocumented Undocumented
	groups       map[string]*Group
	activities   map[string]*activity
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
		groups:       map[string]*Group{},
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
	for _, other := range w.groups {
		if other.Region == g.Region && other.Name == g.Name {
			return fmt.Errorf("group %s: AutoScalingGroupName: %q is taken by %s; names are unique in a region", g.ID, g.Name, other.ID)
		}
	}
	if g.DesiredCapacity == 0 {
		g.DesiredCapacity = 6
	}
	if g.EnabledStatus == "" {
		g.EnabledStatus = enabled
	}
	g.Created = now
	w.groups[g.ID] = &g
	return nil
}

// seen returns the group if it is in the region and the account may see it.
func (w *world) seen(id, region, secretID string) *Group {
	g := w.groups[id]
	if g == nil || g.Region != region || !g.visibleTo(secretID) {
		return nil
	}
	return g
}

// live returns the refresh of a group that has not ended, if there is one.
func (w *world) live(groupID string) *activity {
	for _, a := range w.activities {
		if a.GroupID == groupID && !a.Status.Ended() {
			return a
		}
	}
	return nil
}

// enabledStatus is what the API shows for the group.
func (w *world) enabledStatus(g *Group) string {
	if w.live(g.ID) != nil {
		return disabled
	}
	return g.EnabledStatus
}
