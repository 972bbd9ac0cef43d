package enginetest

import "syscall"

// childAttr makes a child die with this process (see process.hold) and lead a
// group of its own, so that all of it can be killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
