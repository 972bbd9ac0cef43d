package models

import "time"

// The placeholders that texts may have.
const (
	FactTemplateName = "template.name"
	FactPackName     = "pack.name"
	FactCouponCode   = "coupon.code"
	FactCouponCount  = "coupon.count"
	FactLastDay      = "coupon.last_day"
)

// DistributionPlaceholders are those of a text that comes with a distribution of
// one template's coupons.
func DistributionPlaceholders() []string {
	return []string{FactTemplateName, FactCouponCode, FactLastDay}
}

// PackPlaceholders are those of a text that comes with a distribution of packs,
// whose coupons have nothing in common but the user.
func PackPlaceholders() []string { return []string{FactPackName, FactCouponCount} }

// CouponFacts are what a user's coupon puts in the place of placeholders; days are
// those of the template's zone.
func CouponFacts(c *Coupon, zone *time.Location) Facts {
	return Facts{FactCouponCode: c.Code, FactLastDay: LastDay(c.ExpiresAt, zone)}
}

// ReminderNotice is what users are told of coupons that are about to expire, in
// the languages that we speak. Dates are written as in ISO 8601, which is read alike
// in all of them.
func ReminderNotice() Notice {
	traditional := Text{"優惠券即將到期", "「{template.name}」可使用至 {coupon.last_day}。"}
	return Notice{
		Channels: []Channel{ChannelInbox, ChannelMail},
		Text:     Text{"Your coupon is about to expire", "“{template.name}” can be used until {coupon.last_day}."},
		Locales: map[string]Text{
			"en":      {"Your coupon is about to expire", "“{template.name}” can be used until {coupon.last_day}."},
			"zh":      {"优惠券即将过期", "“{template.name}”可使用至 {coupon.last_day}。"},
			"zh-Hant": traditional,
			"zh-TW":   traditional,
			"zh-HK":   traditional,
			"ja":      {"クーポンの有効期限が近づいています", "「{template.name}」は{coupon.last_day}までご利用いただけます。"},
			"ko":      {"쿠폰이 곧 만료됩니다", "‘{template.name}’ 쿠폰은 {coupon.last_day}까지 사용할 수 있습니다."},
			"de":      {"Ihr Gutschein läuft bald ab", "„{template.name}“ gilt noch bis {coupon.last_day}."},
			"fr":      {"Votre bon expire bientôt", "« {template.name} » est utilisable jusqu’au {coupon.last_day}."},
			"es":      {"Tu cupón caduca pronto", "«{template.name}» se puede usar hasta el {coupon.last_day}."},
		},
	}
}

// GiftNotice is what users are told of a distribution of one template's coupons,
// or of packs, whose owner leaves the words to us.
func GiftNotice(pack bool) Notice {
	if pack {
		return Notice{
			Channels: []Channel{ChannelInbox},
			Text:     Text{"You have new coupons", "“{pack.name}”: {coupon.count} coupons are in your wallet."},
			Locales: map[string]Text{
				"zh": {"您收到了新的优惠券", "“{pack.name}”：{coupon.count} 张优惠券已放入您的卡包。"},
			},
		}
	}
	return Notice{
		Channels: []Channel{ChannelInbox},
		Text:     Text{"You have a new coupon", "“{template.name}” can be used until {coupon.last_day}."},
		Locales: map[string]Text{
			"zh": {"您收到了一张优惠券", "“{template.name}”可使用至 {coupon.last_day}。"},
		},
	}
}
