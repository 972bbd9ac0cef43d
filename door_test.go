package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestAFullHouseSaysSo: one connection too many is answered and closed, and once
// another has gone there is room.
func TestAFullHouseSaysSo(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Minute,
	}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(newDoor(server, listener, 1)) })
	defer served.Wait()
	defer func() { _ = server.Close() }()
	status, _, leave := visit(t, listener.Addr())
	if status != http.StatusOK {
		t.Fatalf("the first is answered %d", status)
	}
	status, problem, _ := visit(t, listener.Addr())
	if status != http.StatusServiceUnavailable || problem.Code != "busy" || problem.Status != status {
		t.Errorf("the second is answered %d %+v", status, problem)
	}
	leave()
	for deadline := time.After(time.Minute); ; {
		if status, _, leave = visit(t, listener.Addr()); status == http.StatusOK {
			leave()
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("the house stays full")
		}
	}
}

type notice struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
}

// visit asks one question on a connection of its own, which stays open until
// leave is called.
func visit(t *testing.T, addr net.Addr) (status int, problem notice, leave func()) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	leave = sync.OnceFunc(func() { _ = conn.Close() })
	t.Cleanup(leave)
	// Who is turned away may be so before it has asked.
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: scrip\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil || answer.Header.Get("Retry-After") != "1" {
			t.Errorf("%v, %v", err, answer.Header)
		}
	}
	return answer.StatusCode, problem, leave
}
