// Package client calls Scrip over HTTP. It needs the standard library only.
//
// Every call may be tried more than once: a lost connection, 429, 503 and a
// first request still under way (409 in_progress) are met by asking again with
// the same Idempotency-Key, so that a repetition never does a thing twice.
//
// Locks, their steps and refunds go without such a key, which the server would
// have to keep: their own names, xid and refund_id, do the same for ever. So
// after an error that leaves the outcome open, *UnansweredError or
// outcome_unknown, repeat the very same call, also much later and from another
// process.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPatience = 15 * time.Second
	requestTimeout  = 30 * time.Second
	maxAnswer       = 8 << 20 // bytes; a page of 200 templates with full metadata is below it
)

// Client calls one Scrip server with one credential. It is safe for concurrent
// use; make one and keep it.
type Client struct {
	base       string
	credential string
	http       *http.Client
	patience   time.Duration
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient replaces the http.Client: for a transport of one's own, for
// instance. Its Timeout bounds one try, not the whole call.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithPatience sets for how long a call is tried again (default 15 s). The
// call's context bounds it too; 0 means one try.
func WithPatience(d time.Duration) Option { return func(c *Client) { c.patience = d } }

// New returns a client for the server at baseURL ("http://127.0.0.1:8080",
// without the /v1) with an API key or an end user's token.
func New(baseURL, credential string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("base URL %q: http(s)://host[:port][/path] is expected", baseURL)
	}
	c := &Client{
		base:       strings.TrimRight(baseURL, "/") + "/v1",
		credential: credential,
		http:       &http.Client{Timeout: requestTimeout, CheckRedirect: stay},
		patience:   defaultPatience,
	}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// stay keeps the credential from following a redirect to another place.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// CallOption changes one call.
type CallOption func(*call)

// WithIdempotencyKey sets the key of a POST (at most 128 printable
// characters). Without it the client makes a random one for each call; with a
// key of your own a call can be taken up again after a restart of your program.
func WithIdempotencyKey(key string) CallOption { return func(c *call) { c.key = key } }

// call is one logical request, however often it is sent.
type call struct {
	method string
	path   string // from /v1 on, escaped, with the query
	body   []byte // nil: none
	key    string
	match  string // If-Match; "": none
	tries  int

	file      io.Reader // in place of body …
	mediaType string    // … and what it is
}

// named drops the key of a call whose content has a name of its own; one that
// the caller sets is kept.
func named(options []CallOption) []CallOption {
	return append([]CallOption{WithIdempotencyKey("")}, options...)
}

// get asks for path and decodes the answer into out.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, &call{method: http.MethodGet, path: path}, out)
}

// post sends in (nil: no body) and decodes the answer into out.
func (c *Client) post(ctx context.Context, path string, in, out any, options []CallOption) error {
	request := &call{method: http.MethodPost, path: path, key: rand.Text()}
	for _, option := range options {
		option(request)
	}
	return c.send(ctx, request, in, out)
}

// patch sends in for the version of a thing that the caller has seen.
func (c *Client) patch(ctx context.Context, path string, version int64, in, out any) error {
	match := strconv.Quote(strconv.FormatInt(version, 10))
	return c.send(ctx, &call{method: http.MethodPatch, path: path, match: match}, in, out)
}

func (c *Client) send(ctx context.Context, request *call, in, out any) error {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", request.method, request.path, err)
		}
		request.body = body
	}
	return c.do(ctx, request, out)
}

// do tries the call until it is answered for good or the patience ends.
func (c *Client) do(ctx context.Context, request *call, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, max(c.patience, 0)+requestTimeout, errPatience)
	defer cancel()
	last := time.Now().Add(c.patience)
	for {
		request.tries++
		err := c.try(ctx, request, out)
		if err == nil || !worthRepeating(ctx, err) {
			return err
		}
		wait := pause(request.tries, err)
		if time.Now().Add(wait).After(last) || !sleep(ctx, wait) {
			return err
		}
	}
}

// try sends the call once.
func (c *Client) try(ctx context.Context, request *call, out any) error {
	req, err := c.newRequest(ctx, request)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return unanswered(ctx, request, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return unanswered(ctx, request, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp, body, request)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%s %s: the answer is longer than %d bytes", request.method, request.path, maxAnswer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: answer %d: %w", request.method, request.path, resp.StatusCode, err)
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, request *call) (*http.Request, error) {
	var body io.Reader
	if request.body != nil {
		body = bytes.NewReader(request.body)
	} else if request.file != nil {
		body = request.file
	}
	req, err := http.NewRequestWithContext(ctx, request.method, c.base+request.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.credential)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if request.body != nil {
		req.Header.Set("Content-Type", "application/json")
	} else if request.file != nil {
		req.Header.Set("Content-Type", request.mediaType)
	}
	if request.key != "" {
		req.Header.Set("Idempotency-Key", request.key)
	}
	if request.match != "" {
		req.Header.Set("If-Match", request.match)
	}
	return req, nil
}
