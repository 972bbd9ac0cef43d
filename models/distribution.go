package models

import "errors"

// MaxRate bounds a distribution's rate, in users a second.
const MaxRate = 1_000_000

// Distribution gives the coupons of a template, or of a pack, to an audience that
// need not claim them. Its job, which has the same id, says how far it has come.
type Distribution struct {
	Job

	TemplateID ID // or a pack
	PackID     ID
	Audience   Audience // without its UserIDs, once it is stored
	Notice     *Notice  // to those who got theirs; nil: none
}

// Check notes every fault of the fields themselves. listed says that the users
// come as a list of their own.
func (d *Distribution) Check(f Faults, listed bool) {
	f.Require(d.TemplateID != 0 || d.PackID != 0, "template_id")
	if d.TemplateID != 0 && d.PackID != 0 {
		f.Add("pack_id", CodeInvalid, "excludes template_id")
	}
	if d.Rate != nil {
		f.Between("rate", *d.Rate, 1, MaxRate)
	}
	switch {
	case listed:
	case d.Audience.Kind == "":
		f.In("audience").Require(false, "kind") // that all are meant must be said
	default:
		d.Audience.check(f.In("audience"))
	}
}

// CheckNotice notes what is wrong with the notice, by the channels that there are.
func (d *Distribution) CheckNotice(f Faults, channels []Channel) {
	if d.Notice == nil {
		return
	}
	placeholders := DistributionPlaceholders()
	if d.PackID != 0 {
		placeholders = PackPlaceholders()
	}
	d.Notice.Check(f.In("notify"), channels, placeholders)
}

// DeliveryFailure says why a user got nothing of a distribution.
type DeliveryFailure struct {
	UserID string
	Code   Code
	Detail string
}

// ErrStale says that a template was edited since it was read. Nothing was
// changed: read it again.
var ErrStale = errors.New("a template has another version by now")

// ErrNotYet says that a task has to wait for something else to happen. Nothing
// was changed.
var ErrNotYet = errors.New("the task has to wait")
