package claims

import (
	"context"
	"errors"

	"scrip/failpoint"
	"scrip/groupcommit"
	"scrip/models"
)

// entry is a claim on its way through a batch.
type entry struct {
	models.Claim
	direct   bool // past the gate, which is cold or away
	reserved bool // at the gate
}

// answer is what became of an entry.
type answer struct {
	models.Verdict
	cold bool  // the gate has to be loaded first
	err  error // of this entry alone
}

// decide carries a batch through: the gate sets units aside for whom it knows
// nothing against, the store decides all in one transaction, and the gate is told
// what became of it. One stage for both, so that a caller is woken once, and
// Redis is asked once for as many claims as MariaDB commits. Whose caller has gone
// meanwhile is decided and told all the same.
func (s *Service) decide(ctx context.Context, batch []entry) ([]answer, error) {
	answers := make([]answer, len(batch))
	s.askGate(ctx, batch, answers)
	s.boundDirect(batch, answers)
	s.commit(ctx, batch, answers)
	return answers, nil
}

// commit has the store decide those of a batch that are not answered yet, and
// tells the gate.
func (s *Service) commit(ctx context.Context, batch []entry, answers []answer) {
	wishes := make([]models.Claim, 0, len(batch))
	at := make([]int, 0, len(batch))
	for i := range batch {
		if !answers[i].cold && answers[i].err == nil {
			wishes, at = append(wishes, batch[i].Claim), append(at, i)
		}
	}
	var verdicts []models.Verdict
	var err error
	if len(wishes) > 0 {
		verdicts, err = s.store.CommitClaims(ctx, wishes)
	}
	for i, place := range at {
		if answers[place].err = err; err == nil {
			answers[place].Verdict = verdicts[i]
		}
	}
	s.proved(batch, answers)
	if !errors.Is(err, models.ErrUnknown) { // else what is pending stays so, until it is settled
		s.finisher.tell(outcomes(batch, answers)...)
	}
}

// proved notes of the templates of which coupons were granted that their versions
// are the current ones: the store grants by no other.
func (s *Service) proved(batch []entry, answers []answer) {
	var latest models.ID // most batches are about one
	for i := range batch {
		def := batch[i].Template
		if answers[i].Coupon != nil && answers[i].Epoch == def.Epoch && def.ID != latest {
			s.definitions.proved(def.ID)
			latest = def.ID
		}
	}
}

// askGate has the gate judge a batch. A no of the gate is no answer yet: it
// only tells the store to look closely.
func (s *Service) askGate(ctx context.Context, batch []entry, answers []answer) {
	asks := make([]models.Reservation, 0, len(batch))
	at := make([]int, 0, len(batch))
	for i := range batch {
		if e := &batch[i]; e.Refused == nil && !e.direct {
			asks = append(asks, models.Reservation{
				TemplateID: e.Template.ID, ClaimID: e.ID, UserID: e.UserID, Epoch: e.Template.Epoch,
			})
			at = append(at, i)
		}
	}
	if len(asks) == 0 {
		return
	}
	for i, said := range s.gate.Reserve(ctx, asks) {
		switch e := &batch[at[i]]; said {
		case models.GateTaken:
			e.reserved, e.New = true, true
			failpoint.Reach(failpoint.ClaimReserved)
		case models.GateCold:
			answers[at[i]].cold = true
		case models.GateAway:
			e.direct = true
		case models.GateLimit, models.GateSoldOut, models.GateBusy:
		}
	}
}

// boundDirect sends away the claims beyond those that may pass the gate by: each
// costs the database what the gate would have spared it.
func (s *Service) boundDirect(batch []entry, answers []answer) {
	room := s.cfg.Direct
	for i := range batch {
		if !batch[i].direct || batch[i].Refused != nil {
			continue
		}
		if room--; room < 0 {
			answers[i].err = groupcommit.ErrBusy
		}
	}
}

// outcomes are what the gate is to be told of a batch.
func outcomes(batch []entry, answers []answer) []models.GateOutcome {
	told := make([]models.GateOutcome, 0, len(batch))
	for i := range batch {
		e, got := &batch[i], &answers[i]
		epoch := e.Template.Epoch
		switch {
		case got.Coupon != nil && e.reserved && got.Epoch == epoch:
			told = append(told, e.outcome(models.GateConfirm, epoch))
		case got.Coupon != nil:
			told = append(told, e.outcome(models.GateRecord, got.Epoch))
		case e.reserved:
			told = append(told, e.outcome(models.GateRelease, epoch))
		}
	}
	return told
}

func (e *entry) outcome(step models.GateStep, epoch int64) models.GateOutcome {
	return models.GateOutcome{
		TemplateID: e.Template.ID, ClaimID: e.ID, UserID: e.UserID,
		Epoch: epoch, Step: step,
	}
}
