package handler

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// callLife is how long a call of another task, seen without an answer, is waited
// for: its permit, the call, and the result.
const callLife = 8 * time.Second

// look asks the ledger what has been done by others, or by this task before, in
// this order: first the activity is read, then the last call on it, then the
// task's own result. Nobody calls without a note of it, and a note leads to a
// result, so what an earlier call has done to the activity that was read is
// known to be this task's doing, or another's, or nobody's here.
func (h *Handler) look(ctx context.Context, s *situation, then next) (stop.Verdict, bool) {
	s.looked = true
	key, before := s.task.Key(), s.call.Revision
	if s.task.Target.RefreshActivityID != "" {
		call, err := h.ledger.Call(ctx, s.task.Target)
		if err != nil {
			return h.later(ctx, "cannot read the last call", key, err), true
		}
		s.call = call
	}
	result, err := h.ledger.Result(ctx, key)
	switch {
	case err != nil:
		return h.later(ctx, "cannot read the ledger", key, err), true
	case result != nil:
		return h.settled(s.task, result), true
	case s.unanswered():
		s.doubted, s.seen = true, nil
		takeOver(&s.history, s.call, time.Now())
		return stop.Verdict{}, false
	}
	if s.begun != 0 && s.begun == s.call.Revision {
		return stop.Verdict{}, false // this delivery's own
	}
	if s.other, err = h.deed(ctx, s.call, s.task); err != nil {
		return h.later(ctx, "cannot read the ledger", s.call.Key, err), true
	}
	// A call that this worker had not heard of may have come after the reading.
	if then == doCall && s.other != nil && s.other.outcome != "" && s.call.Revision != before {
		s.seen = nil
	}
	return stop.Verdict{}, false
}

// unanswered reports whether a call on the activity was this task's, in a
// delivery that ended without an answer.
func (s situation) unanswered() bool {
	if s.doubted || s.begun != 0 || s.call.Action != s.task.Action {
		return false
	}
	mine := func(d stop.Doubt) bool { return d.Key == s.task.Key() && d.Revision > s.history.Clear }
	return !s.call.Over && mine(stop.Doubt{Key: s.call.Key, Revision: s.call.Revision}) || slices.ContainsFunc(s.call.Doubts, mine)
}

// takeOver counts a call that another delivery of the task has begun, by a clock
// that may be wrong: it was made no sooner than its note was stored, and no
// later than now.
func takeOver(h *stop.History, c stop.Call, now time.Time) {
	h.Unknown++
	h.CalledAt = c.At
	if c.StoredAt.After(c.At) {
		h.CalledAt = c.StoredAt.UTC()
	}
	if h.CalledAt.After(now) {
		h.CalledAt = now.UTC()
	}
}

// deed says what the last call on the activity was, if it was another task's.
func (h *Handler) deed(ctx context.Context, c stop.Call, t stop.Task) (*deed, error) {
	if c.Key == "" || c.Key == t.Key() {
		return nil, nil
	}
	d := deed{key: c.Key, action: c.Action}
	// By the broker's clock and by how long this worker has known: one of them is
	// right about an old call.
	age := max(time.Since(c.StoredAt), h.sights.since(c.Place(), c.Revision))
	result, err := h.ledger.Result(ctx, c.Key)
	if err != nil {
		return nil, err //nolint:wrapcheck // by the caller
	}
	if result == nil {
		// Whoever is more urgent waits for nobody who waits for a permit.
		d.recent = !c.Over && age < callLife && !t.Lane.Before(c.Lane)
		return &d, nil
	}
	d.outcome, d.at = result.Outcome, result.FinishedAt
	d.accepted = d.outcome == goal(c.Action) && result.Code == "" && result.RequestID != ""
	d.recent = max(age, time.Since(d.at)) < settling
	return &d, nil
}

// noted is the note of a call that the task is about to make. What the activity
// stands in doubt about is kept for those who are in it.
func (h *Handler) noted(s situation) stop.Call {
	note := stop.Call{
		Key: s.task.Key(), Action: s.task.Action, Lane: s.task.Lane, Target: s.task.Target,
		Worker: h.conf.Worker, At: time.Now().UTC(), Revision: s.call.Revision,
	}
	doubts := s.call.Doubts
	if s.other != nil && s.other.outcome == "" && !s.call.Over {
		doubts = append(slices.Clone(doubts), stop.Doubt{Key: s.call.Key, Revision: s.call.Revision})
	}
	for _, d := range doubts {
		if d.Key != note.Key {
			note.Doubts = append(note.Doubts, d)
		}
	}
	// Each is a worker that died within seconds of another over one activity.
	const most = 64
	note.Doubts = note.Doubts[max(len(note.Doubts)-most, 0):]
	return note
}

// release gives the activity back to others, where this delivery has noted a
// call of which the answer is known, or that was not made.
func release(s situation) *stop.Call {
	if s.begun == 0 || s.begun != s.call.Revision {
		return nil
	}
	c := s.call
	c.Over = true
	return &c
}

// sights remember when this worker first saw a call, for a while.
type sights struct {
	mu   sync.Mutex
	seen map[string]sight // by place
}

type sight struct {
	revision uint64
	at       time.Time
}

func newSights() *sights { return &sights{seen: make(map[string]sight)} }

// since is how long ago this worker first saw the revision.
func (s *sights) since(place string, revision uint64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if known, ok := s.seen[place]; ok && known.revision == revision {
		return now.Sub(known.at)
	}
	const many = 4096
	if len(s.seen) > many {
		for k, v := range s.seen {
			if now.Sub(v.at) > settling {
				delete(s.seen, k)
			}
		}
	}
	s.seen[place] = sight{revision, now}
	return 0
}

// lines are the tasks of this worker that wait for a permit, by activity: of
// several for the same one only the first waits, unless one is more urgent.
type lines struct {
	mu   sync.Mutex
	open map[string][]stop.Lane // by place
}

func newLines() *lines { return &lines{open: make(map[string][]stop.Lane)} }

// enter asks for leave to wait for a permit. What it returns must be called
// when the call is over, or was not made; nil: another is before this one.
func (l *lines) enter(place string, lane stop.Lane) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.open[place] {
		if !lane.Before(other) {
			return nil
		}
	}
	l.open[place] = append(l.open[place], lane)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(l.open[place], lane)
		if l.open[place] = slices.Delete(l.open[place], i, i+1); len(l.open[place]) == 0 {
			delete(l.open, place)
		}
	}
}
