package bench

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestScan(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want reply
		ok   bool
	}{
		`{"id":"12","code":"C","user_id":"ann","x":{"id":"no","y":["}",{}]},"n":-1.5e3}`: {reply{id: "12", code: "C", userID: "ann"}, true},
		"\n{ \"id\" :\t\"1\" ,\r\"n\" : null , \"user_id\" : \"b\\\"\\u00e9\" } ":        {reply{id: "1", userID: "b\"é"}, true},
		`{"code":"already_claimed","coupon_ids":["1","2"]}`:                              {reply{code: "already_claimed", couponIDs: []string{"1", "2"}}, true},
		`{"id":7,"code":null,"coupon_ids":null}`:                                         {reply{}, true},
		`{}`:                                                                             {reply{}, true},
		``:                                                                               {},
		`[]`:                                                                             {},
		`"id"`:                                                                           {},
		`{"id":"1"`:                                                                      {},
		`{"id":"1`:                                                                       {},
		`{"id"`:                                                                          {},
		`{"id":}`:                                                                        {},
		`{"id":"1",}`:                                                                    {},
		`{"id":"1" "x"}`:                                                                 {},
		`<html>`:                                                                         {},
	}
	for body, test := range tests {
		got, ok := scan([]byte(body))
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(reply{})); diff != "" || ok != test.ok {
			t.Errorf("%s: %v %s", body, ok, diff)
		}
	}
}

// FuzzScan compares with encoding/json wherever that has an opinion.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"id":"12","code":"C","user_id":"ann","x":{"id":"no"}}`, `{"a":[1,"]"],"id":"\u0031"}`, `{"\u0069d":"1"}`, `{"id":`, `{}`, `x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := scan(body)
		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil || object == nil || !utf8.Valid(body) {
			return
		}
		if !ok {
			t.Fatalf("%q is an object", body)
		}
		for name, found := range map[string]string{"id": got.id, "user_id": got.userID, "code": got.code} {
			var want string
			if err := json.Unmarshal(object[name], &want); err != nil {
				want = ""
			}
			if found != want {
				t.Errorf("%s of %q is %q, want %q", name, body, found, want)
			}
		}
	})
}
