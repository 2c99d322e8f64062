package simulator_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// The codes the tests ask for, spelled out again on purpose.
const (
	conflict = "ResourceUnavailable.RefreshActivityStatusConflictWithOperation"
	notFound = "ResourceNotFound.RefreshActivityNotFound"
)

// sim returns a Simulator of the sample, changed by edit if there is one.
func sim(t testing.TB, edit func(*simulator.Scenario)) *simulator.Simulator {
	t.Helper()
	sc := simulator.Sample()
	if edit != nil {
		edit(&sc)
	}
	s, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve puts s on loopback. Close comes before the server's own, which waits
// for calls that hang.
func serve(t testing.TB, s *simulator.Simulator) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); server.Close() })
	return server
}

// sdk returns Tencent's client for the server.
func sdk(t testing.TB, server *httptest.Server, region string) *as.Client {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint = strings.TrimPrefix(server.URL, "http://")
	p.HttpProfile.Scheme = "HTTP"
	c, err := as.NewClient(common.NewCredential(simulator.SampleSecretID, simulator.SampleSecretKey), region, p)
	if err != nil {
		t.Fatal(err)
	}
	c.WithHttpTransport(server.Client().Transport)
	return c
}

// request is a call before it is signed; the zero fields get good values.
type request struct {
	action, version, region, host, contentType, method, token, id, key string

	body    string
	at      time.Time
	service string // of the credential scope
	date    string
	signed  string
	// edit changes the signed request.
	edit func(*http.Request)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// build signs the request. It shares no code with the package under test.
func (q request) build(t testing.TB) *http.Request {
	t.Helper()
	if q.at.IsZero() {
		q.at = time.Now()
	}
	host := or(q.host, "as.tencentcloudapi.com")
	r := httptest.NewRequestWithContext(t.Context(), or(q.method, http.MethodPost), "http://"+host+"/", strings.NewReader(q.body))
	stamp := strconv.FormatInt(q.at.Unix(), 10)
	set := func(name, value string) {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	set("Content-Type", or(q.contentType, "application/json"))
	set("X-TC-Action", or(q.action, "StopInstanceRefresh"))
	set("X-TC-Version", or(q.version, "2018-04-19"))
	set("X-TC-Region", or(q.region, "ap-guangzhou"))
	set("X-TC-Timestamp", stamp)
	set("X-TC-Token", q.token)

	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	sign := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	date, service, signed := or(q.date, q.at.UTC().Format("2006-01-02")), or(q.service, "as"), or(q.signed, "content-type;host")
	canonical := fmt.Sprintf("%s\n/\n\ncontent-type:%s\nhost:%s\n\n%s\n%s", r.Method, r.Header.Get("Content-Type"), host, signed, sum(q.body))
	scope := date + "/" + service + "/tc3_request"
	key := sign(sign(sign([]byte("TC3"+or(q.key, simulator.SampleSecretKey)), date), service), "tc3_request")
	signature := hex.EncodeToString(sign(key, "TC3-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+sum(canonical)))
	r.Header.Set("Authorization", fmt.Sprintf("TC3-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", or(q.id, simulator.SampleSecretID), scope, signed, signature))
	if q.edit != nil {
		q.edit(r)
	}
	return r
}

// answer is what every call comes back with.
type answer struct {
	Error struct{ Code, Message string }

	RequestId          string
	RefreshActivityId  string
	TotalCount         int
	RefreshActivitySet []struct {
		RefreshActivityId, AutoScalingGroupId, Status, ActivityType string
		StartTime                                                   *string
	}
	AutoScalingGroupSet []struct{ AutoScalingGroupId, EnabledStatus string }
}

// call sends the request without a network.
func call(t testing.TB, s *simulator.Simulator, q request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, q.build(t))
	var env struct{ Response *answer }
	if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil || env.Response == nil || env.Response.RequestId == "" || w.Code != http.StatusOK {
		t.Fatalf("HTTP %d with no envelope: %s", w.Code, bytes.TrimSpace(w.Body.Bytes()))
	}
	return *env.Response
}

// stop is a Stop of an activity in ap-guangzhou, returning its code.
func stop(t testing.TB, s *simulator.Simulator, group, activity string) string {
	t.Helper()
	return operate(t, s, "StopInstanceRefresh", group, activity).Error.Code
}

func operate(t testing.TB, s *simulator.Simulator, action, group, activity string) answer {
	t.Helper()
	region := "ap-guangzhou"
	for _, g := range s.Groups() {
		if g.ID == group {
			region = g.Region
		}
	}
	body := fmt.Sprintf(`{"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, group, activity)
	return call(t, s, request{action: action, region: region, body: body})
}

func wantCode(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: code %q, want %q", what, got, want)
	}
}

func wantStatus(t testing.TB, s *simulator.Simulator, id string, want simulator.Status) simulator.Activity {
	t.Helper()
	a, ok := s.Activity(id)
	if !ok || a.Status != want {
		t.Errorf("activity %s is %q, want %q", id, a.Status, want)
	}
	return a
}
