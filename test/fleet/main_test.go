package fleet

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// memberVariable makes a member of this binary; it holds the member's job.
const memberVariable = "ANDON_TEST_FLEET_MEMBER"

const module = "github.com/seed-a7c21902/andon"

// programs are built once for all tests.
var programs struct {
	mu  sync.Mutex
	dir string
}

// program builds the main package and returns where it is.
func program(t testing.TB, path string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	file := filepath.Join(programs.dir, filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if out, err := exec.Command("go", "build", "-o", file, path).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", path, err, out)
	}
	return file
}

func TestMain(m *testing.M) {
	if given := os.Getenv(memberVariable); given != "" {
		if err := serve(given, os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "andon-fleet-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Connections that are kept for the next request are nobody's leak.
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
