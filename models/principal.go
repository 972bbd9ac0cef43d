package models

// Role says what a caller may do.
type Role string

// The four kinds of caller.
const (
	RolePlatform Role = "platform" // everything, over all merchants
	RoleMerchant Role = "merchant" // one merchant's own things
	RoleService  Role = "service"  // checkout, and claims on a user's behalf
	RoleUser     Role = "user"     // an end user, by a JWT
)

// Principal is who calls, as the credential proved it.
type Principal struct {
	Role       Role
	MerchantID string   // of RoleMerchant
	UserID     string   // of RoleUser: the token's sub
	Tags       []string // of RoleUser: the token's tags
	Credential string   // "key:<id>" or "user:<sub>": the scope of idempotency keys and limits
}

// Owns reports whether the caller may see and change what belongs to the given
// merchant ("" for the platform's own).
func (p Principal) Owns(merchantID string) bool {
	if p.Role == RolePlatform {
		return true
	}
	return p.Role == RoleMerchant && merchantID != "" && p.MerchantID == merchantID
}

// OwnerFilter returns the merchant whose things alone the caller may list, and
// whether there is such a restriction.
func (p Principal) OwnerFilter() (merchantID string, restricted bool) {
	return p.MerchantID, p.Role == RoleMerchant
}
