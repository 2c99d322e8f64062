package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const folder = "../../testdata/request"

// TestSamples proves that the samples are what they say they are, as far as
// that can be told without a worker.
func TestSamples(t *testing.T) {
	samples, err := loadSamples(folder)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[stop.Source]bool)
	lanes := make(map[stop.Lane]bool)
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			m := s.message()
			r, bad := stop.Decode(stop.Message{Subject: m.Subject, Data: m.Data, Header: m.Header, Stored: time.Now()}, stop.Defaults{})
			if want := slices.Contains(s.Expect.Outcomes, stop.OutcomeInvalid); (bad != nil) != want {
				t.Errorf("invalid: %v, want %v", bad, want)
			}
			seen[r.Source], lanes[r.Lane] = true, true
		})
	}
	for _, source := range []stop.Source{stop.SourceJSON, stop.SourceBinary, stop.SourceStructured} {
		if !seen[source] {
			t.Errorf("no sample has the form %s", source)
		}
	}
	if !lanes[stop.LaneUrgent] {
		t.Error("no sample is urgent")
	}
}

func TestSampleFaults(t *testing.T) {
	const good = "name: a\nsubject: as.refresh.stop\nexpect: {outcomes: [paused]}\n"
	tests := []struct{ name, content, want string }{
		{"unknown key", good + "lane: urgent\n", "field lane not found"},
		{"unknown outcome", "name: a\nsubject: b\nexpect: {outcomes: [stopped]}\n", `"stopped" is no outcome`},
		{"nothing expected", "name: a\nsubject: b\n", "name, subject and expect.outcomes are required"},
		{"no identity", good + "payload: '{}'\n", "needs an Id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadSamples(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := loadSamples(t.TempDir()); err == nil {
		t.Error("an empty folder was accepted")
	}
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(good+"payload: '{\"Id\":\"x\"}'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := loadSamples(dir); err == nil || !strings.Contains(err.Error(), "is the same request, x") {
		t.Errorf("two samples with one id: got %v", err)
	}
}
