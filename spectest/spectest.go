// Package spectest holds a running server to its OpenAPI document: tests send
// their requests through a Checker, which fails them for every answer that the
// document does not describe.
package spectest

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Checker knows one OpenAPI document. It never changes, and is safe for
// concurrent use.
type Checker struct {
	doc *openapi3.T
}

// Load reads the document at path and fails the test unless it is a valid one
// of OpenAPI 3.1. Its examples are not looked at: this package's own tests do
// that, and it takes most of the time. Still, tests that run many servers should
// share one Checker.
func Load(tb testing.TB, path string) *Checker {
	tb.Helper()
	c, err := load(path, openapi3.DisableExamplesValidation())
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return c
}

func load(path string, options ...openapi3.ValidationOption) (*Checker, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	if !doc.IsOpenAPI31OrLater() {
		return nil, fmt.Errorf("OpenAPI %s: 3.1 is needed, for its schemas are those of JSON Schema", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background(), options...); err != nil {
		return nil, err
	}
	return &Checker{doc: doc}, nil
}

// RoundTripper sends requests by next (nil: http.DefaultTransport) and checks
// every answer, whatever the test itself looks at. A fault fails the test but
// not the request. It reads bodies to their ends, so it is not for streams.
func (c *Checker) RoundTripper(tb testing.TB, next http.RoundTripper) http.RoundTripper {
	tb.Helper()
	if next == nil {
		next = http.DefaultTransport
	}
	return &roundTripper{checker: c, tb: tb, next: next}
}

type roundTripper struct {
	checker *Checker
	tb      testing.TB
	next    http.RoundTripper
}

// RoundTrip is http.RoundTripper's.
func (rt *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	req, err := rereadable(req)
	if err != nil {
		return nil, err
	}
	resp, err := rt.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := rt.checker.Check(req, resp); err != nil {
		rt.tb.Errorf("%s %s, answered %d: %v", req.Method, req.URL.Path, resp.StatusCode, err)
	}
	return resp, nil
}
