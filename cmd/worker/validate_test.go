package main

import (
	"os"
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	creds := write(t, "x")
	tests := []struct {
		name string
		file string
		env  map[string]string
		args []string
		want string
	}{
		{name: "unknown flag", args: []string{"--rat", "1"}, want: "unknown flag: --rat"},
		{name: "no secret by flag", args: []string{"--secret-id", "x"}, want: "unknown flag: --secret-id"},
		{name: "argument", args: []string{"start"}, want: `"start" is not a flag`},
		{name: "rate not a number", args: []string{"--rate", "fast"}, want: `--rate "fast": must be a number`},
		{name: "rate zero", env: map[string]string{"ANDON_RATE": "0"}, want: `--rate (ANDON_RATE) "0": must be more than 0`},
		{name: "rate NaN", args: []string{"--rate", "NaN"}, want: `--rate "NaN": must be more than 0`},
		{name: "rate infinite", args: []string{"--rate", "inf"}, want: `--rate "+Inf": must be more than 0`},
		{name: "concurrency", args: []string{"--concurrency", "4097"}, want: `--concurrency "4097": must be from 1 to 4096`},
		{name: "replicas", args: []string{"--nats-url=b", "--replicas", "6"}, want: `--replicas "6": must be from 1 to 5`},
		{name: "replicas of the embedded server", args: []string{"--replicas", "3"}, want: "the embedded server is one server"},
		{name: "dry run", env: map[string]string{"ANDON_DRY_RUN": "maybe"}, want: `--dry-run (ANDON_DRY_RUN) "maybe": must be true or false`},
		{name: "endpoint without scheme", args: []string{"--endpoint", "as.tencentcloudapi.com"}, want: "must start with https:// or http://"},
		{name: "endpoint with path", args: []string{"--endpoint", "https://a.b/x"}, want: "must end after the host and port"},
		{name: "endpoint with query", args: []string{"--endpoint", "https://a.b?x"}, want: "must end after the host and port"},
		{name: "endpoint with password", args: []string{"--endpoint", "https://u:p@a.b"}, want: "must not hold a user or password"},
		{name: "endpoint with two regions", args: []string{"--endpoint", "https://{region}.{region}.b"}, want: "has {region} 2 times"},
		{name: "endpoint with another mark", args: []string{"--endpoint", "https://as.{zone}.b"}, want: "is not a URL"},
		{name: "endpoint without host", args: []string{"--endpoint", "https://:443"}, want: "has no host"},
		{name: "region", args: []string{"--region", "Guangzhou"}, want: `--region "Guangzhou": must be a region such as ap-guangzhou`},
		{name: "regions", args: []string{"--regions", "ap-guangzhou,,x"}, want: `--regions "x": must be a region`},
		{name: "region not served", args: []string{"--region", "ap-beijing", "--regions", "ap-guangzhou"}, want: "is not among those served"},
		{name: "simulate and endpoint", args: []string{"--simulate", "--endpoint", "https://a.b"}, want: "names an API, and so does --simulate"},
		{name: "simulate by environment, endpoint by flag", env: map[string]string{"ANDON_SIMULATE": "1"}, args: []string{"--endpoint", "https://a.b"}, want: "and so does --simulate (ANDON_SIMULATE)"},
		{name: "two brokers", args: []string{"--nats-url", "b", "--nats-context", "c"}, want: "names a broker, and so does --nats-url"},
		{name: "broker URL", args: []string{"--nats-url", "http://b:4222"}, want: "must be like nats://host:4222"},
		{name: "empty broker in a list", args: []string{"--nats-url", "a:4222,"}, want: "must be like nats://host:4222"},
		{name: "password by flag", args: []string{"--nats-url", "nats://u:secret@b"}, want: "must not hold a user, password or token"},
		{name: "port of a server that does not start", env: map[string]string{"NATS_URL": "b"}, args: []string{"--nats-listen", "127.0.0.1:4333"}, want: "is of no use with a broker of your own (--nats-url (NATS_URL))"},
		{name: "credentials file missing", args: []string{"--nats-url", "b", "--nats-creds", "/no/such"}, want: "must be a file that this process can read"},
		{name: "credentials file is a directory", args: []string{"--nats-url", "b", "--nats-creds", os.TempDir()}, want: "is a directory"},
		{name: "credentials for the embedded server", args: []string{"--nats-creds", creds}, want: "is of no use to the embedded server"},
		{name: "inbox prefix", args: []string{"--nats-inbox-prefix", "a.*"}, want: "must be a subject such as _INBOX_andon"},
		{name: "broker's address", args: []string{"--nats-listen", "4222"}, want: `must be HOST:PORT such as 127.0.0.1:8080; port 0 takes any free one, "off" opens none`},
		{name: "HTTP address", args: []string{"--http-listen", "off"}, want: `--http-listen "off": must be HOST:PORT`},
		{name: "port of a name", args: []string{"--http-listen", "localhost:http"}, want: "must be HOST:PORT"},
		{name: "level", args: []string{"--log-level", "loud"}, want: "must be one of debug, info, warn, error"},
		{name: "format", args: []string{"--log-format", "xml"}, want: "must be one of auto, text, json"},
		{name: "no store directory", env: map[string]string{"HOME": ""}, want: "--store-dir: has no value"},
		{name: "no such file", args: []string{"--config", "/no/such.yaml"}, want: `--config "/no/such.yaml": cannot be read`},

		{name: "unknown key", file: "rate: 5\nrates: 6", want: `andon.yaml:2: "rates" is not a setting; worker --help lists them`},
		{name: "misspelt key", file: "nats_url: b", want: `andon.yaml:1: "nats_url" is not a setting; did you mean "nats-url"?`},
		{name: "name of a variable as key", file: "ANDON_RATE: 5", want: `did you mean "rate"?`},
		{name: "file in the file", file: "config: b", want: `"config" is not a setting`},
		{name: "key twice", file: "rate: 5\nrate: 6", want: `andon.yaml:2: "rate" stands in line 1 already`},
		{name: "value of the file", file: "\nrate: fast", want: `andon.yaml:2) "fast": must be a number`},
		{name: "null", file: "region:", want: "andon.yaml:1: region has no value"},
		{name: "list for a value", file: "region: [a]", want: "region must be a plain value"},
		{name: "not a mapping", file: "- rate", want: `is not a list of "name: value" lines`},
		{name: "two documents", file: "rate: 5\n---\nrate: 6", want: "holds more than one YAML document"},
		{name: "not YAML", file: "rate: [", want: "is not YAML"},
		{name: "accounts not a mapping", file: "accounts: [a]", want: "accounts must be a mapping"},
		{name: "unknown key of an account", file: "accounts:\n  a:\n    secret-id: x\n    cvm-role: r", want: "andon.yaml:3: accounts.a.secret-id is not a setting; known are credentials-file"},
		{name: "account twice", file: "accounts:\n  a: {cvm-role: r}\n  a: {cvm-role: r}", want: "andon.yaml:3: accounts.a stands twice"},
		{name: "account without a way", file: "accounts:\n  a: {}", want: "andon.yaml:2: accounts.a says no way to credentials"},
		{name: "account with two ways", file: "accounts:\n  a: {cvm-role: r, tke-oidc: true}", want: "accounts.a says 2 ways to credentials"},
		{name: "profile alone", file: "accounts:\n  a: {cvm-role: r, profile: p}", want: `accounts.a has profile "p" without credentials-file`},
		{name: "name of an account", file: "accounts:\n  a/b: {cvm-role: r}", want: "accounts.a/b is no name for an account"},
		{name: "account's file", file: "accounts:\n  a: {credentials-file: /no/such}", want: `accounts.a has credentials-file "/no/such"`},
		{name: "type of an account's key", file: "accounts:\n  a:\n    cvm-role: r\n    tke-oidc: maybe", want: "andon.yaml:4: accounts.a.tke-oidc cannot be read"},
		{name: "key of an account twice", file: "accounts:\n  a:\n    cvm-role: r\n    cvm-role: s", want: "andon.yaml:4: accounts.a.cvm-role stands twice"},

		{name: "policy twice", file: "policy: {max-groups: 1}\npolicy: {max-groups: 2}", want: `andon.yaml:2: "policy" stands in line 1 already`},
		{name: "empty policy", file: "policy: {}", want: "andon.yaml:1: policy is empty and limits nothing; leave it out"},
		{name: "null policy", file: "policy:", want: "andon.yaml:1: policy is empty and limits nothing; leave it out"},
		{name: "policy not a mapping", file: "policy: strict", want: "andon.yaml:1: policy must be a mapping with some of max-groups, rules"},
		{name: "unknown key of the policy", file: "policy:\n  max-groups: 1\n  max_groups: 1", want: "andon.yaml:3: policy.max_groups is not a setting; known are max-groups, rules"},
		{name: "key of the policy twice", file: "policy:\n  max-groups: 1\n  max-groups: 1", want: "andon.yaml:3: policy.max-groups stands twice"},
		{name: "too many groups to count", file: "policy:\n  max-groups: 5001", want: "andon.yaml:2: policy.max-groups is 5001; at most 5000 can be counted, and for no limit leave it out"},
		{name: "groups not a number", file: "policy:\n  max-groups: many", want: "andon.yaml:2: policy.max-groups must be a whole number, at least 1; for no limit leave it out"},
		{name: "groups zero", file: "policy: {max-groups: 0}", want: "policy.max-groups must be a whole number, at least 1"},
		{name: "groups negative", file: "policy: {max-groups: -1}", want: "policy.max-groups must be a whole number, at least 1"},
		{name: "groups broken", file: "policy: {max-groups: 1.5}", want: "policy.max-groups must be a whole number, at least 1"},
		{name: "groups null", file: "policy: {max-groups: }", want: "policy.max-groups must be a whole number, at least 1"},
		{name: "groups a list", file: "policy: {max-groups: [1]}", want: "policy.max-groups must be a whole number, at least 1"},
		{name: "empty rules", file: "policy:\n  max-groups: 1\n  rules: {}", want: "andon.yaml:3: policy.rules is empty and limits nothing; leave it out"},
		{name: "rules not a mapping", file: "policy: {rules: [a]}", want: "policy.rules must be a mapping from the name of a team to its rule"},
		{name: "empty rule", file: "policy:\n  rules:\n    a: {}", want: "andon.yaml:3: policy.rules.a is empty and limits nothing; leave it out"},
		{name: "null rule", file: "policy:\n  rules:\n    a:", want: "andon.yaml:3: policy.rules.a is empty and limits nothing; leave it out"},
		{name: "rule not a mapping", file: "policy:\n  rules:\n    a: 1", want: "andon.yaml:3: policy.rules.a must be a mapping with some of accounts, groups, max-targets, regions"},
		{name: "rule twice", file: "policy:\n  rules:\n    a: {max-targets: 1}\n    a: {max-targets: 1}", want: "andon.yaml:4: policy.rules.a stands twice"},
		{name: "unknown key of a rule", file: "policy:\n  rules:\n    a:\n      group: [b]", want: "andon.yaml:4: policy.rules.a.group is not a setting; known are accounts, groups, max-targets, regions"},
		{name: "targets zero", file: "policy:\n  rules:\n    a:\n      max-targets: 0", want: "andon.yaml:4: policy.rules.a.max-targets must be a whole number, at least 1"},
		{name: "value for a list", file: "policy:\n  rules:\n    a:\n      groups: b", want: "andon.yaml:4: policy.rules.a.groups must be a list such as [a, b]"},
		{name: "empty list", file: "policy:\n  rules:\n    a:\n      regions: []", want: "andon.yaml:4: policy.rules.a.regions must be a list such as [a, b], and not empty; to allow all leave it out"},
		{name: "null for a list", file: "policy: {rules: {a: {accounts: }}}", want: "policy.rules.a.accounts must be a list such as [a, b], and not empty"},
		{name: "list in a list", file: "policy: {rules: {a: {accounts: [[default]]}}}", want: "policy.rules.a.accounts must be a list of plain values, see line 1"},
		{name: "lane as team", file: "policy:\n  rules:\n    urgent: {max-targets: 1}", want: "andon.yaml:3: policy.rules.urgent is a lane and never a team"},
		{name: "other lane as team", file: "policy: {rules: {bulk: {max-targets: 1}}}", want: "policy.rules.bulk is a lane and never a team"},
		{name: "team of two tokens", file: "policy: {rules: {a.b: {max-targets: 1}}}", want: "policy.rules.a.b is no name for a team"},
		{name: "team with a wildcard", file: "policy: {rules: {'a*': {max-targets: 1}}}", want: "policy.rules.a* is no name for a team"},
		{name: "empty team", file: "policy: {rules: {'': {max-targets: 1}}}", want: "policy.rules. is no name for a team"},
		{name: "account of a rule", file: "policy:\n  rules:\n    a:\n      accounts: [default, b/c]", want: `andon.yaml:4: policy.rules.a.accounts has "b/c", which is no name for an account`},
		{name: "account that is not configured", file: "policy: {rules: {a: {accounts: [prod]}}}", want: `policy.rules.a.accounts has "prod", which is not among accounts; add it there`},
		{name: "region of a rule", file: "policy:\n  rules:\n    a:\n      regions: [Guangzhou]", want: `andon.yaml:4: policy.rules.a.regions has "Guangzhou", which must be a region such as ap-guangzhou`},
		{name: "region of a rule not served", file: "policy: {rules: {a: {regions: [ap-tokyo]}}}", args: []string{"--regions", "ap-seoul"}, want: `policy.rules.a.regions has "ap-tokyo", which is not among those served, --regions; add it there`},
		{name: "pattern", file: "policy:\n  rules:\n    a:\n      groups: ['web-[a']", want: `andon.yaml:4: policy.rules.a.groups has "web-[a", which is no pattern`},
		{name: "empty pattern", file: "policy: {rules: {a: {groups: ['']}}}", want: `policy.rules.a.groups has "", which is no pattern`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if tt.file != "" {
				args = append(args, "--config", write(t, tt.file))
			}
			_, _, err := load(args, home(tt.env))
			if err == nil {
				t.Fatalf("accepted; want a fault with %q", tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret@") {
				t.Errorf("the fault repeats a password: %v", err)
			}
			if n := len(lines(err)); n > 2 {
				t.Errorf("%d faults for one: %v", n, err)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	file := write(t, "replicas: many\ncolour: red\naccounts:\n  a: {}\n")
	_, _, err := load([]string{"--config", file, "--rate", "0", "--log-level", "loud"}, home(map[string]string{"ANDON_CONCURRENCY": "none"}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"--replicas", `"colour"`, "accounts.a", "--rate", "--log-level", "--concurrency"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
	if got, want := len(lines(err)), 6; got != want {
		t.Errorf("%d faults, want %d:\n%v", got, want, err)
	}
}

func TestAllFaultsOfAPolicyAtOnce(t *testing.T) {
	file := write(t, `
policy:
  max-groups: 0
  budget: 1
  rules:
    urgent: {accounts: [prod, a/b], regions: [x], groups: ["["]}
    a: {max-targets: none, groups: all, colour: red}
    a: {max-targets: 1}
    b: {}
`)
	_, _, err := load([]string{"--config", file}, home(nil))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		":3: policy.max-groups ", ":4: policy.budget ",
		":7: policy.rules.a.max-targets ", ":7: policy.rules.a.groups ", ":7: policy.rules.a.colour ",
		":8: policy.rules.a ", ":9: policy.rules.b ",
		":6: policy.rules.urgent ", ":6: policy.rules.urgent.accounts ", ":6: policy.rules.urgent.accounts ",
		":6: policy.rules.urgent.regions ", ":6: policy.rules.urgent.groups ",
	}
	got := lines(err)
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], file+w) {
			t.Errorf("got  %s\nwant %s%s", got[i], file, w)
		}
	}
}
