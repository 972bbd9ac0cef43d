package models

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Channel is a way by which a message reaches its user.
type Channel string

// The three channels of users. A webhook is a delivery's channel only: it goes to
// a merchant's server.
const (
	ChannelInbox   Channel = "inbox" // GET /messages
	ChannelMail    Channel = "mail"
	ChannelSMS     Channel = "sms"
	ChannelWebhook Channel = "webhook"
)

// Bounds of a notice.
const (
	MaxTitleLen   = 200
	MaxBodyLen    = 4000
	MaxLocales    = 100
	maxFactLength = 1000 // of what replaces one placeholder
)

// Text is what a user reads.
type Text struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// Notice is a text to users, by which channels, and in which languages. Its own
// title and body are for users whose language is not among Locales. Both may
// have placeholders, such as {template.name}; {{ and }} stand for braces.
type Notice struct {
	Channels []Channel `json:"channels"`
	Text

	Locales map[string]Text `json:"locales,omitempty"` // by BCP 47 tag
}

// Has reports whether the notice goes by the channel.
func (n *Notice) Has(c Channel) bool { return slices.Contains(n.Channels, c) }

// Check notes what is wrong with a notice that may use the given channels and
// placeholders.
func (n *Notice) Check(f Faults, channels []Channel, placeholders []string) {
	f.Require(len(n.Channels) > 0, "channels")
	for i, channel := range n.Channels {
		switch {
		case !slices.Contains([]Channel{ChannelInbox, ChannelMail, ChannelSMS}, channel):
			f.Add(fmt.Sprintf("channels[%d]", i), CodeInvalid, "must be inbox, mail or sms")
		case !slices.Contains(channels, channel):
			f.Add(fmt.Sprintf("channels[%d]", i), CodeInvalid, "%s is not set up on this server", channel)
		case slices.Contains(n.Channels[:i], channel):
			f.Add("channels", CodeNotUnique, "names %s twice", channel)
		}
	}
	n.check(f, placeholders)
	if len(n.Locales) > MaxLocales {
		f.Add("locales", CodeOutOfRange, "must have at most %d elements", MaxLocales)
		return
	}
	seen := map[string]bool{}
	for _, tag := range slices.Sorted(maps.Keys(n.Locales)) {
		if !isLocale(tag) {
			f.Add("locales", CodeInvalid, "%.40q must be a language tag such as zh-CN", tag)
			continue
		}
		if plain := plainLocale(tag); seen[plain] {
			f.Add("locales", CodeNotUnique, "names %s twice", tag)
		} else {
			seen[plain] = true
		}
		text := n.Locales[tag]
		text.check(f.In("locales").In(tag), placeholders)
	}
}

func (t Text) check(f Faults, placeholders []string) {
	for _, part := range []struct {
		field, text string
		most        int
		lines       bool
	}{{"title", t.Title, MaxTitleLen, false}, {"body", t.Body, MaxBodyLen, true}} {
		checkText(f, part.field, part.text, part.most, part.lines)
		for _, name := range placeholdersIn(part.text) {
			if !slices.Contains(placeholders, name) {
				f.Add(part.field, CodeInvalid, "{%.40s} is not among %s; a brace is written {{ or }}", name, braced(placeholders))
			}
		}
	}
}

func checkText(f Faults, field, text string, most int, lines bool) {
	control := func(r rune) bool { return unicode.IsControl(r) && (!lines || r != '\n') }
	switch {
	case strings.TrimSpace(text) == "":
		f.Require(false, field)
	case utf8.RuneCountInString(text) > most:
		f.Add(field, CodeOutOfRange, "must be 1 to %d characters", most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, control):
		f.Add(field, CodeInvalid, "must be printable UTF-8")
	}
}

func braced(names []string) string { return "{" + strings.Join(names, "}, {") + "}" }

// plainLocale is a tag without its differences in spelling.
func plainLocale(tag string) string { return strings.ToLower(tag) }

// In returns the text for a locale, and the tag that it was found under: the
// locale's own, else that of its language without the region (RFC 4647's
// lookup), else the notice's own text under "".
func (n *Notice) In(locale string) (text Text, tag string) {
	byPlain := make(map[string]string, len(n.Locales))
	for tag := range n.Locales {
		byPlain[plainLocale(tag)] = tag
	}
	for plain := plainLocale(locale); plain != ""; {
		if tag, found := byPlain[plain]; found {
			return n.Locales[tag], tag
		}
		cut := strings.LastIndexByte(plain, '-')
		// A single letter or digit begins an extension, and goes with it.
		if cut >= 2 && plain[cut-2] == '-' {
			cut -= 2
		}
		plain = plain[:max(0, cut)]
	}
	return n.Text, ""
}

// Uses lists the placeholders that occur in any language of the notice.
func (n *Notice) Uses() []string {
	names := append(placeholdersIn(n.Title), placeholdersIn(n.Body)...)
	for _, text := range n.Locales {
		names = append(append(names, placeholdersIn(text.Title)...), placeholdersIn(text.Body)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Facts are what placeholders stand for, by name.
type Facts map[string]string

// Fill puts facts in the place of the text's placeholders; the first that has
// one of a name counts, and what none has leaves nothing. What is put in is not
// looked at again, so nothing in it can act as a placeholder.
func (t Text) Fill(facts ...Facts) Text {
	find := func(name string) string {
		for _, known := range facts {
			if value, found := known[name]; found {
				return oneLine(value)
			}
		}
		return ""
	}
	return Text{Title: fill(t.Title, find), Body: fill(t.Body, find)}
}

// oneLine makes a fact fit to stand in a title.
func oneLine(value string) string {
	if len(value) > maxFactLength {
		value = strings.ToValidUTF8(value[:maxFactLength], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, value)
}

// placeholdersIn lists what a text has between single braces. Of a brace without
// a partner the name is all from there on, brace and all, which no fact has.
func placeholdersIn(text string) []string {
	var names []string
	fill(text, func(name string) string {
		names = append(names, name)
		return ""
	})
	return names
}

// fill copies a text, with what find says in the place of each {name}.
func fill(text string, find func(string) string) string {
	var out strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "{}")
		if at < 0 {
			break
		}
		out.WriteString(text[:at])
		brace, rest := text[at], text[at+1:]
		switch end := strings.IndexByte(rest, '}'); {
		case strings.HasPrefix(rest, string(brace)): // doubled: the brace itself
			out.WriteByte(brace)
			text = rest[1:]
		case brace == '}' || end < 0:
			out.WriteString(find(text[at:]))
			text = ""
		default:
			out.WriteString(find(rest[:end]))
			text = rest[end+1:]
		}
	}
	out.WriteString(text)
	return out.String()
}

// Content is a notice as it is stored, once for all who get it.
type Content struct {
	ID         ID
	MerchantID string
	// Name is the cause's: of two contents with one name the first stays.
	Name string
	Kind ContentKind
	Notice
	Facts     Facts         // the same for all
	About     map[string]ID // such as template_id
	CreatedAt time.Time
}

// ContentKind says why users are told something.
type ContentKind string

// The two kinds.
const (
	ContentDistribution ContentKind = "distribution" // they were given something
	ContentReminder     ContentKind = "reminder"     // something of theirs is about to expire
)

// Recipient is a user who is to get a message.
type Recipient struct {
	UserID string
	Facts  Facts // this user's own, over those of the content; those that it does not use are not kept
}

// Message is one user's copy of a content, in the user's language.
type Message struct {
	ID     ID
	UserID string
	Kind   ContentKind
	About  map[string]ID
	Text
	Locale    string // the tag of the text; "" for the content's own
	CreatedAt time.Time
	ReadAt    *time.Time
}

// Inbox is a page of a user's messages, newest first, and how many of all are
// unread.
type Inbox struct {
	Messages []Message
	Unread   int64
}
