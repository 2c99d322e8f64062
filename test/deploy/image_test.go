package deploy

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed-a7c21902/andon/test/harness"
)

// programs are those of andon.
var programs = []string{"andon", "demo", "ingress", "simulator", "worker"}

// TestRelease makes a release of what is in the working tree for one platform, twice,
// and looks at each part of it.
func TestRelease(t *testing.T) {
	engine, noEngine := startEngine(t)
	one := newRelease(t, copyOfProject(t, "../.."))

	t.Run("is the same when made again elsewhere", func(t *testing.T) {
		// The Dockerfile builds without what is compiled already. Where it cannot be
		// tried, this does.
		var env []string
		if noEngine != nil {
			env = []string{"GOCACHE=" + t.TempDir()}
		}
		two := newRelease(t, copyOfProject(t, one.project), env...)
		if a, b := one.read(t, "SHA256SUMS"), two.read(t, "SHA256SUMS"); !bytes.Equal(a, b) {
			t.Errorf("the checksums differ:\n%s\n%s", a, b)
		}
	})
	t.Run("has the checksum of each file", one.checksums)
	t.Run("archive", one.archive)
	t.Run("image", one.image)
	t.Run("SBOM", one.sbom)
	t.Run("container engine", func(t *testing.T) {
		if noEngine != nil {
			t.Skip(noEngine)
		}
		engine.loads(t, one)
		t.Run("builds the same image by the Dockerfile", func(t *testing.T) { engine.builds(t, one) })
		t.Run("runs the image", func(t *testing.T) { engine.runs(t, one) })
	})
}

// copyOfProject copies the working tree as git sees it, its history included, so that
// what others do to it meanwhile changes nothing.
func copyOfProject(t *testing.T, from string) string {
	t.Helper()
	from, err := filepath.Abs(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("git", "-C", from, "rev-parse", "HEAD").Run(); err != nil {
		t.Skip("a release is made of a commit, and here is none: ", err)
	}
	dir := filepath.Join(t.TempDir(), "andon")
	command(t, "", nil, "git", "clone", "--quiet", "--no-checkout", from, dir)
	// The tags and the commit that are there, whatever branch that is.
	command(t, dir, nil, "git", "reset", "--quiet", strings.TrimSpace(command(t, from, nil, "git", "rev-parse", "HEAD")))
	files := command(t, from, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(files, "\x00"), "\x00") {
		err := copyFile(filepath.Join(from, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // which is removed, and not committed
			t.Fatal(err)
		}
	}
	return dir
}

// copyFile copies a file, or a link as what it is.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode().Type() == os.ModeSymlink {
		where, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(where, to)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// command runs a program and returns what it prints.
func command(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(c.Args, " "), err, out, &stderr)
	}
	return string(out)
}

// release is what "make release" makes, for linux/amd64 or what this machine is.
type release struct {
	project, dir string
	name         string // of the archive, without its suffix
	version      string
	programs     map[string][]byte
}

func newRelease(t *testing.T, project string, env ...string) *release {
	t.Helper()
	r := &release{project: project, dir: t.TempDir(), programs: make(map[string][]byte)}
	t.Log("\n" + command(t, filepath.Join(project, "tools"), env, "go", "run", "./release", "-platforms", "linux/"+runtime.GOARCH, "-out", r.dir))
	archives, err := filepath.Glob(filepath.Join(r.dir, "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("want one archive, have %v: %v", archives, err)
	}
	r.name = strings.TrimSuffix(filepath.Base(archives[0]), ".tar.gz")
	r.version = strings.Split(r.name, "_")[1]
	for name, e := range unpackGz(t, archives[0]) {
		if in, program := path.Split(name); in == r.name+"/bin/" {
			r.programs[program] = e.text
		}
	}
	return r
}

func (r *release) read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// entry is what is in an archive under a name.
type entry struct {
	mode     int64
	uid, gid int
	at       time.Time
	text     []byte
}

func unpack(t testing.TB, from io.Reader) map[string]entry {
	t.Helper()
	entries := make(map[string]entry)
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries[strings.Trim(h.Name, "/")] = entry{h.Mode & 0o7777, h.Uid, h.Gid, h.ModTime.UTC(), text}
	}
}

// unpackGz reads a .tar.gz.
func unpackGz(t testing.TB, file string) map[string]entry {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return unpack(t, z)
}

func (r *release) checksums(t *testing.T) {
	sums := make(map[string]string)
	for line := range strings.Lines(string(r.read(t, "SHA256SUMS"))) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		sums[name] = sum
	}
	for _, suffix := range []string{".tar.gz", ".image.tar", ".cdx.json"} {
		name := r.name + suffix
		if want := fmt.Sprintf("%x", sha256.Sum256(r.read(t, name))); sums[name] != want {
			t.Errorf("%s has the checksum %s, listed is %q", name, want, sums[name])
		}
		delete(sums, name)
	}
	if len(sums) > 0 {
		t.Errorf("checksums of what is not there: %v", sums)
	}
}

func (r *release) archive(t *testing.T) {
	entries := unpackGz(t, filepath.Join(r.dir, r.name+".tar.gz"))
	if got := slices.Sorted(maps.Keys(r.programs)); !slices.Equal(got, programs) {
		t.Errorf("the programs are %v, want %v", got, programs)
	}
	committed := strings.TrimSpace(command(t, r.project, []string{"TZ=UTC"}, "git", "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"))
	for name, e := range entries {
		if at := e.at.Format(time.RFC3339); at != committed || e.uid != 0 {
			t.Errorf("%s is of %s and user %d, want %s and 0", name, at, e.uid, committed)
		}
	}
	for _, name := range []string{"LICENSE", "README.md", "docs/man/andon.1", "docs/completion/_andon", "deploy/README.md"} {
		text, err := os.ReadFile(filepath.Join(r.project, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(entries[r.name+"/"+name].text, text) {
			t.Errorf("%s is not that of the project", name)
		}
	}
	for name, text := range r.programs {
		if e := entries[r.name+"/bin/"+name]; e.mode != 0o755 {
			t.Errorf("bin/%s has the mode %o", name, e.mode)
		}
		info, err := buildinfo.Read(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		settings := make(map[string]string)
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		for key, want := range map[string]string{"CGO_ENABLED": "0", "-trimpath": "true", "-tags": "timetzdata", "vcs.revision": strings.TrimSpace(command(t, r.project, nil, "git", "rev-parse", "HEAD"))} {
			if settings[key] != want {
				t.Errorf("%s is built with %s=%s, want %s", name, key, settings[key], want)
			}
		}
	}
}

// layout is an image: what a process finds there, and how it is started.
type layout struct {
	files  map[string]entry
	config v1.Config
}

func layoutOf(t testing.TB, file string) layout {
	t.Helper()
	img, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	content := mutate.Extract(img)
	defer content.Close()
	return layout{unpack(t, content), config.Config}
}

func (r *release) image(t *testing.T) {
	l := layoutOf(t, filepath.Join(r.dir, r.name+".image.tar"))
	for _, name := range programs {
		if e := l.files[name]; !bytes.Equal(e.text, r.programs[name]) || e.mode != 0o755 || e.uid != 0 {
			t.Errorf("/%s (mode %o, user %d) is not the program of the archive, to be started by anybody and written by nobody", name, e.mode, e.uid)
		}
	}
	var roots int
	for rest := l.files["etc/ssl/certs/ca-certificates.crt"].text; ; roots++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Errorf("root certificate %d: %v", roots, err)
		}
	}
	if roots < 100 {
		t.Errorf("%d root certificates, where Mozilla has more than a hundred", roots)
	}
	if store := l.files["var/lib/andon"]; store.uid != 65532 || store.mode != 0o700 {
		t.Errorf("/var/lib/andon has the user %d and mode %o", store.uid, store.mode)
	}
	if c := l.config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/worker"}) || len(c.Volumes)+len(c.ExposedPorts) > 0 {
		t.Errorf("started as %s by %v", c.User, c.Entrypoint)
	}
	if got := l.config.Labels["org.opencontainers.image.version"]; got != r.version {
		t.Errorf("the label of the version says %q, want %q", got, r.version)
	}
}

// sbom holds the list to the schema of CycloneDX, and to what is in the programs.
func (r *release) sbom(t *testing.T) {
	text := r.read(t, r.name+".cdx.json")
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := cycloneDX(t).Validate(doc); err != nil {
		t.Error(err)
	}
	var bom struct {
		Components []struct {
			Name, Version string
			Hashes        []struct{ Alg, Content string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	listed, hashes := make(map[string]bool), make(map[string]string)
	for _, c := range bom.Components {
		listed[c.Name+" "+c.Version] = true
		for _, h := range c.Hashes {
			hashes[c.Name] = h.Content
		}
	}
	uses := make(map[string][]string)
	for _, d := range bom.Dependencies {
		uses[d.Ref] = d.DependsOn
	}
	needed := map[string]bool{"golang.org/x/crypto/x509roots/fallback " + strings.TrimSpace(command(t, filepath.Join(r.project, "tools"), nil, "go", "list", "-m", "-f", "{{.Version}}", "golang.org/x/crypto/x509roots/fallback")): true}
	for name, text := range r.programs {
		needed[name+" "+r.version] = true
		if want := fmt.Sprintf("%x", sha256.Sum256(text)); hashes[name] != want {
			t.Errorf("%s has the hash %s, listed is %q", name, want, hashes[name])
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		modules := 0
		for line := range strings.Lines(command(t, "", nil, "go", "version", "-m", file)) {
			switch f := strings.Fields(line); {
			case len(f) > 1 && f[0] == file+":":
				needed["stdlib "+strings.TrimPrefix(f[1], "go")] = true
			case len(f) > 2 && f[0] == "dep":
				needed[f[1]+" "+f[2]] = true
				modules++
			}
		}
		if got := len(uses[name]); modules == 0 || got != modules+1 {
			t.Errorf("%s is said to use %d modules, want its %d and the standard library", name, got, modules)
		}
	}
	for what := range needed {
		if !listed[what] {
			t.Errorf("not listed: %s", what)
		}
		delete(listed, what)
	}
	for what := range listed {
		t.Errorf("listed, and in no program: %s", what)
	}
}

// cycloneDX is the schema, which comes with the module that the list is written with.
func cycloneDX(t testing.TB) *jsonschema.Schema {
	t.Helper()
	dir := strings.TrimSpace(command(t, "../../tools", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	c := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		// They refer to each other by where they are published, whatever the file is called.
		url := "http://cyclonedx.org/schema/" + strings.Replace(name, "schemax", "schema", 1)
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// engine is a container engine of the test's own.
type engine struct {
	docker string
	env    []string
}

// startEngine starts Docker's, without networks, which would change those of the
// machine. An error says why there is none here.
func startEngine(t *testing.T) (*engine, error) {
	t.Helper()
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, errors.New("there is no dockerd here; Debian has it in docker.io")
	}
	if os.Getuid() != 0 {
		return nil, errors.New("only root can start dockerd")
	}
	// Beside dockerd from Debian there may be another docker in the path, which it did
	// not come with.
	docker := "/usr/bin/docker"
	if _, err := os.Stat(docker); err != nil {
		if docker, err = exec.LookPath("docker"); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "andon-docker-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("umount", dir+"/exec/netns/default").Run() // dockerd leaves the network of the host there
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e := &engine{docker: docker, env: []string{"DOCKER_HOST=unix://" + dir + "/socket", "DOCKER_CONFIG=" + dir, "DOCKER_BUILDKIT=1", "BUILDKIT_PROGRESS=plain"}}
	p := harness.Start(t, harness.Command{
		Name: "dockerd", Path: dockerd, Env: os.Environ(),
		Args: []string{"--host", "unix://" + dir + "/socket", "--data-root", dir + "/data", "--exec-root", dir + "/exec", "--pidfile", dir + "/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"},
	})
	t.Cleanup(func() {
		p.Signal(syscall.SIGTERM) // killed, it would leave its containerd and its mounts
		if _, err := p.Exit(time.Minute); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.Says("API listen on", time.Minute); err != nil {
		return nil, fmt.Errorf("dockerd does not start here: %w", err)
	}
	return e, nil
}

func (e *engine) run(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(command(t, "", e.env, e.docker, args...))
}

// builds builds the Dockerfile as "make image" does.
func (e *engine) builds(t *testing.T, r *release) {
	text, err := os.ReadFile(filepath.Join(r.project, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	base := regexp.MustCompile(`(?m)^FROM .*\b(golang:\S+) AS build$`).FindSubmatch(text)
	if base == nil {
		t.Fatal("the Dockerfile has no stage that builds from an image of Go")
	}
	e.importGo(t, string(base[1]))
	of := layoutOf(t, filepath.Join(r.dir, r.name+".image.tar"))
	args := []string{"build", "--quiet", "--network=host", "--tag", "andon:built"}
	for _, name := range []string{"version", "revision", "created"} {
		args = append(args, "--build-arg", strings.ToUpper(name)+"="+of.config.Labels["org.opencontainers.image."+name])
	}
	e.run(t, append(args, r.project)...)
	saved := filepath.Join(t.TempDir(), "saved.tar")
	e.run(t, "save", "--output", saved, "andon:built")
	built := layoutOf(t, saved)
	if built.config.WorkingDir == "" {
		built.config.WorkingDir = "/" // which is what none means
	}
	for what, config := range map[string]func(v1.Config) any{
		"user": func(c v1.Config) any { return c.User }, "entry point": func(c v1.Config) any { return c.Entrypoint },
		"command": func(c v1.Config) any { return len(c.Cmd) }, "environment": func(c v1.Config) any { return c.Env },
		"working directory": func(c v1.Config) any { return c.WorkingDir }, "labels": func(c v1.Config) any { return c.Labels },
	} {
		if a, b := fmt.Sprint(config(built.config)), fmt.Sprint(config(of.config)); a != b {
			t.Errorf("the %s of the Dockerfile's image: %s, of the release's: %s", what, a, b)
		}
	}
	names := maps.Clone(built.files)
	maps.Copy(names, of.files)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, here := built.files[name]
		b, there := of.files[name]
		if here != there || a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || !bytes.Equal(a.text, b.text) {
			t.Errorf("/%s of the Dockerfile: %s, of the release: %s", name, a, b)
		}
	}
}

func (e entry) String() string {
	if e.at.IsZero() {
		return "is not there"
	}
	return fmt.Sprintf("mode %o, owner %d:%d, %d bytes with hash %x", e.mode, e.uid, e.gid, len(e.text), sha256.Sum256(e.text))
}

// importGo makes an image of this machine's Go, with what it takes to run it, under
// the name of the one that a registry would have.
func (e *engine) importGo(t *testing.T, name string) {
	t.Helper()
	goroot := strings.TrimSpace(command(t, "", nil, "go", "env", "GOROOT"))
	proxy := strings.TrimSpace(command(t, "", nil, "go", "env", "GOPROXY"))
	paths := []string{goroot, "/etc/ssl/certs/ca-certificates.crt"}
	for _, program := range []string{"/bin/sh", "bash", "make", "git", "mkdir"} {
		file, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, file)
		for line := range strings.Lines(command(t, "", nil, "ldd", file)) {
			for word := range strings.FieldsSeq(line) {
				if filepath.IsAbs(word) && !slices.Contains(paths, word) {
					paths = append(paths, word)
				}
			}
		}
	}
	rootfs := filepath.Join(t.TempDir(), "go.tar")
	command(t, "", nil, "tar", append([]string{"--create", "--dereference", "--absolute-names", "--file", rootfs, "--exclude=" + goroot + "/test", "--transform=s,^" + goroot + ",/usr/local/go,"}, paths...)...)
	e.run(t, "import", "--change", "ENV PATH=/usr/local/go/bin:/usr/bin:/bin GOPROXY="+proxy+" GOTOOLCHAIN=local HOME=/root TMPDIR=/root", "--change", "WORKDIR /root", rootfs, name)
}

// loads takes in the image of a release. Where containers cannot be started at all,
// the test is skipped.
func (e *engine) loads(t *testing.T, r *release) {
	e.run(t, "load", "--input", filepath.Join(r.dir, r.name+".image.tar"))
	const ofDocker = 125 // the exit code of "docker run" where it is not the container's
	out, err := e.command(t.Context(), "run", "--rm", "--network=none", r.tag(), "--version").CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() == ofDocker {
		t.Skipf("no container can be started here: %s", out)
	}
}

// tag is the name that the image of a release brings.
func (r *release) tag() string {
	return "ghcr.io/seed-a7c21902/andon:" + strings.ReplaceAll(r.version, "+", "-")
}

// runs runs the image as a cautious administrator would.
func (e *engine) runs(t *testing.T, r *release) {
	image := r.tag()
	t.Logf("the image has %s bytes unpacked", e.run(t, "image", "inspect", "--format", "{{.Size}}", image))
	locked := []string{"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65532:65532"}
	start := func(args ...string) []string { return append(append([]string{"run"}, locked...), args...) }

	if got := e.run(t, start("--rm", "--network=none", image, "--version")...); !strings.HasPrefix(got, "worker "+r.version+" ") {
		t.Errorf("worker --version says %q, want %s", got, r.version)
	}
	for _, program := range programs {
		e.run(t, start("--rm", "--network=none", "--entrypoint="+program, image, "--help")...)
	}

	addr := harness.FreeAddr(t)
	id := e.run(t, start("--detach", "--network=host", "--volume=andon:/var/lib/andon", "--env=TZ=Asia/Shanghai", image, "--simulate", "--nats-listen=off", "--http-listen="+addr)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the worker's log:\n%s", e.logs(id))
		}
		_ = e.command(context.Background(), "rm", "--force", id).Run() // the engine ends with the test
	})
	harness.Eventually(t, time.Minute, func() error { return harness.Answers(t.Context(), "http://"+addr+"/readyz") })
	if got := e.run(t, "exec", id, "andon", "ready", addr); !strings.Contains(got, "[+]connection ok") {
		t.Errorf("andon ready says %q", got)
	}
	line, _, _ := bufio.NewReader(strings.NewReader(e.logs(id))).ReadLine()
	var first struct{ Time time.Time }
	if err := json.Unmarshal(line, &first); err != nil {
		t.Errorf("%v: %s", err, line)
	}
	if _, offset := first.Time.Zone(); offset != 8*3600 {
		t.Errorf("with TZ=Asia/Shanghai the log says %s: the image has no time zones", line)
	}
	e.run(t, "stop", "--time=60", id)
	if got := e.run(t, "inspect", "--format", "{{.State.ExitCode}}", id); got != "0" {
		t.Errorf("told to stop, the worker ended with %s", got)
	}
}

func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, e.docker, args...)
	c.Env = append(os.Environ(), e.env...)
	return c
}

// logs is what a container has written, of both streams.
func (e *engine) logs(id string) string {
	out, err := e.command(context.Background(), "logs", id).CombinedOutput()
	return cmp.Or(string(out), fmt.Sprint(err))
}
