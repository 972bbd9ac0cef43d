package models_test

import (
	"strings"
	"testing"

	"scrip/models"
)

func TestCheckForeign(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		s    string
		want models.Code // "": nothing wrong
	}{
		"one character":                {"a", ""},
		"64 characters":                {strings.Repeat("a", 64), ""},
		"65 characters":                {strings.Repeat("a", 65), models.CodeOutOfRange},
		"64 characters of 2 bytes":     {strings.Repeat("é", 64), ""},
		"64 characters of 4 bytes":     {strings.Repeat("😀", 64), ""},
		"65 characters of 3 bytes":     {strings.Repeat("券", 65), models.CodeOutOfRange},
		"a whole string of odd things": {"Ünï-cødé/№ 5:~%'\"\\<>", ""},
		"a space inside":               {"a b", ""},
		"two spaces inside":            {"a  b", ""},
		"empty":                        {"", models.CodeRequired},
		"a space":                      {" ", models.CodeInvalid},
		"a space before":               {" a", models.CodeInvalid},
		"a space behind":               {"a ", models.CodeInvalid},
		"a no-break space behind":      {"a\u00a0", models.CodeInvalid},
		"an ideographic space before":  {"\u3000a", models.CodeInvalid},
		"a tab":                        {"a\tb", models.CodeInvalid},
		"a line's end":                 {"a\n", models.CodeInvalid},
		"a zero byte":                  {"a\x00b", models.CodeInvalid},
		"delete":                       {"a\x7f", models.CodeInvalid},
		"a C1 control":                 {"a\u0085b", models.CodeInvalid},
		"not UTF-8":                    {"a\xffb", models.CodeInvalid},
		"a character cut short":        {"a\xc3", models.CodeInvalid},
		"half of a surrogate pair":     {"a\xed\xa0\x80", models.CodeInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := faultsOf(t, func(f models.Faults) { models.CheckForeign(f.In("cart"), "user_id", tc.s) })
			if tc.want == "" {
				wantFaults(t, got)
			} else {
				wantFaults(t, got, fault{"cart.user_id", tc.want})
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		s    string
		want models.Code // "": nothing wrong
	}{
		"one character":             {"a", ""},
		"200 characters of 3 bytes": {strings.Repeat("券", 200), ""},
		"201 characters":            {strings.Repeat("a", 201), models.CodeOutOfRange},
		"spaces around and inside":  {" Black  Friday ", ""},
		"empty":                     {"", models.CodeRequired},
		"only spaces":               {" \u00a0\u3000", models.CodeRequired},
		"two lines":                 {"Black\nFriday", models.CodeInvalid},
		"a zero byte":               {"a\x00", models.CodeInvalid},
		"not UTF-8":                 {"a\xff", models.CodeInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := faultsOf(t, func(f models.Faults) { models.CheckName(f, "name", tc.s) })
			if tc.want == "" {
				wantFaults(t, got)
			} else {
				wantFaults(t, got, fault{"name", tc.want})
			}
		})
	}
}
