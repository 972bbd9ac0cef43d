package enginetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are drawn from below those that the kernel gives to outgoing
// connections (32768 up, by default). From among them, a client that keeps
// trying to reach a killed engine would sooner or later be given the engine's
// own port to call from, connect to itself, and keep the engine from
// restarting there.
const (
	lowestPort  = 15000
	highestPort = 32000
)

// port is a loopback port that no other test binary draws while the lock is held:
// that of an engine which is down, or not up yet, looks free, and whoever starts
// another there is answered by it in the first one's place.
type port struct {
	number int
	lock   *os.File
}

// drawPort finds a port that nobody holds and on which nobody listens.
func (r *root) drawPort(ctx context.Context) (drawn *port, err error) {
	for range 50 {
		number := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // a port is no secret
		if drawn, err = r.holdPort(number); err != nil {
			continue
		}
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", loopback(number)); err == nil {
			return drawn, listener.Close()
		}
		drawn.free()
	}
	return nil, fmt.Errorf("no free port: %w", err)
}

// holdPort fails where somebody holds the port. The file that tells so stays until
// a sweep.
func (r *root) holdPort(number int) (*port, error) {
	p := &port{number: number}
	err := r.locked(func() error {
		path := filepath.Join(r.path, "port-"+strconv.Itoa(number))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		var err error
		p.lock, err = lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
		return err
	})
	return p, err
}

// free lets others draw the port. A nil port is nobody's.
func (p *port) free() {
	if p != nil {
		_ = p.lock.Close() // closing unlocks
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
