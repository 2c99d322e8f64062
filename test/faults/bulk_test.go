package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	inBulk = 400 // targets of the bulk
	inLive = 160 // those of them with a live refresh
)

func bulkNames(i int) (group, activity string) {
	return fmt.Sprintf("asg-bulk%04d", i), fmt.Sprintf("asr-bulk%04d", i)
}

// A bulk and its undo end alike whichever worker dies when: one result for each
// target, one summary, and each activity paused and resumed once.
func TestW8WorkersAreKilledInABulk(t *testing.T) {
	t.Parallel()
	w := begin(t, "W8 workers killed in a bulk and in its undo", conf{workers: 3, api: func(sc *simulator.Scenario) {
		for i := range inBulk {
			g, a := bulkNames(i)
			sc.Groups = append(sc.Groups, simulator.Group{Region: region, ID: g})
			if i < inLive {
				sc.Activities = append(sc.Activities, simulator.Activity{GroupID: g, ID: a, Status: simulator.Running})
			}
		}
	}})
	for round := range sized(1, 5) {
		id := fmt.Sprintf("bulk-%d", round)
		var targets []string
		for i := range inBulk {
			g, _ := bulkNames(i)
			targets = append(targets, fmt.Sprintf(`{"AutoScalingGroupId":%q}`, g))
		}
		w.bulk("as.refresh.stop", id, `"Targets":[`+strings.Join(targets, ",")+`]`, map[stop.Outcome]int{
			stop.OutcomePaused: inLive, stop.OutcomeNotFound: inBulk - inLive,
		})
		w.bulk("as.refresh.resume", id+"-undo", fmt.Sprintf(`"Of":%q`, id), map[stop.Outcome]int{
			stop.OutcomeResumed: inLive, stop.OutcomeRefused: inBulk - inLive,
		})
		for i := range inLive {
			_, activity := bulkNames(i)
			if a, _ := w.api.Sim.Activity(activity); a.Status != simulator.Running || a.Stops != round+1 || a.Resumes != round+1 {
				w.row.wrong++
				t.Errorf("%s is %s after %d Stops and %d Resumes that took effect, want %d", activity, a.Status, a.Stops, a.Resumes, round+1)
			}
		}
	}
	w.row.most = w.api.Most()
	if w.row.most > w.rate {
		t.Errorf("%d Stops in a second: %v", w.row.most, w.api.Crowd(w.rate))
	}
	if err := w.watch.Found(); err != nil {
		t.Error(err)
	}
}

// bulk asks for a bulk, kills workers while it is at work, and judges its
// results.
func (w *world) bulk(subject, id, means string, want map[stop.Outcome]int) {
	w.t.Helper()
	w.row.requests++
	if _, err := w.js().Publish(w.t.Context(), subject, fmt.Appendf(nil, `{"Id":%q,%s}`, id, means)); err != nil {
		w.t.Fatal(err)
	}
	results, err := w.js().Stream(w.t.Context(), stop.StreamResults)
	if err != nil {
		w.t.Fatal(err)
	}
	var done stop.Result
	ended := func() error {
		msg, err := results.GetLastMsgForSubject(w.t.Context(), stop.ResultSubject(id))
		if err != nil {
			return fmt.Errorf("the summary of %s: %w", id, err)
		}
		return json.Unmarshal(msg.Data, &done)
	}
	for n := 0; n < sized(6, 20) && ended() != nil; n++ {
		w.any().killed()
		w.pause(100*time.Millisecond, 900*time.Millisecond)
	}
	harness.Eventually(w.t, 3*time.Minute, ended)
	counts := make(map[stop.Outcome]int)
	info, err := results.Info(w.t.Context(), jetstream.WithSubjectFilter(stop.TargetResults(id)))
	if err != nil {
		w.t.Fatal(err)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			w.row.duplicate++
			w.t.Errorf("%d results on %s", n, subject)
		}
		msg, err := results.GetLastMsgForSubject(w.t.Context(), subject)
		if err != nil {
			w.t.Fatal(err)
		}
		var r stop.Result
		if err := json.Unmarshal(msg.Data, &r); err != nil {
			w.t.Fatal(err)
		}
		counts[r.Outcome]++
	}
	if n := len(info.State.Subjects); n < inBulk {
		w.row.lost += inBulk - n
		w.t.Errorf("%d results of %d targets", n, inBulk)
	}
	if fmt.Sprint(counts) != fmt.Sprint(want) || done.Summary == nil || done.Total != inBulk || fmt.Sprint(done.Outcomes) != fmt.Sprint(want) {
		w.row.wrong++
		w.t.Errorf("%s ended in %v, its summary is %+v; want %v", id, counts, done, want)
	}
}
