package models

import (
	"net/mail"
	"slices"
	"strings"
	"time"
)

// Bounds of what is kept of a user.
const (
	MaxUserTags  = 100
	maxLocaleLen = 35 // RFC 5646, 4.4.1
	maxEmailLen  = 254
)

// User is what a merchant, or with an empty MerchantID the platform, knows of
// one of its users. What is not known is empty or nil.
type User struct {
	MerchantID   string
	UserID       string
	Tags         []string // sorted
	Locale       string   // BCP 47, as in zh-Hant-TW
	Email        string
	Phone        string // E.164, as in +4930123456
	LastActiveAt *time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Normalize sorts the tags and cuts the time to what is stored. Call it before
// Check.
func (u *User) Normalize() {
	slices.Sort(u.Tags)
	if u.LastActiveAt != nil {
		u.LastActiveAt = new(Instant(*u.LastActiveAt))
	}
}

// Check notes every fault of the fields.
func (u *User) Check(f Faults) {
	CheckForeign(f, "user_id", u.UserID)
	checkForeignList(f, "tags", u.Tags, MaxUserTags)
	if u.Locale != "" {
		CheckLocale(f, "locale", u.Locale)
	}
	if u.Email != "" && !isEmail(u.Email) {
		f.Add("email", CodeInvalid, "must be an address such as ann@example.com, of at most %d bytes", maxEmailLen)
	}
	if u.Phone != "" && !isPhone(u.Phone) {
		f.Add("phone", CodeInvalid, "must be + and 7 to 15 digits, the country's first")
	}
	checkYear(f, "last_active_at", u.LastActiveAt)
}

// CheckLocale notes what is wrong with a language tag.
func CheckLocale(f Faults, field, s string) {
	if !isLocale(s) {
		f.Add(field, CodeInvalid, "must be a language tag such as en or zh-Hant-TW")
	}
}

// isLocale reports whether s has the form of a language tag: subtags of 1 to 8
// letters and digits, the first of 2 letters at least.
func isLocale(s string) bool {
	for i, subtag := range strings.Split(s, "-") {
		if len(subtag) < 1 || len(subtag) > 8 || i == 0 && len(subtag) < 2 {
			return false
		}
		for _, c := range []byte(subtag) {
			letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
			if !letter && (!digit || i == 0) {
				return false
			}
		}
	}
	return len(s) <= maxLocaleLen
}

func isEmail(s string) bool {
	if len(s) > maxEmailLen || !printable(s) || strings.ContainsAny(s, " <>\",") {
		return false
	}
	address, err := mail.ParseAddress(s)
	return err == nil && address.Address == s && address.Name == ""
}

func isPhone(s string) bool {
	const fewest, most = 7, 15
	digits, found := strings.CutPrefix(s, "+")
	return found && len(digits) >= fewest && len(digits) <= most && digits[0] != '0' &&
		strings.Trim(digits, "0123456789") == ""
}

// MaxLineErrors is how many faults a LineReport lists.
const MaxLineErrors = 1000

// LineReport says what became of the lines of an upload. Failed counts all that
// were passed over; Errors tells of the first ones.
type LineReport struct {
	Imported int64
	Failed   int64
	Errors   []LineError
}

// LineError is one fault of one line, which counts from 1.
type LineError struct {
	Line int64 `json:"line"`
	FieldError
}

// Refuse notes a line that was passed over, with all that is wrong with it.
func (r *LineReport) Refuse(line int64, faults ...FieldError) {
	r.Failed++
	for _, fault := range faults {
		if len(r.Errors) < MaxLineErrors {
			r.Errors = append(r.Errors, LineError{line, fault})
		}
	}
}
