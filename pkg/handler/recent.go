package handler

import (
	"sync"
	"time"
)

// recent remembers for a short while which activities this worker has paused,
// to tell a pause that Describe does not show yet from a real conflict. It
// never takes the place of a call: somebody may have resumed since.
type recent struct {
	life time.Duration

	mu sync.Mutex
	at map[string]time.Time
}

func newRecent(life time.Duration) *recent {
	return &recent{life: life, at: make(map[string]time.Time)}
}

func (r *recent) add(activity string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for a, t := range r.at {
		if now.Sub(t) > r.life {
			delete(r.at, a)
		}
	}
	r.at[activity] = now
}

func (r *recent) has(activity string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.at[activity]
	return ok && time.Since(t) < r.life
}
