package ingress

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	group    = "asg-more00001"
	activity = "asr-more00001"
	summary  = "half of the new instances are unhealthy"
	runbook  = "https://runbooks.example/refresh"
)

// fires is an alert about the group.
func fires() alert {
	now := time.Now()
	return alert{
		Labels:      map[string]string{"alertname": "RefreshUnhealthy", "region": region, "auto_scaling_group_id": group, "severity": "critical"},
		Annotations: map[string]string{"summary": summary, "runbook_url": runbook},
		StartsAt:    now, EndsAt: now.Add(4 * time.Minute), GeneratorURL: "http://prometheus.example/graph",
	}
}

// isPause says what is wrong with a result, unless it is the pause that the alert asks for.
func isPause(t testing.TB, got stop.Result) {
	t.Helper()
	if got.Outcome != stop.OutcomePaused || got.AutoScalingGroupID != group || got.RefreshActivityID != activity || got.Region != region {
		t.Errorf("the result is %s of %s, %s in %s: %s", got.Outcome, got.RefreshActivityID, got.AutoScalingGroupID, got.Region, got.Message)
	}
	if got.Reason != summary || got.RequestedBy != "alertmanager" || got.Incident != runbook {
		t.Errorf("the result names reason %q, requested by %q, incident %q", got.Reason, got.RequestedBy, got.Incident)
	}
}

func TestAnAlertBecomesAPause(t *testing.T) {
	installed(t) // or there is no need to build the others
	for name, start := range map[string]func(*rig){
		"by an ingress of its own": func(r *rig) { r.work(); r.listen() },
		"by a worker":              func(r *rig) { r.work("--ingress-listen", r.ingress, "--config", r.configFile) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			start(r)
			c := r.connect()
			one, other := startAlertmanager(t, r.ingress, r.secretFile), startAlertmanager(t, r.ingress, r.secretFile)

			arrives, told := r.api.Await(activity), time.Now()
			what := fires()
			one.tell(what)
			select {
			case at := <-arrives:
				t.Logf("from Prometheus' post to the Stop: %v", at.Sub(told).Round(time.Millisecond))
			case <-time.After(10 * time.Second):
				t.Fatal("no Stop")
			}
			isPause(t, r.once(c))
			one.way.await(t, 0, 1, "firing") // the answer may come after the result
			asInTestdata(t, one.way.answered(http.StatusOK, 0)[0].body)

			// The same again, and as the second of a pair hears it.
			what.EndsAt = time.Now().Add(4 * time.Minute)
			before := one.way.count()
			one.tell(what)
			other.tell(what)
			one.way.await(t, before, 2, "firing")
			other.way.await(t, 0, 1, "firing")
			r.once(c)

			what.EndsAt = time.Now()
			one.tell(what)
			other.tell(what)
			one.way.await(t, 0, 1, "resolved")
			other.way.await(t, 0, 1, "resolved")
			isPause(t, r.once(c))
			if n := r.asked(); n != 1 {
				t.Errorf("%d requests were stored; what is told again is to cost nothing", n)
			}
			for _, a := range []*alertmanager{one, other} {
				if all, taken := a.way.count(), len(a.way.answered(http.StatusOK, 0)); taken != all {
					t.Errorf("%d of %d posts are not taken", all-taken, all)
				}
			}
		})
	}
}

// What a person resumes stays resumed, although the alert fires on, is repeated, and
// another joins it that began before. An alert that begins later pauses again.
func TestAnAlertDoesNotOverruleAPerson(t *testing.T) {
	installed(t)
	r := newRig(t, 1)
	r.work()
	r.listen()
	c := r.connect()
	a := startAlertmanager(t, r.ingress, r.secretFile)

	began := fires()
	a.tell(began)
	isPause(t, r.once(c))

	resume := stop.Message{Subject: stop.RequestSubject(stop.ActionResume, stop.LaneNormal), Data: fmt.Appendf(nil, `{"Id":"person","Region":%q,"AutoScalingGroupId":%q}`, region, group)}
	if _, err := c.Publish(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	if got := r.await(c, "person"); got.Outcome != stop.OutcomeResumed {
		t.Fatalf("the resume ends %s: %s", got.Outcome, got.Message)
	}
	before := a.way.count()
	a.way.await(t, before, 2, "firing")

	joins := began
	joins.Labels = maps.Clone(began.Labels)
	joins.Labels["severity"] = "warning"
	joined := a.way.count()
	a.tell(joins)
	if got := r.await(c, a.way.another(t, joined)); got.Outcome != stop.OutcomeRefused || !strings.Contains(got.Message, "by request person") {
		t.Errorf("an alert that began before ends %s: %s", got.Outcome, got.Message)
	}
	if n := r.stops(); n != 1 {
		t.Errorf("%d Stops, want the one before the resume", n)
	}

	later := fires()
	later.Labels["severity"] = "page"
	joined = a.way.count()
	a.tell(later)
	if got := r.await(c, a.way.another(t, joined)); got.Outcome != stop.OutcomePaused {
		t.Errorf("an alert that began later ends %s: %s", got.Outcome, got.Message)
	}
	if n := r.stops(); n != 2 {
		t.Errorf("%d Stops, want one more", n)
	}
}

func TestAnAlertOutlivesTheBroker(t *testing.T) {
	installed(t)
	r := newRig(t, 1)
	r.work()
	r.listen()
	a := startAlertmanager(t, r.ingress, r.secretFile)

	r.stopBroker()
	a.tell(fires())
	harness.Eventually(t, 30*time.Second, func() error {
		if n := a.way.count(); n < 1 {
			return fmt.Errorf("%d posts are answered", n)
		}
		return nil
	})
	for _, p := range a.way.answered(http.StatusServiceUnavailable, 0) {
		if p.retryAfter == "" {
			t.Error("503 without Retry-After")
		}
	}
	if all, away := a.way.count(), len(a.way.answered(http.StatusServiceUnavailable, 0)); all != away {
		t.Fatalf("%d of %d posts are answered other than 503 without a broker", all-away, all)
	}
	if n := r.stops(); n != 0 {
		t.Fatalf("%d Stops without a broker", n)
	}

	before := a.way.count()
	r.startBroker()
	harness.Eventually(t, 30*time.Second, func() error {
		if len(a.way.answered(http.StatusOK, before)) == 0 {
			return fmt.Errorf("of %d posts none is taken", a.way.count()-before)
		}
		return nil
	})
	c := r.connect()
	isPause(t, r.once(c))
	a.way.await(t, a.way.count(), 2, "firing") // it keeps firing
	isPause(t, r.once(c))
}

// newer are names that Alertmanager has begun to send after the version here.
var newer = []string{"notification_reason", "routeLabels"}

// asInTestdata compares the names in a body with those in the body that the decoder
// is tested with.
func asInTestdata(t testing.TB, body []byte) {
	t.Helper()
	file, err := os.ReadFile("../../testdata/ingress/alertmanager.json")
	if err != nil {
		t.Fatal(err)
	}
	kept, keptAlert := names(t, file)
	sent, sentAlert := names(t, body)
	for _, c := range []struct {
		where      string
		kept, sent map[string]bool
	}{{"the body", kept, sent}, {"an alert", keptAlert, sentAlert}} {
		for _, name := range slices.Sorted(maps.Keys(c.sent)) {
			if !c.kept[name] {
				t.Logf("Alertmanager %s sends %q in %s, and testdata does not", alertmanagerTool.Version, name, c.where)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(c.kept)) {
			if !c.sent[name] && !slices.Contains(newer, name) {
				t.Errorf("Alertmanager %s does not send %q in %s, and testdata does", alertmanagerTool.Version, name, c.where)
			}
		}
	}
}

// names are those at the top of a body, and in its first alert.
func names(t testing.TB, body []byte) (top, first map[string]bool) {
	t.Helper()
	var fields map[string]json.RawMessage
	var alerts []map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(fields["alerts"], &alerts); err != nil || len(alerts) == 0 {
		t.Fatalf("%d alerts (%v) in %s", len(alerts), err, body)
	}
	top, first = make(map[string]bool), make(map[string]bool)
	for name := range fields {
		top[name] = true
	}
	for name := range alerts[0] {
		first[name] = true
	}
	return top, first
}
