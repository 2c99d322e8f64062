package stop_test

import (
	"fmt"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func ExampleDecode() {
	m := stop.Message{
		Subject:  "as.refresh.stop.urgent.team-shop",
		Data:     []byte(`{"Id":"deploy-4711","AutoScalingGroupId":"asg-shopweb1","Reason":"5xx rate above 2 %"}`),
		Stored:   time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC),
		Sequence: 1,
	}
	r, bad := stop.Decode(m, stop.Defaults{Region: "ap-guangzhou"})
	if bad != nil {
		fmt.Println("invalid:", bad)
		return
	}
	fmt.Println(r.ID, r.Lane, r.Source)
	fmt.Println(r.Account, r.Region, r.AutoScalingGroupID)
	fmt.Println("not after", r.NotAfter.Format(time.TimeOnly))
	// Output:
	// deploy-4711 urgent json
	// default ap-guangzhou asg-shopweb1
	// not after 04:30:00
}

// An unreadable request still has an identity, under which its result is
// stored, and says which field is wrong.
func ExampleDecode_invalid() {
	m := stop.Message{
		Subject: "as.refresh.stop",
		Data:    []byte(`{"Id":"deploy-4711","AutoScalingGroupId":"asg-shopweb1","Dryrun":true}`),
	}
	r, bad := stop.Decode(m, stop.Defaults{Region: "ap-guangzhou"})
	fmt.Println(stop.ResultSubject(r.ID))
	fmt.Println(bad.Field)
	fmt.Println(bad)
	// Output:
	// as.refresh.result.deploy-4711
	// Dryrun
	// Dryrun is not a field of a request; did you mean DryRun?
}

func ExampleDecode_cloudEvent() {
	m := stop.Message{
		Subject: "as.refresh.stop",
		Header: map[string][]string{
			"ce-specversion": {"1.0"},
			"ce-id":          {"alert-7"},
			"ce-source":      {"/monitoring/shop"},
			"ce-type":        {"as.refresh.stop"},
		},
		Data: []byte(`{"Region":"ap-guangzhou","Targets":[{"AutoScalingGroupId":"asg-shopweb1"},{"AutoScalingGroupId":"asg-shopapi1"}]}`),
	}
	r, bad := stop.Decode(m, stop.Defaults{})
	if bad != nil {
		fmt.Println("invalid:", bad)
		return
	}
	fmt.Println(r.Source, r.Lane)
	for _, t := range r.Targets {
		fmt.Println(t.Account, t.Region, t.AutoScalingGroupID)
	}
	// Output:
	// cloudevent_binary bulk
	// default ap-guangzhou asg-shopweb1
	// default ap-guangzhou asg-shopapi1
}
