package enginetest

import (
	"context"
	"testing"
	"time"
)

// do runs a Redis command that must succeed.
func do(t *testing.T, s *Server, command string) string {
	t.Helper()
	answer, err := redisDo(t.Context(), s.Addr(), command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return answer
}

func TestRedisComesBackAfterAKill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"empty, by default", nil, ""},
		{"with its data, if told to keep them", []string{"--appendonly", "yes", "--appendfsync", "always"}, "kept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := Redis(t, c.args...)
			addr, pid := server.Addr(), server.Pid()
			do(t, server, "SET key kept")

			server.Kill()
			server.Kill() // does no harm
			if !refused(t.Context(), addr) {
				t.Fatal("somebody still listens after Kill")
			}
			if got := server.Pid(); got != 0 {
				t.Errorf("after Kill the process number is %d", got)
			}
			server.Restart()

			if got := do(t, server, "GET key"); got != c.want {
				t.Errorf("after the restart the key is %q, want %q", got, c.want)
			}
			if server.Addr() != addr {
				t.Errorf("the address changed from %s to %s", addr, server.Addr())
			}
			if got := server.Pid(); got == pid || got == 0 {
				t.Errorf("the process number is %d, before it was %d", got, pid)
			}
		})
	}
}

func TestRestartReplacesARunningProcess(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	pid := server.Pid()
	do(t, server, "SET key value")

	server.Restart()

	if server.Pid() == pid {
		t.Error("it is still the same process")
	}
	if got := do(t, server, "GET key"); got != "" {
		t.Errorf("the key is still %q", got)
	}
}

func TestAStoppedRedisIsSilentAndGoesOn(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	do(t, server, "SET key value")

	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if answer, err := redisDo(ctx, server.Addr(), "PING"); err == nil {
		t.Errorf("a stopped server answers %q", answer)
	}
	server.Cont()

	if got := do(t, server, "GET key"); got != "value" {
		t.Errorf("after Cont the key is %q", got)
	}
}

func TestAStoppedRedisCanBeKilled(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	server.Stop()

	server.Kill()

	if !refused(t.Context(), server.Addr()) {
		t.Error("somebody still listens")
	}
}

func TestOneRedisIsNotTheOther(t *testing.T) {
	t.Parallel()
	one, other := Redis(t), Redis(t)

	do(t, one, "SET key value")

	if got := do(t, other, "GET key"); got != "" {
		t.Errorf("the other server has %q", got)
	}
	if one.Dir() == other.Dir() {
		t.Errorf("both live in %s", one.Dir())
	}
}

func TestCPUGrowsWithWork(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	before := server.CPU()

	for server.CPU() <= before {
		do(t, server, "EVAL 'for i=1,300000 do end' 0")
	}

	server.Kill()
	heard := &recorder{TB: t}
	if got := (&Server{tb: heard, engine: server.engine}).CPU(); got != 0 || len(heard.failed) != 1 {
		t.Errorf("the processor time of a dead server is %s, complaints: %q", got, heard.failed)
	}
}

func TestBadArgumentsAreToldWithTheEnginesWords(t *testing.T) {
	t.Parallel()
	Redis(t)
	ctx, cancel := starting(t.Context())
	defer cancel()

	e, err := startRedis(ctx, []string{"--no-such-directive", "1"})

	if err == nil {
		e.end()
		t.Fatal("it started")
	}
	if ctx.Err() != nil {
		t.Errorf("it was noticed by the time limit only: %v", err)
	}
}
