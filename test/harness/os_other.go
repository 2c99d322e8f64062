//go:build !linux

package harness

import (
	"syscall"
	"time"
)

// Not every system can freeze processes.
const (
	CanFreeze    = false
	signalFreeze = syscall.SIGKILL
	signalThaw   = syscall.SIGKILL
)

// dieWithParent is left to the end of standard input, which members notice.
func dieWithParent() *syscall.SysProcAttr { return nil }

// CPUTime is not measured here.
func CPUTime() time.Duration { return 0 }
