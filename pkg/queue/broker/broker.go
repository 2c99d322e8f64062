package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyWithin is how long a server that has finished starting may take to say so.
// It answers at once; the bound only keeps a defect from hanging [Start].
const readyWithin = 5 * time.Second

// Broker is a running server. It is a nats.InProcessConnProvider.
type Broker struct {
	server    *server.Server
	clientURL string
	maxStore  int64
	lock      *lock
	stop      sync.Once
}

// Start prepares the store directory, locks it, and returns when clients can connect
// and JetStream has recovered its streams.
//
// Recovery cannot be interrupted. When ctx ends first, Start returns its cause at
// once and the server is stopped behind its back; the directory stays locked until
// that is done.
func Start(ctx context.Context, c Config) (*Broker, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	opts, err := options(c)
	if err != nil {
		return nil, err
	}
	if err := prepareDir(c.StoreDir, c.AllowTemporary, c.Logger); err != nil {
		return nil, err
	}
	held, err := lockDir(c.StoreDir)
	if err != nil {
		return nil, err
	}
	if opts.JetStreamMaxStore, err = storeLimit(c.StoreDir, c.MaxStore, c.Logger); err != nil {
		held.release()
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		held.release()
		return nil, fmt.Errorf("configure the embedded broker: %w", err)
	}
	log := &logAdapter{to: c.Logger}
	s.SetLoggerV2(log, false, false, false)

	b := &Broker{server: s, maxStore: opts.JetStreamMaxStore, lock: held}
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.Start()
	}()
	select {
	case <-started:
	case <-ctx.Done():
		go func() {
			<-started
			b.Shutdown()
		}()
		return nil, fmt.Errorf("start the embedded broker in %s: %w", c.StoreDir, context.Cause(ctx))
	}
	if err := b.ready(c, log.fatal()); err != nil {
		b.Shutdown()
		return nil, err
	}
	return b, nil
}

// ready judges a server whose Start has returned.
func (b *Broker) ready(c Config, fatal error) error {
	switch {
	case errors.Is(fatal, syscall.EADDRINUSE):
		return fmt.Errorf("the embedded broker cannot listen on %s, the address is in use: "+
			"choose another with --nats-listen (\"off\" for none), or connect to the broker that runs there with --nats-url: %w",
			c.Listen, fatal)
	case fatal != nil:
		return fmt.Errorf("start the embedded broker in %s: %w", c.StoreDir, fatal)
	case !b.server.ReadyForConnections(readyWithin):
		return fmt.Errorf("the embedded broker in %s accepts no connections", c.StoreDir)
	case !b.server.JetStreamEnabled():
		return fmt.Errorf("the embedded broker in %s runs without JetStream", c.StoreDir)
	}
	// A stream whose meta file is damaged comes back, with its messages, when it is
	// created again, so an unhealthy store is reported and not refused.
	if err := b.Healthy(); err != nil {
		c.Logger.Warn("embedded broker started unhealthy", "dir", c.StoreDir, "error", err)
	}
	addr, listening := b.server.Addr().(*net.TCPAddr)
	if !listening {
		return nil
	}
	ip := addr.IP
	if !ip.IsLoopback() {
		c.Logger.Warn("embedded broker listens beyond this host and authenticates nobody", "address", addr.String())
	}
	if ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	b.clientURL = "nats://" + net.JoinHostPort(ip.String(), strconv.Itoa(addr.Port))
	return nil
}

// InProcessConn is one more client connection, without a socket.
func (b *Broker) InProcessConn() (net.Conn, error) {
	return b.server.InProcessConn()
}

// ClientURL is where other processes connect; "" when no port is open.
func (b *Broker) ClientURL() string {
	return b.clientURL
}

// MaxStore is the limit in force for all streams together, in bytes.
func (b *Broker) MaxStore() int64 { return b.maxStore }

// Healthy is nil while JetStream serves every stream and consumer it holds, and
// otherwise says what is wrong. After a full disk it stays so until a restart.
func (b *Broker) Healthy() error {
	if h := b.server.Healthz(nil); h.Status != "ok" {
		return fmt.Errorf("embedded broker: %s", h.Error)
	}
	return nil
}

// Shutdown stops the server, waits for its files to be closed and unlocks the
// directory. Further calls wait for the first and do nothing. Connections are cut:
// drain them before.
func (b *Broker) Shutdown() {
	b.stop.Do(func() {
		b.server.Shutdown()
		b.server.WaitForShutdown()
		b.lock.release()
	})
}
