package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestAUserIsReadAsItWasPut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, at := t.Context(), f.Now().Add(-day)
		full := models.User{
			MerchantID: "m1", UserID: "Ann/1", Tags: []string{"new", "vip"}, Locale: "en", Email: "a@b.c", Phone: "+4930123456",
			LastActiveAt: &at,
		}
		made, first := must2(f.PutUser(ctx, f.op(merchant("m1")), full))(t)
		if diff := cmp.Diff(must(f.User(ctx, "m1", "Ann/1"))(t), made); diff != "" || !first {
			t.Errorf("put and read differ (made %v): %s", first, diff)
		}
		full.CreatedAt, full.UpdatedAt = made.CreatedAt, made.UpdatedAt
		if diff := cmp.Diff(full, made); diff != "" {
			t.Error(diff)
		}
		bare, again := must2(f.PutUser(ctx, f.op(merchant("m1")), models.User{MerchantID: "m1", UserID: "Ann/1", Tags: []string{"old", "vip"}}))(t)
		if again || bare.Email != "" || bare.LastActiveAt != nil || !bare.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("got %v %+v", again, bare)
		}
		if got := must(f.User(ctx, "m1", "Ann/1"))(t); !slices.Equal(got.Tags, []string{"old", "vip"}) {
			t.Errorf("tags are %v", got.Tags)
		}
		for _, other := range [][2]string{{"", "Ann/1"}, {"m2", "Ann/1"}, {"m1", "ann/1"}} {
			_, err := f.User(ctx, other[0], other[1])
			wantCode(t, err, models.CodeNotFound)
		}
		entries := must(f.Audit(ctx, merchant("m1"), models.AuditFilter{Resource: "user"}, models.Page{Limit: 9}))(t)
		if len(entries) != 2 || entries[0].Action != "user.put" || entries[0].Detail["user_id"] != "Ann/1" {
			t.Errorf("audit: %+v", entries)
		}
	})
}

func must2[A, B any](a A, b B, err error) func(tb testing.TB) (A, B) {
	return func(tb testing.TB) (A, B) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return a, b
	}
}

func TestAnImportTakesThePlaceOfWhatWasKnown_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const users, rounds = 300, 4
		var all sync.WaitGroup
		for round := range rounds { // the same users, in another order each
			all.Go(func() {
				batch := make([]models.User, users)
				for i := range batch {
					at := time.UnixMilli(int64(1000 * round))
					batch[i] = models.User{
						UserID: fmt.Sprint("user", (i*7+round)%users), Locale: "en", LastActiveAt: &at,
						Tags: []string{"all", fmt.Sprint("round", round)},
					}
				}
				if err := f.ImportUsers(t.Context(), f.op(platform()), "", batch); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range users {
			u := must(f.User(t.Context(), "", fmt.Sprint("user", i)))(t)
			want := []string{"all", fmt.Sprint("round", u.LastActiveAt.Unix())}
			if !slices.Equal(u.Tags, want) {
				t.Fatalf("%s has %v of another round than %v", u.UserID, u.Tags, want)
			}
		}
		tags := must(f.StoredTags(t.Context(), "user1"))(t)
		if len(tags) != 1 || len(tags[""]) != 2 {
			t.Errorf("got %v", tags)
		}
	})
}
