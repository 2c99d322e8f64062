package faults

import (
	"fmt"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

const region = "ap-guangzhou"

// fate is what a request meets at the API, and the one result that is true of
// it when nothing but the injected faults goes wrong.
type fate struct {
	status   simulator.Status // empty: no such activity
	scaleIn  bool
	rollback bool
	// becomes is its status when the Stop arrives, if it is another.
	becomes simulator.Status
	byGroup bool   // the request does not name the activity
	foreign bool   // the request names another's group
	extra   string // more of the request
	outcome stop.Outcome
	// called: it takes a Stop to know.
	called bool
}

var runs = fate{status: simulator.Running, outcome: stop.OutcomePaused, called: true}

// mixed come in this order again and again.
var mixed = []fate{
	runs, runs, runs,
	{outcome: stop.OutcomeNotFound, called: true},
	runs,
	{status: simulator.Running, byGroup: true, outcome: stop.OutcomePaused, called: true},
	{status: simulator.Running, scaleIn: true, outcome: stop.OutcomeConflict, called: true},
	runs,
	{status: simulator.AutoPause, outcome: stop.OutcomeAlreadyPaused},
	{status: simulator.Init, outcome: stop.OutcomeConflict, called: true},
	runs,
	{status: simulator.Successful, outcome: stop.OutcomeConflict},
	{status: simulator.Running, rollback: true, outcome: stop.OutcomeRefused},
	runs,
	{status: simulator.Running, extra: `,"DryRun":true`, outcome: stop.OutcomeWouldPause},
	{status: simulator.Running, extra: `,"DryRunn":true`, outcome: stop.OutcomeInvalid},
	{status: simulator.Running, extra: `,"NotAfter":"2026-01-01T00:00:00Z"`, outcome: stop.OutcomeExpired},
	{status: simulator.ManualPause, byGroup: true, outcome: stop.OutcomeAlreadyPaused},
}

// request is one that somebody asks; its id is the activity's, so that crash
// points around a call and around a result mean the same.
type request struct {
	fate
	id, group string
	subject   string
}

var subjects = []string{stop.SubjectStop, "as.refresh.stop.urgent", "as.refresh.stop.bulk.team-a", "as.refresh.stop.somebody", "as.refresh.stop.urgent.team-b"}

func newRequest(i int, f fate) request {
	return request{fate: f, id: fmt.Sprintf("asr-a%06d", i), group: fmt.Sprintf("asg-g%06d", i), subject: subjects[i%len(subjects)]}
}

func (r request) payload() []byte {
	activity := fmt.Sprintf(`,"RefreshActivityId":%q`, r.id)
	if r.byGroup {
		activity = ""
	}
	group := r.group
	if r.foreign {
		group = "asg-foreign"
	}
	return fmt.Appendf(nil, `{"Id":%q,"AutoScalingGroupId":%q%s%s}`, r.id, group, activity, r.extra)
}

// place puts what the request will meet into the simulated world.
func (r request) place(sim *simulator.Simulator) error {
	if err := sim.AddGroup(simulator.Group{Region: region, ID: r.group, Name: r.group}); err != nil {
		return err
	}
	if r.status == "" {
		return nil
	}
	a := simulator.Activity{GroupID: r.group, ID: r.id, Status: r.status, ScaleIn: r.scaleIn}
	if r.rollback {
		a.Type = stop.TypeRollback
	}
	return sim.AddActivity(a)
}
