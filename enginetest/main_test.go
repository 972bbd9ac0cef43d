package enginetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// childEnv makes this test binary play the test binary that dies.
const childEnv = "ENGINETEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "1" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(Main(m))
}

// child starts an engine, tells where, and waits to be killed. To return is to fail.
func child() int {
	ctx, cancel := starting(context.Background())
	defer cancel()
	e, err := startRedis(ctx, nil)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "error", err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "started", e.addr(), e.dir.path)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 1
}

func TestEnginesDieWithTheTestBinary(t *testing.T) {
	t.Parallel()
	Redis(t) // skips where there is none
	self := exec.CommandContext(t.Context(), os.Args[0])
	self.Env = append(os.Environ(), childEnv+"=1")
	self.Stderr = os.Stderr
	if _, err := self.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := self.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if len(words) != 3 || words[0] != "started" {
		t.Fatalf("the child says %q", line)
	}
	addr, folder := words[1], words[2]
	if _, err := redisDo(t.Context(), addr, "PING"); err != nil {
		t.Fatalf("the child's engine does not answer: %v", err)
	}

	if err := self.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = self.Wait()

	Eventually(t, "the engine has died with its parent", func() bool {
		_, err := redisDo(t.Context(), addr, "PING")
		return err != nil
	})
	root, err := openRoot(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := root.locked(root.sweep); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder %s is still there after a sweep (%v)", folder, err)
	}
}

func TestAbandonedFoldersAreSwept(t *testing.T) {
	t.Parallel()
	root := ownRoot(t)
	var err error
	folders := make([]*folder, 2)
	for i := range folders {
		if folders[i], err = root.newFolder(); err != nil {
			t.Fatal(err)
		}
	}
	if err := folders[0].lock.Close(); err != nil { // what the kernel does for a dead process
		t.Fatal(err)
	}

	last, err := root.newFolder()
	if err != nil {
		t.Fatal(err)
	}

	if _, err := os.Stat(folders[0].path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the abandoned folder is still there (%v)", err)
	}
	if _, err := os.Stat(folders[1].path); err != nil {
		t.Errorf("the folder in use is gone: %v", err)
	}
	folders[1].remove()
	last.remove()
	if _, err := os.Stat(last.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the removed folder is still there (%v)", err)
	}
}

func TestARootOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	mine, err := openRoot(parent)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(mine.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), mine.path); err != nil {
		t.Fatal(err)
	}

	if _, err := openRoot(parent); err == nil {
		t.Error("a link laid in the place of the root was followed")
	}
}

func TestAMissingEngineSkipsUnlessRequired(t *testing.T) {
	t.Parallel()
	_, missing := locate("no-such-engine")
	if missing == nil {
		t.Fatal("found a program that does not exist")
	}
	for _, c := range []struct {
		name       string
		err        error
		required   bool
		skip, fail bool
	}{
		{"missing", missing, false, true, false},
		{"missing, but required", missing, true, false, true},
		{"there, but broken", errors.New("it ended at once"), false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{TB: t}
			giveUp(heard, c.err, c.required)
			if got := len(heard.skipped) == 1; got != c.skip {
				t.Errorf("skipped is %v, want %v", got, c.skip)
			}
			if got := len(heard.failed) == 1; got != c.fail {
				t.Errorf("failed is %v, want %v", got, c.fail)
			}
		})
	}
}

func TestPortsAreFreeAndBelowTheEphemeralOnes(t *testing.T) {
	t.Parallel()
	drawn, err := ownRoot(t).drawPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer drawn.free()
	if drawn.number < lowestPort || drawn.number >= highestPort {
		t.Errorf("port %d is outside %d…%d", drawn.number, lowestPort, highestPort)
	}
}

func ownRoot(t *testing.T) *root {
	t.Helper()
	r, err := openRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A port is its engine's for as long as that may come back.
func TestAPortIsDrawnOnce(t *testing.T) {
	t.Parallel()
	r := ownRoot(t)
	drawn, err := r.drawPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.locked(r.sweep); err != nil {
		t.Fatal(err)
	}
	if _, err := r.holdPort(drawn.number); err == nil {
		t.Error("somebody else has it as well")
	}
	drawn.free()
	again, err := r.holdPort(drawn.number)
	if err != nil {
		t.Fatalf("nobody can have it any more: %v", err)
	}
	again.free()
}

// recorder is a test that only notes what is reported to it.
type recorder struct {
	testing.TB
	skipped, failed []string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = append(r.skipped, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...) }

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

// refused reports whether nobody listens at addr.
func refused(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}
