package main

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// screen shows progress: bars that are drawn over each other on a terminal, a line
// now and then elsewhere, nothing where nobody wants it.
type screen struct {
	to    io.Writer
	every time.Duration
	bars  bool
	// columns is how wide it is now.
	columns func() int
	// lines that the last drawing has, last plain line that was written.
	lines int
	last  string
}

// How often progress is drawn, or told in plain lines.
const (
	drawEvery = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

func (s *session) newScreen(how followed) *screen {
	switch {
	case how.quiet || s.quiet:
		return &screen{every: time.Hour}
	case s.screen(s.err) && (!how.stream || !terminal(s.out)): // or the results would be drawn over
		return &screen{to: s.err, every: drawEvery, bars: true, columns: func() int { return min(width(s.err), 120) }}
	default:
		return &screen{to: s.err, every: lineEvery}
	}
}

// draw shows how far it has come. Where there is but one target there is nothing to
// show.
func (d *screen) draw(t tally) {
	if d.to == nil || t.total <= 1 && t.decided <= 1 {
		return
	}
	if !d.bars {
		if line := plain(t); line != d.last {
			d.last = line
			fmt.Fprintln(d.to, line)
		}
		return
	}
	lines := d.block(t, d.columns())
	var b strings.Builder
	if d.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.lines)
	}
	room := d.columns() - 1 // a line that is full may move the cursor to the next
	for _, line := range lines {
		b.WriteString("\r\x1b[K" + cut(line, room) + "\n")
	}
	// What a longer drawing has left below.
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(d.to, b.String()) // a terminal that is gone is nobody's error
	d.lines = len(lines)
}

// say tells something beside what is drawn, which goes on below it.
func (d *screen) say(s *session, format string, args ...any) {
	s.say(format, args...)
	d.lines = 0
}

// finish shows the end. In plain lines it says nothing new to somebody who has not
// had to wait.
func (d *screen) finish(t tally) {
	if d.bars || d.last != "" {
		d.draw(t)
	}
}

// plain is the state in a line.
func plain(t tally) string {
	var outcomes []string
	for _, o := range stop.Outcomes() {
		if n := t.counts[o]; n > 0 {
			outcomes = append(outcomes, fmt.Sprintf("%s %d", o, n))
		}
	}
	line := fmt.Sprintf("%s: %d of %d decided", t.request, t.decided, max(t.total, t.decided))
	if len(outcomes) > 0 {
		line += " (" + strings.Join(outcomes, ", ") + ")"
	}
	return line + pace(t)
}

// pace is how fast it goes, and when it will be over.
func pace(t tally) string {
	if t.decided >= t.total || t.told.Total == 0 {
		return ""
	}
	pace := fmt.Sprintf(", %.1f calls/s", t.told.Rate)
	if t.told.End.IsZero() {
		return pace + ", end not known while a quota gets no calls"
	}
	return pace + fmt.Sprintf(", ends about %s (in %s)", t.told.End.Local().Format("15:04:05"), long(time.Until(t.told.End)))
}

// quotasShown is how many quotas have a bar: those that have most before them.
const quotasShown = 8

// block is the state in lines with bars, one for each outcome and for each quota.
func (d *screen) block(t tally, columns int) []string {
	total := max(t.total, t.decided)
	lines := []string{fmt.Sprintf("%s  %d/%d%s", t.request, t.decided, total, pace(t))}
	for _, o := range stop.Outcomes() {
		if n := t.counts[o]; n > 0 {
			lines = append(lines, bar(string(o), n, total, columns))
		}
	}
	quotas := slices.Clone(t.told.Quotas)
	slices.SortStableFunc(quotas, func(a, b stop.QuotaProgress) int {
		return cmp.Compare(b.Total-b.Decided, a.Total-a.Decided)
	})
	for _, q := range quotas[:min(len(quotas), quotasShown)] {
		lines = append(lines, bar(quotaName(q.Quota), q.Decided, q.Total, columns))
	}
	if more := len(quotas) - quotasShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more quotas, which have less before them", more))
	}
	return lines
}

func quotaName(q stop.Quota) string {
	host := q.Endpoint
	if u, err := url.Parse(q.Endpoint); err == nil {
		host = u.Hostname()
	}
	return clean(strings.TrimSpace(q.Account+" "+host), "") // anybody may tell progress
}

// bar is one line.
func bar(name string, n, total, columns int) string {
	const label, numbers, narrow = 28, 26, 70
	if columns < narrow {
		return fmt.Sprintf("%s %d/%d", name, n, total)
	}
	if uniform := cut(name, label); len(uniform) < label {
		name = uniform + strings.Repeat(" ", label-len(uniform))
	} else {
		name = uniform
	}
	b := progressbar.NewOptions(max(total, 1),
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetDescription(name), progressbar.OptionSetWidth(max(columns-label-numbers, 10)),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
	_ = b.Set(n) // writes nowhere
	return strings.TrimSpace(strings.Trim(b.String(), "\r"))
}
