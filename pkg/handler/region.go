package handler

import (
	"sync"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// sickAfter is how many calls in a row must have had no answer of use for a
	// region to count as sick.
	sickAfter = 3
	// sickTries is how many tasks of a sick region are in hand at a time: enough
	// to notice that it is well again.
	sickTries = 2
)

// regions are the places in which calls are made, and how they have ended of
// late. Regions that share an endpoint share its queues: where one does not
// answer, its tasks would wait for their timeouts in all the hands there are.
type regions struct {
	mu  sync.Mutex
	all map[place]*region
}

type place struct{ account, region string }

func placeOf(t stop.Target) place { return place{t.Account, t.Region} }

type region struct {
	failed int // calls in a row
	inHand int
	last   stop.Answer
}

func newRegions() *regions { return &regions{all: make(map[place]*region)} }

// enter asks for leave to take a task in hand. What it returns must be called
// when it is out of hand; nil: the region is sick and has its tries.
func (r *regions) enter(p place) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.at(p)
	if at.failed >= sickAfter && at.inHand >= sickTries {
		return nil
	}
	at.inHand++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		at.inHand--
		if at.inHand == 0 && at.failed == 0 {
			delete(r.all, p)
		}
	}
}

// answered takes note of how a call has ended.
func (r *regions) answered(p place, a stop.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Class == stop.ClassTransient {
		at := r.at(p)
		at.failed++
		at.last = a
		return
	}
	if at := r.all[p]; at != nil {
		at.failed = 0
	}
}

// trouble is the last answer of a region that is sick, nil if it is not.
func (r *regions) trouble(p place) *stop.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.all[p]
	if at == nil || at.failed < sickAfter {
		return nil
	}
	last := at.last
	return &last
}

// at finds a region. Under mu.
func (r *regions) at(p place) *region {
	if r.all[p] == nil {
		r.all[p] = &region{}
	}
	return r.all[p]
}
