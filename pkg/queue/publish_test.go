package queue

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestARequestArrivesAsItWasPublished(t *testing.T) {
	t.Parallel()
	garbage := make([]byte, 256)
	for i := range garbage {
		garbage[i] = byte(i)
	}
	q := openQueue(t, startBroker(t))
	seen := make(chan stop.Message, 1)
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		seen <- m
		return stop.Verdict{Settled: true}
	}})
	for _, in := range []stop.Message{
		{Subject: "as.refresh.stop", Data: []byte(`{"AutoScalingGroupId":"asg-1"}`)},
		{Subject: "as.refresh.stop.urgent.team-a.x", Data: []byte("{}"), Header: map[string][]string{
			"ce-specversion": {"1.0"}, "CE-Mixed": {"a", "b"}, "traceparent": {"00-1"}, "X-Empty": {""}, "X-Unicode": {"größe €"},
		}},
		{Subject: "as.refresh.stop.bulk", Data: garbage},
		{Subject: "as.refresh.stop.else", Data: bytes.Repeat([]byte("x"), stop.MaxRequestBytes)},
		{Subject: "as.refresh.stop", Data: []byte{}, Header: map[string][]string{"X": {strings.Repeat("y", 8<<10)}}},
		{Subject: "as.refresh.stop", Data: []byte{}},
		{Subject: "as.refresh.stop", Data: []byte("\r\nPING\r\n+OK\r\n")},
	} {
		sequence, err := q.Publish(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := receive(t, seen, "delivery")
		if got.Sequence != sequence || got.Delivered != 1 || got.Stored.IsZero() {
			t.Errorf("delivered as %d (%d times, stored %v), want %d", got.Sequence, got.Delivered, got.Stored, sequence)
		}
		if got.Subject != in.Subject || !slices.Equal(got.Data, in.Data) {
			t.Errorf("%s %.60q arrived as %s %.60q", in.Subject, in.Data, got.Subject, got.Data)
		}
		for name, values := range in.Header {
			if diff := cmp.Diff(values, got.Header[name]); diff != "" {
				t.Errorf("header %s: %s", name, diff)
			}
		}
		if len(got.Header) != len(in.Header) {
			t.Errorf("headers %v arrived as %v", in.Header, got.Header)
		}
	}
}

func TestTheSameMessageIDIsStoredOnce(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	m := stop.Message{Subject: stop.SubjectStop, Data: []byte("{}"), Header: map[string][]string{"Nats-Msg-Id": {"one"}}}
	var sequences []uint64
	for range 3 {
		seq, err := q.Publish(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, seq)
	}
	if n := left(t, q, stop.StreamStop); n != 1 || sequences[0] != sequences[2] {
		t.Errorf("%d requests stored as %v, want one", n, sequences)
	}
}

func TestWhatTheBrokerDoesNotStoreIsNotPromised(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	for rule, m := range map[string]stop.Message{
		"a subject without a stream": {Subject: "as.refresh.other", Data: []byte("{}")},
		"a subject with a space":     {Subject: "as.refresh.stop. x", Data: []byte("{}")},
		"no subject":                 {Data: []byte("{}")},
		"a header that NATS has not": {Subject: stop.SubjectStop, Data: []byte("{}"), Header: map[string][]string{"Ü": {"x"}}},
		"more than the broker takes": {Subject: stop.SubjectStop, Data: make([]byte, 3<<20)},
	} {
		if _, err := q.Publish(t.Context(), m); err == nil {
			t.Errorf("%s: published", rule)
		}
	}
	if err := q.Connected(); err != nil {
		t.Error(err)
	}
}
