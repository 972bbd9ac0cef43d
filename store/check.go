package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Violation is one broken invariant with the row that breaks it.
type Violation struct {
	Invariant string
	Row       string
}

// invariant is a query that finds nothing while all is well; each row that it
// does find is described by its columns.
type invariant struct {
	name string
	sql  string
}

// mostRows bounds how many broken rows of one kind are shown.
const mostRows = 100

func invariants(d dialect) []invariant {
	return slices.Concat(claimInvariants(), expiryInvariants(), budgetInvariants(), lockInvariants(), codeInvariants(), jobInvariants(),
		messageInvariants(), packInvariants(), distributionInvariants(d))
}

func claimInvariants() []invariant {
	return []invariant{
		{
			"claimed counts the template's coupons",
			`SELECT t.id, t.claimed, COUNT(c.id) AS coupons FROM templates t
				LEFT JOIN coupons c ON c.template_id = t.id GROUP BY t.id, t.claimed HAVING t.claimed <> COUNT(c.id)`,
		},
		{
			"no more is claimed than there is stock",
			`SELECT id, stock, claimed FROM templates WHERE stock IS NOT NULL AND claimed > stock`,
		},
		{
			"issue numbers run from 1 to n without gap or double",
			`SELECT template_id, MIN(issue_no) AS first_no, MAX(issue_no) AS last_no, COUNT(*) AS coupons, COUNT(DISTINCT issue_no) AS numbers
				FROM coupons GROUP BY template_id
				HAVING MIN(issue_no) <> 1 OR MAX(issue_no) <> COUNT(*) OR COUNT(DISTINCT issue_no) <> COUNT(*)`,
		},
		{
			"no user has more of a template than one may have",
			`SELECT c.template_id, c.user_id, COUNT(*) AS coupons, t.per_user_limit FROM coupons c
				JOIN templates t ON t.id = c.template_id
				GROUP BY c.template_id, c.user_id, t.per_user_limit HAVING COUNT(*) > t.per_user_limit`,
		},
		{
			"a user's coupons of a template count from 1",
			`SELECT template_id, user_id, MAX(user_seq) AS last_seq, COUNT(*) AS coupons FROM coupons
				GROUP BY template_id, user_id HAVING MAX(user_seq) <> COUNT(*) OR MIN(user_seq) <> 1`,
		},
		{
			"a coupon's template and rule version exist",
			`SELECT c.id, c.template_id, c.rule_version FROM coupons c
				LEFT JOIN templates t ON t.id = c.template_id
				LEFT JOIN rule_versions v ON v.rule_id = t.rule_id AND v.version = c.rule_version
				WHERE t.id IS NULL OR v.rule_id IS NULL`,
		},
		{
			"no code twice",
			`SELECT code, COUNT(*) AS coupons FROM coupons GROUP BY code HAVING COUNT(*) > 1`,
		},
		{
			"a coupon's validity does not end before it begins",
			`SELECT id, valid_from, expires_at FROM coupons WHERE valid_from >= expires_at`,
		},
		{
			"no claim that was settled as lost has a coupon",
			`SELECT d.claim_id, d.template_id FROM claim_tombstones d JOIN coupons c ON c.id = d.claim_id`,
		},
	}
}

// Check looks for broken invariants and returns their names and all that break
// them, at most mostRows of each.
func (s *Store) Check(ctx context.Context) (checked []string, broken []Violation, err error) {
	for _, one := range invariants(s.dialect) {
		rows, err := s.offenders(ctx, one)
		if err != nil {
			return checked, broken, fmt.Errorf("check %q: %w", one.name, err)
		}
		checked = append(checked, one.name)
		broken = append(broken, rows...)
	}
	quotes, err := s.checkQuotes(ctx)
	if err != nil {
		return checked, broken, fmt.Errorf("check the quotes: %w", err)
	}
	checked, broken = append(checked, quoteHolds, quoteRefunded), append(broken, quotes...)
	reminders, err := s.checkReminders(ctx)
	if err != nil {
		return checked, broken, fmt.Errorf("check the reminders: %w", err)
	}
	return append(checked, remindersThere, remindersOf), append(broken, reminders...), nil
}

func (s *Store) offenders(ctx context.Context, one invariant) ([]Violation, error) {
	rows, err := s.sql.QueryContext(ctx, fmt.Sprintf("%s LIMIT %d", one.sql, mostRows))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var found []Violation
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		found = append(found, Violation{Invariant: one.name, Row: describe(columns, values)})
	}
	return found, rows.Err()
}

func describe(columns []string, values []any) string {
	parts := make([]string, len(columns))
	for i, column := range columns {
		value := *values[i].(*any) //nolint:forcetypeassert // made two lines above the scan
		if text, ok := value.([]byte); ok {
			value = string(text)
		}
		parts[i] = fmt.Sprintf("%s=%v", column, value)
	}
	return strings.Join(parts, " ")
}
