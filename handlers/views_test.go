package handlers

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

//go:generate go test -run TestGolden . -update
var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds every shape of answer against the file that shows it.
func TestGolden(t *testing.T) {
	t.Parallel()
	f := newFake()
	unlimited := f.template
	from, until := f.template.CreatedAt, f.template.CreatedAt.Add(time.Hour)
	unlimited.Stock, unlimited.ClaimWindow, unlimited.Metadata, unlimited.MerchantID = nil, nil, nil, ""
	unlimited.Validity = models.Validity{From: &from, Until: &until}
	unlimited.Audience = models.Audience{Kind: models.AudienceAll}
	unlimited.RemindBeforeDays = []int{3, 1}
	every := f.rule
	every.Name = "5 < 6 & more"
	every.Effect.Every = &models.Every{Spend: 5000}
	every.Scope = models.Scope{SKUs: []string{"a"}}
	every.Conditions = models.Conditions{MinAmount: 1, FirstOrder: true, TimeOfDay: &models.TimeOfDay{From: "09:00", Until: "17:00"}}
	stats, _ := f.TemplateStats(t.Context(), platform(), 21, from)
	entry := models.AuditEntry{
		ID: 51, At: from, Actor: "key:2", Role: models.RoleMerchant, MerchantID: "m1", Action: "template.stock",
		Resource: "template", ResourceID: 21, RequestID: "r-1", Detail: map[string]any{"stock": 15, "add": 5},
	}
	key := models.APIKey{ID: 41, Role: models.RoleMerchant, MerchantID: "m1", Name: "till", CreatedAt: from}
	hook := models.Webhook{
		ID: 91, MerchantID: "m1", URL: "https://shop.example/a?b=1&c", Events: []models.EventType{models.EventCouponUsed},
		Secret: models.WebhookSecret("0123456789abcdef0123456789abcdef"), State: models.WebhookDisabled, CreatedAt: from, DisabledAt: &until,
	}
	locked := f.coupon
	locked.LockID, locked.OrderID, locked.UsedAt, locked.Status = ptr(models.ID(71)), "o1", &until, models.CouponUsed
	budgeted := f.template
	budgeted.BudgetIDs = []models.ID{61, 62}
	tracked := models.Budget{
		ID: 62, Version: 1, Used: 7, CreatedAt: from, UpdatedAt: from,
		BudgetSpec: models.BudgetSpec{Name: "uses", Kind: models.BudgetCount, Period: models.PeriodNone, TimeZone: "UTC"},
	}
	usage := models.BudgetUsage{
		ID: 81, BudgetID: 61, LockID: 71, CouponID: 31, UserID: "u1", RefundID: "r1", Step: models.StepReturn, Amount: 300,
		PeriodStart: &from, At: until,
	}
	rejecting := f.verdict.Lock.Frozen.Quote
	rejecting.Rejected = []models.Rejection{
		{CouponID: 33, Code: models.CodeMinAmount, Detail: "spend more", Shortfall: 250},
		{CouponCode: "ABC", Code: models.CodeCouponNotAvailable, Detail: "the user has no such coupon"},
	}
	refund := models.Refund{
		Amount: 666, Lines: []models.RefundedLine{{LineID: "l1", Quantity: 1, Amount: 666}},
		CouponsReturned: []models.ID{31}, BudgetReturned: []models.BudgetReturned{{BudgetID: 61, Amount: 334}},
		Last: true, PerCoupon: []models.CouponShare{{CouponID: 31, Discount: 334}},
	}
	failed := f.job
	failed.State, failed.Error, failed.FinishedAt = models.JobFailed, "task 3 was given up: busy", &until
	for name, view := range map[string]any{
		"distribution": viewDistribution(models.Distribution{
			Job: f.job, TemplateID: 21, Audience: models.Audience{Kind: models.AudienceTags, Tags: []string{"vip"}},
		}),
		"distribution_pack": viewDistribution(models.Distribution{
			Job:    models.Job{ID: 92, Kind: models.JobDistribution, State: models.JobQueued, Rate: ptr(int64(100)), CreatedAt: from, UpdatedAt: from},
			PackID: 95, Audience: models.Audience{Kind: models.AudienceAll},
		}),
		"pack": viewPack(models.Pack{
			ID: 95, MerchantID: "m1", Name: "welcome", Items: []models.PackItem{{TemplateID: 21, Quantity: 2}}, CreatedAt: from,
		}),
		"pack_coupons": viewPackCoupons([]models.Coupon{f.coupon}),
		"user":         viewUser(f.user),
		"user_plain":   viewUser(models.User{UserID: "u1", CreatedAt: from, UpdatedAt: from}),
		"line_report": viewLineReport(models.LineReport{Imported: 5, Failed: 1, Errors: []models.LineError{
			{Line: 7, FieldError: models.FieldError{Field: "email", Code: models.CodeInvalid, Detail: "must be an address"}},
		}}),
		"code_batch":         viewCodeBatch(newCodeBatch(from)),
		"code_shared":        viewSharedCode("Summer 25")(models.CodeBatch{ID: 96, TemplateID: 21, Count: 1, UsageLimit: 100, CreatedAt: from}),
		"line_report_none":   viewLineReport(models.LineReport{Imported: 5}),
		"job":                viewJob(f.job),
		"job_failed":         viewJob(failed),
		"coupon_used":        viewCoupon(locked),
		"template_budgets":   viewTemplate(budgeted),
		"budget":             viewBudget(f.budget),
		"budget_tracked":     viewBudget(tracked),
		"usage":              viewUsage(usage),
		"usage_plain":        viewUsage(models.BudgetUsage{ID: 82, Step: models.StepHold, Amount: 1, At: from}),
		"qualification":      viewQualification(models.Qualification{Best: models.Combination{CouponIDs: []models.ID{31}, Discount: 5}}),
		"qualification_none": viewQualification(models.Qualification{}),
		"quote":              viewQuote(rejecting),
		"quote_empty":        viewQuote(models.Quote{}),
		"lock":               viewLock(*f.verdict.Lock),
		"lock_tombstone":     viewLock(models.Lock{ID: 72, XID: "x2", State: models.LockCancelled}),
		"batch": viewBatch([]string{"x1", "x2"})([]models.LockVerdict{
			f.verdict, {Refused: models.Refuse(models.CodeLockExpired, "late")},
		}),
		"refund":             viewRefund("r1")(refund),
		"refund_empty":       viewRefund("r1")(models.Refund{}),
		"dtm_try":            viewDTM(f.verdict.Lock),
		"rule":               viewRule(f.rule),
		"rule_every":         viewRule(every),
		"template":           viewTemplate(f.template),
		"template_unlimited": viewTemplate(unlimited),
		"template_claimable": viewClaimable(f.template),
		"stats":              stats,
		"coupon":             viewCoupon(f.coupon),
		"api_key":            viewAPIKey(key),
		"webhook":            viewWebhook(hook),
		"webhook_new":        viewNewWebhook(hook),
		"message":            viewMessage(newMessage()),
		"message_read":       viewMessage(models.Message{ID: 102, UserID: "u1", Kind: models.ContentDistribution, CreatedAt: from, ReadAt: &until}),
		"api_key_new":        viewNewAPIKey("sk_secret")(key),
		"audit":              viewAudit(entry),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := encode(view)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, raw, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStampHasAlwaysThreeDigits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-01-02T03:04:05Z":                "2026-01-02T03:04:05.000Z",
		"2026-01-02T03:04:05.1Z":              "2026-01-02T03:04:05.100Z",
		"2026-01-02T03:04:05.9999Z":           "2026-01-02T03:04:05.999Z",
		"2026-01-02T03:04:05.123456789+09:00": "2026-01-01T18:04:05.123Z",
	} {
		at, err := time.Parse(time.RFC3339Nano, in)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := stamp(at).MarshalText(); string(got) != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestBudgetBodyKnowsEveryField is the same for budgets.
func TestBudgetBodyKnowsEveryField(t *testing.T) {
	t.Parallel()
	spec := newFake().budget.BudgetSpec
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var body budgetBody
	if err := decode(text, &body); err != nil {
		t.Fatal(err)
	}
	got, err := body.spec()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, got); diff != "" {
		t.Error(diff)
	}
}

// TestTemplateBodyKnowsEveryField is why a field added to the models' spec
// cannot be lost in a PATCH: what the spec is written as, the body must read.
func TestTemplateBodyKnowsEveryField(t *testing.T) {
	t.Parallel()
	spec := newFake().template.TemplateSpec
	spec.RemindBeforeDays, spec.BudgetIDs = []int{1}, []models.ID{61}
	spec.Normalize()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var body templateBody
	if err := decode(text, &body); err != nil {
		t.Fatal(err)
	}
	got, err := body.spec()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, got); diff != "" {
		t.Error(diff)
	}
}
