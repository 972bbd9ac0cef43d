// Package enginetest gives tests real engines: a Redis or a MariaDB as a child
// process on a free loopback port, with a folder of its own, that can be
// killed, frozen and restarted.
//
// Only tests and e2e/cost import it. An engine dies with the test that asked for it; the
// shared MariaDB dies with the test binary, whatever way that ends. What a
// killed test binary leaves on disk, the next one sweeps away.
//
// A package that uses the shared server and checks for leaked goroutines
// writes
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(enginetest.Main(m)) }
//
// because the server is watched by a goroutine, which Main ends first.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	// RequireEnv is the variable that, set to 1, makes a test fail whose engine is
	// not installed, instead of skipping it: where everything is supposed to run,
	// nothing may be skipped unseen.
	RequireEnv = "SCRIP_TEST_REQUIRE_ENGINES"

	// MySQLEnv is the variable that names a server to use instead of a MariaDB of our own, as a
	// go-sql-driver DSN. Its user must be allowed to create and drop databases.
	MySQLEnv = "SCRIP_TEST_MYSQL_DSN"
)

// patience is how long an engine may take to answer after its start. Half a
// second is usual; the rest is for machines that do something else as well.
const patience = 60 * time.Second

// TB is what is asked of a test; *testing.T and *testing.B have it. A program
// that measures instead of testing brings a TB of its own.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(end func())
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Suite is a *testing.M that ends the shared engines after the last test. It
// fits wherever something with a Run method is wanted.
type Suite struct{ tests *testing.M }

// Main wraps m for a TestMain.
func Main(m *testing.M) Suite { return Suite{tests: m} }

// Run runs the tests, ends the shared MariaDB if one was started, removes what
// was prepared for all tests, and returns the exit code.
func (s Suite) Run() int {
	defer sharedMariaDB.end()
	defer preparedFolder.end()
	return s.tests.Run()
}

// missingError says that an engine's program is not on this machine.
type missingError struct{ program string }

func (e *missingError) Error() string {
	return e.program + " is not installed (as root, scripts/engines.sh installs it)"
}

// locate finds a program. Daemons live in folders that are not on the path of
// an ordinary user.
func locate(program string) (string, error) {
	for _, name := range []string{
		program, filepath.Join("/usr/sbin", program), filepath.Join("/usr/local/sbin", program),
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", &missingError{program: program}
}

// giveUp ends a test whose engine did not start: a skip if it is not installed
// and not required, else a failure.
func giveUp(tb TB, err error, required bool) {
	tb.Helper()
	var missing *missingError
	if errors.As(err, &missing) && !required {
		tb.Skipf("skipped: %v; %s=1 makes this a failure", err, RequireEnv)
		return
	}
	tb.Fatalf("no engine: %v", err)
}

func required() bool { return os.Getenv(RequireEnv) == "1" }

// starting bounds a start. It does not end with ctx: the shared server must
// outlive the test that happened to need it first.
func starting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), patience,
		fmt.Errorf("no answer within %s", patience))
}
