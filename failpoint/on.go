//go:build failpoint

package failpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Variables of the environment; the package's comment says what they mean.
const (
	EnvPlan  = "FAILPOINT"
	EnvFired = "FAILPOINT_FIRED"
)

// Reach kills the process if this is what it is to die of, and the time.
func Reach(step Step) {
	if fate().meets(step) {
		die()
	}
}

// fate is read from the environment once.
var fate = sync.OnceValue(func() *doom { //nolint:gochecknoglobals // a process has one
	d, err := read(os.Getenv(EnvPlan), os.Getenv(EnvFired))
	if err != nil {
		panic(err) // a plan that nobody understands is a test that shows nothing
	}
	return d
})

// doom is what to die of. It is safe for concurrent use.
type doom struct {
	fired string // the file
	life  int    // how many died before

	mu    sync.Mutex
	step  Step // empty: nothing
	after int  // so many more times it is survived
}

// read finds the first step of the plan that nobody has died of yet.
func read(plan, fired string) (*doom, error) {
	d := &doom{fired: fired}
	if plan == "" {
		return d, nil
	}
	done, err := os.ReadFile(fired) //nolint:gosec // the test's own file
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list, lives := strings.Split(plan, ","), strings.Count(string(done), "\n")
	if lives >= len(list) {
		return d, nil
	}
	d.life = lives
	name, times, _ := strings.Cut(list[lives], ":")
	n, err := strconv.Atoi(times)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%s=%s: want step:times", EnvPlan, plan)
	}
	d.step, d.after = Step(name), n-1
	return d, nil
}

// meets reports whether this is the end, and has it written down by then. Of
// several processes with one plan only one dies of each step.
func (d *doom) meets(step Step) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if step != d.step {
		return false
	}
	if d.after > 0 {
		d.after--
		return false
	}
	d.step = ""
	lock, err := os.OpenFile(d.fired+"."+strconv.Itoa(d.life), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false // somebody else did
	}
	if err != nil {
		panic(err)
	}
	_ = lock.Close()
	file, err := os.OpenFile(d.fired, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Fprintln(file, step); err != nil {
		panic(err)
	}
	_ = file.Close()
	return true
}

// die ends the process as kill -9 does, before anything else in it can happen.
func die() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
