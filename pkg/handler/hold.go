package handler

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// How long a held account is left alone before the next probe.
const (
	firstProbe = 500 * time.Millisecond
	lastProbe  = 30 * time.Second
)

// holds are the accounts whose credentials or permissions the API refused.
// Nothing is called for a held account but one probe at a time, at growing
// intervals; the probe is simply the next call that is due. Holds are kept by
// action, for a permission may be missing for one and not for the other.
type holds struct {
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex
	open  map[holdKey]*hold
	fleet *stop.Hold
}

type holdKey struct{ account, action string }

type hold struct {
	since    time.Time
	cause    string
	answer   stop.Answer
	interval time.Duration
	next     time.Time
	probing  bool
	refused  int
	// wanted is when somebody last had a call to make.
	wanted time.Time
}

func newHolds(log *slog.Logger, m *metrics) *holds {
	return &holds{log: log, metrics: m, open: make(map[holdKey]*hold)}
}

// wait is how long the account must be left alone; zero: call, or probe, now.
func (h *holds) wait(account, action string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waitLocked(holdKey{account, action})
}

func (h *holds) waitLocked(k holdKey) time.Duration {
	held := h.open[k]
	switch {
	case h.fleetLocked():
		return fleetLook
	case held == nil:
		return 0
	case held.probing:
		return max(time.Until(held.next), firstProbe)
	default:
		return max(time.Until(held.next), 0)
	}
}

// want is wait for somebody who has a call to make.
func (h *holds) want(account, action string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := holdKey{account, action}
	h.wantLocked(k)
	return h.waitLocked(k)
}

func (h *holds) wantLocked(k holdKey) {
	if held := h.open[k]; held != nil {
		held.wanted = time.Now()
	}
}

// pass is leave to make one call. It must be given back with leave.
type pass struct {
	key   holdKey
	probe bool
}

// enter asks for leave to call: a pass, or how long to wait before asking
// again.
func (h *holds) enter(account, action string) (*pass, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := holdKey{account, action}
	h.wantLocked(k)
	if wait := h.waitLocked(k); wait > 0 {
		return nil, wait
	}
	held := h.open[k]
	if held != nil {
		held.probing = true
	}
	return &pass{key: k, probe: held != nil}, 0
}

// leave says how the call ended; nil: it was not made.
func (h *holds) leave(p *pass, a *stop.Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.open[p.key]
	switch {
	case held == nil:
		if a != nil && a.Class == stop.ClassCredential {
			h.hold(p.key, *a)
		}
	case a == nil:
		held.probing = held.probing && !p.probe
	case a.Class == stop.ClassCredential:
		held.refused++
		held.answer = *a
		// Calls that were under way when the first refusal came back do not
		// lengthen the interval.
		if p.probe {
			held.interval = min(2*held.interval, lastProbe)
			held.rest()
		}
	case !proves(*a):
		if p.probe {
			held.rest()
		}
	default:
		h.releaseLocked(p.key, held, "its credentials work again")
	}
}

// proves reports whether an answer shows that the API accepts the credentials: it has
// judged the call itself. A lost or throttled one is no word on them.
func proves(a stop.Answer) bool {
	switch a.Class {
	case stop.ClassCredential, stop.ClassTransient, stop.ClassThrottled:
		return false
	default:
		return true
	}
}

func (h *holds) hold(k holdKey, a stop.Answer) {
	held := &hold{since: time.Now(), wanted: time.Now(), cause: cause(a.Code), answer: a, interval: firstProbe, refused: 1}
	held.next = held.since.Add(held.interval)
	h.open[k] = held
	h.showLocked(k.account, held.cause)
	h.log.Error("account held: its credentials were refused; nothing is given up, probing until they work",
		"account", k.account, "action", k.action, "code", a.Code, "message", a.Message, "api_request", a.RequestID)
}

// releaseLocked ends a hold.
func (h *holds) releaseLocked(k holdKey, held *hold, why string) {
	delete(h.open, k)
	h.showLocked(k.account, held.cause)
	h.log.Info("account released", "why", why, "account", k.account, "action", k.action,
		"held_for", time.Since(held.since).Round(time.Millisecond), "refusals", held.refused)
}

// showLocked says whether an account is held for a cause. Several actions may be.
func (h *holds) showLocked(account, cause string) {
	open := 0.0
	for k, held := range h.open {
		if k.account == account && held.cause == cause {
			open = 1
		}
	}
	h.metrics.breaker.WithLabelValues(account, cause).Set(open)
}

// rest ends a probe; the next is due after the interval.
func (h *hold) rest() {
	h.probing = false
	h.next = time.Now().Add(h.interval)
}

// fleetLook is how long to wait before asking again whether the hold of the
// whole fleet is over.
const fleetLook = time.Second

// setFleet tells of the hold of the whole fleet; nil: there is none.
func (h *holds) setFleet(hold *stop.Hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.fleet
	h.fleet = hold
	switch {
	case hold != nil && (before == nil || *before != *hold):
		h.log.Warn("all calls are held; nothing is given up", "reason", hold.Reason, "by", hold.By, "until", hold.Until)
	case hold == nil && before != nil:
		h.log.Info("the hold of all calls was released", "reason", before.Reason)
	}
	h.fleetLocked()
}

// fleetLocked reports whether the hold of the whole fleet is in force. One
// whose time is over ends here.
func (h *holds) fleetLocked() bool {
	if h.fleet != nil && !h.fleet.InForce(time.Now()) {
		h.log.Info("the hold of all calls is over", "reason", h.fleet.Reason, "until", h.fleet.Until)
		h.fleet = nil
	}
	if h.fleet == nil {
		h.metrics.hold.Set(0)
		return false
	}
	h.metrics.hold.Set(1)
	return true
}

// fleetErr says why the whole fleet makes no calls.
func (h *holds) fleetErr() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.fleetLocked():
		return nil
	case h.fleet.Until.IsZero():
		return fmt.Errorf("all calls are held until somebody releases them: %s", h.fleet.Reason)
	default:
		return fmt.Errorf("all calls are held until %s: %s", h.fleet.Until.UTC().Format(time.RFC3339), h.fleet.Reason)
	}
}

// list names the held accounts.
func (h *holds) list() []stop.HeldAccount {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := make([]stop.HeldAccount, 0, len(h.open))
	for k, v := range h.open {
		held = append(held, stop.HeldAccount{Account: k.account, Action: k.action, Since: v.since.UTC(), Answer: v.answer})
	}
	slices.SortFunc(held, func(a, b stop.HeldAccount) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Action, b.Action))
	})
	return held
}

// err says which accounts are held, and why.
func (h *holds) err() error {
	var held []string
	for _, a := range h.list() {
		held = append(held, fmt.Sprintf("account %s is held since %s: %s refused with %s", a.Account, a.Since.Format(time.RFC3339), a.Action, say(&a.Answer)))
	}
	if len(held) == 0 {
		return nil
	}
	return errors.New(strings.Join(held, "; "))
}

// causes are the labels of the metric andon_breaker_open.
const (
	causeAuth       = "authentication"
	causePermission = "permission"
	causeSource     = "credentials_source"
)

func cause(code string) string {
	family, _, _ := strings.Cut(code, ".")
	switch {
	case code == "AuthFailure.UnauthorizedOperation", family == "UnauthorizedOperation":
		return causePermission
	case family == "ClientError":
		return causeSource
	default:
		return causeAuth
	}
}
