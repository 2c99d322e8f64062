package stop_test

import (
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func BenchmarkDecode(b *testing.B) {
	const request = `{"Region":"ap-guangzhou","AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-runweb01",` +
		`"Reason":"5xx rate above 2 %","RequestedBy":"alertmanager","Incident":"INC-1042","NotAfter":"2026-11-23T05:00:00Z"}`
	for _, row := range []struct {
		name string
		m    stop.Message
	}{
		{"bare", with(request, "Nats-Msg-Id", "deploy-4711", "traceparent", trace)},
		{"structured", with(structured(`"id":"e","source":"/s"`, request), "Content-Type", "application/cloudevents+json", "traceparent", trace)},
		{"binary", with(request, "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/s", "ce-type", "as.refresh.stop", "traceparent", trace)},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(row.m.Data)))
			for b.Loop() {
				if _, bad := stop.Decode(row.m, defaults); bad != nil {
					b.Fatal(bad)
				}
			}
		})
	}
}
