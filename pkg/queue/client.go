package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Client is the connection of somebody who asks and looks, and does none of the
// work: it publishes requests, reads what the workers have stored, and sets the
// hold. It makes no streams, and needs no more permissions than what it is used
// for. Its methods may be called from any goroutine.
type Client struct {
	*reader

	nc      *nats.Conn
	refusal refusals
}

// ErrNoWorker says that the broker has nothing of what the first worker makes.
var ErrNoWorker = errors.New("no worker has ever been started on this broker")

// dialTimeout bounds the connecting of a client: somebody waits for it.
const dialTimeout = 5 * time.Second

// Connect connects to a broker that is there; of the Config it takes how to reach
// that, the name and the log.
func Connect(c Config) (*Client, error) {
	return newClient(c,
		nats.Timeout(dialTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.Log.Warn("connection to NATS lost, waiting for it to come back", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { c.Log.Warn("connection to NATS restored") }),
	)
}

// Reach is Connect for a process that stays: the broker may come later. fail is told
// when the connection is over for good, and with it the use of the client.
func Reach(c Config, fail func(error)) (*Client, error) {
	return newClient(c, patient(c.Log, fail)...)
}

func newClient(c Config, more ...nats.Option) (*Client, error) {
	client := &Client{}
	nc, err := connect(c, append(more, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			client.refusal.tell(err)
			return
		}
		c.Log.Warn("NATS reports", "error", err)
	}))...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(storeTimeout))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	client.nc = nc
	client.reader = &reader{
		js: js, log: c.Log,
		stream: js.Stream,
		bucket: js.KeyValue,
	}
	return client, nil
}

// Close closes the connection.
func (c *Client) Close() { c.nc.Close() }

// Connected says why the broker cannot be reached, nil if it can.
func (c *Client) Connected() error {
	if s := c.nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("connection to NATS: %v", s)
	}
	return nil
}

// Server names the broker that answers.
func (c *Client) Server() string { return c.nc.ConnectedUrlRedacted() }

// refusals ends what waits for an answer of the broker when that refuses a
// permission: it says so on the connection, and the answer never comes. Of several
// that wait, the one that began to last is taken to be meant.
type refusals struct {
	mu    sync.Mutex
	asked []*context.CancelCauseFunc
}

// dispensable is what nobody need be allowed: consumers go by themselves, and
// progress can be told by results alone.
var dispensable = regexp.MustCompile(`"(\$JS\.API\.CONSUMER\.DELETE|as\.refresh\.progress)\.`)

func (r *refusals) tell(err error) {
	if dispensable.MatchString(err.Error()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.asked); n > 0 {
		(*r.asked[n-1])(fmt.Errorf("%w: %w", ErrPermission, err))
	}
}

func (r *refusals) listen(end *context.CancelCauseFunc) (silence func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, end)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = slices.DeleteFunc(r.asked, func(other *context.CancelCauseFunc) bool { return other == end })
	}
}

// Ask calls f, in which methods of the client are called, and explains its error:
// ErrPermission, with what the broker refuses, at once when it does so; ErrNoWorker
// where there are no streams. A question within another has a refusal of its own.
func (c *Client) Ask(ctx context.Context, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer c.refusal.listen(&end)()
	err := f(ctx)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrPermission):
		return cause
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: %w", ErrNoWorker, err)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream does not answer, is it enabled on the broker? %w", err)
	default:
		return err
	}
}

// ErrUnconfirmed says that a request may be stored or not: an answer of the broker
// was lost.
var ErrUnconfirmed = errors.New("the broker has not confirmed the request, which may be stored all the same")

// electing is for how long nobody may answer for a stream that there is.
const electing = 5 * time.Second

// Publish stores a request under its subject: it tries until the broker has
// confirmed that or ctx ends. The header Nats-Msg-Id makes trying again harmless;
// repeated says that somebody had done it within the hour before. The error is ErrUnconfirmed where the
// request may have been stored all the same.
func (c *Client) Publish(ctx context.Context, m stop.Message) (repeated bool, err error) {
	msg := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	began, doubt := time.Now(), false
	for {
		brief, cancel := context.WithTimeout(ctx, storeTimeout)
		ack, err := c.js.PublishMsg(brief, msg)
		lost := brief.Err() != nil
		cancel()
		if err == nil {
			// After a lost answer the other may have been this call.
			return ack.Duplicate && !doubt, nil
		}
		doubt = doubt || lost && !errors.Is(context.Cause(ctx), ErrPermission)
		_, answered := errors.AsType[*jetstream.APIError](err)
		absent := errors.Is(err, jetstream.ErrNoStreamResponse) && time.Since(began) > electing
		if answered || absent || errors.Is(err, nats.ErrMaxPayload) || ctx.Err() != nil {
			err = fmt.Errorf("publish to %s: %w", m.Subject, err)
			if doubt {
				err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
			}
			return false, err
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// Await hands each result that a request and its targets have, and get, to each,
// until that wants no more or ctx ends. The one of the request as a whole comes
// last.
func (c *Client) Await(ctx context.Context, request string, each func(stop.Result) bool) error {
	return c.watch(ctx, stop.StreamResults, reading(stop.ResultSubject(request), stop.TargetResults(request)), c.results(each))
}

// Query says which results are wanted.
type Query struct {
	// Request is one request with its targets; empty: all.
	Request string
	// Since is when the first of them was stored; zero: whenever.
	Since time.Time
}

// Results hands each result that there is now to each, in the order in which
// they were stored, until it wants no more.
func (c *Client) Results(ctx context.Context, q Query, each func(stop.Result) bool) error {
	what := reading(stop.SubjectResults + ".>")
	if q.Request != "" {
		what = reading(stop.ResultSubject(q.Request), stop.TargetResults(q.Request))
	}
	if !q.Since.IsZero() {
		what.DeliverPolicy, what.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	return c.read(ctx, stop.StreamResults, what, c.results(each))
}

// About lists the keys of the results about a group, in the order in which they
// were stored. It looks at the headers of all results.
func (c *Client) About(ctx context.Context, group string) (keys []string, err error) {
	what := reading(stop.SubjectResults + ".>")
	what.HeadersOnly = true
	err = c.read(ctx, stop.StreamResults, what, func(msg jetstream.Msg) bool {
		if msg.Headers().Get("ce-subject") == group {
			keys = append(keys, msg.Headers().Get("ce-id"))
		}
		return true
	})
	return keys, err
}

// Progress hands what is told of the progress of a request to each, until ctx
// ends.
func (c *Client) Progress(ctx context.Context, request string, each func(stop.Progress)) error {
	told := make(chan *nats.Msg, 16)
	sub, err := c.nc.ChanSubscribe(stop.ProgressSubject(request), told)
	if err != nil {
		return fmt.Errorf("follow the progress of %s: %w", request, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is about to end, or has
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg := <-told:
			var p stop.Progress
			if json.Unmarshal(msg.Data, &p) == nil {
				each(p)
			}
		}
	}
}

// Letter is a dead letter and where it stands in its stream.
type Letter struct {
	stop.DeadLetter

	Place uint64 `json:"Place"`
}

// Letters hands every dead letter, or those of one request, to each, the oldest
// first, until it wants no more.
func (c *Client) Letters(ctx context.Context, request string, each func(Letter) bool) error {
	subject := stop.SubjectDead + ".>"
	if request != "" {
		subject = stop.DeadSubject(request)
	}
	return c.read(ctx, stop.StreamDead, reading(subject), func(msg jetstream.Msg) bool {
		var l Letter
		meta, err := msg.Metadata()
		if err == nil {
			l.Place = meta.Sequence.Stream
			err = json.Unmarshal(msg.Data(), &l.DeadLetter)
		}
		if err != nil {
			c.log.Warn("a dead letter cannot be read", "subject", msg.Subject(), "error", err)
			return true
		}
		return each(l)
	})
}

// SetHold has the whole fleet make no calls; Release has it go on. Where a hold is
// not to be replaced and there is one, it is left, and the error is stop.ErrLost.
func (c *Client) SetHold(ctx context.Context, h stop.Hold, replace bool) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the hold: %w", err)
	}
	control, err := c.bucket(ctx, stop.BucketControl)
	if err != nil {
		return err
	}
	if replace {
		_, err = control.Put(ctx, stop.ControlHold, data)
	} else {
		_, err = control.Create(ctx, stop.ControlHold, data)
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		return stop.ErrLost
	}
	if err != nil {
		return fmt.Errorf("store the hold: %w", err)
	}
	return nil
}

// Release ends the hold.
func (c *Client) Release(ctx context.Context) error {
	control, err := c.bucket(ctx, stop.BucketControl)
	if err == nil {
		err = control.Delete(ctx, stop.ControlHold)
	}
	if err != nil {
		return fmt.Errorf("release the hold: %w", err)
	}
	return nil
}

// How long the workers are given to answer, and how long after one for the next.
const (
	answersWithin = 2 * time.Second
	nextWithin    = 300 * time.Millisecond
)

// Workers asks all workers how they do. Nobody knows how many there are: those
// that answer in time are.
func (c *Client) Workers(ctx context.Context) ([]stop.Worker, error) {
	inbox := c.nc.NewInbox()
	answers := make(chan *nats.Msg, 1024)
	sub, err := c.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is about to end, or has
	if err := c.nc.PublishMsg(&nats.Msg{Subject: stop.SubjectStatus, Reply: inbox}); err != nil {
		return nil, fmt.Errorf("ask the workers: %w", err)
	}
	workers := []stop.Worker{}
	quiet := time.NewTimer(answersWithin)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return workers, fmt.Errorf("ask the workers: %w", context.Cause(ctx))
		case <-quiet.C:
			return workers, nil
		case msg := <-answers:
			const noResponders = "503"
			if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
				return workers, nil
			}
			var w stop.Worker
			if err := json.Unmarshal(msg.Data, &w); err != nil {
				c.log.Warn("the answer of a worker cannot be read", "error", err)
				continue
			}
			workers = append(workers, w)
			quiet.Reset(nextWithin)
		}
	}
}

// Waiting is what stands in the queues.
type Waiting struct {
	// Unplanned counts requests that nobody has looked at yet.
	Unplanned uint64 `json:"Unplanned"`
	// Bulks are the requests for several targets that are at work.
	Bulks []string `json:"Bulks"`
	// DeadLetters counts what was given up and is kept.
	DeadLetters uint64 `json:"DeadLetters"`
}

// Waiting counts what stands in the queues.
func (c *Client) Waiting(ctx context.Context) (Waiting, error) {
	w := Waiting{Bulks: []string{}}
	for _, name := range []string{stop.StreamStop, stop.StreamResume, stop.StreamBulk, stop.StreamDead} {
		s, err := c.stream(ctx, name)
		if err != nil {
			return w, err
		}
		state := s.CachedInfo().State
		switch name {
		case stop.StreamDead:
			w.DeadLetters = state.Msgs
		case stop.StreamBulk:
			info, err := s.Info(ctx, jetstream.WithSubjectFilter(stop.BulkSubject("*")))
			if err != nil {
				return w, fmt.Errorf("list %s: %w", name, err)
			}
			for subject := range info.State.Subjects {
				w.Bulks = append(w.Bulks, strings.TrimPrefix(subject, stop.BulkSubject("")))
			}
			slices.Sort(w.Bulks)
		default:
			w.Unplanned += state.Msgs
		}
	}
	return w, nil
}
