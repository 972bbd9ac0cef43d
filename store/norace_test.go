//go:build !race

package store_test

// rounds is how often each pair of steps is raced, and longest how many steps
// a sequence has at most.
const (
	rounds  = 200
	longest = 5
)
