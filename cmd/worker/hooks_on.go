//go:build hooks

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// hooks let a test end the process at an exact place, and take away one of the
// guards that andon's promises rest on, to see that the test notices.
type hooks struct{ getenv func(string) string }

func newHooks(getenv func(string) string) hooks { return hooks{getenv} }

// The guards that ANDON_TEST_WITHOUT takes away.
const (
	withoutOrder    = "order"    // acknowledges first and stores the result then
	withoutLedger   = "ledger"   // asks nobody whether there is a result, and stores another
	withoutReadBack = "readback" // judges a conflict by what was read before the call
	withoutNote     = "note"     // keeps no note of its calls
	withoutFleet    = "fleet"    // keeps the quota for itself
)

func (h hooks) without(guard string) bool { return h.getenv("ANDON_TEST_WITHOUT") == guard }

// ackWait shortens the wait for what a dead worker held, so that a test with
// hundreds of crashes ends in time.
func (h hooks) ackWait() time.Duration {
	d, err := time.ParseDuration(h.getenv("ANDON_TEST_ACK_WAIT"))
	if err != nil {
		return 0
	}
	return d
}

// crash kills the process at the point named by ANDON_TEST_CRASH_AT, once for
// each file that can be made in ANDON_TEST_CRASH_DIR.
func (h hooks) crash() func(string) {
	at, dir := h.getenv("ANDON_TEST_CRASH_AT"), h.getenv("ANDON_TEST_CRASH_DIR")
	if at == "" {
		return nil
	}
	return func(point string) {
		name, id, _ := strings.Cut(point, " ")
		if name != at {
			return
		}
		f, err := os.OpenFile(filepath.Join(dir, id), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return // crashed here before
		}
		f.Close()
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

func (h hooks) api(a handler.API) handler.API {
	if point := h.crash(); point != nil {
		a = crashingAPI{API: a, point: point}
	}
	if h.without(withoutReadBack) {
		a = &staleAPI{API: a, first: make(map[string]stop.Activity)}
	}
	return a
}

// crashingAPI crashes before or after a Stop.
type crashingAPI struct {
	handler.API
	point func(string)
}

func (c crashingAPI) Stop(ctx context.Context, t stop.Target) stop.Answer {
	c.point("before-call " + t.RefreshActivityID)
	a := c.API.Stop(ctx, t)
	c.point("after-call " + t.RefreshActivityID)
	return a
}

// staleAPI shows every activity as it was when it was first read.
type staleAPI struct {
	handler.API

	mu    sync.Mutex
	first map[string]stop.Activity
}

func (s *staleAPI) Activities(ctx context.Context, scope stop.Scope) (stop.Page, stop.Answer) {
	page, answer := s.API.Activities(ctx, scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range page.Activities {
		if old, ok := s.first[a.RefreshActivityID]; ok {
			page.Activities[i] = old
		} else {
			s.first[a.RefreshActivityID] = a
		}
	}
	return page, answer
}

func (h hooks) ledger(l handler.Ledger) handler.Ledger {
	switch {
	case h.without(withoutNote):
		return noNotes{l}
	case h.without(withoutLedger):
		return noLedger{l}
	case h.without(withoutReadBack):
		return noDoubt{l}
	default:
		return l
	}
}

type noNotes struct{ handler.Ledger }

func (noNotes) Begin(context.Context, *stop.Call) error { return nil }

type noLedger struct{ handler.Ledger }

func (noLedger) Result(context.Context, string) (*stop.Result, error) { return nil, nil }

func (noLedger) Planned(context.Context, string) (bool, error) { return false, nil }

func (noLedger) Standing(context.Context, string) (map[string]bool, error) {
	return map[string]bool{}, nil
}

// noDoubt forgets that the fate of a call is not known.
type noDoubt struct{ handler.Ledger }

func (n noDoubt) History(ctx context.Context, key string) (stop.History, error) {
	h, err := n.Ledger.History(ctx, key)
	return stop.History{Key: h.Key, Revision: h.Revision, Activity: h.Activity}, err
}

func (n noDoubt) Call(ctx context.Context, t stop.Target) (stop.Call, error) {
	c, err := n.Ledger.Call(ctx, t)
	return stop.Call{Target: t, Revision: c.Revision, StoredAt: c.StoredAt}, err
}

// permits gives each process a schedule of its own.
func (h hooks) permits(b jetstream.KeyValue, process string) jetstream.KeyValue {
	if !h.without(withoutFleet) {
		return b
	}
	return ownSchedule{KeyValue: b, process: "." + process}
}

type ownSchedule struct {
	jetstream.KeyValue

	process string
}

func (o ownSchedule) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return o.KeyValue.Get(ctx, key+o.process)
}

func (o ownSchedule) GetRevision(ctx context.Context, key string, revision uint64) (jetstream.KeyValueEntry, error) {
	return o.KeyValue.GetRevision(ctx, key+o.process, revision)
}

func (o ownSchedule) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	return o.KeyValue.Create(ctx, key+o.process, value, opts...)
}

func (o ownSchedule) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return o.KeyValue.Update(ctx, key+o.process, value, revision)
}

func (h hooks) worker(w queue.Worker, q *queue.Queue) queue.Worker {
	if poison := h.getenv("ANDON_TEST_PANIC"); poison != "" {
		w.Plan, w.Execute = panicky(w.Plan, "plan-"+poison), panicky(w.Execute, poison)
	}
	switch {
	case h.without(withoutOrder):
		w.Execute = ending(w.Execute, late(q))
	case h.without(withoutLedger):
		w.Execute = ending(w.Execute, again(q))
	}
	return w
}

// panicky crashes at messages that hold the poison.
func panicky(next stop.Step, poison string) stop.Step {
	return func(ctx context.Context, m stop.Message) stop.Verdict {
		if bytes.Contains(m.Data, []byte(poison)) {
			panic("poison")
		}
		return next(ctx, m)
	}
}

// ending has a step's results stored by other means than the queue's, which is
// left with the acknowledgement.
func ending(next stop.Step, store func(context.Context, []stop.Result) error) stop.Step {
	return func(ctx context.Context, m stop.Message) stop.Verdict {
		v := next(ctx, m)
		if !v.Final() || len(v.Results) == 0 {
			return v
		}
		if store(ctx, v.Results) != nil {
			return stop.Verdict{Retry: time.Second}
		}
		return stop.Verdict{Settled: true, History: v.History}
	}
}

// late stores results when their message has been acknowledged.
func late(q *queue.Queue) func(context.Context, []stop.Result) error {
	return func(ctx context.Context, results []stop.Result) error {
		time.AfterFunc(100*time.Millisecond, func() {
			for _, r := range results {
				_ = publish(context.WithoutCancel(ctx), q, stop.ResultSubject(r.Key()), r) // lost, as it may be
			}
		})
		return nil
	}
}

// again stores results whether there are any or not. The stream refuses a second
// one on a subject, so each has a subject of its own.
func again(q *queue.Queue) func(context.Context, []stop.Result) error {
	return func(ctx context.Context, results []stop.Result) error {
		for _, r := range results {
			if err := publish(ctx, q, fmt.Sprintf("%s.%d", stop.ResultSubject(r.Key()), time.Now().UnixNano()), r); err != nil {
				return err
			}
		}
		return nil
	}
}

func publish(ctx context.Context, q *queue.Queue, subject string, r stop.Result) error {
	header, data, err := r.Encode()
	if err != nil {
		return err
	}
	_, err = q.Publish(ctx, stop.Message{Subject: subject, Header: header, Data: data})
	return err
}
