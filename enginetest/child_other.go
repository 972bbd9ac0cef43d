//go:build !linux

package enginetest

import "syscall"

// childAttr makes a child lead a group of its own. Only Linux can promise that
// a child dies with its parent; elsewhere a killed test binary leaves it behind.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
