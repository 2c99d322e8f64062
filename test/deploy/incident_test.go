package deploy

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// A fleet meets one trouble after the other. Each rule fires because of what it is for, and
// is over when that is; every panel of the dashboard has something to show; and what rules
// and dashboard ask for is what the programs show.
func TestAnIncident(t *testing.T) {
	const second = time.Second
	s := newStage(t, scaled(t), 2000, second)
	p := s.prom

	// The fleet at work: a bulk, single requests, alerts, and answers that get lost.
	s.fault(simulator.Fault{Kind: simulator.Latency, Delay: 5 * time.Millisecond, DelayMax: 50 * time.Millisecond})
	s.fault(simulator.Fault{Kind: simulator.LostAnswer, Match: simulator.Match{Action: stop.ActionStop}, Skip: 10, Count: 5})
	s.bulk("BULK", 100)
	paused := s.fresh()
	s.ask("as.refresh.stop.urgent", one(paused, "5xx"))
	s.ask("as.refresh.stop", one(paused, "the same again"))
	endFlow := s.flow("as.refresh.stop", second/2)
	s.posts("alertmanager", secretOfWeb, http.StatusOK)
	if status, err := s.alert("grafana", secretOfWeb, ""); err != nil || status != http.StatusOK {
		t.Fatalf("an alert of nobody's group: %d, %v", status, err)
	}

	// A request that nobody can read, one that the API refuses for good, one that crashes.
	s.fault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InvalidParameterValue", Match: simulator.Match{Action: stop.ActionStop, GroupID: groupName(broken)}})
	s.ask("as.refresh.stop", map[string]any{"AutoScalingGroup": "misspelt"})
	s.ask("as.refresh.stop", one(groupName(broken), "refused"))
	s.ask("as.refresh.stop", one(s.fresh(), poison))
	p.fires("AndonDeadLetters page", "AndonDeadLetters ticket", "AndonPanics ticket")
	p.resolves("AndonDeadLetters page", "AndonDeadLetters ticket", "AndonPanics ticket")

	// Somebody else takes the whole quota. The fleet slows down, and asks for less.
	end := s.fault(simulator.Fault{Kind: simulator.Throttle, Match: simulator.Match{Action: stop.ActionStop}})
	p.fires("AndonThrottledByOthers ticket")
	end()
	p.resolves("AndonThrottledByOthers ticket")

	// The API does not answer. What expires meanwhile hides nothing of that.
	end = s.fault(simulator.Fault{Kind: simulator.Hang})
	endExpiring := s.expiring("as.refresh.stop", second/2, second)
	p.fires("AndonRequestsExpired page", "AndonOldestRequestTooOld page", "AndonResultsMissing page", "AndonQueueStuck page")
	endExpiring()
	end()
	p.resolves("AndonRequestsExpired page", "AndonOldestRequestTooOld page", "AndonResultsMissing page", "AndonQueueStuck page")

	// Its credentials are refused.
	end = s.fault(simulator.Fault{Kind: simulator.RefuseCredentials})
	p.fires("AndonCredentialsHeld page")
	end()
	p.resolves("AndonCredentialsHeld page")

	// While all calls are held a worker dies, a sender has the wrong secret, and the broker goes away.
	release := s.hold("maintenance of the API")
	s.workers[1].Kill()
	p.fires("AndonWorkerDown ticket")
	refused := s.poster("grafana", "wrong", http.StatusForbidden)
	p.fires("AndonIngressUnavailable ticket")
	refused()
	s.broker.Nodes[0].Kill()
	p.fires("AndonNotReady page")
	away := s.poster("alertmanager", secretOfWeb, http.StatusServiceUnavailable)
	p.fires("AndonIngressUnavailable page")
	away()
	s.broker.Start(s.broker.Nodes[0])
	s.begin(s.workers[1])
	p.resolves("AndonNotReady page", "AndonWorkerDown ticket")
	s.posts("alertmanager", secretOfWeb, http.StatusOK)
	s.posts("grafana", secretOfWeb, http.StatusOK)
	p.resolves("AndonIngressUnavailable page", "AndonIngressUnavailable ticket")
	p.fires("AndonHoldForgotten page")
	release()
	p.resolves("AndonHoldForgotten page")

	// What was paused long ago is still, until somebody resumes it.
	p.fires("AndonGroupPausedTooLong page")
	endFlow()
	s.resume()
	p.resolves("AndonGroupPausedTooLong page")

	// Nobody is left.
	for _, m := range s.all() {
		m.Kill()
	}
	p.fires("AndonAllDown page worker", "AndonAllDown page ingress")
	for _, m := range s.all() {
		s.begin(m)
	}
	p.resolves("AndonAllDown page worker", "AndonAllDown page ingress")

	t.Run("every rule has fired and is over", func(t *testing.T) {
		fired, err := p.between(`ALERTS{alertstate="firing"}`, p.begun, time.Now(), second)
		if err != nil {
			t.Fatal(err)
		}
		had := make(map[string]bool)
		for _, a := range fired {
			had[ruleName(a.Metric["alertname"], a.Metric)] = true
		}
		for _, r := range loadRules(t).Groups[0].Rules {
			if !had[r.name()] {
				t.Errorf("%s has not fired", r.name())
			}
		}
		harness.Eventually(t, time.Minute, func() error {
			firing, err := p.firing()
			if err == nil && len(firing) > 0 {
				err = fmt.Errorf("at the end there still fire %v", firing)
			}
			return err
		})
	})
	t.Run("every panel has something to show", func(t *testing.T) {
		for _, panel := range loadDashboard(t).Panels {
			for _, target := range panel.Targets {
				expr := filled(target.Expr, 5*second, time.Minute)
				found, err := p.between(expr, p.begun, time.Now(), second)
				if err != nil || !anything(found) {
					t.Errorf("%q shows nothing (%v): %s", panel.Title, err, expr)
				}
			}
		}
	})
	t.Run("what is asked for is there", func(t *testing.T) {
		known := p.known(t)
		asked := make(map[string]bool)
		check := func(where, expr string) {
			e := parsed(t, expr)
			if err := unknown(e, known); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			all, _ := selectors(e)
			for _, s := range all {
				asked[s.Name] = true
			}
		}
		for _, r := range loadRules(t).Groups[0].Rules {
			check(r.name(), r.Expr)
		}
		for _, panel := range loadDashboard(t).Panels {
			for _, target := range panel.Targets {
				check(strconv.Quote(panel.Title), filled(target.Expr, time.Minute, time.Hour))
			}
		}
		for name := range known {
			// Of a histogram the buckets are asked for.
			if strings.HasPrefix(name, "andon_") && !asked[name] && !strings.HasSuffix(name, "_sum") && !strings.HasSuffix(name, "_count") {
				t.Errorf("%s is on no panel and in no rule", name)
			}
		}
	})
}

// posts has the ingress answer an alert with a status.
func (s *stage) posts(source, secret string, want int) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error {
		status, err := s.alert(source, secret, s.fresh())
		if err == nil && status != want {
			err = fmt.Errorf("the answer to an alert is %d, want %d", status, want)
		}
		return err
	})
}

// poster posts alerts, as a sender does that is turned away and comes again, until it is
// ended; the first has been answered.
func (s *stage) poster(source, secret string, want int) (end func()) {
	s.t.Helper()
	s.posts(source, secret, want)
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = s.alert(source, secret, s.fresh()) // it comes again
			case <-stopped:
				return
			case <-s.t.Context().Done():
				return
			}
		}
	}()
	return func() { close(stopped); <-done }
}

// anything says whether there is a number in what was found.
func anything(found []sample) bool {
	return slices.ContainsFunc(found, func(one sample) bool {
		return slices.ContainsFunc(one.Values, func(v [2]any) bool {
			text, _ := v[1].(string)
			f, err := strconv.ParseFloat(text, 64)
			return err == nil && !math.IsNaN(f)
		})
	})
}

// known are all series that there were, by name.
func (p *prom) known(t testing.TB) map[string][]map[string]string {
	t.Helper()
	var series []map[string]string
	query := url.Values{"match[]": {`{job=~".+"}`, `ALERTS`}, "start": {strconv.FormatInt(p.begun.Unix(), 10)}}
	if err := p.get("/api/v1/series", query, &series); err != nil {
		t.Fatal(err)
	}
	known := make(map[string][]map[string]string)
	for _, one := range series {
		known[one["__name__"]] = append(known[one["__name__"]], one)
	}
	return known
}
