// Package faults makes happen what can go wrong, while a sale goes on, and
// demands that nothing was lost, sold twice or paid twice.
//
// A row is one line of the table in docs/reliability.md: an own set of stores
// and servers, a load of many users, a fault that strikes several times, and
// what must hold. All that is random in a run comes from its seed. When the
// last fault is healed the run waits until all is quiet, reads the stores and
// the API, and has package history judge them against what the users saw. A
// fault that never struck, or a load that hardly was one, is a failure too.
//
//	make faults                      every row, a few seeds
//	make faults SEEDS=40             a campaign
//	make faults ROWS=redis           the rows of that name
//	make faults REPLAY=folder        judge once more what a failed run left
//
// To add a row: append it in one of the rows_*_test.go files to what that
// file's function returns.
package faults
