package models

import (
	"strings"
	"testing"
)

func TestCheckXID(t *testing.T) {
	t.Parallel()
	for xid, want := range map[string]Code{
		"a":                              "",
		strings.Repeat("é", 64):          "",
		strings.Repeat("é", 65):          "",
		strings.Repeat("é", MaxXIDLen):   "",
		"":                               CodeRequired,
		strings.Repeat("x", 192):         CodeOutOfRange,
		"\x01a":                          CodeInvalid,
		strings.Repeat("x", 100) + " ":   CodeInvalid,
		strings.Repeat("x", 100) + "\n":  CodeInvalid,
		"\xff" + strings.Repeat("x", 99): CodeInvalid,
	} {
		f := NewFaults()
		CheckXID(f, "xid", xid)
		got := *f.list
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0].Code != want) {
			t.Errorf("%q: got %v, want %q", xid, got, want)
		}
	}
}
