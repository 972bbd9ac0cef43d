package handlers

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/models"
)

// bind reads the body strictly into a struct and returns its bytes as well: an
// idempotency key is compared by them. The refusals are
//
//	413 too_large       more bytes than allowed
//	415 not_json        another Content-Type, or compressed
//	400 bad_json        not exactly one JSON object in UTF-8
//	422 unknown_field   a name the struct does not have; case counts
//	422 duplicate       a name twice in one object
//	422 invalid         a value of the wrong type
//
// and the 422s name the field by its full path. null is as good as absent: it
// leaves a pointer nil and anything else zero.
func bind(c *gin.Context, into any) ([]byte, error) {
	if !isJSON(c.Request) {
		return nil, errNotJSON()
	}
	raw, err := read(c)
	if err != nil {
		return nil, err
	}
	return raw, decode(raw, into)
}

// bindNone reads the body of a request that needs none: nothing, or {}.
func bindNone(c *gin.Context) ([]byte, error) { return bindMaybe(c, &struct{}{}) }

// bindMaybe is bind for a body that may be left out.
func bindMaybe(c *gin.Context, into any) ([]byte, error) {
	raw, err := read(c)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	if !isJSON(c.Request) {
		return nil, errNotJSON()
	}
	return raw, decode(raw, into)
}

func errNotJSON() error {
	return models.Refuse(models.CodeNotJSON, "the body must be sent as Content-Type: application/json, not compressed")
}

// isJSON takes application/json with whatever parameters, as long as a charset
// among them is UTF-8, and for PATCH also the type of RFC 7396.
func isJSON(r *http.Request) bool {
	if r.Header.Get("Content-Encoding") != "" {
		return false
	}
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(header)
	if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return false
	}
	return media == "application/json" || r.Method == http.MethodPatch && media == "application/merge-patch+json"
}

// read takes the body in, as far as the limit that middleware.BodyLimit has
// put on it.
func read(c *gin.Context) ([]byte, error) {
	raw, err := io.ReadAll(c.Request.Body)
	var over *http.MaxBytesError
	var refusal *models.Error
	switch {
	case errors.As(err, &refusal):
		return nil, err
	case errors.As(err, &over):
		return nil, models.Refuse(models.CodeTooLarge, "the body must be at most %d bytes", over.Limit)
	case err != nil: // the sender broke off, or was too slow
		return nil, models.Refuse(models.CodeBadJSON, "the body did not arrive in full")
	}
	return raw, nil
}

// decode is bind without the HTTP.
func decode(raw []byte, into any) error {
	if first := bytes.TrimLeft(raw, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return errBadJSON(0)
	}
	err := json.Unmarshal(raw, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	return explain(raw, err)
}

func errBadJSON(offset int64) error {
	return models.Refuse(models.CodeBadJSON, "the body must be one JSON object in UTF-8; it is not at byte %d", offset)
}

// explain turns what the decoder says into a refusal. Faults of meaning come
// after those of syntax, wherever in the body they stand: the decoder stops at
// the first of either, so the rest is looked through once more.
func explain(raw []byte, err error) error {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
	if skipErr := skipAll(dec); skipErr != nil {
		return errBadJSON(dec.InputOffset())
	}
	f := models.NewFaults()
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax): // the second look found nothing but this to object to
		f.Add(fieldPath(syntax.JSONPointer, true), models.CodeNotUnique, "is given twice")
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &meaning):
		f.Add(fieldPath(meaning.JSONPointer, true), models.CodeUnknownField, "is not a field of this request")
	case errors.As(err, &meaning):
		f.Add(fieldPath(meaning.JSONPointer, false), models.CodeInvalid, "%s", expected(meaning.GoType))
	default:
		return err
	}
	return f.Err()
}

// skipAll reads one value to its end and sees that nothing follows it.
func skipAll(dec *jsontext.Decoder) error {
	if err := dec.SkipValue(); err != nil {
		return err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// maxPath bounds what of a caller's own field names is repeated to it.
const maxPath = 200

// fieldPath writes a JSON pointer the way we name fields: lines[2].sku. Where
// the fault is about a name, the last token is one, whatever it looks like; any
// other number is an index, for no struct has fields that are numbers.
func fieldPath(p jsontext.Pointer, name bool) string {
	var path strings.Builder
	tokens := slices.Collect(p.Tokens())
	for i, token := range tokens {
		_, err := strconv.ParseUint(token, 10, 32)
		switch {
		case i == 0:
			path.WriteString(token)
		case err == nil && (!name || i < len(tokens)-1):
			path.WriteString("[" + token + "]")
		default:
			path.WriteString("." + token)
		}
	}
	if path.Len() > maxPath {
		return strings.ToValidUTF8(path.String()[:maxPath], "") + "…"
	}
	return path.String()
}

// expected says in the caller's words what a Go type takes.
func expected(t reflect.Type) string {
	if t == nil {
		return "has the wrong type"
	}
	switch t {
	case reflect.TypeFor[models.ID]():
		return `must be an id: a decimal number in a string, such as "7"`
	case reflect.TypeFor[time.Time]():
		return "must be a time as in RFC 3339, such as 2026-01-02T03:04:05Z"
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that request types are made of
	case reflect.Int, reflect.Int64:
		return "must be a whole number of at most 64 bits, without point or exponent"
	case reflect.Bool:
		return "must be true or false"
	case reflect.String:
		return "must be a string"
	case reflect.Slice:
		return "must be a list"
	case reflect.Struct:
		return "must be an object"
	default:
		return "has the wrong type"
	}
}
