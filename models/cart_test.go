package models

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCartCheck(t *testing.T) {
	t.Parallel()
	line := func(id string) CartLine { return CartLine{LineID: id, SKU: "s", Quantity: 1, UnitPrice: 100} }
	for name, c := range map[string]struct {
		spoil func(c *Cart)
		want  []string
	}{
		"sound":             {func(*Cart) {}, nil},
		"free units":        {func(c *Cart) { c.Lines[0].UnitPrice = 0 }, nil},
		"no user":           {func(c *Cart) { c.UserID = "" }, []string{"user_id required"}},
		"currency":          {func(c *Cart) { c.Currency = "usd" }, []string{"currency invalid"}},
		"no lines":          {func(c *Cart) { c.Lines = nil }, []string{"lines required"}},
		"too many lines":    {func(c *Cart) { c.Lines = make([]CartLine, 201) }, []string{"lines out_of_range"}},
		"a line twice":      {func(c *Cart) { c.Lines[1].LineID = "a" }, []string{"lines[1].line_id duplicate"}},
		"no units":          {func(c *Cart) { c.Lines[1].Quantity = 0 }, []string{"lines[1].quantity out_of_range"}},
		"10,000 units":      {func(c *Cart) { c.Lines[1].Quantity = 9999 }, nil},
		"10,001 units":      {func(c *Cart) { c.Lines[1].Quantity = 10_000 }, []string{"lines out_of_range"}},
		"price":             {func(c *Cart) { c.Lines[1].UnitPrice = -1 }, []string{"lines[1].unit_price out_of_range"}},
		"shipping":          {func(c *Cart) { c.Shipping = -1 }, []string{"shipping out_of_range"}},
		"the largest total": {func(c *Cart) { c.Lines[0].UnitPrice, c.Shipping = MaxAmount-101, 1 }, nil},
		"too large a total": {func(c *Cart) { c.Lines[0].UnitPrice, c.Shipping = MaxAmount-100, 1 }, []string{"lines out_of_range"}},
		"overflow":          {func(c *Cart) { c.Lines[0].UnitPrice, c.Lines[0].Quantity = MaxAmount, 9000 }, []string{"lines out_of_range"}},
		"long sku":          {func(c *Cart) { c.Lines[0].SKU = strings.Repeat("x", 65) }, []string{"lines[0].sku out_of_range"}},
		"a category twice":  {func(c *Cart) { c.Lines[0].CategoryIDs = []string{"x", "x"} }, []string{"lines[0].category_ids duplicate"}},
	} {
		cart := Cart{UserID: "u", Currency: "USD", Lines: []CartLine{line("a"), line("b")}}
		c.spoil(&cart)
		faults := NewFaults()
		cart.Check(faults)
		var got []string
		for _, f := range *faults.list {
			got = append(got, f.Field+" "+string(f.Code))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", name, diff)
		}
	}
}

func TestFormatAmount(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"12.50 USD": FormatAmount(1250, "USD"),
		"0.05 USD":  FormatAmount(5, "USD"),
		"-0.05 USD": FormatAmount(-5, "USD"),
		"1250 JPY":  FormatAmount(1250, "JPY"),
		"1.250 KWD": FormatAmount(1250, "KWD"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
