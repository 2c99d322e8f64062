package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// hands are the messages of one consumer that a worker holds.
type hands struct {
	ackWait time.Duration
	all     *atomic.Int64 // messages in hand, of all consumers
	slots   chan struct{}
	group   sync.WaitGroup

	mu   sync.Mutex
	held map[*inHand]struct{}
}

// inHand is one message between its delivery and its settlement.
type inHand struct {
	delivery *delivery
	ackWait  time.Duration

	mu   sync.Mutex
	beat time.Time // when the broker last heard of it
}

// A consumer may always have a few messages in hand, and as many as it has
// slots while all consumers together have no more than those of so many: one
// that is slow takes nothing from the others, and a hundred do not need a
// hundred times the memory.
const (
	fewInHand    = 6
	slotsOfInAll = 8
)

func newHands(ackWait time.Duration, slots int, all *atomic.Int64) *hands {
	return &hands{ackWait: ackWait, all: all, slots: make(chan struct{}, slots), held: make(map[*inHand]struct{})}
}

// free waits for an empty slot and says how many there are; zero when ctx is
// done first.
func (h *hands) free(ctx context.Context) int {
	for ctx.Err() == nil {
		select {
		case h.slots <- struct{}{}:
			<-h.slots
		case <-ctx.Done():
			return 0
		}
		used := len(h.slots)
		most := fewInHand
		if room := slotsOfInAll*cap(h.slots) - int(h.all.Load()); room > 0 {
			most = max(most, min(cap(h.slots), used+room))
		}
		if used < most {
			return min(cap(h.slots), most) - used
		}
		pause(ctx, 20*time.Millisecond)
	}
	return 0
}

// take starts work on a message. No more is asked for than there are slots;
// what comes all the same, late from a pull that was thought lost, goes back.
func (h *hands) take(d *delivery, work func(*inHand)) {
	select {
	case h.slots <- struct{}{}:
	default:
		_ = d.giveBack(shortestRetry) // at worst it comes again after AckWait
		return
	}
	t := &inHand{delivery: d, ackWait: h.ackWait, beat: time.Now()}
	h.mu.Lock()
	h.held[t] = struct{}{}
	h.mu.Unlock()
	h.all.Add(1)
	h.group.Go(func() {
		defer func() {
			h.all.Add(-1)
			h.mu.Lock()
			delete(h.held, t)
			h.mu.Unlock()
			<-h.slots
		}()
		work(t)
	})
}

// beat tells the broker three times in the time it allows that the messages in
// hand are alive.
func (h *hands) beat() (stopBeating func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(h.ackWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				h.tell()
			}
		}
	})
	return func() { close(done); group.Wait() }
}

func (h *hands) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.held {
		t.alive()
	}
}

// alive extends the delivery, unless it has lapsed: then the message may be in
// other hands, and a sign of life from these would be a lie.
func (t *inHand) alive() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.beat) < t.ackWait && t.delivery.inProgress() == nil {
		t.beat = time.Now()
	}
}

// ours reports whether the delivery is still this worker's.
func (t *inHand) ours() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.beat) < t.ackWait
}

// wait returns when every message has been settled.
func (h *hands) wait() { h.group.Wait() }
