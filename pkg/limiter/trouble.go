package limiter

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Pauses after the broker did not do what was asked.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 250 * time.Millisecond
	// afterLost bounds the pause after another worker was faster.
	afterLost = 2 * time.Millisecond
)

// trouble is a time without the broker, during which there are no permits.
type trouble struct {
	since time.Time
	count int
}

// note takes in how the last request to the broker went, and says how long to
// leave it alone, or for how long the trouble lasted that is over now.
func (t *trouble) note(log *slog.Logger, err error) (pause, over time.Duration) {
	if errors.Is(err, errLost) {
		// The next look tells what was written instead; on replicas it may not
		// be there yet.
		return rand.N(afterLost), 0
	}
	if err == nil {
		if t.count > 1 {
			over = time.Since(t.since)
			log.Info("calls are let through again", "after", over.Round(time.Millisecond))
		}
		t.count = 0
		return 0, over
	}
	t.count++
	switch t.count {
	case 1:
		t.since = time.Now()
	case 2: // one failure is nothing to wake anybody for
		log.Warn("no calls are let through: the broker does not keep the schedule of the quota", "error", err)
	}
	pause = min(firstPause<<min(t.count-1, 10), lastPause)
	return pause/2 + rand.N(pause/2), 0 // not all workers at once
}
