package asapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// seen is a request as the API gets it.
type seen struct {
	header http.Header
	host   string
	line   string
	body   string
}

// recorder keeps every request and accepts it.
func recorder(t testing.TB) (*httptest.Server, func() []seen) {
	var mu sync.Mutex
	var all []seen
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, seen{r.Header, r.Host, r.Method + " " + r.RequestURI, string(body)})
		mu.Unlock()
		says(accepted)(w, r)
	})
	return server, func() []seen {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestRequestAsDocumented(t *testing.T) {
	server, requests := recorder(t)
	c := newClient(t, server.URL)
	before := time.Now().Unix()
	if a := c.Stop(t.Context(), web); !a.OK() || a.RequestID != "req-1" {
		t.Fatalf("got %+v", a)
	}
	got := requests()[0]
	if got.line != "POST /" || got.host != strings.TrimPrefix(server.URL, "http://") {
		t.Errorf("%s to %s, want POST / to %s", got.line, got.host, server.URL)
	}
	if want := `{"AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-runweb01"}`; got.body != want {
		t.Errorf("body %s, want %s", got.body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-TC-Action": "StopInstanceRefresh", "X-TC-Version": "2018-04-19",
		"X-TC-Region": "ap-guangzhou", "X-TC-Language": "en-US", "X-TC-Token": "", "Accept-Encoding": "",
		// Would have net/http send the call again by itself.
		"X-Idempotency-Key": "", "Idempotency-Key": "",
	} {
		if got := got.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var stamp int64
	if _, err := fmt.Sscan(got.header.Get("X-TC-Timestamp"), &stamp); err != nil || stamp < before || stamp > time.Now().Unix() {
		t.Errorf("X-TC-Timestamp is %q", got.header.Get("X-TC-Timestamp"))
	}
	if agent := got.header.Get("X-TC-RequestClient"); !strings.HasSuffix(agent, "andon 1.2.3") {
		t.Errorf("X-TC-RequestClient is %q", agent)
	}
	scope := "TC3-HMAC-SHA256 Credential=" + simulator.SampleSecretID + "/" + time.Unix(stamp, 0).UTC().Format(time.DateOnly) + "/as/tc3_request, SignedHeaders=content-type;host, Signature="
	if auth := got.header.Get("Authorization"); !strings.HasPrefix(auth, scope) {
		t.Errorf("Authorization is %q, want %q…", auth, scope)
	}
}

func TestVersionInTheStatisticsHeader(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3-rc.1":           "andon v1.2.3-rc.1",
		"":                      "andon",
		"1.0\r\nX-Evil: yes":    "andon 1.0X-Evilyes",
		"(devel)+dirty":         "andon develdirty",
		strings.Repeat("9", 40): "andon " + strings.Repeat("9", 40),
	} {
		server, requests := recorder(t)
		c := newClient(t, server.URL, func(c *Config) { c.Version = version })
		if a := c.Stop(t.Context(), web); !a.OK() {
			t.Fatalf("version %q: %+v", version, a)
		}
		if got := requests()[0].header.Get("X-TC-RequestClient"); !strings.HasSuffix(got, ": "+want) {
			t.Errorf("version %q is told as %q, want …: %s", version, got, want)
		}
		if requests()[0].header.Get("X-Evil") != "" {
			t.Errorf("version %q makes a header", version)
		}
	}
}

func TestTokenIsSent(t *testing.T) {
	sim, server := newSimulator(t)
	if err := sim.SetCredentials(simulator.Credential{SecretID: "AKIDtemporary", SecretKey: "key", Token: "token"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token string
		want        stop.Class
	}{{"the right one", "token", stop.ClassOK}, {"none", "", stop.ClassCredential}, {"another", "other", stop.ClassCredential}} {
		c := newClient(t, server.URL, account(Static("temporary", "AKIDtemporary", "key", Secret(tt.token))))
		if _, a := c.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-guangzhou"}); a.Class != tt.want {
			t.Errorf("%s: %+v, want class %s", tt.name, a, tt.want)
		}
	}
}

func TestRegionInTheEndpointIsDialled(t *testing.T) {
	server, requests := recorder(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	c := newClient(t, "http://{region}.localhost:"+port, func(c *Config) { c.Regions = []string{"ap-tokyo", "ap-seoul"} })
	// Every name ends at the server, as wildcard DNS would have it.
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(address); !strings.HasSuffix(host, ".localhost") {
			t.Errorf("%s is dialled", address)
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(server.URL, "http://"))
	}
	for _, region := range []string{"ap-tokyo", "ap-seoul", "ap-tokyo"} {
		target := web
		target.Region = region
		if a := c.Stop(t.Context(), target); !a.OK() {
			t.Fatalf("%s: %+v", region, a)
		}
		last := requests()[len(requests())-1]
		if want := region + ".localhost:" + port; last.host != want || last.header.Get("X-TC-Region") != region {
			t.Errorf("host %s, region %s, want %s", last.host, last.header.Get("X-TC-Region"), want)
		}
	}
}

// TestOneAttempt: whatever the SDK could retry, it does not.
func TestOneAttempt(t *testing.T) {
	for _, f := range []simulator.Fault{
		{Kind: simulator.Throttle},
		{Kind: simulator.Cut},
		{Kind: simulator.LostAnswer},
		{Kind: simulator.BadGateway},
		{Kind: simulator.ErrorCode, Code: "InternalError"},
		{Kind: simulator.RefuseCredentials},
		{Kind: simulator.TruncatedBody},
	} {
		t.Run(string(f.Kind), func(t *testing.T) {
			t.Parallel()
			sim, server := newSimulator(t)
			addFault(t, sim, f)
			c := newClient(t, server.URL)
			for n := 1; n <= 3; n++ {
				c.Stop(t.Context(), web)
				c.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-guangzhou"})
				if got := len(sim.Arrivals()); got != 2*n {
					t.Fatalf("after %d calls %d have arrived", 2*n, got)
				}
			}
		})
	}
}

// TestNoRegionBreaker: the SDK's would send the sixth call to Guangzhou.
func TestNoRegionBreaker(t *testing.T) {
	sim, server := newSimulator(t)
	addFault(t, sim, simulator.Fault{Kind: simulator.ErrorCode, Code: "InternalError", Count: 10})
	addFault(t, sim, simulator.Fault{Kind: simulator.Cut, Count: 10})
	c := newClient(t, server.URL)
	host := strings.TrimPrefix(server.URL, "http://")
	for n := range 20 {
		if a := c.Stop(t.Context(), web); a.Class != stop.ClassTransient {
			t.Fatalf("call %d: %+v", n, a)
		}
	}
	if a := c.Stop(t.Context(), web); !a.OK() {
		t.Errorf("after 20 failures: %+v", a)
	}
	arrivals := sim.Arrivals()
	if len(arrivals) != 21 {
		t.Errorf("%d calls arrived, want 21", len(arrivals))
	}
	for _, a := range arrivals {
		if a.Host != host || a.Region != web.Region {
			t.Errorf("a call for %s arrived at %s", a.Region, a.Host)
		}
	}
}

func TestShared(t *testing.T) {
	const goroutines, calls = 20, 20
	sim, server := newSimulator(t)
	c := newClient(t, server.URL)
	var group sync.WaitGroup
	for g := range goroutines {
		region := []string{"ap-guangzhou", "ap-singapore"}[g%2]
		group.Go(func() {
			for range calls {
				page, a := c.Activities(t.Context(), stop.Scope{Account: "default", Region: region})
				if !a.OK() || len(page.Activities) == 0 {
					t.Errorf("%s: %+v", region, a)
				}
				// Only the first Stop is accepted; all are signed, sent and understood.
				target := stop.Target{Account: "default", Region: region, AutoScalingGroupID: "asg-shopweb1", RefreshActivityID: "asr-runweb01"}
				if a := c.Stop(t.Context(), target); a.Class != stop.ClassOK && a.Class != stop.ClassConflict && a.Class != stop.ClassNotFound {
					t.Errorf("%s: %+v", region, a)
				}
			}
		})
	}
	group.Wait()
	if n := len(sim.Arrivals()); n != 2*goroutines*calls {
		t.Errorf("%d calls arrived, want %d", n, 2*goroutines*calls)
	}
	if got, _ := sim.Activity("asr-runweb01"); got.Stops != 1 {
		t.Errorf("the activity was paused %d times", got.Stops)
	}
}

// TestConnectionsAreKept: with the SDK's own transport the same bursts open
// dozens of connections.
func TestConnectionsAreKept(t *testing.T) {
	const bursts, size = 20, 20
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(says(accepted))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, server.URL)
	for range bursts {
		var group sync.WaitGroup
		for range size {
			group.Go(func() {
				if a := c.Stop(t.Context(), web); !a.OK() {
					t.Errorf("got %+v", a)
				}
			})
		}
		group.Wait()
	}
	if n := opened.Load(); n > 32 {
		t.Errorf("%d connections for bursts of %d", n, size)
	} else {
		t.Logf("%d connections for %d calls", n, bursts*size)
	}
}

// TestRefusalsKeepTheConnection: errors come at the worst time for handshakes.
func TestRefusalsKeepTheConnection(t *testing.T) {
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(`{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"no"},"RequestId":"r"}}`)(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, server.URL)
	for range 50 {
		c.Stop(t.Context(), web)
	}
	if n := opened.Load(); n > 2 {
		t.Errorf("%d connections for 50 refusals in a row", n)
	}
}

func TestClientsAreBounded(t *testing.T) {
	server, requests := recorder(t)
	c := newClient(t, server.URL)
	for n := range maxClients + 10 {
		target := web
		target.Region = fmt.Sprintf("xx-place%d", n)
		if a := c.Stop(t.Context(), target); !a.OK() {
			t.Fatalf("%s: %+v", target.Region, a)
		}
		if kept := len(c.clients); kept > maxClients {
			t.Fatalf("%d clients are kept", kept)
		}
	}
	for n, r := range requests() {
		if got, want := r.header.Get("X-TC-Region"), fmt.Sprintf("xx-place%d", n); got != want {
			t.Errorf("call %d went to %s, want %s", n, got, want)
		}
	}
}

func TestDescribeAsks(t *testing.T) {
	const live = `{"Name":"refresh-activity-status-code","Values":["INIT","RUNNING","FAILED_PAUSE","AUTO_PAUSE","MANUAL_PAUSE"]}`
	tests := []struct {
		name  string
		scope stop.Scope
		want  string
	}{
		{name: "all that is live", want: `{"Filters":[` + live + `],"Limit":100,"Offset":0}`},
		{name: "second page", scope: stop.Scope{Offset: 100}, want: `{"Filters":[` + live + `],"Limit":100,"Offset":100}`},
		{name: "offset below zero", scope: stop.Scope{Offset: -1}, want: `{"Filters":[` + live + `],"Limit":100,"Offset":0}`},
		{
			name: "of groups", scope: stop.Scope{GroupIDs: []string{"asg-a", "asg-b"}},
			want: `{"Filters":[` + live + `,{"Name":"auto-scaling-group-id","Values":["asg-a","asg-b"]}],"Limit":100,"Offset":0}`,
		},
		{
			name: "named, in whatever status", scope: stop.Scope{ActivityIDs: []string{"asr-a", "asr-b"}},
			want: `{"RefreshActivityIds":["asr-a","asr-b"],"Limit":100,"Offset":0}`,
		},
		{
			// A Scope means either; names say more.
			name: "named, with groups", scope: stop.Scope{ActivityIDs: []string{"asr-a"}, GroupIDs: []string{"asg-a"}, Offset: 1},
			want: `{"RefreshActivityIds":["asr-a"],"Limit":100,"Offset":1}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, requests := recorder(t)
			tt.scope.Account, tt.scope.Region = "default", "ap-tokyo"
			if _, a := newClient(t, server.URL).Activities(t.Context(), tt.scope); !a.OK() {
				t.Fatalf("got %+v", a)
			}
			got := requests()[0]
			if diff := cmp.Diff(decode(t, tt.want), decode(t, got.body)); diff != "" {
				t.Errorf("body -want +got:\n%s", diff)
			}
			if got.header.Get("X-TC-Action") != stop.ActionDescribe || got.header.Get("X-TC-Region") != "ap-tokyo" {
				t.Errorf("%s in %s", got.header.Get("X-TC-Action"), got.header.Get("X-TC-Region"))
			}
		})
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDescribeReads(t *testing.T) {
	tests := []struct {
		name, body string
		want       stop.Page
		class      stop.Class
	}{
		{name: "nothing", body: `{"Response":{"TotalCount":0,"RefreshActivitySet":[],"RequestId":"r"}}`, class: stop.ClassOK},
		{name: "no set", body: accepted, class: stop.ClassOK},
		{name: "null set", body: `{"Response":{"TotalCount":null,"RefreshActivitySet":null,"RequestId":"r"}}`, class: stop.ClassOK},
		{
			name: "everything", class: stop.ClassOK,
			body: `{"Response":{"TotalCount":7,"RefreshActivitySet":[
				{"AutoScalingGroupId":"asg-a","RefreshActivityId":"asr-a","ActivityType":"ROLLBACK","Status":"RUNNING",
				 "CreatedTime":"2026-11-23T04:05:06Z","StartTime":null,"EndTime":null,"RefreshBatchSet":[],"Cause":"x"},
				{"AutoScalingGroupId":"asg-b","RefreshActivityId":"asr-b","Status":"NEVER_SEEN","CreatedTime":"2026-11-23T12:05:06+08:00"}],
				"RequestId":"r"}}`,
			want: stop.Page{Total: 7, Activities: []stop.Activity{
				{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a", ActivityType: stop.TypeRollback, Status: stop.StatusRunning, CreatedTime: time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)},
				{AutoScalingGroupID: "asg-b", RefreshActivityID: "asr-b", Status: "NEVER_SEEN", CreatedTime: time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)},
			}},
		},
		{
			name: "nulls", class: stop.ClassOK,
			body: `{"Response":{"TotalCount":3,"RefreshActivitySet":[null,{},{"AutoScalingGroupId":null,"RefreshActivityId":"asr-a","ActivityType":null,"Status":null,"CreatedTime":null}],"RequestId":"r"}}`,
			want: stop.Page{Total: 3, Activities: []stop.Activity{{RefreshActivityID: "asr-a"}}},
		},
		{
			name: "time of another form", class: stop.ClassOK,
			body: `{"Response":{"TotalCount":1,"RefreshActivitySet":[{"RefreshActivityId":"asr-a","CreatedTime":"2026-11-23 04:05:06"}],"RequestId":"r"}}`,
			want: stop.Page{Total: 1, Activities: []stop.Activity{{RefreshActivityID: "asr-a"}}},
		},
		{
			// encoding/json writes no such offset, and the task of the plan holds the time.
			name: "time that cannot be written again", class: stop.ClassOK,
			body: `{"Response":{"TotalCount":1,"RefreshActivitySet":[{"RefreshActivityId":"asr-a","CreatedTime":"2026-11-23T04:05:06+24:00"}],"RequestId":"r"}}`,
			want: stop.Page{Total: 1, Activities: []stop.Activity{{RefreshActivityID: "asr-a"}}},
		},
		{name: "absurd total", body: `{"Response":{"TotalCount":18446744073709551615,"RefreshActivitySet":[],"RequestId":"r"}}`, want: stop.Page{Total: 1<<31 - 1}, class: stop.ClassOK},
		{name: "total below zero", body: `{"Response":{"TotalCount":-1,"RefreshActivitySet":[{"RefreshActivityId":"asr-a"}],"RequestId":"r"}}`, class: stop.ClassTransient},
		{name: "refused", body: `{"Response":{"Error":{"Code":"InternalError","Message":"no"},"TotalCount":1,"RefreshActivitySet":[{"RefreshActivityId":"asr-a"}],"RequestId":"r"}}`, class: stop.ClassTransient},
		{name: "null", body: "null", class: stop.ClassTransient},
		{name: "{}", body: "{}", class: stop.ClassTransient},
		{name: "no RequestId", body: `{"Response":{"TotalCount":1,"RefreshActivitySet":[{"RefreshActivityId":"asr-a"}]}}`, class: stop.ClassTransient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page, a := newClient(t, serve(t, says(tt.body)).URL).Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-guangzhou"})
			if a.Class != tt.class {
				t.Errorf("got %+v, want class %s", a, tt.class)
			}
			same := cmp.Comparer(time.Time.Equal)
			if diff := cmp.Diff(tt.want, page, same); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDescribePages(t *testing.T) {
	const groups = 230
	_, server := newSimulator(t, func(sc *simulator.Scenario) {
		sc.Groups, sc.Activities = nil, nil
		for n := range groups {
			group := fmt.Sprintf("asg-many%d", n)
			sc.Groups = append(sc.Groups, simulator.Group{Region: "ap-tokyo", ID: group})
			sc.Activities = append(sc.Activities,
				simulator.Activity{GroupID: group, ID: fmt.Sprintf("asr-old%d", n), Status: simulator.Successful, Age: time.Hour},
				simulator.Activity{GroupID: group, ID: fmt.Sprintf("asr-live%d", n), Status: simulator.Running})
		}
	})
	c := newClient(t, server.URL)
	found := make(map[string]bool)
	scope := stop.Scope{Account: "default", Region: "ap-tokyo"}
	for pages := 1; ; pages++ {
		page, a := c.Activities(t.Context(), scope)
		if !a.OK() || page.Total != groups || len(page.Activities) > pageSize {
			t.Fatalf("page %d: %d of %d, %+v", pages, len(page.Activities), page.Total, a)
		}
		for _, activity := range page.Activities {
			if !strings.HasPrefix(activity.RefreshActivityID, "asr-live") || activity.Status != stop.StatusRunning || activity.CreatedTime.IsZero() {
				t.Errorf("found %+v", activity)
			}
			found[activity.RefreshActivityID] = true
		}
		if scope.Offset += len(page.Activities); len(page.Activities) == 0 || scope.Offset >= page.Total {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(found) != groups {
		t.Errorf("%d activities on all pages, want %d", len(found), groups)
	}
	page, a := c.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-tokyo", GroupIDs: []string{"asg-many7", "asg-many9"}})
	if !a.OK() || page.Total != 2 {
		t.Errorf("of two groups: %+v, %+v", page, a)
	}
	page, a = c.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-tokyo", ActivityIDs: []string{"asr-old7", "asr-live9"}})
	if !a.OK() || page.Total != 2 {
		t.Errorf("of two activities: %+v, %+v", page, a)
	}
}

// TestSDKPanics: nothing of the SDK's ends the process.
func TestSDKPanics(t *testing.T) {
	a := attempt(t.Context(), nil, func(context.Context, *as.Client) (*string, error) { panic("as sudden as that") })
	if a.Class != stop.ClassTransient || !strings.Contains(a.Message, "as sudden as that") {
		t.Errorf("got %+v", a)
	}
}
