// Package planted proves that the tests would notice. It holds a list of bugs,
// each a few lines and each a way in which coupons get lost, sold twice or paid
// twice; plants them one at a time in a copy of the tree; and demands that the
// test which is named beside it goes red there.
//
//	make faults-selftest              all of them
//	make faults-selftest BUGS=gate    those whose name matches
//
// An ordinary run of the tests only sees that every bug can still be planted. To
// add one: append it to the list, with the cheapest test that catches it.
package planted
