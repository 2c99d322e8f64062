package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
)

var _ nats.InProcessConnProvider = (*broker.Broker)(nil)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// start runs a broker for the length of the test. Tests may run on tmpfs.
func start(t *testing.T, c broker.Config) *broker.Broker {
	t.Helper()
	c.AllowTemporary = true
	if c.StoreDir == "" {
		c.StoreDir = filepath.Join(t.TempDir(), "store")
	}
	b, err := broker.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	return b
}

// refused is the error of a start that must fail.
func refused(t *testing.T, c broker.Config) error {
	t.Helper()
	c.AllowTemporary = true
	b, err := broker.Start(t.Context(), c)
	if err == nil {
		b.Shutdown()
		t.Fatal("the broker started")
	}
	return err
}

func mention(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not mention %q: %v", word, err)
		}
	}
}

func client(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, js jetstream.JetStream, maxBytes int64) jetstream.Stream {
	t.Helper()
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Retention: jetstream.WorkQueuePolicy, MaxBytes: maxBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stored(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestMessagesSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := start(t, broker.Config{StoreDir: dir})
	js := client(t, "", nats.InProcessServer(b))
	stream(t, js, 0)
	for i := range 20 {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("s.%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	b.Shutdown()
	b.Shutdown() // a second call is harmless
	if b.Healthy() == nil {
		t.Error("a broker that is shut down calls itself healthy")
	}
	if _, err := b.InProcessConn(); err == nil {
		t.Error("a broker that is shut down takes connections")
	}

	again := start(t, broker.Config{StoreDir: dir})
	s, err := client(t, "", nats.InProcessServer(again)).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := stored(t, s), uint64(20); got != want {
		t.Errorf("%d messages after the restart, want %d", got, want)
	}
	if err := again.Healthy(); err != nil {
		t.Error(err)
	}
}

// A disk that other programs fill lowers the store limit from start to start. The
// streams made under a higher one must come back all the same.
func TestStreamsComeBackUnderALowerLimit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := start(t, broker.Config{StoreDir: dir, MaxStore: 100 << 20})
	js := client(t, "", nats.InProcessServer(b))
	stream(t, js, 80<<20)
	if _, err := js.Publish(t.Context(), "s.1", make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	b.Shutdown()

	again := start(t, broker.Config{StoreDir: dir, MaxStore: 50 << 20})
	s, err := client(t, "", nats.InProcessServer(again)).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := stored(t, s), uint64(1); got != want {
		t.Errorf("%d messages after the restart, want %d", got, want)
	}
	if err := again.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestTheLargestRequestFitsWithItsHeaders(t *testing.T) {
	b := start(t, broker.Config{})
	js := client(t, "", nats.InProcessServer(b))
	stream(t, js, 0)
	m := &nats.Msg{Subject: "s.big", Data: make([]byte, 1<<20), Header: nats.Header{}}
	m.Header.Set("Nats-Msg-Id", "r-1")
	m.Header.Set("ce-subject", strings.Repeat("x", 16<<10))
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatIsFullRefusesAtOnce(t *testing.T) {
	b := start(t, broker.Config{MaxStore: 4 << 20})
	js := client(t, "", nats.InProcessServer(b))
	stream(t, js, 0)
	for range 5 {
		if _, err := js.Publish(t.Context(), "s.1", make([]byte, 1<<20)); err != nil {
			var api *jetstream.APIError
			if !errors.As(err, &api) {
				t.Fatalf("no JetStream error but %v", err)
			}
			return
		}
	}
	t.Error("5 MiB went into a store of 4 MiB")
}

func TestListen(t *testing.T) {
	t.Run("port 0 takes a free port", func(t *testing.T) {
		b := start(t, broker.Config{Listen: "127.0.0.1:0"})
		if strings.HasSuffix(b.ClientURL(), ":0") {
			t.Errorf("ClientURL %s has no real port", b.ClientURL())
		}
		stream(t, client(t, b.ClientURL()), 0)
	})
	for _, listen := range []string{"", "off"} {
		t.Run(fmt.Sprintf("%q opens no port and serves in process", listen), func(t *testing.T) {
			b := start(t, broker.Config{Listen: listen})
			if got := b.ClientURL(); got != "" {
				t.Errorf("ClientURL is %q", got)
			}
			stream(t, client(t, "", nats.InProcessServer(b)), 0)
		})
	}
	t.Run("every address is reached over loopback and warned about", func(t *testing.T) {
		var log lines
		b := start(t, broker.Config{Listen: "0.0.0.0:0", Logger: log.logger()})
		if !strings.HasPrefix(b.ClientURL(), "nats://127.0.0.1:") {
			t.Errorf("ClientURL is %q", b.ClientURL())
		}
		if !strings.Contains(log.String(), "authenticates nobody") {
			t.Errorf("no warning in\n%s", log.String())
		}
	})
	t.Run("a port in use is refused with a way out, and leaves nothing locked", func(t *testing.T) {
		other, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		dir := filepath.Join(t.TempDir(), "store")
		err = refused(t, broker.Config{StoreDir: dir, Listen: other.Addr().String()})
		mention(t, err, other.Addr().String(), "--nats-listen", "--nats-url")
		start(t, broker.Config{StoreDir: dir})
	})
	for _, listen := range []string{"4222", "localhost", "127.0.0.1:nats", "127.0.0.1:70000", "127.0.0.1:-1"} {
		t.Run(listen+" is refused", func(t *testing.T) {
			mention(t, refused(t, broker.Config{StoreDir: t.TempDir(), Listen: listen}), listen)
		})
	}
}

func TestStoreDirIsRequired(t *testing.T) {
	mention(t, refused(t, broker.Config{}), "--store-dir")
}

func TestAnEndedContextStopsTheStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	cancel(stopping)
	b, err := broker.Start(ctx, broker.Config{StoreDir: dir, AllowTemporary: true})
	if err == nil {
		b.Shutdown() // the server was faster than the look at ctx
	} else if !errors.Is(err, stopping) {
		t.Errorf("the error does not carry the cause: %v", err)
	}
	// The directory comes free once the server behind the failed start has stopped.
	eventually(t, func() error {
		next, err := broker.Start(t.Context(), broker.Config{StoreDir: dir, AllowTemporary: true})
		if err == nil {
			next.Shutdown()
		}
		return err
	})
}

func TestServerLinesReachTheLogger(t *testing.T) {
	var log lines
	b := start(t, broker.Config{Logger: log.logger()})
	b.Shutdown()
	if got := log.String(); !strings.Contains(got, "level=DEBUG") || !strings.Contains(got, "Server is ready") {
		t.Errorf("no notices in\n%s", got)
	}
	if got := log.String(); strings.Contains(got, "level=ERROR") || strings.Contains(got, "level=WARN") {
		t.Errorf("an ordinary run complains:\n%s", got)
	}
}

func TestEverythingInTheStoreIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "store")
	b := start(t, broker.Config{StoreDir: dir})
	stream(t, client(t, "", nats.InProcessServer(b)), 0)
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.IsDir() && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkPublish(b *testing.B) {
	running, err := broker.Start(b.Context(), broker.Config{StoreDir: b.TempDir(), AllowTemporary: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer running.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(running))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := js.Publish(b.Context(), "s", []byte("{}")); err != nil {
			b.Fatal(err)
		}
	}
}
