package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
	"scrip/store"
)

func TestABudgetIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		want := models.BudgetSpec{
			Name: "Größe 大", Kind: models.BudgetAmount, Currency: "JPY", IsLimited: true, Total: models.MaxAmount,
			Period: models.PeriodWeek, PerUserTotal: new(int64(5)), TimeZone: "Asia/Tokyo", AlertAtBP: []int{},
		}
		made := must(f.CreateBudget(ctx, f.op(merchant("m1")), "m1", want))(t)
		read := must(f.Budget(ctx, merchant("m1"), made.ID, f.Now()))(t)
		if diff := cmp.Diff(made, read); diff != "" {
			t.Errorf("created and read differ: %s", diff)
		}
		if diff := cmp.Diff(want, read.BudgetSpec); diff != "" {
			t.Errorf("sent and read differ: %s", diff)
		}
		tracked := must(f.CreateBudget(ctx, f.op(platform()), "", models.BudgetSpec{
			Name: "n", Kind: models.BudgetCount, Period: models.PeriodNone, TimeZone: "UTC", AlertAtBP: []int{1},
		}))(t)
		list := must(f.Budgets(ctx, platform(), models.Page{Limit: 9}, f.Now()))(t)
		if diff := cmp.Diff([]models.Budget{tracked, made}, list); diff != "" {
			t.Errorf("listed otherwise: %s", diff)
		}
		if own := must(f.Budgets(ctx, merchant("m1"), models.Page{Limit: 9}, f.Now()))(t); len(own) != 1 {
			t.Errorf("m1 sees %d", len(own))
		}
		other := merchant("m2")
		_, err := f.Budget(ctx, other, made.ID, f.Now())
		wantCode(t, err, models.CodeNotFound)
		_, err = f.BudgetUsages(ctx, other, made.ID, models.Page{Limit: 9})
		wantCode(t, err, models.CodeNotFound)
		_, err = f.EditBudget(ctx, f.op(other), made.ID, 1, func(*models.Budget) error { return nil })
		wantCode(t, err, models.CodeNotFound)
		if left := must(f.Budgets(ctx, other, models.Page{Limit: 9}, f.Now()))(t); len(left) != 0 {
			t.Errorf("m2 sees %d", len(left))
		}
	})
}

func TestEditsOfABudget(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		b := f.budget(t, money(100))
		s := f.shop(t, allOff(), b.ID)
		s.locked(t, s.try(t, "x", "ann", 60, s.coupons(t, "ann")...))
		edit := func(version int64, change func(*models.Budget)) error {
			_, err := f.EditBudget(ctx, f.op(platform()), b.ID, version, func(b *models.Budget) error {
				change(b)
				return nil
			})
			return err
		}
		wantCode(t, edit(2, func(*models.Budget) {}), models.CodeVersion)
		wantCode(t, edit(1, func(b *models.Budget) { b.Total = 59 }), models.CodeWrongState)
		wantField(t, edit(1, func(b *models.Budget) { b.Kind, b.Currency = models.BudgetCount, "" }), "kind", models.CodeInvalid)
		wantField(t, edit(1, func(b *models.Budget) { b.Period = models.PeriodDay }), "period", models.CodeInvalid)
		refusal := errors.New("no")
		if _, err := f.EditBudget(ctx, f.op(platform()), b.ID, 1, func(*models.Budget) error { return refusal }); !errors.Is(err, refusal) {
			t.Errorf("got %v", err)
		}
		if err := edit(1, func(b *models.Budget) { b.Total, b.Name = 60, "less" }); err != nil {
			t.Fatal(err)
		}
		got := must(f.Budget(ctx, platform(), b.ID, f.Now()))(t)
		if got.Version != 2 || got.Total != 60 || got.Held != 60 || got.Name != "less" || *got.Remaining() != 0 {
			t.Errorf("got %+v", got)
		}
		wantRefused := func(want string, price int64) {
			t.Helper()
			user := fmt.Sprint("user", price, want)
			if verdict := s.commitTries(t, s.try(t, user, user, price, s.coupons(t, user)...))[0]; told(verdict) != want {
				t.Errorf("told %q, want %q", told(verdict), want)
			}
		}
		wantRefused("budget_exhausted", 1)
		if err := edit(2, func(b *models.Budget) { b.IsLimited = false }); err != nil {
			t.Fatal(err)
		}
		wantRefused("made locked", 1000)
		wantCode(t, edit(3, func(b *models.Budget) { b.IsLimited = true }), models.CodeWrongState)
		if err := edit(3, func(b *models.Budget) { b.IsLimited, b.Total = true, 1061 }); err != nil {
			t.Fatal(err)
		}
		wantRefused("budget_exhausted", 2)
		wantRefused("made locked", 1)
		entries := must(f.Audit(ctx, platform(), models.AuditFilter{Action: "budget.edit"}, models.Page{Limit: 9}))(t)
		if len(entries) != 3 || entries[2].ResourceID != b.ID || entries[2].Detail["total"] == nil {
			t.Errorf("got %+v", entries)
		}
		f.sound(t)
	})
}

func TestTenUsesLeftAndFiveHundredLocksAtOnce_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, quota(10))
		s := f.shop(t, allOff(), b.ID)
		answers := s.rush(t, f.another(t), 500, func(int) int64 { return 5 })
		tally := map[string]int{}
		for _, a := range answers {
			tally[a.told]++
		}
		if diff := cmp.Diff(map[string]int{"made locked": 10, "budget_exhausted": 490}, tally); diff != "" {
			t.Error(diff)
		}
		s.wantCounters(t, b.ID, s.Now(), 0, 10)
		f.sound(t)
	})
}

type answer struct {
	told  string
	price int64
}

// rush locks n orders of n users at once, in batches, on two servers.
func (s shop) rush(t *testing.T, other *store.Store, n int, price func(i int) int64) []answer {
	t.Helper()
	names := users(n)
	ids := s.coupons(t, names...)
	answers := make([]answer, n)
	var group sync.WaitGroup
	const size = 25
	for from := 0; from < n; from += size {
		batch := make([]models.Try, size)
		for i := range batch {
			answers[from+i].price = price(from + i)
			batch[i] = s.try(t, names[from+i], names[from+i], answers[from+i].price, ids[from+i])
		}
		on := []*store.Store{s.Store, other}[from/size%2]
		group.Go(func() {
			verdicts, err := on.CommitTries(t.Context(), batch, s.decide)
			if err != nil {
				t.Error(err)
				return
			}
			for i, v := range verdicts {
				answers[from+i].told = told(v)
			}
		})
	}
	group.Wait()
	return answers
}

func TestAMoneyBudgetIsNeverPassedByACent_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const total = 100_00
		b := f.budget(t, money(total))
		s := f.shop(t, allOff(), b.ID)
		held, smallest, refused := int64(0), int64(total), 0
		for _, a := range s.rush(t, f.another(t), 500, func(int) int64 { return 1 + rand.Int64N(20_00) }) {
			switch a.told {
			case "made locked":
				held += a.price
			case "budget_exhausted":
				smallest = min(smallest, a.price)
				refused++
			default:
				t.Errorf("told %q", a.told)
			}
		}
		if held > total || total-held >= smallest || refused == 0 {
			t.Errorf("%d held, %d left, but %d were refused, %d among them", held, total-held, refused, smallest)
		}
		s.wantCounters(t, b.ID, s.Now(), 0, held)
		f.sound(t)
	})
}

func TestAHoldTooLargeBlocksNoSmallerOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, money(100))
		s := f.shop(t, allOff(), b.ID)
		names := users(5)
		ids := s.coupons(t, names...)
		var batch []models.Try
		for i, price := range []int64{60, 50, 40, 1} {
			batch = append(batch, s.try(t, strconv.Itoa(i), names[i], price, ids[i]))
		}
		got := s.commitTries(t, batch...)
		for i, want := range []string{"made locked", "budget_exhausted", "made locked", "budget_exhausted"} {
			if told(got[i]) != want {
				t.Errorf("hold %d: told %q, want %q", i, told(got[i]), want)
			}
		}
		// What is released can be held again, what is used cannot.
		s.commitEnds(t, s.end(t, "0", models.LockConfirmed, s.Now()), s.end(t, "2", models.LockCancelled, s.Now()))
		s.wantCounters(t, b.ID, s.Now(), 60, 0)
		s.locked(t, s.try(t, "4", names[4], 40, ids[4]))
		s.wantCounters(t, b.ID, s.Now(), 60, 40)
		f.sound(t)
	})
}

func TestAUsersPartOfABudget(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		part, tracked := quota(10), quota(0)
		part.PerUserTotal = new(int64(2))
		tracked.IsLimited, tracked.PerUserTotal = false, new(int64(2))
		first, second := f.budget(t, part), f.budget(t, tracked)
		for _, s := range []shop{f.shop(t, allOff(), first.ID), f.shop(t, allOff(), second.ID)} {
			prefix := s.template.ID.String()
			ids := s.coupons(t, "ann", "ann", "ann", "bob")
			got := s.commitTries(t, s.try(t, prefix+"1", "ann", 5, ids[0]), s.try(t, prefix+"2", "ann", 5, ids[1]),
				s.try(t, prefix+"3", "ann", 5, ids[2]), s.try(t, prefix+"4", "bob", 5, ids[3]))
			for i, want := range []string{"made locked", "made locked", "budget_exhausted", "made locked"} {
				if told(got[i]) != want {
					t.Errorf("%d: told %q, want %q", i, told(got[i]), want)
				}
			}
			wallet := must(s.Wallet(t.Context(), "ann", ids, nil, s.Now()))(t)
			if view := wallet[2].Budgets[0]; !view.Limited || view.Left != 0 || view.Kind != models.BudgetCount {
				t.Errorf("ann sees %+v", view)
			}
			s.commitEnds(t, s.end(t, prefix+"1", models.LockCancelled, s.Now()), s.end(t, prefix+"2", models.LockConfirmed, s.Now()))
			s.locked(t, s.try(t, prefix+"5", "ann", 5, ids[2]))
		}
		f.sound(t)
	})
}

// Of each kind of period, an instant before and at a change, in a zone whose
// clocks go forward and back.
func TestAHoldIsOfThePeriodOfItsTry(t *testing.T) {
	t.Parallel()
	instant := func(text string) time.Time { return must(time.Parse(time.RFC3339, text))(t) }
	onBoth(t, func(t *testing.T, f fixture) {
		for _, c := range []struct {
			period  models.Period
			changes time.Time // in Berlin
		}{
			{models.PeriodDay, instant("2027-03-27T23:00:00Z")},   // before the clocks go forward
			{models.PeriodDay, instant("2027-03-28T22:00:00Z")},   // after
			{models.PeriodWeek, instant("2027-10-31T23:00:00Z")},  // Monday after they went back
			{models.PeriodMonth, instant("2027-03-31T22:00:00Z")}, // summer time
			{models.PeriodMonth, instant("2027-10-31T23:00:00Z")}, // winter time
		} {
			spec := quota(1)
			spec.Period, spec.TimeZone = c.period, "Europe/Berlin"
			b := f.budget(t, spec)
			s := f.shopUntil(t, c.changes.AddDate(1, 0, 0), b.ID)
			ids := s.coupons(t, users(4)...)
			at := func(n int, offset time.Duration) string {
				try := s.try(t, fmt.Sprint(b.ID, n), users(4)[n], 5, ids[n])
				try.At, try.TTL = c.changes.Add(offset), day
				return told(s.commitTries(t, try)[0])
			}
			before, after := c.changes.Add(-time.Millisecond), c.changes
			for n, want := range []struct {
				offset time.Duration
				told   string
			}{{-time.Millisecond, "made locked"}, {-2 * time.Millisecond, "budget_exhausted"}, {0, "made locked"}, {time.Millisecond, "budget_exhausted"}} {
				if got := at(n, want.offset); got != want.told {
					t.Errorf("%s at %s: told %q", c.period, c.changes.Add(want.offset), got)
				}
			}
			// The lock ends in the next period, and counts in its own.
			s.commitEnds(t, s.end(t, fmt.Sprint(b.ID, 0), models.LockConfirmed, after))
			s.wantCounters(t, b.ID, before, 1, 0)
			s.wantCounters(t, b.ID, after, 0, 1)
			usages := must(s.BudgetUsages(t.Context(), platform(), b.ID, models.Page{Limit: 9}))(t)
			var steps []string
			for _, u := range usages {
				steps = append(steps, fmt.Sprint(u.Step, " ", u.PeriodStart.Equal(c.changes)))
			}
			if diff := cmp.Diff([]string{"use false", "hold true", "hold false"}, steps); diff != "" {
				t.Errorf("%s: %s", c.period, diff)
			}
		}
		f.sound(t)
	})
}

// shopUntil opens a shop whose coupons are good from long ago up to a time.
func (f fixture) shopUntil(t *testing.T, until time.Time, budgets ...models.ID) shop {
	t.Helper()
	rule := must(f.CreateRule(t.Context(), f.op(platform()), allOff()))(t)
	s := spec(rule.ID, nil, 10)
	s.BudgetIDs, s.Validity = budgets, models.Validity{From: new(time.UnixMilli(0).UTC()), Until: &until}
	return f.shopOf(t, s)
}

func TestANewTotalIsForThisPeriodAndLaterOnes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		spec := quota(5)
		spec.Period = models.PeriodDay
		b := f.budget(t, spec)
		today := f.Now()
		s := f.shopUntil(t, today.Add(9*day), b.ID)
		ids := s.coupons(t, users(9)...)
		for i, ago := range []time.Duration{day, day, day, 0} {
			try := s.try(t, strconv.Itoa(i), users(9)[i], 5, ids[i])
			try.At, try.TTL = today.Add(-ago), 3*day
			s.locked(t, try)
		}
		op := f.op(platform())
		op.At = today
		must(f.EditBudget(t.Context(), op, b.ID, 1, func(b *models.Budget) error { b.Total = 1; return nil }))(t)
		for i, c := range []struct {
			ago  time.Duration
			want string
		}{{0, "budget_exhausted"}, {day, "made locked"}, {-day, "made locked"}, {-day, "budget_exhausted"}} {
			n := 4 + i
			try := s.try(t, strconv.Itoa(n), users(9)[n], 5, ids[n])
			try.At, try.TTL = today.Add(-c.ago), 3*day
			if got := s.commitTries(t, try)[0]; told(got) != c.want {
				t.Errorf("%s ago: told %q, want %q", c.ago, told(got), c.want)
			}
		}
		f.sound(t)
	})
}

func TestAThresholdIsToldOnceAPeriod(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		spec := money(100)
		spec.Period, spec.AlertAtBP = models.PeriodDay, []int{5000, 8000, 10_000}
		b := f.budget(t, spec)
		now := f.Now()
		s := f.shopUntil(t, now.Add(9*day), b.ID)
		names := users(9)
		ids := s.coupons(t, names...)
		hold := func(n int, price int64, at time.Time) {
			try := s.try(t, strconv.Itoa(n), names[n], price, ids[n])
			try.At = at
			s.locked(t, try)
		}
		wantAlerts := func(want ...int) {
			t.Helper()
			var got []int
			for _, text := range must(s.Texts(t.Context(), "SELECT payload FROM outbox WHERE kind = ? ORDER BY id", models.EventBudgetAlert))(t) {
				var alert struct {
					BudgetID  models.ID `json:"budget_id"`
					AlertAtBP int       `json:"alert_at_bp"`
					Used      int64     `json:"used"`
					Held      int64     `json:"held"`
					Total     int64     `json:"total"`
				}
				if err := json.Unmarshal([]byte(text), &alert); err != nil || alert.BudgetID != b.ID || (alert.Used+alert.Held)*10_000 < int64(alert.AlertAtBP)*alert.Total {
					t.Errorf("%s: %v", text, err)
				}
				got = append(got, alert.AlertAtBP)
			}
			if !slices.Equal(got, want) {
				t.Errorf("alerts %v, want %v", got, want)
			}
		}
		hold(0, 49, now)
		wantAlerts()
		hold(1, 31, now)
		wantAlerts(5000, 8000)
		s.commitEnds(t, s.end(t, "0", models.LockConfirmed, now), s.end(t, "1", models.LockCancelled, now))
		hold(2, 45, now)
		wantAlerts(5000, 8000)
		hold(3, 6, now)
		wantAlerts(5000, 8000, 10_000)
		hold(4, 50, now.Add(day))
		wantAlerts(5000, 8000, 10_000, 5000)

		// Less of a total, and what is used of it is more.
		op := f.op(platform())
		op.At = now.Add(day)
		must(s.EditBudget(t.Context(), op, b.ID, 1, func(b *models.Budget) error { b.Total = 60; return nil }))(t)
		wantAlerts(5000, 8000, 10_000, 5000, 8000)
		f.sound(t)
	})
}

func TestClaimsMeetBudgets(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		spec := quota(1)
		spec.Period = models.PeriodDay
		b := f.budget(t, spec)
		tracked := quota(0)
		tracked.IsLimited = false
		s := f.shop(t, allOff(), f.budget(t, tracked).ID, b.ID)
		ids := s.coupons(t, "ann")
		try := s.try(t, "x", "ann", 5, ids[0])
		s.locked(t, try)
		s.coupons(t, "bob") // held is not used
		s.commitEnds(t, s.end(t, "x", models.LockConfirmed, try.At))
		today, tomorrow := s.claim(t, s.template, "cid"), s.claim(t, s.template, "dan")
		today.At = try.At
		tomorrow.At = try.At.Add(day)
		got := s.commit(t, today, tomorrow)
		wantCode(t, got[0].Refused, models.CodeBudgetExhausted)
		if got[1].Coupon == nil || got[1].Coupon.IssueNo != 3 {
			t.Errorf("got %+v", got[1])
		}
		empty := f.shop(t, allOff(), f.budget(t, quota(0)).ID)
		wantCode(t, s.commit(t, s.claim(t, empty.template, "ann"))[0].Refused, models.CodeBudgetExhausted)
		f.sound(t)
	})
}

func TestWhichBudgetsATemplateMayCountAgainst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		create := func(actor models.Principal, owner string, currency string, budgets ...models.ID) (models.Template, error) {
			rule := quarterOff()
			rule.MerchantID = owner
			s := spec(must(f.CreateRule(ctx, f.op(platform()), rule))(t).ID, nil, 1)
			s.BudgetIDs, s.Currency = budgets, currency
			return f.CreateTemplate(ctx, f.op(actor), owner, s)
		}
		own := must(f.CreateBudget(ctx, f.op(merchant("m1")), "m1", money(1)))(t).ID
		count := must(f.CreateBudget(ctx, f.op(merchant("m1")), "m1", quota(1)))(t).ID
		foreign := must(f.CreateBudget(ctx, f.op(merchant("m2")), "m2", quota(1)))(t).ID
		global := f.budget(t, quota(1)).ID
		many := make([]models.ID, models.MaxTemplateBudgets+1)
		for i := range many {
			many[i] = models.ID(i + 1)
		}
		for name, c := range map[string]struct {
			actor    models.Principal
			owner    string
			currency string
			budgets  []models.ID
			want     models.Code
		}{
			"own":                      {merchant("m1"), "m1", "USD", []models.ID{own, count}, ""},
			"the platform's":           {platform(), "m1", "USD", []models.ID{global, own}, ""},
			"count of any currency":    {merchant("m1"), "m1", "EUR", []models.ID{count}, ""},
			"unknown":                  {merchant("m1"), "m1", "USD", []models.ID{own, 7}, models.CodeUnknownRef},
			"another merchant's":       {merchant("m1"), "m1", "USD", []models.ID{foreign}, models.CodeUnknownRef},
			"another's, by platform":   {platform(), "m1", "USD", []models.ID{foreign}, models.CodeUnknownRef},
			"platform's on a merchant": {platform(), "", "USD", []models.ID{own}, models.CodeUnknownRef},
			"the platform's, taken":    {merchant("m1"), "m1", "USD", []models.ID{global}, models.CodeUnknownRef},
			"other currency":           {merchant("m1"), "m1", "EUR", []models.ID{own}, models.CodeCurrencyDiffer},
			"named twice":              {merchant("m1"), "m1", "USD", []models.ID{own, own}, models.CodeNotUnique},
			"too many":                 {merchant("m1"), "m1", "USD", many, models.CodeOutOfRange},
		} {
			made, err := create(c.actor, c.owner, c.currency, c.budgets...)
			if c.want != "" {
				if wantField(t, err, "budget_ids", c.want); t.Failed() {
					t.Fatalf("%s: made %+v", name, made)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if diff := cmp.Diff(made, must(f.Template(ctx, platform(), made.ID))(t)); diff != "" || !slices.Equal(made.BudgetIDs, c.budgets) {
				t.Errorf("%s: %v %s", name, made.BudgetIDs, diff)
			}
		}
	})
}

func TestADraftsBudgetsCanBeEdited(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		global := f.budget(t, money(1)).ID
		own := must(f.CreateBudget(ctx, f.op(merchant("m1")), "m1", quota(1)))(t).ID
		rule := quarterOff()
		rule.MerchantID = "m1"
		s := spec(must(f.CreateRule(ctx, f.op(platform()), rule))(t).ID, nil, 1)
		s.BudgetIDs = []models.ID{global}
		draft := must(f.CreateTemplate(ctx, f.op(platform()), "m1", s))(t)
		edit := func(change func(*models.Template)) (models.Template, error) {
			got, err := f.EditTemplate(ctx, f.op(merchant("m1")), draft.ID, draft.Version, func(t *models.Template) error {
				change(t)
				return nil
			})
			if err == nil {
				draft = got
			}
			return got, err
		}
		// What the platform gave the merchant may keep, but not in another currency.
		got, err := edit(func(t *models.Template) { t.BudgetIDs = []models.ID{own, global} })
		if err != nil || !slices.Equal(got.BudgetIDs, []models.ID{own, global}) {
			t.Errorf("got %v, %v", got.BudgetIDs, err)
		}
		_, err = edit(func(t *models.Template) { t.Currency = "EUR" })
		wantField(t, err, "budget_ids", models.CodeCurrencyDiffer)
		list := must(f.Templates(ctx, merchant("m1"), models.TemplateFilter{}, models.Page{Limit: 5}))(t)
		if len(list) != 1 || !slices.Equal(list[0].BudgetIDs, []models.ID{own, global}) {
			t.Errorf("listed %+v", list)
		}
		if got, err = edit(func(t *models.Template) { t.BudgetIDs = nil }); err != nil || len(got.BudgetIDs) != 0 {
			t.Errorf("got %v, %v", got.BudgetIDs, err)
		}
		if again := must(f.Definition(ctx, draft.ID))(t); len(again.BudgetIDs) != 0 {
			t.Errorf("read %v", again.BudgetIDs)
		}
	})
}

func TestAWalletIsAllByWhichItsCouponsAreJudged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		b := f.budget(t, money(1000))
		s := f.shop(t, quarterOff(), b.ID)
		ids := s.coupons(t, "ann", "ann", "ann", "bob", "ann")
		s.locked(t, s.try(t, "x", "ann", 400, ids[1]))
		s.confirmed(t, s.try(t, "y", "ann", 400, ids[2]))
		must(s.AddRuleVersion(ctx, s.op(platform()), s.template.RuleID, allOff()))(t)
		if err := s.Exec(ctx, "UPDATE coupons SET expires_at = ? WHERE id = ?", s.Now().UnixMilli(), ids[4]); err != nil {
			t.Fatal(err)
		}
		order := func(wallet []models.WalletCoupon) []models.ID {
			var got []models.ID
			for _, c := range wallet {
				got = append(got, c.ID)
			}
			return got
		}
		all := must(s.WalletOf(ctx, "ann", 9, s.Now()))(t)
		if diff := cmp.Diff([]models.ID{ids[1], ids[0], ids[4]}, order(all)); diff != "" {
			t.Error(diff)
		}
		if two := must(s.WalletOf(ctx, "ann", 2, s.Now()))(t); len(two) != 2 {
			t.Errorf("%d of at most 2", len(two))
		}
		got := all[1]
		coupon := must(s.Coupon(ctx, platform(), ids[0]))(t)
		rule := must(s.Rule(ctx, platform(), s.template.RuleID, 1))(t)
		want := models.WalletCoupon{
			Coupon: coupon, Currency: "USD", TimeZone: "UTC", Return: s.template.ReturnPolicy, Rule: &rule,
			Budgets: []models.BudgetView{{ID: b.ID, Kind: models.BudgetAmount, Limited: true, Left: 800}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		named := must(s.Wallet(ctx, "ann", []models.ID{ids[2], ids[3], ids[0]}, []string{coupon.Code, models.NewCode()}, s.Now()))(t)
		if diff := cmp.Diff([]models.ID{ids[0], ids[2]}, slices.Sorted(slices.Values(order(named)))); diff != "" {
			t.Errorf("another's, or one twice: %s", diff)
		}
		if none := must(s.Wallet(ctx, "ann", nil, nil, s.Now()))(t); len(none) != 0 {
			t.Errorf("got %v", none)
		}
	})
}

// Every invariant finds what breaks it.
func TestCheckSeesWhatIsBroken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		s := f.shop(t, allOff(), f.budget(t, quota(100)).ID)
		ids := s.coupons(t, "ann", "bob", "cid")
		s.locked(t, s.try(t, "x", "ann", 5, ids[0]))
		s.confirmed(t, s.try(t, "y", "bob", 5, ids[1]))
		f.sound(t)
		for _, c := range []struct{ sabotage, repair, want string }{
			{"UPDATE budget_periods SET used = used + 1", "UPDATE budget_periods SET used = used - 1", "counters are the sums"},
			{"UPDATE budget_users SET held = held + 1", "UPDATE budget_users SET held = held - 1", "a user's part"},
			{"UPDATE budget_usages SET amount = amount + 1 WHERE step = 'use'", "UPDATE budget_usages SET amount = amount - 1 WHERE step = 'use'", "what its state says"},
			{"UPDATE budget_usages SET amount = amount + 1 WHERE step = 'hold'", "UPDATE budget_usages SET amount = amount - 1 WHERE step = 'hold'", "are those of its quote"},
			{"UPDATE budget_usages SET user_id = 'eve' WHERE step = 'hold'", "UPDATE budget_usages SET user_id = (SELECT user_id FROM locks WHERE locks.id = lock_id) WHERE step = 'hold'", "has its counters"},
			{"UPDATE locks SET state = 'cancelled' WHERE xid = 'x'", "UPDATE locks SET state = 'locked' WHERE xid = 'x'", "locked coupon has a live lock"},
			{"UPDATE coupons SET status = 'available', lock_id = NULL, order_id = NULL WHERE status = 'locked'", "UPDATE coupons SET status = 'locked', order_id = 'order-x', lock_id = (SELECT id FROM locks WHERE xid = 'x') WHERE user_id = 'ann'", "a live lock's coupons"},
			{"DELETE FROM coupon_operations WHERE step = 'confirm'", "", "every step of a lock"},
			{"UPDATE lock_quotes SET refunds = refunds + 1", "UPDATE lock_quotes SET refunds = refunds - 1", "refunds add up"},
			{"UPDATE lock_quotes SET refunded_units = '{\"l1\":2}'", "UPDATE lock_quotes SET refunded_units = NULL", "no more units of a line"},
			{"DELETE FROM lock_quotes", "", "has its quote"},
		} {
			if err := s.Exec(ctx, c.sabotage); err != nil {
				t.Fatalf("%s: %v", c.sabotage, err)
			}
			_, broken, err := s.Check(ctx)
			seen := slices.ContainsFunc(broken, func(v store.Violation) bool { return strings.Contains(v.Invariant, c.want) })
			if err != nil || !seen {
				t.Errorf("%s: not seen as %q but as %v (%v)", c.sabotage, c.want, broken, err)
			}
			if c.repair == "" {
				continue
			}
			if err := s.Exec(ctx, c.repair); err != nil {
				t.Fatalf("%s: %v", c.repair, err)
			}
		}
		for _, forbidden := range []string{
			"UPDATE budget_periods SET held = 101", "UPDATE budget_periods SET used = -1", "UPDATE budget_users SET held = -1",
			"UPDATE budget_usages SET amount = 0", "UPDATE locks SET state = 'open'", "UPDATE coupons SET lock_id = NULL WHERE status = 'used'",
			"UPDATE coupons SET used_at = NULL WHERE status = 'used'", "UPDATE locks SET hash = NULL WHERE state = 'locked'",
			"INSERT INTO refunds (id, lock_id, refund_id, hash, amount, body, created_at) VALUES (1, 1, 'r', x'00', -1, '{}', 0)",
		} {
			if err := s.Exec(ctx, forbidden); err == nil {
				t.Errorf("the database itself lets pass: %s", forbidden)
			}
		}
	})
}
