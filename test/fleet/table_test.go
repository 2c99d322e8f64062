package fleet

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is what a run of the benchmark has measured.
type row struct {
	broker  string
	rate    float64
	members int
	network string

	used           float64 // share of the quota
	most           int     // arrivals in a sliding second
	throttled      int
	void, failed   int
	backlog, idle  []time.Duration // waits for a permit
	fairness       float64         // smallest share of a member by the largest
	messages       float64         // of NATS, a permit
	cpu            time.Duration   // of the members, a permit
	idleMessages   float64         // of NATS, a permit
	idleCPU        time.Duration   // of the members, a permit
	backlogPermits int
}

// add takes what the members say of the backlog.
func (r *row) add(tallies []tally) {
	least, largest := tallies[0].Permits, 0
	var messages uint64
	var cpu time.Duration
	for _, t := range tallies {
		least, largest = min(least, t.Permits), max(largest, t.Permits)
		r.backlogPermits += t.Permits
		r.void += t.Void
		r.failed += t.Failed
		r.backlog = append(r.backlog, t.Waits...)
		messages += t.Messages
		cpu += t.CPU
	}
	r.fairness = float64(least) / float64(max(largest, 1))
	r.messages, r.cpu = each(messages, cpu, r.backlogPermits)
}

// addIdle takes what they say of single calls.
func (r *row) addIdle(tallies []tally) {
	var messages uint64
	var cpu time.Duration
	for _, t := range tallies {
		r.idle = append(r.idle, t.Waits...)
		messages += t.Messages
		cpu += t.CPU
	}
	r.idleMessages, r.idleCPU = each(messages, cpu, len(r.idle))
}

func each(messages uint64, cpu time.Duration, permits int) (float64, time.Duration) {
	permits = max(permits, 1)
	return float64(messages) / float64(permits), cpu / time.Duration(permits)
}

// percentile of the waits, in milliseconds.
func percentile(waits []time.Duration, p float64) float64 {
	if len(waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(waits))
	return milliseconds(sorted[min(int(p*float64(len(sorted))), len(sorted)-1)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// report hands the numbers to the benchmark's output.
func (r *row) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // how long a run takes is set
	for _, m := range []struct {
		value float64
		unit  string
	}{
		{100 * r.used, "%quota"},
		{float64(r.most), "most/s"},
		{float64(r.throttled), "throttled"},
		{percentile(r.backlog, 0.5), "ms-backlog-p50"},
		{percentile(r.backlog, 0.99), "ms-backlog-p99"},
		{percentile(r.idle, 0.5), "ms-idle-p50"},
		{percentile(r.idle, 0.99), "ms-idle-p99"},
		{r.fairness, "fairness"},
		{r.messages, "msgs/permit"},
		{milliseconds(r.cpu), "cpu-ms/permit"},
		{r.idleMessages, "idle-msgs/permit"},
	} {
		b.ReportMetric(m.value, m.unit)
	}
}

const tableHead = `| broker | rate | workers | network | use of the quota | most in a second | throttled | void | backlog wait p50 / p99 ms | idle wait p50 / p99 ms | fairness | messages a permit, backlog / idle | CPU ms a permit, backlog / idle |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

func (r *row) String() string {
	return fmt.Sprintf("| %s | %g | %d | %s | %.1f %% | %d | %d | %d | %.0f / %.0f | %.1f / %.1f | %.2f | %.1f / %.1f | %.2f / %.2f |\n",
		r.broker, r.rate, r.members, r.network, 100*r.used, r.most, r.throttled, r.void,
		percentile(r.backlog, 0.5), percentile(r.backlog, 0.99), percentile(r.idle, 0.5), percentile(r.idle, 0.99),
		r.fairness, r.messages, r.idleMessages, milliseconds(r.cpu), milliseconds(r.idleCPU))
}

// table prints what the rows have measured, and keeps it in the file that
// BENCH_TABLE names.
func table(b *testing.B, rows []*row) {
	b.Helper()
	if len(rows) == 0 {
		return
	}
	text := tableText(rows)
	fmt.Printf("\n%s\n", text)
	keep(b, text)
}

func tableText(rows []*row) string {
	var text strings.Builder
	text.WriteString(tableHead)
	for _, r := range rows {
		text.WriteString(r.String())
	}
	return text.String()
}

// keep writes after every row, so that a run that is cut short is of use.
func keep(b *testing.B, text string) {
	b.Helper()
	if path := os.Getenv("BENCH_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // for anybody to read
			b.Error(err)
		}
	}
}
