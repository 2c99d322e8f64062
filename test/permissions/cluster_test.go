package permissions

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/test/harness"
)

// nodeHost is the name that the nodes have in the routes, and in their certificates.
const nodeHost = "localhost"

// cluster is what its nodes have in common.
type cluster struct {
	keys
	files  *tlsFiles
	routes []string
}

// node starts one with a configuration, of which only where it listens is replaced.
func (c cluster) node(t testing.TB, config, name, listen string, own pair) *broker {
	t.Helper()
	files := *c.files
	files.server = own
	b := &broker{t: t, addr: harness.FreeAddr(t), monitor: harness.FreeAddr(t), keys: c.keys, tls: &files, replicas: len(c.routes)}
	b.run(config, []string{"ANDON_NATS_NAME=" + name, "ANDON_NATS_ROUTES=[" + strings.Join(c.routes, ", ") + "]"}, "--cluster", "nats://"+listen)
	return b
}

// hasRoutesTo is an error unless a node has routes to these, and to no others.
func (b *broker) hasRoutesTo(names ...string) error {
	var v server.Routez
	b.get(b.t, "/routez", &v)
	var have []string
	for _, r := range v.Routes {
		have = append(have, r.RemoteName)
	}
	slices.Sort(have)
	if have = slices.Compact(have); !slices.Equal(have, names) {
		return fmt.Errorf("%s has routes to %v, want %v", v.Name, have, names)
	}
	return nil
}

// leads is an error unless one of the nodes leads all of them.
func leads(nodes []*broker) error {
	var said []string
	for _, n := range nodes {
		v := n.status(n.t)
		if meta := v.JetStream.Meta; meta != nil && meta.Leader == v.Name && len(meta.Replicas) == len(nodes)-1 &&
			!slices.ContainsFunc(meta.Replicas, func(p *server.PeerInfo) bool { return !p.Current }) {
			return nil
		}
		meta, err := json.Marshal(v.JetStream.Meta)
		if err != nil {
			return err
		}
		said = append(said, v.Name+": "+string(meta))
	}
	return fmt.Errorf("no node leads the others: %s", strings.Join(said, "; "))
}

func TestThreeNodesAreOneBrokerAndTakeNoOtherForANode(t *testing.T) {
	t.Parallel()
	const config = shipped + "/cluster.conf"
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c := cluster{keys: newKeys(t), files: newTLSFiles(t)}
	names := []string{"nats-1", "nats-2", "nats-3"}
	var listen []string
	for range names {
		addr := harness.FreeAddr(t)
		listen = append(listen, addr)
		c.routes = append(c.routes, "nats-route://"+strings.Replace(addr, "127.0.0.1", nodeHost, 1))
	}
	var nodes []*broker
	for i, name := range names {
		nodes = append(nodes, c.node(t, config, name, listen[i], c.files.authority.issue(t, nodeHost, int64(10+i), both...)))
	}
	areConnected := func() error {
		for i, n := range nodes {
			if err := n.hasRoutesTo(slices.Delete(slices.Clone(names), i, i+1)...); err != nil {
				return err
			}
		}
		return nil
	}
	harness.Eventually(t, time.Minute, areConnected)
	harness.Eventually(t, time.Minute, func() error { return leads(nodes) })

	// The roles are those of a single server, at whichever node.
	nodes[0].prepare()
	for i, n := range nodes {
		if v := n.status(t); v.Name != names[i] || v.Cluster.Name != "andon" || !v.JetStream.Config.SyncAlways {
			t.Errorf("node %s of the cluster %s, syncs always: %v", v.Name, v.Cluster.Name, v.JetStream.Config.SyncAlways)
		}
		for _, role := range roles() {
			if err := refusal(n.connect(t, role)); err != nil {
				t.Errorf("%s at %s: %v", role, names[i], err)
			}
		}
		if err := (verb{kind: asks, what: "as.refresh.stop.team-a", body: "{}"}).try(n.connect(t, teamA)); err != nil {
			t.Errorf("a request at %s: %v", names[i], err)
		}
		answer, err := n.connect(t, worker).Request("$JS.API.STREAM.INFO.AS_REFRESH_STOP", nil, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var requests jetstream.StreamInfo
		if err := json.Unmarshal(answer.Data, &requests); err != nil {
			t.Fatal(err)
		}
		if requests.Config.Replicas != 3 || requests.Cluster == nil || len(requests.Cluster.Replicas) != 2 {
			t.Errorf("by %s the stream of requests is %s", names[i], answer.Data)
		}
	}

	without := func(lines string) (config string) {
		config = copied(t) + "/cluster.conf"
		edit(t, config, func(text string) string { return regexp.MustCompile(lines).ReplaceAllString(text, "") })
		return config
	}
	for _, stranger := range []struct {
		who, config string
		own         pair
		refused     string // what a node says
	}{
		{"who has a certificate of another authority", config, newAuthority(t).issue(t, nodeHost, 20, both...), "signed by unknown authority"},
		{"who has that of a client", config, c.files.client, "authentication error"},
		{"who has none", without(`(?m)^ *(cert_file|key_file|verify_.*): .*$`), c.files.server, "client didn't provide a certificate"},
		{"who speaks no TLS", without(`(?s)  tls \{.*?\}`), c.files.server, "first record does not look like a TLS handshake"},
	} {
		fourth := c.node(t, stranger.config, "nats-4", harness.FreeAddr(t), stranger.own)
		for _, n := range nodes {
			if _, err := n.Says(stranger.refused, 30*time.Second); err != nil {
				t.Errorf("%s: %v", stranger.who, err)
			}
		}
		if err := areConnected(); err != nil {
			t.Errorf("%s: %v", stranger.who, err)
		}
		fourth.Kill()
	}
}
