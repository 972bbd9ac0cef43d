package enginetest

import (
	"fmt"
	"os"
	"syscall"
)

// mountDisk makes a folder that holds so many MiB and no more.
func mountDisk(path string, mib int) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	return nil
}

// unmountDisk undoes mountDisk, if it was done.
func unmountDisk(path string) { _ = syscall.Unmount(path, syscall.MNT_DETACH) }
