package simulator_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func TestLegality(t *testing.T) {
	ok := ""
	for _, tt := range []struct {
		status               simulator.Status
		scaleIn, settling    bool
		stop, resume, cancel string
	}{
		{status: simulator.Init, stop: conflict, resume: conflict, cancel: conflict},
		{status: simulator.Running, stop: ok, resume: conflict, cancel: conflict},
		{status: simulator.Running, scaleIn: true, stop: conflict, resume: conflict, cancel: conflict},
		{status: simulator.ManualPause, stop: conflict, resume: ok, cancel: ok},
		{status: simulator.ManualPause, settling: true, stop: conflict, resume: ok, cancel: conflict},
		{status: simulator.AutoPause, stop: conflict, resume: ok, cancel: ok},
		{status: simulator.FailedPause, stop: conflict, resume: ok, cancel: ok},
		{status: simulator.Successful, stop: conflict, resume: conflict, cancel: conflict},
		{status: simulator.Cancelled, stop: conflict, resume: conflict, cancel: conflict},
		{status: simulator.Failed, stop: conflict, resume: conflict, cancel: conflict},
	} {
		for action, want := range map[string]string{
			"StopInstanceRefresh": tt.stop, "ResumeInstanceRefresh": tt.resume, "CancelInstanceRefresh": tt.cancel,
		} {
			name := fmt.Sprintf("%s/%s scale-in %v settling %v", action, tt.status, tt.scaleIn, tt.settling)
			t.Run(name, func(t *testing.T) {
				s := sim(t, nil)
				if err := s.AddActivity(simulator.Activity{
					GroupID: "asg-idlepool", ID: "asr-legality", Status: tt.status, ScaleIn: tt.scaleIn, Settling: tt.settling,
				}); err != nil {
					t.Fatal(err)
				}
				wantCode(t, action, operate(t, s, action, "asg-idlepool", "asr-legality").Error.Code, want)
				after := map[string]simulator.Status{
					"StopInstanceRefresh": simulator.ManualPause, "ResumeInstanceRefresh": simulator.Running, "CancelInstanceRefresh": simulator.Cancelled,
				}[action]
				if want != "" {
					after = tt.status
				}
				if a, _ := s.Activity("asr-legality"); a.Status != after && a.Status != simulator.Successful {
					t.Errorf("is %s afterwards, want %s", a.Status, after)
				}
			})
		}
	}
}

func TestUndocumentedChoices(t *testing.T) {
	t.Run("stop on INIT may work", func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Undocumented.StopOnInit = simulator.OK })
		wantCode(t, "stop", stop(t, s, "asg-gamelob1", "asr-initlob1"), "")
		wantStatus(t, s, "asr-initlob1", simulator.ManualPause)
		wantCode(t, "resume", operate(t, s, "ResumeInstanceRefresh", "asg-gamelob1", "asr-initlob1").Error.Code, "")
		if a := wantStatus(t, s, "asr-initlob1", simulator.Running); a.CurrentBatch != 1 {
			t.Errorf("resumed at batch %d", a.CurrentBatch)
		}
	})
	t.Run("stop on a pause may work and changes nothing", func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Undocumented.StopOnPaused = simulator.OK })
		wantCode(t, "stop", stop(t, s, "asg-payments", "asr-failpay1"), "")
		if a := wantStatus(t, s, "asr-failpay1", simulator.FailedPause); a.Stops != 0 {
			t.Errorf("counted %d stops", a.Stops)
		}
	})
	t.Run("mismatch", func(t *testing.T) {
		wantCode(t, "default", stop(t, sim(t, nil), "asg-shopapi1", "asr-runweb01"), notFound)
		s := sim(t, func(sc *simulator.Scenario) { sc.Undocumented.Mismatch = "InvalidParameterValue" })
		wantCode(t, "chosen", stop(t, s, "asg-shopapi1", "asr-runweb01"), "InvalidParameterValue")
	})
	t.Run("group after its refresh", func(t *testing.T) {
		for _, stays := range []bool{false, true} {
			s := sim(t, func(sc *simulator.Scenario) { sc.Undocumented.StaysDisabled = stays })
			if got := enabledStatus(t, s, "asg-shopcart"); got != "DISABLED" {
				t.Errorf("a group in a paused refresh is %s", got)
			}
			wantCode(t, "cancel", operate(t, s, "CancelInstanceRefresh", "asg-shopcart", "asr-pausecrt").Error.Code, "")
			want := map[bool]string{false: "ENABLED", true: "DISABLED"}[stays]
			if got := enabledStatus(t, s, "asg-shopcart"); got != want {
				t.Errorf("StaysDisabled %v: group is %s, want %s", stays, got, want)
			}
		}
	})
}

func enabledStatus(t *testing.T, s *simulator.Simulator, group string) string {
	t.Helper()
	a := call(t, s, request{action: "DescribeAutoScalingGroups", body: fmt.Sprintf(`{"AutoScalingGroupIds":[%q]}`, group)})
	if len(a.AutoScalingGroupSet) != 1 {
		t.Fatalf("%d groups %s", len(a.AutoScalingGroupSet), group)
	}
	return a.AutoScalingGroupSet[0].EnabledStatus
}

// life is a rollout of one group, timed in minutes.
func life(t *testing.T, settings simulator.Settings, failBatch int) *simulator.Simulator {
	t.Helper()
	return sim(t, func(sc *simulator.Scenario) {
		sc.Timing = simulator.Timing{InitDuration: time.Minute, BatchDuration: time.Minute, ScaleInDuration: time.Minute}
		sc.Activities = []simulator.Activity{{
			GroupID: "asg-shopcart", ID: "asr-life0001", Status: simulator.Init, Settings: settings, FailBatch: failBatch,
		}}
	})
}

func TestLife(t *testing.T) {
	for _, tt := range []struct {
		name      string
		settings  simulator.Settings
		failBatch int
		// statuses half a minute after each full minute
		want []simulator.Status
	}{
		{"automatic", simulator.Settings{BatchNumber: 2}, 0, []simulator.Status{"INIT", "RUNNING", "RUNNING", "SUCCESSFUL"}},
		{"scale-in is a minute more", simulator.Settings{BatchNumber: 2, MaxSurge: 1}, 0, []simulator.Status{"INIT", "RUNNING", "RUNNING", "RUNNING", "SUCCESSFUL"}},
		{"pause after the first batch", simulator.Settings{BatchNumber: 3, BatchPause: "FIRST_BATCH_PAUSE"}, 0, []simulator.Status{"INIT", "RUNNING", "AUTO_PAUSE", "AUTO_PAUSE"}},
		{"no pause after the last batch", simulator.Settings{BatchNumber: 1, BatchPause: "BATCH_INTERVAL_PAUSE"}, 0, []simulator.Status{"INIT", "RUNNING", "SUCCESSFUL"}},
		{"failure pauses", simulator.Settings{BatchNumber: 3}, 2, []simulator.Status{"INIT", "RUNNING", "RUNNING", "FAILED_PAUSE"}},
		{"failure cancels", simulator.Settings{BatchNumber: 3, FailProcess: "AUTO_CANCEL"}, 1, []simulator.Status{"INIT", "RUNNING", "CANCELLED"}},
		{"failure rolls back", simulator.Settings{BatchNumber: 3, FailProcess: "AUTO_ROLLBACK"}, 1, []simulator.Status{"INIT", "RUNNING", "CANCELLED"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := life(t, tt.settings, tt.failBatch)
				time.Sleep(30 * time.Second)
				for i, want := range tt.want {
					if a, _ := s.Activity("asr-life0001"); a.Status != want {
						t.Errorf("after %d.5 minutes %s, want %s", i, a.Status, want)
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

func TestAutoRollbackIsAnActivityOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := life(t, simulator.Settings{BatchNumber: 3, FailProcess: "AUTO_ROLLBACK"}, 1)
		time.Sleep(150 * time.Second)
		back, ok := s.Live("asg-shopcart")
		if !ok || back.Type != "ROLLBACK" || back.OriginID != "asr-life0001" {
			t.Fatalf("live refresh is %+v", back)
		}
		wantCode(t, "stop of the original", stop(t, s, "asg-shopcart", "asr-life0001"), conflict)
		time.Sleep(time.Hour)
		wantStatus(t, s, back.ID, simulator.Successful)
	})
}

func TestStopSettlesThenResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := life(t, simulator.Settings{BatchNumber: 3}, 0)
		time.Sleep(90 * time.Second)
		wantCode(t, "stop", stop(t, s, "asg-shopcart", "asr-life0001"), "")
		if a := wantStatus(t, s, "asr-life0001", simulator.ManualPause); !a.Settling {
			t.Error("the running batch was interrupted")
		}
		wantCode(t, "cancel before it has settled", operate(t, s, "CancelInstanceRefresh", "asg-shopcart", "asr-life0001").Error.Code, conflict)
		time.Sleep(time.Hour)
		a := wantStatus(t, s, "asr-life0001", simulator.ManualPause)
		if a.Settling || a.Batches[0].Status != simulator.Successful || a.Batches[1].Status != simulator.Waiting {
			t.Errorf("did not settle: %+v", a.Batches)
		}
		wantCode(t, "resume", operate(t, s, "ResumeInstanceRefresh", "asg-shopcart", "asr-life0001").Error.Code, "")
		time.Sleep(time.Hour)
		if a := wantStatus(t, s, "asr-life0001", simulator.Successful); a.Stops != 1 || a.Resumes != 1 {
			t.Errorf("counted %d stops and %d resumes", a.Stops, a.Resumes)
		}
	})
}

func TestResumeRetriesOrSkipsAFailedBatch(t *testing.T) {
	for mode, want := range map[string]simulator.Status{"": simulator.Successful, "RETRY": simulator.Successful, "CONTINUE": simulator.Failed} {
		synctest.Test(t, func(t *testing.T) {
			s := life(t, simulator.Settings{BatchNumber: 3}, 1)
			time.Sleep(time.Hour)
			wantStatus(t, s, "asr-life0001", simulator.FailedPause)
			body := `{"AutoScalingGroupId":"asg-shopcart","RefreshActivityId":"asr-life0001","ResumeMode":"` + mode + `"}`
			wantCode(t, "resume", call(t, s, request{action: "ResumeInstanceRefresh", body: body}).Error.Code, "")
			time.Sleep(time.Hour)
			a := wantStatus(t, s, "asr-life0001", simulator.Successful)
			if a.Batches[0].Status != want {
				t.Errorf("mode %q left the failed batch %s, want %s", mode, a.Batches[0].Status, want)
			}
		})
	}
}

func TestResumeRefusals(t *testing.T) {
	for _, tt := range []struct{ name, region, body, code string }{
		{"unknown activity", "", `{"AutoScalingGroupId":"asg-shopcart","RefreshActivityId":"asr-nothing1"}`, notFound},
		{"activity of another group", "", `{"AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-pausecrt"}`, notFound},
		{"another region", "ap-singapore", `{"AutoScalingGroupId":"asg-shopcart","RefreshActivityId":"asr-pausecrt"}`, notFound},
		{"not paused", "", goodStop, conflict},
		{"mode of nobody", "", `{"AutoScalingGroupId":"asg-shopcart","RefreshActivityId":"asr-pausecrt","ResumeMode":"SKIP"}`, "InvalidParameterValue"},
		{"no activity", "", `{"AutoScalingGroupId":"asg-shopcart"}`, "MissingParameter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sim(t, nil)
			wantCode(t, tt.name, call(t, s, request{action: "ResumeInstanceRefresh", region: tt.region, body: tt.body}).Error.Code, tt.code)
			if a := wantStatus(t, s, "asr-pausecrt", simulator.ManualPause); a.Resumes != 0 {
				t.Errorf("counted %d resumes", a.Resumes)
			}
		})
	}
}

func TestStart(t *testing.T) {
	body := func(group, settings string) string {
		return fmt.Sprintf(`{"AutoScalingGroupId":%q,"RefreshSettings":{"RollingUpdateSettings":%s}}`, group, settings)
	}
	for _, tt := range []struct{ name, body, code string }{
		{"fine", body("asg-reports1", `{"BatchNumber":3}`), ""},
		{"a live refresh", body("asg-shopweb1", `{"BatchNumber":3}`), "ResourceUnavailable.AutoScalingGroupInRefreshActivity"},
		{"a paused refresh is live", body("asg-shopcart", `{"BatchNumber":3}`), "ResourceUnavailable.AutoScalingGroupInRefreshActivity"},
		{"unknown group", body("asg-nothing1", `{"BatchNumber":3}`), "ResourceNotFound.AutoScalingGroupIdNotFound"},
		{"more batches than instances", body("asg-reports1", `{"BatchNumber":4}`), "InvalidParameterValue.BatchNumberTooLarge"},
		{"no batch", body("asg-reports1", `{"BatchNumber":0}`), "InvalidParameterValue"},
		{"surge above a batch", body("asg-reports1", `{"BatchNumber":3,"MaxSurge":2}`), "InvalidParameterValue.MaxSurgeTooLarge"},
		{"unknown pause", body("asg-reports1", `{"BatchNumber":3,"BatchPause":"SOMETIMES"}`), "InvalidParameterValue"},
		{"no settings", `{"AutoScalingGroupId":"asg-reports1"}`, "MissingParameter"},
		{"no group", `{}`, "MissingParameter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sim(t, nil)
			a := call(t, s, request{action: "StartInstanceRefresh", body: tt.body})
			wantCode(t, tt.name, a.Error.Code, tt.code)
			if tt.code != "" {
				return
			}
			wantStatus(t, s, a.RefreshActivityId, simulator.Running)
			wantCode(t, "second start", call(t, s, request{action: "StartInstanceRefresh", body: tt.body}).Error.Code, "ResourceUnavailable.AutoScalingGroupInRefreshActivity")
			wantCode(t, "stop of the new one", stop(t, s, "asg-reports1", a.RefreshActivityId), "")
		})
	}
}

func TestRollback(t *testing.T) {
	for _, tt := range []struct{ name, group, origin, settings, code string }{
		{"of a pause", "asg-shopcart", "asr-pausecrt", `{"BatchNumber":2}`, ""},
		{"of the latest success", "asg-reports1", "asr-donerep1", `{"BatchNumber":2}`, ""},
		{"of a running one", "asg-shopapi1", "asr-runapi01", `{"BatchNumber":2}`, conflict},
		{"of a success that is not the latest", "asg-shopweb1", "asr-oldweb00", `{"BatchNumber":2}`, "ResourceUnavailable.RefreshActivityCanNotRollback"},
		{"of a rollback", "asg-gamechat", "asr-backchat", `{"BatchNumber":2}`, "ResourceUnavailable.RollbackTypeActivityCanNotRollbackAgain"},
		{"of an unknown one", "asg-shopcart", "asr-nothing1", `{"BatchNumber":2}`, "ResourceUnavailable.RefreshActivityCanNotRollback"},
		{"with surge", "asg-shopcart", "asr-pausecrt", `{"BatchNumber":2,"MaxSurge":1}`, "InvalidParameterValue.MaxSurgeTooLarge"},
		{"without origin", "asg-shopcart", "", `{"BatchNumber":2}`, "ResourceUnavailable.RefreshActivityCanNotRollback"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sim(t, nil)
			region := "ap-guangzhou"
			if tt.group == "asg-gamechat" {
				region = "ap-singapore"
			}
			body := fmt.Sprintf(`{"AutoScalingGroupId":%q,"OriginRefreshActivityId":%q,"RefreshSettings":{"RollingUpdateSettings":%s}}`, tt.group, tt.origin, tt.settings)
			a := call(t, s, request{action: "RollbackInstanceRefresh", region: region, body: body})
			wantCode(t, tt.name, a.Error.Code, tt.code)
			if tt.code != "" {
				return
			}
			if back := wantStatus(t, s, a.RefreshActivityId, simulator.Running); back.Type != "ROLLBACK" || back.OriginID != tt.origin {
				t.Errorf("created %+v", back)
			}
			if origin, _ := s.Activity(tt.origin); !origin.Status.Ended() {
				t.Errorf("the original is still %s", origin.Status)
			}
			wantCode(t, "stop of the rollback", stop(t, s, tt.group, a.RefreshActivityId), "")
		})
	}
}

func TestMutationFromGo(t *testing.T) {
	s := sim(t, nil)
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %s", what, err)
		}
	}
	check("SetScaleIn", s.SetScaleIn("asr-runweb01", true))
	wantCode(t, "stop in scale-in", stop(t, s, "asg-shopweb1", "asr-runweb01"), conflict)
	check("SetScaleIn off", s.SetScaleIn("asr-runweb01", false))
	check("FinishBatch", s.FinishBatch("asr-runweb01"))
	wantStatus(t, s, "asr-runweb01", simulator.Successful)
	check("SetStatus", s.SetStatus("asr-runweb01", simulator.Running))
	wantCode(t, "stop", stop(t, s, "asg-shopweb1", "asr-runweb01"), "")
	if err := s.SetStatus("asr-oldweb00", simulator.Running); err == nil {
		t.Error("a group got two live refreshes")
	}
	wantStatus(t, s, "asr-oldweb00", simulator.Successful)
	if s.SetStatus("asr-nothing1", simulator.Running) == nil || s.FinishBatch("asr-nothing1") == nil || s.FinishBatch("asr-oldweb00") == nil {
		t.Error("nonsense was accepted")
	}
	check("AddGroup", s.AddGroup(simulator.Group{Region: "xx-elsewhere", ID: "asg-new00001"}))
	check("AddActivity", s.AddActivity(simulator.Activity{GroupID: "asg-new00001", ID: "asr-new00001", Status: simulator.Running}))
	wantCode(t, "stop in a new region", stop(t, s, "asg-new00001", "asr-new00001"), "")
}
