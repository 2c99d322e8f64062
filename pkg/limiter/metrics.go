package limiter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// metrics are the limiter's own. Labels come from the configuration and from
// stop.Lanes only.
type metrics struct {
	waited    [ranks]prometheus.Observer
	rate      *prometheus.GaugeVec
	throttled *prometheus.CounterVec
}

// newMetrics registers the metrics with reg, all of them or none. A nil reg
// means that nobody looks.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	wait := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "andon_limiter_wait_seconds",
		Help: "How long a call waited for its permit.",
		Buckets: []float64{
			0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
		},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"lane"})
	m := &metrics{
		rate: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_limiter_rate",
			Help: "Calls of " + stop.ActionStop + " a second that the whole fleet lets through at present.",
		}, []string{"account", "endpoint"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_throttled_total",
			Help: "Calls of any action that the API refused for their rate.",
		}, []string{"account", "endpoint"}),
	}
	for i, lane := range stop.Lanes() {
		m.waited[i] = wait.WithLabelValues(string(lane))
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{wait, m.rate, m.throttled}
	for i, c := range all {
		if err := reg.Register(c); err != nil {
			for _, done := range all[:i] {
				reg.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}
