package main

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// door lets so many connections in at once. To one more it says that the house
// is full, and closes it: in the kernel's queue it would wait for nobody knows
// how long.
type door struct {
	net.Listener

	most    int64
	inside  atomic.Int64
	leaving chan struct{} // a token for each that is being turned away
}

// Bounds of those who are turned away at once, and of the time that each takes.
const (
	farewells = 64
	farewell  = time.Second
)

// newDoor is the server's door to a listener. It counts by what the server tells
// of its connections; wrapped ones would keep it from ending them properly.
func newDoor(server *http.Server, l net.Listener, most int) *door {
	d := &door{Listener: l, most: int64(most), leaving: make(chan struct{}, farewells)}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state { //nolint:exhaustive // between its first and its last a connection only comes and goes in use
		case http.StateNew:
			d.inside.Add(1)
		case http.StateClosed, http.StateHijacked:
			d.inside.Add(-1)
		}
	}
	return d
}

// Accept returns the next connection that there is room for.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil || d.inside.Load() < d.most {
			return conn, err
		}
		go d.turnAway(conn)
	}
}

// full is sent before the request has been read, so it cannot know its id.
const full = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n" +
	"Connection: close\r\nContent-Length: 132\r\n\r\n" +
	`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"busy","detail":"too many connections","request_id":"none"} `

// turnAway says so to a guest, and waits a moment for it to have heard: a
// connection closed with something unread in it may lose what was sent last. Of
// too many at once some only see the door shut.
func (d *door) turnAway(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	select {
	case d.leaving <- struct{}{}:
		defer func() { <-d.leaving }()
	default:
		return
	}
	_ = conn.SetDeadline(time.Now().Add(farewell)) // an error shows in what follows, which nobody waits for
	_, _ = conn.Write([]byte(full))
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<16))
}
