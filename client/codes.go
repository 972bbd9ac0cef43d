package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// NewCodes asks for single-use codes. What is zero takes the server's default.
type NewCodes struct {
	Count   int64  `json:"count"` // at most 5,000,000
	Prefix  string `json:"prefix,omitempty"`
	Length  int    `json:"length,omitempty"`  // behind the prefix, with the check character; 0: 14
	Charset string `json:"charset,omitempty"` // "": Crockford's base32
}

// SharedCode asks for one code by which many may claim.
type SharedCode struct {
	Code       string `json:"code"`
	UsageLimit int64  `json:"usage_limit"`
}

// CodeBatch is a batch of single-use codes, or one shared code.
type CodeBatch struct {
	ID         string    `json:"id"` // that of the job that makes them, if they are single-use
	TemplateID string    `json:"template_id"`
	Kind       string    `json:"kind"` // single_use, shared
	Code       string    `json:"code"` // of a shared one, in the answer to its making only
	Count      int64     `json:"count"`
	Prefix     string    `json:"prefix"`
	Length     int       `json:"length"`
	Charset    string    `json:"charset"`
	UsageLimit int64     `json:"usage_limit"` // coupons by each code
	Used       int64     `json:"used"`        // coupons by all of them
	CreatedAt  time.Time `json:"created_at"`
}

func codesOf(template string) string { return "/templates/" + url.PathEscape(template) + "/codes" }

// CreateCodes begins a job that makes single-use codes for a template; Job tells
// how far it has come.
func (c *Client) CreateCodes(ctx context.Context, template string, codes NewCodes, options ...CallOption) (Job, error) {
	var job Job
	err := c.post(ctx, codesOf(template), codes, &job, options)
	return job, err
}

// ShareCode makes a word the code of many coupons of a template.
func (c *Client) ShareCode(ctx context.Context, template string, code SharedCode, options ...CallOption) (CodeBatch, error) {
	var shared CodeBatch
	err := c.post(ctx, codesOf(template), code, &shared, options)
	return shared, err
}

// CodeBatches fetches a page of a template's batches and shared codes.
func (c *Client) CodeBatches(ctx context.Context, template string, page PageOptions) (Page[CodeBatch], error) {
	var batches Page[CodeBatch]
	err := c.get(ctx, codesOf(template), page.query(), &batches)
	return batches, err
}

// ExportCodes writes a template's codes to out as CSV, a column code. Only the
// context bounds how long it may take, and it is tried once: after an error what
// was written is not all of them, and not even whole lines.
func (c *Client) ExportCodes(ctx context.Context, template string, out io.Writer) error {
	request := &call{method: http.MethodGet, path: codesOf(template) + ".csv"}
	req, err := c.newRequest(ctx, request)
	if err != nil {
		return err
	}
	resp, err := c.patient().http.Do(req)
	if err != nil {
		return unanswered(ctx, request, err)
	}
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return unanswered(ctx, request, err)
		}
		return refusal(resp, body, request)
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
