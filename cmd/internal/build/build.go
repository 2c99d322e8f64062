package main

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// version may be stamped with -ldflags "-X main.version=…"; without it the
// version is the module's.
var version string

// build says what this binary was made from.
type build struct{ version, revision, goversion string }

func buildInfo() build {
	b := build{version: version, revision: "unknown", goversion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.version = first(b.version, "unknown")
		return b
	}
	b.version = first(b.version, info.Main.Version, "unknown")
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	b.revision += modified
	return b
}

// registerBuildInfo adds the metric that tells dashboards which build runs.
func registerBuildInfo(reg prometheus.Registerer) {
	b := buildInfo()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "andon_build_info", Help: "Always 1; the labels say what this binary was made from.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "goversion": b.goversion},
	}, func() float64 { return 1 }))
}
