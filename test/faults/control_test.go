package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A suite that finds nothing proves nothing unless it finds what is there. Each
// control takes one guard away and must be caught.

// control is a world without a guard.
func control(t *testing.T, name string, c conf) *world {
	t.Helper()
	c.env = append(c.env, "ANDON_TEST_WITHOUT="+name)
	w := begin(t, "control: "+map[string]string{
		"order": "acknowledged before the result is stored", "ledger": "nobody looks whether there is a result",
		"readback": "conflict without reading back", "note": "no note of a call", "fleet": "a limiter for each process",
	}[name], c)
	w.row.control = true
	return w
}

// caught fails the test unless the judge has found what is looked for.
func (w *world) caught(within time.Duration, what string, found func() int) {
	w.t.Helper()
	w.asker.end()
	w.settle(within)
	faults := w.judge()
	if found() == 0 {
		w.t.Errorf("not caught: no %s among %d findings: %v", what, len(faults), faults)
	}
	for _, err := range faults[:min(len(faults), 3)] {
		w.t.Logf("caught: %.300v", err)
	}
}

func TestControlAcknowledgingFirstIsCaught(t *testing.T) {
	t.Parallel()
	w := control(t, "order", conf{workers: 2, fates: []fate{runs}})
	w.ask(0)
	for range sized(10, 40) {
		w.pause(300*time.Millisecond, 700*time.Millisecond)
		w.any().killed()
	}
	w.caught(time.Minute, "lost result", func() int { return w.row.lost })
}

func TestControlNoLedgerIsCaught(t *testing.T) {
	t.Parallel()
	w := control(t, "ledger", conf{workers: 2, fates: []fate{runs}})
	w.ask(0)
	for range sized(6, 40) {
		w.pause(300*time.Millisecond, 700*time.Millisecond)
		w.any().killed()
	}
	w.asker.end()
	for id, r := range w.asker.asked() {
		if strings.HasSuffix(id, "0") {
			w.asker.confirm(r) // as somebody does who has not seen the first confirmation
		}
	}
	w.caught(time.Minute, "second result", func() int { return w.row.duplicate })
}

func TestControlNoReadBackIsCaught(t *testing.T) {
	t.Parallel()
	w := control(t, "readback", conf{workers: 2, fates: []fate{runs}})
	w.row.injected = sized(40, 200)
	w.fault(simulator.Fault{Kind: simulator.LostAnswer, Match: simulator.Match{Action: stop.ActionStop}, Probability: .3, Seed: seed})
	w.ask(w.row.injected)
	w.asker.done()
	w.caught(time.Minute, "wrong result", func() int { return w.row.wrong })
}

func TestControlNoNoteIsCaught(t *testing.T) {
	t.Parallel()
	w := control(t, "note", conf{workers: 1, oneLane: true, fates: []fate{runs}, env: []string{"ANDON_TEST_CRASH_AT=after-call", "ANDON_TEST_CRASH_DIR=" + t.TempDir()}})
	end := w.crew[0].kept()
	w.ask(sized(5, 20))
	w.asker.done()
	w.settle(3 * time.Minute)
	w.row.injected = end(0)
	w.caught(time.Second, "wrong result", func() int { return w.row.wrong })
}

func TestControlALimiterForEachProcessIsCaught(t *testing.T) {
	t.Parallel()
	w := control(t, "fleet", conf{workers: 3, fates: []fate{runs}})
	w.row.injected = 3
	w.askAll(sized(150, 400))
	w.caught(2*time.Minute, "second above the quota", func() int { return max(w.row.most-w.rate, 0) })
}

// The judge finds what is lost, doubled, made up or replaced.
func TestTheJudgeFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := begin(t, "control: results damaged by hand", conf{workers: 1, fates: []fate{runs}})
	w.row.control = true
	w.ask(8)
	w.asker.done()
	w.settle(time.Minute)
	s, err := w.js().Stream(t.Context(), stop.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(subject, request string, o stop.Outcome) error {
		_, err := w.js().Publish(t.Context(), subject, []byte(`{"Request":"`+request+`","Outcome":"`+string(o)+`"}`))
		return err
	}
	purge := func(id string) error {
		return s.Purge(t.Context(), jetstream.WithPurgeSubject(stop.ResultSubject(id)))
	}
	id := func(i int) string { return newRequest(i, runs).id }
	for _, damage := range []struct {
		says string
		do   func() error
	}{
		{"lost: " + id(1) + " has no result", func() error { return purge(id(1)) }},
		{"1 results were replaced or removed", func() error { return nil }},
		{"duplicate: " + id(2) + " has a second result", func() error { return forge(stop.SubjectResults+".second", id(2), stop.OutcomePaused) }},
		{"stranger has a result, and nobody asked", func() error { return forge(stop.ResultSubject("stranger"), "stranger", stop.OutcomePaused) }},
		{"wrong: " + id(3) + ": conflict", func() error {
			if err := purge(id(3)); err != nil {
				return err
			}
			return forge(stop.ResultSubject(id(3)), id(3), stop.OutcomeConflict)
		}},
		{"has it \"MANUAL_PAUSE\" after 2 Stops", func() error {
			if err := w.api.Sim.SetStatus(id(4), simulator.Running); err != nil {
				return err
			}
			again := newRequest(4, runs)
			if err := w.asker.try(stop.SubjectStop, []byte(strings.Replace(string(again.payload()), again.id, "again", 1))); err != nil {
				return err
			}
			w.settle(time.Minute)
			return nil
		}},
		{"Canary", func() error { return forge(stop.ResultSubject("telltale"), token, stop.OutcomePaused) }},
	} {
		if err := damage.do(); err != nil {
			t.Fatal(err)
		}
		w.row.injected++
		var all strings.Builder
		for _, err := range w.judge() {
			all.WriteString(err.Error() + "\n")
		}
		if !strings.Contains(all.String(), damage.says) {
			t.Errorf("the judge does not say %q:\n%s", damage.says, all.String())
		}
	}
	w.row.requests = len(w.asker.asked())
}
