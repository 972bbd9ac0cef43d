package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"scrip/models"
)

func notice() models.Notice {
	return models.Notice{
		Channels: []models.Channel{models.ChannelInbox, models.ChannelMail},
		Text:     models.Text{Title: "For you", Body: "Use {coupon.code} until {coupon.last_day}."},
		Locales: map[string]models.Text{
			"zh":      {Title: "简", Body: "{coupon.code}"},
			"zh-Hant": {Title: "繁", Body: "{coupon.code}"},
			"de":      {Title: "Für Sie", Body: "{coupon.code}"},
		},
	}
}

func allChannels() []models.Channel {
	return []models.Channel{models.ChannelInbox, models.ChannelMail, models.ChannelSMS}
}

func TestNoticeCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit   func(*models.Notice)
		fields []string
	}{
		"good":                 {func(*models.Notice) {}, nil},
		"braces":               {func(n *models.Notice) { n.Body = "{{not one}} of {coupon.code}" }, nil},
		"lines":                {func(n *models.Notice) { n.Body = "one\ntwo" }, nil},
		"no channel":           {func(n *models.Notice) { n.Channels = nil }, []string{"channels"}},
		"another channel":      {func(n *models.Notice) { n.Channels = []models.Channel{"pigeon"} }, []string{"channels[0]"}},
		"the webhooks' own":    {func(n *models.Notice) { n.Channels = []models.Channel{models.ChannelWebhook} }, []string{"channels[0]"}},
		"one not set up":       {func(n *models.Notice) { n.Channels = []models.Channel{models.ChannelSMS} }, []string{"channels[0]"}},
		"a channel twice":      {func(n *models.Notice) { n.Channels = append(n.Channels, models.ChannelMail) }, []string{"channels"}},
		"no title":             {func(n *models.Notice) { n.Title = " " }, []string{"title"}},
		"a title of two lines": {func(n *models.Notice) { n.Title = "a\nBcc: b" }, []string{"title"}},
		"a long body":          {func(n *models.Notice) { n.Body = strings.Repeat("x", models.MaxBodyLen+1) }, []string{"body"}},
		"a strange fact":       {func(n *models.Notice) { n.Body = "{user.password}" }, []string{"body"}},
		"an open brace":        {func(n *models.Notice) { n.Body = "{coupon.code" }, []string{"body"}},
		"a lone brace":         {func(n *models.Notice) { n.Title = "a } b" }, []string{"title"}},
		"a strange language":   {func(n *models.Notice) { n.Locales["x_y"] = models.Text{} }, []string{"locales"}},
		"a language twice":     {func(n *models.Notice) { n.Locales["DE"] = n.Locales["de"] }, []string{"locales"}},
		"half a language":      {func(n *models.Notice) { n.Locales["fr"] = models.Text{Title: "Pour vous"} }, []string{"locales.fr.body"}},
		"a fact in a language": {func(n *models.Notice) { n.Locales["fr"] = models.Text{Title: "a", Body: "{b}"} }, []string{"locales.fr.body"}},
	} {
		n := notice()
		c.edit(&n)
		var fields []string
		for _, fault := range faultsOf(t, func(f models.Faults) {
			n.Check(f, allChannels()[:2], models.DistributionPlaceholders())
		}) {
			fields = append(fields, fault.Field)
		}
		if diff := cmp.Diff(c.fields, fields); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestNoticeInALanguage(t *testing.T) {
	t.Parallel()
	n := notice()
	for locale, want := range map[string]string{
		"": "", "en": "", "fr-CA": "", "de": "de", "DE": "de", "de-AT": "de", "de-AT-1996": "de", "de-x-private": "de",
		"zh": "zh", "zh-CN": "zh", "zh-Hans-CN": "zh", "zh-Hant": "zh-Hant", "zh-hant-tw": "zh-Hant", "zh-Hant-TW-x-a": "zh-Hant",
		"-": "", "x": "",
	} {
		text, tag := n.In(locale)
		if tag != want || want != "" && text != n.Locales[want] || want == "" && text != n.Text {
			t.Errorf("%q: got %q %v, want %q", locale, tag, text, want)
		}
	}
}

func TestPlaceholdersAreFilled(t *testing.T) {
	t.Parallel()
	own := models.Facts{"a": "1", "evil": "{b} {{\r\nBcc: x"}
	all := models.Facts{"a": "2", "b": "3"}
	for text, want := range map[string]string{
		"": "", "plain": "plain", "{a}": "1", "{a}{b}{c}": "13", "x {b} y": "x 3 y", "{{a}} {a}": "{a} 1",
		"{evil}": "{b} {{  Bcc: x", "{{{a}}}": "{1}", "ünï{a}": "ünï1",
	} {
		got := models.Text{Title: text, Body: text}.Fill(own, all)
		if got.Title != want || got.Body != want {
			t.Errorf("%q: got %q, want %q", text, got.Title, want)
		}
	}
}

// TestNoTextBreaksTheFilling takes any text at all: a text that passes the check
// leaves no single brace, and whatever is filled in, the rest stays as it is.
func TestNoTextBreaksTheFilling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("{}ab. \n"))).Draw(t, "text")
		n := models.Notice{Channels: allChannels(), Text: models.Text{Title: "t", Body: text}}
		f := models.NewFaults()
		n.Check(f, allChannels(), []string{"a", "b"})
		value := rapid.StringOf(rapid.SampledFrom([]rune("{}ab"))).Draw(t, "value")
		got := n.Fill(models.Facts{"a": value, "b": value}).Body
		if f.Err() != nil {
			return
		}
		plain := strings.NewReplacer("{{", "<", "}}", ">", "{a}", value, "{b}", value).Replace(text)
		if want := strings.NewReplacer("<", "{", ">", "}").Replace(plain); got != want {
			t.Fatalf("%q with %q: got %q, want %q", text, value, got, want)
		}
	})
}

func TestReminderNoticeIsInOrder(t *testing.T) {
	t.Parallel()
	n := models.ReminderNotice()
	wantFaults(t, faultsOf(t, func(f models.Faults) {
		n.Check(f, allChannels(), []string{models.FactTemplateName, models.FactLastDay})
	}))
	zone, err := models.LoadZone("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	c := models.Coupon{Code: "ABC", ExpiresAt: time.Date(2026, 12, 31, 15, 0, 0, 0, time.UTC)} // midnight in Tokyo
	facts := models.CouponFacts(&c, zone)
	if diff := cmp.Diff(models.Facts{"coupon.code": "ABC", "coupon.last_day": "2026-12-31"}, facts); diff != "" {
		t.Error(diff)
	}
	text, tag := n.In("ja-JP")
	got := text.Fill(facts, models.Facts{models.FactTemplateName: "歓迎"})
	if tag != "ja" || got.Body != "「歓迎」は2026-12-31までご利用いただけます。" {
		t.Errorf("got %s %q", tag, got.Body)
	}
}
