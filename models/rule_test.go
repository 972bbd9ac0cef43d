package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"scrip/models"
)

// number is a whole-number field of an effect and its bounds.
type number struct {
	lo, hi int64
	at     func(*models.Effect) **int64
}

func effectNumbers() map[string]number {
	return map[string]number{
		"amount_off":     {1, models.MaxAmount, func(e *models.Effect) **int64 { return &e.AmountOff }},
		"percent_off_bp": {1, 10_000, func(e *models.Effect) **int64 { return &e.PercentOffBP }},
		"max_discount":   {1, models.MaxAmount, func(e *models.Effect) **int64 { return &e.MaxDiscount }},
		"price":          {0, models.MaxAmount, func(e *models.Effect) **int64 { return &e.Price }},
		"max_units":      {1, models.MaxUnits, func(e *models.Effect) **int64 { return &e.MaxUnits }},
		"buy_quantity":   {1, models.MaxUnits, func(e *models.Effect) **int64 { return &e.BuyQuantity }},
		"get_quantity":   {1, models.MaxUnits, func(e *models.Effect) **int64 { return &e.GetQuantity }},
		"max_times":      {1, models.MaxUnits, func(e *models.Effect) **int64 { return &e.MaxTimes }},
		"quantity":       {1, models.MaxUnits, func(e *models.Effect) **int64 { return &e.Quantity }},
	}
}

// setField gives a field of an effect a value that is in order.
func setField(t *testing.T, e *models.Effect, name string) {
	t.Helper()
	if n, ok := effectNumbers()[name]; ok {
		*n.at(e) = ptr(n.lo)
		return
	}
	switch name {
	case "currency":
		e.Currency = "USD"
	case "sku":
		e.SKU = "s1"
	case "get":
		e.Get = &models.Scope{SKUs: []string{"s1"}}
	case "every":
		e.Every = &models.Every{Spend: 1}
	default:
		t.Fatalf("an effect has no field %s", name)
	}
}

// effectOf says which fields the effect of each kind must and may have; every
// other one is unknown to it.
func effectOf() map[models.Kind]struct{ must, may []string } {
	return map[models.Kind]struct{ must, may []string }{
		models.KindAmountOff:    {[]string{"amount_off", "currency"}, []string{"every"}},
		models.KindPercentOff:   {[]string{"percent_off_bp"}, []string{"max_discount", "currency"}},
		models.KindFixedPrice:   {[]string{"price", "currency"}, []string{"max_units"}},
		models.KindBuyXGetY:     {[]string{"buy_quantity", "get_quantity", "percent_off_bp"}, []string{"get", "max_times"}},
		models.KindFreeShipping: {nil, []string{"max_discount"}},
		models.KindFreeItem:     {[]string{"sku", "quantity"}, nil},
	}
}

func allEffectFields() []string {
	return []string{
		"amount_off", "every", "percent_off_bp", "max_discount", "price", "max_units", "currency",
		"buy_quantity", "get_quantity", "get", "max_times", "sku", "quantity",
	}
}

// ruleOf returns the least rule of a kind that is in order.
func ruleOf(t *testing.T, kind models.Kind) *models.Rule {
	t.Helper()
	r := &models.Rule{Name: "a rule", Kind: kind, Stacking: models.DefaultStacking()}
	for _, name := range effectOf()[kind].must {
		setField(t, &r.Effect, name)
	}
	return r
}

func checkRule(t *testing.T, r *models.Rule, want ...fault) {
	t.Helper()
	wantFaults(t, faultsOf(t, r.Check), want...)
}

func TestEffectFieldsOfEveryKind(t *testing.T) {
	t.Parallel()
	for kind, fields := range effectOf() {
		for _, name := range allEffectFields() {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				with, without := ruleOf(t, kind), &models.Rule{Name: "a rule", Kind: kind, Stacking: models.DefaultStacking()}
				setField(t, &with.Effect, name)
				for _, other := range fields.must {
					if other != name {
						setField(t, &without.Effect, other)
					}
				}
				switch {
				case slices.Contains(fields.must, name):
					checkRule(t, with)
					checkRule(t, without, fault{"effect." + name, models.CodeRequired})
				case slices.Contains(fields.may, name):
					checkRule(t, with)
					checkRule(t, without)
				default:
					checkRule(t, with, fault{"effect." + name, models.CodeUnknownField})
					checkRule(t, without)
				}
			})
		}
	}
}

func TestEffectNumbers(t *testing.T) {
	t.Parallel()
	for kind, fields := range effectOf() {
		for name, n := range effectNumbers() {
			if !slices.Contains(fields.must, name) && !slices.Contains(fields.may, name) {
				continue
			}
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				for value, ok := range map[int64]bool{
					n.lo - 1: false, n.lo: true, n.hi: true, n.hi + 1: false, -n.hi: false, -1 << 63: false, 1<<63 - 1: false,
				} {
					r := ruleOf(t, kind)
					*n.at(&r.Effect) = &value
					if ok {
						checkRule(t, r)
					} else {
						checkRule(t, r, fault{"effect." + name, models.CodeOutOfRange})
					}
				}
			})
		}
	}
}

func TestEffectTexts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind models.Kind
		edit func(*models.Effect)
		want []fault
	}{
		"a currency that is none": {
			models.KindAmountOff, func(e *models.Effect) { e.Currency = "usd" },
			[]fault{{"effect.currency", models.CodeInvalid}},
		},
		"a sku too long": {
			models.KindFreeItem, func(e *models.Effect) { e.SKU = strings.Repeat("券", 65) },
			[]fault{{"effect.sku", models.CodeOutOfRange}},
		},
		"every without spend": {
			models.KindAmountOff, func(e *models.Effect) { e.Every = &models.Every{} },
			[]fault{{"effect.every.spend", models.CodeOutOfRange}},
		},
		"every with too much": {
			models.KindAmountOff, func(e *models.Effect) { e.Every = &models.Every{Spend: models.MaxAmount + 1} },
			[]fault{{"effect.every.spend", models.CodeOutOfRange}},
		},
		"every, no times": {
			models.KindAmountOff, func(e *models.Effect) { e.Every = &models.Every{Spend: 1, MaxTimes: ptr(int64(0))} },
			[]fault{{"effect.every.max_times", models.CodeOutOfRange}},
		},
		"every, at its bounds": {
			models.KindAmountOff, func(e *models.Effect) {
				e.Every = &models.Every{Spend: models.MaxAmount, MaxTimes: ptr(int64(1))}
			}, nil,
		},
		"get that contradicts itself": {
			models.KindBuyXGetY, func(e *models.Effect) {
				e.Get = &models.Scope{Storewide: true, CategoryIDs: []string{"c1"}}
			},
			[]fault{{"effect.get.storewide", models.CodeInvalid}},
		},
		"get of a nameless sku": {
			models.KindBuyXGetY, func(e *models.Effect) { e.Get = &models.Scope{SKUs: []string{"a", ""}} },
			[]fault{{"effect.get.skus[1]", models.CodeRequired}},
		},
		"get of all": {
			models.KindBuyXGetY, func(e *models.Effect) { e.Get = &models.Scope{} }, nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(t, tc.kind)
			tc.edit(&r.Effect)
			checkRule(t, r, tc.want...)
		})
	}
}

func TestRuleNameAndKind(t *testing.T) {
	t.Parallel()
	r := ruleOf(t, models.KindFreeShipping)
	r.Name = ""
	checkRule(t, r, fault{"name", models.CodeRequired})

	none := &models.Rule{Name: "a rule", Stacking: models.DefaultStacking()}
	none.Effect.SKU = "s1" // of what kind an effect is wrong, nobody can say
	checkRule(t, none, fault{"kind", models.CodeRequired})

	for _, kind := range []models.Kind{"half_off", "AMOUNT_OFF", "amount_off "} {
		unknown := &models.Rule{Name: "a rule", Kind: kind, Stacking: models.DefaultStacking()}
		checkRule(t, unknown, fault{"kind", models.CodeInvalid})
	}
}

// names returns n different names.
func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("n%d", i)
	}
	return out
}

func TestScope(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scope models.Scope
		want  []fault
	}{
		"nothing said":               {models.Scope{}, nil},
		"storewide":                  {models.Scope{Storewide: true}, nil},
		"storewide but for some":     {models.Scope{Storewide: true, ExcludeSKUs: []string{"a"}, ExcludeCategoryIDs: []string{"c"}}, nil},
		"all but some":               {models.Scope{ExcludeSKUs: []string{"a"}}, nil},
		"skus and categories":        {models.Scope{SKUs: []string{"a"}, CategoryIDs: []string{"a"}, ExcludeSKUs: []string{"a"}}, nil},
		"storewide and skus":         {models.Scope{Storewide: true, SKUs: []string{"a"}}, []fault{{"scope.storewide", models.CodeInvalid}}},
		"storewide and categories":   {models.Scope{Storewide: true, CategoryIDs: []string{"a"}}, []fault{{"scope.storewide", models.CodeInvalid}}},
		"a sku twice":                {models.Scope{SKUs: []string{"a", "b", "a"}}, []fault{{"scope.skus", models.CodeNotUnique}}},
		"in other case":              {models.Scope{SKUs: []string{"a", "A"}}, nil},
		"a category of spaces":       {models.Scope{CategoryIDs: []string{"a", "b", " "}}, []fault{{"scope.category_ids[2]", models.CodeInvalid}}},
		"an excluded sku too long":   {models.Scope{ExcludeSKUs: []string{strings.Repeat("a", 65)}}, []fault{{"scope.exclude_skus[0]", models.CodeOutOfRange}}},
		"a nameless one is excluded": {models.Scope{ExcludeCategoryIDs: []string{""}}, []fault{{"scope.exclude_category_ids[0]", models.CodeRequired}}},
		"1000 skus":                  {models.Scope{SKUs: names(1000)}, nil},
		"1001 skus":                  {models.Scope{SKUs: names(1001)}, []fault{{"scope.skus", models.CodeOutOfRange}}},
		"1001 categories":            {models.Scope{CategoryIDs: names(1001)}, []fault{{"scope.category_ids", models.CodeOutOfRange}}},
		"1001 excluded skus":         {models.Scope{ExcludeSKUs: names(1001)}, []fault{{"scope.exclude_skus", models.CodeOutOfRange}}},
		"1001 excluded categories":   {models.Scope{ExcludeCategoryIDs: names(1001)}, []fault{{"scope.exclude_category_ids", models.CodeOutOfRange}}},
		"two faults in one list": {
			models.Scope{SKUs: []string{"", "b", " c"}},
			[]fault{{"scope.skus[0]", models.CodeRequired}, {"scope.skus[2]", models.CodeInvalid}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(t, models.KindFreeShipping)
			r.Scope = tc.scope
			checkRule(t, r, tc.want...)
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		conditions models.Conditions
		want       []fault
	}{
		"none":                {models.Conditions{}, nil},
		"the first order":     {models.Conditions{FirstOrder: true}, nil},
		"a minimum below 0":   {models.Conditions{MinAmount: -1}, []fault{{"conditions.min_amount", models.CodeOutOfRange}}},
		"the least minimum":   {models.Conditions{MinAmount: 1, MinQuantity: 1}, nil},
		"the largest minimum": {models.Conditions{MinAmount: models.MaxAmount, MinQuantity: models.MaxUnits}, nil},
		"too large a minimum": {
			models.Conditions{MinAmount: models.MaxAmount + 1, MinQuantity: models.MaxUnits + 1},
			[]fault{{"conditions.min_amount", models.CodeOutOfRange}, {"conditions.min_quantity", models.CodeOutOfRange}},
		},
		"fewer than no units": {models.Conditions{MinQuantity: -1}, []fault{{"conditions.min_quantity", models.CodeOutOfRange}}},
		"lists":               {models.Conditions{UserTagsAny: []string{"vip"}, PaymentMethods: []string{"card"}, Channels: []string{"app", "web"}}, nil},
		"a nameless tag":      {models.Conditions{UserTagsAny: []string{""}}, []fault{{"conditions.user_tags_any[0]", models.CodeRequired}}},
		"a tag twice":         {models.Conditions{UserTagsAny: []string{"a", "a"}}, []fault{{"conditions.user_tags_any", models.CodeNotUnique}}},
		"a method on two lines": {
			models.Conditions{PaymentMethods: []string{"card", "pay\npal"}},
			[]fault{{"conditions.payment_methods[1]", models.CodeInvalid}},
		},
		"a channel too long":    {models.Conditions{Channels: []string{strings.Repeat("a", 65)}}, []fault{{"conditions.channels[0]", models.CodeOutOfRange}}},
		"too many tags":         {models.Conditions{UserTagsAny: names(1001)}, []fault{{"conditions.user_tags_any", models.CodeOutOfRange}}},
		"too many methods":      {models.Conditions{PaymentMethods: names(1001)}, []fault{{"conditions.payment_methods", models.CodeOutOfRange}}},
		"too many channels":     {models.Conditions{Channels: names(1001)}, []fault{{"conditions.channels", models.CodeOutOfRange}}},
		"every day of the week": {models.Conditions{DaysOfWeek: []int{7, 6, 5, 4, 3, 2, 1}}, nil},
		"day 0":                 {models.Conditions{DaysOfWeek: []int{0}}, []fault{{"conditions.days_of_week[0]", models.CodeOutOfRange}}},
		"day 8":                 {models.Conditions{DaysOfWeek: []int{1, 8}}, []fault{{"conditions.days_of_week[1]", models.CodeOutOfRange}}},
		"a day twice":           {models.Conditions{DaysOfWeek: []int{1, 2, 1}}, []fault{{"conditions.days_of_week", models.CodeNotUnique}}},
		"eight days":            {models.Conditions{DaysOfWeek: make([]int, 8)}, []fault{{"conditions.days_of_week", models.CodeOutOfRange}}},
		"a bad time of day": {
			models.Conditions{TimeOfDay: &models.TimeOfDay{From: "x", Until: "10:00"}},
			[]fault{{"conditions.time_of_day.from", models.CodeInvalid}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(t, models.KindFreeShipping)
			r.Conditions = tc.conditions
			checkRule(t, r, tc.want...)
		})
	}
}

func TestTimeOfDay(t *testing.T) {
	t.Parallel()
	from, until := fault{"conditions.time_of_day.from", models.CodeInvalid}, fault{"conditions.time_of_day.until", models.CodeInvalid}
	tests := []struct {
		from, until string
		want        []fault
	}{
		{"09:00", "17:30", nil},
		{"22:00", "06:00", nil}, // over midnight
		{"00:00", "23:59", nil},
		{"23:59", "00:00", nil},
		{"00:00", "00:01", nil},
		{"09:00", "09:00", []fault{until}},
		{"00:00", "00:00", []fault{until}},
		{"00:00", "24:00", []fault{until}},
		{"7:00", "09:00", []fault{from}},
		{"07:00", "9:00", []fault{until}},
		{"", "09:00", []fault{from}},
		{"09:00", "", []fault{until}},
		{"", "", []fault{from, until}},
		{"25:00", "25:00", []fault{from, until}},
		{"12:60", "13:00", []fault{from}},
		{"09:00:00", "10:00", []fault{from}},
		{"0900", "10:00", []fault{from}},
		{"09.00", "10:00", []fault{from}},
		{"-9:00", "10:00", []fault{from}},
		{"+9:00", "10:00", []fault{from}},
		{" 9:00", "10:00", []fault{from}},
		{"09:00 ", "10:00", []fault{from}},
		{"9:000", "10:00", []fault{from}},
		{"09:0a", "10:00", []fault{from}},
		{"٠٩:٠٠", "10:00", []fault{from}},
	}
	for _, tc := range tests {
		t.Run(tc.from+" to "+tc.until, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(t, models.KindFreeShipping)
			r.Conditions.TimeOfDay = &models.TimeOfDay{From: tc.from, Until: tc.until}
			checkRule(t, r, tc.want...)
		})
	}
}

func TestMinuteOfDay(t *testing.T) {
	t.Parallel()
	for hour := range 100 {
		for minute := range 100 {
			s := fmt.Sprintf("%02d:%02d", hour, minute)
			got, err := models.MinuteOfDay(s)
			if ok := hour < 24 && minute < 60; (err == nil) != ok || ok && got != hour*60+minute {
				t.Errorf("%s: got %d, %v", s, got, err)
			}
		}
	}
}

func TestStacking(t *testing.T) {
	t.Parallel()
	const most = 1_000_000
	tests := map[string]struct {
		edit func(*models.Stacking)
		want []fault
	}{
		"what is said by default": {func(*models.Stacking) {}, nil},
		"everything":              {func(s *models.Stacking) { s.Group, s.ExclusiveAll, s.Base = "g", true, models.BaseOriginal }, nil},
		"the first to go":         {func(s *models.Stacking) { s.Priority = -most }, nil},
		"the last to go":          {func(s *models.Stacking) { s.Priority = most }, nil},
		"before the first":        {func(s *models.Stacking) { s.Priority = -most - 1 }, []fault{{"stacking.priority", models.CodeOutOfRange}}},
		"after the last":          {func(s *models.Stacking) { s.Priority = most + 1 }, []fault{{"stacking.priority", models.CodeOutOfRange}}},
		"none in an order":        {func(s *models.Stacking) { s.MaxPerOrder = 0 }, []fault{{"stacking.max_per_order", models.CodeOutOfRange}}},
		"many in an order":        {func(s *models.Stacking) { s.MaxPerOrder = models.MaxUnits }, nil},
		"too many in an order":    {func(s *models.Stacking) { s.MaxPerOrder = models.MaxUnits + 1 }, []fault{{"stacking.max_per_order", models.CodeOutOfRange}}},
		"no base":                 {func(s *models.Stacking) { s.Base = "" }, []fault{{"stacking.base", models.CodeInvalid}}},
		"another base":            {func(s *models.Stacking) { s.Base = "net" }, []fault{{"stacking.base", models.CodeInvalid}}},
		"a group of spaces":       {func(s *models.Stacking) { s.Group = "  " }, []fault{{"stacking.group", models.CodeInvalid}}},
		"a group of 64":           {func(s *models.Stacking) { s.Group = strings.Repeat("券", 64) }, nil},
		"a group of 65":           {func(s *models.Stacking) { s.Group = strings.Repeat("券", 65) }, []fault{{"stacking.group", models.CodeOutOfRange}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(t, models.KindFreeShipping)
			tc.edit(&r.Stacking)
			checkRule(t, r, tc.want...)
		})
	}
}

func TestDefaultStacking(t *testing.T) {
	t.Parallel()
	want := models.Stacking{Priority: 100, MaxPerOrder: 1, Base: "remaining"}
	if got := models.DefaultStacking(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRuleSaysAllThatIsWrong has a fault in each part of a rule.
func TestRuleSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	r := &models.Rule{Kind: models.KindAmountOff}
	r.Effect.Price = ptr(int64(1))
	r.Scope = models.Scope{Storewide: true, SKUs: []string{"a"}}
	r.Conditions.MinAmount = -1
	checkRule(t, r,
		fault{"name", models.CodeRequired},
		fault{"effect.amount_off", models.CodeRequired},
		fault{"effect.price", models.CodeUnknownField},
		fault{"effect.currency", models.CodeRequired},
		fault{"scope.storewide", models.CodeInvalid},
		fault{"conditions.min_amount", models.CodeOutOfRange},
		fault{"stacking.max_per_order", models.CodeOutOfRange},
		fault{"stacking.base", models.CodeInvalid},
	)
}
