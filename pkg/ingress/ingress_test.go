package ingress

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// shelf keeps what is published, as the broker does: once for each identity.
type shelf struct {
	mu   sync.Mutex
	all  map[string]stop.Message
	away error
}

func (s *shelf) Publish(_ context.Context, m stop.Message) (repeated bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return false, s.away
	}
	if s.all == nil {
		s.all = make(map[string]stop.Message)
	}
	id := m.Header["Nats-Msg-Id"][0]
	_, repeated = s.all[id]
	s.all[id] = m
	return repeated, nil
}

func (s *shelf) set(away error) { s.mu.Lock(); defer s.mu.Unlock(); s.away = away }

// requests are what a worker reads of it, in the order of their groups.
func (s *shelf) requests(t testing.TB) []stop.Request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []stop.Request
	for _, m := range s.all {
		m.Stored = time.Date(2026, 11, 23, 1, 10, 0, 0, time.UTC)
		r, bad := stop.Decode(m, stop.Defaults{Region: "ap-guangzhou"})
		if bad != nil {
			t.Errorf("a worker cannot read %s: %v", m.Data, bad)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b stop.Request) int { return strings.Compare(a.AutoScalingGroupID, b.AutoScalingGroupID) })
	return all
}

// tcopRules are what TCOP and PagerDuty need, which name no group.
var sampleRules = []Rule{
	{Source: SourceTCOP, Match: map[string]string{"policy_id": "policy-shopweb1"}, Region: "ap-guangzhou", Group: "asg-shopweb1", Urgent: true},
	{Source: SourcePagerDuty, Match: map[string]string{"service": "shop-*", "priority": "P1"}, Region: "ap-guangzhou", Group: "asg-{{.Labels.service_id}}", Reason: "{{.Labels.priority}}: {{.Summary}}"},
}

func newTest(t testing.TB, change ...func(*Config)) (*Ingress, *shelf) {
	t.Helper()
	c := Config{Rules: sampleRules, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	s := &shelf{}
	i, err := New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return i, s
}

func post(i http.Handler, path string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	return w
}

func sample(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/ingress", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// samples are the bodies and where they are posted.
var samples = map[string]string{
	"alertmanager.json": "/webhook/alertmanager", "grafana.json": "/webhook/grafana", "tcop-metric.json": "/webhook/tcop", "tcop-event.json": "/webhook/tcop",
	"pagerduty.json": "/webhook/pagerduty", "cloudevent.json": "/webhook/cloudevents", "request.json": "/v1/stop",
}

func TestWhatBecomesOfEachSample(t *testing.T) {
	for file, path := range samples {
		t.Run(file, func(t *testing.T) {
			body := sample(t, file)
			if file == "pagerduty.json" {
				body = bytes.ReplaceAll(body, []byte("PF9KMXH"), []byte("pf9kmxh")) // ids of groups are lower case
			}
			i, s := newTest(t)
			const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			first := post(i, path, body, "traceparent", trace, "Content-Type", "application/json")
			again := post(i, path, body, "traceparent", trace, "Content-Type", "application/json")
			if first.Code != http.StatusOK || first.Body.String() != again.Body.String() {
				t.Fatalf("answered %d %s, and again %s", first.Code, first.Body, again.Body)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "answer %s", first.Body)
			for _, r := range s.requests(t) {
				if r.Traceparent != trace {
					t.Errorf("the trace is %q", r.Traceparent)
				}
				m := s.all[r.ID]
				data, err := json.MarshalIndent(json.RawMessage(m.Data), "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%s %s since %s\n%s\n", m.Subject, r.ID, r.Since.Format(time.RFC3339), data)
			}
			harness.Golden(t, filepath.Join("../../testdata/ingress", strings.TrimSuffix(file, ".json")+".requests"), b.String())
		})
	}
}

// Senders drop what is answered with 4xx and come again after 503: the one must be for
// what can never work, the other for everything else.
func TestAnswers(t *testing.T) {
	good := sample(t, "alertmanager.json")
	for _, c := range []struct {
		rule   string
		path   string
		body   []byte
		away   error
		status int
	}{
		{"stored", "/webhook/alertmanager", good, nil, http.StatusOK},
		{"the broker is away", "/webhook/alertmanager", good, errors.New("away"), http.StatusServiceUnavailable},
		{"the broker is away, and it is a request", "/v1/stop", sample(t, "request.json"), errors.New("away"), http.StatusServiceUnavailable},
		{"no JSON", "/webhook/alertmanager", []byte("{"), nil, http.StatusBadRequest},
		{"nothing", "/webhook/grafana", nil, nil, http.StatusBadRequest},
		{"another sender", "/webhook/alertmanager", sample(t, "pagerduty.json"), nil, http.StatusBadRequest},
		{"a request that breaks the contract", "/v1/stop", []byte(`{"AutoScalingGroupId":"asg-a","DryRn":true}`), nil, http.StatusBadRequest},
		{"an event of another type", "/webhook/cloudevents", []byte(`{"specversion":"1.0","id":"a","source":"b","type":"c","data":{}}`), nil, http.StatusBadRequest},
		{"too large", "/webhook/alertmanager", bytes.Repeat([]byte("x"), MaxBody+1), nil, http.StatusRequestEntityTooLarge},
		{"an alert that maps to nothing is no fault of the sender", "/webhook/tcop", bytes.ReplaceAll(sample(t, "tcop-metric.json"), []byte("policy-shopweb1"), []byte("policy-other")), nil, http.StatusOK},
		{"no such path", "/webhook/nagios", good, nil, http.StatusNotFound},
	} {
		t.Run(c.rule, func(t *testing.T) {
			i, s := newTest(t)
			s.set(c.away)
			w := post(i, c.path, c.body)
			if w.Code != c.status {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, c.status)
			}
			if (w.Code == http.StatusServiceUnavailable) != (w.Header().Get("Retry-After") != "") {
				t.Error("Retry-After goes with 503")
			}
			if c.status != http.StatusOK && len(s.all) > 0 {
				t.Errorf("%d requests were stored", len(s.all))
			}
		})
	}
	t.Run("GET", func(t *testing.T) {
		i, _ := newTest(t)
		w := httptest.NewRecorder()
		i.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/webhook/alertmanager", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("answered %d", w.Code)
		}
	})
}

func secret(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func sign(secret, signed string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestAuthentication(t *testing.T) {
	const before, now, wrong = "the-secret-before-it", "the-secret-of-today-", "the-secret-of-nobody"
	auth := map[Source]Auth{
		SourceAlertmanager: {BearerFiles: []string{secret(t, before), secret(t, now)}},
		SourceTCOP:         {User: "tcop", PasswordFiles: []string{secret(t, before), secret(t, now)}},
		SourceGrafana:      {HMACFiles: []string{secret(t, before), secret(t, now)}},
		SourcePagerDuty:    {HMACFiles: []string{secret(t, before), secret(t, now)}},
	}
	am, tc, gr, pd := sample(t, "alertmanager.json"), sample(t, "tcop-metric.json"), sample(t, "grafana.json"), sample(t, "pagerduty.json")
	stamp := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	basic := func(user, password string) string {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for _, c := range []struct {
		rule, path string
		body       []byte
		status     int
		header     []string
	}{
		{"no token", "/webhook/alertmanager", am, 401, nil},
		{"a wrong token", "/webhook/alertmanager", am, 403, []string{"Authorization", "Bearer " + wrong}},
		{"the token", "/webhook/alertmanager", am, 200, []string{"Authorization", "Bearer " + now}},
		{"the token before", "/webhook/alertmanager", am, 200, []string{"Authorization", "bearer " + before}},
		{"a password is no token", "/webhook/alertmanager", am, 401, []string{"Authorization", basic("tcop", now)}},
		{"the password", "/webhook/tcop", tc, 200, []string{"Authorization", basic("tcop", now)}},
		{"the password before", "/webhook/tcop", tc, 200, []string{"Authorization", basic("tcop", before)}},
		{"a wrong password", "/webhook/tcop", tc, 403, []string{"Authorization", basic("tcop", wrong)}},
		{"a wrong user", "/webhook/tcop", tc, 403, []string{"Authorization", basic("root", now)}},
		{"Grafana's signature", "/webhook/grafana", gr, 200, []string{grafanaSignature, sign(now, string(gr))}},
		{"Grafana's signature of another body", "/webhook/grafana", gr, 403, []string{grafanaSignature, sign(now, string(am))}},
		{"Grafana's signature with a time", "/webhook/grafana", gr, 200, []string{grafanaSignature, sign(before, stamp(time.Now())+":"+string(gr)), grafanaTimestamp, stamp(time.Now())}},
		{"Grafana's signature replayed", "/webhook/grafana", gr, 403, []string{grafanaSignature, sign(now, stamp(time.Now().Add(-time.Hour))+":"+string(gr)), grafanaTimestamp, stamp(time.Now().Add(-time.Hour))}},
		{"Grafana's signature with another time", "/webhook/grafana", gr, 403, []string{grafanaSignature, sign(now, stamp(time.Now().Add(-time.Minute))+":"+string(gr)), grafanaTimestamp, stamp(time.Now())}},
		{"Grafana's signature by a wrong secret", "/webhook/grafana", gr, 403, []string{grafanaSignature, sign(wrong, string(gr))}},
		{"no signature", "/webhook/grafana", gr, 401, nil},
		{"PagerDuty's signature", "/webhook/pagerduty", pd, 200, []string{pagerDutySignature, "v1=" + sign(now, string(pd))}},
		{"one of PagerDuty's signatures", "/webhook/pagerduty", pd, 200, []string{pagerDutySignature, "v1=" + sign(wrong, string(pd)) + ",v1=" + sign(before, string(pd))}},
		{"PagerDuty's signature of another version", "/webhook/pagerduty", pd, 403, []string{pagerDutySignature, "v2=" + sign(now, string(pd))}},
		{"a signature that is none", "/webhook/pagerduty", pd, 403, []string{pagerDutySignature, "v1=zz"}},
		{"a source that is not configured is not there", "/v1/stop", sample(t, "request.json"), 404, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			i, s := newTest(t, func(conf *Config) { conf.Auth = auth })
			w := post(i, c.path, c.body, c.header...)
			if w.Code != c.status {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.status != 200 && len(s.all) > 0 {
				t.Error("it was stored all the same")
			}
			if strings.Contains(w.Body.String(), now) {
				t.Error("the answer has the secret")
			}
		})
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for rule, c := range map[string]Config{
		"no source at all":             {Auth: map[Source]Auth{}},
		"a source that is none":        {Auth: map[Source]Auth{"nagios": {}}},
		"a secret that is not there":   {Auth: map[Source]Auth{SourceGrafana: {HMACFiles: []string{"/no/such/file"}}}},
		"a secret that can be tried":   {Auth: map[Source]Auth{SourceGrafana: {HMACFiles: []string{secret(t, "short")}}}},
		"a password without a user":    {Auth: map[Source]Auth{SourceTCOP: {PasswordFiles: []string{secret(t, "long enough for all")}}}},
		"signatures that nobody makes": {Auth: map[Source]Auth{SourceTCOP: {HMACFiles: []string{secret(t, "long enough for all")}}}},
		"a rule without a group":       {Rules: []Rule{{Region: "ap-guangzhou"}}},
		"a template that is none":      {Rules: []Rule{{Group: "{{.Labels"}}},
		"a rule for a source of none":  {Rules: []Rule{{Source: "nagios", Group: "asg-a"}}},
		"a team that is a lane":        {Team: "urgent"},
		"a rate below nothing":         {Rate: -1},
	} {
		c.Registerer, c.Log = prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
		if _, err := New(c, &shelf{}); err == nil {
			t.Errorf("%s is taken", rule)
		}
	}
}

func TestARuleThatCannotBeFollowedPausesNothing(t *testing.T) {
	alert := Alert{Source: SourceAlertmanager, Name: "A", Identity: "i", Firing: true, Labels: map[string]string{"team": "shop", "group": "asg-shopweb1", "bad": "web-1"}}
	for _, c := range []struct {
		name  string
		rules []Rule
		group string
	}{
		{"the label", []Rule{{Group: "{{.Labels.group}}"}}, "asg-shopweb1"},
		{"a label that is missing", []Rule{{Group: "{{.Labels.asg}}"}}, ""},
		{"a label that is no group", []Rule{{Group: "{{.Labels.bad}}"}}, ""},
		{"the first rule counts", []Rule{{Match: map[string]string{"team": "sh*"}, Group: "asg-first"}, {Group: "asg-second"}}, "asg-first"},
		{"a label that does not match", []Rule{{Match: map[string]string{"team": "pay"}, Group: "asg-first"}, {Group: "asg-second"}}, "asg-second"},
		{"a label that must be there", []Rule{{Match: map[string]string{"env": "*"}, Group: "asg-first"}}, ""},
		{"a pattern is no regular expression", []Rule{{Match: map[string]string{"team": "s.op"}, Group: "asg-first"}}, ""},
		{"a rule that matches and fails is not passed over", []Rule{{Group: "{{.Labels.asg}}"}, {Group: "asg-second"}}, ""},
		{"no rule, and no labels of the convention", nil, ""},
	} {
		m, err := newMapping(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.request(alert)
		if r.AutoScalingGroupID != c.group || (err == nil) != (c.group != "") {
			t.Errorf("%s: %q (%v), want %q", c.name, r.AutoScalingGroupID, err, c.group)
		}
		if err != nil && !errors.Is(err, errUnmapped) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A sender that storms is told to come again, and takes nothing from the others.
func TestEachSourceHasARateOfItsOwn(t *testing.T) {
	i, _ := newTest(t, func(c *Config) { c.Rate = 1 })
	limited := 0
	for range 50 {
		if w := post(i, "/webhook/alertmanager", sample(t, "alertmanager.json")); w.Code == http.StatusServiceUnavailable {
			limited++
		}
	}
	if limited < 30 {
		t.Errorf("%d of 50 are told to come again", limited)
	}
	if w := post(i, "/webhook/grafana", sample(t, "grafana.json")); w.Code != http.StatusOK {
		t.Errorf("another source is answered %d", w.Code)
	}
}

func TestMetricsAreThereFromTheStartAndLint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newTest(t, func(c *Config) { c.Registerer = reg })
	if n, err := testutil.GatherAndCount(reg, "andon_ingress_requests_total"); err != nil || n != len(Sources())*5 {
		t.Errorf("%d series of requests (%v)", n, err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}
