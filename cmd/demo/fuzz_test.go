package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// FuzzSample: a sample that is accepted is known again by its result, wherever
// in the stream its request comes to stand.
func FuzzSample(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	const good = "name: a\nsubject: as.refresh.stop\nexpect: {outcomes: [paused, failed], status: RUNNING}\n"
	f.Add([]byte(good + "headers: {nats-msg-id: seq, Nats-Msg-Id: ' '}\n"))
	f.Add([]byte(good + "payload: '{\"Id\":\"seq-1\"}'\n"))
	f.Add([]byte(good + "headers: &h {ce-id: *h}\npayload: !!binary /w==\n"))
	f.Add([]byte(good + "expect:\n"))
	path := filepath.Join(f.TempDir(), "sample.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := loadSample(path)
		if err != nil {
			return
		}
		if s.Name == "" || s.Subject == "" || s.Expect.String() == "" {
			t.Errorf("accepted: %+v", s)
		}
		m := s.message()
		for _, stored := range []time.Time{{}, time.Unix(1_800_000_000, 7)} {
			r, _ := stop.Decode(stop.Message{Subject: m.Subject, Data: m.Data, Header: m.Header, Stored: stored, Sequence: uint64(stored.Unix())}, stop.Defaults{})
			if r.ID != s.id {
				t.Errorf("its result will be of %s, and %s is waited for", r.ID, s.id)
			}
		}
	})
}
