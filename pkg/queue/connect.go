package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Config says how to reach the broker and what is wanted of it.
type Config struct {
	// URL is one broker or several, separated by commas. Ignored when
	// InProcess is set.
	URL string
	// Creds is the path of a credentials file, Context the name of a context
	// of the NATS CLI; both may be empty.
	Creds   string
	Context string
	// InProcess is the embedded broker, if there is one.
	InProcess nats.InProcessConnProvider
	// InboxPrefix replaces "_INBOX" where permissions ask for it.
	InboxPrefix string
	// Name names the connection in the broker's listings.
	Name string
	// Replicas of streams and buckets that are made; 0 is 1.
	Replicas int
	// Capacity is how much the broker can store, in bytes; 0 is enough. The
	// streams that are made share it.
	Capacity int64
	// AckWait is how long a message may be in hand without a sign of life
	// before the broker gives it to another worker; 0 is 30 s.
	AckWait time.Duration
	// Crash is told "after-result <request>" and "after-ack <request>", for
	// tests that end the process there; nil does nothing.
	Crash func(point string)
	// Stored is told of each result that this queue has stored, and when it began to;
	// nil does nothing.
	Stored func(r stop.Result, began time.Time)
	// Registerer takes the metrics, Log the events. Both are required.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Queue is a connection to a broker whose topology has been proven. Its
// methods may be called from any goroutine.
type Queue struct {
	*topology
	conf    Config
	metrics *metrics
	failed  chan error
	// over ends, with the reason, when the process cannot go on.
	over   context.Context //nolint:containedctx // the life of the connection, not of a call
	end    context.CancelCauseFunc
	loops  loops
	damage damage
	quotas quotas
	ahead  ahead
	inHand atomic.Int64 // messages, of all consumers
}

// ErrClosed says that the connection is closed for good: the process should
// end and be started again.
var ErrClosed = errors.New("the connection to NATS is closed for good")

// ErrPermission says that the broker refuses something that a worker needs.
var ErrPermission = errors.New("NATS refuses a permission that is needed")

var errNotConnected = errors.New("not connected")

// proveTimeout bounds one look at all streams, buckets and consumers; making
// them takes a cluster a second or two.
const proveTimeout = 10 * time.Second

// Open connects, waits for the broker as long as ctx allows, and makes or
// verifies streams and buckets. It returns an error at once when waiting
// cannot help: a stream weaker than required, a permission refused.
func Open(ctx context.Context, c Config) (*Queue, error) {
	if c.AckWait <= 0 {
		c.AckWait = 30 * time.Second
	}
	c.Replicas = max(c.Replicas, 1)
	q := &Queue{conf: c, failed: make(chan error, 1), ahead: ahead{wake: make(chan struct{}, 1)}}
	q.over, q.end = context.WithCancelCause(context.Background())
	nc, err := dial(c, q.fail)
	if err != nil {
		return nil, err
	}
	q.topology, err = newTopology(nc, c)
	if err == nil {
		err = q.prepare(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	q.metrics = newMetrics(c.Registerer, q)
	return q, nil
}

// prepare proves the topology; it tries again while the broker is away.
func (q *Queue) prepare(ctx context.Context) error {
	// A refused permission shows as a timeout at the caller, and as an error
	// on the connection at once: do not wait for the former.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(q.over, func() { cancel(context.Cause(q.over)) })()
	said := false
	var why error // of the last try that was not cut short
	for {
		err := q.proveOnce(ctx)
		if q.over.Err() != nil {
			return context.Cause(q.over)
		}
		if why == nil || ctx.Err() == nil {
			why = err
		}
		if err == nil || errors.Is(err, ErrWeaker) || errors.Is(err, ErrPermission) || lasting(err) {
			return err
		}
		select {
		case <-q.over.Done():
			return context.Cause(q.over)
		case <-ctx.Done():
			return fmt.Errorf("waiting for NATS: %w: %w", context.Cause(ctx), why)
		case <-time.After(500 * time.Millisecond):
		}
		if !said {
			said = true
			if q.nc.Status() != nats.CONNECTED {
				err = errNotConnected // why, the connection tells
			}
			q.conf.Log.Warn("waiting for NATS", "url", q.where(), "error", err)
		}
	}
}

// proveOnce does not wait for a request that was lost, as happens in a cluster
// that is still forming, until the caller's patience is over.
func (q *Queue) proveOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	return q.prove(ctx)
}

func (q *Queue) where() string {
	if q.conf.InProcess != nil {
		return "embedded"
	}
	return redacted(q.conf.URL)
}

// redacted shows where, not with which password. The scheme may be missing, and
// a password with a comma in it makes no list of URLs at all.
func redacted(urls string) string {
	const scheme = "nats://"
	list := strings.Split(urls, ",")
	for i, raw := range list {
		raw = strings.TrimSpace(raw)
		whole := raw
		if !strings.Contains(raw, "://") {
			whole = scheme + raw
		}
		u, err := url.Parse(whole)
		switch {
		case err != nil && strings.Contains(urls, "@"):
			return "(not a URL)"
		case err != nil || u.User == nil:
		default:
			u.User = url.User("hidden")
			list[i] = u.String()
			if whole != raw {
				list[i] = strings.TrimPrefix(list[i], scheme)
			}
		}
	}
	return strings.Join(list, ",")
}

// dial makes a connection that never gives up. fail is told when it is over
// all the same, and when the broker refuses a permission.
func dial(c Config, fail func(error)) (*nats.Conn, error) {
	return connect(c, append(patient(c.Log, fail),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) && vital(err) {
				fail(fmt.Errorf("%w: %w", ErrPermission, err))
				return
			}
			c.Log.Warn("NATS reports", "error", err)
		}),
	)...)
}

// patient is what makes a connection wait for a broker that is not there yet. fail is
// told when it is over all the same, as after credentials that are refused.
func patient(log *slog.Logger, fail func(error)) []nats.Option {
	var told atomic.Bool // why the broker cannot be reached, once each time
	return []nats.Option{
		nats.RetryOnFailedConnect(true),
		nats.ConnectHandler(func(nc *nats.Conn) {
			if told.Swap(false) {
				log.Info("connected to NATS", "server", nc.ConnectedServerName())
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if told.CompareAndSwap(false, true) {
				log.Warn("cannot reach NATS, trying until it is there", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			told.Store(false)
			log.Info("connection to NATS restored", "server", nc.ConnectedServerName())
		}),
		nats.ClosedHandler(func(nc *nats.Conn) { fail(closed(nc.LastError())) }),
	}
}

// connect makes a connection that outlives the broker's absence.
func connect(c Config, more ...nats.Option) (*nats.Conn, error) {
	opts := append([]nats.Option{
		nats.Name(c.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		// What is published while the broker is away must fail here, not be
		// sent later behind the back of somebody who has tried again.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
	}, more...)
	if c.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess))
	}
	if c.Context != "" && c.URL == "" && c.InProcess == nil {
		nc, _, err := natscontext.Connect(c.Context, opts...)
		if err != nil {
			return nil, fmt.Errorf("connect by the NATS context %q: %w", c.Context, err)
		}
		return nc, nil
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", redacted(c.URL), err)
	}
	return nc, nil
}

// closed says why the connection was closed, where that is known.
func closed(why error) error {
	if why == nil {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, why)
}

// fail keeps the first fatal error and ends all waiting.
func (q *Queue) fail(err error) {
	q.end(err)
	select {
	case q.failed <- err:
	default:
	}
}

// Failed delivers the error after which the process cannot go on.
func (q *Queue) Failed() <-chan error { return q.failed }

// Close sends what is buffered and closes the connection. Work must have
// returned.
func (q *Queue) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if q.Connected() == nil {
		if err := q.nc.FlushWithContext(ctx); err != nil {
			q.conf.Log.Debug("flush before closing", "error", err)
		}
	}
	q.nc.SetClosedHandler(nil)
	q.nc.Close()
}

// InHand is how many messages this worker holds.
func (q *Queue) InHand() int { return int(q.inHand.Load()) }

// Permits is the bucket for the limiter. Its reads are answered by the leader,
// so that what was stored is found, with the time at which it was.
func (q *Queue) Permits() jetstream.KeyValue {
	return permits{KeyValue: q.buckets[stop.BucketLimiter], queue: q}
}

// permits stores the schedules of many quotas together.
type permits struct {
	jetstream.KeyValue

	queue *Queue
}

func (p permits) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	msg := expecting(bucketPrefix(stop.BucketLimiter)+key, nil, value, revision, "")
	return p.queue.into["KV_"+stop.BucketLimiter].store(ctx, msg)
}
