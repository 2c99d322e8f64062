package limiter

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// broker stands for JetStream where time is simulated: one bucket with
// compare-and-set, stamps by a clock of its own, ways there and back that take
// time, and requests and answers that get lost.
type broker struct {
	// oneWay is how long a message is under way. loss is the share of messages
	// that is lost.
	oneWay func() time.Duration
	loss   float64
	// wrote is told of each record that is stored; nil: nobody is.
	wrote func(r stored)

	mu       sync.Mutex // guards all below
	random   *rand.Rand
	ahead    time.Duration // of the machines' clock
	down     bool
	revision uint64
	entries  map[uint64]entry
	last     map[string]uint64
	writes   int
}

func newBroker(seed uint64) *broker {
	return &broker{
		oneWay: func() time.Duration { return 500 * time.Microsecond }, random: rand.New(rand.NewPCG(seed, 0)),
		entries: map[uint64]entry{}, last: map[string]uint64{},
	}
}

type entry struct {
	jetstream.KeyValueEntry

	value    []byte
	revision uint64
	created  time.Time
}

func (e entry) Value() []byte      { return e.value }
func (e entry) Revision() uint64   { return e.revision }
func (e entry) Created() time.Time { return e.created }

// change sets the state of the broker.
func (b *broker) change(f func(b *broker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// written counts the records that were stored.
func (b *broker) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// carry takes one message over the network. A lost one ends with the caller's
// patience.
func (b *broker) carry(ctx context.Context) error {
	b.mu.Lock()
	d, lost := b.oneWay(), b.random.Float64() < b.loss
	b.mu.Unlock()
	if lost {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask has do done by the broker, if the request arrives, and returns what
// came of it, if the answer does.
func (b *broker) ask(ctx context.Context, do func() (entry, error)) (entry, error) {
	if err := b.carry(ctx); err != nil {
		return entry{}, err
	}
	b.mu.Lock()
	if b.down {
		b.mu.Unlock()
		return entry{}, nats.ErrNoResponders
	}
	e, err := do()
	b.mu.Unlock()
	if lost := b.carry(ctx); lost != nil {
		return entry{}, lost
	}
	return e, err
}

func (b *broker) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return b.ask(ctx, func() (entry, error) {
		if b.last[key] == 0 {
			return entry{}, jetstream.ErrKeyNotFound
		}
		return b.entries[b.last[key]], nil
	})
}

func (b *broker) GetRevision(ctx context.Context, _ string, revision uint64) (jetstream.KeyValueEntry, error) {
	return b.ask(ctx, func() (entry, error) {
		e, ok := b.entries[revision]
		if !ok {
			return entry{}, jetstream.ErrKeyNotFound
		}
		return e, nil
	})
}

func (b *broker) Create(ctx context.Context, key string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	revision, err := b.Update(ctx, key, value, 0)
	if _, ok := errors.AsType[*jetstream.APIError](err); ok {
		err = jetstream.ErrKeyExists
	}
	return revision, err
}

func (b *broker) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	e, err := b.ask(ctx, func() (entry, error) {
		if b.last[key] != revision {
			return entry{}, &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}
		}
		b.revision++
		b.writes++
		e := entry{value: value, revision: b.revision, created: time.Now().Add(b.ahead)}
		b.entries[b.revision], b.last[key] = e, b.revision
		delete(b.entries, b.revision-1000)
		if r, err := decode(value); b.wrote != nil && err == nil {
			b.wrote(stored{record: r, revision: e.revision, stamp: instant(e.created.UnixNano())})
		}
		return e, nil
	})
	return e.revision, err
}
