package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// defaultMaxPayload leaves room for headers around the largest request, 1 MiB.
	defaultMaxPayload = 2 << 20
	// maxMemory bounds streams that are kept in memory. None are needed; without a
	// value the server would take three quarters of the machine's memory.
	maxMemory = 256 << 20
)

// Config says where the broker keeps its files and where it listens.
type Config struct {
	// StoreDir holds the streams. It is created with mode 0700 and belongs to the
	// broker alone. Required.
	StoreDir string
	// Listen is the host:port for other processes. Port 0 takes any free one;
	// "" and "off" open no port, which leaves in-process connections only.
	Listen string
	// MaxStore bounds the bytes of all streams together. 0 means 10 GiB. Lowered
	// with a warning to what the store holds already plus 80 % of the free space.
	MaxStore int64
	// MaxPayload bounds one message with its headers. 0 means 2 MiB.
	MaxPayload int32
	// ServerName is the name clients see. "" means "andon".
	ServerName string
	// AllowTemporary accepts a StoreDir on tmpfs or a network file system, where a
	// restart or a lost network loses confirmed messages. For tests and rehearsals.
	AllowTemporary bool
	// Logger receives the server's lines. nil means none.
	Logger *slog.Logger
}

// options is the server's configuration except for the store limit, which needs a
// look at the disk.
func options(c Config) (*server.Options, error) {
	if c.StoreDir == "" {
		return nil, errors.New("the embedded broker needs a store directory (--store-dir)")
	}
	opts := &server.Options{
		ServerName:             c.ServerName,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               c.StoreDir,
		SyncAlways:             true,
		JetStreamMaxMemory:     maxMemory,
		MaxPayload:             c.MaxPayload,
		DisableJetStreamBanner: true,
	}
	if opts.ServerName == "" {
		opts.ServerName = "andon"
	}
	if opts.MaxPayload == 0 {
		opts.MaxPayload = defaultMaxPayload
	}
	if c.Listen == "" || c.Listen == "off" {
		opts.DontListen = true
		return opts, nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q must be host:port or \"off\": %w", c.Listen, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: the port must be a number from 0 to 65535", c.Listen)
	}
	opts.Host, opts.Port = host, int(number)
	if number == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}
