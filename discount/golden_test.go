package discount

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// golden is one basket of testdata: a cart, coupons, and what must come out.
// Lines and coupons are named by short ids; a line's sku is its id unless it
// says otherwise, a coupon's rule is its own unless it names another's.
type golden struct {
	Basket  string                `json:"basket"`
	Cart    map[string]goldenLine `json:"cart"`
	Order   goldenOrder           `json:"order"`
	Coupons []goldenCoupon        `json:"coupons"`
	Want    goldenWant            `json:"want"`
	Best    *goldenBest           `json:"best"`
	Refunds []goldenRefund        `json:"refunds"`
}

type goldenLine struct {
	SKU        string   `json:"sku"`
	Price      int64    `json:"price"`
	Quantity   *int64   `json:"quantity"`
	Categories []string `json:"categories"`
	Merchant   string   `json:"merchant"`
}

type goldenOrder struct {
	Currency      string     `json:"currency"`
	Merchant      string     `json:"merchant"`
	Shipping      int64      `json:"shipping"`
	PaymentMethod string     `json:"payment_method"`
	Channel       string     `json:"channel"`
	FirstOrder    bool       `json:"first_order"`
	UserTags      []string   `json:"user_tags"`
	Now           *time.Time `json:"now"`
}

type goldenCoupon struct {
	ID         int64                `json:"id"`
	Rule       int64                `json:"rule"`
	RuleOwner  string               `json:"rule_owner"`
	Owner      string               `json:"owner"`
	Kind       models.Kind          `json:"kind"`
	Effect     models.Effect        `json:"effect"`
	Scope      models.Scope         `json:"scope"`
	Conditions models.Conditions    `json:"conditions"`
	Stacking   json.RawMessage      `json:"stacking"`
	Return     json.RawMessage      `json:"return_policy"`
	Status     *models.CouponStatus `json:"status"`
	ValidFrom  *time.Time           `json:"valid_from"`
	ExpiresAt  *time.Time           `json:"expires_at"`
	Currency   string               `json:"currency"`
	TimeZone   string               `json:"time_zone"`
	Budgets    []goldenBudget       `json:"budgets"`
}

type goldenBudget struct {
	ID   int64             `json:"id"`
	Kind models.BudgetKind `json:"kind"`
	Left *int64            `json:"left"` // none: only tracked
}

// goldenWant gives units as "334, 2 x 333", and for every coupon rejected its
// code, with the shortfall behind it if there is one: "min_amount 250".
type goldenWant struct {
	Subtotal         *int64            `json:"subtotal"`
	Discount         int64             `json:"discount"`
	ShippingDiscount int64             `json:"shipping_discount"`
	Total            int64             `json:"total"`
	Applied          []string          `json:"applied"` // "1: 500", in order
	Units            map[string]string `json:"units"`
	Gifts            []string          `json:"gifts"` // "2 x mug"
	Rejected         map[string]string `json:"rejected"`
}

type goldenBest struct {
	Coupons  []int64 `json:"coupons"`
	Discount int64   `json:"discount"`
}

type goldenRefund struct {
	Return  map[string]int64 `json:"return"`
	Pays    int64            `json:"pays"`
	Lines   map[string]int64 `json:"lines"`
	Budgets map[string]int64 `json:"budgets"`
	Coupons []int64          `json:"coupons"`
	Refused models.Code      `json:"refused"`
}

func TestGoldenBaskets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		for _, g := range readGolden(t, file) {
			count++
			t.Run(filepath.Base(file)+"/"+g.Basket, func(t *testing.T) {
				t.Parallel()
				g.check(t)
			})
		}
	}
	if count < 40 {
		t.Errorf("only %d baskets were found", count)
	}
}

func readGolden(t *testing.T, file string) []golden {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	var baskets []golden
	if err := dec.Decode(&baskets); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return baskets
}

func (g *golden) check(t *testing.T) {
	t.Helper()
	order, wallet := g.order(), g.wallet(t)
	faults := models.NewFaults()
	order.Cart.Check(faults)
	if err := faults.Err(); err != nil {
		t.Fatalf("not a cart: %v", err)
	}
	engine := New(8)
	out, err := engine.Quote(order, wallet)
	if err != nil {
		t.Fatal(err)
	}
	if !g.hasExpression() {
		if diff := cmp.Diff(refQuote(order, wallet).quote(wallet), wordless(out.Quote)); diff != "" {
			t.Errorf("the second implementation says -, the engine +:\n%s", diff)
		}
	}
	if g.Want.Subtotal == nil {
		g.Want.Subtotal = &out.Quote.Subtotal
	}
	if g.Want.Units == nil {
		g.Want.Units = renderUnits(&out.Quote)
	}
	if diff := cmp.Diff(g.Want, g.got(&out.Quote)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	g.checkBest(t, engine, order, wallet)
	g.checkRefunds(t, out.Freeze())
}

// hasExpression: the second implementation knows only some expressions.
func (g *golden) hasExpression() bool {
	return slices.ContainsFunc(g.Coupons, func(c goldenCoupon) bool { return c.Conditions.Expression != "" })
}

func (g *golden) order() Order {
	cart := &models.Cart{
		UserID: "u1", Currency: "USD", MerchantID: g.Order.Merchant, Shipping: g.Order.Shipping,
		PaymentMethod: g.Order.PaymentMethod, Channel: g.Order.Channel, FirstOrder: g.Order.FirstOrder,
	}
	if g.Order.Currency != "" {
		cart.Currency = g.Order.Currency
	}
	for id, l := range g.Cart { // in any order: it changes nothing
		line := models.CartLine{LineID: id, SKU: l.SKU, CategoryIDs: l.Categories, Quantity: 1, UnitPrice: l.Price, MerchantID: l.Merchant}
		if l.Quantity != nil {
			line.Quantity = *l.Quantity
		}
		if line.SKU == "" {
			line.SKU = id
		}
		cart.Lines = append(cart.Lines, line)
	}
	order := Order{Now: sampleNow(), Cart: cart, UserTags: g.Order.UserTags}
	if g.Order.Now != nil {
		order.Now = *g.Order.Now
	}
	return order
}

func (g *golden) wallet(t *testing.T) []Candidate {
	t.Helper()
	var wallet []Candidate
	for _, c := range g.Coupons {
		rule := &models.Rule{
			ID: models.ID(c.ID), MerchantID: c.RuleOwner, Version: 1, Name: "rule", Kind: c.Kind, Effect: c.Effect,
			Scope: c.Scope, Conditions: c.Conditions, Stacking: models.DefaultStacking(),
		}
		if c.Rule != 0 {
			rule.ID = models.ID(c.Rule)
		}
		candidate := Candidate{
			CouponID: models.ID(c.ID), TemplateID: rule.ID, MerchantID: c.Owner, Currency: "USD",
			Status: models.CouponAvailable, ValidFrom: sampleNow().Add(-time.Hour), ExpiresAt: sampleNow().Add(time.Hour),
			Rule: rule, Return: models.DefaultReturnPolicy(),
		}
		for raw, into := range map[*json.RawMessage]any{&c.Stacking: &rule.Stacking, &c.Return: &candidate.Return} {
			if len(*raw) == 0 {
				continue
			}
			if err := json.Unmarshal(*raw, into); err != nil {
				t.Fatal(err)
			}
		}
		c.fill(t, &candidate)
		faults := models.NewFaults()
		rule.Check(faults)
		if err := faults.Err(); err != nil {
			t.Fatalf("coupon %d: not a rule: %v", c.ID, err)
		}
		wallet = append(wallet, candidate)
	}
	return wallet
}

func (c *goldenCoupon) fill(t *testing.T, candidate *Candidate) {
	t.Helper()
	if c.Status != nil {
		candidate.Status = *c.Status
	}
	if c.ValidFrom != nil {
		candidate.ValidFrom = *c.ValidFrom
	}
	if c.ExpiresAt != nil {
		candidate.ExpiresAt = *c.ExpiresAt
	}
	if c.Currency != "" {
		candidate.Currency = c.Currency
	}
	if c.TimeZone != "" {
		zone, err := models.LoadZone(c.TimeZone)
		if err != nil {
			t.Fatal(err)
		}
		candidate.Zone = zone
	}
	for _, b := range c.Budgets {
		budget := Budget{ID: models.ID(b.ID), Kind: b.Kind}
		if b.Left != nil {
			budget.Limited, budget.Left = true, *b.Left
		}
		candidate.Budgets = append(candidate.Budgets, budget)
	}
}

// got writes a quote the way the files do.
func (g *golden) got(q *models.Quote) goldenWant {
	w := goldenWant{
		Subtotal: &q.Subtotal, Discount: q.Discount, ShippingDiscount: q.ShippingDiscount, Total: q.Total,
		Units: renderUnits(q),
	}
	for _, a := range q.Applied {
		w.Applied = append(w.Applied, fmt.Sprintf("%d: %d", a.CouponID, a.Discount+a.ShippingDiscount))
	}
	for _, gift := range q.Gifts {
		w.Gifts = append(w.Gifts, fmt.Sprintf("%d x %s", gift.Quantity, gift.SKU))
	}
	for _, r := range q.Rejected {
		if w.Rejected == nil {
			w.Rejected = map[string]string{}
		}
		text := string(r.Code)
		if r.Shortfall > 0 {
			text += " " + strconv.FormatInt(r.Shortfall, 10)
		}
		w.Rejected[r.CouponID.String()] = text
	}
	return w
}

func renderUnits(q *models.Quote) map[string]string {
	units := map[string]string{}
	for _, line := range q.Lines {
		var runs []string
		for _, r := range line.Units {
			if r.Quantity == 1 {
				runs = append(runs, strconv.FormatInt(r.Total, 10))
			} else {
				runs = append(runs, fmt.Sprintf("%d x %d", r.Quantity, r.Total))
			}
		}
		units[line.LineID] = strings.Join(runs, ", ")
	}
	return units
}

func (g *golden) checkBest(t *testing.T, engine *Engine, order Order, wallet []Candidate) {
	t.Helper()
	if g.Best == nil {
		return
	}
	best, exact, err := engine.Best(order, wallet)
	if err != nil || !exact {
		t.Fatal(exact, err)
	}
	got := goldenBest{Coupons: []int64{}, Discount: best.Discount}
	for _, id := range best.CouponIDs {
		got.Coupons = append(got.Coupons, int64(id))
	}
	if diff := cmp.Diff(*g.Best, got); diff != "" {
		t.Errorf("best: want -, got +:\n%s", diff)
	}
}

func (g *golden) checkRefunds(t *testing.T, frozen models.Frozen) {
	t.Helper()
	frozen = throughJSON(t, frozen)
	before := models.Refunded{Units: map[string]int64{}}
	for i, want := range g.Refunds {
		var ask []models.RefundLine
		for id, n := range want.Return {
			ask = append(ask, models.RefundLine{LineID: id, Quantity: n})
		}
		refund, err := Refund(&frozen, before, ask)
		if want.Refused != "" {
			if !models.IsCode(err, want.Refused) {
				t.Errorf("refund %d: got %v, want %s", i+1, err, want.Refused)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := goldenRefund{Return: want.Return, Pays: refund.Amount}
		if want.Lines != nil {
			got.Lines = map[string]int64{}
			for _, line := range refund.Lines {
				got.Lines[line.LineID] = line.Amount
			}
		}
		for _, b := range refund.BudgetReturned {
			if got.Budgets == nil {
				got.Budgets = map[string]int64{}
			}
			got.Budgets[b.BudgetID.String()] = b.Amount
		}
		for _, id := range refund.CouponsReturned {
			got.Coupons = append(got.Coupons, int64(id))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("refund %d: want -, got +:\n%s", i+1, diff)
		}
		for id, n := range want.Return {
			before.Units[id] += n
		}
		before.Amount += refund.Amount
	}
}

// throughJSON is what becomes of a frozen quote in the database.
func throughJSON(t *testing.T, f models.Frozen) models.Frozen {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back models.Frozen
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Fatalf("a frozen quote changes when it is stored:\n%s", diff)
	}
	return back
}
