package handler

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

var errCrash = errors.New("panic: boom")

// A plan that crashes, of a request whose task is about to pause something,
// must not say that the request failed.
func TestARequestAtWorkIsNotGivenUp(t *testing.T) {
	for what, given := range map[string]func(*rig){
		"a task":   func(r *rig) { r.ledger.tasks["r"] = true },
		"a result": func(r *rig) { r.ledger.results["r"] = &stop.Result{Request: "r", Outcome: stop.OutcomePaused} },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			given(r)
			if v := r.GiveUp(t.Context(), asked(""), errCrash); !v.Settled || len(v.Results)+len(v.DeadLetters) > 0 {
				t.Errorf("verdict %+v, want what stands to stand", v)
			}
		})
	}
}

func TestWhatCannotEvenBeReadIsGivenUp(t *testing.T) {
	r := newRig(t)
	r.decode = func(stop.Message, stop.Defaults) (stop.Request, *stop.Invalid) { panic("unreadable") }
	m := asked("")
	v := r.GiveUp(t.Context(), m, errCrash)
	if len(v.Results) != 1 || v.Results[0].Request != stop.Place(m) || v.Results[0].Outcome != stop.OutcomeFailed || len(v.DeadLetters) != 1 {
		t.Errorf("verdict %+v", v)
	}
}

// The subject of a result is made of the request's identity.
func TestWhatOnlyLooksLikeATaskIsGivenUpByItsPlace(t *testing.T) {
	r := newRig(t)
	for _, request := range []string{"", "a.b"} {
		task := stop.Task{Request: request, Lane: stop.LaneNormal, Quota: quota}
		m := taskMessage(t, task)
		v := r.GiveUp(t.Context(), m, errCrash)
		if len(v.Results) != 1 || v.Results[0].Request != stop.Place(m) || len(v.DeadLetters) != 1 || v.DeadLetters[0].Request != stop.Place(m) {
			t.Errorf("%q: verdict %+v", request, v)
		}
	}
}

// The worker may have another endpoint than the one that planned the task.
func TestADeadLetterIsARequestAlsoAfterAChangeOfTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.stop = func(stop.Target) stop.Answer { return stop.Answer{Class: stop.ClassCaller, Code: "InvalidParameter"} }
		task := fresh("r")
		task.Quota.Endpoint = "https://another.example"
		task.SeenAt = time.Now()
		v := r.Execute(t.Context(), taskMessage(t, task))
		if len(v.DeadLetters) != 1 {
			t.Fatalf("verdict %+v", v)
		}
		letter := v.DeadLetters[0]
		again, bad := stop.Decode(stop.Message{Subject: letter.Subject, Data: letter.Data, Stored: letter.StoredAt}, stop.Defaults{})
		if bad != nil || again.ID != "r" || letter.Subject != stop.SubjectStop {
			t.Errorf("on %s %s: %+v, %v", letter.Subject, letter.Data, again, bad)
		}
	})
}
