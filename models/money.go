package models

import (
	"fmt"
	"strings"
)

// MaxAmount bounds every amount of money, in minor units of its currency.
const MaxAmount = 1_000_000_000_000_000

// currencies are the codes in force of ISO 4217 (since 1 January 2026) that
// have a minor unit, without which an amount in minor units means nothing: not
// gold (XAU), the code for tests (XTS) or that for no currency (XXX). The table
// of golang.org/x/text/currency is not used: it is of 2017, takes the mark and
// refuses the bolívar.
const currencies = " AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD" +
	" CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP" +
	" GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY" +
	" KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD" +
	" MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR" +
	" PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF" +
	" SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS" +
	" UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG "

// CheckCurrency notes a code that is not one of a currency in force, in capitals.
func CheckCurrency(f Faults, field, code string) {
	switch {
	case code == "":
		f.Require(false, field)
	case len(code) != len("USD") || !strings.Contains(currencies, " "+code+" "):
		f.Add(field, CodeInvalid, "must be an ISO 4217 code such as USD")
	}
}

// exponent is how many digits of a currency's unit its minor unit has.
func exponent(code string) int {
	const (
		none  = " BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF "
		three = " BHD IQD JOD KWD LYD OMR TND "
		four  = " CLF UYW "
	)
	for digits, list := range map[int]string{0: none, 3: three, 4: four} {
		if strings.Contains(list, " "+code+" ") {
			return digits
		}
	}
	return 2
}

// FormatAmount writes an amount of minor units, within MaxAmount, for people:
// "12.50 USD".
func FormatAmount(amount int64, code string) string {
	scale := int64(1)
	for range exponent(code) {
		scale *= 10
	}
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	if scale == 1 {
		return fmt.Sprintf("%s%d %s", sign, amount, code)
	}
	return fmt.Sprintf("%s%d.%0*d %s", sign, amount/scale, exponent(code), amount%scale, code)
}
