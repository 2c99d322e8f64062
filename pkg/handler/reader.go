package handler

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// reader reads activities, many at a time: whoever asks while a read waits
// for its permit is taken along, up to what one call can carry. So a thousand
// requests of one second cost a handful of calls, and a lone one waits for
// nobody.
type reader struct {
	api     API
	permits Permits
	holds   *holds

	ctx    context.Context //nolint:containedctx // the life of reads that outlive their askers; ended by close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu   sync.Mutex
	open map[batchKey]*batch
	// whole are the last readings of all that is live in a region.
	whole map[batchKey]*batch
}

// batchKey is what reads must share to be one call. Reads by activity and
// reads by group are different calls, and a lane waits for its own permit.
type batchKey struct {
	quota   stop.Quota
	region  string
	lane    stop.Lane
	byGroup bool
	// alone is the one id of a read that is not shared.
	alone string
}

// batch is a read that has not been sent yet.
type batch struct {
	ids  map[string]bool
	done chan struct{}
	// whole: all that is live in the region is read, not just ids.
	whole bool
	// begun is when the first call was made, called when the one that has no answer
	// yet; zero while there is none.
	begun, called time.Time

	// Set before done is closed.
	answer stop.Answer
	held   time.Duration
	found  map[string]stop.Activity
}

func newReader(api API, permits Permits, h *holds) *reader {
	ctx, cancel := context.WithCancel(context.Background())
	return &reader{api: api, permits: permits, holds: h, ctx: ctx, cancel: cancel, open: make(map[batchKey]*batch), whole: make(map[batchKey]*batch)}
}

func (r *reader) close() {
	r.cancel()
	r.group.Wait()
}

// read returns the activity of the target, or the live one of its group. It
// returns early, with held set, when ctx ends. A read that the API will not
// have is made again for this target alone: another's bad id must not hurt it.
func (r *reader) read(ctx context.Context, q stop.Quota, t stop.Target, l stop.Lane) reading {
	key := batchKey{quota: q, region: t.Region, lane: l, byGroup: t.RefreshActivityID == ""}
	id := t.RefreshActivityID
	if key.byGroup {
		id = t.AutoScalingGroupID
	}
	seen, shared := r.readShared(ctx, key, id)
	if shared && lasting(seen.answer.Class) {
		key.alone = id
		seen, _ = r.readShared(ctx, key, id)
	}
	return seen
}

// all reads the activities of many targets of one account and region, as read
// does, with as few calls as that takes. A reading of the whole region that
// somebody has begun within the last second will do; it may take as many calls, and
// permits, as the region has pages, and is waited for as long as the API answers
// each of them within patience. Other readings have patience for all.
func (r *reader) all(ctx context.Context, patience time.Duration, q stop.Quota, targets []stop.Target, l stop.Lane) []reading {
	if len(targets) == 0 {
		return nil
	}
	readings := make([]reading, len(targets))
	groups := 0
	for _, t := range targets {
		if t.RefreshActivityID == "" {
			groups++
		}
	}
	var found map[string]stop.Activity
	var seen reading
	whole := groups > stop.MaxGroupIDs
	if whole {
		found, seen = r.live(ctx, patience, q, targets[0].Region, l)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var reads sync.WaitGroup
	for i, t := range targets {
		if t.RefreshActivityID != "" || !whole {
			reads.Go(func() { readings[i] = r.read(ctx, q, t, l) })
			continue
		}
		readings[i] = seen
		if a, ok := found[t.AutoScalingGroupID]; ok {
			readings[i].activity = &a
		}
	}
	reads.Wait()
	return readings
}

// recently is how old a reading of a whole region may be for all and live.
const recently = time.Second

// live reads all activities of a region that are not over, by group; nil where
// the reading says why it failed, or the API has not answered for longer than
// patience.
func (r *reader) live(ctx context.Context, patience time.Duration, q stop.Quota, region string, l stop.Lane) (map[string]stop.Activity, reading) {
	key := batchKey{quota: q, region: region, lane: l, byGroup: true}
	r.mu.Lock()
	b := r.whole[key]
	if b == nil || !b.begun.IsZero() && time.Since(b.begun) > recently {
		b = &batch{done: make(chan struct{}), whole: true}
		r.whole[key] = b
		r.group.Go(func() { r.send(key, b) })
	}
	r.mu.Unlock()
	if !r.comes(ctx, b, patience) {
		return nil, reading{held: time.Millisecond}
	}
	seen := reading{answer: b.answer, held: b.held, at: b.begun}
	if b.held > 0 || !b.answer.OK() {
		r.mu.Lock()
		if r.whole[key] == b {
			delete(r.whole, key) // ask again
		}
		r.mu.Unlock()
		return nil, seen
	}
	return b.found, seen
}

// comes waits for a batch, and gives up when a call of it goes unanswered for longer
// than patience. Waiting for permits is no sign of trouble.
func (r *reader) comes(ctx context.Context, b *batch, patience time.Duration) bool {
	look := time.NewTicker(patience / 4)
	defer look.Stop()
	for {
		select {
		case <-b.done:
			return true
		case <-ctx.Done():
			return false
		case <-look.C:
			r.mu.Lock()
			called := b.called
			r.mu.Unlock()
			if !called.IsZero() && time.Since(called) > patience {
				return false
			}
		}
	}
}

// readShared reads together with whoever asks for the same key, and says
// whether somebody did.
func (r *reader) readShared(ctx context.Context, key batchKey, id string) (seen reading, shared bool) {
	b := r.join(key, id)
	select {
	case <-b.done:
	case <-ctx.Done():
		return reading{held: time.Millisecond}, false
	}
	seen = reading{answer: b.answer, held: b.held, at: time.Now()}
	if a, ok := b.found[id]; ok {
		seen.activity = &a
	}
	return seen, len(b.ids) > 1
}

// lasting reports whether asking the same again has the same answer.
func lasting(c stop.Class) bool {
	return c == stop.ClassNotFound || c == stop.ClassCaller || c == stop.ClassConflict
}

// join adds an id to the batch that is open for the key, or opens one.
func (r *reader) join(key batchKey, id string) *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.open[key]
	if b == nil || !key.byGroup && len(b.ids) >= stop.MaxActivityIDs && !b.ids[id] {
		b = &batch{ids: make(map[string]bool), done: make(chan struct{})}
		r.open[key] = b
		r.group.Go(func() { r.send(key, b) })
	}
	b.ids[id] = true
	return b
}

// send makes the call, or calls, of a batch.
func (r *reader) send(key batchKey, b *batch) {
	defer close(b.done)
	scope := stop.Scope{Account: key.quota.Account, Region: key.region}
	for {
		page, answer, held := r.page(key, b, &scope)
		b.answer, b.held = answer, held
		if held > 0 || !answer.OK() {
			return
		}
		b.keep(key, page.Activities)
		scope.Offset += len(page.Activities)
		if len(page.Activities) == 0 || scope.Offset >= page.Total {
			return
		}
	}
}

// page makes one call. The first closes the batch, once it has its permit.
func (r *reader) page(key batchKey, b *batch, scope *stop.Scope) (page stop.Page, answer stop.Answer, held time.Duration) {
	answer, err := r.ask(r.ctx, stop.ActionDescribe, key.quota, key.lane, func() (a stop.Answer) {
		r.take(key, b, scope)
		r.calling(b, time.Now())
		page, a = r.api.Activities(r.ctx, *scope)
		r.calling(b, time.Time{})
		return a
	})
	r.take(key, b, scope) // also when no call was made
	if err != nil {
		return stop.Page{}, stop.Answer{}, max(r.holds.wait(key.quota.Account, stop.ActionDescribe), time.Millisecond)
	}
	return page, answer, 0
}

func (r *reader) calling(b *batch, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.called = since
}

// ask makes a call that changes nothing, once there are credentials, a permit
// and no hold. The error says why it was not made.
func (r *reader) ask(ctx context.Context, action string, q stop.Quota, l stop.Lane, call func() stop.Answer) (stop.Answer, error) {
	unready, err := ready(ctx, r.api, r.holds, q.Account, action)
	if unready != nil {
		return *unready, nil
	}
	if err != nil {
		return stop.Answer{}, err
	}
	permit, err := r.permits.Acquire(ctx, action, q, l)
	if err != nil {
		return stop.Answer{}, err //nolint:wrapcheck // by the callers
	}
	defer permit.Release()
	pass, held := r.holds.enter(q.Account, action)
	if held > 0 {
		return stop.Answer{}, errHeld
	}
	if time.Now().After(permit.Until) {
		r.holds.leave(pass, nil)
		return stop.Answer{}, errVoid
	}
	answer := call()
	r.holds.leave(pass, &answer)
	if answer.Class == stop.ClassThrottled {
		r.permits.Throttled(action, q)
	}
	return answer, nil
}

// take closes the batch to newcomers and says what it asks for. More groups
// than a filter takes are found by looking at all that is live in the region.
func (r *reader) take(key batchKey, b *batch, scope *stop.Scope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[key] == b {
		delete(r.open, key)
	}
	if b.begun.IsZero() {
		b.begun = time.Now()
	}
	if b.whole {
		return
	}
	switch ids := slices.Sorted(maps.Keys(b.ids)); {
	case !key.byGroup:
		scope.ActivityIDs = ids
	case len(ids) <= stop.MaxGroupIDs:
		scope.GroupIDs = ids
	}
}

// keep sorts what was read by the ids that were asked for. Of several live
// activities of a group, which the API rules out, the newest counts.
func (b *batch) keep(key batchKey, activities []stop.Activity) {
	if b.found == nil {
		b.found = make(map[string]stop.Activity)
	}
	for _, a := range activities {
		id := a.RefreshActivityID
		if key.byGroup {
			id = a.AutoScalingGroupID
		}
		if old, ok := b.found[id]; ok && old.CreatedTime.After(a.CreatedTime) {
			continue
		}
		b.found[id] = a
	}
}
