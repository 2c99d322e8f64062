package permissions

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/test/harness"
)

// shipped is what a broker is started with.
const shipped = "../../deploy/nats"

// Roles that are shipped, each with a key in the environment and a file.
const (
	admin    = "admin"
	worker   = "worker"
	ingress  = "ingress"
	operator = "operator"
	observer = "observer"
	teamA    = "team-a"
	teamB    = "team-b"
)

func roles() []string { return []string{admin, worker, ingress, operator, observer, teamA, teamB} }

// broker is a nats-server that was started with a shipped configuration, and the
// seeds of the keys that it was given.
type broker struct {
	*harness.Process

	t       testing.TB
	addr    string
	monitor string // where its own HTTP listens
	keys
	tls      *tlsFiles
	replicas int // of what prepare makes; 0 is 1
}

// keys are one for each role.
type keys struct {
	seeds map[string]string // files
	env   []string          // the public ones, for a server
}

func newKeys(t testing.TB) keys {
	t.Helper()
	all := keys{seeds: make(map[string]string)}
	for _, role := range roles() {
		seed, public := newKey(t)
		all.seeds[role] = seed
		all.env = append(all.env, keyOf(role)+"="+public)
	}
	return all
}

// newKey makes a key: the seed in a file, and what the server is told.
func newKey(t testing.TB) (seedFile, public string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	seedFile = filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return seedFile, public
}

// keyFrom has a client sign with the seed in a file.
func keyFrom(t testing.TB, seedFile string) nats.Option {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyOf is the variable that holds the public key of a role.
func keyOf(role string) string {
	return "ANDON_NKEY_" + strings.ReplaceAll(strings.ToUpper(role), "-", "_")
}

// copied is a copy of the shipped files that may be changed.
func copied(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(shipped)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit changes a file, which must not stay as it is.
func edit(t testing.TB, file string, change func(string) string) {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := change(string(before))
	if after == string(before) {
		t.Fatalf("%s has not what was to be changed", file)
	}
	if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts a server with a configuration, of which only where it listens
// is replaced, and waits until it takes connections.
func start(t testing.TB, config string, files *tlsFiles) *broker {
	t.Helper()
	b := &broker{t: t, addr: harness.FreeAddr(t), monitor: harness.FreeAddr(t), keys: newKeys(t), tls: files}
	b.run(config, nil)
	return b
}

// run starts the server.
func (b *broker) run(config string, env []string, args ...string) {
	t, files := b.t, b.tls
	t.Helper()
	env = slices.Concat(b.env, env, []string{"ANDON_NATS_STORE=" + t.TempDir()})
	if files != nil {
		env = append(env, "ANDON_NATS_CERT="+files.server.cert, "ANDON_NATS_KEY="+files.server.key, "ANDON_NATS_CA="+files.ca)
	}
	host, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, monitor, err := net.SplitHostPort(b.monitor)
	if err != nil {
		t.Fatal(err)
	}
	b.Process = harness.Start(t, harness.Command{
		Name: "nats-server", Path: harness.Program(t, harness.NATSServer), Env: env,
		Args: append([]string{"-c", config, "-a", host, "-p", port, "-m", monitor}, args...),
	})
	if _, err := b.Says("Server is ready", 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

// reload has the server read its configuration again.
func (b *broker) reload(t testing.TB) {
	t.Helper()
	before := b.status(t).ConfigLoadTime
	b.Signal(syscall.SIGHUP)
	harness.Eventually(t, 30*time.Second, func() error {
		if b.status(t).ConfigLoadTime.Equal(before) {
			return fmt.Errorf("not reloaded:\n%s", b.Log)
		}
		return nil
	})
}

// status is what the server says of itself.
func (b *broker) status(t testing.TB) (v server.Varz) {
	t.Helper()
	b.get(t, "/varz", &v)
	return v
}

// get reads what the server says by its own HTTP.
func (b *broker) get(t testing.TB, path string, v any) {
	t.Helper()
	resp, err := http.Get("http://" + b.monitor + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}

// as is the context of the NATS CLI by which a role connects: the one way that
// knows keys and certificates, for all programs.
func (b *broker) as(role string) string {
	b.t.Helper()
	settings := map[string]string{"url": "nats://" + b.addr, "nkey": b.seeds[role], "inbox_prefix": "_INBOX_" + role}
	if b.tls != nil {
		settings["url"] = "tls://" + b.addr
		settings["ca"], settings["cert"], settings["key"] = b.tls.ca, b.tls.client.cert, b.tls.client.key
	}
	text, err := json.Marshal(settings)
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.TempDir(), role+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// patience is for machines that are busy with other tests.
var patience = nats.Timeout(30 * time.Second)

// connect connects as a role, with its inboxes unless the options say otherwise.
func (b *broker) connect(t testing.TB, role string, more ...nats.Option) *nats.Conn {
	t.Helper()
	opts := []nats.Option{
		patience, keyFrom(t, b.seeds[role]), nats.CustomInboxPrefix("_INBOX_" + role), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if b.tls != nil {
		opts = append(opts, nats.RootCAs(b.tls.ca), nats.ClientCert(b.tls.client.cert, b.tls.client.key))
	}
	nc, err := nats.Connect("nats://"+b.addr, append(opts, more...)...)
	if err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// prepare makes streams, buckets and consumers as the admin does: by what a worker
// does at its start.
func (b *broker) prepare() {
	b.t.Helper()
	q, err := queue.Open(b.t.Context(), queue.Config{
		Context: b.as(admin), Replicas: b.replicas, Name: "test", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	q.Close()
}

// refusal is what the broker has refused a connection, nil if nothing: it says so
// before it answers a ping.
func refusal(nc *nats.Conn) error {
	if err := nc.FlushTimeout(30 * time.Second); err != nil {
		return fmt.Errorf("the broker does not answer: %w", err)
	}
	return nc.LastError()
}
