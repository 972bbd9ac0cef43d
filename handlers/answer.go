package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

// stamp is a time as every answer shows it.
type stamp = models.Stamp

func stampOf(t *time.Time) *stamp {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

// appender is a view that writes itself, for where answers are counted in tens of
// thousands a second.
type appender interface {
	appendJSON(b []byte) ([]byte, error)
}

// encode is the only way from a view to bytes. It leaves <, > and & as they
// are: an answer is JSON, never part of a page.
func encode(view any) ([]byte, error) {
	if own, ok := view.(appender); ok {
		return own.appendJSON(nil)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(view); err != nil {
		return nil, fmt.Errorf("encode %T: %w", view, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// versioned is a view of something that PATCH can change.
type versioned interface{ version() int64 }

// answer sends a view with its version, if it has one, as the ETag that
// If-Match wants back.
func answer(c *gin.Context, status int, view any) error {
	body, err := encode(view)
	if err != nil {
		return err
	}
	if v, ok := view.(versioned); ok {
		c.Header("ETag", strconv.Quote(strconv.FormatInt(v.version(), 10)))
	}
	c.Data(status, "application/json", body)
	return nil
}

// pathID reads the id in the path. What is not an id names nothing, so it is
// answered as an unknown one is.
func pathID(c *gin.Context, what string) (models.ID, error) {
	id, err := models.ParseID(c.Param("id"))
	if err != nil {
		return 0, models.NotFound(what)
	}
	return id, nil
}

// getOne answers with the one thing that the path names, for whoever may see it.
func getOne[T any](
	c *gin.Context, what string, read func(context.Context, models.Principal, models.ID) (T, error), view func(T) any,
) error {
	id, err := pathID(c, what)
	if err != nil {
		return err
	}
	one, err := read(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, view(one))
}

// ownerOf says to which merchant a new thing belongs: a merchant's own to
// itself, the platform's to whom it names, or to the platform ("").
func ownerOf(actor models.Principal, named string) (string, error) {
	own, restricted := actor.OwnerFilter()
	switch {
	case restricted && (named == "" || named == own):
		return own, nil
	case restricted:
		return "", models.Refuse(models.CodeForbidden, "this credential acts for one merchant only, and not for that one")
	case named == "":
		return "", nil
	}
	f := models.NewFaults()
	models.CheckForeign(f, "merchant_id", named)
	return named, f.Err()
}

// onBehalf says for which user the caller speaks, and with which tags. An end
// user speaks for itself, and only its token says what its tags are; everyone
// else must name the user.
func onBehalf(f models.Faults, actor models.Principal, userID string, tags []string) (string, []string, error) {
	if actor.Role == models.RoleUser {
		if userID != "" && userID != actor.UserID || len(tags) > 0 {
			return "", nil, models.Refuse(models.CodeForbidden, "a user speaks for itself alone, with the tags of its token")
		}
		return actor.UserID, actor.Tags, nil
	}
	models.CheckForeign(f, "user_id", userID)
	checkTags(f, tags)
	return userID, tags, nil
}

func checkTags(f models.Faults, tags []string) {
	if len(tags) > models.MaxListLen {
		f.Add("user_tags", models.CodeOutOfRange, "must have at most %d elements", models.MaxListLen)
		return
	}
	for i, tag := range tags {
		models.CheckForeign(f, fmt.Sprintf("user_tags[%d]", i), tag)
	}
}

// noRoute answers for every path that is not in the map.
func noRoute(*gin.Context) error {
	return models.Refuse(models.CodeNoRoute, "there is nothing at this path")
}

// noMethod answers for a path that is, but not with this method; the router
// has set Allow.
func noMethod(c *gin.Context) error {
	return models.Refuse(models.CodeNoMethod, "allowed here: %s", c.Writer.Header().Get("Allow"))
}

func toDocs(c *gin.Context) { c.Redirect(http.StatusFound, "/docs") }
