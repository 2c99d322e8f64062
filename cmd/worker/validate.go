package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-a7c21902/andon/cmd/internal/logs"
	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	// maxRate is far above any quota the API grants; 20 is what accounts have.
	maxRate        = 10_000
	maxConcurrency = 4096
	// maxReplicas is JetStream's own limit.
	maxReplicas = 5
	// regionMark stands for the region in an endpoint.
	regionMark = "{region}"

	wantAccount = "at most 32 letters, digits, - and _"
	wantRegion  = "must be a region such as ap-guangzhou"
	// everybody is the rule of teams that have none of their own.
	everybody = "*"
	// accountWays are the keys of an account that exclude each other.
	accountWays = "credentials-file, tccli-profile, cvm-role, tke-oidc"
)

// check collects what is wrong with a Config.
type check struct {
	Config
	faults []error
}

// Validate returns everything that is wrong, joined. It refuses and never
// corrects: what runs is what was written.
func (c Config) Validate() error {
	k := &check{Config: c}
	k.broker()
	k.embedded()
	k.api()
	k.accounts()
	k.policy()
	k.listen("http-listen", c.HTTPListen, "")
	if err := c.Ingress.Validate(); err != nil {
		k.faults = append(k.faults, fmt.Errorf("%s: %w", webhooks.Key, err))
	}
	if c.IngressListen != "" {
		if err := webhooks.Guarded(c.IngressListen, c.Ingress); err != nil {
			k.faults = append(k.faults, err)
		}
	}
	k.oneOf("log-level", c.LogLevel, logs.Levels)
	k.oneOf("log-format", c.LogFormat, logs.Formats)
	return errors.Join(k.faults...)
}

func (k *check) add(name string, value any, format string, args ...any) {
	k.faults = append(k.faults, fault(k.label(name), fmt.Sprint(value), fmt.Sprintf(format, args...)))
}

func (k *check) broker() {
	if k.NATSURL != "" && k.NATSContext != "" {
		k.add("nats-context", k.NATSContext, "names a broker, and so does %s; leave one out", k.label("nats-url"))
	}
	for u := range strings.SplitSeq(k.NATSURL, ",") {
		if k.NATSURL == "" {
			break
		}
		k.natsURL(strings.TrimSpace(u))
	}
	if k.NATSCreds != "" {
		if err := readable(k.NATSCreds); err != nil {
			k.add("nats-creds", k.NATSCreds, "must be a file that this process can read: %v", err)
		}
		if k.Embedded() {
			k.add("nats-creds", k.NATSCreds, "is of no use to the embedded server; name the broker with --nats-url or --nats-context, or unset it")
		}
	}
	if p := k.NATSInboxPrefix; p != "" && !inboxPattern.MatchString(p) {
		k.add("nats-inbox-prefix", p, "must be a subject such as _INBOX_andon, without blanks and wildcards")
	}
	if k.Replicas < 1 || k.Replicas > maxReplicas {
		k.add("replicas", k.Replicas, "must be from 1 to %d", maxReplicas)
	} else if k.Embedded() && k.Replicas > 1 {
		k.add("replicas", k.Replicas, "the embedded server is one server and keeps 1; for more, name a cluster with --nats-url")
	}
}

var inboxPattern = regexp.MustCompile(`^[^\s.*>]+(\.[^\s.*>]+)*$`)

func (k *check) natsURL(raw string) {
	const want = "must be like nats://host:4222, several separated by commas"
	full := raw
	if !strings.Contains(raw, "://") {
		full = "nats://" + raw
	}
	u, err := url.Parse(full)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		// The value may hold a password, so it is not repeated.
		k.add("nats-url", "", want)
		return
	}
	if _, secret := u.User.Password(); (secret || u.User != nil) && k.by("nats-url") == byFlag {
		k.add("nats-url", u.Redacted(), "must not hold a user, password or token, which anyone on this host can see; use --nats-creds, or NATS_URL in the environment")
	}
}

func (k *check) embedded() {
	if !k.Embedded() {
		if k.by("nats-listen") == byFlag {
			k.add("nats-listen", k.NATSListen, "is of no use with a broker of your own (%s); leave one out", k.label(k.brokerSetting()))
		}
		return
	}
	if k.StoreDir == "" {
		k.add("store-dir", "", "has no value, and neither XDG_STATE_HOME nor HOME is an absolute path; name a directory for the embedded server")
	}
	k.listen("nats-listen", k.NATSListen, "off")
}

func (c Config) brokerSetting() string {
	if c.NATSURL != "" {
		return "nats-url"
	}
	return "nats-context"
}

func (k *check) api() {
	if problem := endpointProblem(k.Endpoint); problem != "" {
		k.add("endpoint", k.Endpoint, "%s; want one such as https://as.intl.tencentcloudapi.com or https://as.%s.tencentcloudapi.com", problem, regionMark)
	}
	if k.Simulate && k.by("endpoint") > byDefault && k.by("endpoint") >= k.by("simulate") {
		k.add("endpoint", k.Endpoint, "names an API, and so does %s; leave one out", k.label("simulate"))
	}
	if k.Region != "" && !stop.ValidRegion(k.Region) {
		k.add("region", k.Region, wantRegion)
	}
	for _, r := range k.Regions {
		if !stop.ValidRegion(r) {
			k.add("regions", r, wantRegion+", several separated by commas")
		}
	}
	if k.Region != "" && len(k.Regions) > 0 && !slices.Contains(k.Regions, k.Region) {
		k.add("region", k.Region, "is not among those served, %s; add it there", k.label("regions"))
	}
	if !(k.Rate > 0 && k.Rate <= maxRate) { // also refuses NaN
		k.add("rate", k.Rate, "must be more than 0 and at most %d calls a second; accounts have 20 unless Tencent Cloud raised it", maxRate)
	}
	if k.Concurrency < 1 || k.Concurrency > maxConcurrency {
		k.add("concurrency", k.Concurrency, "must be from 1 to %d", maxConcurrency)
	}
}

// endpointProblem says what is wrong with an access endpoint, if anything.
func endpointProblem(endpoint string) string {
	if n := strings.Count(endpoint, regionMark); n > 1 {
		return fmt.Sprintf("has %s %d times", regionMark, n)
	}
	u, err := url.Parse(strings.Replace(endpoint, regionMark, "ap-guangzhou", 1))
	switch {
	case err != nil || strings.ContainsAny(u.Host, "{}"):
		return "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return "must start with https:// or http://"
	case u.Hostname() == "":
		return "has no host"
	case u.User != nil:
		return "must not hold a user or password"
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "must end after the host and port"
	default:
		return ""
	}
}

// under adds what is wrong under a key that the file alone has.
func (k *check) under(key string) func(format string, args ...any) {
	return func(format string, args ...any) {
		k.faults = append(k.faults, fmt.Errorf("%s: %s %s", k.from[key].where, key, fmt.Sprintf(format, args...)))
	}
}

func (k *check) accounts() {
	for _, name := range slices.Sorted(maps.Keys(k.Accounts)) {
		key, a := keyAccounts+"."+name, k.Accounts[name]
		bad := k.under(key)
		if !stop.ValidAccount(name) {
			bad("is no name for an account; want " + wantAccount)
		}
		switch a.ways() {
		case 1:
		case 0:
			bad("says no way to credentials; want one of %s", accountWays)
		default:
			bad("says %d ways to credentials; want exactly one of %s", a.ways(), accountWays)
		}
		if a.Profile != "" && a.CredentialsFile == "" {
			bad("has profile %q without credentials-file; it names a section of that file", a.Profile)
		}
		if a.CredentialsFile != "" {
			if err := readable(a.CredentialsFile); err != nil {
				bad("has credentials-file %q, which this process must be able to read: %v", a.CredentialsFile, err)
			}
		}
	}
}

func (a Account) ways() int {
	n := 0
	for _, set := range []bool{a.CredentialsFile != "", a.TccliProfile != "", a.CVMRole != "", a.TKEOIDC} {
		if set {
			n++
		}
	}
	return n
}

var teamPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// maxGroups bounds max-groups: all groups that were paused of late stand in one
// value of a bucket.
const maxGroups = 5000

// policy checks the rules. Its numbers were refused as they were read, where
// zero can be told from none.
func (k *check) policy() {
	if k.Policy.MaxGroups > maxGroups {
		k.under(keyPolicy+".max-groups")("is %d; at most %d can be counted, and for no limit leave it out", k.Policy.MaxGroups, maxGroups)
	}
	for _, team := range slices.Sorted(maps.Keys(k.Policy.Rules)) {
		key, r := keyRules+"."+team, k.Policy.Rules[team]
		bad := k.under(key)
		switch {
		case team == string(stop.LaneUrgent) || team == string(stop.LaneBulk):
			bad("is a lane and never a team, which is the token after it; name that one, or %q", everybody)
		case team != everybody && !teamPattern.MatchString(team):
			bad("is no name for a team; want one token of a subject, of letters, digits, - and _, or %q", everybody)
		}
		bad = k.under(key + ".accounts")
		for _, a := range r.Accounts {
			if _, known := k.Accounts[a]; !stop.ValidAccount(a) {
				bad("has %q, which is no name for an account; want "+wantAccount, a)
			} else if !known && a != stop.DefaultAccount {
				bad("has %q, which is not among %s; add it there", a, keyAccounts)
			}
		}
		bad = k.under(key + ".regions")
		for _, region := range r.Regions {
			if !stop.ValidRegion(region) {
				bad("has %q, which "+wantRegion, region)
			} else if len(k.Regions) > 0 && !slices.Contains(k.Regions, region) {
				bad("has %q, which is not among those served, %s; add it there", region, k.label("regions"))
			}
		}
		bad = k.under(key + ".groups")
		for _, pattern := range r.Groups {
			if _, err := path.Match(pattern, ""); pattern == "" || err != nil {
				bad("has %q, which is no pattern; want one such as asg-* for ids or web-* for names", pattern)
			}
		}
	}
}

// listen checks a listening address; off, if not empty, is a word that is
// allowed instead.
func (k *check) listen(name, addr, off string) {
	if off != "" && addr == off {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil {
		return
	}
	want := "must be HOST:PORT such as 127.0.0.1:8080; port 0 takes any free one"
	if off != "" {
		want += fmt.Sprintf(", %q opens none", off)
	}
	k.add(name, addr, "%s", want)
}

func (k *check) oneOf(name, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		k.add(name, value, "must be one of %s", strings.Join(allowed, ", "))
	}
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	return err
}
