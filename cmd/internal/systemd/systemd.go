// Package systemd tells the service manager how the process does, by the protocol of
// sd_notify(3). Where no manager listens, as in a terminal or a container, it does
// nothing. It knows nothing of what the process does.
package systemd

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// State is what the manager can be told.
type State string

// States of sd_notify(3).
const (
	Ready    State = "READY=1"
	Stopping State = "STOPPING=1"

	alive State = "WATCHDOG=1"
)

// Tell tells the manager. One that does not hear it is in trouble itself, and no reason
// to do anything else than to say so.
func Tell(getenv func(string) string, log *slog.Logger, s State) {
	if err := tell(getenv("NOTIFY_SOCKET"), s); err != nil {
		log.Warn("cannot tell the service manager", "state", s, "error", err)
	}
}

func tell(socket string, s State) error {
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach it: %w", err)
	}
	defer conn.Close()
	// A manager that does not read must not keep the process from its end.
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("write to it: %w", err)
	}
	if _, err := conn.Write([]byte(s)); err != nil {
		return fmt.Errorf("write to it: %w", err)
	}
	return nil
}

// Watchdog tells the manager that the process is alive, twice in the time that it
// allows, until end is called. It says what /livez says: that goroutines run. Whether
// the process can work is for /readyz, for no restart of it brings a broker back.
func Watchdog(getenv func(string) string, log *slog.Logger) (end func()) {
	allowed := watchdog(getenv)
	if allowed == 0 {
		return func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(allowed / 2)
		defer tick.Stop()
		for {
			Tell(getenv, log, alive)
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() { close(over); <-ended }
}

// watchdog is how long the manager waits for a sign of life of this process; zero: it
// waits for none.
func watchdog(getenv func(string) string) time.Duration {
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros < 2 {
		return 0
	}
	return time.Duration(micros) * time.Microsecond
}
