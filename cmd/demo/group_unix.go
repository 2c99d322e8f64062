//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps a Ctrl-C of the terminal from the child: it gets one signal,
// from us, and not a second one that would end it at once.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
