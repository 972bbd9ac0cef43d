package enginetest

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestProxyPassesTurnsAndCuts(t *testing.T) {
	t.Parallel()
	one, other := Redis(t), Redis(t)
	p := NewProxy(t, one.Addr())
	ask := func(command string) (string, error) { return redisDo(t.Context(), p.Addr(), command) }
	do(t, one, "SET where one")
	do(t, other, "SET where other")
	if got, err := ask("GET where"); err != nil || got != "one" {
		t.Fatalf("got %q, %v", got, err)
	}
	p.Turn(other.Addr())
	if got, err := ask("GET where"); err != nil || got != "other" {
		t.Errorf("after Turn: %q, %v", got, err)
	}
	p.Down()
	if got, err := ask("GET where"); err == nil {
		t.Errorf("while down: %q", got)
	}
	p.Up()
	if got, err := ask("GET where"); err != nil || got != "other" {
		t.Errorf("after Up: %q, %v", got, err)
	}
}

func TestProxyLosesRepliesNotRequests(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	p := NewProxy(t, server.Addr())
	for name, fate := range map[string]Fate{"swallow": Swallow, "sever": Sever} {
		var lost atomic.Int64
		p.Judge(func(request, reply []byte) Fate {
			if !bytes.HasPrefix(request, []byte("INCR")) || len(reply) == 0 {
				return Pass
			}
			lost.Add(1)
			return fate
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		got, err := redisDo(ctx, p.Addr(), "INCR "+name)
		cancel()
		if err == nil || lost.Load() != 1 {
			t.Errorf("%s: got %q after %d were lost", name, got, lost.Load())
		}
		if got := do(t, server, "GET "+name); got != "1" {
			t.Errorf("%s: the server has %q", name, got)
		}
		if got, err := redisDo(t.Context(), p.Addr(), "GET "+name); err != nil || got != "1" {
			t.Errorf("%s: another question: %q, %v", name, got, err)
		}
	}
	p.Judge(nil)
	if got, err := redisDo(t.Context(), p.Addr(), "INCR swallow"); err != nil || got != "2" {
		t.Errorf("without a judge: %q, %v", got, err)
	}
}

func TestProxyLosesRequests(t *testing.T) {
	t.Parallel()
	server := Redis(t)
	p := NewProxy(t, server.Addr())
	p.Censor(func(request []byte) Fate {
		if bytes.HasPrefix(request, []byte("INCR")) {
			return Sever
		}
		return Pass
	})
	do(t, server, "SET n 5")
	if got, err := redisDo(t.Context(), p.Addr(), "INCR n"); err == nil {
		t.Errorf("got %q", got)
	}
	if got, err := redisDo(t.Context(), p.Addr(), "GET n"); err != nil || got != "5" {
		t.Errorf("another question: %q, %v", got, err)
	}
	p.Censor(nil)
	if got, err := redisDo(t.Context(), p.Addr(), "INCR n"); err != nil || got != "6" {
		t.Errorf("without a censor: %q, %v", got, err)
	}
}
