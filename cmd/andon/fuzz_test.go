package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// FuzzTargets: a file names targets that may be asked for, each once, or says
// where it does not; and what it names can be written and read again.
func FuzzTargets(f *testing.F) {
	for _, row := range targetFiles() {
		if len(row.text) < 1000 {
			f.Add(row.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		targets, err := readTargets("groups.csv", strings.NewReader(text))
		if (err == nil) != (len(targets) > 0) {
			t.Fatalf("names %d targets, with the error %v", len(targets), err)
		}
		if err != nil {
			checkFaults(t, err)
			return
		}
		var lines strings.Builder
		enc := json.NewEncoder(&lines)
		seen := make(map[stop.Target]bool)
		for _, target := range targets {
			if bad := target.Check(); bad != nil || seen[target] {
				t.Errorf("names %+v: %v, twice: %v", target, bad, seen[target])
			}
			seen[target] = true
			if err := enc.Encode(target); err != nil {
				t.Fatal(err)
			}
		}
		again, err := readTargets("again", strings.NewReader(lines.String()))
		if diff := cmp.Diff(targets, again); err != nil || diff != "" {
			t.Errorf("written and read again: %v (-first +again):\n%s", err, diff)
		}
	})
}

// checkFaults checks that each fault is one printable line that says where to look.
func checkFaults(t *testing.T, err error) {
	t.Helper()
	faults := strings.Split(err.Error(), "\n")
	if len(faults) > maxFaults+1 {
		t.Errorf("tells %d faults", len(faults))
	}
	for _, fault := range faults {
		if !strings.HasPrefix(fault, "groups.csv:") || strings.ContainsFunc(fault, func(r rune) bool { return !unicode.IsPrint(r) }) || len(fault) > 1000 {
			t.Errorf("the fault %q is no printable line with its place", fault)
		}
	}
}
