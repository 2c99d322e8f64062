// Package logs makes the logger of a program. It never decides what is logged.
package logs

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// Levels and Formats are those that New knows.
var (
	Levels  = []string{"debug", "info", "warn", "error"}
	Formats = []string{"auto", "text", "json"}
)

// New writes to w what is of the level or above. The format auto is text on a terminal
// and json elsewhere.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	if !slices.Contains(Formats, format) {
		return nil, fmt.Errorf("--log-format %q: must be one of %s", format, strings.Join(Formats, ", "))
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "text" || format == "auto" && terminal(w) {
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return slog.New(slog.NewJSONHandler(w, opts)), nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
