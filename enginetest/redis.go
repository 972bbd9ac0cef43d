package enginetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Redis starts a redis-server of the test's own. It keeps nothing over a
// restart unless extraArgs, which come last and so win, say otherwise:
//
//	enginetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
//
// A password must not be set: the server is asked without one whether it is up.
func Redis(tb TB, extraArgs ...string) *Server {
	tb.Helper()
	ctx, cancel := starting(tb.Context())
	defer cancel()
	e, err := startRedis(ctx, extraArgs)
	if err != nil {
		giveUp(tb, err, required())
		return nil
	}
	return own(tb, e, func(db string) string { return "redis://" + e.addr() + "/" + db })
}

func startRedis(ctx context.Context, extraArgs []string) (*engine, error) {
	args := func(port int, dir string) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
			"--save", "", "--appendonly", "no",
		}, extraArgs...)
	}
	return plan{program: "redis-server", args: args, probe: probeRedis}.start(ctx)
}

// probeRedis asks for the process number, because a server that answers on
// this port need not be ours, and whether the data has been read.
func probeRedis(ctx context.Context, e *engine) error {
	info, err := redisDo(ctx, e.addr(), "INFO")
	if err != nil {
		return err
	}
	for _, line := range []string{"process_id:" + strconv.Itoa(e.live.pid), "loading:0"} {
		if !strings.Contains(info, "\n"+line+"\r\n") { // there is async_loading too
			return fmt.Errorf("redis does not say %s", line)
		}
	}
	return nil
}

// redisDo sends one command on a connection of its own and returns the answer:
// a status, an integer or a string. Redis takes commands as plain lines too.
func redisDo(ctx context.Context, addr, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	return readRedis(bufio.NewReader(conn))
}

func readRedis(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$':
		size, err := strconv.Atoi(rest)
		if err != nil || size < 0 { // -1 stands for "no such key"
			return "", err
		}
		body := make([]byte, size)
		_, err = io.ReadFull(from, body)
		return string(body), err
	default:
		return "", fmt.Errorf("unexpected answer %q", line)
	}
}
