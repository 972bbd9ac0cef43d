package client

import (
	"context"
	"net/url"
	"time"
)

// Message is one user's copy of a text that users were told, in the user's
// language.
type Message struct {
	ID        string            `json:"id"`
	UserID    string            `json:"user_id"`
	Kind      string            `json:"kind"` // distribution, reminder
	Title     string            `json:"title"`
	Body      string            `json:"body"`
	Locale    string            `json:"locale"` // "": the text for all other languages
	About     map[string]string `json:"about"`  // ids, such as template_id
	CreatedAt time.Time         `json:"created_at"`
	ReadAt    *time.Time        `json:"read_at"` // nil: unread
}

// Inbox is a page of a user's messages.
type Inbox struct {
	Page[Message]

	Unread int64 `json:"unread_count"` // on all pages
}

// InboxOptions say whose messages are asked for, and in which language.
type InboxOptions struct {
	UserID string // for callers with an API key; an end user sees its own
	Locale string // a BCP 47 tag; "": the one that is kept of the user
}

// Inbox fetches a page of a user's messages, newest first.
func (c *Client) Inbox(ctx context.Context, options InboxOptions, page PageOptions) (Inbox, error) {
	query := page.query()
	if options.UserID != "" {
		query.Set("user_id", options.UserID)
	}
	if options.Locale != "" {
		query.Set("locale", options.Locale)
	}
	var inbox Inbox
	err := c.get(ctx, "/messages", query, &inbox)
	return inbox, err
}

// ReadMessage notes that a user has read a message. userID is for callers with an
// API key; an end user reads its own.
func (c *Client) ReadMessage(ctx context.Context, id, userID string, options ...CallOption) (Message, error) {
	var body any
	if userID != "" {
		body = map[string]string{"user_id": userID}
	}
	var message Message
	err := c.post(ctx, "/messages/"+url.PathEscape(id)+"/read", body, &message, named(options))
	return message, err
}
