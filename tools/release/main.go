// Command release makes what a release consists of: for each platform an archive and
// a list of what is in its programs (SBOM, CycloneDX), for Linux an image too, and the
// checksums of all. Nobody but git, make and Go is asked for help, and two runs on a
// commit give the same bytes: all times are the commit's, all lists are sorted.
//
// Run it by "make release".
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// documents go with the programs: what the README refers to.
var documents = []string{"CHANGELOG.md", "LICENSE", "README.md", "deploy", "docs"}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt)
	defer release()
	out := flag.String("out", "dist", "`folder` for all of it, below that of the project")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/arm64,windows/amd64", "which ones, separated by commas")
	flag.Parse()
	if err := run(ctx, *out, strings.Split(*platforms, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// commit is what a release is made of.
type commit struct {
	Hash string
	Time time.Time
}

// product is what is made of a commit for one platform.
type product struct {
	commit
	OS, Arch string
	Version  string // as Go has stamped it: the tag, or what leads there
	Programs []program
}

type program struct {
	Name string
	Text []byte
	Info *buildinfo.BuildInfo
}

// name is that of a file of the release.
func (p *product) name(suffix string) string {
	return fmt.Sprintf("andon_%s_%s_%s%s", p.Version, p.OS, p.Arch, suffix)
}

func run(ctx context.Context, out string, platforms []string) error {
	top, err := output(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if err := os.Chdir(top); err != nil {
		return err
	}
	c, err := head(ctx)
	if err != nil {
		return err
	}
	docs, err := tracked(ctx, documents)
	if err != nil {
		return err
	}
	roots, err := output(ctx, "go", "-C", "tools", "run", "./cabundle")
	if err != nil {
		return err
	}
	rootsVersion, err := output(ctx, "go", "-C", "tools", "list", "-m", "-f", "{{.Version}}", rootsModule)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	r := release{dir: out}
	for _, platform := range platforms {
		p, err := build(ctx, c, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		pack, suffix := tarGz, ".tar.gz"
		if p.OS == "windows" {
			pack, suffix = zipped, ".zip"
		}
		r.add(p.name(suffix), func() ([]byte, error) { return pack(archive(p, docs), c.Time) })
		var beside []cdx.Component
		if p.OS == "linux" {
			r.add(p.name(".image.tar"), func() ([]byte, error) { return image(p, []byte(roots+"\n")) })
			beside = append(beside, module(rootsModule, rootsVersion))
		}
		r.add(p.name(".cdx.json"), func() ([]byte, error) { return sbom(p, beside) })
	}
	r.add("SHA256SUMS", func() ([]byte, error) { return r.sums(), nil })
	return r.err
}

// release is what has been made so far, and the first error.
type release struct {
	dir   string
	lines []string
	err   error
}

// add makes a file of the release and says how large it is.
func (r *release) add(name string, text func() ([]byte, error)) {
	if r.err != nil {
		return
	}
	b, err := text()
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, name), b, 0o644)
	}
	if err != nil {
		r.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	r.lines = append(r.lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(b), name))
	fmt.Printf("%7d kB  %s\n", (len(b)+999)/1000, filepath.Join(r.dir, name))
}

// sums is what sha256sum -c reads.
func (r *release) sums() []byte {
	slices.SortFunc(r.lines, func(a, b string) int { return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:]) })
	return []byte(strings.Join(r.lines, ""))
}

// build builds all programs for a platform, as "make build" does for this one.
func build(ctx context.Context, c commit, platform string) (*product, error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("want a platform such as linux/amd64")
	}
	dir, err := os.MkdirTemp("", "andon-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "make", "build", "BIN="+dir+"/")
	// What the user or an outer make has set must not show in the programs, nor a Go that is
	// older than the one of this module. Without git's answer there is no release.
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "GOFLAGS=-buildvcs=true", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOTOOLCHAIN="+runtime.Version(), "MAKEFLAGS=", "MAKELEVEL=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make build: %w\n%s", err, text)
	}
	p := &product{commit: c, OS: goos, Arch: goarch}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.Read(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		p.Version = info.Main.Version
		p.Programs = append(p.Programs, program{f.Name(), text, info})
	}
	return p, nil
}

func head(ctx context.Context) (commit, error) {
	hash, err := output(ctx, "git", "rev-parse", "HEAD")
	if err != nil {
		return commit{}, err
	}
	at, err := output(ctx, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return commit{}, err
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	return commit{hash, time.Unix(seconds, 0).UTC()}, err
}

// tracked reads the files that git knows in some folders, by their names.
func tracked(ctx context.Context, paths []string) ([]file, error) {
	names, err := output(ctx, "git", append([]string{"ls-files", "-z", "--"}, paths...)...)
	if err != nil {
		return nil, err
	}
	var files []file
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the commit; the version says that the tree is dirty
		}
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		// git keeps of the mode whether a file can be executed; the rest is the umask's.
		mode := int64(0o644)
		if info.Mode().Perm()&0o100 != 0 {
			mode = 0o755
		}
		files = append(files, file{name: name, mode: mode, text: text})
	}
	return files, nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	return strings.TrimRight(string(text), "\n"), nil
}
