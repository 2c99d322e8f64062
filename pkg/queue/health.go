package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// loops are the running loops and when each last heard from the broker.
type loops struct {
	mu  sync.Mutex
	all map[string]*loop
}

type loop struct {
	mu    sync.Mutex
	heard time.Time
	err   error
}

func (l *loops) add(name string) *loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[string]*loop)
	}
	l.all[name] = &loop{heard: time.Now()}
	return l.all[name]
}

func (l *loops) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, name)
}

func (l *loop) alive(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if err == nil {
		l.heard = time.Now()
	}
}

// Connected says why the broker cannot be reached, nil if it can.
func (q *Queue) Connected() error {
	if s := q.nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("connection to NATS at %s: %v", q.where(), s)
	}
	return nil
}

// Consuming says why messages are not being consumed, nil if they are. A loop
// that is quiet because all its slots are in use is not in trouble.
func (q *Queue) Consuming() error {
	q.loops.mu.Lock()
	defer q.loops.mu.Unlock()
	if q.loops.all["plan"] == nil {
		return errors.New("not started")
	}
	var faults []string
	for name, l := range q.loops.all {
		l.mu.Lock()
		if l.err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v (since %v)", name, l.err, time.Since(l.heard).Round(time.Second)))
		}
		l.mu.Unlock()
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// damage is what is wrong with the streams, as last seen.
type damage struct {
	mu  sync.Mutex
	err error
}

// Intact says which streams somebody has made weaker than the contract needs,
// or removed, since this worker began; nil if none. It goes on with the others,
// for a pause that is asked must be tried, and the next start refuses.
func (q *Queue) Intact() error {
	q.damage.mu.Lock()
	defer q.damage.mu.Unlock()
	return q.damage.err
}

// guard looks at the streams once each AckWait until ctx is done, says once what
// has become of them, and ends what the broker has left in the queues.
func (q *Queue) guard(ctx context.Context, w Worker) {
	var left sweeper
	for ctx.Err() == nil {
		pause(ctx, q.conf.AckWait)
		if err := left.sweep(ctx, q, w); err != nil && ctx.Err() == nil {
			q.conf.Log.Debug("cannot look for what was left in the queues", "error", err)
		}
		brief, cancel := context.WithTimeout(ctx, proveTimeout)
		err := q.intact(brief)
		cancel()
		if err != nil && !errors.Is(err, ErrWeaker) && !errors.Is(err, errGone) {
			continue // the broker is away, which others tell
		}
		q.damage.mu.Lock()
		before := q.damage.err
		q.damage.err = err
		q.damage.mu.Unlock()
		switch {
		case err != nil && (before == nil || before.Error() != err.Error()):
			q.conf.Log.Error("the streams do not keep what is promised", "error", err)
		case err == nil && before != nil:
			q.conf.Log.Info("the streams are as they must be again")
		}
	}
}
