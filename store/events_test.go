package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
	"scrip/store"
)

// listen makes a webhook for some events.
func (f fixture) listen(t *testing.T, actor models.Principal, events ...models.EventType) models.Webhook {
	t.Helper()
	return must(f.CreateWebhook(t.Context(), f.op(actor), models.Webhook{
		MerchantID: actor.MerchantID, URL: "https://shop.example/hook", Events: events,
	}, sealed))(t)
}

// sealed stands for what hides the secret of a webhook.
func sealed(id models.ID) []byte { return []byte("sealed of " + id.String()) }

// told relays what is in the outbox and leases all that waits for a webhook.
func (f fixture) told(t *testing.T, hook models.Webhook) []models.Delivery {
	t.Helper()
	must(f.RelayEvents(t.Context(), 1000))(t)
	leased, _, err := f.LeaseDeliveries(t.Context(), "webhook:"+hook.ID.String(), f.Now().Add(time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return leased
}

func TestAWebhookHearsOfItsOwnersThings(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		own := f.listen(t, merchant("m1"), models.EventTemplateSoldOut)
		f.listen(t, merchant("m2"), models.EventTemplateSoldOut)
		all := f.listen(t, platform(), models.EventTemplateSoldOut, models.EventCouponClaimed)
		rule := f.rule(t, merchant("m1"))
		draft := must(f.CreateTemplate(t.Context(), f.op(merchant("m1")), "m1", spec(rule.ID, new(int64(2)), 1)))(t)
		template := must(f.MoveTemplate(t.Context(), f.op(merchant("m1")), draft.ID, models.ActionPublish))(t)
		got := f.commit(t, f.claim(t, &template, "ann"), f.claim(t, &template, "bob"), f.claim(t, &template, "cid"))
		wantCode(t, got[2].Refused, models.CodeSoldOut)

		hears := f.told(t, own)
		if len(hears) != 1 || hears[0].Event.Type != models.EventTemplateSoldOut || hears[0].Event.MerchantID != "m1" {
			t.Fatalf("its owner's hears of %+v", hears)
		}
		var soldOut struct {
			TemplateID models.ID `json:"template_id"`
			Stock      int64     `json:"stock"`
		}
		if err := json.Unmarshal(hears[0].Event.Data, &soldOut); err != nil || soldOut.TemplateID != template.ID || soldOut.Stock != 2 {
			t.Errorf("got %s, %v", hears[0].Event.Data, err)
		}
		if hears[0].Webhook.URL != own.URL || string(hears[0].Webhook.Sealed) != string(sealed(own.ID)) || hears[0].Attempts != 1 {
			t.Errorf("got %+v", hears[0])
		}
		events := map[models.EventType]string{}
		for _, d := range f.told(t, all) {
			events[d.Event.Type] = string(d.Event.Data)
		}
		if len(events) != 2 || !strings.Contains(events[models.EventCouponClaimed], `"id":"`+got[1].Coupon.ID.String()) {
			t.Errorf("the platform's hears of %v", events)
		}
		if queues := must(f.Queues(t.Context(), "", 10))(t); len(queues) != 2 {
			t.Errorf("waiting: %v", queues)
		}
		f.sound(t)
	})
}

func TestNobodyListensNothingIsWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		f.listen(t, merchant("m9"), models.EventCouponClaimed, models.EventCouponUsed)
		s := f.shop(t, allOff())
		ids := s.coupons(t, "ann")
		try := s.try(t, "x", "ann", 5, ids[0])
		s.locked(t, try)
		s.commitEnds(t, s.end(t, "x", models.LockConfirmed, try.At))
		if rows := must(f.Texts(t.Context(), "SELECT kind FROM outbox"))(t); len(rows) > 0 {
			t.Errorf("written: %v", rows)
		}
	})
}

func TestManyCouponsAreToldOfInParts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponClaimed)
		template := f.template(t, nil, 1)
		var batch []models.Claim
		for i := range 2*models.MaxEventCoupons + 7 {
			batch = append(batch, f.claim(t, template, fmt.Sprint("u", i)))
		}
		f.commit(t, batch...)
		var sizes []int
		for _, d := range f.told(t, hook) {
			var event struct{ Coupons []json.RawMessage }
			if err := json.Unmarshal(d.Event.Data, &event); err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(event.Coupons))
		}
		slices.Sort(sizes)
		if diff := cmp.Diff([]int{7, models.MaxEventCoupons, models.MaxEventCoupons}, sizes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOrdersAreToldOf(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponUsed, models.EventCouponRefunded)
		s := f.shop(t, allOff())
		ids := s.coupons(t, "ann")
		try := s.try(t, "x", "ann", 5, ids[0])
		s.locked(t, try)
		s.commitEnds(t, s.end(t, "x", models.LockConfirmed, try.At))
		s.commitEnds(t, s.end(t, "x", models.LockConfirmed, try.At)) // again: nothing more to tell
		used := f.told(t, hook)
		if len(used) != 1 || used[0].Event.Type != models.EventCouponUsed {
			t.Fatalf("got %+v", used)
		}
		for _, part := range []string{`"order_id":"` + try.OrderID, `"user_id":"ann"`, `"id":"` + ids[0].String(), `"discount":5`} {
			if !strings.Contains(string(used[0].Event.Data), part) {
				t.Errorf("%s is not in %s", part, used[0].Event.Data)
			}
		}
	})
}

// TestOneRelaysAnEvent_Race has two instances relay the same events.
func TestOneRelaysAnEvent_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponClaimed)
		template := f.template(t, nil, 1)
		const events = 40
		for i := range events {
			f.commit(t, f.claim(t, template, fmt.Sprint("u", i)))
		}
		other := f.another(t)
		var group sync.WaitGroup
		for _, s := range []*store.Store{f.Store, other} {
			group.Go(func() {
				for range 30 {
					if _, err := s.RelayEvents(t.Context(), 7); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		seen := map[models.ID]bool{}
		for _, d := range f.told(t, hook) {
			seen[d.Event.ID] = true
		}
		if len(seen) != events {
			t.Errorf("%d of %d events were relayed", len(seen), events)
		}
		f.sound(t)
	})
}

// TestALeaseIsOnes_Race has two instances lease from one queue.
func TestALeaseIsOnes_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponClaimed)
		template := f.template(t, nil, 1)
		const events = 60
		for i := range events {
			f.commit(t, f.claim(t, template, fmt.Sprint("u", i)))
		}
		must(f.RelayEvents(t.Context(), 1000))(t)
		other := f.another(t)
		var mu sync.Mutex
		by := map[models.ID]int{}
		var group sync.WaitGroup
		for i, s := range []*store.Store{f.Store, other, f.Store, other} {
			group.Go(func() {
				for range events {
					leased, _, err := s.LeaseDeliveries(t.Context(), "webhook:"+hook.ID.String(), s.Now().Add(time.Hour), 3)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, d := range leased {
						if _, twice := by[d.ID]; twice {
							t.Errorf("%s was leased twice", d.ID)
						}
						by[d.ID] = i
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if len(by) != events {
			t.Errorf("%d of %d were leased", len(by), events)
		}
	})
}

func TestALostLeaseMarksNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponClaimed)
		template := f.template(t, nil, 1)
		f.commit(t, f.claim(t, template, "ann"))
		must(f.RelayEvents(t.Context(), 10))(t)
		lease := func(until time.Duration) []models.Delivery {
			leased, _, err := f.LeaseDeliveries(t.Context(), "webhook:"+hook.ID.String(), f.Now().Add(until), 10)
			if err != nil {
				t.Fatal(err)
			}
			return leased
		}
		first := lease(0) // runs out at once
		second := lease(time.Hour)
		if len(first) != 1 || len(second) != 1 || first[0].ID != second[0].ID || second[0].Attempts != 2 || second[0].Token <= first[0].Token {
			t.Fatalf("got %+v and %+v", first, second)
		}
		finish := func(d *models.Delivery, a models.Attempt, again *time.Time) bool {
			return must(f.FinishDelivery(t.Context(), d, a, again))(t)
		}
		if finish(&first[0], models.Attempt{Result: models.ResultSent}, nil) {
			t.Error("who lost the lease marked it")
		}
		now := f.Now()
		if !finish(&second[0], models.Attempt{Result: models.ResultRetry, Detail: "HTTP 500"}, &now) {
			t.Error("its owner did not")
		}
		third := lease(time.Hour)
		if err := f.ReturnDeliveries(t.Context(), third, f.Now()); err != nil {
			t.Fatal(err)
		}
		fourth := lease(time.Hour)
		if len(fourth) != 1 || fourth[0].Attempts != 3 {
			t.Fatalf("an untried one was counted: %+v", fourth)
		}
		if !finish(&fourth[0], models.Attempt{Result: models.ResultSent}, nil) || len(lease(time.Hour)) > 0 {
			t.Error("it is not over")
		}
		f.sound(t)
	})
}

func TestWhatWaitsForADeadWebhookIsDropped(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hooks := []models.Webhook{f.listen(t, platform(), models.EventCouponClaimed), f.listen(t, merchant(""), models.EventCouponClaimed)}
		template := f.template(t, nil, 1)
		f.commit(t, f.claim(t, template, "ann"))
		must(f.RelayEvents(t.Context(), 10))(t)
		if err := f.DeleteWebhook(t.Context(), f.op(platform()), hooks[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := f.DisableWebhook(t.Context(), hooks[1].ID); err != nil {
			t.Fatal(err)
		}
		for _, hook := range hooks {
			if leased := f.told(t, hook); len(leased) > 0 {
				t.Errorf("leased %+v", leased)
			}
		}
		if queues := must(f.Queues(t.Context(), "", 10))(t); len(queues) > 0 {
			t.Errorf("waiting still: %v", queues)
		}
		f.commit(t, f.claim(t, template, "bob"))
		must(f.RelayEvents(t.Context(), 10))(t)
		if rows := must(f.Texts(t.Context(), "SELECT id FROM deliveries WHERE state = 'waiting'"))(t); len(rows) > 0 {
			t.Errorf("told once more: %v", rows)
		}
		wantCode(t, f.DeleteWebhook(t.Context(), f.op(platform()), hooks[0].ID), models.CodeNotFound)
		wantCode(t, f.DeleteWebhook(t.Context(), f.op(merchant("m1")), hooks[1].ID), models.CodeNotFound)
		left := must(f.Webhooks(t.Context(), platform(), models.Page{Limit: 10}))(t)
		if len(left) != 1 || left[0].State != models.WebhookDisabled || left[0].DisabledAt == nil || left[0].Sealed != nil {
			t.Errorf("left: %+v", left)
		}
		f.sound(t)

		must(f.PurgeDeliveries(t.Context(), f.Now().Add(day), 100))(t)
		must(f.PurgeEvents(t.Context(), f.Now().Add(day), 100))(t)
		if rows := must(f.Texts(t.Context(), "SELECT id FROM deliveries UNION ALL SELECT id FROM outbox"))(t); len(rows) > 0 {
			t.Errorf("not purged: %v", rows)
		}
	})
}

func TestAnOwnerHasSoManyWebhooks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		for range models.MaxWebhooks {
			f.listen(t, merchant("m1"), models.EventCouponUsed)
		}
		_, err := f.CreateWebhook(t.Context(), f.op(merchant("m1")), models.Webhook{MerchantID: "m1"}, sealed)
		wantCode(t, err, models.CodeWrongState)
		f.listen(t, merchant("m2"), models.EventCouponUsed)
	})
}

func TestTheEndOfAJobIsToldOf(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, merchant("m1"), models.EventJobFinished)
		done := must(f.NewJob(t.Context(), f.op(merchant("m1")), nil, 5))(t)
		dropped := must(f.NewJob(t.Context(), f.op(merchant("m1")), nil, 3))(t)
		if err := f.DoTask(t.Context(), lease(t, f.Store, done, "a"), 2, 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.MoveJob(t.Context(), f.op(merchant("m1")), dropped.ID, models.JobCancel); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int{}
		for _, d := range f.told(t, hook) {
			var event struct {
				ID     models.ID
				State  string
				Failed int
			}
			if err := json.Unmarshal(d.Event.Data, &event); err != nil {
				t.Fatal(err)
			}
			got[event.ID.String()+" "+event.State] = event.Failed
		}
		if diff := cmp.Diff(map[string]int{done.ID.String() + " done": 2, dropped.ID.String() + " cancelled": 0}, got); diff != "" {
			t.Error(diff)
		}
	})
}
