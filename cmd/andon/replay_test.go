package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestWhatWasGivenUpIsAskedForAgainOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	d.work(d.url(""))
	fault, err := d.api.Sim.AddFault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InvalidParameter", Match: simulator.Match{Action: stop.ActionStop}})
	if err != nil {
		t.Fatal(err)
	}
	if o := d.andon("stop", "asg-shopweb1", "asg-shopapi1", "--id", "INC-1", "--reason", "bad image", "--wait"); o.code != exitFailed || !strings.Contains(o.out, "failed") {
		t.Fatalf("with an API that refuses it ends with %d: %s%s", o.code, o.out, o.err)
	}
	if o := d.must("dead", "show", "INC-1"); strings.Count(o.out, `"Reason": "bad image"`) != 2 {
		t.Errorf("the letters do not show what was asked for:\n%s", o.out)
	}
	looked := d.must("dead", "replay", "--filter", "why=failed", "--dry-run")
	if strings.Count(looked.out, "would be published") != 2 {
		t.Errorf("a dry run shows\n%s", looked.out)
	}
	d.api.Sim.RemoveFault(fault)
	before := len(d.api.Sim.Arrivals())
	for range 2 {
		o := d.must("dead", "replay", "--filter", "why=failed", "--rate", "100", "-o", "json")
		var again []struct {
			Of, Request string
			Published   bool
		}
		if err := json.Unmarshal([]byte(o.out), &again); err != nil || len(again) != 2 {
			t.Fatalf("replay prints %s (%v)", o.out, err)
		}
		for _, a := range again {
			if got := d.must("watch", a.Request, "-o", "json"); !a.Published || !strings.Contains(got.out, `"Outcome": "paused"`) || !strings.Contains(got.out, "bad image") {
				t.Errorf("%s, asked for again as %s, ended so:\n%s", a.Of, a.Request, got.out)
			}
		}
	}
	stops := 0
	for _, a := range d.api.Sim.Arrivals()[before:] {
		if a.Action == stop.ActionStop {
			stops++
		}
	}
	if stops != 2 {
		t.Errorf("%d Stops for two letters that were replayed twice", stops)
	}
}

func TestReplayIsNeitherStillNorAStorm(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	for _, rate := range []string{"0", "-1", "1e-10", "2e9", "NaN", "+Inf"} {
		if o := d.andon("dead", "replay", "--all", "--rate", rate); o.code != exitUsage || !strings.Contains(o.err, "--rate") {
			t.Errorf("--rate %s ends with %d: %s", rate, o.code, o.err)
		}
	}
}

// Whoever asks while no worker is there must know that nothing is lost, and that
// nothing happens.
func TestWithoutAWorkerARequestWaitsAndSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	if o := d.andon("stop", "asg-shopweb1"); o.code != exitFailed || !strings.Contains(o.err, "no worker has ever been started") {
		t.Errorf("on an empty broker it ends with %d: %s", o.code, o.err)
	}
	d.work(d.url("")).Kill()
	o := d.andon("stop", "asg-shopweb1", "--id", "INC-1", "--wait", "--timeout", "4s")
	if o.code != exitTimedOut || !strings.Contains(o.err, "INC-1 waits: no worker answers") || !strings.Contains(o.err, "andon watch INC-1") {
		t.Errorf("without a worker it ends with %d: %s", o.code, o.err)
	}
	if o := d.andon("status"); o.code != exitFailed || !strings.Contains(o.err, "no worker answers") || !strings.Contains(o.out, "normal") {
		t.Errorf("the status ends with %d: %s%s", o.code, o.out, o.err)
	}
	d.work(d.url(""))
	if o := d.andon("watch", "INC-1"); o.code != exitReached || !strings.Contains(o.out, "paused") {
		t.Errorf("with a worker it ends with %d: %s%s", o.code, o.out, o.err)
	}
	if o := d.andon("stop", "asg-shopweb1", "--id", "INC-1", "--wait"); o.code != exitReached {
		t.Errorf("the same id again ends with %d: %s%s", o.code, o.out, o.err)
	}
	if stops := d.api.Between(time.Time{}, time.Now()); stops != 1 {
		t.Errorf("%d Stops", stops)
	}
}

func TestSecretsDoNotComeByFlag(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	o := d.andon("paused", "--nats-url", "nats://user:secret@127.0.0.1:4222")
	if o.code != exitUsage || strings.Contains(o.err+o.out, "secret") || !strings.Contains(o.err, "NATS_URL") {
		t.Errorf("it ends with %d: %s%s", o.code, o.out, o.err)
	}
}

func TestAHoldWhoseTimeIsOverIsNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	d.work(d.url(""))
	d.publish("$KV.as_refresh_control.hold", `{"Reason":"long ago","By":"bob","Until":"2020-01-01T00:00:00Z"}`)
	if o := d.must("status"); strings.Contains(o.out, "HELD") {
		t.Errorf("the status shows it:\n%s", o.out)
	}
	if o := d.must("release"); !strings.Contains(o.err, "there was no hold") {
		t.Errorf("it is released: %s", o.err)
	}
	if o := d.must("hold", "--reason", "now"); !strings.Contains(o.err, "heard by 1 of 1 worker") {
		t.Errorf("it stands in the way of another: %s", o.err)
	}
	if o := d.andon("hold", "--reason", "mine", "--by", "carol"); o.code != exitFailed || !strings.Contains(o.err, "alice holds all calls already") {
		t.Errorf("the hold of somebody else is replaced: %d %s", o.code, o.err)
	}
	d.must("hold", "--reason", "mine", "--by", "carol", "--replace")
}
