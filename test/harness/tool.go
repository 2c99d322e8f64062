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
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	name := path.Base(tool.Package)
	tools := filepath.Join(cache, "andon-tools")
	program := filepath.Join(tools, strings.Trim(name+"-"+tool.Version+"-"+tool.Tags, "-"), name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	// Built beside its place and then moved, so that nobody finds half of it.
	fresh, err := os.MkdirTemp(tools, ".install-") //nolint:usetesting // a rename must not leave the disk
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	c := exec.CommandContext(t.Context(), "go", "install", "-tags", tool.Tags, tool.Package+"@"+tool.Version)
	c.Dir = fresh // outside of the module, which it is no part of
	c.Env = append(os.Environ(), "GOBIN="+fresh, "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install %s %s: %w\n%s", name, tool.Version, err, out)
	}
	return program, os.Rename(filepath.Join(fresh, name), program)
}
