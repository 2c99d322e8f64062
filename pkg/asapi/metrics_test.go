package asapi

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestMetricsAtStart(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c, err := New(Config{Endpoint: "https://as.example", Accounts: map[string]Account{"default": simulated()}}, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for name, want := range map[string]int{"andon_api_requests_total": len(stop.Actions()) * len(stop.Classes()), "andon_api_request_duration_seconds": len(stop.Actions())} {
		if got, err := testutil.GatherAndCount(reg, name); err != nil || got != want {
			t.Errorf("%s has %d series before the first call, %v, want %d", name, got, err, want)
		}
	}
}

func TestMetricsOfCalls(t *testing.T) {
	sim, server := newSimulator(t)
	reg := prometheus.NewPedanticRegistry()
	c, err := New(Config{Endpoint: server.URL, Accounts: map[string]Account{"default": simulated(), "empty": Static("empty", "", "", "")}}, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	region := stop.Scope{Account: "default", Region: "ap-guangzhou"}

	c.Stop(t.Context(), web)
	c.Stop(t.Context(), web)
	c.Activities(t.Context(), region)
	addFault(t, sim, simulator.Fault{Kind: simulator.Throttle, Count: 1})
	c.Activities(t.Context(), region)
	addFault(t, sim, simulator.Fault{Kind: simulator.NullBody, Count: 1})
	c.Stop(t.Context(), web)
	c.Stop(t.Context(), stop.Target{Account: "default", Region: "a.b"})
	c.Stop(t.Context(), stop.Target{Account: "empty", Region: "ap-guangzhou"})
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	c.Stop(dead, web)

	want := `
# HELP andon_api_requests_total Calls to the Auto Scaling API, by action and class of the answer.
# TYPE andon_api_requests_total counter
andon_api_requests_total{action="DescribeAutoScalingGroups",class="caller"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="conflict"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="credential"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="not_found"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="ok"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="throttled"} 0
andon_api_requests_total{action="DescribeAutoScalingGroups",class="transient"} 0
andon_api_requests_total{action="DescribeRefreshActivities",class="caller"} 0
andon_api_requests_total{action="DescribeRefreshActivities",class="conflict"} 0
andon_api_requests_total{action="DescribeRefreshActivities",class="credential"} 0
andon_api_requests_total{action="DescribeRefreshActivities",class="not_found"} 0
andon_api_requests_total{action="DescribeRefreshActivities",class="ok"} 1
andon_api_requests_total{action="DescribeRefreshActivities",class="throttled"} 1
andon_api_requests_total{action="DescribeRefreshActivities",class="transient"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="caller"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="conflict"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="credential"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="not_found"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="ok"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="throttled"} 0
andon_api_requests_total{action="ResumeInstanceRefresh",class="transient"} 0
andon_api_requests_total{action="StopInstanceRefresh",class="caller"} 1
andon_api_requests_total{action="StopInstanceRefresh",class="conflict"} 1
andon_api_requests_total{action="StopInstanceRefresh",class="credential"} 1
andon_api_requests_total{action="StopInstanceRefresh",class="not_found"} 0
andon_api_requests_total{action="StopInstanceRefresh",class="ok"} 1
andon_api_requests_total{action="StopInstanceRefresh",class="throttled"} 0
andon_api_requests_total{action="StopInstanceRefresh",class="transient"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "andon_api_requests_total"); err != nil {
		t.Error(err)
	}
	// Calls that were refused here would make the API look fast.
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "andon_api_request_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			want := map[string]uint64{stop.ActionStop: 4, stop.ActionDescribe: 2}[m.GetLabel()[0].GetValue()]
			if got := m.GetHistogram().GetSampleCount(); got != want {
				t.Errorf("%v: %d durations, want %d", m.GetLabel(), got, want)
			}
		}
	}
}

// TestRefusedConfigurationRegistersNothing: the next one would find its metrics taken.
func TestRefusedConfigurationRegistersNothing(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	log := slog.New(slog.DiscardHandler)
	if _, err := New(Config{Endpoint: "https://as.example", Accounts: map[string]Account{"a.b": simulated()}}, reg, log); err == nil {
		t.Fatal("account a.b is taken")
	}
	c, err := New(Config{Endpoint: "https://as.example", Accounts: map[string]Account{"a": simulated()}}, reg, log)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
