package spectest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Check says what in a request and its answer is not as the document has it:
//
//   - the path, the method or the status is not documented;
//   - the answer's media type or body is not as documented for the status;
//   - a header of the answer is wrong, missing, or not documented there;
//   - the server granted (2xx) or weighed (409) a request that is wrong by the
//     document. Otherwise requests may be wrong: tests send such on purpose.
//
// Check reads the answer's body and puts it back. A request with a body must
// have GetBody set, as http.NewRequest does.
func (c *Checker) Check(req *http.Request, resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	found, known := c.find(req)
	if found == nil {
		return c.checkUnrouted(known, resp, body)
	}
	return errors.Join(checkAnswer(found, resp, body), checkRequest(found, resp.StatusCode))
}

// find returns the operation that a request is for, or else whether the path
// is that of others.
func (c *Checker) find(req *http.Request) (found *openapi3filter.RequestValidationInput, known bool) {
	for _, path := range c.doc.Paths.InMatchingOrder() {
		params, ok := match(path, req.URL.EscapedPath())
		if !ok {
			continue
		}
		known = true
		item := c.doc.Paths.Value(path)
		if operation := item.GetOperation(req.Method); operation != nil {
			return &openapi3filter.RequestValidationInput{
				Request:    req,
				PathParams: params,
				Route: &routers.Route{
					Spec: c.doc, Path: path, PathItem: item, Method: req.Method, Operation: operation,
				},
				Options: options(),
			}, true
		}
	}
	return nil, known
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc,
		SkipSettingDefaults: true,
		MultiError:          true,
	}
}

// match compares a path with a pattern such as /rules/{id}, segment by segment.
func match(pattern, path string) (params map[string]string, ok bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	params = map[string]string{}
	for i, segment := range want {
		switch name, isParam := strings.CutPrefix(segment, "{"); {
		case isParam && have[i] != "":
			params[strings.TrimSuffix(name, "}")] = have[i]
		case segment != have[i]:
			return nil, false
		}
	}
	return params, true
}

// checkUnrouted checks the answer for a path, or a method of a known path, that
// is not in the document: the server must not know it either, and say so in the
// document's words.
func (c *Checker) checkUnrouted(known bool, resp *http.Response, body []byte) error {
	status, code := http.StatusNotFound, "no_route"
	if known {
		status, code = http.StatusMethodNotAllowed, "method_not_allowed"
	}
	var told struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(body, &told); err != nil || resp.StatusCode != status || told.Code != code {
		return fmt.Errorf("the document has no such operation, so the answer must be %d %s", status, code)
	}
	var problem any
	if err := json.Unmarshal(body, &problem); err != nil {
		return err
	}
	schema := c.doc.Components.Schemas["Problem"]
	if schema == nil {
		return errors.New("the document has no schema Problem")
	}
	return schema.Value.VisitJSON(problem, openapi3.EnableJSONSchema2020(), openapi3.VisitAsResponse())
}

func checkAnswer(found *openapi3filter.RequestValidationInput, resp *http.Response, body []byte) error {
	documented := found.Route.Operation.Responses.Status(resp.StatusCode)
	if documented == nil {
		return fmt.Errorf("status %d is not documented", resp.StatusCode)
	}
	content, mediaType := documented.Value.Content, resp.Header.Get("Content-Type")
	switch {
	case len(content) == 0 && len(body) > 0:
		return errors.New("a body is not documented")
	case len(content) > 0 && content.Get(mediaType) == nil:
		return fmt.Errorf("media type %q is not documented", mediaType)
	}
	// Only JSON has a schema worth the name.
	opts := options()
	opts.ExcludeResponseBody = !strings.Contains(mediaType, "json")
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: found, Status: resp.StatusCode, Header: resp.Header, Options: opts,
	}
	err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes(body))
	return errors.Join(err, checkHeaders(documented.Value.Headers, resp.Header))
}

// telling are the headers by which clients steer. One of them where it is not
// documented is a promise that nobody has read.
func telling() []string {
	return []string{
		"ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate",
	}
}

func checkHeaders(documented openapi3.Headers, sent http.Header) error {
	for _, name := range telling() {
		if sent.Get(name) != "" && documented[name] == nil {
			return fmt.Errorf("header %s is not documented", name)
		}
	}
	return nil
}

func checkRequest(found *openapi3filter.RequestValidationInput, status int) error {
	if status >= http.StatusMultipleChoices && status != http.StatusConflict {
		return nil
	}
	req := found.Request.Clone(context.Background())
	input := *found
	input.Request = req
	switch mediaType := req.Header.Get("Content-Type"); {
	case req.Body == nil || req.Body == http.NoBody:
	case !strings.Contains(mediaType, "json") || strings.Contains(mediaType, "ndjson"):
		// Only JSON has a schema worth the name.
		if body := found.Route.Operation.RequestBody; body == nil || body.Value.Content.Get(mediaType) == nil {
			return fmt.Errorf("the server took a body of media type %q, which is not documented", mediaType)
		}
		input.Options = options()
		input.Options.ExcludeRequestBody = true
	default:
		body, err := withoutNulls(found.Request)
		if err != nil {
			return err
		}
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(body))
	}
	if err := openapi3filter.ValidateRequest(context.Background(), &input); err != nil {
		return fmt.Errorf("the server took a request that is wrong by the document: %w", err)
	}
	return nil
}

// withoutNulls reads the body again, and drops the members that are null: they
// are as good as absent, which a schema would have to repeat for each of them.
func withoutNulls(req *http.Request) ([]byte, error) {
	if req.GetBody == nil {
		return nil, errors.New("the request's body cannot be read again: set GetBody")
	}
	again, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(again)
	if err != nil || len(body) == 0 {
		return body, err
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, fmt.Errorf("the server took a body that is not JSON: %w", err)
	}
	dropNulls(value)
	return json.Marshal(value)
}

func dropNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if member == nil {
				delete(value, name)
			}
			dropNulls(member)
		}
	case []any:
		for _, element := range value {
			dropNulls(element)
		}
	}
}

// rereadable returns the request with a body that can be read twice, by the
// transport and by the check.
func rereadable(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil {
		return req, nil
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context()) // a RoundTripper must leave the caller's request as it is
	again.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	again.Body, err = again.GetBody()
	again.ContentLength = int64(len(body))
	return again, err
}
