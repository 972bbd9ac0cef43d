package models

// TemplateFilter narrows a list of templates; the zero value narrows nothing.
type TemplateFilter struct {
	State      TemplateState
	MerchantID string
	RuleID     ID
}

// CouponFilter narrows a list of coupons; the zero value narrows nothing. The
// status is the one at the time of the question: see Coupon.At.
type CouponFilter struct {
	UserID     string
	Status     CouponStatus
	TemplateID ID
}

// AuditFilter narrows a list of audit entries; the zero value narrows nothing.
type AuditFilter struct {
	Resource   string
	ResourceID ID
	Action     string
}
