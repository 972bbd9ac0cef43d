package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Server is an engine as one test sees it. Its methods are safe for concurrent
// use; what they cannot do, they report as an error of that test.
type Server struct {
	tb     TB
	addr   string
	dsn    func(db string) string
	engine *engine // nil for a server that somebody else runs
	shared bool    // other tests use it too: it may be looked at, not touched
}

// own wraps an engine that is tb's alone, and ends with it.
func own(tb TB, e *engine, dsn func(db string) string) *Server {
	tb.Helper()
	tb.Cleanup(e.end)
	return &Server{tb: tb, addr: e.addr(), dsn: dsn, engine: e}
}

// Addr is host:port. It stays the same over Restart.
func (s *Server) Addr() string { return s.addr }

// DSN is the data source name of a database on this server: in go-sql-driver's
// form for MariaDB, where "" names no database, and a redis:// URL for Redis.
func (s *Server) DSN(db string) string { return s.dsn(db) }

// Pid is the process's number; 0 after Kill, and for a server that was not
// started here.
func (s *Server) Pid() int {
	if s.engine == nil {
		return 0
	}
	return s.engine.pid()
}

// Dir is the folder with the engine's files; "" for a server that was not
// started here.
func (s *Server) Dir() string {
	if s.engine == nil {
		return ""
	}
	return s.engine.dir.path
}

// Kill ends the process with SIGKILL, as kill -9 does, and waits until it is
// gone. Killing twice is fine.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.touch("killed") {
		s.engine.kill()
	}
}

// Restart starts the engine again with the same port, folder and arguments,
// and waits until it answers. If it is still running it is killed first.
func (s *Server) Restart() {
	s.tb.Helper()
	if !s.touch("restarted") {
		return
	}
	ctx, cancel := starting(context.Background())
	defer cancel()
	if err := s.engine.start(ctx); err != nil {
		s.tb.Errorf("restart %s: %v", s.engine.program, err)
	}
}

// Stop freezes the process (SIGSTOP): its connections stay open and nothing
// answers on them. Kill and Restart work on a frozen process as well.
func (s *Server) Stop() {
	s.tb.Helper()
	s.signal("stopped", syscall.SIGSTOP)
}

// Cont lets a frozen process go on (SIGCONT).
func (s *Server) Cont() {
	s.tb.Helper()
	s.signal("continued", syscall.SIGCONT)
}

// CPU is the processor time, user and system, that the process has spent since
// its last start, in steps of 10 ms.
func (s *Server) CPU() time.Duration {
	s.tb.Helper()
	spent, err := cpuTime(s.Pid())
	if err != nil {
		s.tb.Errorf("processor time of %s: %v", s.addr, err)
	}
	return spent
}

func (s *Server) signal(deed string, sig syscall.Signal) {
	s.tb.Helper()
	if !s.touch(deed) {
		return
	}
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.engine.live == nil {
		s.tb.Errorf("%s is not running: it cannot be %s", s.engine.program, deed)
		return
	}
	if err := s.engine.signal(s.engine.live.pid, sig); err != nil {
		s.tb.Errorf("%s cannot be %s: %v", s.engine.program, deed, err)
	}
}

// touch reports whether this test may interfere with the process.
func (s *Server) touch(deed string) bool {
	s.tb.Helper()
	if s.engine == nil || s.shared {
		s.tb.Errorf("the server at %s is used by others and cannot be %s: take OwnMariaDB", s.addr, deed)
		return false
	}
	return true
}

// ticksPerSecond is the unit of /proc: 100 on every architecture that Go runs
// on, whatever the kernel's own clock.
const ticksPerSecond = 100

// cpuTime reads a process's user and system time.
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, errors.New("no process of ours")
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The second field, the program's name, stands in brackets and may hold
	// anything; utime and stime are the 14th and 15th field of the line.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("unexpected %q", stat)
	}
	user, errUser := strconv.ParseInt(string(fields[utime]), 10, 64)
	system, errSystem := strconv.ParseInt(string(fields[stime]), 10, 64)
	return time.Duration(user+system) * (time.Second / ticksPerSecond), errors.Join(errUser, errSystem)
}
