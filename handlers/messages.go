package handlers

import (
	"cmp"
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type messageStore interface {
	// Inbox reads a page of a user's messages in a locale; "" for the user's own.
	Inbox(ctx context.Context, userID, locale string, page models.Page) (models.Inbox, error)
	ReadMessage(ctx context.Context, op models.Op, userID string, id models.ID) (models.Message, error)
}

// messageView is a message in an answer.
type messageView struct {
	ID        models.ID            `json:"id"`
	UserID    string               `json:"user_id"`
	Kind      models.ContentKind   `json:"kind"`
	Title     string               `json:"title"`
	Body      string               `json:"body"`
	Locale    *string              `json:"locale"`
	About     map[string]models.ID `json:"about"`
	CreatedAt stamp                `json:"created_at"`
	ReadAt    *stamp               `json:"read_at"`
}

func viewMessage(m models.Message) any {
	v := messageView{
		ID: m.ID, UserID: m.UserID, Kind: m.Kind, Title: m.Title, Body: m.Body, About: m.About,
		CreatedAt: stamp(m.CreatedAt), ReadAt: stampOf(m.ReadAt),
	}
	if m.Locale != "" {
		v.Locale = &m.Locale
	}
	if v.About == nil {
		v.About = map[string]models.ID{}
	}
	return v
}

// inboxView is a list with the number of unread messages, on whatever page.
type inboxView struct {
	pageView

	Unread int64 `json:"unread_count"`
}

func (a *api) listMessages(c *gin.Context) error {
	q := newQuery(c)
	page := q.page(byID)
	locale := c.Query("locale")
	if locale != "" {
		models.CheckLocale(q.faults, "locale", locale)
	}
	userID, _, err := onBehalf(q.faults, middleware.Principal(c), c.Query("user_id"), nil)
	if err != nil {
		return err
	}
	if err := q.err(); err != nil {
		return err
	}
	inbox, err := a.Store.Inbox(c.Request.Context(), userID, locale, page.ask())
	if err != nil {
		return err
	}
	shown := viewPage(page, inbox.Messages, func(m models.Message) models.ID { return m.ID }, viewMessage)
	return answer(c, http.StatusOK, inboxView{shown, inbox.Unread})
}

type readBody struct {
	UserID string `json:"user_id"`
}

func (a *api) readMessage(c *gin.Context) error {
	id, err := pathID(c, "message")
	if err != nil {
		return err
	}
	var body readBody
	raw, err := bindMaybe(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	userID, _, err := onBehalf(f, middleware.Principal(c), cmp.Or(body.UserID, c.Query("user_id")), nil)
	if err != nil {
		return err
	}
	if err := f.Err(); err != nil {
		return err
	}
	return change(a, c, raw, http.StatusOK, viewMessage, func(ctx context.Context, op models.Op) (models.Message, error) {
		return a.Store.ReadMessage(ctx, op, userID, id)
	})
}
