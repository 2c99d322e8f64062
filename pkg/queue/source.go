package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// source is one durable consumer and how it is worked off.
type source struct {
	stream, durable, filter string
	quota                   stop.Quota
	lane                    stop.Lane // empty: the lane is in the subject
	// foreign: this worker does not have the quota's account.
	foreign bool
}

const planDurable = "plan"

func planSource() source {
	return source{stream: stop.StreamStop, durable: planDurable}
}

func taskSource(q stop.Quota, l stop.Lane) source {
	return source{
		stream: stop.StreamTasks, durable: q.Token() + "_" + string(l),
		filter: stop.LaneTasks(q.Token(), l), quota: q, lane: l,
	}
}

// maxAckPending bounds what a consumer has handed out, messages that wait for
// their retry included. All accounts share the plan, so there those of one
// that cannot be served must not keep the others out, however many they are.
func (s source) maxAckPending() int {
	if s.durable == planDurable {
		return -1 // without bound
	}
	return 5000
}

// The quota of a consumer stands in its metadata, because its name cannot be
// turned back into one.
const (
	metaQuota = "andon-quota"
	metaLane  = "andon-lane"
)

func (s source) metadata() map[string]string {
	if s.lane == "" {
		return nil
	}
	quota, err := json.Marshal(s.quota)
	if err != nil {
		return nil // two strings always marshal
	}
	return map[string]string{metaQuota: string(quota), metaLane: string(s.lane)}
}

func (s source) laneOf(subject string) stop.Lane {
	if s.lane != "" {
		return s.lane
	}
	return stop.LaneOf(subject)
}

// quotas are those that this worker serves. A quota appears with the first
// task planned for it, on whichever worker; the others find its consumers.
type quotas struct {
	learning sync.Mutex // one goroutine makes consumers at a time

	mu    sync.Mutex
	known map[string]stop.Quota // by token: what shares consumers is served once
	added chan stop.Quota
}

// learn makes the consumers of a quota if this worker has not met it yet.
func (q *Queue) learn(ctx context.Context, quota stop.Quota) error {
	if q.serves(quota.Token()) {
		return nil
	}
	q.quotas.learning.Lock()
	defer q.quotas.learning.Unlock()
	if q.serves(quota.Token()) {
		return nil
	}
	for _, l := range stop.Lanes() {
		if err := q.ensureConsumer(ctx, taskSource(quota, l)); err != nil {
			return err
		}
	}
	q.serve(quota)
	return nil
}

// serve has the task loops of a quota started, once.
func (q *Queue) serve(quota stop.Quota) {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	if _, known := q.quotas.known[quota.Token()]; known {
		return
	}
	if q.quotas.known == nil {
		q.quotas.known = make(map[string]stop.Quota)
	}
	q.quotas.known[quota.Token()] = quota
	if q.quotas.added != nil {
		q.quotas.added <- quota
	}
}

// quotaChannelSize is more quotas than a fleet has: accounts times endpoints.
const quotaChannelSize = 4096

// discover finds quotas that other workers have met, now and every few
// seconds, until ctx ends.
func (q *Queue) discover(ctx context.Context) {
	const every = 5 * time.Second
	for {
		if err := q.discoverOnce(ctx); err != nil && ctx.Err() == nil {
			q.conf.Log.Debug("looking for quotas", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func (q *Queue) discoverOnce(ctx context.Context) error {
	tasks, err := q.js.Stream(ctx, stop.StreamTasks)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stop.StreamTasks, err)
	}
	names := tasks.ConsumerNames(ctx)
	for name := range names.Name() {
		if q.serves(name[:max(strings.LastIndex(name, "_"), 0)]) {
			continue
		}
		cons, err := tasks.Consumer(ctx, name)
		if err != nil {
			continue // deleted in between
		}
		if quota, ok := quotaOf(cons); ok {
			q.serve(quota)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", stop.StreamTasks, err)
	}
	return nil
}

// serves reports whether the loops of a quota, by token, are started.
func (q *Queue) serves(token string) bool {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	_, known := q.quotas.known[token]
	return known
}

// served are the quotas whose loops are started.
func (q *Queue) served() []stop.Quota {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	return slices.Collect(maps.Values(q.quotas.known))
}

func quotaOf(cons jetstream.Consumer) (stop.Quota, bool) {
	meta := cons.CachedInfo().Config.Metadata
	var quota stop.Quota
	if json.Unmarshal([]byte(meta[metaQuota]), &quota) != nil {
		return quota, false
	}
	return quota, stop.ValidAccount(quota.Account) && slices.Contains(stop.Lanes(), stop.Lane(meta[metaLane]))
}
