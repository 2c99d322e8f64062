package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A message without a payload whose publisher set a header "Status" looks like
// a word of the broker to clients that judge by the header.
func TestAMessageThatLooksLikeAStatusReachesTheStep(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"100", "400", "404", "408", "409", "423", "503", "nonsense"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			q := openQueue(t, startBroker(t))
			seen := make(chan stop.Message, 10)
			work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
				seen <- m
				return answer(fmt.Sprint("r-", m.Sequence))
			}})
			poison := stop.Message{Subject: stop.SubjectStop, Header: map[string][]string{"Status": {status}, "Description": {"Consumer Deleted"}}}
			for range 2 {
				if _, err := q.Publish(t.Context(), poison); err != nil {
					t.Fatal(err)
				}
				publish(t, q, stop.SubjectStop, "{}")
			}
			empty(t, q, stop.StreamStop)
			if len(seen) != 4 {
				t.Errorf("%d deliveries of 4 messages", len(seen))
			}
			for range len(seen) {
				if m := <-seen; len(m.Data) == 0 && (len(m.Header["Status"]) != 1 || m.Header["Status"][0] != status) {
					t.Errorf("the step saw %+v", m)
				}
			}
			if n := left(t, q, stop.StreamResults); n != 4 {
				t.Errorf("%d results, want 4", n)
			}
		})
	}
}

// Clients in other languages can store headers that this one cannot read.
func TestAMessageWithBrokenHeadersReachesTheStep(t *testing.T) {
	t.Parallel()
	b := startBrokerAt(t, filepath.Join(t.TempDir(), "store"), "127.0.0.1:0")
	q := openQueue(t, b)
	headers := []string{
		"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
		"NATS/1.0\r\nno colon\r\n\r\n",
		"NATS/1.0\r\nA: b\r\n", // not ended
		"NATS/1.0 404 No Messages\r\n\r\n",
		"NATS/1.0 100\r\nNats-Consumer-Stalled: x\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.ClientURL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, h := range append(headers, "NATS/1.0\r\nGood: one\r\n\r\n") {
		const data = ""
		if _, err := fmt.Fprintf(conn, "CONNECT {\"headers\":true,\"verbose\":false,\"no_responders\":true}\r\nHPUB %s %d %d\r\n%s%s\r\n", stop.SubjectStop, len(h), len(h)+len(data), h, data); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, soon, func() error {
		if n := left(t, q, stop.StreamStop); n == 0 {
			return errors.New("nothing stored yet")
		}
		return nil
	})
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict { return answer(fmt.Sprint("r-", m.Sequence)) }})
	eventually(t, soon, func() error {
		if n := left(t, q, stop.StreamResults); n < uint64(len(headers)+1) {
			return fmt.Errorf("%d results of %d messages", n, len(headers)+1)
		}
		return nil
	})
	empty(t, q, stop.StreamStop)
}

func TestVerdictOfBroker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, text string
		over, bad  bool
	}{
		{"100", "Idle Heartbeat", false, false},
		{"404", "No Messages", true, false},
		{"408", "Request Timeout", true, false},
		{"409", "Leadership Change", true, false},
		{"409", "Consumer Deleted", true, true},
		{"409", "Server Shutdown", true, true},
		{"409", "Exceeded MaxWaiting", true, true},
		{"409", "Consumer is push based", true, true},
		{"400", "Bad Request", true, true},
		{"503", "", true, true},
		{"", "", true, true},
	} {
		over, err := verdictOfBroker(nats.Header{"Status": {c.code}, "Description": {c.text}})
		if over != c.over || (err != nil) != c.bad {
			t.Errorf("%s %s: over %v, error %v", c.code, c.text, over, err)
		}
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s %s: the error %q does not say so", c.code, c.text, err)
		}
	}
}

func TestAPullOfAMissingConsumerFails(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	p, err := newPuller(q.nc, source{stream: stop.StreamStop, durable: "missing"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.pull(t.Context(), 1, func() {}, func(*delivery) { t.Error("a message") }); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v", err)
	}
}

// When the broker falls silent, with the connection up, the pull is given up.
func TestASilentBrokerEndsThePull(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	// Somebody takes the pulls and never answers.
	sub, err := q.nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT." + stop.StreamStop + ".silent")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	p, err := newPuller(q.nc, source{stream: stop.StreamStop, durable: "silent"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	before := time.Now()
	if err := p.pull(t.Context(), 1, func() {}, func(*delivery) { t.Error("a message") }); !errors.Is(err, errNoHeartbeat) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(before); took > 3*pullHeartbeat {
		t.Errorf("it took %v", took)
	}
}

// What has come but was not begun when the worker stops is not lost until
// AckWait: the next worker has it at once.
func TestClosingGivesBackWhatWasNotBegun(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	for i := range 5 {
		publish(t, q, stop.SubjectStop, fmt.Sprint(i))
	}
	p, err := newPuller(q.nc, planSource(), 5)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := 5
	if err := p.pull(ctx, 5, func() {}, func(d *delivery) {
		cancel() // the first is begun, the others are on their way
		waiting--
		if err := d.ack(); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	p.close()

	second, err := newPuller(q.nc, planSource(), 5)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	before := time.Now()
	if err := second.pull(t.Context(), waiting, func() {}, func(d *delivery) {
		if err := d.ack(); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > time.Second {
		t.Errorf("the next worker waited %v", took)
	}
	empty(t, q, stop.StreamStop)
}
