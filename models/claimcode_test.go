package models_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"scrip/models"
)

func pattern(prefix string, length int, charset string) models.CodePattern {
	p := models.CodePattern{Prefix: prefix, Length: length, Charset: charset}
	p.Normalize()
	return p
}

func TestFoldCode(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":                          "",
		"summer25":                  "SUMMER25",
		"\tvip - 7k2m 9qxw\n.":      "V1P7K2M9QXW.",
		"OoIiLl":                    "001111",
		"VIP–7K2M—9QXW‑4T\u00a0ZB":  "V1P7K2M9QXW4TZB", // what a phone makes of hyphens and spaces
		"ＶＩＰ－７ｋ２ｍ":                  "V1P7K2M",
		"Ünïcode✓":                  "ÜNÏC0DE✓",
		"7_K":                       "7_K",
		"\xff7K":                    "\ufffd7K",
		"*~$=u":                     "*~$=U",
		strings.Repeat("o-", 1_000): strings.Repeat("0", 1_000),
	} {
		if got := models.FoldCode(typed); got != want {
			t.Errorf("%q folds to %q, want %q", typed, got, want)
		}
	}
}

func FuzzFoldCode(f *testing.F) {
	for _, typed := range []string{"", "vip-7K2M 9QXW", "ＶＩＰ", "\xff\xfe", "ıİſK", models.NewCode()} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		folded := models.FoldCode(typed)
		if !utf8.ValidString(folded) || strings.ContainsAny(folded, " -\tOILoilabcxyz") {
			t.Fatalf("%q folds to %q", typed, folded)
		}
		again := []string{folded, " " + typed + "-", strings.ReplaceAll(folded, "0", "o")}
		if !strings.ContainsFunc(folded, func(r rune) bool { return r > unicode.MaxASCII }) {
			again = append(again, strings.ToLower(folded))
		}
		for _, again := range again {
			if got := models.FoldCode(again); got != folded {
				t.Fatalf("%q folds to %q, but %q to %q", typed, folded, again, got)
			}
		}
	})
}

func TestDefaultCodesHave60RandomBits(t *testing.T) {
	t.Parallel()
	p := pattern("", 0, "")
	maker, seen := models.NewCodeMaker(p), map[string]bool{}
	used := map[byte]int{}
	const codes = 5000
	for range codes {
		code := maker.Next()
		if len(code) != 14 || strings.Trim(code, payloadSymbols) != "" || models.FoldCode(code) != code {
			t.Fatalf("%q is not 14 symbols of Crockford's", code)
		}
		if seen[code] {
			t.Fatalf("%s was made twice", code)
		}
		seen[code] = true
		for i := range 13 {
			used[code[i]]++
		}
	}
	// 13 symbols of 5 bits, of which 32 of 37 are kept: 64.8 bits. Each symbol
	// should come up 2031 times; 6 standard deviations are 266.
	for _, symbol := range []byte(payloadSymbols) {
		if n := used[symbol]; n < 1765 || n > 2297 {
			t.Errorf("%c came up %d times of %d", symbol, n, codes*13)
		}
	}
}

// TestCodesBearACrockfordCheckCharacter holds the codes to NormalizeCode, which
// has the sum and its tests for itself: of the same length it must agree.
func TestCodesBearACrockfordCheckCharacter(t *testing.T) {
	t.Parallel()
	for _, p := range []models.CodePattern{pattern("", 13, ""), pattern("vi-p", 10, "0123456789"), pattern("A", 12, "xyzstvw")} {
		maker := models.NewCodeMaker(p)
		for range 500 {
			code := maker.Next()
			if _, err := models.NormalizeCode(code); err != nil {
				t.Errorf("%s of %+v: %v", code, p, err)
			}
		}
	}
}

func TestCodesOfAnyPattern(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := pattern(rapid.StringMatching("([A-Z][A-Za-z0-9-]{0,19})?").Draw(rt, "prefix"), rapid.IntRange(6, 32).Draw(rt, "length"),
			rapid.StringMatching("[A-Za-z0-9]{2,64}").Draw(rt, "charset"))
		f := models.NewFaults()
		p.Check(f)
		if p.Scarce(f, 0, 1); f.Err() != nil {
			rt.Skip()
		}
		code := models.NewCodeMaker(p).Next()
		body, ok := strings.CutPrefix(code, p.Prefix)
		if !ok || len(body) != p.Length || strings.Trim(body, p.Charset) != "" {
			rt.Errorf("%+v gave %q", p, code)
		}
	})
}

func TestATypoIsNeverAnotherCode(t *testing.T) {
	t.Parallel()
	// All codes of a small pattern, found by drawing until nothing new comes.
	p := pattern("P", 4, "01234")
	maker, all := models.NewCodeMaker(p), map[string]bool{}
	for range 5000 {
		all[maker.Next()] = true
	}
	if len(all) < 10 || len(all) > 30 { // 5^3 × 5/37 = 17, about
		t.Errorf("%+v has %d codes", p, len(all))
	}
	for code := range all {
		for i := 1; i < len(code); i++ {
			for _, wrong := range p.Charset {
				if typo := code[:i] + string(wrong) + code[i+1:]; typo != code && all[typo] {
					t.Errorf("%s and %s differ in one place", code, typo)
				}
			}
			if swap := code[:i-1] + code[i:i+1] + code[i-1:i] + code[i+1:]; swap != code && all[swap] {
				t.Errorf("%s and %s differ by a swap", code, swap)
			}
		}
	}
}

func TestCodePatternCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pattern models.CodePattern
		want    []fault
	}{
		"default":            {pattern("", 0, ""), nil},
		"all of it":          {pattern("SUMMER-25-abcdefghij", 32, strings.Repeat("0123456789abcdef", 4)), nil},
		"prefix too long":    {pattern(strings.Repeat("A", 21), 0, ""), []fault{{"prefix", models.CodeInvalid}}},
		"prefix, umlaut":     {pattern("Ä", 0, ""), []fault{{"prefix", models.CodeInvalid}}},
		"prefix, space":      {pattern("A B", 0, ""), []fault{{"prefix", models.CodeInvalid}}},
		"prefix, a hyphen":   {pattern("-A", 0, ""), []fault{{"prefix", models.CodeInvalid}}},
		"prefix, symbol":     {pattern("A*", 0, ""), []fault{{"prefix", models.CodeInvalid}}},
		"too short":          {pattern("", 3, ""), []fault{{"length", models.CodeOutOfRange}}},
		"too long":           {pattern("", 33, ""), []fault{{"length", models.CodeOutOfRange}}},
		"negative":           {pattern("", -1, ""), []fault{{"length", models.CodeOutOfRange}}},
		"charset, a hyphen":  {pattern("", 0, "AB-"), []fault{{"charset", models.CodeInvalid}}},
		"charset, a symbol":  {pattern("", 0, "AB*"), []fault{{"charset", models.CodeInvalid}}},
		"charset, an umlaut": {pattern("", 0, "ABÄ"), []fault{{"charset", models.CodeInvalid}}},
		"charset, long":      {pattern("", 0, strings.Repeat("AB", 33)), []fault{{"charset", models.CodeInvalid}}},
		"one symbol":         {pattern("", 0, "AAAA"), []fault{{"charset", models.CodeInvalid}}},
		"one to the eye":     {pattern("", 0, "1ilIL"), []fault{{"charset", models.CodeInvalid}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, faultsOf(t, test.pattern.Check)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestScarceShowsTheSum(t *testing.T) {
	t.Parallel()
	tests := []struct {
		length        int
		charset       string
		issued, count int64
		want          string // "" for enough
	}{
		{0, "", 0, models.MaxCodes, ""},
		{0, "", 1_000_000_000, models.MaxCodes, ""},
		{8, "", 0, 1000, ""},
		{8, "", 2000, 1000, "32 symbols in 7 places and a check character make about 29,716,530,480 codes; " +
			"with 3,000 of them issued one guess in 9,905,510 is right, and one in 10,000,000 is the most that is allowed: take length 9, or fewer codes"},
		{6, "", 0, 1000, "take length 8"},
		{4, "0123456789", 0, 1_000_000, "make about 270 codes; with 1,000,000 of them issued one guess in 0 is right"},
		{4, "01", 0, models.MaxCodes, "take more symbols, or fewer codes"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d and %d", test.length, test.issued, test.count), func(t *testing.T) {
			t.Parallel()
			f, p := models.NewFaults(), pattern("A", test.length, test.charset)
			p.Scarce(f, test.issued, test.count)
			switch err := f.Err(); {
			case err == nil && test.want != "":
				t.Errorf("was found enough, want %s", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestCheckSharedCode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]fault{
		"SUMMER25":              nil,
		"Summer 25":             nil,
		"win-ter":               nil,
		"VIP":                   nil,
		strings.Repeat("A", 40): nil,
		"":                      {{"code", models.CodeOutOfRange}},
		"A-B":                   {{"code", models.CodeOutOfRange}},
		strings.Repeat("A", 41): {{"code", models.CodeOutOfRange}},
		"-VIP":                  {{"code", models.CodeInvalid}},
		"VIP-":                  {{"code", models.CodeInvalid}},
		"VIP\u00a0A":            {{"code", models.CodeInvalid}},
		"ＶＩＰ":                   {{"code", models.CodeInvalid}},
		" VIP":                  {{"code", models.CodeInvalid}},
		"VIP\t":                 {{"code", models.CodeInvalid}},
		"50%":                   {{"code", models.CodeInvalid}},
		"A_B_C":                 {{"code", models.CodeInvalid}},
		"双十一":                   {{"code", models.CodeInvalid}},
		"ABC\xff":               {{"code", models.CodeInvalid}},
	} {
		if diff := cmp.Diff(want, faultsOf(t, func(f models.Faults) { models.CheckSharedCode(f, "code", text) })); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func BenchmarkCodeMaker(b *testing.B) {
	maker := models.NewCodeMaker(pattern("SUMMER-", 0, ""))
	for b.Loop() {
		maker.Next()
	}
}
