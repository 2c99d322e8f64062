package handler

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// bare is a handler for what needs neither API nor broker.
func bare(t *testing.T) *Handler {
	t.Helper()
	h := New(Config{Worker: "w", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, nil, nil, nil)
	t.Cleanup(h.Close)
	return h
}

func plannedTask(t *testing.T) (stop.Task, stop.Message) {
	t.Helper()
	stored := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	task := stop.Task{
		Request: "r1", Sequence: 7, Lane: stop.LaneUrgent, Quota: stop.Quota{Account: "default", Endpoint: "https://as.example"},
		Target: stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity},
		Reason: "why", RequestedBy: "me", Incident: "INC", AllowRollback: true,
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		RequestedAt: stored, NotAfter: stored.Add(time.Hour), StartedAt: stored,
	}
	data, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return task, stop.Message{Subject: stop.TaskSubject(task), Data: data, Sequence: 3, Stored: stored.Add(time.Second)}
}

// What is dead can be published again as it was asked for.
func TestADeadLetterCanBePublishedAgain(t *testing.T) {
	h := bare(t)
	task, m := plannedTask(t)
	v := h.end(m, situation{task: task}, end(stop.OutcomeFailed, "no luck"))
	if len(v.DeadLetters) != 1 || len(v.Results) != 1 {
		t.Fatalf("failed gives %d dead letters and %d results, want one each", len(v.DeadLetters), len(v.Results))
	}
	letter := v.DeadLetters[0]
	again, bad := stop.Decode(stop.Message{Subject: letter.Subject, Data: letter.Data, Header: letter.Header, Stored: letter.StoredAt}, stop.Defaults{})
	if bad != nil {
		t.Fatalf("the dead letter is no request: %v", bad)
	}
	want := stop.Request{
		ID: "r1", Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity,
		Reason: "why", RequestedBy: "me", Incident: "INC", AllowRollback: true, NotAfter: task.NotAfter,
		Lane: stop.LaneUrgent, Traceparent: task.Traceparent,
	}
	if diff := cmp.Diff(want, again, cmpopts.IgnoreFields(stop.Request{}, "Source", "Sequence", "RequestedAt")); diff != "" {
		t.Errorf("published again it asks for something else (-want +got):\n%s", diff)
	}
}

func TestAMessageIsGivenUpWithAResultAndALetter(t *testing.T) {
	h := bare(t)
	_, taskMessage := plannedTask(t)
	request := stop.Message{
		Subject: "as.refresh.stop.bulk", Sequence: 9, Stored: time.Now(),
		Data: []byte(`{"Id":"r2","Region":"ap-guangzhou","AutoScalingGroupId":"asg-bbbbbbbb"}`),
	}
	garbage := stop.Message{Subject: "as.refresh.stop", Sequence: 11, Stored: time.Unix(1, 0), Data: []byte("{")}
	for _, row := range []struct {
		name, request, group string
		lane                 stop.Lane
		m                    stop.Message
	}{
		{"a task", "r1", group, stop.LaneUrgent, taskMessage},
		{"a request", "r2", "asg-bbbbbbbb", stop.LaneBulk, request},
		{"garbage", stop.Place(garbage), "", stop.LaneNormal, garbage},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := h.GiveUp(row.m, errors.New("panic: boom"))
			if !v.Final() || len(v.Results) != 1 || len(v.DeadLetters) != 1 {
				t.Fatalf("verdict %+v", v)
			}
			r, d := v.Results[0], v.DeadLetters[0]
			if r.Request != row.request || r.Outcome != stop.OutcomeFailed || r.AutoScalingGroupID != row.group || r.Lane != row.lane {
				t.Errorf("result %+v", r)
			}
			if d.Request != row.request || d.Why != stop.WhyPanic || d.Worker != "w" {
				t.Errorf("letter %+v", d)
			}
		})
	}
}

func TestWhatIsNoTaskIsBuried(t *testing.T) {
	h := bare(t)
	for _, data := range []string{"", "{", "{}", `{"Request":"a.b"}`, `{"Request":">"}`, "[]"} {
		v := h.Execute(t.Context(), stop.Message{Subject: "as.refresh.task.q.normal.x", Data: []byte(data), Sequence: 1})
		if !v.Final() || len(v.DeadLetters) != 1 || v.DeadLetters[0].Why != stop.WhyInvalid {
			t.Errorf("%q: %+v", data, v)
		}
	}
}
