package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// User is what is known of a user; what is nil or empty is not.
type User struct {
	UserID       string     `json:"user_id"`
	MerchantID   string     `json:"merchant_id"` // "": the platform's
	Tags         []string   `json:"tags"`
	Locale       string     `json:"locale"`
	Email        string     `json:"email"`
	Phone        string     `json:"phone"`
	LastActiveAt *time.Time `json:"last_active_at"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

// NewUser is all that is to be known of a user.
type NewUser struct {
	Tags         []string   `json:"tags,omitempty"`
	Locale       string     `json:"locale,omitempty"` // BCP 47, as in zh-Hant-TW
	Email        string     `json:"email,omitempty"`
	Phone        string     `json:"phone,omitempty"` // E.164, as in +4930123456
	LastActiveAt *time.Time `json:"last_active_at,omitempty"`
}

// PutUser says what is known of a user, in place of what was known before.
func (c *Client) PutUser(ctx context.Context, userID string, user NewUser) (User, error) {
	var stored User
	err := c.send(ctx, &call{method: http.MethodPut, path: "/users/" + url.PathEscape(userID)}, user, &stored)
	return stored, err
}

// User fetches what is known of a user.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	var user User
	err := c.get(ctx, "/users/"+url.PathEscape(userID), nil, &user)
	return user, err
}

// What a file of users, or a list of them, is written as.
const (
	CSV    = "text/csv"
	NDJSON = "application/x-ndjson"
)

// LineReport says what became of the lines of a file.
type LineReport struct {
	Imported int64       `json:"imported"`
	Failed   int64       `json:"failed"`
	Errors   []LineError `json:"errors"` // the first 1000
}

// LineError is one fault of one line, the first line being 1.
type LineError struct {
	Line int64 `json:"line"`
	FieldError
}

// ImportUsers stores a file of users, CSV or NDJSON. Only the context bounds how
// long it may take, and it is tried once: after an error call it again with the
// file from its beginning, which is safe.
func (c *Client) ImportUsers(ctx context.Context, mediaType string, file io.Reader) (LineReport, error) {
	var report LineReport
	err := c.upload(ctx, &call{method: http.MethodPost, path: "/users/import", file: file, mediaType: mediaType}, &report)
	return report, err
}

// upload sends a file, once.
func (c *Client) upload(ctx context.Context, request *call, out any) error {
	return c.patient().try(ctx, request, out)
}

// patient is the same client without a limit of time for one try.
func (c *Client) patient() *Client {
	unbounded, patient := *c.http, *c
	unbounded.Timeout = 0
	patient.http = &unbounded
	return &patient
}

// Job is long work that goes on when its request is answered.
type Job struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"` // codes, distribution
	MerchantID string     `json:"merchant_id"`
	State      string     `json:"state"`  // queued, running, paused, done, failed, cancelled
	Done       int64      `json:"done"`   // of Total, dealt with
	Total      int64      `json:"total"`  // as far as it is known
	Failed     int64      `json:"failed"` // of Done, in vain
	Error      string     `json:"error"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// Job fetches a job.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	var job Job
	err := c.get(ctx, "/jobs/"+url.PathEscape(id), nil, &job)
	return job, err
}
