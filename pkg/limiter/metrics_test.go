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
		b := newBroker(1)
		l := start(t, Config{Rate: 20}, b, reg, nil)
		if n, _ := testutil.GatherAndCount(reg, "andon_limiter_wait_seconds"); n != 3 {
			t.Errorf("%d lanes before the first call, want 3", n)
		}
		regional := stop.Quota{Account: "b", Endpoint: "https://as.ap-guangzhou.tencentcloudapi.com"}
		l.Throttled(stop.ActionDescribe, regional)
		l.Throttled(stop.ActionStop, deflt)
		get(t, l, stop.LaneUrgent).Release()
		synctest.Wait()
		want := `
# HELP andon_limiter_rate Calls of StopInstanceRefresh a second that the whole fleet lets through at present.
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
		if _, err := open(Config{Worker: "w", Rate: 20}, b, newClock(), reg, nil); err == nil {
			t.Error("a second limiter on the same registry was accepted")
		}
	})
}

func TestRegistryIsLeftCleanWhenRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	taken := prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_throttled_total", Help: "x"})
	reg.MustRegister(taken)
	if _, err := New(Config{Worker: "w", Rate: 20}, nil, reg, nil); err == nil {
		t.Fatal("a metric of the same name was not noticed")
	}
	reg.Unregister(taken)
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics were left behind: %v", n, err)
	}
}

// A worker that calls nobody shows the rate that others have lowered.
func TestRateIsShownByWorkersAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reg := newBroker(1), prometheus.NewRegistry()
		start(t, Config{Worker: "rests", Rate: 20}, b, reg, nil)
		l := start(t, Config{Worker: "works", Rate: 20}, b, nil, nil)
		l.Throttled(stop.ActionStop, deflt)
		time.Sleep(lookEvery + time.Second)
		rate := `
# HELP andon_limiter_rate Calls of StopInstanceRefresh a second that the whole fleet lets through at present.
# TYPE andon_limiter_rate gauge
andon_limiter_rate{account="default",endpoint="https://as.intl.tencentcloudapi.com"} `
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "andon_limiter_rate" && f.GetMetric()[0].GetGauge().GetValue() >= 20 {
				t.Error("the rate is shown as full after a throttle elsewhere")
			}
		}
		time.Sleep(time.Minute)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(rate+"20\n"), "andon_limiter_rate"); err != nil {
			t.Error(err)
		}
	})
}

// logged is a log without times and endpoints, for comparison.
func logged() (*slog.Logger, *bytes.Buffer) {
	out := new(bytes.Buffer)
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey, "endpoint", "account", "action":
			return slog.Attr{}
		}
		return a
	}})), out
}

// A slow-down is said once, its end once.
func TestThrottleIsLoggedOncePerSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logged()
		l := start(t, Config{Rate: 20}, newBroker(1), nil, log)
		for range 2 {
			for range 5 {
				l.Throttled(stop.ActionStop, deflt)
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(5 * time.Minute)
		}
		l.Close() // and nothing is logged any more
		begin := `level=WARN msg="the API throttles although the quota is kept: somebody else probably calls with the same sub-account (console, CLI, another tool); the whole fleet slows down" rate=14 full_rate=20`
		end := `level=INFO msg="call rate is back to full" full_rate=20`
		want := strings.Join([]string{begin, end, begin, end, ""}, "\n")
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logged()
		b := newBroker(1)
		l := start(t, Config{Rate: 20}, b, nil, log)
		b.change(func(b *broker) { b.down = true })
		time.AfterFunc(time.Minute, func() { b.change(func(b *broker) { b.down = false }) })
		get(t, l, stop.LaneNormal).Release()
		time.Sleep(time.Second)
		l.Close()
		for _, c := range []struct {
			line string
			most int
		}{
			// Once for each action.
			{`level=WARN msg="no calls are let through: the broker does not keep the schedule of the quota" error="`, 2},
			{`level=INFO msg="calls are let through again" after=`, 2},
		} {
			if n := strings.Count(out.String(), c.line); n < 1 || n > c.most {
				t.Errorf("%d times in the log: %s\n%s", n, c.line, out)
			}
		}
	})
}

func TestDifferentRatesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logged()
		b := newBroker(1)
		other := start(t, Config{Worker: "other", Rate: 10}, b, nil, nil)
		l := start(t, Config{Rate: 20}, b, nil, log)
		for range 3 {
			get(t, other, stop.LaneNormal).Release()
			get(t, l, stop.LaneNormal).Release()
		}
		l.Close()
		want := `level=WARN msg="workers with different rates share this quota: give them the same" rate=20 other_rate=10 other_worker=other` + "\n"
		if lines := strings.Count(out.String(), want); lines != 2 || out.Len() != 2*len(want) {
			t.Errorf("log:\n%s\nwant this once for each action:\n%s", out, want)
		}
	})
}
