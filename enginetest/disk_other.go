//go:build !linux

package enginetest

func mountDisk(string, int) error { return errNoMount }

func unmountDisk(string) {}
