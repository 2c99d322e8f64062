package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
)

// registerBuildInfo adds the metric that tells dashboards which build runs.
func registerBuildInfo(reg prometheus.Registerer) {
	b := build.Info()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "andon_build_info", Help: "Always 1; the labels say what this binary was made from.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion},
	}, func() float64 { return 1 }))
}
