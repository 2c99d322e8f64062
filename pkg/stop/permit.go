package stop

import "time"

// Permit is leave to make one call of the API.
type Permit struct {
	// Until is when the call must have begun. Later the permit is void, and
	// making the call would break the quota.
	Until time.Time
	// Release says that the call has ended, however it ended, or that none will
	// be made. It must be called, and may be called again, to no effect.
	Release func()
}
