package limiter

import (
	"errors"
	"log/slog"
	"time"
)

// Pauses after the broker did not do what was asked.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// trouble is a time without the broker, during which there are no permits.
type trouble struct {
	since time.Time
	count int
}

// note takes in how the last request to the broker went, and says how long to
// leave it alone, or that the trouble is over.
func (t *trouble) note(log *slog.Logger, err error) (pause time.Duration, over bool) {
	if errors.Is(err, errLost) {
		return 0, false // the next look tells what was written instead
	}
	if err == nil {
		if over = t.count > 1; over {
			log.Info("calls are let through again", "after", time.Since(t.since).Round(time.Millisecond))
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
	return min(firstPause<<min(t.count-1, 10), lastPause), false
}
