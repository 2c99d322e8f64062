package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// settle does what a verdict says: store, then acknowledge; or remember, then
// give the message back for later. It is the only place that acknowledges.
// What cannot be stored is tried again for as long as the delivery is ours;
// after that the broker gives the message to somebody, who finds out from the
// history what has been done.
func (q *Queue) settle(working context.Context, t *inHand, m stop.Message, v stop.Verdict) {
	// A worker that is stopping still finishes what it has begun, unless the
	// connection is over; with a broker in trouble it does not try for long.
	ctx := q.over
	var trouble time.Time // when storing first failed
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := q.store(ctx, v)
		if err == nil {
			break
		}
		if q.over.Err() != nil {
			return
		}
		if errors.Is(err, ErrLost) {
			q.conf.Log.Debug("task is in other hands", "sequence", m.Sequence)
			return
		}
		q.conf.Log.Warn("cannot store, trying again", "sequence", m.Sequence, "error", err)
		if trouble.IsZero() {
			trouble = time.Now()
		}
		pause(ctx, wait)
		patience := q.conf.AckWait
		if working.Err() != nil {
			patience = lastTries
		}
		if ctx.Err() != nil || time.Since(trouble) > patience || !t.ours(q.conf.AckWait) {
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
	case t.ours(q.conf.AckWait):
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
		q.conf.Crash(point + " " + r.Request)
	}
}

// store keeps everything a verdict holds, each thing at most once. Without a
// deadline in ctx each question to the broker has its own (see newTopology):
// an answer can be lost, with a leader or a connection, and asking again finds
// out.
func (q *Queue) store(ctx context.Context, v stop.Verdict) error {
	for _, task := range v.Tasks {
		if err := q.storeTask(ctx, task); err != nil {
			return err
		}
	}
	for _, letter := range v.DeadLetters {
		if err := q.bury(ctx, letter); err != nil {
			return err
		}
	}
	for _, r := range v.Results {
		if err := q.storeResult(ctx, r); err != nil {
			return err
		}
	}
	if v.History != nil && !v.Final() {
		return q.remember(ctx, v.History)
	}
	return nil
}

// storeTask stores a task unless its request has one: the claim spans quotas
// and lanes, so that one identity is never at work in two places.
func (q *Queue) storeTask(ctx context.Context, task stop.Task) error {
	if err := q.learn(ctx, task.Quota); err != nil {
		return err
	}
	data, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("encode task of %s: %w", task.Request, err)
	}
	msg := &nats.Msg{Subject: stop.TaskSubject(task), Data: data}
	if _, err := q.publishFirst(ctx, msg, jetstream.WithExpectLastSequenceForSubject(0, stop.TaskClaim(task.Request))); err != nil {
		return fmt.Errorf("store task of %s: %w", task.Request, err)
	}
	return nil
}

func (q *Queue) storeResult(ctx context.Context, r stop.Result) error {
	header, data, err := r.Encode()
	if err != nil {
		return err
	}
	first, err := q.storeOnce(ctx, stop.ResultSubject(r.Request), header, data)
	if err != nil {
		return fmt.Errorf("store result of %s: %w", r.Request, err)
	}
	if !first {
		q.compare(ctx, r)
		return nil
	}
	q.metrics.result(r)
	q.conf.Log.Info("result", "request", r.Request, "outcome", r.Outcome, "group", r.AutoScalingGroupID, "activity", r.RefreshActivityID,
		"account", r.Account, "region", r.Region, "status", r.Status, "code", r.Code, "api_request", r.RequestID, "attempts", r.Attempts, "lane", r.Lane)
	return nil
}

// compare tells of a request that has ended twice and not alike: what stands
// is what others see, and somebody has to know that it is not all.
func (q *Queue) compare(ctx context.Context, r stop.Result) {
	stands, err := q.Result(ctx, r.Request)
	if err != nil || stands == nil || stands.Outcome == r.Outcome {
		return
	}
	q.conf.Log.Error("a request has ended in two ways; the first result stands", "request", r.Request, "stands", stands.Outcome, "by", stands.Worker,
		"refused", r.Outcome, "message", r.Message, "code", r.Code, "api_request", r.RequestID)
}

func (q *Queue) bury(ctx context.Context, d stop.DeadLetter) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode dead letter of %s: %w", d.Request, err)
	}
	first, err := q.storeOnce(ctx, stop.DeadSubject(d.Request), nil, data)
	if errors.Is(err, nats.ErrMaxPayload) && len(d.Data) > 0 {
		d.Data = nil // better a letter without its payload than no result
		return q.bury(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("store dead letter of %s: %w", d.Request, err)
	}
	if first {
		q.metrics.deadLetters.WithLabelValues(string(d.Why)).Inc()
		q.conf.Log.Warn("dead letter", "request", d.Request, "why", d.Why, "message", d.Message, "subject", d.Subject, "sequence", d.Sequence)
	}
	return nil
}

// storeOnce publishes to a subject that must hold nothing yet, and says
// whether it was the first.
func (q *Queue) storeOnce(ctx context.Context, subject string, header map[string][]string, data []byte) (first bool, err error) {
	return q.publishFirst(ctx, &nats.Msg{Subject: subject, Header: header, Data: data}, jetstream.WithExpectLastSequencePerSubject(0))
}

// publishFirst publishes where nothing may stand yet, and says whether it was
// the first. It returns nil only when something stands there for certain: a
// replicated stream mostly refuses because somebody else is storing just now,
// and that may still come to nothing when the leader dies, so it is asked
// again until the answer is known, for a second or so.
func (q *Queue) publishFirst(ctx context.Context, msg *nats.Msg, expect jetstream.PublishOpt) (first bool, err error) {
	for wait := 2 * time.Millisecond; wait < time.Second; wait *= 2 {
		_, err = q.js.PublishMsg(ctx, msg, expect)
		switch {
		case refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence):
			return false, nil
		case !refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant):
			return err == nil, err
		}
		pause(ctx, wait)
	}
	return false, err
}

// refusedWith reports whether JetStream refused with one of the codes.
func refusedWith(err error, codes ...jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode)
}
