package stop_test

import (
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestCheck(t *testing.T) {
	const group = "asg-shopweb1"
	for _, row := range []struct {
		name   string
		target stop.Target
		want   string
	}{
		{"a group is enough", stop.Target{AutoScalingGroupID: group}, ""},
		{"every field", stop.Target{Account: "shop_1", Region: "ap-shanghai-fsi", AutoScalingGroupID: group, RefreshActivityID: "asr-runweb01"}, ""},
		{"nothing", stop.Target{}, "AutoScalingGroupId is required: asg- and lower-case letters or digits"},
		{"no group", stop.Target{Account: "shop", Region: "ap-seoul", RefreshActivityID: "asr-a"}, "AutoScalingGroupId is required: asg- and lower-case letters or digits"},
		{"a bad group", stop.Target{AutoScalingGroupID: "asg_x"}, `AutoScalingGroupId "asg_x" is not allowed: want asg- and lower-case letters or digits`},
		{"a bad activity", stop.Target{AutoScalingGroupID: group, RefreshActivityID: "asg-a"}, `RefreshActivityId "asg-a" is not allowed: want asr- and lower-case letters or digits`},
		{"a bad account", stop.Target{Account: "a b", AutoScalingGroupID: group}, `Account "a b" is not allowed: want letters, digits, - and _, at most 32`},
		{"a bad region", stop.Target{Region: "*", AutoScalingGroupID: group}, `Region "*" is not allowed: want a region such as ap-guangzhou`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			if bad := row.target.Check(); bad != nil {
				got = bad.Error()
			}
			if got != row.want {
				t.Errorf("says %q, want %q", got, row.want)
			}
		})
	}
}
