package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// FuzzScenario: a scenario that is accepted can be started, shown, and written
// to a file again.
func FuzzScenario(f *testing.F) {
	files, err := filepath.Glob("../../testdata/scenario/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "sample.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	const head = "Credentials: [{SecretId: AKIDX, SecretKey: k}]\n"
	const group = head + "Groups: [{Region: ap-tokyo, AutoScalingGroupId: asg-a, Tags: {'<<': x, 1: '', '~': yes}}]\n"
	f.Add(head + "Faults: [{Kind: cut, Name: a}, {Kind: hang, Name: a}, {Kind: latency, DelayMax: 2562047h47m16.854775807s}]\n")
	f.Add(head + "Quota: {Actions: {StopInstanceRefresh: 5}, CountRejected: true}\nMaxArrivals: 1\nRegions: [xx-new]\n")
	f.Add(group + "Timing: {BatchDuration: 1ns}\nActivities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: RUNNING, Age: 2540400h, FailBatch: 1, RollingUpdateSettings: {FailProcess: AUTO_ROLLBACK}}]\n")
	f.Add(group + "Activities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: MANUAL_PAUSE, Settling: true, OriginRefreshActivityId: \"\\u0000\"}]\n")
	f.Add(head + "Groups: &a [*a]\n")
	f.Add("[]")
	f.Fuzz(func(t *testing.T, text string) {
		sc, err := simulator.Decode(strings.NewReader(text))
		if err != nil {
			return
		}
		written, err := yaml.Marshal(sc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := simulator.Decode(bytes.NewReader(written))
		if err != nil {
			t.Fatalf("written again it is refused: %v\n%s", err, written)
		}
		if !sameYAML(t, sc, again) {
			t.Errorf("written and read again (-before +after):\n%s", cmp.Diff(sc, again))
		}
		sc.Control = true
		s, err := simulator.New(sc)
		if err != nil {
			t.Fatalf("what Decode accepts is refused: %v", err)
		}
		defer s.Close()
		if len(s.Groups()) != len(sc.Groups) || len(s.Activities()) < len(sc.Activities) {
			t.Errorf("%d groups and %d activities of %d and %d", len(s.Groups()), len(s.Activities()), len(sc.Groups), len(sc.Activities))
		}
		world(t, s)
	})
}

// sameYAML compares what a file says: an empty list is none.
func sameYAML(t *testing.T, a, b any) bool {
	t.Helper()
	one, err := yaml.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := yaml.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(one, other)
}

// FuzzControl: a request to the control endpoints is answered, one that is
// refused changes nothing, no key is ever shown, and the API goes on.
func FuzzControl(f *testing.F) {
	f.Add("POST", "groups", `{"Region":"ap-tokyo","AutoScalingGroupId":"asg-tokyo001","Tags":{"a":"b"}}`)
	f.Add("POST", "groups", `{"Region":"ap-tokyo","AutoScalingGroupId":"asg-shopweb1"}`)
	f.Add("POST", "activities", `{"AutoScalingGroupId":"asg-idlepool","RefreshActivityId":"asr-tokyo001","Status":"RUNNING"}`)
	f.Add("POST", "activities", "AutoScalingGroupId: asg-idlepool\nRefreshActivityId: asr-x\nStatus: AUTO_PAUSE\nSettling: true\n---\n")
	f.Add("POST", "activities/asr-runweb01/status", `{"Status":"FAILED_PAUSE"}`)
	f.Add("POST", "activities/asr-oldweb00/status", `{"Status":"RUNNING"}`)
	f.Add("POST", "activities/asr-runweb01/scale-in", `{"ScaleIn":true}`)
	f.Add("POST", "activities/asr-oldweb00/finish", "")
	f.Add("POST", "faults", `{"Kind":"latency","DelayMax":"2562047h47m16.854775807s"}`)
	f.Add("POST", "faults", `{"Kind":"huge_body","Megabytes":9223372036854775807,"Probability":0.5,"Seed":1}`)
	f.Add("POST", "faults", `{"Kind":"slow_body","BytesPerSecond":9223372036854775807}`)
	f.Add("POST", "faults", `{"Kind":"error","Code":"\ud800","Message":"`+"\xff"+`"}`)
	f.Add("DELETE", "faults?name=%zz", "")
	f.Add("DELETE", "arrivals", "")
	f.Add("GET", "arrivals?action=StopInstanceRefresh", "")
	f.Add("POST", "credentials", `[{"SecretId":"AKIDNEW","SecretKey":"CANARY"}]`)
	f.Add("POST", "credentials", `[{"SecretId":"CANARY`)
	f.Add("PUT", "../_sim//", "")
	const key = "CANARY of the scenario"
	scenario := simulator.Scenario{
		Control: true, Quota: simulator.Quota{Off: true}, Credentials: []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: key}},
		Groups: []simulator.Group{{Region: "ap-guangzhou", ID: "asg-shopweb1"}, {Region: "ap-guangzhou", ID: "asg-idlepool"}},
		Activities: []simulator.Activity{
			{GroupID: "asg-shopweb1", ID: "asr-runweb01", Status: simulator.Running}, {GroupID: "asg-shopweb1", ID: "asr-oldweb00", Status: simulator.Successful},
		},
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://sim/_sim/"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		s, err := simulator.New(scenario)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		groups, activities, faults := s.Groups(), s.Activities(), s.Faults()
		w, cut := serveCut(t, s, r)
		if cut {
			t.Fatal("the control endpoint hangs up")
		}
		same := reflect.DeepEqual(groups, s.Groups()) && reflect.DeepEqual(activities, s.Activities()) && reflect.DeepEqual(faults, s.Faults())
		if w.Code != http.StatusOK && !same {
			t.Errorf("%s %s with %q is refused with %d, and yet it changed something", method, path, body, w.Code)
		}
		shown := w.Body.String() + world(t, s)
		var given []simulator.Credential
		_ = yaml.Unmarshal([]byte(body), &given)
		for _, c := range append(given, scenario.Credentials...) {
			if strings.Contains(c.SecretKey, "CANARY") && strings.Count(body+path, c.SecretKey) < 2 && strings.Contains(shown, c.SecretKey) {
				t.Errorf("shows the key %q: %s", c.SecretKey, shown)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for a fault
		if err := s.SetCredentials(scenario.Credentials...); err != nil {
			t.Fatal(err)
		}
		stop := request{body: goodStop, key: key}
		serveCut(t, s, stop.build(t).WithContext(ended))
		s.ClearFaults()
		call(t, s, stop)
	})
}

// world is all that the control endpoints show.
func world(t *testing.T, s *simulator.Simulator) string {
	t.Helper()
	var all bytes.Buffer
	for _, what := range []string{"groups", "activities", "faults", "credentials", "arrivals"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://sim/_sim/"+what, http.NoBody))
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) {
			t.Errorf("GET %s answers %d %s", what, w.Code, w.Body)
		}
		all.Write(w.Body.Bytes())
	}
	return all.String()
}
