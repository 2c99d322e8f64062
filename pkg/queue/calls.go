package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Call reads the last call on the activity of a target; none yet is no error.
// The mark of one that was dropped counts too: whoever has not seen it must not
// go on.
func (q *Queue) Call(ctx context.Context, t stop.Target) (stop.Call, error) {
	c := stop.Call{Target: t}
	msg, err := q.streams["KV_"+stop.BucketCalls].GetLastMsgForSubject(ctx, bucketPrefix(stop.BucketCalls)+c.Place())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the last call on %s: %w", t.RefreshActivityID, err)
	}
	if len(msg.Data) > 0 {
		if err := json.Unmarshal(msg.Data, &c); err != nil {
			return c, fmt.Errorf("decode the last call on %s: %w", t.RefreshActivityID, err)
		}
	}
	c.Revision, c.StoredAt = msg.Sequence, msg.Time
	return c, nil
}

// Begin stores a call before it is made. Of two workers that know the same of
// an activity only one gets through; the other has stop.ErrLost and must not
// call.
func (q *Queue) Begin(ctx context.Context, c *stop.Call) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode call of %s: %w", c.Key, err)
	}
	revision, err := q.swap(ctx, stop.BucketCalls, c.Place(), data, c.Revision)
	if err != nil {
		return fmt.Errorf("store call of %s: %w", c.Key, err)
	}
	c.Revision = revision
	return nil
}

// Calls lists the calls of the whole fleet that have not been dropped.
func (r *reader) Calls(ctx context.Context) ([]stop.Call, error) {
	var all []stop.Call
	err := r.read(ctx, "KV_"+stop.BucketCalls, reading(bucketPrefix(stop.BucketCalls)+">"), func(msg jetstream.Msg) bool {
		meta, err := msg.Metadata()
		var c stop.Call
		if err != nil || len(msg.Data()) == 0 || json.Unmarshal(msg.Data(), &c) != nil {
			return true
		}
		c.Revision, c.StoredAt = meta.Sequence.Stream, meta.Timestamp
		all = append(all, c)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list the calls: %w", err)
	}
	return all, nil
}

// Drop removes a call of which nobody need know any more, unless there is a
// newer one.
func (q *Queue) Drop(ctx context.Context, c stop.Call) error {
	err := q.buckets[stop.BucketCalls].Delete(ctx, c.Place(), jetstream.LastRevision(c.Revision))
	if err != nil && !refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence) {
		return fmt.Errorf("drop call of %s: %w", c.Key, err)
	}
	return nil
}
