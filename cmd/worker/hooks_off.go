//go:build !hooks

package main

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/queue"
)

// hooks let a test end the process at an exact place, and take away one of the
// guards that andon's promises rest on, to see that the test notices. They exist
// only in programs built with the tag hooks; here they are nothing.
type hooks struct{}

func newHooks(func(string) string) hooks { return hooks{} }

func (hooks) ackWait() time.Duration { return 0 }

func (hooks) crash() func(point string) { return nil }

func (hooks) api(a handler.API) handler.API { return a }

func (hooks) ledger(l handler.Ledger) handler.Ledger { return l }

func (hooks) permits(b jetstream.KeyValue, _ string) jetstream.KeyValue { return b }

func (hooks) worker(w queue.Worker, _ *queue.Queue) queue.Worker { return w }
