package models_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"scrip/models"
)

// The symbols of Crockford's base32, written down once more so that a slip in
// the alphabet does not go unnoticed.
const (
	payloadSymbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	checkSymbols   = payloadSymbols + "*~$=U"
	payloadLen     = 12
)

// codeOf completes a payload to a code; exactly one check character does.
func codeOf(t *testing.T, payload string) string {
	t.Helper()
	var found []string
	for _, check := range checkSymbols {
		if code, err := models.NormalizeCode(payload + string(check)); err == nil {
			found = append(found, code)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d check characters: %v", payload, len(found), found)
	}
	return found[0]
}

func refusesCode(t *testing.T, typed, why string) {
	t.Helper()
	if code, err := models.NormalizeCode(typed); err == nil || code != "" {
		t.Errorf("%s: %q was taken as %q", why, typed, code)
	}
}

func TestNewCodeIsNormal(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	used := map[byte]bool{}
	for range 2000 {
		code := models.NewCode()
		if got, err := models.NormalizeCode(code); err != nil || got != code {
			t.Fatalf("%s is normalised to %q, %v", code, got, err)
		}
		if seen[code] {
			t.Fatalf("%s was made twice", code)
		}
		seen[code] = true
		for i := range payloadLen {
			used[code[i]] = true
		}
	}
	if len(used) != len(payloadSymbols) {
		t.Errorf("24,000 random symbols were of %d kinds only, want %d", len(used), len(payloadSymbols))
	}
}

func TestCheckCharacterKnownAnswers(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		"000000000000": "0", // 0
		"000000000001": "1", // 1
		"00000000000Z": "Z", // 31
		"000000000010": "*", // 32
		"000000000014": "U", // 36
		"000000000015": "0", // 37
		"000000000100": "S", // 1024 = 27 × 37 + 25
		"ZZZZZZZZZZZZ": "9", // 2^60 − 1: 2^36 = 1 by Fermat, 2^24 = 10
	} {
		if got := codeOf(t, payload); got != payload+want {
			t.Errorf("got %s, want %s", got, payload+want)
		}
	}
}

func TestNormalizeCodeForgives(t *testing.T) {
	t.Parallel()
	code := codeOf(t, "01ABCDEFGHJK")
	rest := code[2:]
	for _, typed := range []string{
		code,
		strings.ToLower(code),
		"O1" + rest, "o1" + rest,
		"0I" + rest, "0i" + rest, "0L" + rest, "0l" + rest,
		"OL" + rest,
		" " + code + " ",
		code[:4] + "-" + code[4:8] + "-" + code[8:],
		code[:4] + " " + code[4:8] + " " + code[8:],
		strings.Join(strings.Split(code, ""), "--"),
		"- - " + strings.ToLower(code) + "- -",
	} {
		if got, err := models.NormalizeCode(typed); err != nil || got != code {
			t.Errorf("%q became %q, %v; want %s", typed, got, err, code)
		}
	}
}

func TestNormalizeCodeForgivesAtTheEnd(t *testing.T) {
	t.Parallel()
	for payload, ends := range map[string]string{"000000000000": "0Oo", "000000000001": "1IiLl", "000000000014": "Uu"} {
		want := codeOf(t, payload)
		for _, end := range ends {
			if got, err := models.NormalizeCode(payload + string(end)); err != nil || got != want {
				t.Errorf("%s%c became %q, %v; want %s", payload, end, got, err, want)
			}
		}
	}
}

func TestNormalizeCodeRefuses(t *testing.T) {
	t.Parallel()
	code := codeOf(t, "01ABCDEFGHJK")
	tests := map[string]string{
		"empty":                       "",
		"only spaces and hyphens":     " - - ",
		"one short":                   code[:payloadLen],
		"one long":                    code + "0",
		"twice":                       code + code,
		"U among the random symbols":  "U1ABCDEFGHJK" + code[payloadLen:],
		"a check symbol among them":   "*1ABCDEFGHJK" + code[payloadLen:],
		"a tab":                       code[:4] + "\t" + code[4:],
		"a line's end":                code + "\n",
		"a zero byte":                 code + "\x00",
		"an underscore for a hyphen":  code[:4] + "_" + code[4:],
		"full-width digits":           "０" + code[1:],
		"a Cyrillic A":                code[:2] + "А" + code[3:],
		"a no-break space":            code[:4] + "\u00a0" + code[4:],
		"not UTF-8":                   "\xff" + code[1:],
		"half of a character at last": code[:payloadLen] + "\xc3",
	}
	for name, typed := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusesCode(t, typed, name)
		})
	}
}

// TestCheckCharacterFindsSubstitutions is exhaustive: at every place, every
// symbol instead of every other.
func TestCheckCharacterFindsSubstitutions(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"000000000000", "01ABCDEFGHJK", "ZZZZZZZZZZZZ"} {
		for place := range payloadLen {
			for _, right := range payloadSymbols {
				code := codeOf(t, base[:place]+string(right)+base[place+1:])
				for _, wrong := range checkSymbols {
					if wrong != right {
						refusesCode(t, code[:place]+string(wrong)+code[place+1:], code)
					}
				}
			}
		}
		code := codeOf(t, base)
		for _, wrong := range checkSymbols {
			if string(wrong) != code[payloadLen:] {
				refusesCode(t, code[:payloadLen]+string(wrong), code)
			}
		}
	}
}

// TestCheckCharacterFindsSwaps is exhaustive: at every place, every pair of
// neighbours; the last of them is a symbol and the check character.
func TestCheckCharacterFindsSwaps(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"000000000000", "01ABCDEFGHJK", "ZZZZZZZZZZZZ"} {
		for place := range payloadLen - 1 {
			for _, a := range payloadSymbols {
				for _, b := range payloadSymbols {
					code := codeOf(t, base[:place]+string(a)+string(b)+base[place+2:])
					if a != b {
						refusesCode(t, code[:place]+string(b)+string(a)+code[place+2:], code)
					}
					swapLast(t, code)
				}
			}
		}
	}
}

func swapLast(t *testing.T, code string) {
	t.Helper()
	last, check := code[payloadLen-1], code[payloadLen]
	if last != check {
		refusesCode(t, code[:payloadLen-1]+string(check)+string(last), code)
	}
}

func TestCheckCharacterOfAnyCode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		payload := rapid.StringMatching("[0-9A-HJKMNP-TV-Z]{12}").Draw(rt, "payload")
		code := codeOf(t, payload)
		place := rapid.IntRange(0, payloadLen).Draw(rt, "place")
		wrong := checkSymbols[rapid.IntRange(0, len(checkSymbols)-1).Draw(rt, "wrong")]
		if code[place] != wrong {
			refusesCode(t, code[:place]+string(wrong)+code[place+1:], "substitution in "+code)
		}
		if place < payloadLen && code[place] != code[place+1] {
			refusesCode(t, code[:place]+string(code[place+1])+string(code[place])+code[place+2:], "swap in "+code)
		}
	})
}

func FuzzNormalizeCode(f *testing.F) {
	for _, typed := range []string{"", "0000000000000", "oooo-oooo-oooo-o", "0000 0000 0014 u", "ÄÖÜ", "\xff\xfe", models.NewCode()} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := models.NormalizeCode(typed)
		if err != nil {
			if code != "" {
				t.Fatalf("%q: %q beside an error", typed, code)
			}
			return
		}
		if len(code) != payloadLen+1 || strings.Trim(code[:payloadLen], payloadSymbols) != "" ||
			!strings.Contains(checkSymbols, code[payloadLen:]) {
			t.Fatalf("%q became %q, which is no code", typed, code)
		}
		for _, again := range []string{code, strings.ToLower(code), " " + typed + "-", strings.ToLower(typed)} {
			if got, err := models.NormalizeCode(again); err != nil || got != code {
				t.Fatalf("%q became %s, but %q became %q, %v", typed, code, again, got, err)
			}
		}
	})
}
