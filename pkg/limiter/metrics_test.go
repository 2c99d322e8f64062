package limiter

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		l, err := New(Config{Rate: 20}, reg, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if n, _ := testutil.GatherAndCount(reg, "andon_limiter_wait_seconds"); n != 3 {
			t.Errorf("%d lanes before the first call, want 3", n)
		}
		l.Announce(quota)
		regional := stop.Quota{Account: "b", Endpoint: "https://as.ap-guangzhou.tencentcloudapi.com"}
		l.Throttled(stop.ActionDescribe, regional)
		l.Throttled(stop.ActionStop, quota)
		get(t, l, stop.LaneUrgent)()
		want := `
# HELP andon_limiter_rate Calls of StopInstanceRefresh a second that are let through at present.
# TYPE andon_limiter_rate gauge
andon_limiter_rate{account="b",endpoint="https://as.ap-guangzhou.tencentcloudapi.com"} 20
andon_limiter_rate{account="default",endpoint="https://as.intl.tencentcloudapi.com"} 14
# HELP andon_throttled_total Calls of any action that the API refused for their rate.
# TYPE andon_throttled_total counter
andon_throttled_total{account="b",endpoint="https://as.ap-guangzhou.tencentcloudapi.com"} 1
andon_throttled_total{account="default",endpoint="https://as.intl.tencentcloudapi.com"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "andon_limiter_rate", "andon_throttled_total"); err != nil {
			t.Error(err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				want := uint64(0)
				if m.GetLabel()[0].GetValue() == string(stop.LaneUrgent) {
					want = 1
				}
				if n := m.GetHistogram().GetSampleCount(); n != want {
					t.Errorf("%d waits counted by %v, want %d", n, m.GetLabel(), want)
				}
			}
		}
		problems, err := testutil.GatherAndLint(reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("metrics are not as Prometheus likes them: %v %v", problems, err)
		}
		if _, err := New(Config{Rate: 20}, reg, nil); err == nil {
			t.Error("a second limiter on the same registry was accepted")
		}
	})
}

func TestRegistryIsLeftCleanWhenRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	taken := prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_throttled_total", Help: "x"})
	reg.MustRegister(taken)
	if _, err := New(Config{Rate: 20}, reg, nil); err == nil {
		t.Fatal("a metric of the same name was not noticed")
	}
	reg.Unregister(taken)
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics were left behind: %v", n, err)
	}
}

// A slow-down is said once, its end once.
func TestThrottleIsLoggedOncePerSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "endpoint" {
				return slog.Attr{}
			}
			return a
		}}))
		l, err := New(Config{Rate: 20}, nil, log)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for range 2 {
			for range 5 {
				l.Throttled(stop.ActionStop, quota)
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		begin := `level=WARN msg="the API throttles although the quota is kept: somebody else probably calls with the same sub-account (console, CLI, another tool)" action=StopInstanceRefresh account=default rate=14 full_rate=20`
		end := `level=INFO msg="call rate is back to full" action=StopInstanceRefresh account=default full_rate=20 throttles=5 after=6.4s`
		want := strings.Join([]string{begin, end, begin, end, ""}, "\n")
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
