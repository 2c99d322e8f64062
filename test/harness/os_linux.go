package harness

import (
	"syscall"
	"time"
)

// Processes can be frozen, and go on.
const (
	CanFreeze    = true
	signalFreeze = syscall.SIGSTOP
	signalThaw   = syscall.SIGCONT
)

// dieWithParent has the kernel end a child whose test is killed, which runs no
// cleanup.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// CPUTime is how long this process has used a core.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
