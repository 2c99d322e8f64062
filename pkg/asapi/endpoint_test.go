package asapi

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// nowhere are shapes that must never become a part of a host name.
var nowhere = []string{
	"", ".", "..", "../x", "a.b", "ap-guangzhou.evil.com", "evil.com/ap-guangzhou", "ap-guangzhou/", "ap-guangzhou:81",
	"ap-guangzhou#", "ap-guangzhou?x", "user@ap-guangzhou", "AP-GUANGZHOU", "Ap-guangzhou", " ap-guangzhou", "ap-guangzhou\n",
	"ap-guangzhou\x00", "ap guangzhou", "ap_guangzhou", "-guangzhou", "ap-", "ap--guangzhou", "guangzhou", "ap-guangzhoü",
	"{region}", "ap-{region}", "%61p-guangzhou", "127.0.0.1", "localhost", "[::1]", "ap-" + strings.Repeat("x", 300),
}

func TestNewEndpoint(t *testing.T) {
	tests := []struct {
		name, raw string
		served    []string
		want      string // host in ap-guangzhou; empty: refused
	}{
		{name: "the default", raw: "https://as.intl.tencentcloudapi.com", want: "https://as.intl.tencentcloudapi.com"},
		{name: "slash at the end", raw: "https://as.tencentcloudapi.com/", want: "https://as.tencentcloudapi.com"},
		{name: "port", raw: "http://127.0.0.1:8080", want: "http://127.0.0.1:8080"},
		{name: "IPv6", raw: "http://[::1]:8080", want: "http://[::1]:8080"},
		{name: "upper case names the same quota", raw: "HTTPS://AS.TencentCloudAPI.com", want: "https://as.tencentcloudapi.com"},
		{name: "region", raw: "https://as.{region}.tencentcloudapi.com", want: "https://as.ap-guangzhou.tencentcloudapi.com"},
		{name: "region twice", raw: "https://{region}.{region}.example", want: "https://ap-guangzhou.ap-guangzhou.example"},
		{name: "list of regions", raw: "https://as.{region}.example", served: []string{"ap-guangzhou"}, want: "https://as.ap-guangzhou.example"},

		{name: "empty", raw: ""},
		{name: "no scheme", raw: "as.tencentcloudapi.com"},
		{name: "host and port alone", raw: "127.0.0.1:8080"},
		{name: "no host", raw: "https://"},
		{name: "port without a host", raw: "https://:443"},
		{name: "slash for a host", raw: "https:///"},
		{name: "other scheme", raw: "ftp://as.tencentcloudapi.com"},
		{name: "file", raw: "file:///etc/passwd"},
		{name: "region for a scheme", raw: "{region}://as.tencentcloudapi.com"},
		{name: "region for a port", raw: "https://as.tencentcloudapi.com:{region}"},
		{name: "region for a user", raw: "https://{region}@as.tencentcloudapi.com"},
		{name: "other placeholder", raw: "https://as.{zone}.tencentcloudapi.com"},
		{name: "path", raw: "https://as.tencentcloudapi.com/v3"},
		{name: "region in a path", raw: "https://as.tencentcloudapi.com/{region}"},
		{name: "slashes for a path", raw: "https://as.tencentcloudapi.com//"},
		{name: "query", raw: "https://as.tencentcloudapi.com?a=b"},
		{name: "empty query", raw: "https://as.tencentcloudapi.com?"},
		{name: "fragment", raw: "https://as.tencentcloudapi.com#x"},
		{name: "empty fragment", raw: "https://as.tencentcloudapi.com#"},
		{name: "user", raw: "https://user:pass@as.tencentcloudapi.com"},
		{name: "escaped host", raw: "https://as%2etencentcloudapi.com"},
		{name: "blank", raw: "https://as tencentcloudapi.com"},
		{name: "blank before", raw: " https://as.tencentcloudapi.com"},
		{name: "line feed", raw: "https://as.tencentcloudapi.com\n"},
		{name: "list with a region of a bad shape", raw: "https://as.{region}.example", served: []string{"ap-guangzhou", "a.b"}},
		{name: "list with an upper-case region", raw: "https://as.example", served: []string{"AP-GUANGZHOU"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := newEndpoint(tt.raw, tt.served)
			if tt.want == "" {
				if err == nil {
					t.Fatalf("endpoint %q, regions %q are taken as %+v", tt.raw, tt.served, e)
				}
				if text := err.Error(); strings.ContainsAny(text, "\n\r") {
					t.Errorf("the error has lines: %q", text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			host, err := e.in("ap-guangzhou")
			if got := e.scheme + "://" + host; err != nil || got != tt.want {
				t.Errorf("in ap-guangzhou: %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestRegionOfABadShapeIsRefused(t *testing.T) {
	for _, raw := range []string{"https://as.{region}.example", "https://as.example"} {
		e, err := newEndpoint(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, region := range nowhere {
			host, err := e.in(region)
			if err == nil {
				t.Errorf("endpoint %s: region %q is served at %s", raw, region, host)
			} else if text := err.Error(); len(text) > 250 || strings.ContainsAny(text, "\n\x00") {
				t.Errorf("endpoint %s: region %q: unfit for a log: %q", raw, region, text)
			}
		}
	}
}

func TestRegionIsServed(t *testing.T) {
	tests := []struct {
		name, endpoint string
		served         []string
		region         string
		says           []string // nil: served
	}{
		{name: "one endpoint, no list: any of the right shape", endpoint: "https://as.example", region: "xx-newplace-7"},
		{name: "one endpoint, listed", endpoint: "https://as.example", served: []string{"ap-beijing", "xx-newplace"}, region: "xx-newplace"},
		{name: "one endpoint, not listed", endpoint: "https://as.example", served: []string{"ap-beijing", "ap-tokyo"}, region: "ap-guangzhou", says: []string{"ap-guangzhou is not served", "ap-beijing, ap-tokyo"}},
		{name: "region in the endpoint: one the SDK knows", endpoint: "https://as.{region}.example", region: "ap-shanghai-fsi"},
		{name: "region in the endpoint: an unknown one would be a host", endpoint: "https://as.{region}.example", region: "xx-newplace", says: []string{"xx-newplace is not served", "ap-guangzhou"}},
		{name: "region in the endpoint: an unknown one, listed", endpoint: "https://as.{region}.example", served: []string{"xx-newplace"}, region: "xx-newplace"},
		{name: "region in the endpoint: a known one, not listed", endpoint: "https://as.{region}.example", served: []string{"xx-newplace"}, region: "ap-guangzhou", says: []string{"served are xx-newplace"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.endpoint, func(c *Config) { c.Regions = tt.served })
			got, err := c.Quota("default", tt.region)
			if tt.says == nil {
				want := stop.Quota{Account: "default", Endpoint: strings.ReplaceAll(tt.endpoint, "{region}", tt.region)}
				if err != nil || got != want {
					t.Errorf("Quota is %v, %v, want %v", got, err, want)
				}
				return
			}
			if err == nil {
				t.Fatalf("Quota is %v, want a refusal", got)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}

func TestUnknownAccountNamesWhatIsServed(t *testing.T) {
	c := newClient(t, "https://as.example", func(c *Config) {
		c.Accounts = map[string]Account{"shop": simulated(), "default": simulated(), "game": simulated()}
	})
	_, err := c.Quota("pay", "ap-guangzhou")
	if want := `account "pay" is not served here; served are default, game, shop`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := c.Quota(strings.Repeat("x\n", 500), "ap-guangzhou"); err == nil || len(err.Error()) > 200 || strings.Contains(err.Error(), "\n") {
		t.Errorf("unfit for a log: %v", err)
	}
}

func TestQuotas(t *testing.T) {
	tests := []struct {
		name, endpoint string
		regions        []string
		want           []stop.Quota
	}{
		{name: "one endpoint: one for each account", endpoint: "https://as.example", regions: []string{"ap-tokyo"}, want: []stop.Quota{
			{Account: "a", Endpoint: "https://as.example"}, {Account: "b", Endpoint: "https://as.example"},
		}},
		{name: "one for each account and listed region", endpoint: "https://{region}.example", regions: []string{"ap-tokyo", "ap-seoul"}, want: []stop.Quota{
			{Account: "a", Endpoint: "https://ap-tokyo.example"},
			{Account: "a", Endpoint: "https://ap-seoul.example"},
			{Account: "b", Endpoint: "https://ap-tokyo.example"},
			{Account: "b", Endpoint: "https://ap-seoul.example"},
		}},
		{name: "no list: none is known before a request", endpoint: "https://{region}.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.endpoint, func(c *Config) {
				c.Regions, c.Accounts = tt.regions, map[string]Account{"b": simulated(), "a": simulated()}
			})
			got := c.Quotas()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			// They are the same as those that requests are counted against.
			for _, q := range got {
				region := "ap-tokyo"
				if strings.Contains(q.Endpoint, "ap-seoul") {
					region = "ap-seoul"
				}
				if counted, err := c.Quota(q.Account, region); err != nil || counted != q {
					t.Errorf("a request counts against %v, %v, not %v", counted, err, q)
				}
			}
		})
	}
}

func TestRefusedIsNeverDialled(t *testing.T) {
	var arrived atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	c := newClient(t, server.URL, func(c *Config) { c.Regions = []string{"ap-guangzhou"} })
	targets := []stop.Target{{Account: "other", Region: "ap-guangzhou"}, {Account: "default", Region: "ap-tokyo"}, {}}
	for _, region := range nowhere {
		targets = append(targets, stop.Target{Account: "default", Region: region})
	}
	for _, target := range targets {
		for action, a := range map[string]stop.Answer{
			"Stop":       c.Stop(t.Context(), target),
			"Activities": second(c.Activities(t.Context(), stop.Scope{Account: target.Account, Region: target.Region})),
		} {
			if a.Class != stop.ClassCaller || !a.Unsent || a.Message == "" {
				t.Errorf("%s of %+v: %+v, want an unsent refusal of class caller", action, target, a)
			}
		}
	}
	if n := arrived.Load(); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
}

func second(_ stop.Page, a stop.Answer) stop.Answer { return a }

func TestNewRefuses(t *testing.T) {
	one := map[string]Account{"default": simulated()}
	tests := []struct {
		name string
		conf Config
		says string
	}{
		{name: "no account", conf: Config{Endpoint: "https://as.example"}, says: "no account"},
		{name: "account name", conf: Config{Endpoint: "https://as.example", Accounts: map[string]Account{"a.b": simulated()}}, says: `"a.b"`},
		{name: "endpoint", conf: Config{Endpoint: "as.example", Accounts: one}, says: "as.example"},
		{name: "region", conf: Config{Endpoint: "https://as.example", Accounts: one, Regions: []string{"a.b"}}, says: `"a.b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.conf, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error with %s", err, tt.says)
			}
		})
	}
}
