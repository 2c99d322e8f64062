package handler

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The delays before the next attempt grow from base to longest.
const (
	base    = 500 * time.Millisecond
	longest = 30 * time.Second
)

// delay is how long to wait after n failures in a row: full jitter, that is
// uniform between nothing and base doubled with each failure, at most longest.
// In terms of backoff/v4, whose interval is the middle of its range, that is
// half the interval with a factor of one.
func delay(n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(base/2),
		backoff.WithMaxInterval(longest/2),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		// NotAfter ends a request, not the policy.
		backoff.WithMaxElapsedTime(0),
	)
	d := b.NextBackOff()
	for range n - 1 {
		d = b.NextBackOff()
	}
	return d
}

// jitter is a delay of about d, so that what came together does not come back
// together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}
