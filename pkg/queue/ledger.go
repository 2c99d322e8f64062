package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// ErrLost says that another worker has taken over the task: what this one
// knows of it is out of date, and it must not call.
var ErrLost = errors.New("the task is in other hands")

// Planned reports whether a task of the request exists.
func (q *Queue) Planned(ctx context.Context, request string) (bool, error) {
	_, err := q.tasks.GetLastMsgForSubject(ctx, stop.TaskClaim(request))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a task of %s: %w", request, err)
	}
	return true, nil
}

// Result reads the result of a request, nil if there is none yet.
func (q *Queue) Result(ctx context.Context, request string) (*stop.Result, error) {
	msg, err := q.results.GetLastMsgForSubject(ctx, stop.ResultSubject(request))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read result of %s: %w", request, err)
	}
	var r stop.Result
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return nil, fmt.Errorf("decode result of %s: %w", request, err)
	}
	return &r, nil
}

// History reads what a task has been through; nothing yet is no error.
func (q *Queue) History(ctx context.Context, key string) (stop.History, error) {
	h := stop.History{Key: key}
	entry, err := q.history.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read history %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), &h); err != nil {
		return h, fmt.Errorf("decode history %s: %w", key, err)
	}
	h.Revision, h.StoredAt = entry.Revision(), entry.Created()
	return h, nil
}

// Begin stores the history before a call. Of two workers that hold the same
// task, as happens after one of them was suspended, only one gets through;
// the other has ErrLost and must not call.
func (q *Queue) Begin(ctx context.Context, h *stop.History) error { return q.remember(ctx, h) }

// remember stores a history if nobody has stored a newer one.
func (q *Queue) remember(ctx context.Context, h *stop.History) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode history %s: %w", h.Key, err)
	}
	// Revision 0 asks for a key that does not exist yet.
	revision, err := q.history.Update(ctx, h.Key, data, h.Revision)
	switch {
	case refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		// The second code, of replicated streams, says that another is storing
		// just now. Should that come to nothing, nothing is lost but time.
		return fmt.Errorf("store history %s: %w", h.Key, ErrLost)
	case err != nil:
		return fmt.Errorf("store history %s: %w", h.Key, err)
	}
	h.Revision = revision
	return nil
}

// forget drops what a history says. The mark of the deletion stays until it is
// too old, and refuses the note of a worker that was suspended while others
// did its task.
func (q *Queue) forget(ctx context.Context, h *stop.History) {
	if h == nil || h.Revision == 0 {
		return
	}
	if err := q.history.Delete(ctx, h.Key); err != nil {
		q.conf.Log.Debug("history is kept until it is too old", "key", h.Key, "error", err)
	}
}
