package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

// terms are what all coupons of one template and rule version are judged by.
// They never change: a rule version does not, and of a template that has coupons
// neither does anything of this.
type terms struct {
	merchantID string
	currency   string
	zone       string
	returns    models.ReturnPolicy
	budgets    []models.ID
	rule       *models.Rule
	remind     []int // days before the end
}

type termsKey struct {
	template models.ID
	version  int
}

// termsCache keeps terms once they were read. The zero value is ready to use,
// also concurrently.
type termsCache struct {
	mu    sync.Mutex
	known map[termsKey]*terms
}

// maxTerms bounds the cache. When it is full it starts over: the templates of
// the day are back in it at once.
const maxTerms = 4096

// find returns the terms that are known, and the keys of the others.
func (c *termsCache) find(keys []termsKey) (known map[termsKey]*terms, missing []termsKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known = make(map[termsKey]*terms, len(keys))
	for _, key := range keys {
		if found := c.known[key]; found != nil {
			known[key] = found
		} else if !slices.Contains(missing, key) {
			missing = append(missing, key)
		}
	}
	return known, missing
}

func (c *termsCache) add(key termsKey, found *terms) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxTerms {
		c.known = map[termsKey]*terms{}
	}
	c.known[key] = found
}

// termsOf finds the terms of every coupon.
func (s *Store) termsOf(orm *gorm.DB, coupons []models.Coupon) (map[termsKey]*terms, error) {
	keys := make([]termsKey, 0, len(coupons))
	for i := range coupons {
		keys = append(keys, keyOf(&coupons[i]))
	}
	known, missing := s.terms.find(keys)
	if len(missing) == 0 {
		return known, nil
	}
	read, err := readTerms(orm, missing)
	if err != nil {
		return nil, err
	}
	for _, key := range missing {
		if read[key] == nil {
			return nil, fmt.Errorf("template %s has no rule version %d", key.template, key.version)
		}
		known[key] = read[key]
		s.terms.add(key, read[key])
	}
	return known, nil
}

func keyOf(c *models.Coupon) termsKey { return termsKey{c.TemplateID, c.RuleVersion} }

func readTerms(orm *gorm.DB, keys []termsKey) (map[termsKey]*terms, error) {
	ids := make([]models.ID, len(keys))
	for i, key := range keys {
		ids[i] = key.template
	}
	var templates []templateRow
	if err := orm.Where("id IN ?", unique(ids)).Find(&templates).Error; err != nil {
		return nil, fmt.Errorf("read templates of coupons: %w", err)
	}
	if err := addBudgets(orm, templates); err != nil {
		return nil, err
	}
	rules, err := readVersions(orm, templates)
	if err != nil {
		return nil, err
	}
	byID := make(map[models.ID]*templateRow, len(templates))
	for i := range templates {
		byID[templates[i].ID] = &templates[i]
	}
	read := make(map[termsKey]*terms, len(keys))
	for _, key := range keys {
		t := byID[key.template]
		if t == nil {
			continue
		}
		if rule := rules[termsKey{t.RuleID, key.version}]; rule != nil {
			read[key] = &terms{t.MerchantID, t.Currency, t.TimeZone, t.ReturnPolicy, t.BudgetIDs, rule, t.RemindBeforeDays}
		}
	}
	return read, nil
}

// readVersions finds all versions of the templates' rules, by rule and version.
func readVersions(orm *gorm.DB, templates []templateRow) (map[termsKey]*models.Rule, error) {
	ids := make([]models.ID, len(templates))
	for i := range templates {
		ids[i] = templates[i].RuleID
	}
	var rows []ruleVersionRow
	if err := versions(orm).Where("rule_versions.rule_id IN ?", unique(ids)).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read rules of coupons: %w", err)
	}
	rules := make(map[termsKey]*models.Rule, len(rows))
	for i := range rows {
		rule, err := rows[i].rule()
		if err != nil {
			return nil, err
		}
		rules[termsKey{rule.ID, rule.Version}] = &rule
	}
	return rules, nil
}

// walletCoupon is a coupon with all by which it is judged at the given time.
func (l *ledger) walletCoupon(c models.Coupon, by *terms, at time.Time) models.WalletCoupon {
	w := models.WalletCoupon{
		Coupon: c, MerchantID: by.merchantID, Currency: by.currency, TimeZone: by.zone,
		Return: by.returns, Rule: by.rule,
	}
	for _, id := range by.budgets {
		if view, ok := l.view(id, c.UserID, at); ok {
			w.Budgets = append(w.Budgets, view)
		}
	}
	return w
}

// budgetIDs lists the budgets that the coupons of some terms count against.
func budgetIDs(of map[termsKey]*terms) []models.ID {
	var ids []models.ID
	for _, by := range of {
		ids = append(ids, by.budgets...)
	}
	return unique(ids)
}

// places lists the counters that a coupon is judged by.
func (l *ledger) places(into []place, by *terms, user string, at time.Time) []place {
	for _, id := range by.budgets {
		if b := l.budgets[id]; b != nil {
			into = append(into, place{id, b.start(at), user})
		}
	}
	return into
}

// readCoupons reads coupons by a condition.
func readCoupons(ctx context.Context, q querier, hint, where string, args ...any) ([]models.Coupon, error) {
	var coupons []models.Coupon
	err := query(ctx, q, "SELECT "+couponColumns+" FROM coupons"+hint+" WHERE "+where, args,
		func(scan func(...any) error) error {
			c, err := scanCoupon(scan)
			coupons = append(coupons, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read coupons: %w", err)
	}
	return coupons, nil
}

// Wallet reads those of the named coupons, by id or code, that are the user's,
// whatever their status, and what their budgets have left. Nothing is locked:
// all of it may be otherwise a moment later.
func (s *Store) Wallet(ctx context.Context, userID string, ids []models.ID, codes []string, now time.Time) ([]models.WalletCoupon, error) {
	var coupons []models.Coupon
	for _, by := range []struct {
		column string
		args   []any
	}{{"id", anys(ids)}, {"code", anys(codes)}} {
		if len(by.args) == 0 {
			continue
		}
		found, err := readCoupons(ctx, s.sql, "", by.column+" IN ("+marks(len(by.args))+") AND user_id = ?",
			append(by.args, userID)...)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if !slices.ContainsFunc(coupons, func(other models.Coupon) bool { return other.ID == c.ID }) {
				coupons = append(coupons, c)
			}
		}
	}
	return s.wallet(ctx, coupons, now)
}

// WalletOf reads the user's coupons that are stored as available or locked, at
// most limit of them: those that have expired since come last, else the newest
// come first.
func (s *Store) WalletOf(ctx context.Context, userID string, limit int, now time.Time) ([]models.WalletCoupon, error) {
	coupons, err := readCoupons(ctx, s.sql, "",
		"user_id = ? AND status IN ('available', 'locked') ORDER BY status = 'available' AND expires_at <= ?, id DESC LIMIT ?",
		userID, millis(now), limit)
	if err != nil {
		return nil, err
	}
	return s.wallet(ctx, coupons, now)
}

func (s *Store) wallet(ctx context.Context, coupons []models.Coupon, now time.Time) ([]models.WalletCoupon, error) {
	of, err := s.termsOf(s.orm.WithContext(ctx), coupons)
	if err != nil {
		return nil, err
	}
	l, err := s.openLedger(ctx, s.sql, budgetIDs(of), false)
	if err != nil {
		return nil, err
	}
	var places []place
	for i := range coupons {
		places = l.places(places, of[keyOf(&coupons[i])], coupons[i].UserID, now)
	}
	if err := l.read(ctx, s.sql, places); err != nil {
		return nil, err
	}
	wallet := make([]models.WalletCoupon, len(coupons))
	for i, c := range coupons {
		wallet[i] = l.walletCoupon(c, of[keyOf(&coupons[i])], now)
	}
	return wallet, nil
}
