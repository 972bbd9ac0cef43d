package handlers

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/handlers/middleware"
	"scrip/models"
)

const (
	defaultLimit = 50
	maxLimit     = 200
)

// query reads the parameters of a list and gathers what is wrong with them.
// An empty parameter is an absent one; one that nobody knows is ignored.
type query struct {
	c      *gin.Context
	faults models.Faults
}

func newQuery(c *gin.Context) query { return query{c, models.NewFaults()} }

func (q query) err() error { return q.faults.Err() }

// text reads one of the callers' own ids, or a word; "" when it is absent.
func (q query) text(name string) string {
	s := q.c.Query(name)
	if s != "" {
		models.CheckForeign(q.faults, name, s)
	}
	return s
}

// list reads a parameter that may be repeated, and holds words between commas.
func (q query) list(name string) []string {
	var words []string
	for _, value := range q.c.QueryArray(name) {
		for word := range strings.SplitSeq(value, ",") {
			if word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

func (q query) id(name string) models.ID {
	s := q.c.Query(name)
	if s == "" {
		return 0
	}
	id, err := models.ParseID(s)
	if err != nil {
		q.faults.Add(name, models.CodeInvalid, "must be an id")
	}
	return id
}

// number reads a whole number from lo to hi.
func (q query) number(name string, absent, lo, hi int) int {
	s := q.c.Query(name)
	if s == "" {
		return absent
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		q.faults.Add(name, models.CodeInvalid, "must be a whole number")
		return absent
	}
	q.faults.Between(name, int64(n), int64(lo), int64(hi))
	return n
}

// inJSON reads a parameter whose value is JSON into the field of that name, as
// strictly as bind reads it from a body.
func (q query) inJSON(name string, into any) error {
	value := jsontext.Value(q.c.Query(name))
	if len(value) == 0 {
		return nil
	}
	// Only one whole value is put between braces: no other field comes in with it.
	if !value.IsValid(jsontext.AllowDuplicateNames(true)) {
		q.faults.Add(name, models.CodeInvalid, "must be JSON in UTF-8")
		return q.err()
	}
	return decode(slices.Concat([]byte(`{"`+name+`":`), value, []byte("}")), into)
}

// oneOf reads a word that must be one of those listed; "" when it is absent.
func oneOf[T ~string](q query, name string, words ...T) T {
	s := T(q.c.Query(name))
	if s == "" {
		return s
	}
	var all []string
	for _, word := range words {
		if s == word {
			return s
		}
		all = append(all, string(word))
	}
	q.faults.Add(name, models.CodeInvalid, "must be one of %s", strings.Join(all, ", "))
	return ""
}

// order says by what a list is ordered, and so what its cursors hold. A cursor
// of one order means nothing in another.
type order byte

const (
	byID      order = 1
	byIssueNo order = 2
)

// page is the part of a list that a caller asks for.
type page struct {
	order  order
	limit  int
	before models.ID
}

func (q query) page(by order) page {
	p := page{order: by, limit: q.number("limit", defaultLimit, 1, maxLimit)}
	if cursor := q.c.Query("cursor"); cursor != "" {
		before, err := parseCursor(by, cursor)
		if err != nil {
			q.faults.Add("cursor", models.CodeInvalid, "must be a next_cursor of this list")
		}
		p.before = before
	}
	return p
}

// ask is the page to ask the store for: one row more than will be shown tells
// whether there are more.
func (p page) ask() models.Page {
	return models.Page{Limit: p.limit + 1, Before: p.before}
}

// pageView is a list in an answer.
type pageView struct {
	Data       []any   `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// answerPage sends the rows that p.ask brought; position is what the list is
// ordered by.
func answerPage[T any](c *gin.Context, p page, rows []T, position func(T) models.ID, view func(T) any) error {
	return answer(c, http.StatusOK, viewPage(p, rows, position, view))
}

func viewPage[T any](p page, rows []T, position func(T) models.ID, view func(T) any) pageView {
	shown := pageView{Data: make([]any, 0, len(rows))}
	if len(rows) > p.limit {
		rows = rows[:p.limit]
		next := p.order.cursor(position(rows[p.limit-1]))
		shown.NextCursor = &next
	}
	for _, row := range rows {
		shown.Data = append(shown.Data, view(row))
	}
	return shown
}

// A cursor is the order (which is its version too), the position of the last
// row shown, and a checksum, in base64url. The checksum finds cursors that were
// cut or mixed up; it is no signature, for a made-up position does no harm.
const cursorLen = 1 + 8 + 4

func (by order) cursor(before models.ID) string {
	raw := []byte{byte(by)}
	raw = binary.BigEndian.AppendUint64(raw, uint64(before)) //nolint:gosec // positions are positive
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

var errCursor = errors.New("not a cursor of this list")

// parseCursor takes only what cursor makes: base64 has other spellings of the
// same bytes, with line ends for one.
func parseCursor(by order, s string) (models.ID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) != cursorLen {
		return 0, errCursor
	}
	before := models.ID(binary.BigEndian.Uint64(raw[1:])) //nolint:gosec // what overflows is negative, and refused
	if before <= 0 || by.cursor(before) != s {
		return 0, errCursor
	}
	return before, nil
}

// listUnder answers with a page of what belongs to the thing that the path names.
func listUnder[T any](
	c *gin.Context, what string, list func(context.Context, models.Principal, models.ID, models.Page) ([]T, error),
	position func(T) models.ID, view func(T) any,
) error {
	id, err := pathID(c, what)
	if err != nil {
		return err
	}
	under := func(ctx context.Context, actor models.Principal, page models.Page) ([]T, error) {
		return list(ctx, actor, id, page)
	}
	return listOwn(c, under, position, view)
}

// listOwn answers with a page of what the caller owns, newest first, where a
// list can be asked for nothing more.
func listOwn[T any](
	c *gin.Context, list func(context.Context, models.Principal, models.Page) ([]T, error),
	position func(T) models.ID, view func(T) any,
) error {
	q := newQuery(c)
	page := q.page(byID)
	if err := q.err(); err != nil {
		return err
	}
	rows, err := list(c.Request.Context(), middleware.Principal(c), page.ask())
	if err != nil {
		return err
	}
	return answerPage(c, page, rows, position, view)
}
