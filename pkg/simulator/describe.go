package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// The limits of a Describe.
const (
	maxIDs       = 100
	maxFilters   = 10
	maxValues    = 5
	defaultLimit = 20
	maxLimit     = 100
)

type filter struct {
	Name   *string
	Values []*string
}

type describeActivitiesRequest struct {
	RefreshActivityIds []*string
	Filters            []filter
	Limit              *uint64
	Offset             *uint64
}

type describeGroupsRequest struct {
	AutoScalingGroupIds []*string
	Filters             []filter
	Limit               *uint64
	Offset              *uint64
}

// query is what both Describe actions have in common.
type query struct {
	ids     []*string
	filters []filter
	limit   *uint64
	offset  *uint64
	// conflict is the code for ids and filters in one call.
	conflict string
	// known says whether a filter has this name.
	known func(name string) bool
}

// check refuses what is over a limit.
func (q query) check() *apiError {
	switch {
	case len(q.ids) > 0 && len(q.filters) > 0:
		return fail(q.conflict, "Ids and `Filters` cannot be specified together.")
	case len(q.ids) > maxIDs:
		return fail(codeListTooLong, "More than %d ids.", maxIDs)
	case len(q.filters) > maxFilters:
		return fail(codeListTooLong, "More than %d `Filters`.", maxFilters)
	case value(q.limit) > maxLimit:
		return fail(codeListTooLong, "`Limit` is more than %d.", maxLimit)
	}
	for _, f := range q.filters {
		if err := q.checkFilter(f); err != nil {
			return err
		}
	}
	return nil
}

func (q query) checkFilter(f filter) *apiError {
	name := value(f.Name)
	switch {
	case name == "":
		return missing("Filters.Name")
	case !q.known(name):
		return fail(codeInvalidFilter, "The filter `%s` is not supported.", name)
	case len(f.Values) == 0:
		return missing("Filters.Values")
	case len(f.Values) > maxValues:
		return fail(codeFilterValuesTooLong, "The filter `%s` has more than %d values.", name, maxValues)
	}
	prefix, code := "", codeInvalidGroupID
	switch name {
	case "auto-scaling-group-id":
		prefix = "asg-"
	case "launch-configuration-id":
		prefix, code = "asc-", codeInvalidLaunchID
	}
	for _, v := range f.Values {
		if !strings.HasPrefix(value(v), prefix) {
			return fail(code, "`%s` is not an id.", value(v))
		}
	}
	return nil
}

// takes says whether an item is asked for: by its id, or by all filters, of
// which each needs one of its values to hold.
func (q query) takes(id string, holds func(name, value string) bool) bool {
	if len(q.ids) > 0 {
		return slices.ContainsFunc(q.ids, func(want *string) bool { return value(want) == id })
	}
	for _, f := range q.filters {
		if !slices.ContainsFunc(f.Values, func(v *string) bool { return holds(*f.Name, value(v)) }) {
			return false
		}
	}
	return true
}

// page cuts Limit items from Offset out of a set.
func page[T any](q query, set []T) []T {
	limit := uint64(defaultLimit)
	if q.limit != nil {
		limit = *q.limit
	}
	n := uint64(len(set))
	from := min(value(q.offset), n)
	return set[from:min(from+limit, n)]
}

// sorted orders a set as the scenario wants it.
func sorted[T any](w *world, set []T, key func(T) (time.Time, string)) []T {
	slices.SortFunc(set, func(a, b T) int {
		at, aid := key(a)
		bt, bid := key(b)
		switch w.undocumented.DescribeOrder {
		case Oldest:
			return cmp.Or(at.Compare(bt), cmp.Compare(aid, bid))
		case Scrambled:
			return cmp.Compare(shortHash(aid), shortHash(bid))
		default:
			return cmp.Or(bt.Compare(at), cmp.Compare(aid, bid))
		}
	})
	return set
}

var activityFilters = []string{
	"auto-scaling-group-id", "refresh-activity-status-code", "refresh-activity-type", "refresh-activity-id",
}

func (w *world) describeActivities(c *call, r describeActivitiesRequest) (any, *apiError) {
	q := query{
		ids: r.RefreshActivityIds, filters: r.Filters, limit: r.Limit, offset: r.Offset,
		conflict: codeParameterConflict,
		known:    func(name string) bool { return slices.Contains(activityFilters, name) },
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	var set []*activity
	for _, a := range w.activities {
		if w.seen(a.GroupID, c.region, c.secretID) != nil && q.takes(a.ID, a.holds(c.now)) {
			set = append(set, a)
		}
	}
	sorted(w, set, func(a *activity) (time.Time, string) { return a.Created, a.ID })
	answer := activitySet{TotalCount: len(set), RefreshActivitySet: []activityItem{}}
	for _, a := range page(q, set) {
		answer.RefreshActivitySet = append(answer.RefreshActivitySet, a.item(c.now))
	}
	return answer, nil
}

func (a *activity) holds(now time.Time) func(name, value string) bool {
	return func(name, value string) bool {
		switch name {
		case "auto-scaling-group-id":
			return a.GroupID == value
		case "refresh-activity-status-code":
			return string(a.shownStatus(now)) == value
		case "refresh-activity-type":
			return a.Type == value
		default:
			return a.ID == value
		}
	}
}

var groupFilters = []string{
	"auto-scaling-group-id", "auto-scaling-group-name", "vague-auto-scaling-group-name",
	"launch-configuration-id", "tag-key", "tag-value",
}

func (w *world) describeGroups(c *call, r describeGroupsRequest) (any, *apiError) {
	q := query{
		ids: r.AutoScalingGroupIds, filters: r.Filters, limit: r.Limit, offset: r.Offset,
		conflict: codeGroupsConflict,
		known: func(name string) bool {
			return slices.Contains(groupFilters, name) || strings.HasPrefix(name, "tag:") && name != "tag:"
		},
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	for _, id := range r.AutoScalingGroupIds {
		if !strings.HasPrefix(value(id), "asg-") {
			return nil, fail(codeInvalidGroupID, "`%s` is not the id of a scaling group.", value(id))
		}
	}
	var set []*Group
	for _, g := range w.groups {
		if w.seen(g.ID, c.region, c.secretID) != nil && q.takes(g.ID, g.holds) {
			set = append(set, g)
		}
	}
	sorted(w, set, func(g *Group) (time.Time, string) { return g.Created, g.ID })
	answer := groupSet{TotalCount: len(set), AutoScalingGroupSet: []groupItem{}}
	for _, g := range page(q, set) {
		answer.AutoScalingGroupSet = append(answer.AutoScalingGroupSet, w.groupItem(g))
	}
	return answer, nil
}

func (g *Group) holds(name, value string) bool {
	switch name {
	case "auto-scaling-group-id":
		return g.ID == value
	case "auto-scaling-group-name":
		return g.Name == value
	case "vague-auto-scaling-group-name":
		return strings.Contains(g.Name, value)
	case "launch-configuration-id":
		return g.LaunchConfigurationID == value
	case "tag-key":
		_, ok := g.Tags[value]
		return ok
	case "tag-value":
		return slices.Contains(slices.Collect(maps.Values(g.Tags)), value)
	default:
		got, ok := g.Tags[strings.TrimPrefix(name, "tag:")]
		return ok && got == value
	}
}
