package faults

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// asker publishes requests as every client of andon should: again and again,
// until the broker has confirmed them. Some it publishes once more after that,
// as one does that has not seen the confirmation.
type asker struct {
	w *world
	// waiting is how many requests may wait for their results.
	waiting int

	over  chan struct{}
	once  sync.Once
	group sync.WaitGroup

	mu        sync.Mutex
	next      int
	most      int
	confirmed map[string]request
	results   int // as last seen
}

// callers publish at the same time.
const callers = 4

// ask begins to publish, and goes on until there are so many requests (0: until
// the end of the schedule), or until end.
func (w *world) ask(most int) {
	w.t.Helper()
	w.asker = w.newAsker(most)
	w.asker.begin()
}

// askAll publishes so many requests, whether anybody works or not, and waits
// until all are confirmed.
func (w *world) askAll(n int) {
	w.t.Helper()
	w.beginAll(n)
	w.asker.done()
}

// beginAll begins that.
func (w *world) beginAll(n int) {
	w.t.Helper()
	w.asker = w.newAsker(n)
	w.asker.waiting = n
	w.asker.begin()
}

func (w *world) newAsker(most int) *asker {
	return &asker{w: w, most: most, waiting: 6 * w.rate, over: make(chan struct{}), confirmed: make(map[string]request)}
}

func (a *asker) begin() {
	for range callers {
		a.group.Go(a.publish)
	}
	a.group.Go(a.count)
	a.w.t.Cleanup(a.end)
}

// end publishes no more, and returns when what was begun is confirmed.
func (a *asker) end() {
	a.once.Do(func() { close(a.over) })
	a.group.Wait()
}

// done waits until as many are confirmed as were to be.
func (a *asker) done() { a.group.Wait() }

// asked are the requests that were confirmed.
func (a *asker) asked() map[string]request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.confirmed)
}

func (a *asker) publish() {
	for {
		i, ok := a.take()
		if !ok {
			return
		}
		r := newRequest(i, a.w.fates[i%len(a.w.fates)])
		if a.w.oneLane {
			r.subject = stop.SubjectStop
		}
		if err := r.place(a.w.api.Sim); err != nil {
			a.w.t.Error(err)
			return
		}
		a.confirm(r)
		if i%10 == 7 {
			a.confirm(r)
		}
	}
}

// take waits until one more request may be asked.
func (a *asker) take() (i int, ok bool) {
	for {
		a.mu.Lock()
		room := a.next-a.results < a.waiting
		ended := a.most > 0 && a.next >= a.most
		if room && !ended {
			i = a.next
			a.next++
		}
		a.mu.Unlock()
		switch {
		case ended:
			return 0, false
		case room:
			return i, true
		}
		if !a.pause(20 * time.Millisecond) {
			return 0, false
		}
	}
}

// pause is over when the time is, or false when the asking is.
func (a *asker) pause(d time.Duration) bool {
	select {
	case <-a.over:
		return false
	case <-a.w.t.Context().Done():
		return false
	case <-time.After(d):
		return true
	}
}

// confirm publishes until the broker has confirmed, also after the end: a
// request whose confirmation was lost may have been stored.
func (a *asker) confirm(r request) {
	for a.w.t.Context().Err() == nil {
		if a.try(r.subject, r.payload()) == nil {
			a.mu.Lock()
			a.confirmed[r.id] = r
			a.mu.Unlock()
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-a.w.t.Context().Done():
		}
	}
}

// try publishes once. A confirmation that was lost with the broker is not
// waited for.
func (a *asker) try(subject string, payload []byte) error {
	ctx, cancel := context.WithTimeout(a.w.t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := a.w.js().PublishMsg(ctx, &nats.Msg{Subject: subject, Data: payload}, jetstream.WithRetryAttempts(0))
	return err
}

// count looks how many have their results, so that a backlog stays, and does
// not grow.
func (a *asker) count() {
	for a.pause(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(a.w.t.Context(), 500*time.Millisecond)
		s, err := a.w.js().Stream(ctx, stop.StreamResults)
		cancel()
		if err != nil {
			continue // the broker is away
		}
		a.mu.Lock()
		a.results = int(s.CachedInfo().State.Msgs)
		ended := a.most > 0 && a.next >= a.most
		a.mu.Unlock()
		if ended {
			return
		}
	}
}

// unanswered are the requests that were confirmed and have no result.
func (a *asker) unanswered() (missing []request, err error) {
	stored, _, err := readAll(a.w.t.Context(), a.w.js(), stop.StreamResults)
	if err != nil {
		return nil, err
	}
	missingByID := a.asked()
	for _, m := range stored {
		delete(missingByID, strings.TrimPrefix(m.Subject, stop.SubjectResults+"."))
	}
	for _, r := range missingByID {
		missing = append(missing, r)
	}
	return missing, nil
}

// insist asks once more for what has no result although it was confirmed, as
// all should who ask: no broker keeps what its disk has lost. It says how many
// those were.
func (w *world) insist(within time.Duration) (lost int) {
	w.t.Helper()
	w.asker.end()
	w.settle(within)
	missing, err := w.asker.unanswered()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range missing {
		w.asker.confirm(r)
	}
	return len(missing)
}
