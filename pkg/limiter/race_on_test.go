//go:build race

package limiter

import "time"

// The race detector runs out of its own memory in simulations that are much
// longer than that; what it looks for shows in a minute as well.
const (
	raceDetector = true
	length       = time.Minute
)
