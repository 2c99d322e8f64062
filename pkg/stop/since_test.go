package stop_test

import (
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestSinceIsReadFromItsHeader(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 8, 24, 439_315_731, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-23T01:08:24.439315731Z":      at,
		"2026-11-23T09:08:24.439315731+08:00": at,
		"yesterday":                           {},
		"":                                    {},
	} {
		m := stop.Message{Subject: stop.SubjectStop, Data: []byte(`{"Region":"ap-guangzhou","AutoScalingGroupId":"asg-a"}`), Header: map[string][]string{"andon-since": {text}}}
		r, bad := stop.Decode(m, stop.Defaults{})
		if bad != nil || !r.Since.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, r.Since, bad, want)
		}
		// It must not keep the task from being stored, whatever it is.
		if _, err := r.Since.MarshalText(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
