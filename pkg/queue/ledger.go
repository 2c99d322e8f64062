package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Planned reports whether there is a task with the key.
func (r *reader) Planned(ctx context.Context, key string) (bool, error) {
	tasks, err := r.stream(ctx, stop.StreamTasks)
	if err != nil {
		return false, err
	}
	_, err = tasks.GetLastMsgForSubject(ctx, stop.TaskClaim(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a task of %s: %w", key, err)
	}
	return true, nil
}

// Result reads a result by its key, nil if there is none yet. What stands in its place
// and is no result of the key does not count: who may have the broker confirm to a subject
// of their choice can put something there. The request is carried out all the same,
// and its result, for which there is no place, is told in the log.
func (r *reader) Result(ctx context.Context, key string) (*stop.Result, error) {
	result, err := r.stands(ctx, key)
	if errors.Is(err, errNoResult) {
		r.log.Error("what stands in the place of a result is none", "request", key, "error", err)
		return nil, nil
	}
	return result, err
}

// errNoResult says that something else stands in the place of a result.
var errNoResult = errors.New("no result")

// stands reads what stands in the place of a result, nil if there is nothing.
func (r *reader) stands(ctx context.Context, key string) (*stop.Result, error) {
	results, err := r.stream(ctx, stop.StreamResults)
	if err != nil {
		return nil, err
	}
	msg, err := results.GetLastMsgForSubject(ctx, stop.ResultSubject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read result of %s: %w", key, err)
	}
	result, err := resultOf(msg.Subject, msg.Data)
	if err != nil {
		return nil, err
	}
	return &result, nil
}

// resultOf reads what stands under a subject as the result that belongs there.
func resultOf(subject string, data []byte) (stop.Result, error) {
	var result stop.Result
	if err := json.Unmarshal(data, &result); err != nil {
		return result, fmt.Errorf("%w: decode %s: %w", errNoResult, subject, err)
	}
	if subject != stop.ResultSubject(result.Key()) {
		return result, fmt.Errorf("%w: %s names %q", errNoResult, subject, result.Key())
	}
	return result, nil
}

// History reads what a task has been through; nothing yet is no error.
func (q *Queue) History(ctx context.Context, key string) (stop.History, error) {
	h := stop.History{Key: key}
	entry, err := q.buckets[stop.BucketHistory].Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read history %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), &h); err != nil {
		return h, fmt.Errorf("decode history %s: %w", key, err)
	}
	h.Revision = entry.Revision()
	return h, nil
}

// Remember stores a history if nobody has stored a newer one; else its error is
// stop.ErrLost.
func (q *Queue) Remember(ctx context.Context, h *stop.History) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode history %s: %w", h.Key, err)
	}
	revision, err := q.swap(ctx, stop.BucketHistory, h.Key, data, h.Revision)
	if err != nil {
		return fmt.Errorf("store history %s: %w", h.Key, err)
	}
	h.Revision = revision
	return nil
}

// swap stores a value where the last was stored at revision, zero for never; if
// somebody has stored another, its error is stop.ErrLost. So it is when another
// is storing just now, as replicated streams say; should that come to nothing,
// nothing is lost but time.
func (q *Queue) swap(ctx context.Context, bucket, key string, data []byte, revision uint64) (uint64, error) {
	revision, err := q.into["KV_"+bucket].store(ctx, expecting(bucketPrefix(bucket)+key, nil, data, revision, ""))
	if refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, stop.ErrLost
	}
	return revision, err //nolint:wrapcheck // by the callers
}

// forget drops what a history says. The mark of the deletion stays until it is
// too old, and refuses the note of a worker that was suspended while others
// did its task.
func (q *Queue) forget(ctx context.Context, h *stop.History) {
	if h == nil || h.Revision == 0 {
		return
	}
	if err := q.buckets[stop.BucketHistory].Delete(ctx, h.Key); err != nil {
		q.conf.Log.Debug("history is kept until it is too old", "key", h.Key, "error", err)
	}
}
