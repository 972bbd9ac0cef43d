//go:build race

package store_test

// rounds is how often each pair of steps is raced, and longest how many steps
// a sequence has at most; the detector makes each ten times as slow.
const (
	rounds  = 40
	longest = 4
)
