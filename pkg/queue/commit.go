package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// A broker that syncs every message takes as long for one as for many that are
// published as one batch, so messages for a stream that come while another is
// being stored wait for that, and are then stored together. Whoever comes alone
// waits for nobody.
const (
	// fewest is how many messages make a batch: the broker lays one out in files
	// of its own first, which costs about as much as so many messages.
	fewest = 8
	// A batch waits for more, that long, while it is smaller than enough.
	enough = 64
	linger = 8 * time.Millisecond
	// mostTogether and mostBytes bound a batch; the broker takes a thousand.
	mostTogether = 250
	mostBytes    = 512 << 10
)

// The headers of an atomic batch (ADR-50 of NATS), and those that expect what
// stands before a message.
const (
	headerBatch         = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	headerExpect        = "Nats-Expected-Last-Subject-Sequence"
	headerExpectSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// committer stores the messages of one stream.
type committer struct {
	js jetstream.JetStream
	nc *nats.Conn
	// together: the stream takes batches. Whoever writes there in a hurry does not
	// let them grow.
	together, hurried bool

	mu      sync.Mutex
	leading bool
	waiting []*write
	// alone: until then nothing is batched, because a batch was refused of late.
	alone time.Time
}

// aloneFor is how long messages are stored one by one after a batch was refused:
// where many write the same things, each would be stored twice.
const aloneFor = 2 * time.Second

// hurriedTimeout is how long an answer is waited for by those in a hurry.
const hurriedTimeout = time.Second

// write is a message on its way into the stream. Its turn comes when another
// has stored it, or when it is the one to store all that waits.
type write struct {
	ctx  context.Context //nolint:containedctx // of the caller, who waits for it
	msg  *nats.Msg
	turn chan bool // true: lead

	sequence uint64
	err      error
}

// expecting is a message that is refused unless the last message under a
// subject, its own if that is empty, has this sequence.
func expecting(subject string, header nats.Header, data []byte, last uint64, under string) *nats.Msg {
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: data}
	for name, values := range header {
		m.Header[name] = values
	}
	m.Header.Set(headerExpect, strconv.FormatUint(last, 10))
	if under != "" {
		m.Header.Set(headerExpectSubject, under)
	}
	return m
}

// store returns the sequence at which the message was stored.
func (c *committer) store(ctx context.Context, msg *nats.Msg) (uint64, error) {
	w := c.storeAll(ctx, []*nats.Msg{msg})[0]
	return w.sequence, w.err
}

// storeAll stores many messages, each for itself.
func (c *committer) storeAll(ctx context.Context, msgs []*nats.Msg) []*write {
	writes := make([]*write, len(msgs))
	for i, msg := range msgs {
		writes[i] = &write{ctx: ctx, msg: msg, turn: make(chan bool, 1)}
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, writes...)
	if !c.leading && len(c.waiting) > 0 {
		c.leading = true
		c.waiting[0].turn <- true
	}
	c.mu.Unlock()
	for _, w := range writes {
		if c.await(w) {
			c.lead(w)
		}
	}
	return writes
}

// await waits until a message has been stored, or is to be stored by whoever
// waits for it. One whose time is over before it is being stored is taken back.
func (c *committer) await(w *write) (lead bool) {
	select {
	case lead = <-w.turn:
		return lead
	case <-w.ctx.Done():
	}
	c.mu.Lock()
	i := slices.Index(c.waiting, w)
	if i < 0 || len(w.turn) > 0 {
		c.mu.Unlock()
		return <-w.turn
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	c.mu.Unlock()
	w.err = context.Cause(w.ctx)
	return false
}

// lead stores all that waits, its own message first among it, and hands over to
// one of those that have come meanwhile.
func (c *committer) lead(own *write) {
	c.mu.Lock()
	together := c.together && len(c.waiting) >= fewest && time.Now().After(c.alone)
	few := len(c.waiting) < enough && !c.hurried
	c.mu.Unlock()
	if together && few {
		pause(own.ctx, linger)
	}
	c.mu.Lock()
	batch := c.take()
	c.mu.Unlock()
	var err error
	if together {
		err = c.commit(batch)
	}
	switch {
	case together && err == nil:
	case silent(err):
		// One by one they would wait for the same silence.
		for _, w := range batch {
			w.err = err
		}
	default:
		if together {
			c.mu.Lock()
			c.alone = time.Now().Add(aloneFor)
			c.mu.Unlock()
		}
		var singles sync.WaitGroup
		for _, w := range batch {
			singles.Go(func() { w.sequence, w.err = c.single(w) })
		}
		singles.Wait()
	}
	for _, w := range batch {
		if w != own {
			w.turn <- false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leading = len(c.waiting) > 0; c.leading {
		c.waiting[0].turn <- true
	}
}

// silent reports whether the broker has not answered in time.
func silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// take is what fits into one batch. Under mu.
func (c *committer) take() []*write {
	n, size := 0, 0
	for n < len(c.waiting) && n < mostTogether {
		if size += c.waiting[n].msg.Size(); n > 0 && size > mostBytes {
			break
		}
		n++
	}
	batch := c.waiting[:n:n]
	c.waiting = append([]*write(nil), c.waiting[n:]...)
	return batch
}

func (c *committer) single(w *write) (uint64, error) {
	ack, err := c.js.PublishMsg(w.ctx, w.msg)
	if err != nil {
		return 0, err //nolint:wrapcheck // by the callers
	}
	return ack.Sequence, nil
}

// commit stores a batch, all of it or nothing. When it fails it may have been
// stored all the same; what is stored one by one then is refused, as it would
// be after any answer that was lost.
func (c *committer) commit(batch []*write) error {
	id := nuid.Next()
	patience := storeTimeout
	if c.hurried {
		patience = hurriedTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), patience)
	defer cancel()
	for i, w := range batch {
		m := &nats.Msg{Subject: w.msg.Subject, Header: nats.Header{}, Data: w.msg.Data}
		for name, values := range w.msg.Header {
			m.Header[name] = values
		}
		m.Header.Set(headerBatch, id)
		m.Header.Set(headerBatchSequence, strconv.Itoa(i+1))
		if i < len(batch)-1 {
			if err := c.nc.PublishMsg(m); err != nil {
				return fmt.Errorf("publish a batch: %w", err)
			}
			continue
		}
		m.Header.Set(headerBatchCommit, "1")
		answer, err := c.nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			return fmt.Errorf("commit a batch: %w", err)
		}
		var ack struct {
			Sequence uint64              `json:"seq"`
			Count    int                 `json:"count"`
			Error    *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(answer.Data, &ack); err != nil {
			return fmt.Errorf("commit a batch: %w", err)
		}
		if ack.Error != nil || ack.Count != len(batch) {
			return fmt.Errorf("commit a batch of %d: %d stored, %w", len(batch), ack.Count, ack.Error)
		}
		for j, w := range batch {
			w.sequence = ack.Sequence - uint64(len(batch)-1-j) //nolint:gosec // the sequences of a batch follow each other
		}
	}
	return nil
}
