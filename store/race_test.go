//go:build race

package store_test

// rounds is how often each pair of steps is raced; the detector makes each ten
// times as slow.
const rounds = 40
