package handler

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// auditEvery is how often somebody looks at what the fleet holds paused, and
	// how old what was found may be to be believed.
	auditEvery = 15 * time.Second
	auditLife  = 10 * auditEvery
	// auditAfter is how long a call is left alone: its task may not have ended, and
	// a bulk has better use for the broker and the API meanwhile.
	auditAfter = 30 * time.Second
	// resumedLife is for how long it is known that an activity was resumed: longer
	// than an alert goes on firing that somebody has looked at.
	resumedLife = 7 * 24 * time.Hour
	// auditAtOnce is how many calls on the list are brought up to date at a time.
	auditAtOnce = 16
)

// Audit keeps count of what the fleet holds paused, until ctx ends. A paused
// group is disabled: it neither scales nor heals, so a pause that is forgotten
// must show. One worker at a time looks, by the list of calls, at the activities
// that were paused, and takes off the list what has gone on or ended.
func (h *Handler) Audit(ctx context.Context) {
	tick := time.NewTicker(jitter(auditEvery / 3))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := h.auditOnce(ctx); err != nil && ctx.Err() == nil {
			h.conf.Log.Debug("what is paused is not counted", "error", err)
		}
	}
}

func (h *Handler) auditOnce(ctx context.Context) error {
	var last stop.Paused
	revision, err := h.ledger.Control(ctx, stop.ControlPaused, &last)
	if err != nil {
		return err //nolint:wrapcheck // told by the caller
	}
	h.paused.set(last)
	if now := time.Now(); now.Sub(last.At) < auditEvery && !last.At.After(now) {
		return nil // somebody has, or does
	}
	// The turn is taken first: whoever comes second has better things to do.
	mine := last
	mine.At, mine.Worker = time.Now().UTC(), h.conf.Worker
	if err := h.ledger.SetControl(ctx, stop.ControlPaused, mine, revision); err != nil {
		if errors.Is(err, stop.ErrLost) {
			return nil
		}
		return err //nolint:wrapcheck // told by the caller
	}
	found, err := h.count(ctx)
	if err != nil {
		return err
	}
	if revision, err = h.ledger.Control(ctx, stop.ControlPaused, &stop.Paused{}); err != nil {
		return err //nolint:wrapcheck // told by the caller
	}
	h.paused.set(found)
	if err := h.ledger.SetControl(ctx, stop.ControlPaused, found, revision); err != nil && !errors.Is(err, stop.ErrLost) {
		return err //nolint:wrapcheck // told by the caller
	}
	return nil
}

// count looks at every activity that a call was made on.
func (h *Handler) count(ctx context.Context) (stop.Paused, error) {
	calls, err := h.ledger.Calls(ctx)
	if err != nil {
		return stop.Paused{}, err //nolint:wrapcheck // told by the caller
	}
	found := stop.Paused{Worker: h.conf.Worker}
	places := make(map[stop.Share][]stop.Call)
	for _, c := range calls {
		// What was resumed is known for a while, for those who are asked to pause it
		// because of what was so before; nothing is to be looked up about it.
		resumed := c.Action == stop.ActionResume && time.Since(c.StoredAt) < resumedLife
		if time.Since(c.StoredAt) > auditAfter && !resumed {
			place := stop.Share{Account: c.Target.Account, Region: c.Target.Region}
			places[place] = append(places[place], c)
		}
	}
	for place, calls := range places {
		quota, err := h.api.Quota(place.Account, place.Region)
		for len(calls) > 0 && ctx.Err() == nil {
			n := min(len(calls), stop.MaxActivityIDs)
			if err == nil {
				h.countPart(ctx, &found, quota, calls[:n])
			}
			calls = calls[n:]
		}
	}
	found.At = time.Now().UTC()
	return found, ctx.Err()
}

// countPart looks at the activities of some calls of one account and region.
// What cannot be read is taken to be as it was.
func (h *Handler) countPart(ctx context.Context, found *stop.Paused, q stop.Quota, calls []stop.Call) {
	targets := make([]stop.Target, len(calls))
	for i, c := range calls {
		targets[i] = c.Target
	}
	brief, cancel := context.WithTimeout(ctx, auditEvery)
	defer cancel()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(auditAtOnce)
	for i, seen := range h.reader.all(brief, auditEvery, q, targets, stop.LaneBulk) {
		group.Go(func() error {
			read := seen.held == 0 && seen.answer.OK()
			stands := !read || seen.activity != nil && seen.activity.Status == stop.StatusManualPause
			since, err := h.pausedSince(ctx, calls[i], stands)
			if err != nil && ctx.Err() == nil {
				h.conf.Log.Debug("a call on the list is not up to date", "key", calls[i].Key, "error", err)
			}
			if since.IsZero() {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			found.Groups++
			if found.Oldest.IsZero() || since.Before(found.Oldest) {
				found.Oldest = since
			}
			return nil
		})
	}
	_ = group.Wait() // there are none
}

// pausedSince says since when a call's pause stands, zero if it is none, and
// takes any other call off the list when nobody can ask for it any more.
func (h *Handler) pausedSince(ctx context.Context, c stop.Call, stands bool) (time.Time, error) {
	noted := c.Paused
	if noted.IsZero() {
		result, err := h.ledger.Result(ctx, c.Key)
		switch {
		case err != nil:
			return time.Time{}, err //nolint:wrapcheck // told by the caller
		case result == nil && !c.Over:
			return time.Time{}, nil // its task has not ended
		case result != nil && result.Outcome == stop.OutcomePaused && c.Action == stop.ActionStop:
			c.Paused = result.FinishedAt
		}
	}
	if stands && !c.Paused.IsZero() {
		if noted.IsZero() || time.Since(c.StoredAt) > callAnew {
			return c.Paused, h.ledger.Begin(ctx, &c) //nolint:wrapcheck // told by the caller
		}
		return c.Paused, nil
	}
	if time.Since(c.StoredAt) > settling && !stands {
		return time.Time{}, h.ledger.Drop(ctx, c) //nolint:wrapcheck // told by the caller
	}
	return time.Time{}, nil
}

// callAnew is after how long the call of a pause that stands is stored anew, so
// that it is not dropped for its age.
const callAnew = 7 * 24 * time.Hour

var (
	pausedDesc       = prometheus.NewDesc("andon_paused_groups", "Groups that stand paused by andon, of the whole fleet. A paused group is disabled.", nil, nil)
	pausedOldestDesc = prometheus.NewDesc("andon_paused_oldest_seconds", "How long the longest of these pauses has lasted; 0 when there is none.", nil, nil)
)

// pausedMetric shows what the fleet holds paused, as last found. What is old is
// not shown: it would look like the truth.
type pausedMetric struct {
	mu   sync.Mutex
	last stop.Paused
}

func (p *pausedMetric) set(last stop.Paused) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = last
}

func (p *pausedMetric) Describe(ch chan<- *prometheus.Desc) {
	ch <- pausedDesc
	ch <- pausedOldestDesc
}

func (p *pausedMetric) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	if last.At.IsZero() || time.Since(last.At) > auditLife {
		return
	}
	oldest := 0.0
	if !last.Oldest.IsZero() {
		oldest = time.Since(last.Oldest).Seconds()
	}
	ch <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, float64(last.Groups))
	ch <- prometheus.MustNewConstMetric(pausedOldestDesc, prometheus.GaugeValue, oldest)
}
