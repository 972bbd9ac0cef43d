package enginetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// root is the folder below which all engines of one user keep theirs. Test
// binaries run side by side, so whatever they do in it is done under its lock.
type root struct{ path string }

// openRoot makes the root below parent, or takes the one that is there.
func openRoot(parent string) (*root, error) {
	path := filepath.Join(parent, "scrip-enginetest-"+strconv.Itoa(os.Geteuid()))
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	// Everybody may write to the temporary folder: a root that another user
	// laid there could hold a prepared database of that user's making.
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is not a folder of this user: remove it", path)
	}
	return &root{path: path}, nil
}

// locked calls act while no other process is in the root.
func (r *root) locked(act func() error) error {
	lock, err := lockFile(r.path, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // closing unlocks
	return act()
}

// newFolder makes a folder for one engine, after removing those of test
// binaries that ended without doing so themselves.
func (r *root) newFolder() (*folder, error) {
	var made *folder
	err := r.locked(func() error {
		if err := r.sweep(); err != nil {
			return err
		}
		path, err := os.MkdirTemp(r.path, "run-")
		if err != nil {
			return err
		}
		lock, err := lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
		made = &folder{path: path, lock: lock}
		return err
	})
	return made, err
}

// sweep removes the folders, and the signs of ports, on which nobody holds a lock:
// locks end with the process that took them.
func (r *root) sweep() error {
	runs, err := filepath.Glob(filepath.Join(r.path, "run-*"))
	if err != nil {
		return err
	}
	ports, err := filepath.Glob(filepath.Join(r.path, "port-*"))
	if err != nil {
		return err
	}
	for _, path := range append(runs, ports...) {
		lock, err := lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue // in use, or removed by its owner just now
		}
		unmountDisk(filepath.Join(path, dataName))
		err = os.RemoveAll(path)
		_ = lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// dataName is the folder within an engine's that may be a disk of its own.
const dataName = "data"

// folder belongs to one engine for as long as it holds the lock.
type folder struct {
	path string
	lock *os.File
}

// remove deletes the folder. What cannot be deleted is left to the next sweep.
func (f *folder) remove() {
	unmountDisk(filepath.Join(f.path, dataName))
	_ = os.RemoveAll(f.path)
	_ = f.lock.Close()
}

func lockFile(path string, how int) (*os.File, error) {
	open, err := os.Open(path) //nolint:gosec // of our own making
	if err != nil {
		return nil, err
	}
	err = syscall.EINTR
	for errors.Is(err, syscall.EINTR) { // the runtime's own signals interrupt a wait
		err = syscall.Flock(int(open.Fd()), how)
	}
	if err != nil {
		_ = open.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return open, nil
}
