package models

import "time"

// Op says on whose behalf a change is made: what its audit row and its
// idempotency record need to know. The store writes both in the transaction of
// the change itself.
type Op struct {
	Actor     Principal
	RequestID string
	At        time.Time
	Key       *IdempotencyKey // nil without the header
}

// IdempotencyKey is the Idempotency-Key of one request, with what is needed to
// tell a retry from a clash and to answer the retry in the first one's words.
type IdempotencyKey struct {
	ID   [32]byte // SHA-256 over credential, route and the caller's key
	Hash [32]byte // SHA-256 over the request's target and body

	// Render turns the outcome into the answer that is sent and kept. It is
	// called inside the transaction, must be pure, and says by keep whether
	// the outcome is one to be repeated: results and 409 refusals are, what
	// was never tried (a bad field, a full waiting room) is not.
	Render func(result any, err error) (answer Replay, keep bool)
}

// Replay is a stored answer. As an error it ends a request with exactly the
// status and body that the first request with the same key got.
type Replay struct { //nolint:errname // it is an answer first, and an error only on its way out
	Status int
	Body   []byte
}

// Error tells what it is, for logs; callers match it with errors.As.
func (r *Replay) Error() string { return "answered before" }

// ErrKeyReused is the refusal of a key that came with another body before.
func ErrKeyReused() *Error {
	return Refuse(CodeKeyReused, "this Idempotency-Key was used before with a different request")
}

// AuditEntry is one row of the record of changes.
type AuditEntry struct {
	ID         ID             `json:"id"`
	At         time.Time      `json:"at"`
	Actor      string         `json:"actor"`
	Role       Role           `json:"role"`
	MerchantID string         `json:"merchant_id,omitempty"`
	Action     string         `json:"action"`
	Resource   string         `json:"resource"`
	ResourceID ID             `json:"resource_id,omitempty"` // 0: a user, who has no id of ours
	RequestID  string         `json:"request_id,omitempty"`
	Detail     map[string]any `json:"detail,omitempty"`
}

// APIKey is a credential as it may be shown: without its secret.
type APIKey struct {
	ID         ID        `json:"id"`
	Role       Role      `json:"role"`
	MerchantID string    `json:"merchant_id,omitempty"`
	Name       string    `json:"name,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
}

// Check says what is wrong with a credential that is to be made.
func (k *APIKey) Check() error {
	f := NewFaults()
	switch k.Role {
	case RoleMerchant:
		CheckForeign(f, "merchant_id", k.MerchantID)
	case RolePlatform, RoleService:
		if k.MerchantID != "" {
			f.Add("merchant_id", CodeInvalid, "goes with role merchant only")
		}
	case RoleUser:
		f.Add("role", CodeInvalid, "must be platform, merchant or service: users come with a token")
	case "":
		f.Require(false, "role")
	default:
		f.Add("role", CodeInvalid, "must be platform, merchant or service")
	}
	if k.Name != "" {
		CheckName(f, "name", k.Name)
	}
	return f.Err()
}

// Lease says that one owner alone does something until a time. Token grows with
// every new owner, so that one who overslept can be told from its successor.
type Lease struct {
	Name  string
	Owner string
	Token int64
	Until time.Time
}
