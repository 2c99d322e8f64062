package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

const systemdDir = "../../deploy/systemd"

// unit is a service of deploy/systemd, and what belongs to it.
type unit struct {
	name    string   // and of its program
	program []string // its command line
	values  map[string][]string
}

func readUnit(t testing.TB, name string) unit {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(systemdDir, "andon-"+name+".service"))
	if err != nil {
		t.Fatal(err)
	}
	u := unit{name: name, values: make(map[string][]string)}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			u.values[key] = append(u.values[key], value)
		}
	}
	if len(u.values["ExecStart"]) != 1 {
		t.Fatalf("andon-%s.service starts %v", name, u.values["ExecStart"])
	}
	u.program = strings.Fields(u.values["ExecStart"][0])
	return u
}

// units are those that are shipped.
func units(t testing.TB) (all []unit) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(systemdDir, "andon-*.service"))
	if err != nil || len(files) != 2 {
		t.Fatalf("the units are %v, %v", files, err)
	}
	for _, file := range files {
		all = append(all, readUnit(t, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "andon-"), ".service")))
	}
	return all
}

// systemdAnalyze runs it on copies of the units whose programs are there.
func systemdAnalyze(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on this machine")
	}
	for _, u := range units(t) {
		text, err := os.ReadFile(filepath.Join(systemdDir, "andon-"+u.name+".service"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "andon-"+u.name+".service")
		write(t, file, strings.ReplaceAll(string(text), u.program[0], harness.Program(t, harness.Module+"/cmd/"+u.name)))
		out, err := exec.CommandContext(t.Context(), program, append(args, file)...).CombinedOutput()
		// What verify finds strange it says, and exits with 0 all the same.
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestSystemdUnderstandsTheUnits(t *testing.T) {
	systemdAnalyze(t, "verify", "--man=no", "--recursive-errors=no")
}

func TestUnitsAreLockedIn(t *testing.T) {
	systemdAnalyze(t, "security", "--offline=true", "--threshold=15")
}

// TestUnitsTellTheManager starts each program as its unit does, with the files that the
// manager would hand to it, and hears what it tells the manager.
func TestUnitsTellTheManager(t *testing.T) {
	broker := harness.StartBroker(t, harness.BrokerConfig{Nodes: 1})
	broker.Prepare()
	// The example has two ways to a broker, of which one is left out.
	for way, without := range map[string][]string{
		"by a context":          {"NATS_URL", "NATS_CREDS", "ANDON_NATS_INBOX_PREFIX"},
		"by a credentials file": {"NATS_CONTEXT"},
	} {
		for _, u := range units(t) {
			t.Run(u.name+" "+way, func(t *testing.T) { tellsTheManager(t, u, broker.URL(), without) })
		}
	}
}

func tellsTheManager(t *testing.T, u unit, broker string, without []string) {
	t.Helper()
	if got := u.values["Type"]; !slices.Equal(got, []string{"notify"}) {
		t.Errorf("Type=%v", got)
	}
	credentials := t.TempDir()
	given := handed(t, u, credentials, broker)
	socket, heard := notifySocket(t)
	env := append(environment(t, u, credentials),
		"NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=100000", "NATS_URL="+broker,
		"ANDON_HTTP_LISTEN=127.0.0.1:0", "ANDON_INGRESS_LISTEN="+map[string]string{"ingress": "127.0.0.1:0"}[u.name])
	env = slices.DeleteFunc(env, func(e string) bool {
		name, value, _ := strings.Cut(e, "=")
		// A path that the unit does not make is one that no process finds.
		if strings.HasPrefix(value, credentials) && !given[filepath.Base(value)] {
			t.Errorf("%s is of nothing that the unit loads: %v", e, given)
		}
		return slices.Contains(without, name)
	})
	p := harness.Start(t, harness.Command{
		Name: u.name, Path: harness.Program(t, harness.Module+"/cmd/"+u.name), Args: u.program[1:], Env: env,
	})
	for _, want := range []string{"READY=1", "WATCHDOG=1", "STOPPING=1"} {
		if want == "STOPPING=1" {
			p.Signal(syscall.SIGTERM)
		}
		for got := ""; got != want; {
			var err error
			if got, err = heard(60 * time.Second); err != nil {
				t.Fatalf("waiting for %s: %v:\n%s", want, err, p.Log)
			}
		}
	}
	if code, err := p.Exit(30 * time.Second); err != nil || code != 0 {
		t.Errorf("ended with %d, %v", code, err)
	}
}

// handed makes the files that LoadCredential hands over, and returns their names.
func handed(t testing.TB, u unit, dir, broker string) map[string]bool {
	t.Helper()
	given := make(map[string]bool)
	for _, line := range u.values["LoadCredential"] {
		id, from, _ := strings.Cut(line, ":")
		switch id {
		case "tencentcloud":
			write(t, filepath.Join(dir, id), "[default]\nsecret_id = AKIDtest\nsecret_key = test\n")
		case "nats.json": // without the nkey, which a broker that knows nobody refuses
			write(t, filepath.Join(dir, id), fmt.Sprintf(`{"url": %q, "inbox_prefix": "_INBOX_%s"}`, broker, u.name))
		case "nats.creds":
			write(t, filepath.Join(dir, id), natsCreds(t))
		}
		given[id] = true
		if id != "sender" && strings.Contains(from, "/") { // which is a directory, of any files
			t.Errorf("LoadCredential=%s: without that file the unit does not start", line)
		}
	}
	return given
}

// environment is what a unit sets by itself, and by its example of a file, with all that
// is only an example there.
func environment(t testing.TB, u unit, credentials string) (env []string) {
	t.Helper()
	env = append(env, "HOME=/")
	for _, line := range u.values["Environment"] {
		env = append(env, strings.ReplaceAll(line, "%S", t.TempDir()))
	}
	file := u.values["EnvironmentFile"][0]
	if want := "-/etc/andon/" + u.name + ".env"; file != want {
		t.Errorf("EnvironmentFile=%s, want %s", file, want)
	}
	text, err := os.ReadFile(filepath.Join(systemdDir, u.name+".env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range regexp.MustCompile(`(?m)^#?([A-Z_]+=.*)$`).FindAllStringSubmatch(string(text), -1) {
		name, value, _ := strings.Cut(setting[1], "=")
		switch name {
		case "NATS_URL", "ANDON_HTTP_LISTEN", "ANDON_INGRESS_LISTEN", "ANDON_REPLICAS":
			continue // of the test
		case "ANDON_CONFIG":
			value = filepath.Join(t.TempDir(), "andon.yaml")
			write(t, value, "ingress: {team: sre, rules: [{source: tcop, region: ap-guangzhou, group: asg-shopweb1}]}\n")
		}
		env = append(env, name+"="+strings.ReplaceAll(value, fmt.Sprintf("/run/credentials/andon-%s.service", u.name), credentials))
	}
	return env
}

func TestUnitsSetWhatTheProgramsKnow(t *testing.T) {
	for _, u := range units(t) {
		help, err := exec.CommandContext(t.Context(), harness.Program(t, harness.Module+"/cmd/"+u.name), "--help").CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range environment(t, u, "") {
			name, _, _ := strings.Cut(e, "=")
			if name != "HOME" && !regexp.MustCompile(`\b`+name+`\b`).Match(help) {
				t.Errorf("%s: %s is not in %s --help", u.name, name, u.name)
			}
		}
	}
}

// notifySocket is where a service manager listens.
func notifySocket(t testing.TB) (path string, heard func(within time.Duration) (string, error)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return path, func(within time.Duration) (string, error) {
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			return "", err
		}
		said := make([]byte, 100)
		n, err := conn.Read(said)
		return string(said[:n]), err
	}
}
