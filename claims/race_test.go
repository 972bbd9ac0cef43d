//go:build race

package claims_test

// checks is how many examples the model is held against; the detector makes each
// ten times as slow.
const checks = "40"
