package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errLost says that somebody else has written the schedule in between.
var errLost = errors.New("the schedule was written by another worker")

// A request to the broker is waited for four times as long as the last one
// took, within these bounds, and for twice as long after each that failed: the
// leader of a bucket answers in milliseconds, and while there is none it is
// better to ask again. Late calls cannot wait to be told.
const (
	leastPatience = 200 * time.Millisecond
	mostPatience  = time.Second
)

// bucket is what the limiter needs of the broker: the part of
// jetstream.KeyValue that it uses. Reads must show what was written before.
type bucket interface {
	Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error)
	GetRevision(ctx context.Context, key string, revision uint64) (jetstream.KeyValueEntry, error)
	Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// load reads a schedule. One that does not exist is no error, and one that
// makes no sense is begun anew.
func load(ctx context.Context, b bucket, key string, patience time.Duration) (s stored, broken, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entry, err := b.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return stored{}, nil, nil
	}
	if err != nil {
		return stored{}, nil, fmt.Errorf("read schedule %s: %w", key, err)
	}
	s.revision, s.stamp = entry.Revision(), instant(entry.Created().UnixNano())
	if s.record, err = decode(entry.Value()); err != nil {
		return stored{revision: s.revision, stamp: s.stamp}, err, nil
	}
	return s, nil, nil
}

// store writes a schedule if nobody has written it since the revision, and
// reads back when the broker did so.
func store(ctx context.Context, b bucket, key string, r record, revision uint64, patience time.Duration, read func() tick) (s stored, sent, confirmed tick, err error) {
	data, err := r.encode()
	if err != nil {
		return stored{}, 0, 0, err
	}
	sent = read()
	s = stored{record: r}
	s.revision, err = update(ctx, b, key, data, revision, patience)
	confirmed = read()
	if err != nil {
		return stored{}, 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entry, err := b.GetRevision(ctx, key, s.revision)
	if err != nil {
		return stored{}, 0, 0, fmt.Errorf("read back schedule %s: %w", key, err)
	}
	s.stamp = instant(entry.Created().UnixNano())
	return s, sent, confirmed, nil
}

func update(ctx context.Context, b bucket, key string, data []byte, revision uint64, patience time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if revision == 0 {
		revision, err = b.Create(ctx, key, data) // also over one that was deleted
	} else {
		revision, err = b.Update(ctx, key, data, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		return 0, errLost
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch api.ErrorCode {
		// The second code, of replicated buckets, says that another is storing
		// just now.
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return 0, errLost
		}
	}
	if err != nil {
		return 0, fmt.Errorf("write schedule %s: %w", key, err)
	}
	return revision, nil
}
