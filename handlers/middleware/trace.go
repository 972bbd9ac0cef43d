package middleware

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

const headerTrace = "Traceparent"

// A traceparent is version-trace_id-parent_id-flags in lower-case hexadecimal
// (https://www.w3.org/TR/trace-context/).
const (
	traceIDAt    = 3
	parentIDAt   = 36
	flagsAt      = 53
	traceLen     = 55
	traceSampled = 1
)

// continueTrace keeps the trace id of a valid traceparent for the logs, and
// answers with a traceparent of the same trace and a parent id of this request.
// Without a valid one there is no trace: one that ends here tells nothing that
// the request id does not.
func (e *exchange) continueTrace(in, out http.Header) {
	values := in[headerTrace]
	if len(values) != 1 || !isTraceparent(values[0]) {
		return
	}
	parent := values[0]
	e.traceID = parent[traceIDAt : parentIDAt-1]
	var flags [1]byte
	_, _ = hex.Decode(flags[:], []byte(parent[flagsAt:traceLen])) // checked above
	var span [8]byte
	_, _ = rand.Read(span[:])
	line := make([]byte, 0, traceLen)
	line = append(line, "00-"...)
	line = append(line, e.traceID...)
	line = append(line, '-')
	line = hex.AppendEncode(line, span[:])
	line = append(line, '-')
	line = hex.AppendEncode(line, []byte{flags[0] & traceSampled})
	out[headerTrace] = []string{string(line)}
}

// isTraceparent accepts version 00 exactly, and of later versions, as they ask
// for, whatever begins like 00.
func isTraceparent(s string) bool {
	if len(s) < traceLen || s[2] != '-' || s[parentIDAt-1] != '-' || s[flagsAt-1] != '-' {
		return false
	}
	version := s[:2]
	switch {
	case !isLowerHex(version) || version == "ff":
		return false
	case version == "00" && len(s) != traceLen:
		return false
	case len(s) > traceLen && s[traceLen] != '-':
		return false
	}
	traceID, parentID := s[traceIDAt:parentIDAt-1], s[parentIDAt:flagsAt-1]
	return isLowerHex(traceID) && isLowerHex(parentID) && isLowerHex(s[flagsAt:traceLen]) &&
		!allZero(traceID) && !allZero(parentID)
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func allZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
