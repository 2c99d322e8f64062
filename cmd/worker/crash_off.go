//go:build !crashpoints

package main

import (
	"time"

	"github.com/seed-a7c21902/andon/pkg/handler"
)

// Crash points let a test end the process at an exact place. They exist only
// in programs built with the tag crashpoints; here they are nothing.

func ackWait(func(string) string) time.Duration { return 0 }

func crashPoint(func(string) string) func(point string) { return nil }

func crashing(api handler.API, _ func(string) string) handler.API { return api }

func forgetful(l handler.Ledger, _ func(string) string) handler.Ledger { return l }
