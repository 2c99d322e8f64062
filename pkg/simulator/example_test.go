package simulator_test

import (
	"fmt"
	"net/http/httptest"
	"strings"

	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// A test of one's own: the real SDK, an answer that gets lost, and the proof
// that the refresh was paused once.
func Example() {
	sim, err := simulator.New(simulator.Sample())
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	defer sim.Close()
	if _, err := sim.AddFault(simulator.Fault{Kind: simulator.LostAnswer, Count: 1}); err != nil {
		panic(err)
	}

	p := profile.NewClientProfile()
	p.HttpProfile.Scheme = "HTTP"
	p.HttpProfile.Endpoint = strings.TrimPrefix(server.URL, "http://")
	client, err := as.NewClient(common.NewCredential(simulator.SampleSecretID, simulator.SampleSecretKey), "ap-guangzhou", p)
	if err != nil {
		panic(err)
	}
	request := as.NewStopInstanceRefreshRequest()
	request.AutoScalingGroupId = common.StringPtr("asg-shopweb1")
	request.RefreshActivityId = common.StringPtr("asr-runweb01")
	for range 2 {
		_, err := client.StopInstanceRefresh(request)
		fmt.Println("failed:", err != nil)
	}

	activity, _ := sim.Activity("asr-runweb01")
	fmt.Println(activity.Status, "stops:", activity.Stops)
	for _, a := range sim.Arrivals() {
		fmt.Printf("%s accepted=%v fault=%q code=%q\n", a.Action, a.Accepted, a.Fault, a.Code)
	}
	// Output:
	// failed: true
	// failed: true
	// MANUAL_PAUSE stops: 1
	// StopInstanceRefresh accepted=true fault="lost_answer" code=""
	// StopInstanceRefresh accepted=false fault="" code="ResourceUnavailable.RefreshActivityStatusConflictWithOperation"
}
