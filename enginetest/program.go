package enginetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
)

// Program starts a server of our own making: the program at path with the given
// arguments, in a folder of its own. env is told the address to serve and
// returns the variables that make it do so; nothing else of this process's
// environment is passed on but PATH, HOME and TMPDIR. It is up once GET /readyz
// answers 200.
func Program(tb TB, path string, env func(addr string) []string, args ...string) *Server {
	tb.Helper()
	ctx, cancel := starting(tb.Context())
	defer cancel()
	e, err := plan{
		program: path,
		args:    func(int, string) []string { return args },
		env: func(port int, _ string) []string {
			return append(fewVariables(), env(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))...)
		},
		probe: probeHTTP,
	}.start(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return own(tb, e, func(string) string { return "http://" + e.addr() })
}

func fewVariables() []string {
	var kept []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

func probeHTTP(ctx context.Context, e *engine) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.addr()+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	request.Close = true // no connection is left behind for a goroutine to serve
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// Term asks the process to end (SIGTERM), waits until it has, and returns its
// exit code; -1 if a signal ended it.
func (s *Server) Term() int {
	s.tb.Helper()
	s.signal("ended", syscall.SIGTERM)
	s.engine.mu.Lock()
	gone := s.engine.live
	s.engine.mu.Unlock()
	if gone == nil {
		return -1
	}
	<-gone.exited
	return gone.code
}

// Output is everything that the program has printed so far, over all restarts.
func (s *Server) Output() string {
	s.tb.Helper()
	all, err := os.ReadFile(s.engine.logPath())
	if err != nil {
		s.tb.Error(err)
	}
	return string(all)
}
