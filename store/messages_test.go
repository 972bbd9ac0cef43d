package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

// onBothActive is onBoth for a store that tells nothing to those who have been
// away for 30 days.
func onBothActive(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, store.Options{DataDir: enginetest.FilledDir(t, migrate), ActiveFor: 30 * day, Channels: addressed()}))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, store.Options{DSN: enginetest.FilledDSN(t, migrate), ActiveFor: 30 * day, Channels: addressed()}))
	})
}

func addressed() []models.Channel { return []models.Channel{models.ChannelMail, models.ChannelSMS} }

func content(name string, channels ...models.Channel) models.Content {
	return models.Content{
		MerchantID: "m1", Name: name, Kind: models.ContentDistribution,
		Notice: models.Notice{
			Channels: channels,
			Text:     models.Text{Title: "{template.name} for you", Body: "Use {coupon.code}."},
			Locales:  map[string]models.Text{"de": {Title: "{template.name} für Sie", Body: "Nutzen Sie {coupon.code}."}},
		},
		Facts: models.Facts{"template.name": "Flash"}, About: map[string]models.ID{"template_id": 21},
	}
}

// user stores what a merchant knows of a user.
func (f fixture) user(t *testing.T, u models.User) {
	t.Helper()
	if _, _, err := f.PutUser(t.Context(), f.op(platform()), u); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) notify(t *testing.T, c models.Content, users ...string) int {
	t.Helper()
	to := make([]models.Recipient, len(users))
	for i, user := range users {
		to[i] = models.Recipient{UserID: user, Facts: models.Facts{"coupon.code": "C-" + user, "not.used": "x"}}
	}
	return must(f.Notify(t.Context(), c, 0, to...))(t)
}

func (f fixture) inbox(t *testing.T, user string) models.Inbox {
	t.Helper()
	return must(f.Inbox(t.Context(), user, "", models.Page{Limit: 100}))(t)
}

// outgoing leases all that waits for a channel.
func (f fixture) outgoing(t *testing.T, channel models.Channel) map[string]models.Delivery {
	t.Helper()
	leased, _, err := f.LeaseDeliveries(t.Context(), string(channel), f.Now().Add(time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	byAddress := map[string]models.Delivery{}
	for _, d := range leased {
		byAddress[d.To] = d
	}
	return byAddress
}

func TestUsersAreTold(t *testing.T) {
	t.Parallel()
	onBothActive(t, func(t *testing.T, f fixture) {
		now := f.Now()
		f.user(t, models.User{MerchantID: "m1", UserID: "ann", Email: "ann@m1.example", LastActiveAt: new(now.Add(-29 * day))})
		f.user(t, models.User{UserID: "ann", Email: "ann@example", Phone: "+4930123456", Locale: "de-AT"})
		f.user(t, models.User{MerchantID: "m1", UserID: "bob", Email: "bob@m1.example", LastActiveAt: new(now.Add(-31 * day))})
		f.user(t, models.User{MerchantID: "m2", UserID: "cid", Email: "cid@m2.example"})
		all := content("d1", models.ChannelInbox, models.ChannelMail, models.ChannelSMS)
		if n := f.notify(t, all, "ann", "bob", "cid", "ann"); n != 2 {
			t.Errorf("%d were told", n)
		}
		if n := f.notify(t, all, "cid", "ann"); n != 0 { // the same cause again
			t.Errorf("%d were told again", n)
		}

		want := models.Message{
			UserID: "ann", Kind: models.ContentDistribution, About: all.About, Locale: "de",
			Text: models.Text{Title: "Flash für Sie", Body: "Nutzen Sie C-ann."},
		}
		got := f.inbox(t, "ann")
		if len(got.Messages) != 1 || got.Unread != 1 {
			t.Fatalf("got %+v", got)
		}
		want.ID, want.CreatedAt = got.Messages[0].ID, got.Messages[0].CreatedAt
		if diff := cmp.Diff(want, got.Messages[0]); diff != "" {
			t.Error(diff)
		}
		if got := f.inbox(t, "bob"); len(got.Messages) > 0 {
			t.Errorf("one who is long gone was told %+v", got)
		}
		if got := f.inbox(t, "cid"); len(got.Messages) != 1 || got.Messages[0].Title != "Flash for you" || got.Messages[0].Locale != "" {
			t.Errorf("of whom nothing is known: %+v", got)
		}
		mail, sms := f.outgoing(t, models.ChannelMail), f.outgoing(t, models.ChannelSMS)
		if len(mail) != 1 || len(sms) != 1 || mail["ann@m1.example"].Text != want.Text || sms["+4930123456"].Channel != models.ChannelSMS {
			t.Errorf("mail %+v, SMS %+v", mail, sms)
		}
		if rows := must(f.Texts(t.Context(), "SELECT facts FROM messages WHERE user_id = 'ann'"))(t); !slices.Equal(rows, []string{`{"coupon.code":"C-ann"}`}) {
			t.Errorf("kept %v", rows)
		}
		if rows := must(f.Texts(t.Context(), "SELECT id FROM message_contents"))(t); len(rows) != 1 {
			t.Errorf("%d contents", len(rows))
		}
		f.sound(t)
	})
}

func TestOnlyByMail(t *testing.T) {
	t.Parallel()
	onBothActive(t, func(t *testing.T, f fixture) {
		f.user(t, models.User{MerchantID: "m1", UserID: "ann", Email: "ann@m1.example"})
		f.notify(t, content("d1", models.ChannelMail), "ann", "bob")
		for _, user := range []string{"ann", "bob"} {
			if got := f.inbox(t, user); len(got.Messages) > 0 || got.Unread > 0 {
				t.Errorf("in %s's inbox: %+v", user, got)
			}
		}
		if rows := must(f.Texts(t.Context(), "SELECT user_id FROM messages"))(t); !slices.Equal(rows, []string{"ann"}) {
			t.Errorf("messages of %v", rows)
		}
		// The address is the one of the moment when it goes out.
		f.user(t, models.User{MerchantID: "m1", UserID: "ann"})
		mail := f.outgoing(t, models.ChannelMail)
		if d, found := mail[""]; len(mail) != 1 || !found || d.Text.Body != "Use C-ann." {
			t.Errorf("got %+v", mail)
		}
		f.sound(t)
	})
}

func TestEachOccasionIsToldOnce_Race(t *testing.T) {
	t.Parallel()
	onBothActive(t, func(t *testing.T, f fixture) {
		f.user(t, models.User{MerchantID: "m1", UserID: "u1", Email: "u1@m1.example"})
		other := f.another(t)
		var group sync.WaitGroup
		for i := range 4 {
			s := []*store.Store{f.Store, other}[i%2]
			group.Go(func() {
				for occasion := range int64(5) {
					var to []models.Recipient
					for u := range 20 {
						to = append(to, models.Recipient{UserID: fmt.Sprint("u", (u+int(occasion)*i)%20)})
					}
					if _, err := s.Notify(t.Context(), content("r1", models.ChannelInbox, models.ChannelMail), occasion, to...); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		for u := range 20 {
			if got := f.inbox(t, fmt.Sprint("u", u)); got.Unread != 5 {
				t.Errorf("u%d was told %d times", u, got.Unread)
			}
		}
		if rows := must(f.Texts(t.Context(), "SELECT id FROM deliveries"))(t); len(rows) != 5 {
			t.Errorf("%d mails", len(rows))
		}
		f.sound(t)
	})
}

func TestReadingAndPages(t *testing.T) {
	t.Parallel()
	onBothActive(t, func(t *testing.T, f fixture) {
		for i := range 5 {
			f.notify(t, content(fmt.Sprint("d", i), models.ChannelInbox), "ann", "bob")
		}
		all := f.inbox(t, "ann").Messages
		first := must(f.Inbox(t.Context(), "ann", "de", models.Page{Limit: 2}))(t)
		rest := must(f.Inbox(t.Context(), "ann", "de", models.Page{Limit: 9, Before: first.Messages[1].ID}))(t)
		if len(all) != 5 || len(rest.Messages) != 3 || rest.Messages[2].ID != all[4].ID || first.Messages[0].Locale != "de" || first.Unread != 5 {
			t.Errorf("got %+v and %+v of %+v", first, rest, all)
		}
		read := must(f.ReadMessage(t.Context(), f.op(platform()), "ann", all[1].ID))(t)
		again := must(f.ReadMessage(t.Context(), f.op(platform()), "ann", all[1].ID))(t)
		if read.ReadAt == nil || again.ReadAt == nil || !again.ReadAt.Equal(*read.ReadAt) {
			t.Errorf("read %+v, again %+v", read, again)
		}
		if got := f.inbox(t, "ann"); got.Unread != 4 || len(got.Messages) != 5 {
			t.Errorf("%d unread of %d", got.Unread, len(got.Messages))
		}
		_, err := f.ReadMessage(t.Context(), f.op(platform()), "bob", all[1].ID)
		wantCode(t, err, models.CodeNotFound)

		n := must(f.PurgeMessages(t.Context(), f.Now().Add(day), 7))(t)
		n += must(f.PurgeMessages(t.Context(), f.Now().Add(day), 7))(t)
		if left := f.inbox(t, "ann"); n != 10 || len(left.Messages) > 0 {
			t.Errorf("purged %d, left %+v", n, left)
		}
	})
}

func TestABrokenMessageIsFound(t *testing.T) {
	t.Parallel()
	onBothActive(t, func(t *testing.T, f fixture) {
		f.user(t, models.User{MerchantID: "m1", UserID: "ann", Email: "ann@m1.example"})
		f.notify(t, content("d1", models.ChannelInbox, models.ChannelMail), "ann")
		f.sound(t)
		for _, statement := range []string{"DELETE FROM message_contents", "DELETE FROM messages"} {
			if err := f.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			_, broken, err := f.Check(t.Context())
			if err != nil || len(broken) != 1 || !strings.Contains(broken[0].Row, "ann") {
				t.Errorf("%s: found %v, %v", statement, broken, err)
			}
		}
	})
}
