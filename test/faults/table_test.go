package faults

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is what became of one class of faults.
type row struct {
	class    string
	injected int
	requests int

	lost, duplicate, wrong int
	most                   int // arrivals in a sliding second
	recovery               []time.Duration
	// note is said of the row, where numbers do not tell.
	note string
	// control: the row is a guard taken away, and must have found something.
	control bool

	workerKills, brokerKills, leaderChanges int
	state                                   string
}

var table struct {
	mu   sync.Mutex
	rows []*row
}

// newRow begins a row of the table.
func newRow(class string) *row {
	r := &row{class: class}
	table.mu.Lock()
	defer table.mu.Unlock()
	table.rows = append(table.rows, r)
	return r
}

// end says how the test ended.
func (r *row) end(t testing.TB) {
	switch {
	case t.Failed():
		r.state = "FAILED"
	case t.Skipped():
		r.state = "skipped"
	case r.control:
		r.state = "caught"
	default:
		r.state = fmt.Sprint(r.injected)
	}
}

const tableHead = `| fault | injected | survived | requests | lost | duplicate | wrong | most in a second | calls again after, p50 / max | |
|---|---|---|---|---|---|---|---|---|---|
`

func (r *row) String() string {
	recovery := "-"
	if len(r.recovery) > 0 {
		sorted := slices.Sorted(slices.Values(r.recovery))
		recovery = fmt.Sprintf("%s / %s", rounded(sorted[(len(sorted)-1)/2]), rounded(sorted[len(sorted)-1]))
	}
	return fmt.Sprintf("| %s | %d | %s | %d | %d | %d | %d | %d | %s | %s |\n",
		r.class, r.injected, r.state, r.requests, r.lost, r.duplicate, r.wrong, r.most, recovery, r.note)
}

func rounded(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// printTable prints what the rows have found, and keeps it in the file that
// FAULTS_TABLE names.
func printTable() error {
	table.mu.Lock()
	defer table.mu.Unlock()
	if len(table.rows) == 0 {
		return nil
	}
	slices.SortStableFunc(table.rows, func(a, b *row) int { return strings.Compare(order(a.class), order(b.class)) })
	var text strings.Builder
	text.WriteString(tableHead)
	var all row
	for _, r := range table.rows {
		text.WriteString(r.String())
		if r.control {
			continue
		}
		all.injected, all.requests = all.injected+r.injected, all.requests+r.requests
		all.lost, all.duplicate, all.wrong = all.lost+r.lost, all.duplicate+r.duplicate, all.wrong+r.wrong
		all.workerKills, all.brokerKills = all.workerKills+r.workerKills, all.brokerKills+r.brokerKills
		all.leaderChanges += r.leaderChanges
	}
	if fuzzed := os.Getenv("FUZZED"); fuzzed != "" {
		fmt.Fprintf(&text, "| X1 decoders fuzzed | %s | | | | | | | - | |\n", strings.TrimPrefix(fuzzed, "fuzz: "))
	}
	fmt.Fprintf(&text, "\n%d faults, %d requests: lost %d, duplicate %d, wrong %d. %d worker kills, %d broker kills, %d leader changes. Seed %d, AckWait %v.\n",
		all.injected, all.requests, all.lost, all.duplicate, all.wrong, all.workerKills, all.brokerKills, all.leaderChanges, seed, ackWait)
	fmt.Fprintf(&text, "%s, %s/%s, %d cores%s.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), versions())
	fmt.Printf("\n%s\n", text.String())
	if path := os.Getenv("FAULTS_TABLE"); path != "" {
		return os.WriteFile(path, []byte(text.String()), 0o644) //nolint:gosec // for anybody to read
	}
	return nil
}

// order puts the groups of rows in the order in which they are read.
func order(class string) string {
	if i := strings.Index("WBNACXDF", class[:1]); i >= 0 && len(class) > 1 && class[1] >= '0' && class[1] <= '9' {
		return string(rune('0'+i)) + class[1:]
	}
	return "z" + class
}

// versions of what is real in the tests.
func versions() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var out string
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, "github.com/nats-io/nats") || strings.HasSuffix(m.Path, "tencentcloud/as") {
			out += fmt.Sprintf(", %s %s", m.Path[strings.LastIndexByte(strings.TrimSuffix(m.Path, "/v2"), '/')+1:], m.Version)
		}
	}
	return out
}
