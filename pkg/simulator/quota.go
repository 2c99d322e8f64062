package simulator

import "time"

// quotaWindow is what "per second" means: any second, not those of a clock.
const quotaWindow = time.Second

// quotaKey is what the API counts by. The host stands for the access region.
type quotaKey struct{ action, host, secretID string }

// counter counts the arrivals of the last second. The Simulator's mutex guards it.
type counter struct {
	quota    Quota
	arrivals map[quotaKey][]time.Time
}

func newCounter(q Quota) *counter {
	return &counter{quota: q, arrivals: map[quotaKey][]time.Time{}}
}

func (c *counter) limit(action string) int {
	switch {
	case c.quota.Actions[action] > 0:
		return c.quota.Actions[action]
	case action == "DescribeAutoScalingGroups":
		return 40
	case c.quota.Default > 0:
		return c.quota.Default
	default:
		return 20
	}
}

// admit counts an arrival, or refuses it with the sentence real callers parse.
func (c *counter) admit(key quotaKey, at time.Time) *apiError {
	if c.quota.Off {
		return nil
	}
	limit := c.limit(key.action)
	recent := c.arrivals[key]
	for len(recent) > 0 && !recent[0].After(at.Add(-quotaWindow)) {
		recent = recent[1:]
	}
	full := len(recent) >= limit
	if !full || c.quota.CountRejected {
		recent = append(recent, at)
	}
	c.arrivals[key] = recent
	if full {
		return limitExceeded(codeRequestLimit, len(recent), limit, c.quota.CountRejected)
	}
	return nil
}

func limitExceeded(code string, counted, limit int, countedThis bool) *apiError {
	if !countedThis {
		counted++
	}
	return fail(code, "Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second. Please reduce the frequency of calls.", counted, limit)
}
