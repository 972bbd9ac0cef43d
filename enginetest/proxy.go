package enginetest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Fate is what a Proxy does with a piece of what one side says to the other.
type Fate uint8

// The fates of a piece: it is passed on, it is swallowed and the connection
// stays open, or the connection ends in its place.
const (
	Pass Fate = iota
	Swallow
	Sever
)

// Judge decides about a reply, knowing the piece that the client sent last on
// the same connection (its first 64 bytes). It may wait, and so delay the reply.
type Judge func(request, reply []byte) Fate

// Proxy stands between clients and a server, and does harm on demand. It is
// safe for concurrent use.
type Proxy struct {
	listener net.Listener
	sent     atomic.Int64
	all      sync.WaitGroup

	mu     sync.Mutex
	target string
	down   bool
	judge  Judge
	censor func(request []byte) Fate
	conns  map[net.Conn]struct{}
}

// NewProxy listens on a free loopback port, and passes everything on to target
// and back until it is told otherwise. It ends with the test.
func NewProxy(tb TB, target string) *Proxy {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(tb.Context()))
	p.all.Go(func() { p.accept(ctx) })
	tb.Cleanup(func() {
		cancel(nil)
		_ = listener.Close()
		p.Down()
		p.all.Wait()
	})
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Sent counts the pieces that have come from clients.
func (p *Proxy) Sent() int64 { return p.sent.Load() }

// Judge has every reply judged from now on; nil passes all.
func (p *Proxy) Judge(judge Judge) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// Censor has every piece that a client sends judged from now on; nil passes all.
// What is not passed on never reaches the server, while a reply that Judge takes
// away was given.
func (p *Proxy) Censor(judge func(request []byte) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.censor = judge
}

// Turn sends new connections to another server. Those that exist stay.
func (p *Proxy) Turn(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut ends all connections; new ones are welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

// Down ends all connections, and every new one at once, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	p.cutLocked()
}

// Up ends what Down began.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) cutLocked() {
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.join(ctx, client) })
	}
}

// join connects a client with the server, until either ends.
func (p *Proxy) join(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target, down := p.target, p.down
	p.mu.Unlock()
	if down {
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !p.enter(client, server) {
		return
	}
	defer p.leave(client, server)
	last := &request{}
	var both sync.WaitGroup
	both.Go(func() {
		pass(server, client, func(piece []byte) Fate { p.sent.Add(1); last.note(piece); return p.admit(piece) })
	})
	both.Go(func() { pass(client, server, func(reply []byte) Fate { return p.fate(last.get(), reply) }) })
	both.Wait()
}

// enter notes the connections; false if the proxy went down meanwhile.
func (p *Proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = struct{}{}
	}
	return !p.down
}

func (p *Proxy) leave(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

func (p *Proxy) admit(request []byte) Fate {
	p.mu.Lock()
	censor := p.censor
	p.mu.Unlock()
	if censor == nil {
		return Pass
	}
	return censor(request)
}

func (p *Proxy) fate(request, reply []byte) Fate {
	p.mu.Lock()
	judge := p.judge
	p.mu.Unlock()
	if judge == nil {
		return Pass
	}
	return judge(request, reply)
}

// request is the beginning of the last piece that a client sent.
type request struct {
	mu   sync.Mutex
	text [64]byte
	n    int
}

func (r *request) note(piece []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = copy(r.text[:], piece)
}

func (r *request) get() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.text[:r.n]...)
}

// pass copies pieces, each after its fate, until either side ends.
func pass(to, from net.Conn, fate func([]byte) Fate) {
	defer func() { _, _ = to.Close(), from.Close() }()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		switch fate(piece[:n]) {
		case Swallow:
			continue
		case Sever:
			return
		case Pass:
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}
