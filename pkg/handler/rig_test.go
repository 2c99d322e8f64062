package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	return newRigWith(t, Policy{})
}

func newRigWith(t *testing.T, policy Policy) *rig {
	t.Helper()
	r := &rig{
		api:     &fakeAPI{shows: map[string]stop.Activity{}},
		permits: &fakePermits{rate: 20, next: map[string]time.Time{}},
		ledger:  newFakeLedger(),
	}
	r.Handler = New(Config{Worker: "w", Policy: policy, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, r.api, r.permits, r.ledger)
	t.Cleanup(r.Close)
	return r
}

// fakeAPI answers as it is told, and notes when calls arrive.
type fakeAPI struct {
	ready    func(ctx context.Context) *stop.Answer
	stop     func(stop.Target) stop.Answer
	read     func(stop.Scope) *stop.Answer // nil: shows
	accounts []string                      // served; none: all
	page     int                           // activities on a page; zero: all
	slow     time.Duration                 // before activities are shown

	mu       sync.Mutex
	shows    map[string]stop.Activity // by group
	groups   []stop.Group
	asked    int
	arrivals []time.Time
	stopped  []stop.Target
	resumed  []stop.Target
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

func (a *fakeAPI) Stop(_ context.Context, t stop.Target) stop.Answer { return a.change(t, &a.stopped) }

func (a *fakeAPI) Resume(_ context.Context, t stop.Target, _ stop.ResumeMode) stop.Answer {
	return a.change(t, &a.resumed)
}

func (a *fakeAPI) change(t stop.Target, noted *[]stop.Target) stop.Answer {
	answer := stop.Answer{Class: stop.ClassOK, RequestID: "req"}
	if a.stop != nil {
		answer = a.stop(t)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.arrivals = append(a.arrivals, time.Now())
	*noted = append(*noted, t)
	return answer
}

func (a *fakeAPI) Groups(context.Context, stop.GroupScope) (stop.GroupPage, stop.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return stop.GroupPage{Groups: a.groups, Total: len(a.groups)}, stop.Answer{Class: stop.ClassOK}
}

func (a *fakeAPI) Regions() []string { return []string{"ap-guangzhou", "ap-singapore"} }

func (a *fakeAPI) Activities(_ context.Context, s stop.Scope) (stop.Page, stop.Answer) {
	<-time.After(a.slow)
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
	if a.page > 0 {
		slices.SortFunc(page.Activities, func(a, b stop.Activity) int { return strings.Compare(a.AutoScalingGroupID, b.AutoScalingGroupID) })
		page.Activities = page.Activities[s.Offset:min(s.Offset+a.page, page.Total)]
	}
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

func (p *fakePermits) Rate(string, stop.Quota) float64 { return float64(p.rate) }

// fakeLedger keeps what the queue would.
type fakeLedger struct {
	begin  time.Duration // how long a note takes
	stores bool          // a note also after its context has ended
	check  time.Duration // how long a look at a note takes

	mu        sync.Mutex
	histories map[string]stop.History
	results   map[string]*stop.Result
	tasks     map[string]bool
	calls     map[string]stop.Call // by place
	manifests map[string]stop.Bulk
	members   map[string][]stop.Member
	control   map[string]controlled
	told      []stop.Progress
}

type controlled struct {
	data     []byte
	revision uint64
}

func newFakeLedger() *fakeLedger {
	return &fakeLedger{
		histories: map[string]stop.History{}, results: map[string]*stop.Result{}, tasks: map[string]bool{}, calls: map[string]stop.Call{},
		manifests: map[string]stop.Bulk{}, members: map[string][]stop.Member{}, control: map[string]controlled{},
	}
}

func (l *fakeLedger) Result(_ context.Context, key string) (*stop.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results[key], nil
}

func (l *fakeLedger) Planned(_ context.Context, key string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tasks[key], nil
}

func (l *fakeLedger) Standing(_ context.Context, request string) (map[string]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]bool{}
	for key := range l.tasks {
		if of, name := stop.SplitKey(key); of == request {
			names[name] = true
		}
	}
	for key := range l.results {
		if of, name := stop.SplitKey(key); of == request {
			names[name] = true
		}
	}
	return names, nil
}

func (l *fakeLedger) Watch(ctx context.Context, request string, each func(stop.Result) bool) error {
	seen := map[string]bool{}
	for ctx.Err() == nil {
		l.mu.Lock()
		var found []stop.Result
		for key, r := range l.results {
			if of, name := stop.SplitKey(key); of == request && name != "" && !seen[key] {
				seen[key] = true
				found = append(found, *r)
			}
		}
		l.mu.Unlock()
		for _, r := range found {
			if !each(r) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (l *fakeLedger) Tell(p stop.Progress) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, p)
	return nil
}

func (l *fakeLedger) History(_ context.Context, key string) (stop.History, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.histories[key]
	h.Key = key
	return h, nil
}

func (l *fakeLedger) Remember(_ context.Context, h *stop.History) error { return l.keep(h) }

func (l *fakeLedger) keep(h *stop.History) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.histories[h.Key].Revision != h.Revision {
		return stop.ErrLost
	}
	h.Revision++
	l.histories[h.Key] = *h
	return nil
}

func (l *fakeLedger) Call(ctx context.Context, t stop.Target) (stop.Call, error) {
	select {
	case <-ctx.Done():
		return stop.Call{}, ctx.Err()
	case <-time.After(l.check):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.calls[stop.Call{Target: t}.Place()]
	if !ok {
		c.Target = t
	}
	return c, nil
}

func (l *fakeLedger) Begin(ctx context.Context, c *stop.Call) error {
	select {
	case <-ctx.Done():
		if !l.stores {
			return ctx.Err()
		}
	case <-time.After(l.begin):
	}
	return l.note(c)
}

func (l *fakeLedger) note(c *stop.Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.Place()].Revision != c.Revision {
		return stop.ErrLost
	}
	c.Revision++
	c.StoredAt = time.Now()
	l.calls[c.Place()] = *c
	return nil
}

func (l *fakeLedger) Calls(context.Context) (all []stop.Call, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if c.Key != "" {
			all = append(all, c)
		}
	}
	return all, nil
}

func (l *fakeLedger) Drop(_ context.Context, c stop.Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.Place()].Revision == c.Revision {
		l.calls[c.Place()] = stop.Call{Target: c.Target, Revision: c.Revision + 1}
	}
	return nil
}

func (l *fakeLedger) Manifest(_ context.Context, request string) (*stop.Bulk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.manifests[request]; ok {
		return &b, nil
	}
	return nil, nil
}

func (l *fakeLedger) Settle(_ context.Context, b stop.Bulk, parts [][]stop.Member) (stop.Bulk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, members := range parts {
		l.members[fmt.Sprint(b.Task.Request, b.Digest, n)] = members
	}
	if stands, ok := l.manifests[b.Task.Request]; ok {
		return stands, nil
	}
	l.manifests[b.Task.Request] = b
	return b, nil
}

func (l *fakeLedger) Members(_ context.Context, b stop.Bulk, part int) ([]stop.Member, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.members[fmt.Sprint(b.Task.Request, b.Digest, part)]), nil
}

func (l *fakeLedger) Control(_ context.Context, key string, into any) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.control[key]
	if c.revision == 0 {
		return 0, nil
	}
	return c.revision, json.Unmarshal(c.data, into)
}

func (l *fakeLedger) SetControl(_ context.Context, key string, value any, revision uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.control[key].revision != revision {
		return stop.ErrLost
	}
	data, err := json.Marshal(value)
	l.control[key] = controlled{data, revision + 1}
	return err
}

// settle does with a verdict what the queue does: store first.
func (l *fakeLedger) settle(t *testing.T, v stop.Verdict) stop.Verdict {
	t.Helper()
	if v.History != nil && !v.Final() {
		if err := l.keep(v.History); err != nil {
			t.Errorf("the history is not stored: %v", err)
		}
	}
	if v.Call != nil && !v.Final() {
		_ = l.note(v.Call) // refused when another has called since
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range v.Results {
		key := v.Results[i].Key()
		switch stands := l.results[key]; {
		case stands == nil:
			l.results[key] = &v.Results[i]
		case stands.Outcome != v.Results[i].Outcome:
			t.Errorf("%s has ended in two ways: %s, and then %s: %s", key, stands.Outcome, v.Results[i].Outcome, v.Results[i].Message)
		}
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
		Request: request, Sequence: 1, Action: stop.ActionStop, Lane: stop.LaneNormal, Quota: quota,
		Target: stop.Target{Account: quota.Account, Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity},
		Seen:   shows(stop.StatusRunning).activity, RequestedAt: time.Now(), StartedAt: time.Now(), NotAfter: time.Now().Add(10 * time.Minute),
	}
}

// freshOf is one of many such tasks, for activities of their own.
func freshOf(i int) stop.Task {
	task := fresh(fmt.Sprintf("r%d", i))
	task.Target.AutoScalingGroupID, task.Target.RefreshActivityID = fmt.Sprintf("asg-%08d", i), fmt.Sprintf("asr-%08d", i)
	seen := *task.Seen
	seen.AutoScalingGroupID, seen.RefreshActivityID = task.Target.AutoScalingGroupID, task.Target.RefreshActivityID
	task.Seen = &seen
	return task
}

func taskMessage(t *testing.T, task stop.Task) stop.Message {
	t.Helper()
	data, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return stop.Message{Subject: stop.TaskSubject(task), Data: data, Sequence: 1, Stored: time.Now(), Delivered: 1}
}
