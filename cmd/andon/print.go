package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/rivo/uniseg"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// column is one of a table, or of CSV, or of both: one of them shows it under
// head, the other under field, unless that is empty.
type column[T any] struct {
	head, field string
	cell        func(T) string
	color       func(T) string
}

// list writes rows to the output in the format that was asked for. JSON has the
// rows as they are.
func list[T any](s *session, rows []T, columns []column[T]) error {
	switch s.output {
	case formatJSON:
		if rows == nil {
			rows = []T{}
		}
		return printJSON(s, rows)
	case formatJSONL:
		for _, r := range rows {
			if err := printJSON(s, r); err != nil {
				return err
			}
		}
		return nil
	case formatCSV:
		return printCSV(s.out, rows, columns)
	default:
		return printTable(s, rows, columns)
	}
}

// printJSON writes a value: in lines that are indented, or in one.
func printJSON(s *session, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if s.output == formatJSON {
		enc.SetIndent("", "  ")
	}
	err := enc.Encode(v)
	if err == nil {
		_, err = s.out.Write(escapeC1(b.Bytes()))
	}
	if err != nil {
		return failed(fmt.Errorf("write the output: %w", err))
	}
	return nil
}

// escapeC1 escapes in JSON what encoding/json does not, and terminals act on.
func escapeC1(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

func printCSV[T any](w io.Writer, rows []T, columns []column[T]) error {
	out := csv.NewWriter(w)
	write := func(cell func(column[T]) string) {
		var line []string
		for _, c := range columns {
			if c.field != "" {
				line = append(line, cell(c))
			}
		}
		_ = out.Write(line) // told by Error
	}
	write(func(c column[T]) string { return c.field })
	for _, r := range rows {
		write(func(c column[T]) string { return clean(formula(c.cell(r)), "\n\t\r") })
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return failed(fmt.Errorf("write the output: %w", err))
	}
	return nil
}

// formula keeps a spreadsheet from running what somebody wrote as a reason.
func formula(cell string) string {
	if cell != "" && strings.ContainsAny(string([]rune(cell)[:1]), "=+-@\t\r\n＝＋－＠") {
		return "'" + cell
	}
	return cell
}

// gap stands between two columns.
const gap = "  "

// printTable aligns by what is seen: colours take no room, and some characters
// take two places. On a terminal the last column is cut where the line ends.
func printTable[T any](s *session, rows []T, columns []column[T]) error {
	var shown []column[T]
	for _, c := range columns {
		if c.head != "" {
			shown = append(shown, c)
		}
	}
	lines := make([][]string, len(rows)+1)
	wide := make([]int, len(shown))
	for i, c := range shown {
		for n := range lines {
			cell := c.head
			if n > 0 {
				cell = clean(c.cell(rows[n-1]), "")
			}
			lines[n] = append(lines[n], cell)
			wide[i] = max(wide[i], uniseg.StringWidth(cell))
		}
	}
	room := 0
	if s.screen(s.out) {
		room = width(s.out)
	}
	colored := s.colored(s.out)
	var b strings.Builder
	for n, line := range lines {
		var text strings.Builder
		used := 0
		for i, cell := range line {
			if last := i == len(line)-1; last && room > used+3 {
				cell = cut(cell, room-used)
			}
			pad := strings.Repeat(" ", max(0, wide[i]-uniseg.StringWidth(cell)))
			if n > 0 && colored && shown[i].color != nil {
				cell = paint(cell, shown[i].color(rows[n-1]))
			}
			text.WriteString(cell + pad + gap)
			used += wide[i] + len(gap)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	if _, err := io.WriteString(s.out, b.String()); err != nil {
		return failed(fmt.Errorf("write the output: %w", err))
	}
	return nil
}

// cut shortens a text to what fits.
func cut(text string, room int) string {
	if uniseg.StringWidth(text) <= room {
		return text
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if used+g.Width() > room-1 {
			break
		}
		used += g.Width()
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

// clean takes from a text what would act on a terminal: it may come from anybody.
func clean(text, keep string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(keep, r):
			return r
		case r == '\n', r == '\t', r == '\r', unicode.Is(unicode.Zs, r):
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		default:
			return r
		}
	}, text)
}

// The colours, by what they mean.
const (
	good  = "32"
	fair  = "33"
	bad   = "31"
	faint = "2"
)

func paint(text, color string) string {
	if color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func outcomeColor(o stop.Outcome) string {
	switch {
	case o == stop.OutcomePaused, o == stop.OutcomeResumed, o == stop.OutcomeDone, o == stop.OutcomeWouldPause, o == stop.OutcomeWouldResume:
		return good
	case o.Reached():
		return fair
	default:
		return bad
	}
}

// clock is a time as somebody reads it who is in a hurry: today's without a date.
func clock(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case time.Since(t).Abs() < 12*time.Hour:
		return t.Local().Format("15:04:05")
	default:
		return t.Local().Format("2006-01-02 15:04")
	}
}

// stamp is a time as a program reads it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// long is a duration in the two units that matter.
func long(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// took is how long something takes, in words where that is no time at all.
func took(d time.Duration, about string) string {
	if d < time.Second {
		return "less than a second"
	}
	return about + long(d)
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
