package issuing

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/models"
)

// Format is how an upload is written.
type Format string

// The two formats: a header line and a record a line, or a JSON object a line.
const (
	CSV    Format = "text/csv"
	NDJSON Format = "application/x-ndjson"
)

// lineError says what is wrong with one line, after which the next can be read.
type lineError struct{ faults []models.FieldError }

func (*lineError) Error() string { return "a line is wrong" }

func badField(field string, code models.Code, detail string) *lineError {
	return &lineError{[]models.FieldError{{Field: field, Code: code, Detail: detail}}}
}

// check is nil, or what is wrong with a user.
func check(u *models.User) error {
	f := models.NewFaults()
	u.Check(f)
	var refusal *models.Error
	if errors.As(f.Err(), &refusal) {
		return &lineError{refusal.Fields}
	}
	return nil
}

// userLines reads a user a line: io.EOF at the end, a *lineError for one that is
// to be passed over.
type userLines interface {
	next() (line int64, user models.User, err error)
}

func (f Format) users(upload io.Reader) (userLines, error) {
	if f == NDJSON {
		return newObjects(upload), nil
	}
	return newTable(upload, "user_id", "tags", "locale", "email", "phone", "last_active_at")
}

// maxLine bounds a line, in bytes: all that a user can have fits into it.
const maxLine = 64 << 10

// objects reads NDJSON.
type objects struct {
	in   *bufio.Reader
	line int64
}

func newObjects(upload io.Reader) *objects { return &objects{in: bufio.NewReaderSize(upload, maxLine)} }

// userObject is a user as a line of NDJSON has it.
type userObject struct {
	UserID       string     `json:"user_id"`
	Tags         []string   `json:"tags"`
	Locale       string     `json:"locale"`
	Email        string     `json:"email"`
	Phone        string     `json:"phone"`
	LastActiveAt *time.Time `json:"last_active_at"`
}

func (o *objects) next() (int64, models.User, error) {
	for {
		text, err := o.in.ReadSlice('\n')
		o.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			return o.line, models.User{}, o.skip()
		}
		if text = bytes.TrimSpace(text); len(text) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			user, err := parseUser(text)
			return o.line, user, err
		}
		if err != nil {
			return o.line, models.User{}, err
		}
	}
}

// skip passes over the rest of a line that is too long.
func (o *objects) skip() error {
	for {
		_, err := o.in.ReadSlice('\n')
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return badField("", models.CodeOutOfRange, "the line is longer than 64 KiB")
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

func parseUser(text []byte) (models.User, error) {
	var object userObject
	if err := json.Unmarshal(text, &object, json.RejectUnknownMembers(true)); err != nil {
		return models.User{}, explain(err)
	}
	user := models.User{
		UserID: object.UserID, Tags: object.Tags, Locale: object.Locale, Email: object.Email, Phone: object.Phone,
		LastActiveAt: object.LastActiveAt,
	}
	user.Normalize()
	return user, check(&user)
}

// explain says what is wrong with a line of NDJSON.
func explain(err error) *lineError {
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return badField(syntax.JSONPointer.LastToken(), models.CodeNotUnique, "is given twice")
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &meaning):
		return badField(meaning.JSONPointer.LastToken(), models.CodeUnknownField, "is not a field of a user")
	case errors.As(err, &meaning) && meaning.JSONPointer == "/last_active_at":
		return badField("last_active_at", models.CodeInvalid, notATime)
	case errors.As(err, &meaning) && meaning.JSONPointer != "":
		field, _, _ := strings.Cut(string(meaning.JSONPointer[1:]), "/")
		return badField(field, models.CodeInvalid, "has the wrong type")
	}
	return badField("", models.CodeBadJSON, "the line must be one JSON object in UTF-8")
}

const notATime = "must be a time as in RFC 3339, such as 2026-01-02T03:04:05Z"

// table reads CSV whose first record names the columns.
type table struct {
	in      *csv.Reader
	bounded *bounded
	columns []string
	line    int64 // on which the last record began
	broken  bool  // what follows cannot be told apart
}

// newTable reads the header; the columns may stand in any order, and only the
// first of those known is needed.
func newTable(upload io.Reader, known ...string) (*table, error) {
	in := &bounded{in: withoutMark(upload)}
	t := &table{in: csv.NewReader(in), bounded: in}
	t.in.ReuseRecord = true
	t.in.TrimLeadingSpace = true
	in.more()
	header, err := t.in.Read()
	if err != nil {
		return nil, headerFault("the first line must name the columns: " + strings.Join(known, ", "))
	}
	for _, name := range header {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(known, name):
			return nil, headerFault("there is no column " + name + "; there are " + strings.Join(known, ", "))
		case slices.Contains(t.columns, name):
			return nil, headerFault("the column " + name + " is named twice")
		}
		t.columns = append(t.columns, name)
	}
	if !slices.Contains(t.columns, known[0]) {
		return nil, headerFault("the column " + known[0] + " is missing")
	}
	t.begun()
	return t, nil
}

// begun notes where the record began that was read last.
func (t *table) begun() {
	line, _ := t.in.FieldPos(0)
	t.line = int64(line)
}

func headerFault(detail string) error {
	f := models.NewFaults()
	f.Add("header", models.CodeInvalid, "%s", detail)
	return f.Err()
}

// record reads the next record's fields by column.
func (t *table) record() (line int64, field func(column string) string, err error) {
	if t.broken {
		return 0, nil, io.EOF
	}
	t.bounded.more()
	fields, err := t.in.Read()
	var malformed *csv.ParseError
	switch {
	case errors.Is(err, errTooLong):
		t.broken = true
		return t.line + 1, nil, badField("", models.CodeOutOfRange,
			"the record is longer than 64 KiB, as when a quote is left open; nothing after it was read")
	case errors.Is(err, csv.ErrFieldCount):
		t.begun()
		return t.line, nil, badField("", models.CodeInvalid, "the line has another number of fields than the first")
	case errors.As(err, &malformed):
		t.line = int64(malformed.StartLine)
		return t.line, nil, badField("", models.CodeInvalid, "the line is not CSV: "+malformed.Err.Error())
	case err != nil:
		return 0, nil, err
	}
	t.begun()
	return t.line, func(column string) string {
		if i := slices.Index(t.columns, column); i >= 0 {
			return strings.TrimSpace(fields[i])
		}
		return ""
	}, nil
}

func (t *table) next() (int64, models.User, error) {
	line, field, err := t.record()
	if err != nil {
		return line, models.User{}, err
	}
	user := models.User{
		UserID: field("user_id"), Tags: tagsIn(field("tags")), Locale: field("locale"), Email: field("email"), Phone: field("phone"),
	}
	if text := field("last_active_at"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return line, user, badField("last_active_at", models.CodeInvalid, notATime)
		}
		user.LastActiveAt = &at
	}
	user.Normalize()
	return line, user, check(&user)
}

// maxFaults is how many wrong lines of a list are told.
const maxFaults = 100

// UserList reads a list of users: CSV with the one column user_id. All of it is
// checked before the first is returned; a wrong line refuses the whole. The list
// may be walked more than once.
func UserList(file io.ReadSeeker) (iter.Seq2[string, error], error) {
	f := models.NewFaults()
	n, wrong := 0, 0
	for user, err := range userIDs(file) {
		var bad *lineError
		switch {
		case errors.As(err, &bad) && wrong < maxFaults:
			wrong++
			f.Add("user_id", bad.faults[0].Code, "line %s: %s", user, bad.faults[0].Detail)
		case err != nil && !errors.As(err, &bad):
			return nil, err
		}
		n++
	}
	f.Require(n > 0, "user_id")
	return userIDs(file), f.Err()
}

// userIDs walks a list from its beginning. With an error that is of one line
// comes the line's number in place of the user.
func userIDs(file io.ReadSeeker) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			yield("", err)
			return
		}
		lines, err := newTable(file, "user_id")
		if err != nil {
			yield("", err)
			return
		}
		for {
			line, user, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			text := user.UserID
			if err != nil {
				text = strconv.FormatInt(line, 10)
			}
			if !yield(text, err) {
				return
			}
		}
	}
}

// tagsIn splits a cell of tags.
func tagsIn(cell string) []string {
	var tags []string
	for _, tag := range strings.FieldsFunc(cell, func(c rune) bool { return strings.ContainsRune("|;,", c) }) {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// withoutMark drops the byte order mark with which spreadsheets begin a file.
func withoutMark(upload io.Reader) io.Reader {
	in := bufio.NewReader(upload)
	if mark, _ := in.Peek(len("\ufeff")); string(mark) == "\ufeff" {
		_, _ = in.Discard(len(mark))
	}
	return in
}

var errTooLong = errors.New("a record is too long")

// bounded lets a record be maxLine long: one with an open quote would else take
// in all that follows.
type bounded struct {
	in   io.Reader
	left int
}

// more allows the next record.
func (b *bounded) more() { b.left = maxLine }

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
