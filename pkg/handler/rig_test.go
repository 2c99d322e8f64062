package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

var quota = stop.Quota{Account: "default", Endpoint: "https://as.example"}

// rig is a handler between an API, a limiter and a ledger that live on the
// clock of the test. What a field's zero value does is what goes well.
type rig struct {
	*Handler
	api     *fakeAPI
	permits *fakePermits
	ledger  *fakeLedger
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		api:     &fakeAPI{shows: map[string]stop.Activity{}},
		permits: &fakePermits{rate: 20, next: map[string]time.Time{}},
		ledger:  &fakeLedger{histories: map[string]stop.History{}, results: map[string]*stop.Result{}, tasks: map[string]bool{}},
	}
	r.Handler = New(Config{Worker: "w", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, r.api, r.permits, r.ledger)
	t.Cleanup(r.Close)
	return r
}

// fakeAPI answers as it is told, and notes when calls arrive.
type fakeAPI struct {
	ready    func(ctx context.Context) *stop.Answer
	stop     func(stop.Target) stop.Answer
	read     func(stop.Scope) *stop.Answer // nil: shows
	accounts []string                      // served; none: all

	mu       sync.Mutex
	shows    map[string]stop.Activity // by group
	asked    int
	arrivals []time.Time
	stopped  []stop.Target
	reads    []stop.Scope
}

func (a *fakeAPI) Quota(account, _ string) (stop.Quota, error) {
	if !a.Serves(account) {
		return stop.Quota{}, fmt.Errorf("account %s is not served here", account)
	}
	return stop.Quota{Account: account, Endpoint: quota.Endpoint}, nil
}

func (a *fakeAPI) Serves(account string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.accounts) == 0 || slices.Contains(a.accounts, account)
}

func (a *fakeAPI) Ready(ctx context.Context, _ string) *stop.Answer {
	a.mu.Lock()
	a.asked++
	ready := a.ready
	a.mu.Unlock()
	if ready == nil {
		return nil
	}
	return ready(ctx)
}

func (a *fakeAPI) Stop(_ context.Context, t stop.Target) stop.Answer {
	answer := stop.Answer{Class: stop.ClassOK, RequestID: "req"}
	if a.stop != nil {
		answer = a.stop(t)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.arrivals = append(a.arrivals, time.Now())
	a.stopped = append(a.stopped, t)
	return answer
}

func (a *fakeAPI) Activities(_ context.Context, s stop.Scope) (stop.Page, stop.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads = append(a.reads, s)
	if a.read != nil {
		if answer := a.read(s); answer != nil {
			return stop.Page{}, *answer
		}
	}
	var page stop.Page
	for _, activity := range a.shows {
		page.Activities = append(page.Activities, activity)
	}
	page.Total = len(page.Activities)
	return page, stop.Answer{Class: stop.ClassOK}
}

// recover ends all trouble.
func (a *fakeAPI) recover() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready, a.read, a.accounts = nil, nil, nil
}

func (a *fakeAPI) show(status stop.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shows[group] = *shows(status).activity
}

// fakePermits paces by a fixed rate for each action and quota.
type fakePermits struct {
	rate int
	life time.Duration // of a permit; zero: half a second

	mu       sync.Mutex
	next     map[string]time.Time
	taken    int
	released int
}

func (p *fakePermits) Acquire(ctx context.Context, action string, q stop.Quota, _ stop.Lane) (stop.Permit, error) {
	p.mu.Lock()
	at := p.next[action+q.Token()]
	if now := time.Now(); at.Before(now) {
		at = now
	}
	p.next[action+q.Token()] = at.Add(time.Second / time.Duration(p.rate))
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return stop.Permit{}, ctx.Err()
	case <-time.After(time.Until(at)):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
	life := p.life
	if life == 0 {
		life = 500 * time.Millisecond
	}
	return stop.Permit{Until: time.Now().Add(life), Release: sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.released++
	})}, nil
}

func (p *fakePermits) Throttled(string, stop.Quota) {}

// fakeLedger keeps what the queue would.
type fakeLedger struct {
	begin  time.Duration // how long a note takes
	stores bool          // a note also after its context has ended

	mu        sync.Mutex
	histories map[string]stop.History
	results   map[string]*stop.Result
	tasks     map[string]bool
}

func (l *fakeLedger) Result(_ context.Context, request string) (*stop.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results[request], nil
}

func (l *fakeLedger) Planned(_ context.Context, request string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tasks[request], nil
}

func (l *fakeLedger) History(_ context.Context, key string) (stop.History, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.histories[key]
	h.Key = key
	return h, nil
}

var errStale = errors.New("stale")

func (l *fakeLedger) Begin(ctx context.Context, h *stop.History) error {
	select {
	case <-ctx.Done():
		if !l.stores {
			return ctx.Err()
		}
	case <-time.After(l.begin):
	}
	return l.keep(h)
}

func (l *fakeLedger) keep(h *stop.History) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.histories[h.Key].Revision != h.Revision {
		return errStale
	}
	h.Revision++
	l.histories[h.Key] = *h
	return nil
}

// settle does with a verdict what the queue does: store first.
func (l *fakeLedger) settle(t *testing.T, v stop.Verdict) stop.Verdict {
	t.Helper()
	if v.History != nil && !v.Final() {
		if err := l.keep(v.History); err != nil {
			t.Errorf("the history is not stored: %v", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range v.Results {
		l.results[v.Results[i].Request] = &v.Results[i]
	}
	return v
}

// deliver carries a task out as often as it asks to come again.
func (r *rig) deliver(t *testing.T, task stop.Task) stop.Result {
	t.Helper()
	for {
		v := r.ledger.settle(t, r.Execute(t.Context(), taskMessage(t, task)))
		if v.Final() {
			if len(v.Results) != 1 {
				t.Errorf("%d results: %+v", len(v.Results), v)
				return stop.Result{}
			}
			return v.Results[0]
		}
		<-time.After(v.Retry)
	}
}

// fresh is a task whose activity was just seen RUNNING.
func fresh(request string) stop.Task {
	return stop.Task{
		Request: request, Sequence: 1, Lane: stop.LaneNormal, Quota: quota,
		Target: stop.Target{Account: quota.Account, Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity},
		Seen:   shows(stop.StatusRunning).activity, RequestedAt: time.Now(), StartedAt: time.Now(), NotAfter: time.Now().Add(10 * time.Minute),
	}
}

func taskMessage(t *testing.T, task stop.Task) stop.Message {
	t.Helper()
	data, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return stop.Message{Subject: stop.TaskSubject(task), Data: data, Sequence: 1, Stored: time.Now(), Delivered: 1}
}
