package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func makeDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil { // Mkdir is subject to the umask
		t.Fatal(err)
	}
	return dir
}

func TestStoreDirMode(t *testing.T) {
	t.Run("an empty directory is tightened, and says so", func(t *testing.T) {
		dir := makeDir(t, 0o755)
		var log lines
		start(t, broker.Config{StoreDir: dir, Logger: log.logger()})
		if got := mode(t, dir); got != 0o700 {
			t.Errorf("mode %v", got)
		}
		if !strings.Contains(log.String(), "0755") {
			t.Errorf("no word about it in\n%s", log.String())
		}
	})
	t.Run("a broker's own directory is tightened", func(t *testing.T) {
		dir := makeDir(t, 0o700)
		start(t, broker.Config{StoreDir: dir}).Shutdown()
		if err := os.Chmod(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		start(t, broker.Config{StoreDir: dir})
		if got := mode(t, dir); got != 0o700 {
			t.Errorf("mode %v", got)
		}
	})
	t.Run("a directory with other things in it is left alone", func(t *testing.T) {
		dir := makeDir(t, 0o755)
		if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		mention(t, refused(t, broker.Config{StoreDir: dir}), dir, "0755", "sub-directory")
		if got := mode(t, dir); got != 0o755 {
			t.Errorf("mode changed to %v", got)
		}
	})
	t.Run("a file is no directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		mention(t, refused(t, broker.Config{StoreDir: path}), path, "not a directory")
		mention(t, refused(t, broker.Config{StoreDir: filepath.Join(path, "below")}), path, "not a directory")
	})
}

func TestWithoutPermission(t *testing.T) {
	t.Run("to create the directory", func(t *testing.T) {
		dir := filepath.Join(makeDir(t, 0o500), "store")
		mention(t, asNobody(t, dir), dir, "permission denied")
	})
	t.Run("to write into it", func(t *testing.T) {
		dir := makeDir(t, 0o500)
		if os.Geteuid() == 0 {
			if err := os.Chown(dir, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		mention(t, asNobody(t, dir), dir, "writable", "permission denied")
	})
	t.Run("to tighten it", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("needs two users")
		}
		dir := makeDir(t, 0o777)
		mention(t, asNobody(t, dir), dir, "belongs to another user", "sub-directory")
	})
}
