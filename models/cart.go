package models

import "math/bits"

// Bounds of a cart, beside MaxUnits and MaxAmount.
const (
	MaxLines          = 200
	MaxLineCategories = 100
)

// Cart is an order that is not placed yet, as a checkout sees it. All money is
// in minor units of Currency.
type Cart struct {
	UserID        string     `json:"user_id"`
	Currency      string     `json:"currency"`
	MerchantID    string     `json:"merchant_id,omitempty"`
	Lines         []CartLine `json:"lines"`
	Shipping      int64      `json:"shipping,omitempty"`
	PaymentMethod string     `json:"payment_method,omitempty"`
	Channel       string     `json:"channel,omitempty"`
	FirstOrder    bool       `json:"first_order,omitempty"`
}

// CartLine is so many units of one thing at one price each.
type CartLine struct {
	LineID      string   `json:"line_id"`
	SKU         string   `json:"sku"`
	CategoryIDs []string `json:"category_ids,omitempty"`
	Quantity    int64    `json:"quantity"`
	UnitPrice   int64    `json:"unit_price"`
	MerchantID  string   `json:"merchant_id,omitempty"`
}

// Owner returns the merchant whom a line belongs to: its own, else the cart's,
// else none ("").
func (c *Cart) Owner(line *CartLine) string {
	if line.MerchantID != "" {
		return line.MerchantID
	}
	return c.MerchantID
}

// Totals returns Σ quantity × unit_price and Σ quantity over the lines. It is
// not ok when a number is out of its bounds, alone or with the others and the
// shipping.
func (c *Cart) Totals() (subtotal, units int64, ok bool) {
	if c.Shipping < 0 || c.Shipping > MaxAmount {
		return 0, 0, false
	}
	for i := range c.Lines {
		line := &c.Lines[i]
		if line.Quantity < 1 || line.Quantity > MaxUnits || line.UnitPrice < 0 || line.UnitPrice > MaxAmount {
			return 0, 0, false
		}
		hi, lo := bits.Mul64(uint64(line.Quantity), uint64(line.UnitPrice))
		if hi != 0 || lo > MaxAmount {
			return 0, 0, false
		}
		subtotal += int64(lo)
		units += line.Quantity
		if subtotal+c.Shipping > MaxAmount || units > MaxUnits {
			return 0, 0, false
		}
	}
	return subtotal, units, true
}

// Check notes every fault of the cart's fields.
func (c *Cart) Check(f Faults) {
	CheckForeign(f, "user_id", c.UserID)
	CheckCurrency(f, "currency", c.Currency)
	for name, s := range map[string]string{
		"merchant_id": c.MerchantID, "payment_method": c.PaymentMethod, "channel": c.Channel,
	} {
		if s != "" {
			CheckForeign(f, name, s)
		}
	}
	f.Between("shipping", c.Shipping, 0, MaxAmount)
	switch n := len(c.Lines); {
	case n == 0:
		f.Require(false, "lines")
	case n > MaxLines:
		f.Add("lines", CodeOutOfRange, "must have 1 to %d elements", MaxLines)
	default:
		c.checkLines(f)
	}
}

func (c *Cart) checkLines(f Faults) {
	seen := make(map[string]bool, len(c.Lines))
	var units int64
	sound := true // every number within its own bounds
	for i := range c.Lines {
		line := &c.Lines[i]
		line.check(f.At("lines", i))
		if seen[line.LineID] && line.LineID != "" {
			f.At("lines", i).Add("line_id", CodeNotUnique, "%q is named twice", line.LineID)
		}
		seen[line.LineID] = true
		sound = sound && line.Quantity >= 1 && line.Quantity <= MaxUnits &&
			line.UnitPrice >= 0 && line.UnitPrice <= MaxAmount
		units = min(units+line.Quantity, MaxUnits+1)
	}
	if !sound || c.Shipping < 0 || c.Shipping > MaxAmount {
		return // said already
	}
	if units > MaxUnits {
		f.Add("lines", CodeOutOfRange, "must have at most %d units in all", MaxUnits)
	} else if _, _, ok := c.Totals(); !ok {
		f.Add("lines", CodeOutOfRange, "must come to at most %d with the shipping", int64(MaxAmount))
	}
}

func (l *CartLine) check(f Faults) {
	CheckForeign(f, "line_id", l.LineID)
	CheckForeign(f, "sku", l.SKU)
	if l.MerchantID != "" {
		CheckForeign(f, "merchant_id", l.MerchantID)
	}
	checkForeignList(f, "category_ids", l.CategoryIDs, MaxLineCategories)
	f.Between("quantity", l.Quantity, 1, MaxUnits)
	f.Between("unit_price", l.UnitPrice, 0, MaxAmount)
}
