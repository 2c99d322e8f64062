package simulator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func list(format string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	b, _ := json.Marshal(items)
	return string(b)
}

func TestDescribeActivities(t *testing.T) {
	const live = `{"Name":"refresh-activity-status-code","Values":["INIT","RUNNING","FAILED_PAUSE","AUTO_PAUSE","MANUAL_PAUSE"]}`
	filter := func(name string, values ...string) string {
		b, _ := json.Marshal(map[string]any{"Name": name, "Values": values})
		return string(b)
	}
	filters := func(fs ...string) string { return `{"Filters":[` + strings.Join(fs, ",") + `]}` }
	for _, tt := range []struct {
		name, region, body string
		want               []string
	}{
		{"by ids, unknown ones left out", "", `{"RefreshActivityIds":["asr-runweb01","asr-nothing1"]}`, []string{"asr-runweb01"}},
		{"unknown id alone is an empty set", "", `{"RefreshActivityIds":["asr-nothing1"]}`, nil},
		{"id of another region", "", `{"RefreshActivityIds":["asr-rungame1"]}`, nil},
		{"live refresh of a group", "", filters(filter("auto-scaling-group-id", "asg-shopweb1"), live), []string{"asr-runweb01"}},
		{"all refreshes of a group, youngest first", "", filters(filter("auto-scaling-group-id", "asg-shopweb1")), []string{"asr-runweb01", "asr-oldweb00"}},
		{"values are alternatives", "", filters(filter("refresh-activity-id", "asr-runapi01", "asr-pausecrt")), []string{"asr-pausecrt", "asr-runapi01"}},
		{"filters are all needed", "", filters(filter("refresh-activity-id", "asr-runapi01"), filter("refresh-activity-type", "ROLLBACK")), nil},
		{"rollbacks", "ap-singapore", filters(filter("refresh-activity-type", "ROLLBACK")), []string{"asr-backchat"}},
		{"page", "", `{"Limit":2,"Offset":1}`, []string{"asr-pausecrt", "asr-runapi01"}},
		{"page past the end", "", `{"Offset":1000}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := call(t, sim(t, nil), request{action: "DescribeRefreshActivities", region: tt.region, body: tt.body})
			wantCode(t, tt.name, a.Error.Code, "")
			var got []string
			for _, item := range a.RefreshActivitySet {
				got = append(got, item.RefreshActivityId)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescribeGroups(t *testing.T) {
	for _, tt := range []struct {
		name, filters string
		want          []string
	}{
		{"all", ``, []string{"asg-payments", "asg-reports1", "asg-shopapi1", "asg-shopcart", "asg-shopweb1"}},
		{"id", `{"Name":"auto-scaling-group-id","Values":["asg-shopweb1","asg-gamechat"]}`, []string{"asg-shopweb1"}},
		{"name is exact", `{"Name":"auto-scaling-group-name","Values":["shop"]}`, nil},
		{"vague name", `{"Name":"vague-auto-scaling-group-name","Values":["shop"]}`, []string{"asg-shopapi1", "asg-shopcart", "asg-shopweb1"}},
		{"launch configuration", `{"Name":"launch-configuration-id","Values":["asc-shopapi1"]}`, []string{"asg-shopapi1", "asg-shopcart"}},
		{"tag key", `{"Name":"tag-key","Values":["team"]}`, []string{"asg-payments", "asg-reports1", "asg-shopapi1", "asg-shopcart", "asg-shopweb1"}},
		{"tag value", `{"Name":"tag-value","Values":["pay","web"]}`, []string{"asg-payments", "asg-shopweb1"}},
		{"tag", `{"Name":"tag:tier","Values":["api"]}`, []string{"asg-payments", "asg-shopapi1", "asg-shopcart"}},
		{"two tags", `{"Name":"tag:tier","Values":["api"]},{"Name":"tag:team","Values":["shop"]}`, []string{"asg-shopapi1", "asg-shopcart"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := call(t, sim(t, nil), request{action: "DescribeAutoScalingGroups", body: `{"Filters":[` + tt.filters + `]}`})
			wantCode(t, tt.name, a.Error.Code, "")
			var got []string
			for _, item := range a.AutoScalingGroupSet {
				got = append(got, item.AutoScalingGroupId)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescribeLimits(t *testing.T) {
	const activities, groups = "DescribeRefreshActivities", "DescribeAutoScalingGroups"
	filters := func(n int) string {
		return `[` + strings.TrimSuffix(strings.Repeat(`{"Name":"auto-scaling-group-id","Values":["asg-x"]},`, n), ",") + `]`
	}
	for _, tt := range []struct{ name, action, body, code string }{
		{"100 ids", activities, `{"RefreshActivityIds":` + list("asr-%d", 100) + `}`, ""},
		{"101 ids", activities, `{"RefreshActivityIds":` + list("asr-%d", 101) + `}`, "InvalidParameterValue.LimitExceeded"},
		{"101 group ids", groups, `{"AutoScalingGroupIds":` + list("asg-%d", 101) + `}`, "InvalidParameterValue.LimitExceeded"},
		{"10 filters", activities, `{"Filters":` + filters(10) + `}`, ""},
		{"11 filters", activities, `{"Filters":` + filters(11) + `}`, "InvalidParameterValue.LimitExceeded"},
		{"6 values", activities, `{"Filters":[{"Name":"refresh-activity-id","Values":` + list("asr-%d", 6) + `}]}`, "LimitExceeded.FilterValuesTooLong"},
		{"limit 100", activities, `{"Limit":100}`, ""},
		{"limit 101", activities, `{"Limit":101}`, "InvalidParameterValue.LimitExceeded"},
		{"negative limit", activities, `{"Limit":-1}`, "InvalidParameter"},
		{"ids and filters", activities, `{"RefreshActivityIds":["asr-x"],"Filters":` + filters(1) + `}`, "InvalidParameter.Conflict"},
		{"group ids and filters", groups, `{"AutoScalingGroupIds":["asg-x"],"Filters":` + filters(1) + `}`, "InvalidParameterConflict"},
		{"unknown filter", activities, `{"Filters":[{"Name":"status","Values":["x"]}]}`, "InvalidParameterValue.InvalidFilter"},
		{"tag filter without key", groups, `{"Filters":[{"Name":"tag:","Values":["x"]}]}`, "InvalidParameterValue.InvalidFilter"},
		{"filter without name", activities, `{"Filters":[{"Values":["x"]}]}`, "MissingParameter"},
		{"filter without values", activities, `{"Filters":[{"Name":"refresh-activity-id"}]}`, "MissingParameter"},
		{"not a group id", groups, `{"AutoScalingGroupIds":["web"]}`, "InvalidParameterValue.InvalidAutoScalingGroupId"},
		{"not a group id in a filter", activities, `{"Filters":[{"Name":"auto-scaling-group-id","Values":["web"]}]}`, "InvalidParameterValue.InvalidAutoScalingGroupId"},
		{"not a launch configuration", groups, `{"Filters":[{"Name":"launch-configuration-id","Values":["web"]}]}`, "InvalidParameterValue.InvalidLaunchConfigurationId"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantCode(t, tt.name, call(t, sim(t, nil), request{action: tt.action, body: tt.body}).Error.Code, tt.code)
		})
	}
}

// Whatever the order, pages together are the whole set, each item once.
func TestDescribeOrders(t *testing.T) {
	orders := map[simulator.Order][]string{}
	for _, order := range []simulator.Order{simulator.Newest, simulator.Oldest, simulator.Scrambled} {
		s := sim(t, func(sc *simulator.Scenario) { sc.Undocumented.DescribeOrder = order })
		for offset := 0; ; offset += 2 {
			a := call(t, s, request{action: "DescribeRefreshActivities", body: fmt.Sprintf(`{"Limit":2,"Offset":%d}`, offset)})
			if len(a.RefreshActivitySet) == 0 {
				break
			}
			if a.TotalCount != 6 {
				t.Errorf("TotalCount %d on a page, want 6", a.TotalCount)
			}
			for _, item := range a.RefreshActivitySet {
				orders[order] = append(orders[order], item.RefreshActivityId)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(orders[order])))) != 6 {
			t.Errorf("%s: pages give %v", order, orders[order])
		}
	}
	if slices.Equal(orders[simulator.Newest], orders[simulator.Oldest]) || slices.Equal(orders[simulator.Newest], orders[simulator.Scrambled]) {
		t.Errorf("orders do not differ: %v", orders)
	}
}

func TestPagesOfGroupsAreTheWholeSet(t *testing.T) {
	s := sim(t, nil)
	for _, filters := range []string{`[]`, `[{"Name":"tag:env","Values":["prod"]}]`} {
		var got []string
		for offset := 0; ; offset += 2 {
			body := fmt.Sprintf(`{"Filters":%s,"Limit":2,"Offset":%d}`, filters, offset)
			a := call(t, s, request{action: "DescribeAutoScalingGroups", body: body})
			if len(a.AutoScalingGroupSet) == 0 {
				break
			}
			if a.TotalCount != 5 || len(a.AutoScalingGroupSet) > 2 {
				t.Errorf("%s: %d groups on a page of 2, TotalCount %d, want 5", body, len(a.AutoScalingGroupSet), a.TotalCount)
			}
			for _, g := range a.AutoScalingGroupSet {
				got = append(got, g.AutoScalingGroupId)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"asg-payments", "asg-reports1", "asg-shopapi1", "asg-shopcart", "asg-shopweb1"}, got); diff != "" {
			t.Errorf("filters %s (-want +got):\n%s", filters, diff)
		}
	}
}
