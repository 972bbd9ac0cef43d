package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// logName is the file in an engine's folder that takes what it prints.
const logName = "engine.log"

// process is one life of an engine.
type process struct {
	pid    int
	exited chan struct{} // closed once the process is gone and reaped
	code   int           // its exit code, then; -1 if a signal ended it
}

// launch starts cmd.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{exited: make(chan struct{})}
	started := make(chan error)
	go p.hold(cmd, started)
	return p, <-started
}

// hold starts the child and stays until it has ended, on one OS thread. The
// kernel sends the parent-death signal when the thread that forked ends, not
// the process; on a thread of its own, held for as long as the child lives,
// both are the same moment. Any other thread may end earlier, with a goroutine
// that locked it.
func (p *process) hold(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait() // what matters of it is in ProcessState
	p.code = cmd.ProcessState.ExitCode()
	close(p.exited)
}

// engine is a program with a port and a folder; its processes come and go. It
// is safe for concurrent use.
type engine struct {
	program string
	args    []string
	env     []string // nil: this process's own
	dir     *folder
	port    *port                                      // nil until one is drawn
	probe   func(ctx context.Context, e *engine) error // nil once the live process answers

	mu   sync.Mutex
	live *process // the latest; nil before the first and after kill
}

// plan says how an engine is started, whatever its port and folder.
type plan struct {
	program string
	args    func(port int, dir string) []string
	env     func(port int, dir string) []string                     // nil: this process's own
	prepare func(ctx context.Context, root *root, dir string) error // fills the new folder
	probe   func(ctx context.Context, e *engine) error
}

// start makes a folder, draws a port and starts the engine there. Somebody
// else may take the port between the draw and the start, so it tries again.
func (p plan) start(ctx context.Context) (*engine, error) {
	program, err := locate(p.program)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(os.TempDir())
	if err != nil {
		return nil, err
	}
	dir, err := root.newFolder()
	if err != nil {
		return nil, err
	}
	e := &engine{program: program, dir: dir, probe: p.probe}
	if p.prepare != nil {
		err = p.prepare(ctx, root, dir.path)
	}
	if err == nil {
		err = e.firstStart(ctx, root, p)
	}
	if err != nil {
		e.end()
		return nil, fmt.Errorf("start %s: %w", p.program, err)
	}
	return e, nil
}

func (e *engine) firstStart(ctx context.Context, root *root, p plan) error {
	var failed error
	for range 3 {
		drawn, err := root.drawPort(ctx)
		if err != nil {
			return errors.Join(failed, err)
		}
		e.port.free()
		e.port, e.args = drawn, p.args(drawn.number, e.dir.path)
		if p.env != nil {
			e.env = p.env(drawn.number, e.dir.path)
		}
		if failed = e.start(ctx); failed == nil || ctx.Err() != nil {
			return failed
		}
	}
	return failed
}

// start ends the live process, if any, starts a new one and waits until it answers.
func (e *engine) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killLocked()
	output, err := os.OpenFile(e.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the child has its own descriptor
	cmd := &exec.Cmd{
		Path:        e.program,
		Args:        append([]string{e.program}, e.args...),
		Dir:         e.dir.path,
		Env:         e.env,
		Stdout:      output,
		Stderr:      output,
		SysProcAttr: childAttr(),
	}
	if e.live, err = launch(cmd); err != nil {
		e.live = nil
		return err
	}
	if err := e.await(ctx); err != nil {
		e.killLocked()
		return fmt.Errorf("%w; its last words:\n%s", err, e.lastWords())
	}
	return nil
}

// await asks the new process every few milliseconds until it answers.
func (e *engine) await(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.probe(ctx, e)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-e.live.exited:
			return fmt.Errorf("it ended at once (%w)", err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// kill ends the live process with SIGKILL and waits until it is gone.
func (e *engine) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killLocked()
}

func (e *engine) killLocked() {
	if e.live == nil {
		return
	}
	// The group is the engine's own: a Redis that is saving has a child.
	_ = e.signal(-e.live.pid, syscall.SIGKILL) // gone already is fine
	<-e.live.exited
	e.live = nil
}

// signal sends sig unless the live process has been reaped: its number may
// belong to somebody else by then.
func (e *engine) signal(pid int, sig syscall.Signal) error {
	select {
	case <-e.live.exited:
		return os.ErrProcessDone
	default:
		return syscall.Kill(pid, sig)
	}
}

// end kills the engine and removes its folder. A nil engine has nothing to end.
func (e *engine) end() {
	if e == nil {
		return
	}
	e.kill()
	e.dir.remove()
	e.port.free()
}

func (e *engine) addr() string { return loopback(e.port.number) }

func (e *engine) pid() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live == nil {
		return 0
	}
	return e.live.pid
}

func (e *engine) logPath() string { return filepath.Join(e.dir.path, logName) }

func (e *engine) lastWords() string {
	all, err := os.ReadFile(e.logPath())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
