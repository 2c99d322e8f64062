package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// logAdapter is the server's Logger. Its notices are a running commentary, so they
// go to debug; its debug and trace lines stay off.
//
// The server reports a failed start only as a fatal line. The first one is kept for
// [Start] to return.
type logAdapter struct {
	to *slog.Logger

	mu      sync.Mutex
	started bool  // guarded by mu; a fatal line is an ordinary error from then on
	first   error // guarded by mu
}

func (l *logAdapter) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l *logAdapter) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l *logAdapter) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l *logAdapter) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l *logAdapter) Tracef(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }

func (l *logAdapter) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.first != nil {
		l.line(slog.LevelError, format, v)
		return
	}
	l.first = startError{text: fmt.Sprintf(format, v...), cause: firstError(v)}
}

// fatal ends the start and is what made it fail, or nil.
func (l *logAdapter) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = true
	return l.first
}

func (l *logAdapter) line(level slog.Level, format string, v []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, "embedded broker", "line", fmt.Sprintf(format, v...))
	}
}

// startError is a fatal line of the server with the error it was made from.
type startError struct {
	text  string
	cause error
}

func (e startError) Error() string { return e.text }
func (e startError) Unwrap() error { return e.cause }

func firstError(values []any) error {
	for _, v := range values {
		if err, ok := v.(error); ok {
			return err
		}
	}
	return nil
}
