package models_test

import (
	"testing"

	"scrip/models"
)

func TestCheckCurrency(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		codes []string
		want  models.Code // "": nothing wrong
	}{
		"two decimals":                  {[]string{"USD", "EUR", "CNY", "GBP"}, ""},
		"none":                          {[]string{"JPY", "KRW", "VND", "CLP"}, ""},
		"three":                         {[]string{"KWD", "BHD", "TND"}, ""},
		"four":                          {[]string{"CLF", "UYW"}, ""},
		"younger than most tables":      {[]string{"BYN", "MRU", "STN", "VES", "VED", "SLE", "ZWG", "XCG"}, ""},
		"first and last":                {[]string{"AED", "ZWG"}, ""},
		"without a minor unit":          {[]string{"XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XSU", "XUA", "XBA"}, models.CodeInvalid},
		"withdrawn":                     {[]string{"DEM", "FRF", "HRK", "BGN", "SLL", "ZWL", "VEF", "CUC", "ANG"}, models.CodeInvalid},
		"never of ISO 4217":             {[]string{"CNH", "BTC", "AAA", "RMB"}, models.CodeInvalid},
		"not in capitals":               {[]string{"usd", "Usd", "uSD"}, models.CodeInvalid},
		"too short, too long":           {[]string{"U", "US", "USDD", "AED AFN"}, models.CodeInvalid},
		"spaces":                        {[]string{" USD", "USD ", "US ", " US", "D U", "   "}, models.CodeInvalid},
		"the number":                    {[]string{"840"}, models.CodeInvalid},
		"the sign":                      {[]string{"$", "€"}, models.CodeInvalid},
		"letters that look like it":     {[]string{"UЅD", "ＵＳＤ"}, models.CodeInvalid},
		"nothing":                       {[]string{""}, models.CodeRequired},
		"not UTF-8, of the right bytes": {[]string{"US\xff"}, models.CodeInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, code := range tc.codes {
				got := faultsOf(t, func(f models.Faults) { models.CheckCurrency(f, "currency", code) })
				if tc.want == "" {
					wantFaults(t, got)
				} else {
					wantFaults(t, got, fault{"currency", tc.want})
				}
			}
		})
	}
}

// TestCurrencyCodesAreThreeCapitals tries every string of three symbols for
// one that is found across two codes of the list, and counts those found.
func TestCurrencyCodesAreThreeCapitals(t *testing.T) {
	t.Parallel()
	const symbols = " ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	found := 0
	for _, a := range symbols {
		for _, b := range symbols {
			for _, c := range symbols {
				code := string([]rune{a, b, c})
				f := models.NewFaults()
				models.CheckCurrency(f, "currency", code)
				if f.Err() != nil {
					continue
				}
				found++
				if a == ' ' || b == ' ' || c == ' ' {
					t.Errorf("%q was taken", code)
				}
			}
		}
	}
	if found != 164 {
		t.Errorf("%d codes, want the 164 of ISO 4217 that are in force and have a minor unit", found)
	}
}
