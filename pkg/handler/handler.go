package handler

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// API is the cloud's side. Its methods are safe for use by many goroutines,
// make one attempt each, return soon after their own deadline, and never
// panic.
type API interface {
	// Quota is what calls for the account and region count against, or an
	// error that says what is served instead.
	Quota(account, region string) (stop.Quota, error)
	// Serves reports whether there is such an account here.
	Serves(account string) bool
	// Ready waits until there are credentials to sign calls for the account
	// with, and answers why there are none; nil: there are. Calls themselves do
	// not wait for that: without credentials they are answered at once.
	Ready(ctx context.Context, account string) *stop.Answer
	Stop(ctx context.Context, t stop.Target) stop.Answer
	Resume(ctx context.Context, t stop.Target, mode stop.ResumeMode) stop.Answer
	Activities(ctx context.Context, s stop.Scope) (stop.Page, stop.Answer)
	Groups(ctx context.Context, s stop.GroupScope) (stop.GroupPage, stop.Answer)
	// Regions are those that a selector means which names none.
	Regions() []string
}

// Permits is the limiter.
type Permits interface {
	// Acquire waits for leave to make one call, to be begun at once.
	Acquire(ctx context.Context, action string, q stop.Quota, l stop.Lane) (stop.Permit, error)
	// Throttled reports that the API refused a call for its rate.
	Throttled(action string, q stop.Quota)
	// Rate is how many calls a second the whole fleet is granted at present.
	Rate(action string, q stop.Quota) float64
}

// Ledger is what is stored about requests and tasks. Keys are those of
// stop.Task.Key.
type Ledger interface {
	// Result is the result with the key, nil if there is none yet.
	Result(ctx context.Context, key string) (*stop.Result, error)
	// Planned reports whether there is a task with the key.
	Planned(ctx context.Context, key string) (bool, error)
	// Standing lists the targets of a request, by name, that have a task or a
	// result.
	Standing(ctx context.Context, request string) (map[string]bool, error)
	// Watch tells each the results that the targets of a request have and get,
	// until it wants no more or ctx ends.
	Watch(ctx context.Context, request string, each func(stop.Result) bool) error
	// Tell publishes how far a request has come.
	Tell(p stop.Progress) error

	// History reads what a task has been through; nothing yet is no error.
	// Remember stores it. Like everything here that is read with a revision and
	// stored, it is refused with stop.ErrLost when another worker has stored one
	// since.
	History(ctx context.Context, key string) (stop.History, error)
	Remember(ctx context.Context, h *stop.History) error

	// Call reads the last call on an activity; none yet is no error. Begin stores
	// one before it is made.
	Call(ctx context.Context, t stop.Target) (stop.Call, error)
	Begin(ctx context.Context, c *stop.Call) error
	// Calls lists those of all activities, Drop removes one.
	Calls(ctx context.Context) ([]stop.Call, error)
	Drop(ctx context.Context, c stop.Call) error

	// Manifest is what a request for several targets means, nil if that is not
	// settled. Settle stores it, and returns the one that stands: of several the
	// first. Members are the targets of a part.
	Manifest(ctx context.Context, request string) (*stop.Bulk, error)
	Settle(ctx context.Context, b stop.Bulk, parts [][]stop.Member) (stop.Bulk, error)
	Members(ctx context.Context, b stop.Bulk, part int) ([]stop.Member, error)

	// Control reads what the whole fleet goes by under a key, and its revision;
	// zero: nothing is there. SetControl stores it.
	Control(ctx context.Context, key string, into any) (revision uint64, err error)
	SetControl(ctx context.Context, key string, value any, revision uint64) error
}

// Config is what a Handler needs to know.
type Config struct {
	// Worker names this process in results.
	Worker   string
	Defaults stop.Defaults
	// Policy is what requests may do; the zero Policy allows everything.
	Policy Policy
	// Registerer takes the metrics, Log the events. Both are required.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Handler has the steps of the way: Plan, Execute and Follow. They may be called
// from any number of goroutines.
type Handler struct {
	conf    Config
	api     API
	permits Permits
	ledger  Ledger
	holds   *holds
	reader  *reader
	policy  *guard
	regions *regions
	lines   *lines
	sights  *sights
	paused  *pausedMetric
	metrics *metrics
	decode  func(stop.Message, stop.Defaults) (stop.Request, *stop.Invalid)
}

// New joins the parts. Close must be called when no step runs any more.
func New(c Config, api API, permits Permits, ledger Ledger) *Handler {
	m := newMetrics(c.Registerer)
	h := &Handler{conf: c, api: api, permits: permits, ledger: ledger, metrics: m, decode: stop.Decode}
	h.holds = newHolds(c.Log, m)
	h.reader = newReader(api, permits, h.holds)
	h.paused = &pausedMetric{}
	c.Registerer.MustRegister(h.paused)
	h.policy = &guard{Policy: c.Policy, ledger: ledger}
	h.regions = newRegions()
	h.lines, h.sights = newLines(), newSights()
	return h
}

// Close ends reads that are still waiting for a permit, and waits for them.
func (h *Handler) Close() { h.reader.close() }

// Credentials says which accounts are held because their credentials were
// refused, nil if none is.
func (h *Handler) Credentials() error { return h.holds.err() }

// HeldAccounts are those.
func (h *Handler) HeldAccounts() []stop.HeldAccount { return h.holds.list() }

// SetHold tells of the hold of the whole fleet; nil: there is none.
func (h *Handler) SetHold(hold *stop.Hold) { h.holds.setFleet(hold) }

// Held says why the whole fleet makes no calls, nil if it does.
func (h *Handler) Held() error { return h.holds.fleetErr() }

// Gate waits until tasks of the account may be taken in hand: at once, unless
// the account is held. While the whole fleet is held a few are let through all
// the same, again and again: NotAfter ends them.
func (h *Handler) Gate(ctx context.Context, account string) {
	const most = 2 * time.Second
	for begun := time.Now(); ; {
		wait := h.holds.wait(account, stop.ActionStop)
		if wait <= 0 || h.Held() != nil && time.Since(begun) >= most {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(wait, 100*time.Millisecond)):
		}
	}
}

// result begins the result of a task.
func (h *Handler) result(t stop.Task, outcome stop.Outcome) stop.Result {
	return stop.Result{
		Request: t.Request, Target: t.Name, Account: t.Target.Account, Region: t.Target.Region,
		AutoScalingGroupID: t.Target.AutoScalingGroupID, RefreshActivityID: t.Target.RefreshActivityID,
		Outcome: outcome, Lane: t.Lane, Reason: t.Reason, RequestedBy: t.RequestedBy, Incident: t.Incident,
		RequestedAt: t.RequestedAt, StartedAt: t.StartedAt, FinishedAt: time.Now().UTC(),
		Worker: h.conf.Worker, Traceparent: t.Traceparent,
	}
}

// bury makes the dead letter of a message.
func (h *Handler) bury(m stop.Message, key string, why stop.Why, message string) stop.DeadLetter {
	d := stop.Bury(m, key, why, message)
	d.Worker, d.DeadAt = h.conf.Worker, time.Now().UTC()
	return d
}
