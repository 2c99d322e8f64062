package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// holdLook is how long a watch for the hold is trusted before it is made anew.
const holdLook = 30 * time.Second

// Hold reads whether the whole fleet is to make no calls, nil if it may.
func (r *reader) Hold(ctx context.Context) (*stop.Hold, error) {
	control, err := r.bucket(ctx, stop.BucketControl)
	if err != nil {
		return nil, err
	}
	entry, err := control.Get(ctx, stop.ControlHold)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the hold: %w", err)
	}
	return holdOf(entry.Value()), nil
}

// WatchHold tells set of the hold, now and whenever that changes, until ctx
// ends. While the broker is away the last word counts.
func (q *Queue) WatchHold(ctx context.Context, set func(*stop.Hold)) {
	for ctx.Err() == nil {
		brief, cancel := context.WithTimeout(ctx, holdLook)
		hold, err := q.Hold(brief)
		if err == nil {
			set(hold)
			err = q.watch(brief, "KV_"+stop.BucketControl, reading(bucketPrefix(stop.BucketControl)+stop.ControlHold), func(msg jetstream.Msg) bool {
				set(holdOf(msg.Data()))
				return true
			})
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			q.conf.Log.Debug("cannot look for a hold", "error", err)
			pause(ctx, time.Second)
		}
	}
}

// holdOf reads a hold. One that cannot be read is one all the same: somebody
// meant to stop the calls.
func holdOf(data []byte) *stop.Hold {
	if len(data) == 0 {
		return nil // removed
	}
	var h stop.Hold
	if err := json.Unmarshal(data, &h); err != nil {
		return &stop.Hold{Reason: "the hold cannot be read: " + err.Error()}
	}
	return &h
}

// Control reads what stands under a key of the bucket of control, and where it
// was stored; zero: nothing.
func (r *reader) Control(ctx context.Context, key string, into any) (revision uint64, err error) {
	control, err := r.bucket(ctx, stop.BucketControl)
	if err != nil {
		return 0, err
	}
	entry, err := control.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), into); err != nil {
		r.log.Warn("what the fleet goes by cannot be read, and begins anew", "key", key, "error", err)
	}
	return entry.Revision(), nil
}

// SetControl stores a value that was read at revision; if somebody has stored
// another, its error is stop.ErrLost.
func (q *Queue) SetControl(ctx context.Context, key string, value any, revision uint64) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if _, err := q.swap(ctx, stop.BucketControl, key, data, revision); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return nil
}
