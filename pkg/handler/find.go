package handler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// searchTries is how often a region is asked for its groups, searchTime how
	// long all regions are waited for. A region that does not answer by then
	// counts as one target that has failed, so that the others need not wait.
	searchTries = 3
	searchTime  = 6 * time.Second
	// searchAtOnce is how many regions are asked at a time.
	searchAtOnce = 16
)

// find lists the groups that a selector means: those that match and have a live
// refresh.
func (h *Handler) find(ctx context.Context, m stop.Message, r stop.Request, t stop.Task) ([]stop.Member, stop.Verdict, bool) {
	regions, named := r.Selector.Regions, true
	if len(regions) == 0 {
		regions, named = h.api.Regions(), false
	}
	if why, wait := h.unserved(m, stop.Target{Account: r.Selector.Account, Region: regions[0]}); wait {
		return nil, stop.Verdict{Retry: jitter(newcomers / 3)}, true
	} else if why != "" && !h.api.Serves(r.Selector.Account) {
		return nil, h.refused(t, why), true
	}
	brief, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	var mu sync.Mutex
	var targets []stop.Target
	var lost []stop.Member
	asked := 0
	var group errgroup.Group
	group.SetLimit(searchAtOnce)
	for _, region := range slices.Compact(slices.Sorted(slices.Values(regions))) {
		if h.policy.place(r.Team, r.Selector.Account, region) != "" && !named {
			continue // it means every region that is allowed
		}
		asked++
		group.Go(func() error {
			found, answer := h.findIn(brief, t, *r.Selector, region)
			mu.Lock()
			defer mu.Unlock()
			targets = append(targets, found...)
			if answer != nil && (named || answer.Class != stop.ClassCaller) {
				lost = append(lost, stop.Member{
					Name: "region-" + region, Target: stop.Target{Account: r.Selector.Account, Region: region},
					Outcome: stop.OutcomeFailed, Message: fmt.Sprintf("the groups of %s cannot be listed, so none of them was touched: %s", region, say(answer)),
				})
			}
			return nil
		})
	}
	_ = group.Wait() // there are none
	if ctx.Err() != nil {
		return nil, stop.Verdict{Retry: time.Millisecond}, true
	}
	if asked == 0 {
		return nil, h.refused(t, h.policy.place(r.Team, r.Selector.Account, regions[0])), true
	}
	if len(lost) > 0 && len(lost) == asked {
		h.conf.Log.Warn("request put off", "why", "no region lists its groups", "request", t.Request, "message", lost[0].Message)
		return nil, stop.Verdict{Retry: jitter(2 * time.Second)}, true
	}
	slices.SortFunc(targets, func(a, b stop.Target) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.AutoScalingGroupID, b.AutoScalingGroupID))
	})
	return append(stop.Names(targets), lost...), stop.Verdict{}, false
}

// findIn lists the groups of one region that a selector means. The answer says
// why it cannot be known, nil if it is.
func (h *Handler) findIn(ctx context.Context, t stop.Task, s stop.Selector, region string) (found []stop.Target, answer *stop.Answer) {
	quota, err := h.api.Quota(s.Account, region)
	if err != nil {
		return nil, &stop.Answer{Class: stop.ClassCaller, Message: err.Error()}
	}
	for try := range searchTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, answer
			case <-time.After(jitter(500 * time.Millisecond)):
			}
		}
		live, seen := h.reader.live(ctx, searchTime, quota, region, t.Lane)
		if seen.held > 0 {
			answer = &stop.Answer{Class: stop.ClassCredential, Message: "the API was not asked in time, or the account is held"}
			continue
		}
		if answer = failed(seen.answer); answer == nil && len(live) > 0 {
			found, answer = h.match(ctx, quota, s, region, t.Lane, live)
		}
		if answer == nil || lasting(answer.Class) {
			return found, answer
		}
	}
	return nil, answer
}

// match looks up which of the groups with a live refresh a selector means.
func (h *Handler) match(ctx context.Context, q stop.Quota, s stop.Selector, region string, l stop.Lane, live map[string]stop.Activity) ([]stop.Target, *stop.Answer) {
	groups, answer := h.groups(ctx, q, l, stop.GroupScope{
		Account: s.Account, Region: region, LaunchConfigurationID: s.LaunchConfigurationID, Tags: s.Tags,
	})
	if answer != nil {
		return nil, answer
	}
	var found []stop.Target
	for _, g := range groups {
		if a, ok := live[g.AutoScalingGroupID]; ok && s.Matches(g) {
			found = append(found, stop.Target{
				Account: s.Account, Region: region, AutoScalingGroupID: g.AutoScalingGroupID, RefreshActivityID: a.RefreshActivityID,
			})
		}
	}
	return found, nil
}

// failed is an answer that is no acceptance, nil if it is one.
func failed(a stop.Answer) *stop.Answer {
	if a.OK() {
		return nil
	}
	return &a
}

// groups reads all pages of a scope. The answer says why they cannot be read,
// nil if they are.
func (h *Handler) groups(ctx context.Context, q stop.Quota, l stop.Lane, scope stop.GroupScope) ([]stop.Group, *stop.Answer) {
	var all []stop.Group
	for {
		page, answer := h.groupPage(ctx, q, l, scope)
		if answer != nil {
			return nil, answer
		}
		all = append(all, page.Groups...)
		scope.Offset += len(page.Groups)
		if len(page.Groups) == 0 || scope.Offset >= page.Total {
			return all, nil
		}
	}
}

func (h *Handler) groupPage(ctx context.Context, q stop.Quota, l stop.Lane, scope stop.GroupScope) (page stop.GroupPage, answer *stop.Answer) {
	a, err := h.reader.ask(ctx, stop.ActionGroups, q, l, func() (a stop.Answer) {
		page, a = h.api.Groups(ctx, scope)
		return a
	})
	if err != nil {
		return page, &stop.Answer{Class: stop.ClassTransient, Message: err.Error(), Unsent: true}
	}
	return page, failed(a)
}

// names looks up what groups are called, by their ids. Those that do not exist
// have no name.
func (h *Handler) names(ctx context.Context, t stop.Task, ids []string) (map[string]string, *stop.Answer) {
	brief, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	groups, answer := h.groups(brief, t.Quota, t.Lane, stop.GroupScope{Account: t.Target.Account, Region: t.Target.Region, GroupIDs: ids})
	names := make(map[string]string, len(groups))
	for _, g := range groups {
		names[g.AutoScalingGroupID] = g.Name
	}
	return names, answer
}
