package handlers

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body  string
		code  models.Code
		field string
	}{
		"nothing":                  {"", models.CodeBadJSON, ""},
		"only spaces":              {" \n", models.CodeBadJSON, ""},
		"a list":                   {"[]", models.CodeBadJSON, ""},
		"null":                     {"null", models.CodeBadJSON, ""},
		"a word":                   {`"a"`, models.CodeBadJSON, ""},
		"cut off":                  {`{"name":"a"`, models.CodeBadJSON, ""},
		"two objects":              {`{"name":"a"} {}`, models.CodeBadJSON, ""},
		"rubbish after":            {`{"name":"a"} x`, models.CodeBadJSON, ""},
		"a comma too many":         {`{"name":"a",}`, models.CodeBadJSON, ""},
		"single quotes":            {`{'name':'a'}`, models.CodeBadJSON, ""},
		"a comment":                {`{/* */"name":"a"}`, models.CodeBadJSON, ""},
		"a leading zero":           {`{"stacking":{"priority":01}}`, models.CodeBadJSON, ""},
		"NaN":                      {`{"stacking":{"priority":NaN}}`, models.CodeBadJSON, ""},
		"not UTF-8":                {"{\"name\":\"\xff\"}", models.CodeBadJSON, ""},
		"half a surrogate":         {`{"name":"\ud800"}`, models.CodeBadJSON, ""},
		"a byte order mark":        {"\ufeff{}", models.CodeBadJSON, ""},
		"syntax after meaning":     {`{"nam":"a", x}`, models.CodeBadJSON, ""},
		"syntax after a duplicate": {`{"name":"a","name":"b", x}`, models.CodeBadJSON, ""},
		"nested without end":       {`{"name":` + strings.Repeat("[", 20_000), models.CodeBadJSON, ""},

		"unknown":          {`{"nam":"a"}`, models.CodeUnknownField, "nam"},
		"unknown below":    {`{"effect":{"every":{"spent":1}}}`, models.CodeUnknownField, "effect.every.spent"},
		"another case":     {`{"Name":"a"}`, models.CodeUnknownField, "Name"},
		"a number as name": {`{"0":"a"}`, models.CodeUnknownField, "0"},
		"a number below":   {`{"scope":{"7":"a"}}`, models.CodeUnknownField, "scope.7"},
		"an empty name":    {`{"":"a"}`, models.CodeUnknownField, ""},
		"an escaped name":  {`{"a/b~":"a"}`, models.CodeUnknownField, "a/b~"},
		"read-only":        {`{"id":"7"}`, models.CodeUnknownField, "id"},

		"twice":       {`{"name":"a","name":"a"}`, models.CodeNotUnique, "name"},
		"twice below": {`{"scope":{"storewide":true,"storewide":true}}`, models.CodeNotUnique, "scope.storewide"},

		"number for a string":  {`{"name":7}`, models.CodeInvalid, "name"},
		"string for a number":  {`{"effect":{"amount_off":"7"}}`, models.CodeInvalid, "effect.amount_off"},
		"a fraction":           {`{"effect":{"every":{"spend":1.5}}}`, models.CodeInvalid, "effect.every.spend"},
		"a whole fraction":     {`{"effect":{"amount_off":1.0}}`, models.CodeInvalid, "effect.amount_off"},
		"an exponent":          {`{"effect":{"amount_off":1e3}}`, models.CodeInvalid, "effect.amount_off"},
		"over 64 bits":         {`{"effect":{"amount_off":9223372036854775808}}`, models.CodeInvalid, "effect.amount_off"},
		"string for a bool":    {`{"scope":{"storewide":"true"}}`, models.CodeInvalid, "scope.storewide"},
		"number for a bool":    {`{"scope":{"storewide":1}}`, models.CodeInvalid, "scope.storewide"},
		"string for a list":    {`{"scope":{"skus":"a"}}`, models.CodeInvalid, "scope.skus"},
		"element of a list":    {`{"scope":{"skus":["a",{"b":1}]}}`, models.CodeInvalid, "scope.skus[1]"},
		"list for an object":   {`{"scope":[]}`, models.CodeInvalid, "scope"},
		"string for an object": {`{"scope":"all"}`, models.CodeInvalid, "scope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := decode([]byte(tc.body), &newRuleBody{})
			var refusal *models.Error
			if !errors.As(err, &refusal) || refusal.Code != tc.code {
				t.Fatalf("got %v, want code %s", err, tc.code)
			}
			if tc.code == models.CodeBadJSON {
				return
			}
			if len(refusal.Fields) != 1 || refusal.Fields[0].Field != tc.field || refusal.Fields[0].Code != tc.code {
				t.Errorf("got %v, want field %q", refusal.Fields, tc.field)
			}
		})
	}
}

func TestDecodeRefusesInTemplates(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, field string }{
		"a number for an id":   {`{"rule_id":7}`, "rule_id"},
		"an id with a zero":    {`{"rule_id":"07"}`, "rule_id"},
		"a negative id":        {`{"rule_id":"-7"}`, "rule_id"},
		"an id over 64 bits":   {`{"rule_id":"9223372036854775808"}`, "rule_id"},
		"a date for a time":    {`{"claim_window":{"from":"2026-01-02"}}`, "claim_window.from"},
		"a time without zone":  {`{"claim_window":{"until":"2026-01-02T00:00:00"}}`, "claim_window.until"},
		"a number for a time":  {`{"validity":{"from":1767312000}}`, "validity.from"},
		"the 30th of February": {`{"validity":{"until":"2026-02-30T00:00:00Z"}}`, "validity.until"},
		"a day as a word":      {`{"remind_before_days":[3,"1"]}`, "remind_before_days[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := decode([]byte(tc.body), &templateBody{})
			var refusal *models.Error
			if !errors.As(err, &refusal) || refusal.Code != models.CodeInvalid || refusal.Fields[0].Field != tc.field {
				t.Errorf("got %v, want invalid of %s", err, tc.field)
			}
		})
	}
}

func TestDecodeTakesNullForAbsent(t *testing.T) {
	t.Parallel()
	with := `{"name":"a","kind":null,"effect":{"every":null,"currency":null},"scope":null,
		"conditions":{"time_of_day":null,"min_amount":null},"stacking":{"priority":null,"base":null}}`
	var got, want ruleBody
	if err := decode([]byte(with), &got); err != nil {
		t.Fatal(err)
	}
	if err := decode([]byte(`{"name":"a"}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBodyOnTheWire(t *testing.T) {
	t.Parallel()
	const good = `{"template_id":"21"}`
	long := `{"template_id":"21","user_id":"` + strings.Repeat("a", testMaxBody) + `"}`
	for name, tc := range map[string]struct {
		contentType, encoding, body string
		status                      int
		code                        models.Code
	}{
		"plain":              {"application/json", "", good, 201, ""},
		"with a charset":     {"application/json; charset=UTF-8", "", good, 201, ""},
		"another case":       {"Application/JSON", "", good, 201, ""},
		"another charset":    {"application/json; charset=latin1", "", good, 415, models.CodeNotJSON},
		"no type":            {"", "", good, 415, models.CodeNotJSON},
		"a form":             {"application/x-www-form-urlencoded", "", good, 415, models.CodeNotJSON},
		"text":               {"text/plain", "", good, 415, models.CodeNotJSON},
		"a patch for a POST": {"application/merge-patch+json", "", good, 415, models.CodeNotJSON},
		"a broken type":      {"application/json; x", "", good, 415, models.CodeNotJSON},
		"compressed":         {"application/json", "gzip", good, 415, models.CodeNotJSON},
		"empty":              {"application/json", "", "", 400, models.CodeBadJSON},
		"too large":          {"application/json", "", long, 413, models.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serve(t, newFake(), user())
			for _, chunked := range []bool{false, true} {
				req := httptest.NewRequest(http.MethodPost, "/v1/claims", strings.NewReader(tc.body))
				if chunked {
					req.ContentLength = -1
				}
				req.Header.Set("Authorization", "Bearer sk_test")
				req.Header.Set("Content-Type", tc.contentType)
				req.Header.Set("Content-Encoding", tc.encoding)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, req)
				if w.Code != tc.status {
					t.Fatalf("chunked %v: got %d %s, want %d", chunked, w.Code, w.Body, tc.status)
				}
				if tc.code != "" && problemOf(t, w).Code != tc.code {
					t.Errorf("chunked %v: got %s, want %s", chunked, w.Body, tc.code)
				}
			}
		})
	}
}

func TestBodyCutOff(t *testing.T) {
	t.Parallel()
	req := httptest.NewRequest(http.MethodPost, "/v1/claims", brokenReader{})
	req.Header.Set("Authorization", "Bearer sk_test")
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	serve(t, newFake(), user()).ServeHTTP(w, req)
	if p := problemOf(t, w); p.Code != models.CodeBadJSON {
		t.Errorf("got %v", p)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestBodyOfRequestsThatNeedNone(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{
		"": 200, "{}": 200, "{ }\n": 200, `{"force":true}`: 422, "[]": 400, "x": 400,
	} {
		w := call(serve(t, newFake(), platform()), request{method: "POST", path: "/v1/coupons/31/revoke", body: body})
		if w.Code != status {
			t.Errorf("%q: got %d %s, want %d", body, w.Code, w.Body, status)
		}
	}
}

func TestFieldPathIsBounded(t *testing.T) {
	t.Parallel()
	err := decode([]byte(`{"`+strings.Repeat("é", 10_000)+`":1}`), &ruleBody{})
	var refusal *models.Error
	if !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	if n := len(refusal.Fields[0].Field); n > maxPath+len("…") {
		t.Errorf("a field name of %d bytes is repeated", n)
	}
}

func TestFieldPath(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pointer jsontext.Pointer
		name    bool
		want    string
	}{
		{"", false, ""},
		{"/a", false, "a"},
		{"/effect/every/spend", false, "effect.every.spend"},
		{"/lines/2/sku", true, "lines[2].sku"},
		{"/lines/2", false, "lines[2]"},
		{"/lines/2", true, "lines.2"},
		{"/0/1", false, "0[1]"},
	} {
		if got := fieldPath(tc.pointer, tc.name); got != tc.want {
			t.Errorf("%q, %v: got %q, want %q", tc.pointer, tc.name, got, tc.want)
		}
	}
}

// FuzzDecode holds the decoder against the one of the standard library: what
// we take, that takes too, and to the same end; and every refusal is one that
// the caller can act on.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a"}`, `{"name":1}`, `{"x":1}`, `{"name":"a","name":"b"}`, `[`, "{\"\xff\":1}",
		`{"validity":{"days_after_claim":3},"metadata":{"a":[1,2.5e3,null]},"stock":5,"rule_id":"12"}`,
		`{"claim_window":{"from":"2026-01-02T03:04:05+09:00"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got templateBody
		err := decode(raw, &got)
		if err != nil {
			var refusal *models.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("%q: %v is no refusal", raw, err)
			}
			codes := []models.Code{models.CodeBadJSON, models.CodeUnknownField, models.CodeNotUnique, models.CodeInvalid}
			if !slices.Contains(codes, refusal.Code) {
				t.Fatalf("%q: code %s", raw, refusal.Code)
			}
			return
		}
		var want templateBody
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%q was taken, but is refused by encoding/json: %v", raw, err)
		}
		if got.Name != want.Name || got.RuleID != want.RuleID || !cmp.Equal(got.Stock, want.Stock) {
			t.Fatalf("%q: got %+v, want %+v", raw, got, want)
		}
		_, _ = got.spec() // whatever it says, it must not panic
	})
}
