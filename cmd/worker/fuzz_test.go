package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// FuzzFile: a file that is accepted says what the same flags say, and one that
// is not is told without the password that a broker's URL may hold.
func FuzzFile(f *testing.F) {
	for name, value := range valid {
		f.Add(name + ": " + quoteYAML(value))
	}
	f.Add("regions: [ap-guangzhou, 'ap-shanghai,ap-tokyo']\nrate: 0x10\ndry-run: yes")
	f.Add("region:\nregion: a\nregions: [[a]]\nrate: {a: b}\nconfig: x\nANDON_RATE: 1")
	f.Add("nats-url: nats://u:CANARY@b:port\nreplicas: many")
	f.Add("nats-url: a:4222, nats://CANARY@b\nrate: '1_0'\n---\n")
	f.Add("a: &a {cvm-role: r}\naccounts:\n  b: *a\n  <<: {c: *a}\n  d: {tke-oidc: CANARY}")
	f.Add("accounts:\n  default: {cvm-role: r}\n  a/b: {cvm-role: r, profile: p}\n  games: {tccli-profile: !!binary eA==}\n  x: []\n")
	f.Add("policy:\n  max-groups: 200\n  rules:\n    '*': {accounts: [default], regions: [ap-tokyo], groups: [asg-*, 'web,[a]'], max-targets: 1}\n    team-a: {groups: [a]}")
	f.Add("policy: {max-groups: 0x1, max-groups: 2, rules: {urgent: {}, a: {groups: ['[', ''], regions: CANARY}, a: &a [*a]}}")
	f.Add("[a, b]")
	f.Add("--- !!null x\n")
	path := filepath.Join(f.TempDir(), "andon.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, _, err := load([]string{"--config", path}, home(nil))
		if err != nil {
			checkFault(t, err, text, path)
			return
		}
		if got.Validate() != nil {
			t.Errorf("accepted, and not valid: %v", got.Validate())
		}
		for name, a := range got.Accounts {
			if a.ways() != 1 {
				t.Errorf("account %s has %d ways to credentials", name, a.ways())
			}
		}
		for team, r := range got.Policy.Rules {
			if len(r.Accounts)+len(r.Regions)+len(r.Groups)+r.MaxTargets == 0 {
				t.Errorf("the rule of %s limits nothing", team)
			}
		}
		// A flag can be refused where a file is not, for anybody can see it.
		if same, _, err := load(flagsOf(t, text), home(nil)); err == nil {
			ignore := cmpopts.IgnoreFields(Config{}, "File", "Accounts", "Policy", "from")
			if diff := cmp.Diff(same, got, ignore); diff != "" {
				t.Errorf("the file says otherwise than the flags (-flags +file):\n%s", diff)
			}
		}
	})
}

// checkFault checks that every fault says where to look, and repeats no password.
func checkFault(t *testing.T, err error, text, path string) {
	t.Helper()
	var file struct {
		URL string `yaml:"nats-url"`
	}
	inURL := yaml.Unmarshal([]byte(text), &file) == nil && strings.Contains(file.URL, "CANARY") && strings.Count(text, "CANARY") == 1
	if inURL && strings.Contains(err.Error(), "CANARY") {
		t.Errorf("repeats a password: %v", err)
	}
	for _, line := range lines(err) {
		if !strings.Contains(line, path) && !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, "  ") {
			t.Errorf("the fault %q does not say where to look", line)
		}
	}
}

// flagsOf writes the settings of a file as flags.
func flagsOf(t *testing.T, text string) (flags []string) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Errorf("accepted, though it is not YAML: %v", err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	keys := doc.Content[0].Content
	for i := 0; i+1 < len(keys); i += 2 {
		value := keys[i+1].Value
		for n, item := range keys[i+1].Content {
			value = strings.TrimPrefix(value+","+item.Value, ",")
			if n == 0 {
				value = item.Value
			}
		}
		if keys[i].Value != keyAccounts && keys[i].Value != keyPolicy {
			flags = append(flags, "--"+keys[i].Value+"="+value)
		}
	}
	return flags
}
