package handler

import (
	"context"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A hold is probed by the next call that is due. Where nobody here wants to call any
// more, because the requests have expired or another worker has them, it would stand
// for ever, and with it an alert about credentials that were mended long ago.
const (
	// unwanted is how long nobody has wanted to call before a hold is looked after here:
	// longer than who waits for the next probe is silent.
	unwanted = 2 * lastProbe
	// unprovable is how long a hold stands then that another call cannot prove to be over,
	// because it is about a permission. The next call of its kind tells.
	unprovable = 10 * time.Minute
)

// Probe looks after the holds of accounts that nobody here wants to call for, until ctx
// ends. It reads, and never changes anything.
func (h *Handler) Probe(ctx context.Context) {
	tick := time.NewTicker(jitter(lastProbe))
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for account := range h.holds.unwanted() {
			if h.accepted(ctx, account, turn) {
				h.holds.letGo(account)
			}
		}
	}
}

// accepted reports whether the API accepts the key of an account. Any region tells, but
// not each can be reached from everywhere, so each has its turn.
func (h *Handler) accepted(ctx context.Context, account string, turn int) bool {
	region := h.conf.Defaults.Region
	if regions := h.api.Regions(); region == "" && len(regions) > 0 {
		region = regions[turn%len(regions)]
	}
	quota, err := h.api.Quota(account, region)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lastProbe)
	defer cancel()
	answer, err := h.reader.ask(ctx, stop.ActionDescribe, quota, stop.LaneBulk, func() stop.Answer {
		_, a := h.api.Activities(ctx, stop.Scope{Account: account, Region: region})
		return a
	})
	return err == nil && proves(answer)
}

// unwanted are the accounts with holds that nobody wants to call in spite of.
func (h *holds) unwanted() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	accounts := make(map[string]bool)
	for k, held := range h.open {
		if held.idle(k.action) {
			accounts[k.account] = true
		}
	}
	return accounts
}

// idle reports whether nobody has wanted to call for so long that a reading that is
// accepted ends the hold.
func (h *hold) idle(action string) bool {
	least := unwanted
	if h.cause == causePermission && action != stop.ActionDescribe {
		least = unprovable
	}
	return !h.probing && time.Since(h.wanted) >= least
}

// letGo ends those holds of an account, once a reading was accepted.
func (h *holds) letGo(account string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, held := range h.open {
		if k.account != account || !held.idle(k.action) {
			continue
		}
		why := "its key is accepted again"
		if held.cause == causePermission {
			why = "nobody has wanted to call for a while; the next call tells"
		}
		h.releaseLocked(k, held, why)
	}
}
