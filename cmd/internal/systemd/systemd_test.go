package systemd

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is where a service manager would listen.
func manager(t *testing.T) (socket string, heard func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return socket, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 100)
		n, err := conn.Read(said)
		if err != nil {
			t.Fatal(err)
		}
		return string(said[:n])
	}
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestTheManagerIsTold(t *testing.T) {
	socket, heard := manager(t)
	for _, s := range []State{Ready, Stopping} {
		Tell(env(map[string]string{"NOTIFY_SOCKET": socket}), slog.New(slog.DiscardHandler), s)
		if got := heard(); got != string(s) {
			t.Errorf("heard %q, want %q", got, s)
		}
	}
}

func TestTheManagerHearsSignsOfLifeUntilTheEnd(t *testing.T) {
	socket, heard := manager(t)
	end := Watchdog(env(map[string]string{
		"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": strconv.Itoa(os.Getpid()),
	}), slog.New(slog.DiscardHandler))
	for range 3 {
		if got := heard(); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
	end()
	last := "that it has ended"
	if err := tell(socket, State(last)); err != nil {
		t.Fatal(err)
	}
	for got := heard(); got != last; got = heard() {
		if got != "WATCHDOG=1" {
			t.Fatalf("heard %q", got)
		}
	}
}

func TestNobodyWaitsForSignsOfLife(t *testing.T) {
	for _, vars := range []map[string]string{
		{},
		{"WATCHDOG_USEC": "0"},
		{"WATCHDOG_USEC": "-5000000"},
		{"WATCHDOG_USEC": "soon"},
		{"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, // meant for a parent
	} {
		if got := watchdog(env(vars)); got != 0 {
			t.Errorf("%v: one in %v", vars, got)
		}
	}
	if got, want := watchdog(env(map[string]string{"WATCHDOG_USEC": "5000000"})), 5*time.Second; got != want {
		t.Errorf("one in %v, want %v", got, want)
	}
}

func TestWithoutAManagerNothingIsSaid(t *testing.T) {
	var log bytes.Buffer
	Tell(env(nil), slog.New(slog.NewTextHandler(&log, nil)), Ready)
	Watchdog(env(nil), slog.New(slog.NewTextHandler(&log, nil)))()
	if log.Len() > 0 {
		t.Errorf("logged %s", &log)
	}
}

func TestAManagerThatCannotBeReachedIsLogged(t *testing.T) {
	var log bytes.Buffer
	Tell(env(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "nobody")}), slog.New(slog.NewTextHandler(&log, nil)), Ready)
	if !strings.Contains(log.String(), "cannot tell the service manager") {
		t.Errorf("logged %q", log.String())
	}
}
