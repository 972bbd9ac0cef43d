package models

import "time"

// LockState says where a lock is in its life. Only locked has a way out.
//
//	locked → confirmed            Confirm within the TTL
//	locked → cancelled            Cancel
//	locked → expired              past the TTL: the server cancels
//	(none) → cancelled            Cancel before Try: a tombstone, so that the late Try is refused
type LockState string

// The four states.
const (
	LockLocked    LockState = "locked"
	LockConfirmed LockState = "confirmed"
	LockCancelled LockState = "cancelled"
	LockExpired   LockState = "expired"
)

// Why a step of a lock is refused.
const (
	CodeXIDReused     Code = "xid_reused"
	CodeLockCancelled Code = "lock_cancelled"
	CodeLockConfirmed Code = "lock_confirmed"
	CodeLockExpired   Code = "lock_expired"
	CodeNotConfirmed  Code = "lock_not_confirmed"
	CodeNotApplicable Code = "not_applicable"
	CodeRefundReused  Code = "refund_id_reused"
)

// Bounds of a lock.
const (
	DefaultLockTTL = 15 * time.Minute
	MaxLockTTL     = 7 * 24 * time.Hour
	MaxLockCoupons = 10
)

// Lock is an order's hold on its coupons and budgets. Its quote was made at Try
// and never changes.
type Lock struct {
	ID        ID
	XID       string // "": none
	OrderID   string // "" in a tombstone
	UserID    string // "" in a tombstone
	State     LockState
	Frozen    *Frozen // nil in a tombstone
	ExpiresAt time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Try asks for a lock. ID becomes the lock's id; Hash is of the request, to tell
// the same one from another with the same XID.
type Try struct {
	ID        ID
	XID       string
	OrderID   string
	Hash      [32]byte
	Cart      Cart
	UserTags  []string
	CouponIDs []ID
	Codes     []string // of the user's own coupons, normalized
	At        time.Time
	TTL       time.Duration
	Actor     string // the credential, for the record of operations
	Key       *IdempotencyKey
}

// LockEnd asks for a lock to be confirmed, cancelled or expired.
type LockEnd struct {
	XID   string
	To    LockState // confirmed, cancelled or expired
	NewID ID        // of the tombstone, should there be no lock to cancel
	At    time.Time
	Actor string
}

// LockVerdict is what became of a Try or an end: the lock as it is now, or why
// not. Made tells a new lock from one that was there.
type LockVerdict struct {
	Lock    *Lock
	Made    bool
	Refused *Error
	Replay  error // the answer that an earlier Try with the same key got
}

// WalletCoupon is a coupon with everything by which it is judged: the rule
// version of its claim, and of its template what cannot change any more.
type WalletCoupon struct {
	Coupon
	MerchantID string // the template's owner
	Currency   string
	TimeZone   string
	Return     ReturnPolicy
	Rule       *Rule // shared; must not be changed
	Budgets    []BudgetView
}

// BudgetView is what an application of a coupon may still take of a budget.
type BudgetView struct {
	ID      ID
	Kind    BudgetKind
	Limited bool  // the budget or the user's part of it
	Left    int64 // the less of what is left of both
}

// RefundRequest asks for units of a confirmed lock to be refunded.
type RefundRequest struct {
	XID      string
	RefundID string
	Hash     [32]byte
	Lines    []RefundLine
	At       time.Time
	Actor    string
	Key      *IdempotencyKey
}

// CouponOperation is one step in the life of a coupon: who did what, in which
// lock, and when.
type CouponOperation struct {
	ID       ID        `json:"id"`
	CouponID ID        `json:"coupon_id"`
	LockID   ID        `json:"lock_id"`
	Step     string    `json:"step"` // lock, confirm, cancel, expire, return
	Actor    string    `json:"actor"`
	At       time.Time `json:"at"`
}
