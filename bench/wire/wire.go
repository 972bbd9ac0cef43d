// Package wire sends ready-made HTTP/1.1 requests over kept connections. It
// exists for load generators that share their machine with the server they
// load: net/http's Transport spends two goroutines and several switches between
// them on every request, which here are one write and one read.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Target is where requests go.
type Target struct {
	Host string // the Host header
	Path string // the path before the API's own, without a slash at its end
	addr string // to dial
	tls  *tls.Config
}

// NewTarget reads a base URL, http or https.
func NewTarget(base string) (Target, error) {
	u, err := url.Parse(base)
	if err != nil {
		return Target{}, fmt.Errorf("URL: %w", err)
	}
	t := Target{Host: u.Host, Path: u.EscapedPath()}
	for t.Path != "" && t.Path[len(t.Path)-1] == '/' {
		t.Path = t.Path[:len(t.Path)-1]
	}
	port := u.Port()
	switch u.Scheme {
	case "http":
		port = orElse(port, "80")
	case "https":
		port = orElse(port, "443")
		t.tls = &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	default:
		return Target{}, fmt.Errorf("URL %q: http:// or https:// is expected", base)
	}
	if u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return Target{}, fmt.Errorf("URL %q: http(s)://host[:port][/path] is expected", base)
	}
	t.addr = net.JoinHostPort(u.Hostname(), port)
	return t, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Hostname is the host without its port.
func (t Target) Hostname() string {
	host, _, err := net.SplitHostPort(t.addr)
	if err != nil {
		return ""
	}
	return host
}

// Answer is a server's answer. Body is good until the next Do.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Conn sends one request after the other, over one connection as long as that
// lasts. It is for one goroutine.
type Conn struct {
	target  Target
	timeout time.Duration

	conn   net.Conn // nil: to be dialled
	unhook func() bool
	reader *bufio.Reader
	body   bytes.Buffer
}

// NewConn returns a Conn that dials when it first needs to. The timeout is that
// of one request, dialling included.
func NewConn(target Target, timeout time.Duration) *Conn {
	return &Conn{target: target, timeout: timeout, reader: bufio.NewReader(nil)}
}

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 1 << 20

var errLong = errors.New("the answer is too long")

// Do sends request, a whole HTTP/1.1 request, and reads its answer. After an
// error nobody knows whether the server has carried the request out; the next
// Do dials anew. Nothing is ever sent twice.
func (c *Conn) Do(ctx context.Context, request []byte) (Answer, error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return Answer{}, err
		}
	}
	answer, err := c.exchange(ctx, request)
	if err != nil {
		c.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
	}
	return answer, err
}

func (c *Conn) dial(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var conn net.Conn
	var err error
	if c.target.tls != nil {
		conn, err = (&tls.Dialer{Config: c.target.tls}).DialContext(within, "tcp", c.target.addr)
	} else {
		conn, err = (&net.Dialer{}).DialContext(within, "tcp", c.target.addr)
	}
	if err != nil {
		return err
	}
	c.conn = conn
	c.reader.Reset(conn)
	// The end of the context ends a wait for an answer.
	c.unhook = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return nil
}

func (c *Conn) exchange(ctx context.Context, request []byte) (Answer, error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return Answer{}, err
	}
	if ctx.Err() != nil { // the line above may have undone what its end did
		return Answer{}, context.Cause(ctx)
	}
	if _, err := c.conn.Write(request); err != nil {
		return Answer{}, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	for err == nil && resp.StatusCode < 200 { // 1xx comes before the answer itself
		resp, err = http.ReadResponse(c.reader, nil)
	}
	if err != nil {
		return Answer{}, err
	}
	c.body.Reset()
	n, err := c.body.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && n > maxAnswer {
		err = errLong
	}
	if err != nil {
		return Answer{}, err
	}
	if resp.Close {
		c.Close()
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: c.body.Bytes()}, nil
}

// Close closes the connection, if there is one.
func (c *Conn) Close() {
	if c.conn == nil {
		return
	}
	c.unhook()
	_ = c.conn.Close() // nothing is left to be told by it
	c.conn = nil
}
