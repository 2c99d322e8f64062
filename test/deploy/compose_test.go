package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	composeFile  = "../../deploy/compose.yaml"
	composeReal  = "../../deploy/compose/real-api.yaml"
	composeFleet = 2 // workers
)

// loadCompose reads the files as Docker Compose does, which refuses what it does not
// know.
func loadCompose(t testing.TB, env types.Mapping, files ...string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Dir(composeFile))
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: env}
	for _, file := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: file})
	}
	return loader.LoadWithContext(t.Context(), details)
}

func TestComposeIsLocked(t *testing.T) {
	p, err := loadCompose(t, nil, composeFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges") || s.Privileged || len(s.CapAdd) > 0 {
			t.Errorf("%s keeps privileges", name)
		}
		if s.HealthCheck == nil && name != "simulator" {
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s opens port %s to others than this machine", name, port.Published)
			}
		}
	}
}

func TestComposeWithTheRealAPI(t *testing.T) {
	if _, err := loadCompose(t, nil, composeFile, composeReal); err == nil {
		t.Error("there are no credentials, and that is no error")
	}
	p, err := loadCompose(t, types.Mapping{"TENCENTCLOUD_REGION": "ap-jakarta", "TENCENTCLOUD_SECRET_ID": "AKIDmine", "TENCENTCLOUD_SECRET_KEY": "mine"}, composeFile, composeReal)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name == "andon" {
		t.Error("it has the volumes of the rehearsal")
	}
	if _, ok := p.Services["simulator"]; ok {
		t.Error("the simulator is there")
	}
	workers := 0
	for name, s := range p.Services {
		if !strings.HasPrefix(name, "worker-") {
			continue
		}
		workers++
		for key, want := range map[string]string{"ANDON_ENDPOINT": "https://as.intl.tencentcloudapi.com", "TENCENTCLOUD_REGION": "ap-jakarta", "TENCENTCLOUD_SECRET_ID": "AKIDmine", "TENCENTCLOUD_SECRET_KEY": "mine", "ANDON_REPLICAS": "3"} {
			if got := s.Environment[key]; got == nil || *got != want {
				t.Errorf("%s has %s=%v, want %s", name, key, got, want)
			}
		}
	}
	if workers != composeFleet {
		t.Errorf("%d workers", workers)
	}
}

// fleet is the project of a compose file run without containers: the same commands,
// environments and configurations, in which each container's address has become one
// of this machine, and each path in it a path here.
type fleet struct {
	t         testing.TB
	project   *types.Project
	addrs     map[string]string // by service:port
	processes map[string]*harness.Process
	address   *regexp.Regexp
}

func newFleet(t testing.TB, p *types.Project) *fleet {
	t.Helper()
	f := &fleet{
		t: t, project: p, addrs: make(map[string]string), processes: make(map[string]*harness.Process),
		address: regexp.MustCompile(`\b(` + oneOf(p.Services) + `|0\.0\.0\.0|127\.0\.0\.1):(\d+)\b`),
	}
	t.Cleanup(func() {
		for _, process := range f.processes {
			process.Kill()
		}
	})
	return f
}

// addr is where a port of a service is here.
func (f *fleet) addr(service, port string) string {
	f.t.Helper()
	key := service + ":" + port
	if f.addrs[key] == "" {
		f.addrs[key] = harness.FreeAddr(f.t)
	}
	return f.addrs[key]
}

// here translates what a container reads.
func (f *fleet) here(service, text string, paths map[string]string) string {
	f.t.Helper()
	text = f.address.ReplaceAllStringFunc(text, func(found string) string {
		host, port, _ := strings.Cut(found, ":")
		if _, ok := f.project.Services[host]; !ok {
			host = service // which means itself
		}
		return f.addr(host, port)
	})
	if len(paths) == 0 {
		return text
	}
	return regexp.MustCompile(`(?:^|[^\w./-])(?:`+oneOf(paths)+`)\b`).ReplaceAllStringFunc(text, func(found string) string {
		at := strings.IndexByte(found, '/')
		return found[:at] + paths[found[at:]]
	})
}

// oneOf matches one of the keys, the longest that fits.
func oneOf[M ~map[string]V, V any](keys M) string {
	var all []string
	for key := range keys {
		all = append(all, regexp.QuoteMeta(key))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return strings.Join(all, "|")
}

// start starts a service.
func (f *fleet) start(name string) {
	f.t.Helper()
	s := f.project.Services[name]
	paths := make(map[string]string)
	for _, v := range s.Volumes {
		paths[v.Target] = harness.MemoryDir(f.t)
		if v.Type == types.VolumeTypeBind {
			paths[v.Target] = v.Source
		}
	}
	// Files are configurations; folders hold what needs no translation.
	for target, source := range maps.Clone(paths) {
		info, err := os.Stat(source)
		if err != nil {
			f.t.Fatal(err)
		}
		if info.IsDir() {
			continue
		}
		text, err := os.ReadFile(source)
		if err != nil {
			f.t.Fatal(err)
		}
		paths[target] = filepath.Join(f.t.TempDir(), filepath.Base(source))
		write(f.t, paths[target], f.here(name, string(text), paths))
	}
	var env []string
	for key, value := range s.Environment {
		env = append(env, key+"="+f.here(name, *value, paths))
	}
	line := slices.Concat(s.Entrypoint, s.Command)
	if len(s.Entrypoint) == 0 {
		line = slices.Concat([]string{entryPoint(f.t, s.Image)}, s.Command)
	}
	for i := range line[1:] {
		line[i+1] = f.here(name, line[i+1], paths)
	}
	f.processes[name] = harness.Start(f.t, harness.Command{Name: name, Path: programOf(f.t, line[0]), Args: line[1:], Env: env})
}

// entryPoint is what an image starts by itself.
func entryPoint(t testing.TB, image string) string {
	t.Helper()
	repository, _, _ := strings.Cut(image, ":")
	switch repository {
	case "ghcr.io/seed-a7c21902/andon":
		return "/worker"
	case "prom/prometheus":
		return "/bin/prometheus"
	}
	t.Fatalf("what %s starts is not known", image)
	return ""
}

// programOf is the program that an image has under a path.
func programOf(t testing.TB, path string) string {
	t.Helper()
	switch name := filepath.Base(path); name {
	case "worker", "andon", "simulator":
		return harness.Program(t, harness.Module+"/cmd/"+name)
	case "nats-server":
		return harness.Program(t, harness.NATSServer)
	case "prometheus":
		return prometheusTool(t, name)
	default:
		t.Fatalf("no image has %s", path)
		return ""
	}
}

// healthy does what the health check of a service does.
func (f *fleet) healthy(name string) error {
	check := f.project.Services[name].HealthCheck
	if check == nil {
		return nil
	}
	line := slices.Clone(check.Test)
	for i := range line {
		line[i] = f.here(name, line[i], nil)
	}
	if line[0] != "CMD" {
		return fmt.Errorf("%s: health check %v", name, line)
	}
	if line[1] == "wget" {
		return harness.Answers(f.t.Context(), line[len(line)-1])
	}
	if out, err := exec.CommandContext(f.t.Context(), programOf(f.t, line[1]), line[2:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// TestComposeAsProcesses runs what the file says, asks for a pause, and for another when
// a node of the broker is gone.
func TestComposeAsProcesses(t *testing.T) {
	p, err := loadCompose(t, nil, composeFile)
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, p)
	version := strings.TrimSpace(command(t, "../..", nil, "go", "list", "-m", "-f", "{{.Version}}", harness.NATSServer))
	var first, then []string
	for name, s := range p.Services {
		if strings.HasPrefix(name, "nats-") && s.Image != "nats:"+strings.TrimPrefix(version, "v")+"-alpine" {
			t.Errorf("%s is %s, tests are with %s", name, s.Image, version)
		}
		if len(s.DependsOn) == 0 {
			first = append(first, name)
		} else {
			then = append(then, name)
		}
	}
	for _, names := range [][]string{first, then} {
		for _, name := range names {
			f.start(name)
		}
		for _, name := range names {
			harness.Eventually(t, 2*time.Minute, func() error { return f.healthy(name) })
		}
	}
	for _, node := range []string{"nats-1", "nats-2", "nats-3"} {
		f.syncs(node)
	}
	url := f.here("", *p.Services["worker-1"].Environment["NATS_URL"], nil)

	f.pauses(url, "first", "asg-shopweb1")
	js := jetStream(t, url)
	stream, err := js.Stream(t.Context(), stop.StreamStop)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	if info.Config.Replicas != 3 {
		t.Errorf("%s has %d replicas", stop.StreamStop, info.Config.Replicas)
	}
	f.watched()

	f.processes[info.Cluster.Leader].Kill()
	f.pauses(url, "second", "asg-shopapi1")
}

// syncs holds a node to what docs/reliability.md asks of a broker.
func (f *fleet) syncs(node string) {
	f.t.Helper()
	resp, err := http.Get("http://" + f.addr(node, "8222") + "/jsz")
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var jsz struct {
		Config struct {
			Always bool `json:"sync_always"`
		} `json:"config"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&jsz); err != nil {
		f.t.Fatal(err)
	}
	if !jsz.Config.Always {
		f.t.Errorf("%s confirms what is not on the disk", node)
	}
}

// pauses pauses a group by the command line, however often that has to be asked while
// nodes find each other: the id makes it the same request.
func (f *fleet) pauses(natsURL, id, group string) {
	f.t.Helper()
	harness.Eventually(f.t, 2*time.Minute, func() error {
		c := exec.CommandContext(f.t.Context(), programOf(f.t, "/andon"), "stop", group, "--region", "ap-guangzhou", "--id", id, "--wait", "-o", "json")
		c.Env = []string{"NATS_URL=" + natsURL, "HOME=" + f.t.TempDir()}
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if !strings.Contains(string(out), `"`+string(stop.OutcomePaused)+`"`) {
			return fmt.Errorf("not paused:\n%s", out)
		}
		return nil
	})
}

// watched waits until Prometheus has both workers and the rules.
func (f *fleet) watched() {
	f.t.Helper()
	p := &prom{t: f.t, url: "http://" + f.addr("prometheus", "9090")}
	harness.Eventually(f.t, time.Minute, func() error {
		var up struct{ Result []sample }
		if err := p.get("/api/v1/query", url.Values{"query": {"up == 1"}}, &up); err != nil {
			return err
		}
		if len(up.Result) != composeFleet {
			return fmt.Errorf("%d targets are up, want %d workers", len(up.Result), composeFleet)
		}
		return nil
	})
	var rules struct{ Groups []any }
	if err := p.get("/api/v1/rules", nil, &rules); err != nil {
		f.t.Fatal(err)
	}
	if len(rules.Groups) == 0 {
		f.t.Error("Prometheus has no rules")
	}
}
