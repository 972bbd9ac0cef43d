//go:build !race

package claims_test

// checks is how many examples the model is held against.
const checks = "100"
