package handler

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// saved says why a Stop was not needed: a closed set and a metric label.
type saved string

const (
	savedDecided   saved = "decided"
	savedPaused    saved = "already_paused"
	savedEnded     saved = "ended"
	savedNotLive   saved = "not_live"
	savedNotPaused saved = "not_paused"
	savedRollback  saved = "rollback"
	savedResumed   saved = "resumed"
	savedPolicy    saved = "policy"
	savedExpired   saved = "expired"
	savedDryRun    saved = "dry_run"
)

// How doubts about an earlier Stop were resolved.
const (
	resolvedPaused  = "paused"
	resolvedRunning = "not_paused"
	resolvedEnded   = "ended"
	resolvedUnknown = "unknown"
)

type metrics struct {
	requests  *prometheus.CounterVec
	retries   *prometheus.CounterVec
	ambiguous *prometheus.CounterVec
	saved     *prometheus.CounterVec
	breaker   *prometheus.GaugeVec
	hold      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_requests_total", Help: "Requests read, by lane and form.",
		}, []string{"lane", "source"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_retries_total", Help: "Times a request was put off for another try, by the class of the answer that made it so.",
		}, []string{"class"}),
		ambiguous: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_ambiguous_total", Help: "Stops whose answer was lost and whose fate was read back, by what was found.",
		}, []string{"resolution"}),
		saved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_calls_saved_total", Help: "Stops that were not needed, by reason.",
		}, []string{"why"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_breaker_open", Help: "1 while an account is held because its credentials or permissions are refused.",
		}, []string{"account", "cause"}),
		hold: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_hold", Help: "1 while the whole fleet is told to make no calls.",
		}),
	}
	for _, l := range stop.Lanes() {
		for _, s := range stop.Sources() {
			m.requests.WithLabelValues(string(l), string(s))
		}
	}
	for _, c := range []stop.Class{stop.ClassThrottled, stop.ClassTransient, stop.ClassCredential, stop.ClassConflict} {
		m.retries.WithLabelValues(string(c))
	}
	for _, r := range []string{resolvedPaused, resolvedRunning, resolvedEnded, resolvedUnknown} {
		m.ambiguous.WithLabelValues(r)
	}
	for _, s := range []saved{savedDecided, savedPaused, savedEnded, savedNotLive, savedNotPaused, savedRollback, savedResumed, savedPolicy, savedExpired, savedDryRun} {
		m.saved.WithLabelValues(string(s))
	}
	reg.MustRegister(m.requests, m.retries, m.ambiguous, m.saved, m.breaker, m.hold)
	return m
}
