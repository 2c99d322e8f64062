//go:build !linux

package fleet

import (
	"syscall"
	"time"
)

// Not every system can freeze processes.
const (
	canFreeze    = false
	signalFreeze = syscall.SIGKILL
	signalThaw   = syscall.SIGKILL
)

// dieWithParent is left to the end of standard input, which members notice.
func dieWithParent() *syscall.SysProcAttr { return nil }

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }
