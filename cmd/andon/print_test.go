package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"
)

// printing is a session that prints to out, in an environment given as name,
// value, name, value.
func printing(out io.Writer, output string, env ...string) *session {
	getenv := func(name string) string {
		for i := 0; i+1 < len(env); i += 2 {
			if env[i] == name {
				return env[i+1]
			}
		}
		if name == "TERM" {
			return "xterm"
		}
		return ""
	}
	return &session{getenv: getenv, in: strings.NewReader(""), out: out, err: io.Discard, output: output}
}

// notice is a row of a table for tests.
type notice struct {
	Group  string `json:"Group"`
	Reason string `json:"Reason,omitempty"`
	State  string `json:"State"`
}

// noticeColumns are shown in both ways, in tables alone, and in CSV alone.
func noticeColumns() []column[notice] {
	return []column[notice]{
		{head: "GROUP", field: "AutoScalingGroupId", cell: func(n notice) string { return n.Group }},
		{field: "Length", cell: func(n notice) string { return fmt.Sprint(len(n.Reason)) }},
		{head: "REASON", field: "Reason", cell: func(n notice) string { return n.Reason }, color: func(n notice) string {
			if n.State == "ok" {
				return good
			}
			return ""
		}},
		{head: "STATE", cell: func(n notice) string { return n.State }, color: func(notice) string { return bad }},
	}
}

func TestPrintedFormats(t *testing.T) {
	t.Parallel()
	rows := []notice{{"asg-a", "重启 <5xx>", "ok"}, {"asg-bb", `=1+1, "x"`, "over"}, {"asg-c", "", "ok"}, {"asg-d", "two\nlines", "ok"}}
	for _, row := range []struct {
		name, output string
		rows         []notice
		want         string
	}{
		{"a table is aligned by what is seen", formatTable, rows, "" +
			"GROUP   REASON      STATE\n" +
			"asg-a   重启 <5xx>  ok\n" +
			"asg-bb  =1+1, \"x\"   over\n" +
			"asg-c               ok\n" +
			"asg-d   two lines   ok\n"},
		{"CSV has its own columns, and no formula", formatCSV, rows, "" +
			"AutoScalingGroupId,Length,Reason\n" +
			"asg-a,12,重启 <5xx>\n" +
			"asg-bb,9,\"'=1+1, \"\"x\"\"\"\n" +
			"asg-c,0,\n" +
			"asg-d,9,\"two\nlines\"\n"},
		{"JSON has the rows as they are", formatJSON, rows[:2], `[
  {
    "Group": "asg-a",
    "Reason": "重启 <5xx>",
    "State": "ok"
  },
  {
    "Group": "asg-bb",
    "Reason": "=1+1, \"x\"",
    "State": "over"
  }
]
`},
		{"JSON lines have a row each", formatJSONL, rows[2:], `{"Group":"asg-c","State":"ok"}` + "\n" + `{"Group":"asg-d","Reason":"two\nlines","State":"ok"}` + "\n"},
		{"a table of nothing is its heads", formatTable, nil, "GROUP  REASON  STATE\n"},
		{"CSV of nothing is its header", formatCSV, nil, "AutoScalingGroupId,Length,Reason\n"},
		{"JSON of nothing is an empty list", formatJSON, nil, "[]\n"},
		{"JSON of an empty list is one", formatJSON, []notice{}, "[]\n"},
		{"JSON lines of nothing are none", formatJSONL, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := list(printing(&out, row.output), row.rows, noticeColumns()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTableIsAlignedByWhatIsSeen(t *testing.T) {
	t.Parallel()
	// The state begins at the same place, whatever stands before it.
	for _, reason := range []string{"", "a", "重启", "ｆｕｌｌ", "한국어", "e\u0301", "👍🏽", "🇨🇳", "…", "a\x1b[31mb", "a\u202eb", "\xff", "a\tb", strings.Repeat("长", 40)} {
		var out bytes.Buffer
		rows := []notice{{"asg-a", reason, "|"}, {"asg-b", "short", "|"}, {"asg-c", "重启", "|"}}
		if err := printTable(printing(&out, formatTable), rows, noticeColumns()); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("%q makes %d lines of four:\n%s", reason, len(lines), out.String())
		}
		head, _, _ := strings.Cut(lines[0], "STATE")
		for _, line := range lines[1:] {
			before, _, _ := strings.Cut(line, "|")
			if got, want := uniseg.StringWidth(before), uniseg.StringWidth(head); got != want {
				t.Errorf("%q: the state stands at %d, its head at %d:\n%s", reason, got, want, out.String())
			}
		}
	}
}

// onTerminal prints to a terminal that is so wide, and returns the lines on it.
func onTerminal(t *testing.T, columns uint16, f func(w io.Writer)) (lines []string) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 40, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	f(tty)
	const end = "that is all"
	fmt.Fprintln(tty, end)
	for in := bufio.NewScanner(master); in.Scan(); {
		line := strings.TrimSuffix(in.Text(), "\r")
		if line == end {
			return lines
		}
		lines = append(lines, line)
	}
	t.Fatalf("the terminal was closed after %q", lines)
	return nil
}

func TestTableOnATerminal(t *testing.T) {
	t.Parallel()
	rows := []notice{{"asg-a", "重启", "ok"}, {"asg-bb", "x", "the last column is cut"}, {"asg-c", "y", "最后一列被截断了"}}
	for _, row := range []struct {
		name    string
		columns uint16
		env     []string
		noColor bool
		want    []string
	}{
		{"a wide one has colours, which take no room", 80, nil, false, []string{
			"GROUP   REASON  STATE",
			"asg-a   \x1b[32m重启\x1b[0m    \x1b[31mok\x1b[0m",
			"asg-bb  x       \x1b[31mthe last column is cut\x1b[0m",
			"asg-c   y       \x1b[31m最后一列被截断了\x1b[0m",
		}},
		{"a narrow one cuts the last column, and no character in two", 28, nil, false, []string{
			"GROUP   REASON  STATE",
			"asg-a   \x1b[32m重启\x1b[0m    \x1b[31mok\x1b[0m",
			"asg-bb  x       \x1b[31mthe last co…\x1b[0m",
			"asg-c   y       \x1b[31m最后一列被…\x1b[0m",
		}},
		{"one too narrow for anything cuts nothing", 19, nil, false, []string{
			"GROUP   REASON  STATE",
			"asg-a   \x1b[32m重启\x1b[0m    \x1b[31mok\x1b[0m",
			"asg-bb  x       \x1b[31mthe last column is cut\x1b[0m",
			"asg-c   y       \x1b[31m最后一列被截断了\x1b[0m",
		}},
		{"--no-color leaves only the colours out", 28, nil, true, []string{
			"GROUP   REASON  STATE",
			"asg-a   重启    ok",
			"asg-bb  x       the last co…",
			"asg-c   y       最后一列被…",
		}},
		{"and so does NO_COLOR", 80, []string{"NO_COLOR", "1"}, false, []string{
			"GROUP   REASON  STATE",
			"asg-a   重启    ok",
			"asg-bb  x       the last column is cut",
			"asg-c   y       最后一列被截断了",
		}},
		{"a dumb one is written to like a file", 28, []string{"TERM", "dumb"}, false, []string{
			"GROUP   REASON  STATE",
			"asg-a   重启    ok",
			"asg-bb  x       the last column is cut",
			"asg-c   y       最后一列被截断了",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := onTerminal(t, row.columns, func(w io.Writer) {
				s := printing(w, formatTable, row.env...)
				s.noColor = row.noColor
				if err := printTable(s, rows, noticeColumns()); err != nil {
					t.Error(err)
				}
			})
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("on the terminal (-want +got):\n%s", diff)
			}
		})
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	t.Parallel()
	for _, output := range formats {
		err := list(printing(fullDisk{}, output), []notice{{Group: "asg-a"}}, noticeColumns())
		if e, ok := errors.AsType[*exit](err); !ok || e.code != exitFailed || !errors.Is(err, errFull) {
			t.Errorf("%s on a full disk: %v, want exit code %d and %v", output, err, exitFailed, errFull)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		room       int
		want       string
	}{
		{"what fits stays", "paused", 6, "paused"},
		{"what does not ends in an ellipsis", "paused", 5, "paus…"},
		{"nothing stays nothing", "", 1, ""},
		{"wide characters that fit stay", "重启", 4, "重启"},
		{"a wide character is not cut in two", "重启重启", 6, "重启…"},
		{"nor where one place is left over", "重启重启", 7, "重启重…"},
		{"a letter keeps its accents", "e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"an emoji keeps its parts", "👍🏽👍🏽", 3, "👍🏽…"},
		{"one place is the ellipsis", "paused", 1, "…"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := cut(row.text, row.room)
			if got != row.want || uniseg.StringWidth(got) > row.room {
				t.Errorf("got %q of the width %d, want %q", got, uniseg.StringWidth(got), row.want)
			}
		})
	}
}

// Reasons, names and messages come from anybody, and a terminal does as it is
// told.
func TestClean(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text, keep, want string
	}{
		{"text stays", "checkout fails: 5xx > 3 % (INC-1)", "", "checkout fails: 5xx > 3 % (INC-1)"},
		{"text of any script stays", "重启 größe e\u0301 שלום 👍🏽 ☃", "", "重启 größe e\u0301 שלום 👍🏽 ☃"},
		{"a line end is a space", "a\nb\r\nc", "", "a b  c"},
		{"a tab is a space", "a\tb", "", "a b"},
		{"a line end that is wanted stays", "a\nb\tc\r", "\n", "a\nb c "},
		{"colours", "\x1b[31mred\x1b[0m", "", "\ufffd[31mred\ufffd[0m"},
		{"the cursor", "\x1b[2J\x1b[1;1H", "\n", "\ufffd[2J\ufffd[1;1H"},
		{"the title and the clipboard", "\x1b]0;x\a\x1b]52;c;eA==\x1b\\", "", "\ufffd]0;x\ufffd\ufffd]52;c;eA==\ufffd\\"},
		{"a sequence that begins with one character", "a\u009b31mb", "", "a\ufffd31mb"},
		{"control characters", "\x00\a\b\v\f\x7f", "", strings.Repeat("\ufffd", 6)},
		{"text in the other direction", "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c", "", "\ufffdgnp.exe\ufffd \ufffdx\ufffd \ufffd\ufffd"},
		{"what cannot be seen", "a\u200bb\u2060c\ufeffd\u00ade", "", "a\ufffdb\ufffdc\ufffdd\ufffde"},
		{"line ends of other kinds", "a\u0085b\u2028c\u2029d", "", "a\ufffdb\ufffdc\ufffdd"},
		{"tags and private characters", "\U000e0041\ue000", "", "\ufffd\ufffd"},
		{"bytes that are no character", "a\xff\xfeb\xe9\x87", "", "a\ufffd\ufffdb\ufffd\ufffd"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := clean(row.text, row.keep); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestTablesAreClean(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	rows := []notice{{"asg-\x1b[2J", "a\nasg-forged  paused", "\u202eok"}}
	if err := printTable(printing(&out, formatTable), rows, noticeColumns()); err != nil {
		t.Fatal(err)
	}
	want := "GROUP     REASON                STATE\nasg-\ufffd[2J  a asg-forged  paused  \ufffdok\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestFormula(t *testing.T) {
	t.Parallel()
	for _, cell := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1+1", "=", `=HYPERLINK("x";"y")`, "=重启"} {
		if got, want := formula(cell), "'"+cell; got != want {
			t.Errorf("%q could be run: got %q, want %q", cell, got, want)
		}
	}
	for _, cell := range []string{"", "asg-a", "a=1", "1-1", "'=1", " =1", "重启", "\xbd"} {
		if got := formula(cell); got != cell {
			t.Errorf("%q is no formula: got %q", cell, got)
		}
	}
}

func TestLong(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		math.MinInt64:               "0s",
		-time.Hour:                  "0s",
		0:                           "0s",
		999 * time.Millisecond:      "0s",
		time.Second:                 "1s",
		time.Minute - 1:             "59s",
		time.Minute:                 "1m00s",
		time.Minute + 9*time.Second: "1m09s",
		time.Hour - 1:               "59m59s",
		time.Hour:                   "1h00m",
		3*time.Hour + 7*time.Minute + 59*time.Second: "3h07m",
		48*time.Hour - 1: "47h59m",
		48 * time.Hour:   "2d00h",
		30*24*time.Hour + 5*time.Hour + 59*time.Minute:   "30d05h",
		1000*24*time.Hour + 23*time.Hour + time.Second*9: "1000d23h",
	} {
		if got := long(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 groups", 1: "1 group", 2: "2 groups", 21: "21 groups", 10_000: "10000 groups"} {
		if got := count(n, "group"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const near, far = "15:04:05", "2006-01-02 15:04"
		now := time.Now().Add(123 * time.Millisecond)
		<-time.After(123 * time.Millisecond) // the bubble's clock
		for _, row := range []struct {
			name   string
			at     time.Time
			layout string
		}{
			{"now", now, near},
			{"a moment ago", now.Add(-time.Second), near},
			{"half a day ago", now.Add(-12*time.Hour + 1), near},
			{"longer ago", now.Add(-12 * time.Hour), far},
			{"days ago", now.AddDate(0, 0, -3), far},
			{"soon", now.Add(12*time.Hour - 1), near},
			{"later", now.Add(12 * time.Hour), far},
			{"a time of another zone is shown as that of this one", now.In(time.FixedZone("", 11*3600+1800)), near},
		} {
			if got, want := clock(row.at), row.at.Local().Format(row.layout); got != want {
				t.Errorf("%s: got %q, want %q", row.name, got, want)
			}
		}
		if got := clock(time.Time{}); got != "" {
			t.Errorf("no time: got %q", got)
		}
	})
}

func TestStamp(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"":                               {},
		"2026-11-23T04:00:00Z":           time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 8*3600)),
		"2026-11-23T04:00:00.000000005Z": time.Date(2026, 11, 23, 4, 0, 0, 5, time.UTC),
	} {
		if got := stamp(at); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
