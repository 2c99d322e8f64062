package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// shortestRetry keeps a delay from becoming a bare Nak, which is what a delay
// that is not above zero means: the message would be back at once.
const shortestRetry = time.Millisecond

// lastTries bounds how long a worker that is stopping tries to store, so that
// it ends in time although the broker is away.
const lastTries = 2 * time.Second

// lastStore bounds it where the broker is there and does not answer, behind
// others that wait for it too.
const lastStore = 5 * time.Second

// settle does what a verdict says: store, then acknowledge; or remember, then
// give the message back for later. It is the only place that acknowledges.
// What cannot be stored is tried again for as long as the delivery is ours;
// after that the broker gives the message to somebody, who finds out from the
// history what has been done.
func (q *Queue) settle(working context.Context, t *inHand, m stop.Message, v stop.Verdict) {
	// A worker that is stopping still finishes what it has begun, unless the
	// connection is over; with a broker in trouble it does not try for long.
	ctx, cancel := context.WithCancel(q.over)
	defer cancel()
	defer context.AfterFunc(working, func() { time.AfterFunc(lastStore, cancel) })()
	var trouble time.Time // when storing first failed
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := q.store(ctx, v)
		if err == nil {
			break
		}
		if q.over.Err() != nil {
			return
		}
		if errors.Is(err, stop.ErrLost) {
			q.conf.Log.Debug("task is in other hands", "sequence", m.Sequence)
			return
		}
		q.conf.Log.Warn("cannot store, trying again", "sequence", m.Sequence, "error", err)
		if trouble.IsZero() {
			trouble = time.Now()
		}
		pause(ctx, wait)
		patience := t.ackWait
		if working.Err() != nil {
			patience = lastTries
		}
		if ctx.Err() != nil || time.Since(trouble) > patience || !t.ours() {
			return
		}
	}
	var err error
	switch {
	case v.Final():
		q.reached("after-result", v)
		err = t.delivery.ack()
		q.reached("after-ack", v)
		q.forget(ctx, v.History)
	case t.ours():
		err = t.delivery.giveBack(v.Retry)
	}
	if err != nil {
		q.conf.Log.Warn("cannot settle; the message will come again", "sequence", m.Sequence, "error", err)
	}
}

// reached tells a test where the process is.
func (q *Queue) reached(point string, v stop.Verdict) {
	if q.conf.Crash == nil {
		return
	}
	for _, r := range v.Results {
		q.conf.Crash(point + " " + r.Key())
	}
}

// store keeps everything a verdict holds, each thing at most once. Without a
// deadline in ctx each question to the broker has its own (see newTopology):
// an answer can be lost, with a leader or a connection, and asking again finds
// out.
func (q *Queue) store(ctx context.Context, v stop.Verdict) error {
	if v.Bulk != nil {
		if err := q.storeBulk(ctx, *v.Bulk); err != nil {
			return err
		}
	}
	if err := q.storeTasks(ctx, v.Parts, v.Tasks); err != nil {
		return err
	}
	for _, letter := range v.DeadLetters {
		if err := q.bury(ctx, letter); err != nil {
			return err
		}
	}
	if err := q.storeResults(ctx, v.Results); err != nil {
		return err
	}
	if v.Final() {
		return nil
	}
	if v.History != nil {
		if err := q.Remember(ctx, v.History); err != nil {
			return err
		}
	}
	if v.Call != nil {
		// Another that has called since has said more than this would.
		if err := q.Begin(ctx, v.Call); err != nil && !errors.Is(err, stop.ErrLost) {
			return err
		}
	}
	return nil
}

// storeTasks stores parts and tasks unless there are some with their keys: the
// claim spans quotas and lanes, so that one identity is never at work in two
// places.
func (q *Queue) storeTasks(ctx context.Context, parts []stop.Part, tasks []stop.Task) error {
	var msgs []*nats.Msg
	sources := make(map[string]source)
	add := func(quota stop.Quota, l stop.Lane, subject, key string, work any) error {
		s := taskSource(quota, l)
		sources[s.durable] = s
		data, err := json.Marshal(work)
		if err != nil {
			return fmt.Errorf("encode task %s: %w", key, err)
		}
		msgs = append(msgs, expecting(subject, nil, data, 0, stop.TaskClaim(key)))
		return nil
	}
	for _, p := range parts {
		if err := add(p.Quota, p.Of.Task.Lane, stop.PartSubject(p), p.Key(), p); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if err := add(t.Quota, t.Lane, stop.TaskSubject(t), t.Key(), t); err != nil {
			return err
		}
	}
	if err := q.learn(ctx, slices.Collect(maps.Values(sources))...); err != nil {
		return err
	}
	if _, err := q.publishFirsts(ctx, stop.StreamTasks, msgs); err != nil {
		return fmt.Errorf("store tasks: %w", err)
	}
	return nil
}

// storeBulk has the progress of a bulk followed until it has its summary.
func (q *Queue) storeBulk(ctx context.Context, b stop.Bulk) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode bulk %s: %w", b.Task.Request, err)
	}
	if _, err := q.storeOnce(ctx, stop.StreamBulk, stop.BulkSubject(b.Task.Request), data); err != nil {
		return fmt.Errorf("store bulk %s: %w", b.Task.Request, err)
	}
	return nil
}

func (q *Queue) storeResults(ctx context.Context, results []stop.Result) error {
	msgs := make([]*nats.Msg, len(results))
	for i, r := range results {
		header, data, err := r.Encode()
		if err != nil {
			return err //nolint:wrapcheck // says of which result
		}
		msgs[i] = expecting(stop.ResultSubject(r.Key()), header, data, 0, "")
	}
	began := time.Now()
	first, err := q.publishFirsts(ctx, stop.StreamResults, msgs)
	for i, r := range results {
		if first[i] == nil {
			continue
		}
		if !*first[i] {
			q.compare(ctx, r)
			continue
		}
		q.metrics.result(r)
		if q.conf.Stored != nil {
			q.conf.Stored(r, began)
		}
		q.conf.Log.Info("result", "request", r.Key(), "outcome", r.Outcome, "group", r.AutoScalingGroupID, "activity", r.RefreshActivityID,
			"account", r.Account, "region", r.Region, "status", r.Status, "code", r.Code, "api_request", r.RequestID, "attempts", r.Attempts, "lane", r.Lane)
	}
	if err != nil {
		return fmt.Errorf("store results: %w", err)
	}
	return nil
}

// compare tells of a request that has ended twice and not alike: what stands
// is what others see, and somebody has to know that it is not all.
func (q *Queue) compare(ctx context.Context, r stop.Result) {
	stands, err := q.stands(ctx, r.Key())
	if errors.Is(err, errNoResult) {
		stands, err = &stop.Result{Outcome: "no result"}, nil
	}
	if err != nil || stands == nil || stands.Outcome == r.Outcome {
		return
	}
	q.conf.Log.Error("a request has ended in two ways; the first result stands", "request", r.Key(), "stands", stands.Outcome, "by", stands.Worker,
		"refused", r.Outcome, "message", r.Message, "code", r.Code, "api_request", r.RequestID)
}

func (q *Queue) bury(ctx context.Context, d stop.DeadLetter) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode dead letter of %s: %w", d.Request, err)
	}
	first, err := q.storeLetter(ctx, d, data)
	if errors.Is(err, nats.ErrMaxPayload) && len(d.Data) > 0 {
		d.Data = nil // better a letter without its payload than no result
		return q.bury(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("store dead letter of %s: %w", d.Request, err)
	}
	if first {
		q.metrics.deadLetters.WithLabelValues(string(d.Why)).Inc()
		q.conf.Log.Warn("dead letter", "request", d.Request, "target", d.Target, "why", d.Why, "message", d.Message, "subject", d.Subject, "sequence", d.Sequence)
	}
	return nil
}

// storeLetter stores a dead letter unless there is one for the same thing. The
// letters of several targets stand on the subject of their request, so there the
// broker knows each by an id, for an hour.
func (q *Queue) storeLetter(ctx context.Context, d stop.DeadLetter, data []byte) (first bool, err error) {
	subject := stop.DeadSubject(d.Request)
	if d.Target == "" {
		return q.storeOnce(ctx, stop.StreamDead, subject, data)
	}
	ack, err := q.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithMsgID(d.Request+"."+d.Target))
	if err != nil {
		return false, err //nolint:wrapcheck // by the caller
	}
	return !ack.Duplicate, nil
}

// storeOnce publishes to a subject that must hold nothing yet, and says
// whether it was the first.
func (q *Queue) storeOnce(ctx context.Context, stream, subject string, data []byte) (first bool, err error) {
	return q.publishFirst(ctx, stream, expecting(subject, nil, data, 0, ""))
}

// publishFirst publishes where nothing may stand yet, and says whether it was
// the first.
func (q *Queue) publishFirst(ctx context.Context, stream string, msg *nats.Msg) (first bool, err error) {
	firsts, err := q.publishFirsts(ctx, stream, []*nats.Msg{msg})
	return firsts[0] != nil && *firsts[0], err
}

// publishFirsts does so with many messages, and says of each whether it was the
// first; nil: it is not known. It returns no error only when something stands in
// each place for certain: a replicated stream mostly refuses because somebody
// else is storing just now, and that may still come to nothing when the leader
// dies, so it is asked again until the answer is known, for a second or so.
func (q *Queue) publishFirsts(ctx context.Context, stream string, msgs []*nats.Msg) (first []*bool, err error) {
	first = make([]*bool, len(msgs))
	left := make([]int, len(msgs))
	for i := range msgs {
		left[i] = i
	}
	for wait := 2 * time.Millisecond; len(left) > 0 && wait < time.Second; wait *= 2 {
		ask := make([]*nats.Msg, len(left))
		for i, n := range left {
			ask[i] = msgs[n]
		}
		var again []int
		var faults []error
		for i, w := range q.into[stream].storeAll(ctx, ask) {
			switch n := left[i]; {
			case w.err == nil:
				first[n] = new(true)
			case refusedWith(w.err, jetstream.JSErrCodeStreamWrongLastSequence):
				first[n] = new(false)
			case refusedWith(w.err, jetstream.JSErrCodeStreamWrongLastSequenceConstant):
				again, err = append(again, n), w.err
			default:
				faults = append(faults, w.err)
			}
		}
		if len(faults) > 0 {
			return first, faults[0]
		}
		if left = again; len(left) > 0 {
			pause(ctx, wait)
		}
	}
	if len(left) > 0 {
		return first, err
	}
	return first, nil
}

// refusedWith reports whether JetStream refused with one of the codes.
func refusedWith(err error, codes ...jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode)
}
