package simulator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// twins has groups of the same names in two regions, the first of each seen by
// one account only, and two refreshes of each.
func twins(t *testing.T) *simulator.Simulator {
	t.Helper()
	return sim(t, func(sc *simulator.Scenario) {
		sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: "AKIDOTHER", SecretKey: "other"})
		sc.Quota.Off = true
		sc.Groups, sc.Activities = nil, nil
		for i := range 6 {
			id, region := fmt.Sprintf("gz%d", i), "ap-guangzhou"
			if i >= 3 {
				id, region = fmt.Sprintf("sg%d", i-3), "ap-singapore"
			}
			g := simulator.Group{Region: region, ID: "asg-" + id, Name: fmt.Sprintf("name-%d", i%3)}
			if i%3 == 0 {
				g.Accounts = []string{"AKIDOTHER"}
			}
			sc.Groups = append(sc.Groups, g)
			sc.Activities = append(sc.Activities,
				simulator.Activity{GroupID: g.ID, ID: "asr-" + id + "live", Status: simulator.Running},
				simulator.Activity{GroupID: g.ID, ID: "asr-" + id + "done", Status: simulator.Successful, Age: time.Hour},
			)
		}
	})
}

// A Describe that names something finds what a look at everything would find.
func TestDescribeOfWhatIsNamed(t *testing.T) {
	const activities, groups = "DescribeRefreshActivities", "DescribeAutoScalingGroups"
	filters := func(namesAndValues ...any) map[string]any {
		var fs []map[string]any
		for i := 0; i < len(namesAndValues); i += 2 {
			fs = append(fs, map[string]any{"Name": namesAndValues[i], "Values": namesAndValues[i+1]})
		}
		return map[string]any{"Filters": fs}
	}
	type strs = []string
	for _, tt := range []struct {
		name, action string
		body         map[string]any
		region       string
		other        bool // account
		want         strs
	}{
		{name: "an id twice is one item", action: groups, body: map[string]any{"AutoScalingGroupIds": strs{"asg-gz1", "asg-gz1"}}, want: strs{"asg-gz1"}},
		{name: "an activity's id twice is one item", action: activities, body: map[string]any{"RefreshActivityIds": strs{"asr-gz1live", "asr-gz1live"}}, want: strs{"asr-gz1live"}},
		{name: "a null is no id", action: activities, body: map[string]any{"RefreshActivityIds": []any{nil, "asr-gz2done"}}, want: strs{"asr-gz2done"}},
		{name: "ids of another region and account", action: groups, body: map[string]any{"AutoScalingGroupIds": strs{"asg-gz0", "asg-gz2", "asg-sg1"}}, want: strs{"asg-gz2"}},
		{name: "an account of its own sees it", action: groups, body: map[string]any{"AutoScalingGroupIds": strs{"asg-gz0", "asg-gz2"}}, other: true, want: strs{"asg-gz0", "asg-gz2"}},
		{name: "activities by ids of another account", action: activities, body: map[string]any{"RefreshActivityIds": strs{"asr-gz0live", "asr-gz1live"}}, want: strs{"asr-gz1live"}},
		{name: "a name is one of the region", action: groups, body: filters("auto-scaling-group-name", strs{"name-1"}), region: "ap-singapore", want: strs{"asg-sg1"}},
		{name: "names, one of another account", action: groups, body: filters("auto-scaling-group-name", strs{"name-2", "name-0", "name-2"}), want: strs{"asg-gz2"}},
		{name: "a name in a region without groups", action: groups, body: filters("auto-scaling-group-name", strs{"name-1"}), region: "ap-tokyo"},
		{name: "everything in a region without groups", action: activities, body: map[string]any{}, region: "ap-tokyo"},
		{name: "name and id of two groups", action: groups, body: filters("auto-scaling-group-name", strs{"name-1"}, "auto-scaling-group-id", strs{"asg-gz2"})},
		{name: "a filter twice needs both", action: groups, body: filters("auto-scaling-group-id", strs{"asg-gz1", "asg-gz2"}, "auto-scaling-group-id", strs{"asg-gz2"}), want: strs{"asg-gz2"}},
		{name: "activities of groups", action: activities, body: filters("auto-scaling-group-id", strs{"asg-gz1", "asg-gz1", "asg-sg1", "asg-gz0"}), want: strs{"asr-gz1done", "asr-gz1live"}},
		{name: "activity of another group", action: activities, body: filters("refresh-activity-id", strs{"asr-gz1live"}, "auto-scaling-group-id", strs{"asg-gz2"})},
		{name: "live activities of a region", action: activities, body: filters("refresh-activity-status-code", strs{"RUNNING"}), want: strs{"asr-gz1live", "asr-gz2live"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := json.Marshal(tt.body)
			if err != nil {
				t.Fatal(err)
			}
			q := request{action: tt.action, region: tt.region, body: string(body)}
			if tt.other {
				q.id, q.key = "AKIDOTHER", "other"
			}
			a := call(t, twins(t), q)
			wantCode(t, tt.name, a.Error.Code, "")
			var got []string
			for _, g := range a.AutoScalingGroupSet {
				got = append(got, g.AutoScalingGroupId)
			}
			for _, r := range a.RefreshActivitySet {
				got = append(got, r.RefreshActivityId)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" || a.TotalCount != len(tt.want) {
				t.Errorf("TotalCount %d, set (-want +got):\n%s", a.TotalCount, diff)
			}
		})
	}
}

// What changes the status of an activity leaves it where it is found.
func TestAnActivityIsFoundOnceAfterItsStatusWasSet(t *testing.T) {
	s := twins(t)
	find := func() (ids []string) {
		body := `{"Filters":[{"Name":"auto-scaling-group-id","Values":["asg-gz1"]}]}`
		for _, a := range call(t, s, request{action: "DescribeRefreshActivities", body: body}).RefreshActivitySet {
			ids = append(ids, a.RefreshActivityId+" "+a.Status)
		}
		return ids
	}
	for _, tt := range []struct {
		id      string
		status  simulator.Status
		refused bool
		want    []string
	}{
		{"asr-gz1live", simulator.ManualPause, false, []string{"asr-gz1live MANUAL_PAUSE", "asr-gz1done SUCCESSFUL"}},
		{"asr-gz1done", simulator.Running, true, []string{"asr-gz1live MANUAL_PAUSE", "asr-gz1done SUCCESSFUL"}},
		{"asr-gz1live", simulator.Cancelled, false, []string{"asr-gz1live CANCELLED", "asr-gz1done SUCCESSFUL"}},
		{"asr-gz1done", simulator.Running, false, []string{"asr-gz1live CANCELLED", "asr-gz1done RUNNING"}},
	} {
		if err := s.SetStatus(tt.id, tt.status); (err != nil) != tt.refused {
			t.Errorf("%s to %s: %v", tt.id, tt.status, err)
		}
		if diff := cmp.Diff(tt.want, find()); diff != "" {
			t.Errorf("after %s to %s (-want +got):\n%s", tt.id, tt.status, diff)
		}
	}
	if a, ok := s.Live("asg-gz1"); !ok || a.ID != "asr-gz1done" {
		t.Errorf("live is %q", a.ID)
	}
	if _, ok := s.Live("asg-nothing1"); ok {
		t.Error("a group that is not there has a live refresh")
	}
}

// What was going to happen to an activity does not, once its status was set.
func TestASetStatusEndsWhatWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := life(t, simulator.Settings{BatchNumber: 3, FailProcess: "AUTO_ROLLBACK"}, 1)
		time.Sleep(90 * time.Second)
		if err := s.SetStatus("asr-life0001", simulator.Cancelled); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if all := s.Activities(); len(all) != 1 {
			t.Errorf("the batch failed nonetheless, and was rolled back: %+v", all)
		}
	})
}

// rollout is what is to be expected of an activity with one batch.
type rollout struct {
	group, id string
	takes     time.Duration
	ends      time.Time // of the batch
	paused    bool
}

func (r *rollout) runs() bool { return time.Now().Before(r.ends) }

func (r *rollout) status() simulator.Status {
	switch {
	case r.paused:
		return simulator.ManualPause
	case r.runs():
		return simulator.Running
	default:
		return simulator.Successful
	}
}

// meddle does something to the activity that may or may not be possible.
func (r *rollout) meddle(t *testing.T, s *simulator.Simulator, how int) {
	t.Helper()
	codeUnless := func(possible bool) string {
		if possible {
			return ""
		}
		return conflict
	}
	switch how {
	case 0:
		wantCode(t, "stop", stop(t, s, r.group, r.id), codeUnless(r.status() == simulator.Running))
		r.paused = r.paused || r.runs()
	case 1:
		wantCode(t, "resume", operate(t, s, "ResumeInstanceRefresh", r.group, r.id).Error.Code, codeUnless(r.paused))
		r.paused = false
	case 2:
		if err := s.SetStatus(r.id, simulator.Running); err != nil {
			t.Error(err)
		}
		r.paused, r.ends = false, time.Now().Add(r.takes)
	default:
		if err := s.FinishBatch(r.id); (err == nil) != r.runs() {
			t.Errorf("%s is %s, its batch runs %v, finishing it: %v", r.id, r.status(), r.runs(), err)
		}
		if r.runs() {
			r.ends = time.Now()
		}
	}
}

// Whatever is done to other activities, each moves when its own time has come.
func TestEachActivityMovesInItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Quota.Off = true })
		random := rand.New(rand.NewPCG(1, 2))
		var all []*rollout
		for i := range 100 {
			r := &rollout{group: fmt.Sprintf("asg-own%d", i), id: fmt.Sprintf("asr-own%d", i), takes: time.Duration(1+random.IntN(3600)) * time.Second}
			r.ends = time.Now().Add(r.takes)
			if err := s.AddGroup(simulator.Group{Region: "ap-guangzhou", ID: r.group}); err != nil {
				t.Fatal(err)
			}
			if err := s.AddActivity(simulator.Activity{
				GroupID: r.group, ID: r.id, Status: simulator.Running, BatchDuration: r.takes, Settings: simulator.Settings{BatchNumber: 1},
			}); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		for range 300 {
			all[random.IntN(len(all))].meddle(t, s, random.IntN(4))
			time.Sleep(time.Duration(random.IntN(60)) * time.Second)
			for _, r := range all {
				if a := wantStatus(t, s, r.id, r.status()); a.Settling != (r.paused && r.runs()) {
					t.Fatalf("%s settles: %v, its batch ends in %s", r.id, a.Settling, time.Until(r.ends))
				}
			}
		}
	})
}
