package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// restart stops a broker and starts it again on the same port and store.
func restart(t *testing.T, b *broker.Broker, dir string) *broker.Broker {
	t.Helper()
	at := strings.TrimPrefix(b.ClientURL(), "nats://")
	b.Shutdown()
	return startBrokerAt(t, dir, at)
}

func TestARestartOfTheBrokerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	q := openQueue(t, b, ackWait(2*time.Second))
	publisher := openQueue(t, b)
	var done atomic.Int32
	work(t, q, Worker{
		Plan: planToTask(stop.LaneNormal),
		Execute: func(ctx context.Context, m stop.Message) stop.Verdict {
			done.Add(1)
			return executeTask(ctx, m)
		},
	})
	const requests = 200
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for i := range requests {
			// The publisher's side of the promise: no PubAck, publish again.
			eventually(t, 2*soon, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := publisher.Publish(ctx, stop.Message{Subject: stop.SubjectStop, Data: fmt.Append(nil, "r-", i)})
				return err
			})
		}
	}()
	for n := range 2 {
		eventually(t, 2*soon, func() error {
			if int(done.Load()) < (n+1)*requests/4 {
				return fmt.Errorf("%d done", done.Load())
			}
			return nil
		})
		b = restart(t, b, dir)
	}
	receive(t, stored, "end of publishing")
	eventually(t, soon, q.Connected)
	answered(t, q, requests)
	if n := left(t, q, stop.StreamResults); n != requests {
		t.Errorf("%d results, want %d", n, requests)
	}
	// A PubAck that the restart cut off leaves one result stored and not counted.
	if n := metric(t, q, "andon_results_total", "lane=normal", "outcome=paused"); n > requests || n < requests-20 {
		t.Errorf("%v results counted, want %d", n, requests)
	}
	eventually(t, soon, q.Consuming)
}

// answered waits until every request has its result. What is left in the
// queues is not looked at: a broker that is shut down between an
// acknowledgement and the removal that follows from it keeps the message and
// never delivers it again.
func answered(t *testing.T, q *Queue, requests int) {
	t.Helper()
	for i := range requests {
		eventually(t, soon, func() error {
			r, err := q.Result(t.Context(), fmt.Sprint("r-", i))
			if err == nil && r == nil {
				err = fmt.Errorf("r-%d has no result", i)
			}
			return err
		})
	}
}

func TestAnIdleWorkerGoesOnSoonAfterARestartOfTheBroker(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	q := openQueue(t, b)
	seen := make(chan struct{}, 10)
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		seen <- struct{}{}
		return planned(ctx, m)
	}})
	eventually(t, soon, q.Consuming)
	b = restart(t, b, dir)
	publisher := openQueue(t, b)
	eventually(t, soon, q.Connected)
	before := time.Now()
	publish(t, publisher, stop.SubjectStop, "r")
	receive(t, seen, "delivery")
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("delivered %v after the connection was restored", took)
	}
}

// A connection that breaks takes the pull with it, without a word. The next
// one must not wait for a heartbeat to be missed.
func TestABrokenConnectionIsPulledOverAgainAtOnce(t *testing.T) {
	t.Parallel()
	b := startBrokerAt(t, filepath.Join(t.TempDir(), "store"), "127.0.0.1:0")
	q, publisher := openQueue(t, b), openQueue(t, b)
	seen := make(chan struct{}, 10)
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		seen <- struct{}{}
		return planned(ctx, m)
	}})
	// The first message proves that the second finds a pull waiting.
	publish(t, publisher, stop.SubjectStop, "r-1")
	receive(t, seen, "delivery")
	empty(t, publisher, stop.StreamStop)
	before := time.Now()
	if err := q.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	publish(t, publisher, stop.SubjectStop, "r-2")
	receive(t, seen, "delivery")
	if took := time.Since(before); took > pullHeartbeat {
		t.Errorf("delivered after %v", took)
	}
}

// A worker in the middle of a step when the broker goes: the result is stored
// when it comes back, by whoever holds the message then.
func TestAResultOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	q := openQueue(t, b, ackWait(5*time.Second))
	begun, release := make(chan struct{}, 10), make(chan struct{})
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- struct{}{}
		<-release
		return planned(ctx, m)
	}})
	publish(t, q, stop.SubjectStop, "r")
	receive(t, begun, "delivery")
	b.Shutdown()
	eventually(t, soon, func() error {
		if q.Connected() == nil {
			return errors.New("still connected")
		}
		return nil
	})
	close(release)
	startBrokerAt(t, dir, strings.TrimPrefix(b.ClientURL(), "nats://"))
	eventually(t, soon, q.Connected)
	empty(t, q, stop.StreamStop)
	if n := left(t, q, stop.StreamResults); n != 1 {
		t.Errorf("%d results, want 1", n)
	}
}

func TestPublishingWhileTheBrokerIsAwayFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	q := openQueue(t, b)
	b.Shutdown()
	for _, when := range []string{"at once", "later"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := q.Publish(ctx, stop.Message{Subject: stop.SubjectStop, Data: []byte("{}")}); err == nil {
			t.Errorf("%s: a request was promised that no broker has", when)
		}
		cancel()
		eventually(t, soon, func() error {
			if q.Connected() == nil {
				return errors.New("still connected")
			}
			return nil
		})
	}
	startBrokerAt(t, dir, strings.TrimPrefix(b.ClientURL(), "nats://"))
	eventually(t, soon, q.Connected)
	if err := q.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := left(t, q, stop.StreamStop); n != 0 {
		t.Errorf("%d requests were sent behind the caller's back", n)
	}
}

func TestAConnectionClosedForGoodEndsWork(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	begun, release := make(chan struct{}, 1), make(chan struct{})
	end := work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- struct{}{}
		<-ctx.Done()
		<-release
		return planned(ctx, m)
	}})
	publish(t, q, stop.SubjectStop, "r")
	receive(t, begun, "delivery")
	before := time.Now()
	q.nc.Close()
	close(release)
	err := receive(t, q.Failed(), "failure")
	if !errors.Is(err, ErrClosed) {
		t.Errorf("Failed says %v, want ErrClosed", err)
	}
	if err := end(); !errors.Is(err, ErrClosed) {
		t.Errorf("Work returned %v, want ErrClosed", err)
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("Work returned after %v", took)
	}
	if err := q.Connected(); err == nil || !strings.Contains(err.Error(), "CLOSED") {
		t.Errorf("Connected says %v", err)
	}
}

// Credentials that were withdrawn are refused at each reconnect, and the
// client gives up for good.
func TestWithdrawnCredentialsEndWork(t *testing.T) {
	t.Parallel()
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 16 << 30, Username: "andon", Password: "before",
	}
	s := startServer(t, opts)
	at := s.Addr().(*net.TCPAddr).Port
	q := openQueue(t, nil, func(c *Config) { c.URL = fmt.Sprintf("nats://andon:before@127.0.0.1:%d", at) })
	end := work(t, q, Worker{Plan: planned})
	eventually(t, soon, q.Consuming)
	s.Shutdown()
	s.WaitForShutdown()
	again := *opts
	again.Port, again.Password = at, "after"
	startServer(t, &again)
	err := receive(t, q.Failed(), "failure")
	if !errors.Is(err, ErrClosed) || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("Failed says %v, want ErrClosed and why", err)
	}
	if err := end(); !errors.Is(err, ErrClosed) {
		t.Errorf("Work returned %v, want ErrClosed", err)
	}
}

func TestOpenWithWrongCredentialsFails(t *testing.T) {
	t.Parallel()
	s := startServer(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Username: "andon", Password: "right"})
	before := time.Now()
	_, err := Open(t.Context(), config(t, nil, func(c *Config) {
		c.URL = strings.Replace(s.ClientURL(), "nats://", "nats://andon:wrong@", 1)
	}))
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(before); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestOpenWithoutJetStreamFails(t *testing.T) {
	t.Parallel()
	s := startServer(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := Open(ctx, config(t, nil, func(c *Config) { c.URL = s.ClientURL() }))
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "jetstream") {
		t.Errorf("got %v", err)
	}
}

// unused is an address on which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestOpenWaitsForABrokerThatComesLater(t *testing.T) {
	t.Parallel()
	at := unused(t)
	l, logger := newLog(t)
	opened := make(chan error, 1)
	go func() {
		q, err := Open(t.Context(), config(t, nil, func(c *Config) { c.URL, c.Log = "nats://"+at, logger }))
		if err == nil {
			q.Close()
		}
		opened <- err
	}()
	eventually(t, soon, func() error {
		if !strings.Contains(l.String(), "waiting for NATS") {
			return errors.New("no word about the wait")
		}
		return nil
	})
	startBrokerAt(t, filepath.Join(t.TempDir(), "store"), at)
	if err := receive(t, opened, "answer of Open"); err != nil {
		t.Error(err)
	}
	if n := strings.Count(l.String(), "waiting for NATS"); n != 1 {
		t.Errorf("the wait was told %d times", n)
	}
}

func TestOpenGivesUpWithTheCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	opened := make(chan error, 1)
	at := unused(t)
	go func() {
		_, err := Open(ctx, config(t, nil, func(c *Config) { c.URL = "nats://" + at }))
		opened <- err
	}()
	nothing(t, opened, 200*time.Millisecond, "Open did not wait")
	cancel(cause)
	if err := receive(t, opened, "answer of Open"); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestConnectedAndConsumingSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	q := openQueue(t, b)
	if err := q.Connected(); err != nil {
		t.Error(err)
	}
	if err := q.Consuming(); err == nil || err.Error() != "not started" {
		t.Errorf("before Work, Consuming says %v", err)
	}
	work(t, q, Worker{Plan: planned})
	eventually(t, soon, q.Consuming)
	b.Shutdown()
	eventually(t, soon, func() error {
		connected, consuming := q.Connected(), q.Consuming()
		switch {
		case connected == nil || !strings.Contains(connected.Error(), "RECONNECTING") || !strings.Contains(connected.Error(), b.ClientURL()):
			return fmt.Errorf("Connected says %w", connected)
		case consuming == nil || !strings.Contains(consuming.Error(), "plan: ") || !strings.Contains(consuming.Error(), "since"):
			return fmt.Errorf("Consuming says %w", consuming)
		}
		return nil
	})
	startBrokerAt(t, dir, strings.TrimPrefix(b.ClientURL(), "nats://"))
	eventually(t, soon, q.Connected)
	eventually(t, soon, q.Consuming)
}
