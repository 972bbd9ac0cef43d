package handlers

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"scrip/models"
)

// TestACouponWritesItselfAsItsTagsSay compares the hand-written JSON with what
// the library makes of the same fields.
func TestACouponWritesItselfAsItsTagsSay(t *testing.T) {
	t.Parallel()
	id := rapid.Map(rapid.Int64Min(1), func(n int64) models.ID { return models.ID(n) })
	moment := rapid.Map(rapid.Int64Range(0, 253402300799999), time.UnixMilli)
	rapid.Check(t, func(t *rapid.T) {
		c := models.Coupon{
			ID: id.Draw(t, "id"), Code: rapid.String().Draw(t, "code"), TemplateID: id.Draw(t, "template"),
			RuleVersion: rapid.Int().Draw(t, "version"), UserID: rapid.String().Draw(t, "user"),
			Status:  rapid.SampledFrom([]models.CouponStatus{models.CouponAvailable, models.CouponUsed}).Draw(t, "status"),
			IssueNo: rapid.Int64().Draw(t, "no"), ValidFrom: moment.Draw(t, "from"), ExpiresAt: moment.Draw(t, "until"),
			ClaimedAt: moment.Draw(t, "at"), OrderID: rapid.String().Draw(t, "order"),
			LockID: rapid.Ptr(id, true).Draw(t, "lock"), UsedAt: rapid.Ptr(moment, true).Draw(t, "used"),
		}
		view, ok := viewCoupon(c).(couponView)
		if !ok {
			t.Fatal("a coupon is shown by another view")
		}
		own, err := encode(view)
		if err != nil {
			t.Fatal(err)
		}
		type plain couponView // without the method
		library, err := json.Marshal(plain(view))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(parsed(t, library), parsed(t, own)); diff != "" {
			t.Errorf("the library's (-) and our own (+): %s\n%s", diff, own)
		}
	})
}

func parsed(t *rapid.T, text []byte) (fields map[string]any) {
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return fields
}
