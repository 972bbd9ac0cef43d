// Package failpoint names the steps at which a server can be made to die, to
// show that nothing is lost when it does: those after which something is half
// done, in one store and not yet in the other, or done and told to nobody.
//
// In an ordinary build there is nothing of it: Reach is empty, and inlined. With
// the build tag failpoint it reads two variables when it is first called:
//
//	FAILPOINT        what to die of, and at which time it is reached: "claim.written:7"
//	FAILPOINT_FIRED  a file to which the step is written by whoever died of it
//
// Several, with commas between them, come one after the other, each in another
// life: what the file has already is passed over. So a server that is started
// again with the same variables lives on, or dies of the next.
package failpoint

// Step is a place in the code.
type Step string

// The steps. Each is reached by one line of the code, which stands where its
// comment says.
const (
	ClaimReserved  Step = "claim.reserved"  // the gate has set a unit aside, the database knows nothing
	ClaimLocked    Step = "claim.locked"    // the batch's templates are locked, nothing is written
	ClaimWritten   Step = "claim.written"   // all is written, nothing is committed
	ClaimCommitted Step = "claim.committed" // committed; neither the gate nor the caller knows
	ClaimTold      Step = "claim.told"      // the gate knows

	LockEntered   Step = "lock.entered" // rows are locked, nothing is decided
	LockWritten   Step = "lock.written"
	LockCommitted Step = "lock.committed"

	EndEntered   Step = "end.entered" // as for a lock, of a confirm, a cancel or an expiry
	EndWritten   Step = "end.written"
	EndCommitted Step = "end.committed"
	ExpireListed Step = "expire.listed" // the job knows which locks to end

	RemindWritten   Step = "remind.written"   // messages are written and reminders deleted, nothing is committed
	RemindCommitted Step = "remind.committed" // the users have their messages

	AnswerOpen Step = "answer.open" // a lock or its end is committed, its idempotency key is not kept
	AnswerKept Step = "answer.kept" // it is kept, and told to nobody

	RefundEntered   Step = "refund.entered"
	RefundInserted  Step = "refund.inserted" // the refund stands, neither units nor budgets nor coupons have moved
	RefundWritten   Step = "refund.written"
	RefundCommitted Step = "refund.committed"

	RebuildNumbered Step = "rebuild.numbered" // the new epoch is committed, the gate has the old one or none
	RebuildBegun    Step = "rebuild.begun"    // the gate is loading, and has nobody yet
	RebuildLoaded   Step = "rebuild.loaded"   // it has everybody, and is still cold
	RebuildOpened   Step = "rebuild.opened"

	SettleBuried    Step = "settle.buried"    // tombstones are written, not committed
	SettleCommitted Step = "settle.committed" // committed; the gate has what is pending still
	SettleTold      Step = "settle.told"

	TaskLeased    Step = "task.leased"    // a worker has a task, and has done nothing for it
	TaskWritten   Step = "task.written"   // all that it is about and its end are written, not committed
	TaskCommitted Step = "task.committed" // committed; the gate does not know of the coupons
	TaskTold      Step = "task.told"
)

// Steps lists all of them.
func Steps() []Step {
	return []Step{
		ClaimReserved, ClaimLocked, ClaimWritten, ClaimCommitted, ClaimTold,
		LockEntered, LockWritten, LockCommitted,
		EndEntered, EndWritten, EndCommitted, ExpireListed,
		RemindWritten, RemindCommitted,
		AnswerOpen, AnswerKept,
		RefundEntered, RefundInserted, RefundWritten, RefundCommitted,
		RebuildNumbered, RebuildBegun, RebuildLoaded, RebuildOpened,
		SettleBuried, SettleCommitted, SettleTold,
		TaskLeased, TaskWritten, TaskCommitted, TaskTold,
	}
}
