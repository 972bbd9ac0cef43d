package main

import (
	"context"
	"fmt"
	"net/http"

	"scrip/client"
)

// The users who own wallets, and how many coupons each has.
const (
	walletUsers = 200
	walletSize  = 50
	walletPage  = 20
)

// fillWallets has each of the users claim one coupon of each of the templates.
func (b *bench) fillWallets(w *way, templates []string) {
	if w.name == "floor" || w.filled {
		return
	}
	w.filled = true
	b.times(w, int64(len(templates)*walletUsers), func(ctx context.Context, c *caller, n int64) error {
		template := templates[(n-1)/walletUsers]
		c.body = fmt.Appendf(c.body[:0], `{"template_id":"%s","user_id":"wallet-%d"}`, template, (n-1)%walletUsers)
		return c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated)
	})
}

// wallets weighs what is read: the first page of a wallet, and what 50 coupons
// of 20 rules would give for a cart of five lines.
func (b *bench) wallets() {
	var all []*subject
	for _, way := range []struct{ name, key string }{{"floor", "floor"}, {"common way", "common"}, {"Scrip", "scrip"}} {
		w := b.way(way.key)
		b.fillWallets(w, b.walletTemplates(w))
		all = append(all, &subject{name: way.name, way: w, do: readWallet})
	}
	b.takeTurns(all)
	title := fmt.Sprintf("Wallet reads: %d of a user's %d coupons", walletPage, walletSize)
	b.show("read/", b.table(title, all, peers{floor: all[0], common: all[1], scrip: all[2]}))

	floor := &subject{name: "floor", way: b.way("floor"), do: qualify}
	scrip := &subject{name: "Scrip", way: b.way("scrip"), do: qualify}
	all = []*subject{floor, scrip}
	b.takeTurns(all)
	title = fmt.Sprintf("Qualify: a cart of 5 lines and a wallet of %d coupons of 20 rules", walletSize)
	b.show("qualify/", b.table(title, all, peers{floor: floor, scrip: scrip}))
}

// walletTemplates opens those that fill a wallet.
func (b *bench) walletTemplates(w *way) []string {
	if w.filled {
		return nil
	}
	if !w.scrip() {
		return w.open(walletSize, plenty)
	}
	const rules = 20
	api := b.api(w)
	var templates []string
	for i := range walletSize {
		if i < rules {
			rule, err := api.CreateRule(b.ctx, shopRule(i))
			b.must(err)
			w.rules = append(w.rules, rule.ID)
		}
		templates = append(templates, b.publishTemplate(api, client.NewTemplate{RuleID: w.rules[i%rules]}))
	}
	return templates
}

// shopRule is the i-th of a shop's rules: percentages off one category, of which
// an order takes one; amounts off from so much on, of which it takes one; free
// shipping; and what stands alone.
func shopRule(i int) client.NewRule {
	n := int64(i)
	rule := client.NewRule{Name: fmt.Sprintf("rule %d", i), Kind: "amount_off"}
	switch i % 4 {
	case 0:
		rule.Effect = client.Effect{AmountOff: 300 + 100*n, Currency: "USD"}
		rule.Conditions = &client.Conditions{MinAmount: 2000 + 500*n}
		rule.Stacking = &client.Stacking{Group: "shop"}
	case 1:
		rule.Kind, rule.Effect = "percent_off", client.Effect{PercentOffBP: 500 + 50*n, MaxDiscount: 2000, Currency: "USD"}
		rule.Scope = &client.Scope{CategoryIDs: []string{fmt.Sprintf("c%d", i%3)}}
		rule.Stacking = &client.Stacking{Group: "category"}
	case 2:
		rule.Kind, rule.Effect = "free_shipping", client.Effect{}
		rule.Conditions = &client.Conditions{MinAmount: 1000 * n}
	default:
		rule.Effect = client.Effect{AmountOff: 700 + 50*n, Currency: "USD"}
		rule.Stacking = &client.Stacking{ExclusiveAll: true}
	}
	return rule
}

func readWallet(ctx context.Context, c *caller, n int64) error {
	c.body = fmt.Appendf(c.body[:0], "/v1/coupons?user_id=wallet-%d&limit=%d", n%walletUsers, walletPage)
	return c.get(ctx, string(c.body), http.StatusOK)
}

func qualify(ctx context.Context, c *caller, n int64) error {
	c.body = append(c.body[:0], `{"cart":`...)
	c.body = appendCart(c.body, fmt.Sprintf("wallet-%d", n%walletUsers), 5)
	c.body = append(c.body, '}')
	return c.post(ctx, "/v1/checkout/qualify", "", c.body, http.StatusOK)
}

// appendCart appends a cart of so many lines, of three categories in turn.
func appendCart(b []byte, user string, lines int) []byte {
	b = fmt.Appendf(b, `{"user_id":"%s","currency":"USD","merchant_id":"shop","shipping":500,"lines":[`, user)
	for i := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"line_id":"%d","sku":"sku-%d","category_ids":["c%d"],"quantity":%d,"unit_price":%d}`,
			i+1, i, i%3, 1+i%3, 1000+250*i)
	}
	return append(b, "]}"...)
}
