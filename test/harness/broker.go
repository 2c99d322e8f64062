package harness

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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
)

// BrokerConfig says what broker a test wants.
type BrokerConfig struct {
	// Nodes is how many: one, or a cluster.
	Nodes int
	// User and Password are asked of clients, unless they are empty.
	User, Password string
	// Dir holds the files; empty: a directory of the test.
	Dir string
	// Sync is sync_interval, "always" if empty: every write is on the disk before
	// it is confirmed, as the documentation of andon asks for.
	Sync string
	// Authorization is the block of that name instead, for roles.
	Authorization string
}

// Broker is one nats-server or a cluster of them, each a process.
type Broker struct {
	Nodes []*Node
	JS    jetstream.JetStream // of the test itself

	t    testing.TB
	conf BrokerConfig
}

// Node is one nats-server, which may be killed and started again.
type Node struct {
	*Process

	Name, Addr string
	Dir        string // its files
	config     string
}

// StartBroker starts the nodes.
func StartBroker(t testing.TB, c BrokerConfig) *Broker {
	t.Helper()
	b := &Broker{t: t, conf: c}
	var routes []string
	for i := range c.Nodes {
		b.Nodes = append(b.Nodes, &Node{Name: fmt.Sprintf("n%d", i+1), Addr: FreeAddr(t)})
		routes = append(routes, FreeAddr(t))
	}
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	configs := t.TempDir()
	for i, n := range b.Nodes {
		n.Dir, n.config = filepath.Join(c.Dir, n.Name), filepath.Join(configs, n.Name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { store_dir: %q, sync_interval: %s, max_file_store: 16GB }\n",
			n.Name, n.Addr, n.Dir, cmp.Or(c.Sync, "always"))
		switch {
		case c.Authorization != "":
			text += "authorization " + c.Authorization + "\n"
		case c.User != "":
			text += fmt.Sprintf("authorization { user: %q, password: %q }\n", c.User, c.Password)
		}
		if c.Nodes > 1 {
			// Clients must not learn ways to the nodes other than those they are given.
			text += fmt.Sprintf("cluster { name: fleet, listen: %q, no_advertise: true, routes: [%s] }\n", routes[i], "nats-route://"+strings.Join(routes, ", nats-route://"))
		}
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.Start(n)
	}
	b.connect()
	return b
}

// connect makes the test's own connection.
func (b *Broker) connect() {
	b.t.Helper()
	nc, err := nats.Connect(b.URL(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // its connections are going to break
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	if b.JS, err = jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second)); err != nil {
		b.t.Fatal(err)
	}
}

// Start starts a node, for the first time or again.
func (b *Broker) Start(n *Node) {
	b.t.Helper()
	n.Process = Start(b.t, Command{Name: "nats-server " + n.Name, Path: Program(b.t, NATSServer), Args: []string{"-c", n.config}})
}

// Prepare makes streams and buckets as the first worker does. A request that is
// lost while the nodes find each other is not waited for.
func (b *Broker) Prepare() {
	b.t.Helper()
	Eventually(b.t, 60*time.Second, func() error {
		ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Second)
		defer cancel()
		q, err := queue.Open(ctx, queue.Config{
			URL: b.URL(), Name: "test", Replicas: len(b.Nodes), Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		q.Close()
		return nil
	})
}

// URL is where the nodes are.
func (b *Broker) URL() string {
	addrs := make([]string, 0, len(b.Nodes))
	for _, n := range b.Nodes {
		addrs = append(addrs, n.Addr)
	}
	return b.URLAt(addrs...)
}

// URLAt is where clients reach the nodes by other addresses.
func (b *Broker) URLAt(addrs ...string) string {
	var user string
	if b.conf.User != "" {
		user = b.conf.User + ":" + b.conf.Password + "@"
	}
	return "nats://" + user + strings.Join(addrs, ",nats://"+user)
}

// Answers waits until a node takes connections.
func (n *Node) Answers(t testing.TB) {
	t.Helper()
	Eventually(t, 30*time.Second, func() error {
		c, err := net.DialTimeout("tcp", n.Addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Leader is the node that leads a stream, nil while there is none.
func (b *Broker) Leader(stream string) (*Node, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 500*time.Millisecond)
	defer cancel()
	s, err := b.JS.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	c := s.CachedInfo().Cluster
	if c == nil {
		return nil, fmt.Errorf("%s is in no cluster", stream)
	}
	for _, n := range b.Nodes {
		if n.Name == c.Leader {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s is led by %q", stream, c.Leader)
}

// StepDown has the leader of a stream hand over, as a node does that is shut
// down properly.
func (b *Broker) StepDown(stream string) error {
	_, err := b.JS.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 2*time.Second)
	return err
}
