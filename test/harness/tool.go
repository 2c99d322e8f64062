package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Tool is a program of somebody else that a test uses, pinned.
type Tool struct {
	// Package and Version are what go install is given, Tags what it is built with.
	Package, Version, Tags string
}

// Installed is where the tool is. It is installed if it is not, once for all
// runs of all tests on a machine. An error says that it cannot be had here.
func (tool Tool) Installed(t testing.TB) (string, error) {
	t.Helper()
	name := path.Base(tool.Package)
	dir, err := Cached(strings.Trim(name+"-"+tool.Version+"-"+tool.Tags, "-"), func(fresh string) error {
		c := exec.CommandContext(t.Context(), "go", "install", "-tags", tool.Tags, tool.Package+"@"+tool.Version)
		c.Dir = fresh // outside of the module, which it is no part of
		c.Env = append(os.Environ(), "GOBIN="+fresh, "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("install %s %s: %w\n%s", name, tool.Version, err, out)
		}
		return nil
	})
	return filepath.Join(dir, name), err
}

// Cached is a directory of tools that outlives the tests. Where it is not there, install
// fills a fresh one, which is then moved into its place, so that nobody finds half of it.
func Cached(name string, install func(fresh string) error) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(cache, "andon-tools")
	dir = filepath.Join(tools, name)
	if filled(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(tools, 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(tools, ".install-") // beside its place: a rename must not leave the disk
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	if err := install(fresh); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, dir); err != nil && !filled(dir) { // by somebody who was faster
		return "", err
	}
	return dir, nil
}

func filled(dir string) bool {
	files, err := os.ReadDir(dir)
	return err == nil && len(files) > 0
}
