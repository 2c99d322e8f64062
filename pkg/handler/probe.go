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
	// unprovable is how long a hold stands then that only a call which changes something
	// could prove to be over. The next such call tells.
	unprovable = 10 * time.Minute
)

// Probe looks after the holds of accounts that nobody here wants to call for, until ctx
// ends. It reads, and never changes anything.
func (h *Handler) Probe(ctx context.Context) {
	tick := time.NewTicker(jitter(lastProbe))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for account := range h.holds.unwanted() {
			if h.readable(ctx, account) {
				h.holds.letGo(account)
			}
		}
	}
}

// readable reports whether the API answers a reading of the account.
func (h *Handler) readable(ctx context.Context, account string) bool {
	region := h.conf.Defaults.Region
	if regions := h.api.Regions(); region == "" && len(regions) > 0 {
		region = regions[0]
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
	return err == nil && answer.OK()
}

// unwanted are the accounts with a hold that nobody has wanted to call in spite of for
// a while.
func (h *holds) unwanted() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	accounts := make(map[string]bool)
	for k, held := range h.open {
		if time.Since(held.wanted) >= unwanted {
			accounts[k.account] = true
		}
	}
	return accounts
}

// letGo ends the holds of an account that nobody wants to call in spite of, once
// another call has shown that its key is accepted.
func (h *holds) letGo(account string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, held := range h.open {
		idle := time.Since(held.wanted)
		if k.account != account || idle < unwanted || held.cause == causePermission && idle < unprovable {
			continue
		}
		why := "its key is accepted again"
		if held.cause == causePermission {
			why = "nobody has wanted to call for a while; the next call tells"
		}
		h.releaseLocked(k, held, why)
	}
}
