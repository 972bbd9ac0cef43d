package models

import "time"

// Reservation asks the gate for one unit of a template's stock for one user.
type Reservation struct {
	TemplateID ID
	ClaimID    ID
	UserID     string
	Epoch      int64 // the template row's, as the caller knows it
}

// GateAnswer is what the gate says to a reservation. It is a filter's word
// only: MySQL decides.
type GateAnswer uint8

// The six answers.
const (
	GateAway    GateAnswer = iota // unreachable, or its reply was lost: anything may have happened
	GateTaken                     // one unit is set aside for this claim id (now, or by an earlier call)
	GateLimit                     // the user has, or has pending, as many as one may have
	GateSoldOut                   // nothing left and nothing pending
	GateBusy                      // nothing left, but something pending that may come back
	GateCold                      // the gate does not hold this epoch of the template: rebuild it
)

// GateStep is what became of a claim, to be told to the gate.
type GateStep uint8

// The three steps. Confirm and Release do nothing unless the claim is pending,
// so they may be repeated; Record may not.
const (
	GateConfirm GateStep = iota // the coupon exists: forget that it was pending
	GateRelease                 // it will never exist: give the unit back and forget the user's part in it
	GateRecord                  // the coupon exists without a reservation: confirm it if it is pending, else take a unit and count the user
)

// GateOutcome tells the gate what became of one claim.
type GateOutcome struct {
	TemplateID ID
	ClaimID    ID
	UserID     string
	Epoch      int64
	Step       GateStep
}

// GateLoad is what a rebuild loads into the gate for a template.
type GateLoad struct {
	TemplateID ID
	Epoch      int64
	StockEdits int64
	Limit      int64
	Stock      int64 // GateUnlimited without one
	Left       int64 // of it, not yet claimed
}

// GateUnlimited stands for no stock limit; exact in Lua's double.
const GateUnlimited = int64(1) << 52

// Holder is a user and how many coupons of one template they hold.
type Holder struct {
	UserID string
	Count  int64
}

// PendingClaim is a reservation that was neither confirmed nor released.
type PendingClaim struct {
	ClaimID ID
	UserID  string
	Since   time.Time
}

// GateState is the gate's view of one template. Moves counts every change, so
// that two readings with the same Moves saw nothing happen in between.
type GateState struct {
	Open    bool // false: cold, or still being loaded
	Epoch   int64
	Left    int64
	Pending int64
	Users   int64 // at the limit
	Moves   int64
}

// TemplateCount is what the store says of a template that the gate has a copy of.
type TemplateCount struct {
	Epoch   int64
	Stock   *int64 // nil: no end
	Claimed int64
}
