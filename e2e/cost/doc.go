// Package cost weighs a durable claim: the processor time that Scrip, MariaDB
// and Redis spend on one, against that of a handler which does nothing but
// bind the same body and answer the same JSON. It is a benchmark; each of its
// iterations is a round in which all take turns under the same load:
//
//	go test ./e2e/cost -run '^$' -bench . -benchtime 5x [-max-ratio 2.5] [-scrip path] [-seconds 4] [-conns 128]
//
// Without -scrip it builds the server from this module. It reads /proc, and so
// runs on Linux only.
package cost
