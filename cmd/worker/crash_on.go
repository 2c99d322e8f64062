//go:build crashpoints

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// ackWait shortens the wait for what a dead worker held, so that a test with
// hundreds of crashes ends in time.
func ackWait(getenv func(string) string) time.Duration {
	d, err := time.ParseDuration(getenv("ANDON_TEST_ACK_WAIT"))
	if err != nil {
		return 0
	}
	return d
}

// crashPoint kills the process at the point named by ANDON_TEST_CRASH_AT,
// once for each file that can be made in ANDON_TEST_CRASH_DIR.
func crashPoint(getenv func(string) string) func(string) {
	at, dir := getenv("ANDON_TEST_CRASH_AT"), getenv("ANDON_TEST_CRASH_DIR")
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

// crashing crashes before or after a Stop.
func crashing(api handler.API, getenv func(string) string) handler.API {
	point := crashPoint(getenv)
	if point == nil {
		return api
	}
	return crashingAPI{API: api, point: point}
}

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

// forgetful is a ledger that keeps no note of calls, to see that a test which
// relies on the notes notices.
func forgetful(l handler.Ledger, getenv func(string) string) handler.Ledger {
	if getenv("ANDON_TEST_NO_NOTE") == "" {
		return l
	}
	return noNotes{l}
}

type noNotes struct{ handler.Ledger }

func (noNotes) Begin(context.Context, *stop.History) error { return nil }
