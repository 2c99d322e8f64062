package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

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

// Durables that are there whatever is asked.
const (
	planDurable   = "plan"
	resumeDurable = "resume"
	bulkDurable   = "bulk"
)

// standing are the consumers that are there whatever is asked.
func standing() []source { return []source{planSource(), resumeSource(), bulkSource()} }

func planSource() source   { return source{stream: stop.StreamStop, durable: planDurable} }
func resumeSource() source { return source{stream: stop.StreamResume, durable: resumeDurable} }
func bulkSource() source   { return source{stream: stop.StreamBulk, durable: bulkDurable} }

func taskSource(q stop.Quota, l stop.Lane) source {
	return source{
		stream: stop.StreamTasks, durable: q.Token() + "_" + string(l),
		filter: stop.LaneTasks(q.Token(), l), quota: q, lane: l,
	}
}

// followWait is how soon another worker goes on with the progress of a bulk
// when one has died.
const followWait = 10 * time.Second

// ackWait is how long a message may be in hand without a sign of life.
func (s source) ackWait(c Config) time.Duration {
	if s.durable == bulkDurable {
		return min(c.AckWait, followWait)
	}
	return c.AckWait
}

// maxAckPending bounds what a consumer has handed out, messages that wait for
// their retry included. All accounts share the plan, so there those of one
// that cannot be served must not keep the others out, however many they are.
func (s source) maxAckPending() int {
	if s.lane == "" {
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
	switch {
	case s.lane != "":
		return s.lane
	case s.durable == bulkDurable:
		return stop.LaneBulk
	default:
		return stop.LaneOf(subject)
	}
}

// quotas are the task queues that this worker serves, by quota and lane. One
// appears with the first task planned for it, on whichever worker; the others
// find its consumer.
type quotas struct {
	learning singleflight.Group // one goroutine makes a consumer

	mu    sync.Mutex
	known map[string]source // by durable: what shares a consumer is served once
	added chan source
}

// learn makes the consumers of task queues that this worker has not met yet,
// several at a time.
func (q *Queue) learn(ctx context.Context, sources ...source) error {
	const atOnce = 16
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, s := range sources {
		if q.serves(s.durable) {
			continue
		}
		group.Go(func() error {
			_, err, _ := q.quotas.learning.Do(s.durable, func() (any, error) {
				if q.serves(s.durable) {
					return nil, nil
				}
				if err := q.ensureConsumer(ctx, s); err != nil {
					return nil, err
				}
				q.serve(s)
				return nil, nil
			})
			return err //nolint:wrapcheck // says which consumer
		})
	}
	return group.Wait() //nolint:wrapcheck // as above
}

// serve has the loop of a task queue started, once.
func (q *Queue) serve(s source) {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	if _, known := q.quotas.known[s.durable]; known {
		return
	}
	if q.quotas.known == nil {
		q.quotas.known = make(map[string]source)
	}
	q.quotas.known[s.durable] = s
	if q.quotas.added != nil {
		q.quotas.added <- s
	}
}

// quotaChannelSize is more task queues than a fleet has: accounts times
// endpoints times lanes.
const quotaChannelSize = 16384

// discover finds task queues that other workers have met, now and every few
// seconds, until ctx ends. Less often it looks for tasks that have no consumer,
// as happens when a broker was restarted, which keeps consumers in its memory.
func (q *Queue) discover(ctx context.Context) {
	const every, orphansEvery = 5 * time.Second, time.Minute
	var looked time.Time
	for {
		err := q.discoverOnce(ctx)
		if err == nil && time.Since(looked) >= orphansEvery {
			if err = q.discoverOrphans(ctx); err == nil {
				looked = time.Now()
			}
		}
		if err != nil && ctx.Err() == nil {
			q.conf.Log.Debug("looking for task queues", "error", err)
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
		if q.serves(name) {
			continue
		}
		cons, err := tasks.Consumer(ctx, name)
		if err != nil {
			continue // deleted in between
		}
		if s, ok := sourceOf(cons); ok {
			q.serve(s)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", stop.StreamTasks, err)
	}
	return nil
}

// discoverOrphans finds task queues by the tasks in them.
func (q *Queue) discoverOrphans(ctx context.Context) error {
	tasks, err := q.js.Stream(ctx, stop.StreamTasks)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stop.StreamTasks, err)
	}
	info, err := tasks.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	asked := make(map[string]bool)
	for subject := range info.State.Subjects {
		token, lane := stop.TaskQuota(subject), stop.TaskLane(subject)
		durable := token + "_" + string(lane)
		if asked[durable] || q.serves(durable) {
			continue
		}
		asked[durable] = true
		msg, err := tasks.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // done with in between
		}
		if err != nil {
			return fmt.Errorf("read a task: %w", err)
		}
		var of struct{ Quota stop.Quota }
		if json.Unmarshal(msg.Data, &of) == nil && stop.ValidAccount(of.Quota.Account) && of.Quota.Token() == token {
			q.serve(taskSource(of.Quota, lane))
		}
	}
	return nil
}

// serves reports whether the loop of a task queue, by durable, is started.
func (q *Queue) serves(durable string) bool {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	_, known := q.quotas.known[durable]
	return known
}

// served are the task queues whose loops are started.
func (q *Queue) served() []source {
	q.quotas.mu.Lock()
	defer q.quotas.mu.Unlock()
	return slices.Collect(maps.Values(q.quotas.known))
}

// sourceOf reads from a consumer's metadata whose tasks it holds.
func sourceOf(cons jetstream.Consumer) (source, bool) {
	meta := cons.CachedInfo().Config.Metadata
	var quota stop.Quota
	lane := stop.Lane(meta[metaLane])
	if json.Unmarshal([]byte(meta[metaQuota]), &quota) != nil || !stop.ValidAccount(quota.Account) || !slices.Contains(stop.Lanes(), lane) {
		return source{}, false
	}
	return taskSource(quota, lane), true
}
