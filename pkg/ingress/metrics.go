package ingress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Fates of what a sender posts, or of an alert in it.
type fate string

const (
	fateStored   fate = "stored"
	fateRepeated fate = "repeated"
	fateResolved fate = "not_firing"
	fateUnmapped fate = "unmapped"

	fateInvalid     fate = "invalid"
	fateRefused     fate = "unauthorized"
	fateLimited     fate = "limited"
	fateUnavailable fate = "unavailable"
	fateDone        fate = "done"
)

type metrics struct {
	requests *prometheus.CounterVec
	alerts   *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_ingress_requests_total", Help: "HTTP requests of senders, by source and how they ended.",
		}, []string{"source", "fate"}),
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_ingress_alerts_total", Help: "Alerts in these requests, by source and what became of them.",
		}, []string{"source", "fate"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_ingress_duration_seconds", Help: "Time from the end of a request's head to its answer.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"source"}),
	}
	for _, s := range Sources() {
		m.duration.WithLabelValues(string(s))
		for _, f := range []fate{fateDone, fateInvalid, fateRefused, fateLimited, fateUnavailable} {
			m.requests.WithLabelValues(string(s), string(f))
		}
		for _, f := range []fate{fateStored, fateRepeated, fateResolved, fateUnmapped} {
			m.alerts.WithLabelValues(string(s), string(f))
		}
	}
	reg.MustRegister(m.requests, m.alerts, m.duration)
	return m
}
