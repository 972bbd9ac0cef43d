//go:build !race

package store_test

// rounds is how often each pair of steps is raced.
const rounds = 200
