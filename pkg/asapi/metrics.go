package asapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_api_requests_total", Help: "Calls to the Auto Scaling API, by action and class of the answer.",
		}, []string{"action", "class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_api_request_duration_seconds", Help: "Time from sending a call to its answer, by action.",
			Buckets:                     []float64{.005, .01, .025, .05, .1, .2, .3, .5, 1, 2, 5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"action"}),
	}
	for _, action := range stop.Actions() {
		m.duration.WithLabelValues(action)
		for _, class := range stop.Classes() {
			m.requests.WithLabelValues(action, string(class))
		}
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration)
	}
	return m
}
