package handler

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Policy is what requests may do, wherever they come from.
type Policy struct {
	// MaxGroups is how many distinct groups the whole fleet pauses within ten
	// minutes at most; zero: any number.
	MaxGroups int
	// Rules say what requests of a team may do, by the token of their subject
	// that follows the lane; "*" is for all others. Without a rule everything is
	// allowed.
	Rules map[string]Rule
}

// Rule is what the requests of a team may do. What is empty is not limited.
type Rule struct {
	Accounts []string
	Regions  []string
	// Groups are patterns as of path.Match. One that begins with "asg-" is for
	// the id of a group, any other for its name.
	Groups     []string
	MaxTargets int
}

// everybody is the rule for teams that have none of their own.
const everybody = "*"

// guard applies the policy.
type guard struct {
	Policy

	ledger Ledger

	mu sync.Mutex // one goroutine asks for the budget at a time
}

// rule is the one that holds for a team, and what it is called.
func (g *guard) rule(team string) (Rule, string) {
	if r, ok := g.Rules[team]; ok && team != "" {
		return r, "policy for " + team
	}
	return g.Rules[everybody], "policy"
}

// tooMany says why a request may not mean that many targets, if so.
func (g *guard) tooMany(team string, targets int) string {
	if r, name := g.rule(team); r.MaxTargets > 0 && targets > r.MaxTargets {
		return fmt.Sprintf("%s: at most %d targets in one request are allowed, and this one means %d", name, r.MaxTargets, targets)
	}
	return ""
}

// place says why an account and region are not allowed, if so.
func (g *guard) place(team, account, region string) string {
	r, name := g.rule(team)
	switch {
	case len(r.Accounts) > 0 && !slices.Contains(r.Accounts, account):
		return fmt.Sprintf("%s: the account %s is not allowed; allowed are %s", name, account, strings.Join(r.Accounts, ", "))
	case len(r.Regions) > 0 && !slices.Contains(r.Regions, region):
		return fmt.Sprintf("%s: the region %s is not allowed; allowed are %s", name, region, strings.Join(r.Regions, ", "))
	}
	return ""
}

// byName reports whether the names of groups must be known to judge a team's
// requests.
func (g *guard) byName(team string) bool {
	r, _ := g.rule(team)
	return slices.ContainsFunc(r.Groups, func(p string) bool { return !strings.HasPrefix(p, "asg-") })
}

// group says why a group is not allowed, if so. Its name may be unknown only if
// byName says that it does not matter.
func (g *guard) group(team, id, group string) string {
	r, name := g.rule(team)
	if len(r.Groups) == 0 {
		return ""
	}
	for _, pattern := range r.Groups {
		text := group
		if strings.HasPrefix(pattern, "asg-") {
			text = id
		}
		if ok, err := path.Match(pattern, text); ok && err == nil {
			return ""
		}
	}
	return fmt.Sprintf("%s: the group %s is not allowed; allowed are %s", name, id, strings.Join(r.Groups, ", "))
}

// budgetLife is the time within which groups are counted.
const budgetLife = 10 * time.Minute

// spend counts the group of a task as paused, and says why it may not be, if
// so. A group that was counted of late is not counted twice.
func (g *guard) spend(ctx context.Context, t stop.Task) (why string, err error) {
	if g.MaxGroups <= 0 || t.Action != stop.ActionStop {
		return "", nil
	}
	group := strings.Join([]string{t.Target.Account, t.Target.Region, t.Target.AutoScalingGroupID}, "/")
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		b := stop.Budget{}
		revision, err := g.ledger.Control(ctx, stop.ControlBudget, &b)
		if err != nil {
			return "", err //nolint:wrapcheck // by the caller
		}
		now := time.Now().UTC()
		kept := map[string]time.Time{}
		for name, at := range b.Groups {
			if now.Sub(at) < budgetLife {
				kept[name] = at
			}
		}
		if _, counted := kept[group]; counted {
			return "", nil
		}
		if len(kept) >= g.MaxGroups {
			return fmt.Sprintf("policy: at most %d distinct groups are paused within %v, and as many have been", g.MaxGroups, budgetLife), nil
		}
		kept[group] = now
		err = g.ledger.SetControl(ctx, stop.ControlBudget, stop.Budget{Groups: kept}, revision)
		if !errors.Is(err, stop.ErrLost) || ctx.Err() != nil {
			return "", err //nolint:wrapcheck // by the caller
		}
	}
}
