package handler

import (
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// FuzzExecute: whatever stands on the tasks' subjects and in the history, and
// whatever the API says, one delivery makes one call at most, none that the
// task forbids, and ends with something to store or a time to come again.
func FuzzExecute(f *testing.F) {
	add := func(task any, history stop.History, answer stop.Class, shown stop.Status) {
		data, err := json.Marshal(task)
		if err != nil {
			f.Fatal(err)
		}
		past, err := json.Marshal(history)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, past, string(answer), string(shown))
	}
	task := fresh("r")
	task.NotAfter = task.NotAfter.AddDate(1000, 0, 0)
	add(task, stop.History{}, stop.ClassOK, stop.StatusRunning)
	add(task, stop.History{Unknown: 1, CalledAt: time.Now()}, stop.ClassConflict, stop.StatusManualPause)
	add(task, stop.History{Attempts: maxAttempts, Reads: -1, Last: &stop.Answer{Class: stop.ClassTransient}}, stop.ClassCaller, "NEVER_SEEN")
	add(task, stop.History{}, stop.ClassThrottled, stop.StatusAutoPause)
	task.DryRun = true
	add(task, stop.History{}, stop.ClassOK, stop.StatusInit)
	task.DryRun, task.Unread, task.Target.RefreshActivityID = false, true, ""
	add(task, stop.History{}, stop.ClassOK, stop.StatusManualPause)
	add(task, stop.History{Activity: "asr-other"}, stop.ClassNotFound, stop.StatusSuccessful)
	task.NotAfter = task.RequestedAt.Add(-time.Hour)
	add(task, stop.History{Unknown: 1}, stop.ClassTransient, stop.StatusFailed)
	add(map[string]any{"Request": "a.b"}, stop.History{}, stop.ClassOK, stop.StatusRunning)
	f.Add([]byte("null"), []byte("{"), "express", "")

	f.Fuzz(func(t *testing.T, data, past []byte, answer, shown string) {
		var task stop.Task
		isTask := json.Unmarshal(data, &task) == nil && stop.ValidID(task.Request) && (task.Name == "" || stop.ValidID(task.Name))
		r := fuzzRig(t, stop.Class(answer), stop.Activity{
			AutoScalingGroupID: task.Target.AutoScalingGroupID, RefreshActivityID: activity, Status: stop.Status(shown),
		})
		var history stop.History
		if json.Unmarshal(past, &history) == nil {
			history.Revision = 1
			r.ledger.histories["task."+task.Key()] = history
		}
		m := stop.Message{Subject: "as.refresh.task.q.normal.r", Data: data, Sequence: 1, Stored: time.Now(), Delivered: 1}
		v := r.Execute(t.Context(), m)
		checkVerdict(t, v)
		checkCalls(t, r, task, history, isTask)
		if !isTask {
			if len(v.Results) != 0 || len(v.DeadLetters) != 1 || v.DeadLetters[0].Why != stop.WhyInvalid || v.DeadLetters[0].Request != stop.Place(m) {
				t.Errorf("%q is no task: %+v", data, v)
			}
			return
		}
		for _, got := range v.Results {
			if got.Request != task.Request {
				t.Errorf("the result is of %s, the task of %s", got.Request, task.Request)
			}
			known := history.Unknown > 0 || len(r.api.stopped) > 0
			if got.Outcome == stop.OutcomePaused && !known {
				t.Errorf("paused without a call: %+v", got)
			}
			if (got.Outcome == stop.OutcomeFailed) != (len(v.DeadLetters) == 1) {
				t.Errorf("%s with %d dead letters", got.Outcome, len(v.DeadLetters))
			}
		}
	})
}

// fuzzRig is a rig without waiting, in which each question has the one answer.
func fuzzRig(t *testing.T, c stop.Class, shown stop.Activity) *rig {
	t.Helper()
	if !slices.Contains(stop.Classes(), c) {
		c = stop.ClassTransient
	}
	r := newRig(t)
	r.permits.rate = int(time.Second)
	r.api.stop = func(stop.Target) stop.Answer { return stop.Answer{Class: c, Code: "Code"} }
	r.api.accounts = []string{quota.Account}
	if shown.Status != "" {
		r.api.shows[group] = shown
	}
	return r
}

// checkVerdict checks that a verdict can be carried out.
func checkVerdict(t *testing.T, v stop.Verdict) {
	t.Helper()
	if !v.Final() && v.Retry <= 0 || v.Retry > time.Minute {
		t.Errorf("comes again after %v: %+v", v.Retry, v)
	}
	if len(v.Results) > 1 || len(v.DeadLetters) > 1 || len(v.Tasks) > 0 {
		t.Errorf("%d results, %d dead letters, %d tasks", len(v.Results), len(v.DeadLetters), len(v.Tasks))
	}
	for _, r := range v.Results {
		if _, _, err := r.Encode(); err != nil || !stop.ValidID(r.Request) || !slices.Contains(stop.Outcomes(), r.Outcome) {
			t.Errorf("cannot be stored: %+v, %v", r, err)
		}
	}
	for _, d := range v.DeadLetters {
		if _, err := json.Marshal(d); err != nil || !stop.ValidID(d.Request) || !slices.Contains(stop.Whys(), d.Why) {
			t.Errorf("cannot be stored: %+v, %v", d, err)
		}
	}
}

func checkCalls(t *testing.T, r *rig, task stop.Task, history stop.History, isTask bool) {
	t.Helper()
	if len(r.api.stopped) > 1 {
		t.Errorf("%d calls in one delivery", len(r.api.stopped))
	}
	if len(r.api.stopped) == 0 {
		return
	}
	if !isTask || task.DryRun || !r.api.arrivals[0].Before(task.NotAfter) || !r.api.Serves(task.Target.Account) {
		t.Errorf("a call was made for %+v", task)
	}
	want := task.Target
	if want.RefreshActivityID == "" && task.Seen != nil {
		return // no plan leaves unnamed what it has seen; the API refuses such a Stop
	}
	if want.RefreshActivityID == "" {
		want.RefreshActivityID = history.Activity
	}
	if want.RefreshActivityID == "" {
		want.RefreshActivityID = activity // as the API shows it
	}
	if got := r.api.stopped[0]; got != want {
		t.Errorf("stopped %+v, want %+v", got, want)
	}
	if p := r.permits; p.taken == 0 || p.released != p.taken {
		t.Errorf("of %d permits %d were given back", p.taken, p.released)
	}
}

// FuzzGiveUp: a message whose handling crashes ends with a result and a letter
// that asks for the same again.
func FuzzGiveUp(f *testing.F) {
	task := fresh("r")
	task.Reason = "x"
	data, err := json.Marshal(task)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stop.TaskSubject(task), data)
	f.Add("as.refresh.task.q.normal.r", data)
	f.Add("as.refresh.task.a_b.urgent.a.b", []byte(`{"Request":"a.b","Lane":"urgent","Quota":{"Account":"a","Endpoint":"b"}}`))
	f.Add("as.refresh.task._..", []byte("{}"))
	f.Add("as.refresh.stop.bulk", []byte(`{"Id":"r2","Region":"ap-guangzhou","AutoScalingGroupId":"asg-bbbbbbbb","Reason":"x"}`))
	f.Add("as.refresh.stop", []byte(`{"Id":"r2","DryRun":null}`))
	f.Add("as.refresh.stop", []byte("{"))
	h := New(Config{Worker: "w", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, nil, nil, newFakeLedger())
	f.Cleanup(h.Close)
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		m := stop.Message{Subject: subject, Data: data, Sequence: 9, Stored: time.Now()}
		v := h.GiveUp(t.Context(), m, errCrash)
		checkVerdict(t, v)
		if len(v.Results) != 1 || len(v.DeadLetters) != 1 {
			t.Fatalf("%+v", v)
		}
		r, letter := v.Results[0], v.DeadLetters[0]
		if r.Outcome != stop.OutcomeFailed || letter.Why != stop.WhyPanic || letter.Request != r.Request {
			t.Errorf("result %+v, letter %+v", r, letter)
		}
		again, bad := stop.Decode(stop.Message{Subject: letter.Subject, Data: letter.Data, Header: letter.Header, Stored: letter.StoredAt, Sequence: letter.Sequence}, stop.Defaults{})
		if bad == nil && (again.ID != r.Request || again.Target() != (stop.Target{
			Account: r.Account, Region: r.Region, AutoScalingGroupID: r.AutoScalingGroupID, RefreshActivityID: r.RefreshActivityID,
		})) {
			t.Errorf("published again it is %+v, its result %+v", again, r)
		}
	})
}
