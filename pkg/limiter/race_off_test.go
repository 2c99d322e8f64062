//go:build !race

package limiter

import "time"

// length of a storm.
const (
	raceDetector = false
	length       = 10 * time.Minute
)
