package handler

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// tellEvery is how often the progress of a bulk is told.
	tellEvery = time.Second
	// rateOver is the time over which granted calls are counted.
	rateOver = 5 * time.Second
)

// bulkOf reads the bulk in a message that waits for its summary, if it is one.
func bulkOf(m stop.Message) (b stop.Bulk, ok bool) {
	if json.Unmarshal(m.Data, &b) != nil || !stop.ValidID(b.Task.Request) || stop.BulkSubject(b.Task.Request) != m.Subject {
		return stop.Bulk{}, false
	}
	return b, true
}

// Follow is the step that tells the progress of a request for several targets,
// and ends with its summary once every target has its result. It counts what
// stands in the ledger and nothing else, so it may begin anew on any worker at
// any time.
func (h *Handler) Follow(ctx context.Context, m stop.Message) stop.Verdict {
	b, ok := bulkOf(m)
	if !ok {
		return h.foreign(m, errors.New("not a request for several targets"))
	}
	result, err := h.ledger.Result(ctx, b.Task.Request)
	if err != nil {
		return h.later(ctx, "cannot read the ledger", b.Task.Request, err)
	}
	if result != nil {
		return stop.Verdict{Settled: true}
	}
	t := newTally(b, h.api.Quota)
	watching, cancel := context.WithCancel(ctx)
	lost := make(chan error, 1)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel()
	if b.Total > 0 {
		watcher.Go(func() { lost <- h.ledger.Watch(watching, b.Task.Request, t.add) })
	} else {
		close(t.complete)
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.complete:
			h.tell(t)
			return h.summary(b, t)
		case <-tick.C:
			h.tell(t)
		case <-ctx.Done():
			return stop.Verdict{Retry: time.Millisecond}
		case err := <-lost:
			select {
			case <-t.complete:
				continue // it ended because all is there
			default:
			}
			return h.later(ctx, "cannot follow the results", b.Task.Request, err)
		}
	}
}

func (h *Handler) tell(t *tally) {
	p := t.progress(time.Now(), func(q stop.Quota) float64 {
		if h.holds.wait(q.Account, t.bulk.Task.Action) > 0 {
			return 0
		}
		return h.permits.Rate(t.bulk.Task.Action, q)
	})
	if err := h.ledger.Tell(p); err != nil {
		h.conf.Log.Debug("progress is not told", "request", p.Request, "error", err)
	}
}

// summary is the result of a request for several targets.
func (h *Handler) summary(b stop.Bulk, t *tally) stop.Verdict {
	r := h.result(b.Task, stop.OutcomeDone)
	r.Summary = &stop.Summary{Total: b.Total, Outcomes: t.count()}
	if b.Total == 0 {
		r.Message = "nothing matches that has a live refresh"
	}
	return stop.Verdict{Results: []stop.Result{r}}
}

// tally counts the results of a bulk.
type tally struct {
	bulk     stop.Bulk
	quotaOf  func(account, region string) (stop.Quota, error)
	complete chan struct{} // closed when every target has its result
	begun    time.Time

	mu     sync.Mutex
	ends   map[string]stop.Outcome // by the target's name
	quotas []*quotaTally
}

// quotaTally is the share of one quota.
type quotaTally struct {
	stop.QuotaProgress

	calls []time.Time // within rateOver, the oldest first
}

func newTally(b stop.Bulk, quotaOf func(string, string) (stop.Quota, error)) *tally {
	t := &tally{bulk: b, quotaOf: quotaOf, complete: make(chan struct{}), begun: time.Now(), ends: make(map[string]stop.Outcome, b.Total)}
	for _, s := range b.Shares {
		t.share(s.Account, s.Region).Total += s.Targets
	}
	return t
}

// share is the tally of the quota that an account and region count against.
func (t *tally) share(account, region string) *quotaTally {
	q, err := t.quotaOf(account, region)
	if err != nil {
		q = stop.Quota{Account: account}
	}
	for _, known := range t.quotas {
		if known.Quota == q {
			return known
		}
	}
	added := &quotaTally{QuotaProgress: stop.QuotaProgress{Quota: q}}
	t.quotas = append(t.quotas, added)
	return added
}

// add counts a result and reports whether more are to come.
func (t *tally) add(r stop.Result) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.ends[r.Target]; known {
		return true
	}
	t.ends[r.Target] = r.Outcome
	share := t.share(r.Account, r.Region)
	share.Decided++
	if r.Attempts > 0 {
		share.calls = append(share.calls, time.Now())
	}
	if len(t.ends) < t.bulk.Total {
		return true
	}
	close(t.complete)
	return false
}

func (t *tally) count() map[stop.Outcome]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.countLocked()
}

func (t *tally) countLocked() map[stop.Outcome]int {
	counts := make(map[stop.Outcome]int)
	for _, o := range t.ends {
		counts[o]++
	}
	return counts
}

// progress is how far it has come. The end is estimated for each quota by what
// it was granted of late, or is granted by the limiter where that is not known
// yet; the last of them counts.
func (t *tally) progress(now time.Time, granted func(stop.Quota) float64) stop.Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	task := t.bulk.Task
	p := stop.Progress{
		Request: task.Request, Action: task.Action, Lane: task.Lane, Total: t.bulk.Total, Decided: len(t.ends),
		Outcomes: t.countLocked(), At: now.UTC(), Quotas: []stop.QuotaProgress{},
	}
	over := min(now.Sub(t.begun), rateOver)
	known := true
	for _, q := range t.quotas {
		for len(q.calls) > 0 && now.Sub(q.calls[0]) > rateOver {
			q.calls = q.calls[1:]
		}
		q.Rate = float64(len(q.calls)) / max(over, tellEvery).Seconds()
		p.Rate += q.Rate
		p.Quotas = append(p.Quotas, q.QuotaProgress)
		left := q.Total - q.Decided
		if left <= 0 {
			continue
		}
		rate := granted(q.Quota)
		if rate > 0 && over >= rateOver && q.Rate > 0 {
			rate = q.Rate
		}
		if rate <= 0 {
			known = false
			continue
		}
		if end := now.Add(time.Duration(float64(left) / rate * float64(time.Second))); end.After(p.End) {
			p.End = end.UTC()
		}
	}
	if !known {
		p.End = time.Time{}
	}
	return p
}
