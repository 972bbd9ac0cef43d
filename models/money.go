package models

import "golang.org/x/text/currency"

// MaxAmount bounds every amount of money, in minor units of its currency.
const MaxAmount = 1_000_000_000_000_000

// CheckCurrency notes a code that is not one of ISO 4217.
func CheckCurrency(f Faults, field, code string) {
	if code == "" {
		f.Require(false, field)
		return
	}
	// ParseISO takes lower case too; we keep one spelling.
	if unit, err := currency.ParseISO(code); err != nil || unit.String() != code {
		f.Add(field, CodeInvalid, "must be an ISO 4217 code such as USD")
	}
}
