package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-a7c21902/andon/pkg/handler"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func home(vars map[string]string) func(string) string {
	all := map[string]string{"HOME": "/home/andon"}
	for k, v := range vars {
		all[k] = v
	}
	return env(all)
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "andon.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	tests := []struct {
		name string
		file string
		env  map[string]string
		args []string
		want float64
	}{
		{name: "default", want: 20},
		{name: "file over default", file: "rate: 5", want: 5},
		{name: "environment over file", file: "rate: 5", env: map[string]string{"ANDON_RATE": "7"}, want: 7},
		{name: "flag over environment", file: "rate: 5", env: map[string]string{"ANDON_RATE": "7"}, args: []string{"--rate", "9"}, want: 9},
		{name: "flag over file", file: "rate: 5", args: []string{"--rate=9.5"}, want: 9.5},
		{name: "an empty variable is none", file: "rate: 5", env: map[string]string{"ANDON_RATE": ""}, want: 5},
		{name: "the last of two flags", args: []string{"--rate", "3", "--rate", "4"}, want: 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if tt.file != "" {
				args = append(args, "--config", write(t, tt.file))
			}
			c, _, err := load(args, home(tt.env))
			if err != nil {
				t.Fatal(err)
			}
			if c.Rate != tt.want {
				t.Errorf("rate is %v, want %v", c.Rate, tt.want)
			}
		})
	}
}

// valid has a value for every setting that differs from its default.
var valid = map[string]string{
	"nats-url":          "nats://broker:4222",
	"nats-creds":        "",
	"nats-context":      "prod",
	"nats-inbox-prefix": "_INBOX_andon",
	"nats-listen":       "off",
	"store-dir":         "/srv/andon",
	"replicas":          "3",
	"endpoint":          "https://as.{region}.tencentcloudapi.com",
	"region":            "ap-guangzhou",
	"regions":           "ap-guangzhou,ap-shanghai",
	"dry-run":           "true",
	"simulate":          "true",
	"rate":              "12.5",
	"concurrency":       "64",
	"http-listen":       ":9090",
	"ingress-listen":    "127.0.0.1:9091",
	"log-level":         "debug",
	"log-format":        "json",
}

// TestEverySource sets each setting in each of its three ways and compares
// what comes of it: the names in the table reach the same field.
func TestEverySource(t *testing.T) {
	creds := write(t, "x")
	for _, g := range settings(new(Config)) {
		for _, s := range g.settings {
			if s.name == "config" {
				continue
			}
			t.Run(s.name, func(t *testing.T) {
				value, known := valid[s.name]
				if !known {
					t.Fatalf("setting %q has no value in this test", s.name)
				}
				// What else must be set for the value to make sense.
				var with []string
				switch s.name {
				case "nats-creds":
					value, with = creds, []string{"--nats-url", "nats://broker:4222"}
				case "replicas":
					with = []string{"--nats-url", "nats://broker:4222"}
				}
				base, _, err := load(with, home(nil))
				if err != nil {
					t.Fatal(err)
				}
				byFlag, _, err := load(append([]string{"--" + s.name + "=" + value}, with...), home(nil))
				if err != nil {
					t.Fatal("flag:", err)
				}
				byEnv, _, err := load(with, home(map[string]string{s.env: value}))
				if err != nil {
					t.Fatal("environment:", err)
				}
				byFile, _, err := load(append([]string{"--config", write(t, s.name+": "+quoteYAML(value))}, with...), home(nil))
				if err != nil {
					t.Fatal("file:", err)
				}
				ignore := cmpopts.IgnoreFields(Config{}, "File", "from")
				if cmp.Equal(base, byFlag, ignore) {
					t.Errorf("--%s %s changes nothing", s.name, value)
				}
				if d := cmp.Diff(byFlag, byEnv, ignore); d != "" {
					t.Errorf("%s differs from the flag (-flag +environment):\n%s", s.env, d)
				}
				if d := cmp.Diff(byFlag, byFile, ignore); d != "" {
					t.Errorf("the key differs from the flag (-flag +file):\n%s", d)
				}
			})
		}
	}
}

func quoteYAML(s string) string {
	if strings.ContainsAny(s, "{:") || s == "off" {
		return "'" + s + "'"
	}
	return s
}

func TestStoreDir(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"XDG", map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/root"}, "/state/andon"},
		{"home", map[string]string{"HOME": "/root"}, "/root/.local/state/andon"},
		{"a relative XDG is none", map[string]string{"XDG_STATE_HOME": "state", "HOME": "/root"}, "/root/.local/state/andon"},
		{"none", nil, ""},
	}
	for _, tt := range tests {
		if got := Default(env(tt.env)).StoreDir; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestARehearsalHasAStoreOfItsOwn(t *testing.T) {
	meant, _, err := load(nil, home(nil))
	if err != nil {
		t.Fatal(err)
	}
	rehearsal, _, err := load([]string{"--simulate"}, home(nil))
	if err != nil || rehearsal.StoreDir == meant.StoreDir {
		t.Errorf("store %s for both, error %v", rehearsal.StoreDir, err)
	}
	given, _, err := load([]string{"--simulate", "--store-dir", "/srv/andon"}, home(nil))
	if err != nil || given.StoreDir != "/srv/andon" {
		t.Errorf("given store became %s, error %v", given.StoreDir, err)
	}
}

func TestMoreExplicitBrokerWins(t *testing.T) {
	url := map[string]string{"NATS_URL": "nats://shell:4222"}
	c, _, err := load([]string{"--nats-context", "prod"}, home(url))
	if err != nil || c.NATSURL != "" || c.NATSContext != "prod" {
		t.Errorf("context by flag, URL by environment: got URL %q, context %q, error %v", c.NATSURL, c.NATSContext, err)
	}
	c, _, err = load([]string{"--nats-url", "nats://flag:4222"}, home(map[string]string{"NATS_CONTEXT": "shell"}))
	if err != nil || c.NATSURL != "nats://flag:4222" || c.NATSContext != "" {
		t.Errorf("URL by flag, context by environment: got URL %q, context %q, error %v", c.NATSURL, c.NATSContext, err)
	}
	c, _, err = load([]string{"--simulate"}, home(map[string]string{"ANDON_ENDPOINT": "https://as.tencentcloudapi.com"}))
	if err != nil || !c.Simulate {
		t.Errorf("--simulate over an endpoint of the environment: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	creds := write(t, "[default]")
	c, _, err := load([]string{"--config", write(t, `
regions: [ap-guangzhou, ap-shanghai]
accounts:
  default: {credentials-file: `+creds+`, profile: prod}
  games:
    tccli-profile: games
  edge: {cvm-role: andon}
  pod: {tke-oidc: true}
`)}, home(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Account{
		"default": {CredentialsFile: creds, Profile: "prod"},
		"games":   {TccliProfile: "games"},
		"edge":    {CVMRole: "andon"},
		"pod":     {TKEOIDC: true},
	}
	if d := cmp.Diff(want, c.Accounts); d != "" {
		t.Errorf("accounts (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"ap-guangzhou", "ap-shanghai"}, c.Regions); d != "" {
		t.Errorf("regions (-want +got):\n%s", d)
	}
}

func TestPolicy(t *testing.T) {
	c, _, err := load([]string{"--config", write(t, `
policy:
  max-groups: 200
  rules:
    "*":
      accounts: [default, prod]
      regions:
        - ap-guangzhou
        - ap-singapore
      groups: ["asg-*", "web-[a,b]*"]
      max-targets: 100
    team-a: {groups: ["team-a-*"], max-targets: 10}
    normal: {accounts: [default]}
accounts:
  prod: {cvm-role: andon}
`)}, home(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := handler.Policy{
		MaxGroups: 200,
		Rules: map[string]handler.Rule{
			"*": {
				Accounts: []string{"default", "prod"}, Regions: []string{"ap-guangzhou", "ap-singapore"},
				Groups: []string{"asg-*", "web-[a,b]*"}, MaxTargets: 100,
			},
			"team-a": {Groups: []string{"team-a-*"}, MaxTargets: 10},
			"normal": {Accounts: []string{"default"}},
		},
	}
	if d := cmp.Diff(want, c.Policy); d != "" {
		t.Errorf("policy (-want +got):\n%s", d)
	}
}

func TestPolicyInPart(t *testing.T) {
	for _, tt := range []struct {
		file string
		want handler.Policy
	}{
		{"policy: {max-groups: 1}", handler.Policy{MaxGroups: 1}},
		{"policy: {rules: {a: {max-targets: 1}}}", handler.Policy{Rules: map[string]handler.Rule{"a": {MaxTargets: 1}}}},
		{"regions: [ap-tokyo]\npolicy: {rules: {a: {regions: [ap-tokyo]}}}", handler.Policy{Rules: map[string]handler.Rule{"a": {Regions: []string{"ap-tokyo"}}}}},
		{"rate: 5", handler.Policy{}},
	} {
		c, _, err := load([]string{"--config", write(t, tt.file)}, home(nil))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
		}
		if d := cmp.Diff(tt.want, c.Policy); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, d)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	for _, content := range []string{"", "# nothing yet\n", "---\n"} {
		if _, _, err := load([]string{"--config", write(t, content)}, home(nil)); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, home(nil), &out, &out); code != exitStopped {
		t.Errorf("exit code %d, want %d", code, exitStopped)
	}
	const golden = "testdata/help.txt"
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), out.String()); d != "" {
		t.Errorf("--help (-want +got; UPDATE=1 rewrites %s):\n%s", golden, d)
	}
}
