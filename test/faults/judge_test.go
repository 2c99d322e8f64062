package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// judge compares what is stored with what was asked and with what happened at
// the API, and fills the row.
func (w *world) judge() (faults []error) {
	stored, replaced, err := readAll(w.t.Context(), w.js(), stop.StreamResults)
	if err != nil {
		return []error{err}
	}
	asked := w.asker.asked()
	w.row.requests += len(asked)
	if replaced > 0 {
		w.row.lost += replaced
		faults = append(faults, fmt.Errorf("lost: %d results were replaced or removed", replaced))
	}
	faults = append(faults, w.compare(asked, stored)...)
	return append(faults, w.inspect(stored)...)
}

// compare is one true result for each request, and none for what nobody asked.
func (w *world) compare(asked map[string]request, stored []*jetstream.RawStreamMsg) (faults []error) {
	results := make(map[string]stop.Result)
	for _, m := range stored {
		var got stop.Result
		if err := json.Unmarshal(m.Data, &got); err != nil {
			faults = append(faults, fmt.Errorf("wrong: result on %s: %w", m.Subject, err))
			w.row.wrong++
			continue
		}
		if _, twice := results[got.Request]; twice {
			w.row.duplicate++
			faults = append(faults, fmt.Errorf("duplicate: %s has a second result on %s", got.Request, m.Subject))
		}
		if _, ok := asked[got.Request]; !ok {
			w.row.wrong++
			faults = append(faults, fmt.Errorf("wrong: %s has a result, and nobody asked", got.Request))
		}
		results[got.Request] = got
	}
	for id, r := range asked {
		got, ok := results[id]
		if !ok {
			w.row.lost++
			faults = append(faults, fmt.Errorf("lost: %s has no result", id))
		} else if err := w.agrees(r, got); err != nil {
			w.row.wrong++
			faults = append(faults, fmt.Errorf("wrong: %w", err))
		}
	}
	return faults
}

// agrees compares a result with what happened to the activity of its request.
func (w *world) agrees(r request, got stop.Result) error {
	a, known := w.api.Sim.Activity(r.id)
	stops, status := 0, cmp.Or(r.becomes, r.status)
	if got.Outcome == stop.OutcomePaused {
		stops, status = 1, simulator.ManualPause
	}
	expected := got.Outcome == r.outcome || w.forgets && got.Outcome == stop.OutcomeAlreadyPaused || w.also != nil && w.also(r, got)
	switch {
	case known != (r.status != ""):
	case !expected:
	case got.Outcome == stop.OutcomeFailed && strings.Contains(got.Message, "fate is not known"):
		return nil // says so itself
	case got.Outcome == stop.OutcomeFailed && a.Stops == 0:
		return nil
	case w.forgets && got.Outcome == stop.OutcomeAlreadyPaused && a.Stops == 1:
		return nil
	case known && (a.Stops != stops || a.Status != status):
	case got.Outcome == stop.OutcomeAlreadyPaused && got.Status != stop.Status(status):
	case got.Outcome == stop.OutcomeConflict && got.Status != stop.Status(status):
	default:
		return nil
	}
	return fmt.Errorf("%s: %s with status %q (%s) after %d attempts, but the API has it %q after %d Stops; want %s and %q",
		got.Request, got.Outcome, got.Status, got.Message, got.Attempts, a.Status, a.Stops, r.outcome, status)
}

// inspect looks at everything else that was promised.
func (w *world) inspect(results []*jetstream.RawStreamMsg) (faults []error) {
	w.row.most = max(w.row.most, w.api.Most())
	if w.row.most > w.rate {
		faults = append(faults, fmt.Errorf("%d Stops arrived within a second, the quota is %d: %v", w.row.most, w.rate, w.api.Crowd(w.rate)))
	}
	for _, m := range w.crew {
		if m.Process == nil || m.Ended() != nil {
			continue
		}
		m.ready()
		if _, metrics, err := m.get("/metrics"); err != nil {
			faults = append(faults, err)
		} else {
			w.watch.Look(metrics)
		}
		if m.goroutines > 0 {
			if err := m.grown(); err != nil {
				faults = append(faults, err)
			}
		}
	}
	letters, _, err := readAll(w.t.Context(), w.js(), stop.StreamDead)
	if err != nil {
		faults = append(faults, err)
	}
	for _, m := range append(letters, results...) {
		w.watch.Look(string(m.Data))
	}
	if err := w.watch.Found(); err != nil {
		faults = append(faults, err)
	}
	for _, at := range w.injections {
		if next, ok := w.api.Next(at); ok {
			w.row.recovery = append(w.row.recovery, next.Sub(at))
		}
	}
	return faults
}

// readAll is all messages of a stream, and how many there were that are no more.
func readAll(ctx context.Context, js jetstream.JetStream, name string) (all []*jetstream.RawStreamMsg, gone int, err error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	state := s.CachedInfo().State
	for seq := uint64(1); seq <= state.LastSeq; seq++ {
		m, err := getMsg(ctx, s, seq)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			gone++
		case err != nil:
			return nil, 0, fmt.Errorf("read %s: %w", name, err)
		default:
			all = append(all, m)
		}
	}
	return all, gone, nil
}

// getMsg asks again when an answer is lost, as happens just after an election.
func getMsg(ctx context.Context, s jetstream.Stream, seq uint64) (m *jetstream.RawStreamMsg, err error) {
	for range 20 {
		m, err = s.GetMsg(ctx, seq)
		if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
			return m, err
		}
		<-time.After(100 * time.Millisecond) // the leader is being elected
	}
	return nil, err
}
