package models

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A claim code is handed out before there is a coupon, which is claimed by it:
// one of a batch of random ones, each good for one coupon, or a word that many
// share. It is not the coupon's own code; see NewCode.

// Bounds of claim codes.
const (
	MaxCodes      = 5_000_000     // in one batch
	MaxCodePrefix = 20            // characters
	MaxTypedCode  = 200           // characters of what somebody typed in
	MaxUsageLimit = 1_000_000_000 // coupons by one shared code

	minCodeLength  = 4 // characters behind the prefix
	maxCodeLength  = 32
	codeLength     = 14 // by default: 13 random ones of 5 bits, and the check character
	maxCharset     = 64
	minSharedCode  = 3
	maxSharedCode  = 40
	guessesPerCode = 10_000_000 // so many guesses must be needed to find one code
)

// FoldCode turns what a person typed into what was meant, the form in which
// claim codes are compared: case, spaces and hyphens of whatever script do not
// matter, O is 0, I and L are 1, and full-width letters are letters. It takes
// anything; what can be no code folds to something that is none.
func FoldCode(typed string) string {
	const fullWidth, fullWidthEnd, toASCII = '！', '～', '！' - '!'
	return strings.Map(func(r rune) rune {
		if fullWidth <= r && r <= fullWidthEnd {
			r -= toASCII
		}
		switch r = unicode.ToUpper(r); {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			return -1
		case r == 'O':
			return '0'
		case r == 'I', r == 'L':
			return '1'
		}
		return r
	}, typed)
}

// CodePattern says what the codes of a batch look like: the prefix as it was
// written, then random symbols and a check character, Length in all.
type CodePattern struct {
	Prefix  string
	Length  int
	Charset string // symbols; of those that FoldCode takes for the same, the first is used
}

// Normalize fills in the defaults. Call it once, before Check.
func (p *CodePattern) Normalize() {
	if p.Length == 0 {
		p.Length = codeLength
	}
	if p.Charset == "" {
		p.Charset = codeAlphabet
	}
}

// Check notes what is wrong with each field; whether there would be enough
// codes of the pattern says Scarce.
func (p *CodePattern) Check(f Faults) {
	// A hyphen in front would make a formula of the code in a spreadsheet.
	if len(p.Prefix) > MaxCodePrefix || strings.HasPrefix(p.Prefix, "-") ||
		strings.ContainsFunc(strings.ReplaceAll(p.Prefix, "-", ""), notLetterOrDigit) {
		f.Add("prefix", CodeInvalid, "must be at most %d letters A to Z, digits and hyphens, the first no hyphen", MaxCodePrefix)
	}
	f.Between("length", int64(p.Length), minCodeLength, maxCodeLength)
	switch symbols, _ := p.symbols(); {
	case len(p.Charset) > maxCharset || strings.ContainsFunc(p.Charset, notLetterOrDigit):
		f.Add("charset", CodeInvalid, "must be 2 to %d letters A to Z and digits", maxCharset)
	case len(symbols) < 2:
		f.Add("charset", CodeInvalid, "must have 2 symbols that nobody takes for one another")
	}
}

func notLetterOrDigit(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// symbols lists the charset's symbols, and each one's value in the check
// character's sum. Those that look alike have one value and are one symbol.
func (p *CodePattern) symbols() (symbols []byte, values []int) {
	var seen [len(checkDigits)]bool
	for i := range len(p.Charset) {
		value := strings.Index(checkDigits, FoldCode(p.Charset[i:i+1]))
		if value < 0 || seen[value] {
			continue
		}
		seen[value] = true
		symbols, values = append(symbols, p.Charset[i]), append(values, value)
	}
	return symbols, values
}

// space is how many codes the pattern has, about: of all that can be spelled
// those whose check character is in the charset.
func (p *CodePattern) space(length int) float64 {
	symbols, _ := p.symbols()
	n := float64(len(symbols))
	return math.Pow(n, float64(length-1)) * n / float64(len(checkDigits))
}

// Scarce notes, with the sum, that so many codes of the pattern, those issued
// before among them, would make guessing one likely, or run out.
func (p *CodePattern) Scarce(f Faults, issued, count int64) {
	all := float64(issued + count)
	if p.space(p.Length) >= all*guessesPerCode {
		return
	}
	symbols, _ := p.symbols()
	enough := p.Length
	for enough <= maxCodeLength && p.space(enough) < all*guessesPerCode {
		enough++
	}
	advice := "take more symbols, or fewer codes"
	if enough <= maxCodeLength {
		advice = fmt.Sprintf("take length %d, or fewer codes", enough)
	}
	f.Add("count", CodeOutOfRange,
		"%d symbols in %d places and a check character make about %s codes; with %s of them issued one guess in %s is right, "+
			"and one in %s is the most that is allowed: %s",
		len(symbols), p.Length-1, grouped(p.space(p.Length)), grouped(all), grouped(p.space(p.Length)/all), grouped(guessesPerCode), advice)
}

// grouped writes a number for people: 12,345,678, or 1.2e+18 where that says more.
func grouped(n float64) string {
	const most = 1e15
	if n >= most {
		return strconv.FormatFloat(n, 'g', 2, 64)
	}
	digits := strconv.FormatFloat(math.Floor(n), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// CodeMaker makes codes of one pattern from crypto/rand. It is for one
// goroutine.
type CodeMaker struct {
	prefix  string
	sum     int // the prefix's part of the check character
	symbols []byte
	values  []int
	check   [len(checkDigits)]byte // by value the symbol; 0: not in the charset
	length  int
	random  *bufio.Reader
}

// NewCodeMaker makes one for a pattern that Check and Scarce have nothing
// against: one with hardly any codes might have none.
func NewCodeMaker(p CodePattern) *CodeMaker {
	m := &CodeMaker{prefix: p.Prefix, length: p.Length, random: bufio.NewReader(rand.Reader)}
	m.symbols, m.values = p.symbols()
	for i, value := range m.values {
		m.check[value] = m.symbols[i]
	}
	m.sum = checkSum(FoldCode(p.Prefix))
	return m
}

// checkSum is the number that the symbols spell, modulo 37. That it finds every
// wrong symbol and every swap of neighbours is shown at checkDigit.
func checkSum(folded string) (sum int) {
	for i := range len(folded) {
		sum = (sum*len(codeAlphabet) + strings.IndexByte(checkDigits, folded[i])) % len(checkDigits)
	}
	return sum
}

// Next makes a code. One whose check character is not in the charset is thrown
// away, so that a code has no symbol that its owner did not choose; the others
// stay equally likely.
func (m *CodeMaker) Next() string {
	code := make([]byte, len(m.prefix)+m.length)
	body := code[copy(code, m.prefix):]
	for last := m.length - 1; ; {
		sum := m.sum
		for i := range body[:last] {
			k := m.draw()
			body[i] = m.symbols[k]
			sum = (sum*len(codeAlphabet) + m.values[k]) % len(checkDigits)
		}
		if body[last] = m.check[sum]; body[last] != 0 {
			return string(code)
		}
	}
}

// draw picks a symbol, each equally likely: bytes beyond the last whole multiple
// are drawn again.
func (m *CodeMaker) draw() int {
	n := len(m.symbols)
	for whole := 256 - 256%n; ; {
		b, err := m.random.ReadByte()
		if err != nil {
			panic("crypto/rand ended: " + err.Error()) // it never does: it ends the program instead
		}
		if int(b) < whole {
			return int(b) % n
		}
	}
}

// CheckSharedCode notes what is wrong with a word that many are to claim by.
func CheckSharedCode(f Faults, field, text string) {
	folded := FoldCode(text)
	switch {
	case strings.Trim(text, " -") != text, strings.ContainsFunc(strings.NewReplacer(" ", "", "-", "").Replace(text), notLetterOrDigit):
		f.Add(field, CodeInvalid, "must be letters A to Z and digits; spaces and hyphens may stand between them")
	case len(folded) < minSharedCode || len(text) > maxSharedCode:
		f.Add(field, CodeOutOfRange, "must be %d to %d characters", minSharedCode, maxSharedCode)
	}
}

// CodeHash is a keyed hash of a folded code: all that the database has of it to
// find it by.
type CodeHash [16]byte

// CodeBatch is a batch of claim codes, or one shared code: a batch of one that
// serves many.
type CodeBatch struct {
	ID         ID // that of the job that makes them, if they are many
	TemplateID ID
	Count      int64 // codes
	UsageLimit int64 // coupons by each of them
	Used       int64 // coupons by all of them
	CreatedAt  time.Time
	Pattern    *CodePattern // nil: shared
	Sealed     []byte       // of a shared one: its text
}

// CodeChunk is a part of a batch as it is stored: what its codes hash to, and
// their texts, sealed.
type CodeChunk struct {
	Batch  ID
	Seq    int64
	Hashes []CodeHash
	Sealed []byte
}

// CodeLookup is what is known of a code that somebody claims by. The zero value
// is that of a code which does not exist.
type CodeLookup struct {
	TemplateID ID
	Used       int64
	UsageLimit int64
	Own        []ID // coupons that this user has got by it, oldest first
}

// CodeKey is the key of claim codes as it is kept: Wrapped by another key, or as
// it is.
type CodeKey struct {
	Wrapped bool
	Text    []byte
}

// ErrCodeTaken says that a code was drawn which there is already.
var ErrCodeTaken = errors.New("a code was drawn that is taken")
