package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// broker is one nats-server or a cluster of them, each a process.
type broker struct {
	t     testing.TB
	nodes []*node
	js    jetstream.JetStream // of the test itself
}

// node is one nats-server, which may be killed and started again.
type node struct {
	*process

	name, addr, config string
}

// newBroker starts so many nodes and has them make what workers need.
func newBroker(t testing.TB, size int) *broker {
	t.Helper()
	b := &broker{t: t}
	var routes []string
	for i := range size {
		b.nodes = append(b.nodes, &node{name: fmt.Sprintf("n%d", i+1), addr: freeAddr(t)})
		routes = append(routes, freeAddr(t))
	}
	dir := t.TempDir()
	for i, n := range b.nodes {
		n.config = filepath.Join(dir, n.name+".conf")
		// Every write is on the disk before it is confirmed, as the documentation
		// of andon asks for.
		text := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { store_dir: %q, sync_interval: always, max_file_store: 16GB }\n",
			n.name, n.addr, filepath.Join(dir, n.name))
		if size > 1 {
			text += fmt.Sprintf("cluster { name: fleet, listen: %q, routes: [%s] }\n", routes[i], "nats-route://"+strings.Join(routes, ", nats-route://"))
		}
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.start(n)
	}
	b.prepare()
	nc, err := nats.Connect(b.url(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *broker) start(n *node) {
	b.t.Helper()
	n.process = start(b.t, "nats-server "+n.name, nil, program(b.t, "github.com/nats-io/nats-server/v2"), "-c", n.config)
}

// prepare makes streams and buckets as the first worker does. A request that is
// lost while the nodes find each other is not waited for.
func (b *broker) prepare() {
	b.t.Helper()
	eventually(b.t, 30*time.Second, func() error {
		ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Second)
		defer cancel()
		q, err := queue.Open(ctx, queue.Config{
			URL: b.url(), Name: "fleet test", Replicas: len(b.nodes), Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		q.Close()
		return nil
	})
}

func (b *broker) url() string {
	var urls []string
	for _, n := range b.nodes {
		urls = append(urls, "nats://"+n.addr)
	}
	return strings.Join(urls, ",")
}

// permits is the stream below the limiter's bucket.
const permits = "KV_" + stop.BucketLimiter

// leader waits until a node other than the old one leads the limiter's bucket.
func (b *broker) leader(old *node) *node {
	b.t.Helper()
	var found *node
	eventually(b.t, election, func() error {
		ctx, cancel := context.WithTimeout(b.t.Context(), 500*time.Millisecond)
		defer cancel()
		s, err := b.js.Stream(ctx, permits)
		if err != nil {
			return err
		}
		c := s.CachedInfo().Cluster
		if c == nil {
			return fmt.Errorf("%s is in no cluster", permits)
		}
		for _, n := range b.nodes {
			if n.name == c.Leader && n != old {
				found = n
				return nil
			}
		}
		return fmt.Errorf("%s is led by %q", permits, c.Leader)
	})
	return found
}

// stepDown has the leader hand over, as a node does that is shut down properly.
func (b *broker) stepDown() {
	b.t.Helper()
	if _, err := b.js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+permits, nil, 5*time.Second); err != nil {
		b.t.Fatal(err)
	}
}

// bucket makes another bucket like the limiter's.
func (b *broker) bucket(name string) {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), permits)
	if err != nil {
		b.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Name, c.Subjects = "KV_"+name, []string{"$KV." + name + ".>"}
	if _, err := b.js.CreateStream(b.t.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}

// freeAddr is a free address to listen on, now and after a restart: its port
// is below those that systems give to connections by themselves.
func freeAddr(t testing.TB) string {
	t.Helper()
	var last error
	for range 50 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		l.Close()
		return addr
	}
	t.Fatal(last)
	return ""
}

func eventually(t testing.TB, within time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		pause(t, 20*time.Millisecond)
	}
}

// pause lets time pass, where the time is what the test is about.
func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}
