package handler

import (
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func BenchmarkDecide(b *testing.B) {
	fresh := base0()
	answered(stop.ClassOK, 1, 0)(&fresh)
	lost := base0()
	before(stop.ClassTransient, 1, 1, now)(&lost)
	see(shows(stop.StatusManualPause))(&lost)
	for name, s := range map[string]situation{"call": base0(), "paused": fresh, "lost": lost} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(s)
			}
		})
	}
}
