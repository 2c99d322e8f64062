package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const region = "ap-guangzhou"

// newAPI has so many groups with a refresh that runs, and its quota in force. A
// Stop of what is paused already does no harm, so that one activity is enough
// for any number of calls.
func newAPI(t testing.TB, rate float64, groups int, latency time.Duration) *harness.API {
	t.Helper()
	sc := simulator.Scenario{
		Credentials:  []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}},
		Quota:        simulator.Quota{Actions: map[string]int{stop.ActionStop: int(rate)}},
		Undocumented: simulator.Undocumented{StopOnPaused: simulator.OK},
	}
	if latency > 0 {
		sc.Faults = []simulator.Fault{{Kind: simulator.Latency, Delay: latency}}
	}
	for i := range groups {
		g, a := names(i)
		sc.Groups = append(sc.Groups, simulator.Group{Region: region, ID: g, Name: g})
		sc.Activities = append(sc.Activities, simulator.Activity{GroupID: g, ID: a, Status: simulator.Running})
	}
	return harness.StartAPI(t, sc)
}

func names(i int) (group, activity string) {
	return fmt.Sprintf("asg-g%05d", i), fmt.Sprintf("asr-a%05d", i)
}
