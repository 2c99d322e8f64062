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
	idName  string // of the filter that ids are short for
	filters []filter
	limit   *uint64
	offset  *uint64
	// conflict is the code for ids and filters in one call.
	conflict string
	// known says whether a filter has this name.
	known func(name string) bool
}

// conditions are what an item has to meet: each needs one of its values to hold.
type conditions []filter

// conditions are those of the query, unless it is over a limit.
func (q query) conditions() (conditions, *apiError) {
	switch {
	case len(q.ids) > 0 && len(q.filters) > 0:
		return nil, fail(q.conflict, "Ids and `Filters` cannot be specified together.")
	case len(q.ids) > maxIDs:
		return nil, fail(codeListTooLong, "More than %d ids.", maxIDs)
	case len(q.filters) > maxFilters:
		return nil, fail(codeListTooLong, "More than %d `Filters`.", maxFilters)
	case value(q.limit) > maxLimit:
		return nil, fail(codeListTooLong, "`Limit` is more than %d.", maxLimit)
	case len(q.ids) > 0:
		return conditions{{Name: &q.idName, Values: q.ids}}, nil
	}
	for _, f := range q.filters {
		if err := q.checkFilter(f); err != nil {
			return nil, err
		}
	}
	return q.filters, nil
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

// meets says whether an item does, of which holds tells whether a value holds.
func (cs conditions) meets(holds func(name, value string) bool) bool {
	for _, f := range cs {
		if !slices.ContainsFunc(f.Values, func(v *string) bool { return holds(*f.Name, value(v)) }) {
			return false
		}
	}
	return true
}

// pick returns what the index has of the values that a condition of this name
// allows, each item once, and whether there is such a condition.
func pick[T any](cs conditions, name string, index map[string]*T) (set []*T, ok bool) {
	for _, f := range cs {
		if *f.Name != name {
			continue
		}
		for _, v := range f.Values {
			if item := index[value(v)]; item != nil && !slices.Contains(set, item) {
				set = append(set, item)
			}
		}
		return set, true
	}
	return nil, false
}

// candidates are the groups that a Describe has to look at: those that it
// names, or the whole region.
func (w *world) candidates(c *call, cs conditions) []*group {
	in := w.regions[c.region]
	if set, ok := pick(cs, "auto-scaling-group-id", w.groups); ok {
		return set
	}
	if set, ok := pick(cs, "auto-scaling-group-name", in.named); ok {
		return set
	}
	return in.list
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
		ids: r.RefreshActivityIds, idName: "refresh-activity-id", filters: r.Filters, limit: r.Limit, offset: r.Offset,
		conflict: codeParameterConflict,
		known:    func(name string) bool { return slices.Contains(activityFilters, name) },
	}
	asked, err := q.conditions()
	if err != nil {
		return nil, err
	}
	candidates, ok := pick(asked, "refresh-activity-id", w.activities)
	if !ok {
		for _, g := range w.candidates(c, asked) {
			candidates = append(candidates, g.refreshes...)
		}
	}
	var set []*activity
	for _, a := range candidates {
		if a.group.seenBy(c) && asked.meets(a.holds(c.now)) {
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
		ids: r.AutoScalingGroupIds, idName: "auto-scaling-group-id", filters: r.Filters, limit: r.Limit, offset: r.Offset,
		conflict: codeGroupsConflict,
		known: func(name string) bool {
			return slices.Contains(groupFilters, name) || strings.HasPrefix(name, "tag:") && name != "tag:"
		},
	}
	asked, err := q.conditions()
	if err != nil {
		return nil, err
	}
	for _, id := range r.AutoScalingGroupIds {
		if !strings.HasPrefix(value(id), "asg-") {
			return nil, fail(codeInvalidGroupID, "`%s` is not the id of a scaling group.", value(id))
		}
	}
	var set []*group
	for _, g := range w.candidates(c, asked) {
		if g.seenBy(c) && asked.meets(g.holds) {
			set = append(set, g)
		}
	}
	sorted(w, set, func(g *group) (time.Time, string) { return g.Created, g.ID })
	answer := groupSet{TotalCount: len(set), AutoScalingGroupSet: []groupItem{}}
	for _, g := range page(q, set) {
		answer.AutoScalingGroupSet = append(answer.AutoScalingGroupSet, g.item())
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
