package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

const goodStop = `{"AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-runweb01"}`

func TestDefects(t *testing.T) {
	del := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replace := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	now := time.Now()
	for _, tt := range []struct {
		defect string
		q      request
		code   string
	}{
		{"none", request{}, ""},
		{"none, host with port", request{host: "127.0.0.1:8089"}, ""},
		{"none, intl host", request{host: "as.intl.tencentcloudapi.com"}, ""},
		{"none, clock off by four minutes", request{at: now.Add(-4 * time.Minute)}, ""},

		{"method PUT", request{method: http.MethodPut}, "UnsupportedProtocol"},
		{"body over 10 MB", request{body: strings.Repeat(" ", 10<<20+1)}, "RequestSizeLimitExceeded"},
		{"another product's host", request{host: "cvm.tencentcloudapi.com"}, "NoSuchProduct"},
		{"no content type", request{edit: del("Content-Type")}, "MissingParameter"},
		{"form content type", request{contentType: "application/x-www-form-urlencoded"}, "UnsupportedProtocol"},

		{"no timestamp", request{edit: del("X-TC-Timestamp")}, "MissingParameter"},
		{"no version", request{edit: del("X-TC-Version")}, "MissingParameter"},
		{"no action", request{edit: del("X-TC-Action")}, "MissingParameter"},

		{"no authorization", request{edit: del("Authorization")}, "AuthFailure.InvalidAuthorization"},
		{"other scheme", request{edit: set("Authorization", "Bearer x")}, "AuthFailure.InvalidAuthorization"},
		{"other algorithm", request{edit: replace("SHA256", "SHA1")}, "AuthFailure.InvalidAuthorization"},
		{"scope without end", request{edit: replace("/tc3_request", "")}, "AuthFailure.InvalidAuthorization"},
		{"scope without date", request{date: "today"}, "AuthFailure.InvalidAuthorization"},
		{"no signature", request{edit: replace("Signature=", "Sig=")}, "AuthFailure.InvalidAuthorization"},
		{"host not signed", request{signed: "content-type"}, "AuthFailure.InvalidAuthorization"},
		{"content type not signed", request{signed: "host"}, "AuthFailure.InvalidAuthorization"},
		{"signature not hex", request{edit: replace("Signature=", "Signature=zz")}, "AuthFailure.InvalidAuthorization"},

		{"timestamp is no number", request{edit: set("X-TC-Timestamp", "noon")}, "InvalidParameter"},
		{"clock six minutes slow", request{at: now.Add(-6 * time.Minute)}, "AuthFailure.SignatureExpire"},
		{"clock six minutes fast", request{at: now.Add(6 * time.Minute)}, "AuthFailure.SignatureExpire"},
		{"id is not AKID", request{id: "IKIDxxxxxxxxx"}, "AuthFailure.InvalidSecretId"},
		{"unknown id", request{id: "AKIDnobody"}, "AuthFailure.SecretIdNotFound"},
		{"wrong key", request{key: "wrong"}, "AuthFailure.SignatureFailure"},
		{"date of another day", request{date: "2019-02-25"}, "AuthFailure.SignatureFailure"},
		{"other service signed", request{service: "cvm"}, "AuthFailure.SignatureFailure"},
		{"host changed on the way", request{edit: func(r *http.Request) { r.Host = "proxy:80" }}, "AuthFailure.SignatureFailure"},
		{"token of nobody", request{token: "x"}, "AuthFailure.TokenFailure"},

		{"unknown version", request{version: "2017-01-01"}, "NoSuchVersion"},
		{"unknown action", request{action: "PauseInstanceRefresh"}, "InvalidAction"},
		{"no region", request{edit: del("X-TC-Region")}, "InvalidParameterValue"},
		{"unknown region", request{region: "mars-north"}, "InvalidParameterValue"},
		{"region not served", request{region: "ap-seoul"}, "UnsupportedRegion"},

		{"body is no JSON", request{body: `{`}, "InvalidParameter"},
		{"body is null", request{body: `null`}, "InvalidParameter"},
		{"body is an array", request{body: `[]`}, "InvalidParameter"},
		{"body goes on", request{body: goodStop + "{}"}, "InvalidParameter"},
		{"group missing", request{body: `{"RefreshActivityId":"asr-runweb01"}`}, "MissingParameter"},
		{"activity missing", request{body: `{"AutoScalingGroupId":"asg-shopweb1"}`}, "MissingParameter"},
		{"unknown field", request{body: `{"DryRun":true}`}, "UnknownParameter"},
		{"field in another case", request{body: strings.ToLower(goodStop)}, "UnknownParameter"},
		{"wrong type", request{body: `{"AutoScalingGroupId":7,"RefreshActivityId":"x"}`}, "InvalidParameter"},
		{"unknown inner field", request{action: "DescribeRefreshActivities", body: `{"Filters":[{"Name":"x","Value":["y"]}]}`}, "UnknownParameter"},
	} {
		t.Run(tt.defect, func(t *testing.T) {
			s := sim(t, func(sc *simulator.Scenario) { sc.UnservedRegions = []string{"ap-seoul"} })
			tt.q.body = or(tt.q.body, goodStop)
			wantCode(t, tt.defect, call(t, s, tt.q).Error.Code, tt.code)
			a := s.Arrivals()[0]
			if a.Code != tt.code || a.Accepted != (tt.code == "") || a.Answered.IsZero() {
				t.Errorf("recorded as %+v", a)
			}
		})
	}
}

func TestTemporaryCredentialNeedsItsToken(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) { sc.Credentials[0].Token = "session" })
	wantCode(t, "right token", call(t, s, request{body: goodStop, token: "session"}).Error.Code, "")
	wantCode(t, "old token", call(t, s, request{body: goodStop, token: "old"}).Error.Code, "AuthFailure.TokenFailure")
	wantCode(t, "no token", call(t, s, request{body: goodStop}).Error.Code, "AuthFailure.TokenFailure")
}

func TestRotation(t *testing.T) {
	s := sim(t, nil)
	if err := s.SetCredentials(simulator.Credential{SecretID: "AKIDNEW", SecretKey: "new"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "old key", stop(t, s, "asg-shopweb1", "asr-runweb01"), "AuthFailure.SecretIdNotFound")
	wantCode(t, "new key", call(t, s, request{body: goodStop, id: "AKIDNEW", key: "new"}).Error.Code, "")
	if err := s.SetCredentials(simulator.Credential{SecretID: "me"}); err == nil {
		t.Error("a pair that cannot be one was accepted")
	}
}

func TestGroupsOfAnotherAccountAreNotFound(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) {
		sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: "AKIDOTHER", SecretKey: "other"})
		sc.Groups[0].Accounts = []string{"AKIDOTHER"}
	})
	wantCode(t, "stranger", stop(t, s, "asg-shopweb1", "asr-runweb01"), notFound)
	wantCode(t, "owner", call(t, s, request{body: goodStop, id: "AKIDOTHER", key: "other"}).Error.Code, "")
	wantCode(t, "other region", call(t, s, request{body: goodStop, id: "AKIDOTHER", key: "other", region: "ap-singapore"}).Error.Code, notFound)
}

func TestAGroupMayBelongToSeveralAccounts(t *testing.T) {
	s := sim(t, func(sc *simulator.Scenario) {
		for _, id := range []string{"AKIDONE", "AKIDTWO"} {
			sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: id, SecretKey: "k"})
		}
		sc.Groups[0].Accounts = []string{"AKIDONE", "AKIDTWO"}
	})
	for id, want := range map[string]int{"AKIDONE": 1, "AKIDTWO": 1, simulator.SampleSecretID: 0} {
		q := request{action: "DescribeAutoScalingGroups", body: `{"AutoScalingGroupIds":["asg-shopweb1"]}`, id: id}
		if id != simulator.SampleSecretID {
			q.key = "k"
		}
		if got := call(t, s, q).TotalCount; got != want {
			t.Errorf("%s sees %d groups, want %d", id, got, want)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("StopInstanceRefresh", goodStop)
	f.Add("StartInstanceRefresh", `{"AutoScalingGroupId":"asg-idlepool","RefreshSettings":{"RollingUpdateSettings":{"BatchNumber":18446744073709551615,"MaxSurge":-1}}}`)
	f.Add("RollbackInstanceRefresh", `{"AutoScalingGroupId":"asg-reports1","OriginRefreshActivityId":"asr-donerep1","RefreshSettings":{"RollingUpdateSettings":{"BatchNumber":1}}}`)
	f.Add("DescribeRefreshActivities", `{"Filters":[{"Name":"refresh-activity-type","Values":[null]}],"Limit":100,"Offset":18446744073709551615}`)
	f.Add("DescribeAutoScalingGroups", `{"AutoScalingGroupIds":[null,"asg-"],"Filters":[]}`)
	f.Add("ResumeInstanceRefresh", `{"ResumeMode":{}}`)
	f.Add("CancelInstanceRefresh", `[]`)
	s := sim(f, func(sc *simulator.Scenario) { sc.Quota.Off = true; sc.MaxArrivals = 10 })
	f.Fuzz(func(t *testing.T, action, body string) {
		if strings.ContainsAny(action, "\r\n\x00") {
			t.Skip("no header can hold it")
		}
		// Any answer will do that is one: call fails the test otherwise.
		call(t, s, request{action: action, body: body})
	})
}

func TestAClockThatIsWrongRefusesCallsUntilItIsRight(t *testing.T) {
	s := sim(t, nil)
	for _, row := range []struct {
		ahead time.Duration
		want  string
	}{{10 * time.Minute, "AuthFailure.SignatureExpire"}, {-10 * time.Minute, "AuthFailure.SignatureExpire"}, {time.Minute, ""}, {0, ""}} {
		s.SetClock(row.ahead)
		if got := call(t, s, request{action: "DescribeRefreshActivities", body: `{}`}).Error.Code; got != row.want {
			t.Errorf("%v ahead: %q, want %q", row.ahead, got, row.want)
		}
	}
}
