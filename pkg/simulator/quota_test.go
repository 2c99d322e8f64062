package simulator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

const limited = "RequestLimitExceeded"

// burst sends n calls and returns how many were let through.
func burst(t *testing.T, s *simulator.Simulator, n int, q request) int {
	t.Helper()
	passed := 0
	for range n {
		if call(t, s, q).Error.Code != limited {
			passed++
		}
	}
	return passed
}

func TestQuotaIsPerActionHostAndAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) {
			sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: "AKIDOTHER", SecretKey: "other"})
			sc.Quota.Actions = map[string]int{"ResumeInstanceRefresh": 5}
		})
		for _, tt := range []struct {
			name string
			q    request
			want int
		}{
			{"Stop", request{body: goodStop}, 20},
			{"again within the second", request{body: goodStop}, 0},
			{"another region shares it", request{body: goodStop, region: "ap-singapore"}, 0},
			{"another host", request{body: goodStop, host: "as.ap-guangzhou.tencentcloudapi.com"}, 20},
			{"another account", request{body: goodStop, id: "AKIDOTHER", key: "other"}, 20},
			{"another action", request{action: "DescribeRefreshActivities", body: `{}`}, 20},
			{"groups have more", request{action: "DescribeAutoScalingGroups", body: `{}`}, 40},
			{"as configured", request{action: "ResumeInstanceRefresh", body: goodStop}, 5},
			{"a wrong signature counts for nobody", request{action: "CancelInstanceRefresh", body: goodStop, key: "wrong"}, 50},
			{"so this is all there", request{action: "CancelInstanceRefresh", body: goodStop}, 20},
		} {
			if got := burst(t, s, 50, tt.q); got != tt.want {
				t.Errorf("%s: %d of 50 passed, want %d", tt.name, got, tt.want)
			}
		}
	})
}

func TestQuotaWindowSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, nil)
		q := request{body: goodStop}
		burst(t, s, 10, q)
		time.Sleep(600 * time.Millisecond)
		if got := burst(t, s, 15, q); got != 10 {
			t.Errorf("%d passed, want the 10 that were left", got)
		}
		time.Sleep(399 * time.Millisecond)
		if got := burst(t, s, 1, q); got != 0 {
			t.Error("a call passed before the first ten were a second old")
		}
		time.Sleep(time.Millisecond)
		if got := burst(t, s, 15, q); got != 10 {
			t.Errorf("%d passed, want the 10 places that came free", got)
		}
		if got := s.MaxArrivals("StopInstanceRefresh", time.Second); got != 31 {
			t.Errorf("MaxArrivals %d, want 31: the last 15, the one before and the 15 of 400 ms ago", got)
		}
	})
}

func TestQuotaMayCountRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Quota.CountRejected = true })
		q := request{body: goodStop}
		burst(t, s, 20, q)
		time.Sleep(900 * time.Millisecond)
		burst(t, s, 20, q)
		time.Sleep(200 * time.Millisecond)
		if got := burst(t, s, 1, q); got != 0 {
			t.Error("refused calls did not count")
		}
		time.Sleep(time.Second)
		if got := burst(t, s, 21, q); got != 20 {
			t.Errorf("%d passed after a quiet second", got)
		}
	})
}

func TestQuotaMessageNamesTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim(t, func(sc *simulator.Scenario) { sc.Quota.Default = 2 })
		burst(t, s, 2, request{body: goodStop})
		got := call(t, s, request{body: goodStop}).Error.Message
		if !strings.Contains(got, "equals to `3` in a second") || !strings.Contains(got, "limit `2` for a second") {
			t.Errorf("message %q", got)
		}
	})
}

func TestQuotaOff(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.Quota.Off = true })
	if got := burst(t, s, 100, request{body: goodStop}); got != 100 {
		t.Errorf("%d of 100 passed", got)
	}
}

func TestMostIn(t *testing.T) {
	start := time.Now()
	at := func(ms ...int) (list []simulator.Arrival) {
		for _, m := range ms {
			list = append(list, simulator.Arrival{Time: start.Add(time.Duration(m) * time.Millisecond)})
		}
		return list
	}
	for _, tt := range []struct {
		name     string
		arrivals []simulator.Arrival
		want     int
	}{
		{"none", nil, 0},
		{"one", at(0), 1},
		{"a second apart is not together", at(0, 1000), 1},
		{"less is", at(0, 999), 2},
		{"across a clock's second", at(900, 950, 1050, 1100), 4},
		{"order does not matter", at(1100, 950, 3000, 900), 3},
	} {
		if got := simulator.MostIn(time.Second, tt.arrivals); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.MaxArrivals = 5; sc.Quota.Off = true })
	burst(t, s, 100, request{body: goodStop})
	if got := len(s.Arrivals()); got < 5 || got > 10 {
		t.Errorf("%d arrivals kept", got)
	}
	s.ForgetArrivals()
	if got := len(s.Arrivals()); got != 0 {
		t.Errorf("%d arrivals after forgetting", got)
	}
}
