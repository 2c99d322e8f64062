package queue

import (
	"context"
	"sync"
	"time"
)

// hands are the messages of one consumer that a worker holds.
type hands struct {
	queue *Queue
	slots chan struct{}
	group sync.WaitGroup

	mu   sync.Mutex
	held map[*inHand]struct{}
}

// inHand is one message between its delivery and its settlement.
type inHand struct {
	delivery *delivery

	mu   sync.Mutex
	beat time.Time // when the broker last heard of it
}

func newHands(q *Queue, slots int) *hands {
	return &hands{queue: q, slots: make(chan struct{}, slots), held: make(map[*inHand]struct{})}
}

// free waits for an empty slot and says how many there are; zero when ctx is
// done first.
func (h *hands) free(ctx context.Context) int {
	select {
	case h.slots <- struct{}{}:
		<-h.slots
		return cap(h.slots) - len(h.slots)
	case <-ctx.Done():
		return 0
	}
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
	t := &inHand{delivery: d, beat: time.Now()}
	h.mu.Lock()
	h.held[t] = struct{}{}
	h.mu.Unlock()
	h.group.Go(func() {
		defer func() {
			h.mu.Lock()
			delete(h.held, t)
			h.mu.Unlock()
			<-h.slots
		}()
		work(t)
	})
}

// beat tells the broker at each tick that the messages in hand are alive.
func (h *hands) beat(every time.Duration) (stopBeating func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(every)
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
		t.alive(h.queue.conf.AckWait)
	}
}

// alive extends the delivery, unless it has lapsed: then the message may be in
// other hands, and a sign of life from these would be a lie.
func (t *inHand) alive(ackWait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.beat) < ackWait && t.delivery.inProgress() == nil {
		t.beat = time.Now()
	}
}

// ours reports whether the delivery is still this worker's.
func (t *inHand) ours(ackWait time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.beat) < ackWait
}

// wait returns when every message has been settled.
func (h *hands) wait() { h.group.Wait() }
