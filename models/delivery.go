package models

import "time"

// Delivery is something on its way to one receiver. Its ID is the receiver's to
// see: a delivery that is repeated comes under the same one.
type Delivery struct {
	ID        ID
	Channel   Channel
	Attempts  int // begun, this one included
	Token     ID  // of the lease under which it is being made
	CreatedAt time.Time

	Webhook *Webhook // of ChannelWebhook
	Event   *Event

	To   string // of the others: the user's address, "" if there is none any more
	Text Text
}

// Attempt is what came of one try to deliver.
type Attempt struct {
	Result Result
	// Detail says why, for people: no more than a status and a few words of our
	// own, for what a receiver says may be anything.
	Detail string
	// After is how long the receiver asks to be left alone; 0: it does not say.
	After time.Duration
}

// Result is how a try ended.
type Result uint8

// The four results.
const (
	ResultSent    Result = iota // the receiver has taken it
	ResultRetry                 // it has not, and may do so later
	ResultRefused               // it never will
	ResultGone                  // there is no such receiver any more, for this or anything else
)

// Queue is where deliveries wait that share a receiver.
type Queue struct {
	Name string
	Next time.Time // when the first of them may go out
}
