package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Manifest reads which targets a request means, nil if that has not been
// settled.
func (r *reader) Manifest(ctx context.Context, request string) (*stop.Bulk, error) {
	var b stop.Bulk
	found, err := r.value(ctx, stop.BucketManifests, request, &b)
	if err != nil || !found {
		return nil, err
	}
	return &b, nil
}

// Settle stores which targets a request means, by parts, and returns the
// manifest that stands: of two workers that found different groups, the first
// counts. The head makes it valid and is stored last; lists that no head names
// are never looked at, and go when they are old.
func (q *Queue) Settle(ctx context.Context, b stop.Bulk, parts [][]stop.Member) (stop.Bulk, error) {
	msgs := make([]*nats.Msg, len(parts))
	for n, members := range parts {
		data, err := json.Marshal(members)
		if err != nil {
			return b, fmt.Errorf("encode targets of %s: %w", b.Task.Request, err)
		}
		msgs[n] = &nats.Msg{Subject: bucketPrefix(stop.BucketManifests) + partKey(b, n), Data: data}
	}
	for _, w := range q.into["KV_"+stop.BucketManifests].storeAll(ctx, msgs) {
		if w.err != nil {
			return b, fmt.Errorf("store targets of %s: %w", b.Task.Request, w.err)
		}
	}
	head, err := json.Marshal(b)
	if err != nil {
		return b, fmt.Errorf("encode manifest of %s: %w", b.Task.Request, err)
	}
	first, err := q.storeOnce(ctx, "KV_"+stop.BucketManifests, bucketPrefix(stop.BucketManifests)+b.Task.Request, head)
	if err != nil {
		return b, fmt.Errorf("store manifest of %s: %w", b.Task.Request, err)
	}
	if first {
		return b, nil
	}
	stands, err := q.Manifest(ctx, b.Task.Request)
	if err != nil {
		return b, err
	}
	if stands == nil {
		return b, fmt.Errorf("the manifest of %s was removed", b.Task.Request)
	}
	return *stands, nil
}

// Members reads the targets of a part.
func (q *Queue) Members(ctx context.Context, b stop.Bulk, part int) ([]stop.Member, error) {
	var members []stop.Member
	found, err := q.value(ctx, stop.BucketManifests, partKey(b, part), &members)
	if err == nil && !found {
		err = fmt.Errorf("the targets of %s were removed", b.Task.Request)
	}
	return members, err
}

func partKey(b stop.Bulk, part int) string {
	return b.Task.Request + "." + b.Digest + "." + strconv.Itoa(part)
}

// value reads what stands under a key of a bucket.
func (r *reader) value(ctx context.Context, bucket, key string, into any) (found bool, err error) {
	b, err := r.bucket(ctx, bucket)
	if err != nil {
		return false, err
	}
	entry, err := b.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s of %s: %w", key, bucket, err)
	}
	if err := json.Unmarshal(entry.Value(), into); err != nil {
		return false, fmt.Errorf("decode %s of %s: %w", key, bucket, err)
	}
	return true, nil
}
