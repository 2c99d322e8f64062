package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-a7c21902/andon/cmd/internal/logs"
	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/ingress"
)

// Config is everything that can be set from outside. Flags win over the
// environment, the environment over the file, the file over [Default].
type Config struct {
	// File is the YAML file that was read, if any.
	File string

	// NATSURL names brokers, separated by commas; NATSContext a context of the
	// NATS CLI. At most one of them is set. Without either a broker is embedded.
	NATSURL         string
	NATSCreds       string
	NATSContext     string
	NATSInboxPrefix string
	// NATSListen is where the embedded broker listens: host:port or "off".
	NATSListen string
	StoreDir   string
	Replicas   int

	// Endpoint is the API's access endpoint; "{region}" in it stands for the
	// region of the request.
	Endpoint string
	// Region is for requests that name none. Regions are those served; none
	// means all.
	Region   string
	Regions  []string
	DryRun   bool
	Simulate bool
	// Accounts come from the file alone, by the name that requests use, and so
	// does the Policy.
	Accounts map[string]Account
	Policy   handler.Policy

	// Rate is in calls a second, for one account and access endpoint.
	Rate        float64
	Concurrency int

	HTTPListen string

	// IngressListen is where webhooks are taken; empty: nowhere. Ingress comes from
	// the file alone.
	IngressListen string
	Ingress       ingress.Config

	LogLevel  string
	LogFormat string

	// from says where each setting that is not a default comes from.
	from map[string]origin
}

// Account says where the credentials of one account are. Exactly one way is
// set; Profile belongs to CredentialsFile.
type Account struct {
	CredentialsFile string
	Profile         string
	TccliProfile    string
	CVMRole         string
	TKEOIDC         bool
}

// Default is the configuration when nothing is set.
func Default(getenv func(string) string) Config {
	return Config{
		NATSListen:  "127.0.0.1:4222",
		StoreDir:    stateDir(getenv),
		Replicas:    1,
		Endpoint:    "https://as.intl.tencentcloudapi.com",
		Rate:        20,
		Concurrency: 32,
		HTTPListen:  "127.0.0.1:8080",
		LogLevel:    "info",
		LogFormat:   "auto",
		from:        make(map[string]origin),
	}
}

// Embedded reports whether the worker brings its own broker.
func (c Config) Embedded() bool { return c.NATSURL == "" && c.NATSContext == "" }

// stateDir follows the XDG base directory specification, by which a relative
// path is no path.
func stateDir(getenv func(string) string) string {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "andon")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "andon")
	}
	return ""
}

// setting is one line of the table below: a flag, a variable of the
// environment and a key of the file at once.
type setting struct {
	name, env string
	// arg stands for the value in the help; empty for a switch.
	arg  string
	help string
	// shown is the default in the help where the value itself tells too little.
	shown string
	value pflag.Value
}

// group is what the help shows together.
type group struct {
	title    string
	settings []setting
}

// settings is the one place where settings are named and described.
func settings(c *Config) []group {
	return []group{
		{"Broker", []setting{
			{"nats-url", "NATS_URL", "URL", "broker to connect to, several separated by commas", "an embedded JetStream server", text(&c.NATSURL)},
			{"nats-creds", "NATS_CREDS", "FILE", "credentials file for that broker", "none", text(&c.NATSCreds)},
			{"nats-context", "NATS_CONTEXT", "NAME", "context of the NATS CLI, instead of --nats-url", "none", text(&c.NATSContext)},
			{"nats-inbox-prefix", "ANDON_NATS_INBOX_PREFIX", "SUBJECT", "prefix of answers, where permissions ask for one", "_INBOX", text(&c.NATSInboxPrefix)},
			{"nats-listen", "ANDON_NATS_LISTEN", "HOST:PORT", `where the embedded server listens; "off" opens no port`, "", text(&c.NATSListen)},
			{"store-dir", "ANDON_STORE_DIR", "DIR", "where the embedded server keeps its files", "$XDG_STATE_HOME/andon, else ~/.local/state/andon; below it in simulated with --simulate", text(&c.StoreDir)},
			{"replicas", "ANDON_REPLICAS", "N", "replicas of the streams on a cluster", "", whole(&c.Replicas)},
		}},
		{"API", []setting{
			{"endpoint", "ANDON_ENDPOINT", "URL", "access endpoint; {region} in it becomes the region of the request, which gives each region a quota of its own", "", text(&c.Endpoint)},
			{"region", "TENCENTCLOUD_REGION", "REGION", "region of requests that name none", "none", text(&c.Region)},
			{"regions", "ANDON_REGIONS", "LIST", "regions served, separated by commas; requests for others are refused", "all", list(&c.Regions)},
			{"dry-run", "ANDON_DRY_RUN", "", "treat every request as a dry run", "", yesNo(&c.DryRun)},
			{"simulate", "ANDON_SIMULATE", "", "talk to a built-in simulated API with sample groups, no credentials needed", "", yesNo(&c.Simulate)},
		}},
		{"Rates", []setting{
			{"rate", "ANDON_RATE", "N", "calls a second for one account and access endpoint, of all workers on the broker together", "", number(&c.Rate)},
			{"concurrency", "ANDON_CONCURRENCY", "N", "calls in flight at most", "", whole(&c.Concurrency)},
		}},
		{"HTTP", []setting{
			{"http-listen", "ANDON_HTTP_LISTEN", "HOST:PORT", "where /livez, /readyz and /metrics are served", "", text(&c.HTTPListen)},
			{"ingress-listen", "ANDON_INGRESS_LISTEN", "HOST:PORT", "where webhooks of alerting systems are taken", "nowhere", text(&c.IngressListen)},
		}},
		{"Logging", []setting{
			{"log-level", "ANDON_LOG_LEVEL", "LEVEL", "one of " + strings.Join(logs.Levels, ", "), "", text(&c.LogLevel)},
			{"log-format", "ANDON_LOG_FORMAT", "FORMAT", "one of " + strings.Join(logs.Formats, ", "), "auto, which is text on a terminal and json elsewhere", text(&c.LogFormat)},
		}},
		{"Other", []setting{
			{"config", "ANDON_CONFIG", "FILE", "YAML file with the names of these flags as keys, accounts, policy and ingress", "none", text(&c.File)},
		}},
	}
}

// asked is what a command line asks for instead of work.
type asked int

const (
	askedWork asked = iota
	askedHelp
	askedVersion
)

// load reads flags, environment and file. Its error holds every fault there
// is, not just the first.
func load(args []string, getenv func(string) string) (Config, asked, error) {
	c := Default(getenv)
	groups := settings(&c)
	flags, ask, err := parse(groups, args)
	if err != nil || ask != askedWork {
		return c, ask, err
	}
	var faults []error
	apply := func(s setting, raw string, o origin) {
		c.from[s.name] = o
		if err := s.value.Set(raw); err != nil {
			faults = append(faults, fault(c.label(s.name), raw, err.Error()))
		}
	}
	c.File = first(flags["config"], getenv("ANDON_CONFIG"))
	if c.File != "" {
		faults = append(faults, c.readFile(groups, apply)...)
	}
	for _, g := range groups {
		for _, s := range g.settings {
			if raw := getenv(s.env); raw != "" {
				apply(s, raw, origin{by: byEnv, where: s.env})
			}
			if raw, given := flags[s.name]; given {
				apply(s, raw, origin{by: byFlag})
			}
		}
	}
	c.settle()
	if len(faults) == 0 { // the file can be read
		if err := webhooks.Load(c.File, &c.Ingress); err != nil {
			faults = append(faults, err)
		}
	}
	return c, askedWork, errors.Join(append(faults, c.Validate())...)
}

// parse reads the command line without judging values, so that a wrong one
// does not hide the next.
func parse(groups []group, args []string) (map[string]string, asked, error) {
	set := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	set.Usage = func() {}
	help := set.BoolP("help", "h", false, "")
	version := set.Bool("version", false, "")
	for _, g := range groups {
		for _, s := range g.settings {
			f := set.VarPF(s.value, s.name, "", s.help)
			if s.arg == "" {
				f.NoOptDefVal = "true"
			}
		}
	}
	given := make(map[string]string)
	err := set.ParseAll(args, func(f *pflag.Flag, value string) error {
		if f.Name == "help" || f.Name == "version" {
			return f.Value.Set(value)
		}
		given[f.Name] = value
		return nil
	})
	switch {
	case *help || errors.Is(err, pflag.ErrHelp):
		return nil, askedHelp, nil
	case *version:
		return nil, askedVersion, nil
	case err != nil:
		return nil, askedWork, fmt.Errorf("%w; see worker --help", err)
	case set.NArg() > 0:
		return nil, askedWork, fmt.Errorf("%q is not a flag, and worker takes nothing else; see worker --help", set.Arg(0))
	}
	return given, askedWork, nil
}

// settle lets a setting that was given more explicitly win over another one
// that answers the same question: a context by flag is not overruled by a
// NATS_URL that the shell happens to have.
func (c *Config) settle() {
	switch url, context := c.by("nats-url"), c.by("nats-context"); {
	case c.NATSURL == "" || c.NATSContext == "":
	case url > context:
		c.NATSContext = ""
	case context > url:
		c.NATSURL = ""
	}
	// What a rehearsal asked for must never be found by a worker that means it,
	// nor the rehearsal's results be taken for real ones.
	if c.Simulate && c.by("store-dir") == byDefault && c.StoreDir != "" {
		c.StoreDir = filepath.Join(c.StoreDir, "simulated")
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
