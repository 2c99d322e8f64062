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
	Activities(ctx context.Context, s stop.Scope) (stop.Page, stop.Answer)
}

// Permits is the limiter.
type Permits interface {
	// Acquire waits for leave to make one call, to be begun at once.
	Acquire(ctx context.Context, action string, q stop.Quota, l stop.Lane) (stop.Permit, error)
	// Throttled reports that the API refused a call for its rate.
	Throttled(action string, q stop.Quota)
}

// Ledger is what is stored about requests and tasks.
type Ledger interface {
	// Result is the result of the request, nil if it has none yet.
	Result(ctx context.Context, request string) (*stop.Result, error)
	// Planned reports whether a task of the request exists.
	Planned(ctx context.Context, request string) (bool, error)
	// History reads what a task has been through; nothing yet is no error.
	History(ctx context.Context, key string) (stop.History, error)
	// Begin stores the history before a call and fails when another worker
	// has stored one since this one was read.
	Begin(ctx context.Context, h *stop.History) error
}

// Config is what a Handler needs to know.
type Config struct {
	// Worker names this process in results.
	Worker   string
	Defaults stop.Defaults
	// Registerer takes the metrics, Log the events. Both are required.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Handler has the two steps of the way, Plan and Execute. They may be called
// from any number of goroutines.
type Handler struct {
	conf    Config
	api     API
	permits Permits
	ledger  Ledger
	holds   *holds
	reader  *reader
	recent  *recent
	metrics *metrics
	decode  func(stop.Message, stop.Defaults) (stop.Request, *stop.Invalid)
}

// New joins the parts. Close must be called when no step runs any more.
func New(c Config, api API, permits Permits, ledger Ledger) *Handler {
	m := newMetrics(c.Registerer)
	h := &Handler{conf: c, api: api, permits: permits, ledger: ledger, metrics: m, decode: stop.Decode}
	h.holds = newHolds(c.Log, m)
	h.reader = newReader(api, permits, h.holds)
	h.recent = newRecent(settling)
	return h
}

// Close ends reads that are still waiting for a permit, and waits for them.
func (h *Handler) Close() { h.reader.close() }

// Credentials says which accounts are held because their credentials were
// refused, nil if none is.
func (h *Handler) Credentials() error { return h.holds.err() }

// Gate waits until tasks of the account may be taken in hand: at once, unless
// the account is held.
func (h *Handler) Gate(ctx context.Context, account string) {
	for {
		wait := h.holds.wait(account, stop.ActionStop)
		if wait <= 0 {
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
		Request: t.Request, Account: t.Target.Account, Region: t.Target.Region,
		AutoScalingGroupID: t.Target.AutoScalingGroupID, RefreshActivityID: t.Target.RefreshActivityID,
		Outcome: outcome, Lane: t.Lane, Reason: t.Reason, RequestedBy: t.RequestedBy, Incident: t.Incident,
		RequestedAt: t.RequestedAt, StartedAt: t.StartedAt, FinishedAt: time.Now().UTC(),
		Worker: h.conf.Worker, Traceparent: t.Traceparent,
	}
}

// bury makes the dead letter of a message.
func (h *Handler) bury(m stop.Message, request string, why stop.Why, message string) stop.DeadLetter {
	d := stop.Bury(m, request, why, message)
	d.Worker, d.DeadAt = h.conf.Worker, time.Now().UTC()
	return d
}
