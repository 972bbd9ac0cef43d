package bench

import (
	"bytes"
	"encoding/json"
)

// reply is what a run wants to know of the body of an answer.
type reply struct {
	id, userID string   // of a coupon
	code       string   // of a problem, or a coupon's own
	couponIDs  []string // of a problem
}

// scan reads a JSON object for the few members of reply. To decode all of a
// coupon, times included, would cost several times as much, on the processors
// that the server under load needs. It is lenient: it finds where a value ends,
// and does not judge what it passes over. What is no object gives false.
func scan(body []byte) (r reply, ok bool) {
	s := scanner{rest: body}
	if !s.take('{') {
		return reply{}, false
	}
	if s.take('}') {
		return reply{}, true
	}
	for {
		key, ok := s.value()
		if !ok || !s.take(':') {
			return reply{}, false
		}
		value, ok := s.value()
		if !ok {
			return reply{}, false
		}
		switch text(key) {
		case "id":
			r.id = text(value)
		case "user_id":
			r.userID = text(value)
		case "code":
			r.code = text(value)
		case "coupon_ids":
			r.couponIDs = texts(value)
		}
		if s.take('}') {
			return r, true
		}
		if !s.take(',') {
			return reply{}, false
		}
	}
}

// scanner walks over JSON text.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\n' || s.rest[0] == '\r' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

// take passes over c, if c is what comes next.
func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// value passes over a value and returns its text.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	depth, i := 0, 0
	for i < len(s.rest) {
		switch c := s.rest[i]; c {
		case '"':
			n := quoted(s.rest[i:])
			if n == 0 {
				return nil, false
			}
			i += n
			if depth == 0 {
				return s.cut(i)
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',', ' ', '\n', '\r', '\t':
			if depth == 0 { // the end of a number, true, false or null
				return s.cut(i)
			}
			if c == '}' || c == ']' {
				depth--
				if depth == 0 {
					return s.cut(i + 1)
				}
			}
		}
		i++
	}
	return nil, false
}

func (s *scanner) cut(n int) ([]byte, bool) {
	value := s.rest[:n]
	s.rest = s.rest[n:]
	return value, n > 0
}

// quoted is the length of the string at the start of b, quotes included; 0 if
// it does not end.
func quoted(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// text is the content of a JSON string, and "" of anything else.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return ""
	}
	return s
}

// texts is a JSON array of strings, and nil of anything else.
func texts(value []byte) []string {
	var list []string
	if err := json.Unmarshal(value, &list); err != nil {
		return nil
	}
	return list
}
