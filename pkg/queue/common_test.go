package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// soon is how long a test waits for what happens at once on an idle machine. It
// is shorter than the AckWait, so that a message that was forgotten until then
// is seen; inTime is for what a busy disk alone makes long.
const (
	soon   = 25 * time.Second
	inTime = 2 * time.Minute
)

// eventually asks until the answer is nil. It is the only waiter of the tests.
func eventually(t testing.TB, within time.Duration, ask func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %v", within, err)
		}
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(soon):
		t.Fatalf("no %s within %v", what, soon)
		panic("not reached")
	}
}

// nothing is a quiet moment: something that must not happen has had time to.
func nothing[T any](t testing.TB, ch <-chan T, during time.Duration, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("%s: %v", what, v)
	case <-time.After(during):
	}
}

// log writes to the test until it ends; goroutines of the broker's client may
// live a moment longer.
type log struct {
	mu   sync.Mutex
	t    testing.TB // nil after the test
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newLog(t testing.TB) (*log, *slog.Logger) {
	l := &log{t: t}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.t = nil
	})
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func startBroker(t testing.TB) *broker.Broker {
	t.Helper()
	return startBrokerAt(t, filepath.Join(t.TempDir(), "store"), "off")
}

func startBrokerAt(t testing.TB, dir, listen string) *broker.Broker {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{StoreDir: dir, Listen: listen, AllowTemporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	return b
}

// config is that of a worker on this broker.
func config(t testing.TB, b *broker.Broker, change ...func(*Config)) Config {
	t.Helper()
	_, logger := newLog(t)
	c := Config{Name: t.Name(), Registerer: prometheus.NewRegistry(), Log: logger}
	if b != nil {
		if c.URL = b.ClientURL(); c.URL == "" {
			c.InProcess = b
		}
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func openQueue(t testing.TB, b *broker.Broker, change ...func(*Config)) *Queue {
	t.Helper()
	return open(t, config(t, b, change...))
}

func open(t testing.TB, c Config) *Queue {
	t.Helper()
	q, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

func ackWait(d time.Duration) func(*Config) { return func(c *Config) { c.AckWait = d } }

// startCluster runs three servers that replicate, and returns their URLs.
func startCluster(t *testing.T) string {
	t.Helper()
	const size = 3
	var routes []string
	var ports []int
	for range size {
		// A port that was free a moment ago: a cluster must know its routes
		// before the first server starts.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, "nats://"+l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var urls []string
	var nodes []*server.Server
	for i := range size {
		opts := &server.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: filepath.Join(t.TempDir(), "store"), JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 16 << 30, MaxPayload: 2 << 20,
			Cluster: server.ClusterOpts{Name: "andon", Host: "127.0.0.1", Port: ports[i]},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}
		nodes = append(nodes, startServer(t, opts))
	}
	for _, s := range nodes {
		urls = append(urls, s.ClientURL())
	}
	eventually(t, 30*time.Second, func() error {
		for _, s := range nodes {
			if s.JetStreamIsLeader() {
				if peers := len(s.JetStreamClusterPeers()); peers < size {
					return fmt.Errorf("%d nodes of %d", peers, size)
				}
				return nil
			}
		}
		return errors.New("no leader")
	})
	return strings.Join(urls, ",")
}

func startServer(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(soon) {
		t.Fatal("the server accepts no connections")
	}
	return s
}

// brokers are what a rule must hold on: one node, and three that replicate.
func brokers(t *testing.T, rule func(t *testing.T, open func(...func(*Config)) *Queue)) {
	t.Run("one node", func(t *testing.T) {
		t.Parallel()
		b := startBroker(t)
		rule(t, func(change ...func(*Config)) *Queue { return openQueue(t, b, change...) })
	})
	t.Run("three nodes", func(t *testing.T) {
		if testing.Short() {
			t.Skip("starts a cluster")
		}
		t.Parallel()
		urls := startCluster(t)
		rule(t, func(change ...func(*Config)) *Queue {
			return openQueue(t, nil, append(change, func(c *Config) { c.URL, c.Replicas = urls, 3 })...)
		})
	})
}

// work runs the loops until the test ends or end is called.
func work(t testing.TB, q *Queue, w Worker) (end func() error) {
	t.Helper()
	if w.Slots == 0 {
		w.Slots = 8
	}
	missing := func(context.Context, stop.Message) stop.Verdict {
		t.Error("a step was called that the test does not expect")
		return stop.Verdict{Retry: time.Hour}
	}
	if w.Plan == nil {
		w.Plan = missing
	}
	if w.Execute == nil {
		w.Execute = missing
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, w) }()
	end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(2 * soon):
			return errors.New("Work has not returned")
		}
	})
	t.Cleanup(func() {
		if err := end(); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrPermission) {
			t.Error(err)
		}
	})
	return end
}

func publish(t testing.TB, q *Queue, subject, data string) uint64 {
	t.Helper()
	seq, err := q.Publish(t.Context(), stop.Message{Subject: subject, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// publishMany publishes n requests and does not wait for each by itself.
func publishMany(t testing.TB, q *Queue, subject, data string, n int) {
	t.Helper()
	const atOnce = 1000
	for from := 0; from < n; from += atOnce {
		var acks []jetstream.PubAckFuture
		for i := from; i < min(n, from+atOnce); i++ {
			ack, err := q.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: fmt.Appendf(nil, data, i)})
			if err != nil {
				t.Fatal(err)
			}
			acks = append(acks, ack)
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				t.Fatal(err)
			case <-time.After(2 * soon):
				t.Fatal("no answer of the broker")
			}
		}
	}
}

// left counts the messages of a stream.
func left(t testing.TB, q *Queue, stream string) uint64 {
	t.Helper()
	s, err := q.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func empty(t testing.TB, q *Queue, streams ...string) {
	t.Helper()
	emptyWithin(t, soon, q, streams...)
}

func emptyWithin(t testing.TB, within time.Duration, q *Queue, streams ...string) {
	t.Helper()
	for _, stream := range streams {
		eventually(t, within, func() error {
			if n := left(t, q, stream); n > 0 {
				return fmt.Errorf("%d messages left in %s", n, stream)
			}
			return nil
		})
	}
}

// stored reads a stream from its beginning.
func stored(t testing.TB, q *Queue, stream string) []*jetstream.RawStreamMsg {
	t.Helper()
	s, err := q.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	state := s.CachedInfo().State
	for seq := state.FirstSeq; state.Msgs > 0 && seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func result(request string) stop.Result {
	return stop.Result{Request: request, Outcome: stop.OutcomePaused, Lane: stop.LaneNormal, Worker: "w", RequestedAt: time.Now(), FinishedAt: time.Now()}
}

// answer is a verdict with a result.
func answer(request string) stop.Verdict {
	return stop.Verdict{Results: []stop.Result{result(request)}}
}

// planned is a step that answers each request under its payload.
func planned(_ context.Context, m stop.Message) stop.Verdict { return answer(string(m.Data)) }

func task(request string, l stop.Lane) stop.Task {
	return stop.Task{Request: request, Lane: l, Quota: quotaOfAccount("default")}
}

func quotaOfAccount(account string) stop.Quota {
	return stop.Quota{Account: account, Endpoint: "https://as.example.com"}
}

// metric is a sample's value; labels as in name{k="v"}, in order.
func metric(t testing.TB, q *Queue, name string, labels ...string) float64 {
	t.Helper()
	v, ok := sample(t, q, name, labels...)
	if !ok {
		t.Fatalf("no metric %s%v", name, labels)
	}
	return v
}

func sample(t testing.TB, q *Queue, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := q.conf.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			if strings.Join(have, " ") != strings.Join(labels, " ") {
				continue
			}
			if m.GetCounter() != nil {
				return m.GetCounter().GetValue(), true
			}
			return m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// admin is somebody else's connection to the same broker.
func admin(t testing.TB, c Config) jetstream.JetStream {
	t.Helper()
	var opts []nats.Option
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess))
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
