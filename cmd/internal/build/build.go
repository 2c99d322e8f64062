// Package build says what a program was made from. It knows nothing else about it.
package build

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version may be stamped with -ldflags "-X …/cmd/internal/build.version=…"; without
// it the version is the module's.
var version string

// Build is what a binary was made from.
type Build struct{ Version, Revision, GoVersion string }

// Info is what this binary was made from.
func Info() Build {
	b := Build{Version: version, Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = cmp.Or(b.Version, "unknown")
		return b
	}
	b.Version = cmp.Or(b.Version, info.Main.Version, "unknown")
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	b.Revision += modified
	return b
}
