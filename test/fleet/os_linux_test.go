package fleet

import (
	"syscall"
	"time"
)

// Processes can be frozen, and go on.
const (
	canFreeze    = true
	signalFreeze = syscall.SIGSTOP
	signalThaw   = syscall.SIGCONT
)

// dieWithParent has the kernel end a child whose test is killed, which runs no
// cleanup.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// cpuTime is how long this process has used a core.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
