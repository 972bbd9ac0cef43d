package gate_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// forwarder stands between a client and a server and does harm on demand.
type forwarder struct {
	listener net.Listener
	mute     atomic.Bool  // swallow what the server says
	sever    atomic.Bool  // once: end the connection instead of passing on what the server says
	sent     atomic.Int64 // pieces that came from clients
	all      sync.WaitGroup

	mu     sync.Mutex
	target string
	conns  map[net.Conn]struct{}
}

func newForwarder(t *testing.T, target string) *forwarder {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	ctx, cancel := context.WithCancelCause(context.Background())
	f.all.Go(func() { f.accept(ctx) })
	t.Cleanup(func() {
		cancel(nil)
		_ = listener.Close()
		f.cut()
		f.all.Wait()
	})
	return f
}

func (f *forwarder) addr() string { return f.listener.Addr().String() }

// turn sends new connections elsewhere, and ends the old ones if asked to.
func (f *forwarder) turn(target string, cut bool) {
	f.mu.Lock()
	f.target = target
	f.mu.Unlock()
	if cut {
		f.cut()
	}
}

// cut ends all connections.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
}

func (f *forwarder) accept(ctx context.Context) {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		target := f.target
		f.mu.Unlock()
		server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.conns[client], f.conns[server] = struct{}{}, struct{}{}
		f.mu.Unlock()
		if ctx.Err() != nil {
			f.cut()
		}
		f.all.Go(func() {
			f.pass(server, client, func() (lets, goesOn bool) { f.sent.Add(1); return true, true })
		})
		f.all.Go(func() {
			f.pass(client, server, func() (lets, goesOn bool) {
				return !f.mute.Load(), !f.sever.CompareAndSwap(true, false)
			})
		})
	}
}

// pass copies pieces that judge lets through, until one side ends or judge does.
func (f *forwarder) pass(to, from net.Conn, judge func() (lets, goesOn bool)) {
	defer func() { _, _ = to.Close(), from.Close() }()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		lets, goesOn := judge()
		if !goesOn {
			return
		}
		if !lets {
			continue
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}
