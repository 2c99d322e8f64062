package webhooks_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/ingress"
)

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "andon.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const every = `
ingress:
  team: sre
  rate: 2.5
  sources:
    alertmanager:
      bearer-files: [/run/a, /run/b]
    tcop:
      user: tcop
      password-files: [/run/c]
    pagerduty:
      hmac-files: [/run/d]
    request: {}
  rules:
    - source: tcop
      match: {policy_id: policy-1, metric: "http_*"}
      account: prod
      region: ap-guangzhou
      group: asg-shopweb1
      activity: asr-1
      urgent: true
      reason: "{{.Summary}}"
    - group: "{{.Labels.asg}}"
`

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       ingress.Config
	}{
		{"every field", every, ingress.Config{
			Team: "sre", Rate: 2.5,
			Auth: map[ingress.Source]ingress.Auth{
				ingress.SourceAlertmanager: {BearerFiles: []string{"/run/a", "/run/b"}},
				ingress.SourceTCOP:         {User: "tcop", PasswordFiles: []string{"/run/c"}},
				ingress.SourcePagerDuty:    {HMACFiles: []string{"/run/d"}},
				ingress.SourceRequest:      {},
			},
			Rules: []ingress.Rule{
				{
					Source: ingress.SourceTCOP, Match: map[string]string{"policy_id": "policy-1", "metric": "http_*"},
					Account: "prod", Region: "ap-guangzhou", Group: "asg-shopweb1", Activity: "asr-1", Urgent: true, Reason: "{{.Summary}}",
				},
				{Group: "{{.Labels.asg}}"},
			},
		}},
		{"empty file", "", ingress.Config{}},
		{"only a comment", "# nothing yet\n", ingress.Config{}},
		{"absent section", "region: ap-guangzhou\n", ingress.Config{}},
		{"empty section", "ingress:\n", ingress.Config{}},
		{"the worker's keys are the worker's", "rate: fast\naccounts: {prod: {cvm-role: andon}}\npolicy: {max-groups: 3}\ningress: {team: sre}\n", ingress.Config{Team: "sre"}},
		{"no source is not every source", "ingress: {sources: {}}\n", ingress.Config{Auth: map[ingress.Source]ingress.Auth{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got ingress.Config
			if err := webhooks.Load(file(t, tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// What is in the configuration beside, such as the log, is nobody's but the program's.
func TestLoadLeavesTheRest(t *testing.T) {
	got := ingress.Config{Team: "before"}
	if err := webhooks.Load("", &got); err != nil || got.Team != "before" {
		t.Errorf("no file: %v, and the team is %q", err, got.Team)
	}
}

func TestLoadNamesTheFault(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "region: x\ningress:\n  taem: sre\n", []string{"line 3", "taem"}},
		{"unknown key of a source", "ingress:\n  sources:\n    tcop:\n      bearer: x\n", []string{"line 4", "bearer"}},
		{"unknown key of a rule", "ingress:\n  rules:\n    - group: asg-1\n      reigon: x\n", []string{"line 4", "reigon"}},
		{"a rate that is a word", "ingress:\n  rate: fast\n", []string{"line 2", "fast"}},
		{"urgent that is a word", "ingress:\n  rules:\n    - urgent: very\n", []string{"line 3", "very"}},
		{"one file that is no list", "ingress:\n  sources:\n    grafana:\n      hmac-files: /run/a\n", []string{"line 4", "/run/a"}},
		{"sources as a list", "ingress:\n  sources: [tcop]\n", []string{"line 2"}},
		{"rules as a mapping", "ingress:\n  rules: {group: asg-1}\n", []string{"line 2"}},
		{"a section that is a word", "ingress: yes please\n", []string{"line 1"}},
		{"a key that stands twice", "ingress:\n  team: a\n  team: b\n", []string{"line 3", "team"}},
		{"a file that is a list", "- ingress\n", []string{"line 1"}},
		{"no YAML", "ingress: [\n", []string{"line"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := file(t, tt.text)
			err := webhooks.Load(name, &ingress.Config{})
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, want := range append(tt.want, name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if err := webhooks.Load(missing, &ingress.Config{}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that is missing: %v", err)
	}
}

func TestGuarded(t *testing.T) {
	open := ingress.Config{}
	guarded := ingress.Config{Auth: map[ingress.Source]ingress.Auth{ingress.SourceTCOP: {User: "tcop", PasswordFiles: []string{"/run/a"}}}}
	for _, tt := range []struct {
		name, listen string
		conf         ingress.Config
		refused      string
	}{
		{"loopback", "127.0.0.1:8081", open, ""},
		{"all of 127", "127.9.9.9:8081", open, ""},
		{"loopback by name", "localhost:8081", open, ""},
		{"loopback of IPv6", "[::1]:8081", open, ""},
		{"every address", "0.0.0.0:8081", open, "ingress.sources"},
		{"every address of IPv6", "[::]:8081", open, "ingress.sources"},
		{"every address, in short", ":8081", open, "ingress.sources"},
		{"one other address", "10.0.0.7:8081", open, "ingress.sources"},
		{"a name that may be anywhere", "andon.example.com:8081", open, "ingress.sources"},
		{"every address with sources", "0.0.0.0:8081", guarded, ""},
		{"loopback with sources", "127.0.0.1:8081", guarded, ""},
		{"no port", "127.0.0.1", open, "host:port"},
		{"no port, with sources", "0.0.0.0", guarded, "host:port"},
		{"nothing", "", open, "host:port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			switch err := webhooks.Guarded(tt.listen, tt.conf); {
			case tt.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.refused != "" && err == nil:
				t.Error("it is allowed")
			case tt.refused != "" && (!strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "--ingress-listen")):
				t.Errorf("%q does not name --ingress-listen and %q", err, tt.refused)
			}
		})
	}
}
