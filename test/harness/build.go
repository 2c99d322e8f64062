package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Module is the path of the project, NATSServer that of the broker's program.
const (
	Module     = "github.com/seed-a7c21902/andon"
	NATSServer = "github.com/nats-io/nats-server/v2"
)

// programs are built once for all tests of a package.
var programs struct {
	mu  sync.Mutex
	dir string
}

// Program builds a main package and returns where it is. Only those of this
// project are built for the race detector, and with the tags.
func Program(t testing.TB, path string, tags ...string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	name := filepath.Base(filepath.Dir(path)) + "-" + filepath.Base(path)
	file := filepath.Join(programs.dir, strings.Join(append([]string{name}, tags...), "-"))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	args := []string{"-C", root(t), "build", "-o", file}
	if strings.HasPrefix(path, Module) {
		args = append(args, "-tags", strings.Join(tags, ","))
		if Race {
			args = append(args, "-race")
		}
	}
	if out, err := exec.Command("go", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", path, err, out)
	}
	return file
}

// root is the directory of the project. What is built there is built of what its
// go.mod names, whatever module the test is in.
func root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", Module).Output()
	if err != nil {
		t.Fatalf("find the project: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// Run is the TestMain of a package that starts programs: it runs the tests,
// then after, and looks for goroutines that were left behind. It returns the
// exit code.
func Run(m *testing.M, after func() error) (code int) {
	var err error
	if programs.dir, err = os.MkdirTemp("", "andon-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = m.Run()
	errs := []error{after(), os.RemoveAll(programs.dir)}
	// Connections that are kept for the next request are nobody's leak.
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, err := range append(errs, goleak.Find()) {
		if code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}
