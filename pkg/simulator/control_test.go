package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func TestControl(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.Control = true })
	for _, tt := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", "/_sim/", "", 200, "POST   /_sim/faults"},
		{"GET", "/_sim/arrivals", "", 200, "[]"},
		{"GET", "/_sim/groups", "", 200, `"AutoScalingGroupId":"asg-shopweb1"`},
		{"GET", "/_sim/activities", "", 200, `"RefreshActivityId":"asr-runweb01"`},
		{"POST", "/_sim/groups", `{"Region":"ap-tokyo","AutoScalingGroupId":"asg-tokyo001"}`, 200, "{}"},
		{"POST", "/_sim/groups", `{"Regoin":"ap-tokyo"}`, 400, "Regoin"},
		{"POST", "/_sim/groups", ``, 400, "is empty"},
		{"POST", "/_sim/activities", `{"AutoScalingGroupId":"asg-tokyo001","RefreshActivityId":"asr-tokyo001","Status":"RUNNING"}`, 200, "{}"},
		{"POST", "/_sim/activities/asr-tokyo001/scale-in", `{"ScaleIn":true}`, 200, "{}"},
		{"GET", "/_sim/activities", "", 200, `"ScaleIn":true`},
		{"POST", "/_sim/activities/asr-tokyo001/finish", ``, 200, "{}"},
		{"POST", "/_sim/activities/asr-tokyo001/finish", ``, 400, "nothing to finish"},
		{"POST", "/_sim/activities/asr-tokyo001/status", `{"Status":"FAILED_PAUSE"}`, 200, "{}"},
		{"POST", "/_sim/activities/asr-tokyo001/status", `{"Status":"SLEEPING"}`, 400, "SLEEPING"},
		{"POST", "/_sim/faults", `{"Kind":"latency","Delay":"20ms","Count":2}`, 200, `{"Name":"fault-1"}`},
		{"POST", "/_sim/faults", `{"Kind":"meteor"}`, 400, "meteor"},
		{"GET", "/_sim/faults", "", 200, `"Delay":"20ms"`},
		{"DELETE", "/_sim/faults?name=fault-9", "", 400, "fault-9"},
		{"DELETE", "/_sim/faults?name=fault-1", "", 200, "{}"},
		{"DELETE", "/_sim/faults", "", 200, "{}"},
		{"GET", "/_sim/faults", "", 200, "[]"},
		{"POST", "/_sim/credentials", `[{"SecretId":"AKIDNEW","SecretKey":"hidden"}]`, 200, "{}"},
		{"POST", "/_sim/credentials", `[{"SecretId":"NEW","SecretKey":"hidden"}]`, 400, "AKID"},
		{"GET", "/_sim/credentials", "", 200, `["AKIDNEW"]`},
		{"DELETE", "/_sim/arrivals", "", 200, "{}"},
		{"GET", "/_sim/nothing", "", 200, "GET    /_sim/arrivals"},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, "http://sim"+tt.path, strings.NewReader(tt.body)))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.contains) {
			t.Errorf("%s %s %s: %d %q, want %d and %q", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status, tt.contains)
		}
		if strings.Contains(w.Body.String(), "hidden") || strings.Contains(w.Body.String(), simulator.SampleSecretKey) {
			t.Errorf("%s %s shows a key", tt.method, tt.path)
		}
	}
	wantCode(t, "rotated", stop(t, s, "asg-shopweb1", "asr-runweb01"), "AuthFailure.SecretIdNotFound")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://sim/_sim/arrivals?action=StopInstanceRefresh", http.NoBody))
	if got := w.Body.String(); !strings.Contains(got, `"Code":"AuthFailure.SecretIdNotFound"`) || !strings.Contains(got, `"SecretId":"AKIDSIM`) {
		t.Errorf("arrivals %s", got)
	}
}

func TestControlIsOffByDefault(t *testing.T) {
	s := sim(t, nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://sim/_sim/credentials", http.NoBody))
	if !strings.Contains(w.Body.String(), "UnsupportedProtocol") {
		t.Errorf("answered %s", w.Body)
	}
}
