package simulator_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func sdkStop(t *testing.T, c *as.Client, group, activity string) error {
	t.Helper()
	r := as.NewStopInstanceRefreshRequest()
	r.AutoScalingGroupId, r.RefreshActivityId = &group, &activity
	answer, err := c.StopInstanceRefreshWithContext(t.Context(), r)
	if err == nil && (answer.Response == nil || answer.Response.RequestId == nil) {
		t.Error("success without a RequestId")
	}
	return err
}

// sdkCode is the code of the SDK's error, or "".
func sdkCode(err error) string {
	var e *sdkerrors.TencentCloudSDKError
	if errors.As(err, &e) {
		return e.GetCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestSDKStop(t *testing.T) {
	s := sim(t, nil)
	c := sdk(t, serve(t, s), "ap-guangzhou")
	for _, tt := range []struct{ name, group, activity, code string }{
		{"a running refresh", "asg-shopweb1", "asr-runweb01", ""},
		{"again", "asg-shopweb1", "asr-runweb01", conflict},
		{"an unknown refresh", "asg-shopweb1", "asr-nothing1", notFound},
		{"a refresh of another region", "asg-gamelive", "asr-rungame1", notFound},
	} {
		wantCode(t, tt.name, sdkCode(sdkStop(t, c, tt.group, tt.activity)), tt.code)
	}
	wantStatus(t, s, "asr-runweb01", simulator.ManualPause)
	if a := s.Arrivals()[0]; !a.Accepted || a.GroupID != "asg-shopweb1" || a.ActivityIDs[0] != "asr-runweb01" || a.SecretID != simulator.SampleSecretID || a.Region != "ap-guangzhou" || a.RequestID == "" {
		t.Errorf("recorded as %+v", a)
	}
}

func TestSDKFaults(t *testing.T) {
	for _, tt := range []struct {
		fault    simulator.Fault
		code     string
		accepted bool
	}{
		{simulator.Fault{Kind: simulator.Throttle}, "RequestLimitExceeded", false},
		{simulator.Fault{Kind: simulator.Throttle, Code: "RequestLimitExceeded.UinLimitExceeded"}, "RequestLimitExceeded.UinLimitExceeded", false},
		{simulator.Fault{Kind: simulator.ErrorCode, Code: "InternalError.CallError"}, "InternalError.CallError", false},
		{simulator.Fault{Kind: simulator.RefuseCredentials}, "AuthFailure.SecretIdNotFound", false},
		{simulator.Fault{Kind: simulator.RefuseCredentials, Code: "AuthFailure.TokenFailure"}, "AuthFailure.TokenFailure", false},
		{simulator.Fault{Kind: simulator.Cut}, "ClientError.NetworkError", false},
		{simulator.Fault{Kind: simulator.LostAnswer}, "ClientError.NetworkError", true},
		{simulator.Fault{Kind: simulator.BadGateway}, "ClientError.ParseJsonError", false},
		{simulator.Fault{Kind: simulator.BadGateway, HTTPStatus: 504, Accepted: true}, "ClientError.ParseJsonError", true},
		{simulator.Fault{Kind: simulator.TruncatedBody}, "ClientError.ParseJsonError", true},
		{simulator.Fault{Kind: simulator.HugeBody, Megabytes: 2}, "", true},
		{simulator.Fault{Kind: simulator.SlowBody, BytesPerSecond: 2000}, "", true},
		{simulator.Fault{Kind: simulator.Latency, Delay: 1, DelayMax: 1000}, "", true},
	} {
		name := string(tt.fault.Kind) + " " + tt.fault.Code
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sim(t, nil)
			c := sdk(t, serve(t, s), "ap-guangzhou")
			tt.fault.Count = 1
			if _, err := s.AddFault(tt.fault); err != nil {
				t.Fatal(err)
			}
			wantCode(t, name, sdkCode(sdkStop(t, c, "asg-shopweb1", "asr-runweb01")), tt.code)
			a := s.Arrivals()[0]
			if a.Accepted != tt.accepted || a.Fault != tt.fault.Kind {
				t.Errorf("recorded as %+v", a)
			}
			after, _ := s.Activity("asr-runweb01")
			if paused := after.Status == simulator.ManualPause; paused != tt.accepted {
				t.Errorf("the refresh is %s, want the effect %v", after.Status, tt.accepted)
			}
			// The fault is used up: what comes next is the API's own word.
			next := map[bool]string{true: conflict, false: ""}[tt.accepted]
			wantCode(t, "next call", sdkCode(sdkStop(t, c, "asg-shopweb1", "asr-runweb01")), next)
		})
	}
}

// The SDK has no error for {}: a client has to look at Response itself.
func TestSDKTakesAnEmptyObjectForSuccess(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.Faults = []simulator.Fault{{Kind: simulator.EmptyObject}} })
	c := sdk(t, serve(t, s), "ap-guangzhou")
	answer, err := c.StopInstanceRefreshWithContext(t.Context(), as.NewStopInstanceRefreshRequest())
	if err != nil || answer.Response != nil {
		t.Errorf("SDK says %v and %+v", err, answer.Response)
	}
}

func TestSDKPanicsOnNull(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.Faults = []simulator.Fault{{Kind: simulator.NullBody}} })
	c := sdk(t, serve(t, s), "ap-guangzhou")
	defer func() {
		if recover() == nil {
			t.Error("the SDK got over a null body; clients need not recover any more")
		}
	}()
	_, _ = c.StopInstanceRefreshWithContext(t.Context(), as.NewStopInstanceRefreshRequest())
}

func TestSDKDescribe(t *testing.T) {
	c := sdk(t, serve(t, sim(t, nil)), "ap-guangzhou")
	for _, tt := range []struct {
		name string
		fill func(*as.DescribeRefreshActivitiesRequest)
		want string
	}{
		{"by ids", func(r *as.DescribeRefreshActivitiesRequest) {
			r.RefreshActivityIds = common.StringPtrs([]string{"asr-failpay1"})
		}, "FAILED_PAUSE"},
		{"live refresh of a group", func(r *as.DescribeRefreshActivitiesRequest) {
			r.Filters = []*as.Filter{
				{Name: common.StringPtr("auto-scaling-group-id"), Values: common.StringPtrs([]string{"asg-shopweb1"})},
				{Name: common.StringPtr("refresh-activity-status-code"), Values: common.StringPtrs([]string{"INIT", "RUNNING", "FAILED_PAUSE", "AUTO_PAUSE", "MANUAL_PAUSE"})},
			}
		}, "RUNNING"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := as.NewDescribeRefreshActivitiesRequest()
			tt.fill(r)
			answer, err := c.DescribeRefreshActivitiesWithContext(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			set := answer.Response.RefreshActivitySet
			if *answer.Response.TotalCount != 1 || len(set) != 1 || *set[0].Status != tt.want {
				t.Fatalf("answer %s", answer.ToJsonString())
			}
			a := set[0]
			if len(a.RefreshBatchSet) == 0 || *a.RefreshBatchSet[0].RefreshBatchNum != uint64(len(a.RefreshBatchSet)) || a.EndTime != nil || *a.CreatedTime == "" || *a.RefreshSettings.RollingUpdateSettings.FailProcess != "AUTO_PAUSE" {
				t.Errorf("activity %s", answer.ToJsonString())
			}
		})
	}
}

func TestSDKDescribeGroups(t *testing.T) {
	c := sdk(t, serve(t, sim(t, nil)), "ap-singapore")
	r := as.NewDescribeAutoScalingGroupsRequest()
	r.Filters = []*as.Filter{{Name: common.StringPtr("tag:env"), Values: common.StringPtrs([]string{"test"})}}
	answer, err := c.DescribeAutoScalingGroupsWithContext(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	g := answer.Response.AutoScalingGroupSet[0]
	if *g.AutoScalingGroupId != "asg-idlepool" || *g.EnabledStatus != "ENABLED" || *g.InActivityStatus != "NOT_IN_ACTIVITY" || len(g.Tags) != 2 || *g.DesiredCapacity != 2 {
		t.Errorf("group %s", answer.ToJsonString())
	}
}

func TestSDKReadsWhatAGroupIsFoundBy(t *testing.T) {
	c := sdk(t, serve(t, sim(t, nil)), "ap-guangzhou")
	r := as.NewDescribeAutoScalingGroupsRequest()
	r.AutoScalingGroupIds = common.StringPtrs([]string{"asg-shopweb1"})
	answer, err := c.DescribeAutoScalingGroupsWithContext(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	g := answer.Response.AutoScalingGroupSet[0]
	tags := map[string]string{}
	for _, tag := range g.Tags {
		tags[*tag.Key] = *tag.Value
	}
	got := []any{*g.AutoScalingGroupId, *g.AutoScalingGroupName, *g.LaunchConfigurationId, tags}
	want := []any{"asg-shopweb1", "shop-web", "asc-shopweb1", map[string]string{"team": "shop", "env": "prod", "tier": "web"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
}
