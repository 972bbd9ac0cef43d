package models

import (
	"crypto/rand"
	"errors"
	"strings"
)

// codeAlphabet is Crockford's base32: no I, L, O or U, so that a code can be
// read out and typed (https://www.crockford.com/base32.html). The check
// characters beyond 31 are his too.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	checkDigits  = codeAlphabet + "*~$=U"
	codeRandom   = 12 // characters, of 5 random bits each
)

// NewCode makes a coupon's code: 60 random bits and a check character.
func NewCode() string {
	var code [codeRandom + 1]byte
	_, _ = rand.Read(code[:codeRandom]) // never fails: crypto/rand ends the program instead
	for i, b := range code[:codeRandom] {
		code[i] = codeAlphabet[b&31]
	}
	code[codeRandom] = checkDigit(code[:codeRandom])
	return string(code[:])
}

// checkDigit is the number that the symbols spell, modulo 37: it finds every
// single wrong symbol and every swap of neighbours. The first changes the
// number by d×32^k, the second by d×31×32^k, with 0 < |d| < 32, and the prime 37
// divides none of these.
func checkDigit(symbols []byte) byte {
	sum := 0
	for _, c := range symbols {
		sum = (sum*32 + strings.IndexByte(codeAlphabet, c)) % len(checkDigits)
	}
	return checkDigits[sum]
}

var errBadCode = errors.New("not a code: a character is wrong or missing")

// NormalizeCode turns what a person typed into the code that was meant: case,
// spaces and hyphens do not matter, O is 0, I and L are 1. An error says that
// it cannot be a code; that one exists is not said by a nil error.
func NormalizeCode(typed string) (string, error) {
	code := make([]byte, 0, codeRandom+1)
	for i := range len(typed) {
		c := typed[i]
		switch {
		case c == ' ' || c == '-':
			continue
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		switch c {
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if len(code) == codeRandom+1 {
			return "", errBadCode
		}
		code = append(code, c)
	}
	if len(code) != codeRandom+1 {
		return "", errBadCode
	}
	for _, c := range code[:codeRandom] {
		if strings.IndexByte(codeAlphabet, c) < 0 {
			return "", errBadCode
		}
	}
	if checkDigit(code[:codeRandom]) != code[codeRandom] {
		return "", errBadCode
	}
	return string(code), nil
}
