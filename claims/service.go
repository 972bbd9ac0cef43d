// Package claims turns a wish for a coupon into a coupon: it asks the gate,
// which filters, and commits through the store, which decides.
package claims

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"scrip/groupcommit"
	"scrip/models"
)

// gate is the filter in front of the store; package gate has two of them.
type gate interface {
	Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
	Begin(ctx context.Context, load models.GateLoad) (bool, error)
	Load(ctx context.Context, template models.ID, epoch, limit int64, holders []models.Holder) (bool, error)
	Open(ctx context.Context, load models.GateLoad) (bool, error)
	SetStock(ctx context.Context, template models.ID, epoch, edit, stock int64) error
	State(ctx context.Context, template models.ID) (models.GateState, error)
}

// store is where claims are decided.
type store interface {
	Now() time.Time
	NextID() (models.ID, error)
	Definition(ctx context.Context, id models.ID) (models.Template, error)
	AnsweredBefore(ctx context.Context, key *models.IdempotencyKey, otherwise error) error
	CommitClaims(ctx context.Context, batch []models.Claim) ([]models.Verdict, error)
	Holdings(ctx context.Context, template models.ID, userID string) ([]models.ID, error)
	HoldingsOf(ctx context.Context, userID string, templates []models.ID) (map[models.ID][]models.ID, error)
	NextEpoch(ctx context.Context, id models.ID, from int64) (load models.GateLoad, claimed int64, ok bool, err error)
	Holders(ctx context.Context, id models.ID, after, upto int64, limit int) (holders []models.Holder, last int64, err error)
	Templates(ctx context.Context, actor models.Principal, filter models.TemplateFilter, page models.Page) ([]models.Template, error)
}

// Config bounds a Service.
type Config struct {
	MaxBatch      int           // claims in one transaction
	WaitingRoom   int           // claims waiting for one, over all lanes
	Lanes         int           // transactions at once; a template's claims go through one lane
	Direct        int           // claims at once that pass the gate by while it is cold or away
	CommitTimeout time.Duration // of one transaction; shorter than what is pending is left alone before it is settled
	Grace         time.Duration // how long past its deadline a claim waits for the commit that it is in
	DefinitionTTL time.Duration // how old a template may be by which claims are judged; a tightening edit holds at once all the same
}

// Service grants claims. It is safe for concurrent use.
type Service struct {
	store store
	gate  gate
	log   *slog.Logger

	definitions *definitions
	reserve     *groupcommit.Committer[models.Reservation, models.GateAnswer]
	commit      *groupcommit.Committer[entry, models.Verdict]
	direct      chan struct{}
	finisher    *finisher
	rebuilds    rebuilds
	closing     sync.Once
}

// entry is a claim on its way to the store, and how it passed the gate.
type entry struct {
	models.Claim
	reserved bool
	epoch    int64 // under which it was reserved
}

// New starts a Service; Close ends it.
func New(cfg Config, st store, g gate, log *slog.Logger) (*Service, error) {
	defs, err := newDefinitions(st, cfg.DefinitionTTL)
	if err != nil {
		return nil, err
	}
	s := &Service{
		store: st, gate: g, log: log, definitions: defs,
		direct:   make(chan struct{}, cfg.Direct),
		finisher: newFinisher(g, log),
	}
	bounds := groupcommit.Config{
		Lanes: cfg.Lanes, MaxBatch: cfg.MaxBatch, WaitingRoom: cfg.WaitingRoom,
		Timeout: cfg.CommitTimeout, Grace: cfg.Grace,
	}
	s.reserve = groupcommit.New(bounds, func(ctx context.Context, asks []models.Reservation) ([]models.GateAnswer, error) {
		return g.Reserve(ctx, asks), nil
	})
	s.commit = groupcommit.New(bounds, s.commitBatch)
	return s, nil
}

// Close refuses new claims, commits those under way, and tells the gate of them.
func (s *Service) Close() {
	s.closing.Do(func() {
		s.reserve.Close()
		s.commit.Close()
		s.finisher.close()
	})
}

// maxTries bounds how often a claim is judged anew because the template was
// edited in between.
const maxTries = 5

// Claim gives the user one coupon of the template. It returns once the coupon
// is committed. Refusals are *models.Error; a *models.Replay carries the answer
// that an earlier request with the same idempotency key got; an error that
// wraps models.ErrUnknown says that the coupon may have been granted.
func (s *Service) Claim(ctx context.Context, op models.Op, template models.ID, userID string, tags []string) (models.Coupon, error) {
	for range maxTries {
		def, err := s.definition(ctx, op.Actor, template)
		if err != nil {
			return models.Coupon{}, s.store.AnsweredBefore(ctx, op.Key, err)
		}
		verdict, err := s.attempt(ctx, op, def, userID, tags)
		switch {
		case err != nil:
			return models.Coupon{}, s.explain(err)
		case verdict.Stale:
			s.definitions.forget(template)
		case verdict.Void:
			continue
		case verdict.Replay != nil:
			return models.Coupon{}, verdict.Replay
		case verdict.Refused != nil:
			return models.Coupon{}, verdict.Refused
		default:
			return *verdict.Coupon, nil
		}
	}
	return models.Coupon{}, models.Busy("the template is being edited")
}

// definition finds a template for whoever claims from it; a merchant may claim
// from its own only.
func (s *Service) definition(ctx context.Context, actor models.Principal, id models.ID) (*models.Template, error) {
	def, err := s.definitions.get(ctx, id)
	if err == nil && actor.Role == models.RoleMerchant && !actor.Owns(def.MerchantID) {
		return nil, models.NotFound("template")
	}
	return def, err
}

// explain turns a committer's error into what the caller may be told.
func (s *Service) explain(err error) error {
	switch {
	case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed):
		return models.Busy("too many claims are waiting")
	case errors.Is(err, groupcommit.ErrAbandoned):
		return fmt.Errorf("%w: %w", models.ErrUnknown, err)
	}
	return err
}

// attempt judges a claim by one definition of its template.
func (s *Service) attempt(ctx context.Context, op models.Op, def *models.Template, userID string, tags []string) (models.Verdict, error) {
	e, err := s.prepare(op, def, userID)
	if err != nil {
		return models.Verdict{}, err
	}
	if refusal := def.Admit(e.At, userID, tags); refusal != nil {
		return s.refuse(ctx, e, refusal)
	}
	answer, err := s.ask(ctx, &e)
	if err != nil {
		return models.Verdict{}, err
	}
	switch answer {
	case models.GateTaken:
		e.reserved, e.New = true, true
		return s.submit(ctx, e)
	case models.GateLimit:
		return s.atLimit(ctx, e)
	case models.GateSoldOut:
		if s.definitions.soldOut(e.Template) {
			return s.refuseByWord(ctx, e, models.ErrSoldOut())
		}
		return s.submit(ctx, e) // never on the gate's word alone
	case models.GateBusy:
		return s.submit(ctx, e) // what is pending commits before us, or not at all
	case models.GateAway, models.GateCold:
	}
	return s.submitDirect(ctx, e)
}

func (s *Service) prepare(op models.Op, def *models.Template, userID string) (entry, error) {
	id, err := s.store.NextID()
	if err != nil {
		return entry{}, models.Busy("this instance cannot make ids right now")
	}
	now := s.store.Now()
	e := entry{Claim: models.Claim{ID: id, UserID: userID, Template: def, At: now, Key: op.Key}}
	e.ValidFrom, e.ExpiresAt, err = def.Span(now)
	return e, err
}

// refuse answers a claim that the template does not admit. A user who has the
// coupon is told so whatever became of the template since: the first answer may
// have been lost, and a claim is idempotent for ever.
func (s *Service) refuse(ctx context.Context, e entry, refusal *models.Error) (models.Verdict, error) {
	if refusal.Code != models.CodeNotStarted {
		have, err := s.store.Holdings(ctx, e.Template.ID, e.UserID)
		if err != nil {
			return models.Verdict{}, err
		}
		if atLimit := e.Template.Limit(have); atLimit != nil {
			refusal = atLimit
		}
	}
	return s.refuseByWord(ctx, e, refusal)
}

// refuseByWord gives a refusal out, by way of the store only where it has to be
// kept, or was given before, under an idempotency key.
func (s *Service) refuseByWord(ctx context.Context, e entry, refusal *models.Error) (models.Verdict, error) {
	if e.Key == nil {
		return models.Verdict{Refused: refusal}, nil
	}
	e.Refused = refusal
	return s.submit(ctx, e)
}

// atLimit answers a user who, so the gate says, has all that one may have. The
// store knows which coupons those are, or that the gate is wrong: the twin of
// this request may still be pending, or have failed.
func (s *Service) atLimit(ctx context.Context, e entry) (models.Verdict, error) {
	if e.Key != nil {
		return s.submit(ctx, e) // the key must be looked up anyway
	}
	have, err := s.store.Holdings(ctx, e.Template.ID, e.UserID)
	if err != nil {
		return models.Verdict{}, err
	}
	if refusal := e.Template.Limit(have); refusal != nil {
		return s.refuseByWord(ctx, e, refusal)
	}
	return s.submit(ctx, e)
}

// maxAsks bounds how often a claim has a cold gate loaded before it passes by.
const maxAsks = 3

// ask reserves a unit at the gate, and has the gate loaded if it is cold.
func (s *Service) ask(ctx context.Context, e *entry) (models.GateAnswer, error) {
	for range maxAsks {
		e.epoch = e.Template.Epoch
		answer, err := s.reserve.Submit(ctx, int64(e.Template.ID), models.Reservation{
			TemplateID: e.Template.ID, ClaimID: e.ID, UserID: e.UserID, Epoch: e.epoch,
		})
		if err != nil && !errors.Is(err, groupcommit.ErrAbandoned) {
			return models.GateAway, err
		}
		if err != nil {
			// The unit may be taken; it is given back when the claim is settled.
			return models.GateAway, groupcommit.ErrBusy
		}
		if answer != models.GateCold {
			return answer, nil
		}
		warm, ok := s.rebuild(ctx, e.Template)
		if !ok {
			return models.GateCold, nil
		}
		e.Template = warm
	}
	return models.GateCold, nil
}

// submitDirect commits a claim past the gate; only so many at a time, as each
// costs the database what the gate would have spared it.
func (s *Service) submitDirect(ctx context.Context, e entry) (models.Verdict, error) {
	select {
	case s.direct <- struct{}{}:
		defer func() { <-s.direct }()
		return s.submit(ctx, e)
	default:
		return models.Verdict{}, groupcommit.ErrBusy
	}
}

func (s *Service) submit(ctx context.Context, e entry) (models.Verdict, error) {
	if e.Refused == nil {
		e.Code = models.NewCode()
	}
	verdict, err := s.commit.Submit(ctx, int64(e.Template.ID), e)
	if e.reserved && (errors.Is(err, groupcommit.ErrBusy) || errors.Is(err, groupcommit.ErrClosed)) {
		s.finisher.tell(e.outcome(models.GateRelease, e.epoch)) // it never reached a batch
	}
	if err == nil && verdict.Refused != nil && verdict.Refused.Code == models.CodeSoldOut {
		s.definitions.noteSoldOut(e.Template)
	}
	return verdict, err
}

func (e *entry) outcome(step models.GateStep, epoch int64) models.GateOutcome {
	return models.GateOutcome{
		TemplateID: e.Template.ID, ClaimID: e.ID, UserID: e.UserID,
		Epoch: epoch, Step: step,
	}
}

// commitBatch has the store decide a batch, and tells the gate what became of
// it. Whose caller has gone meanwhile is decided and told all the same.
func (s *Service) commitBatch(ctx context.Context, batch []entry) ([]models.Verdict, error) {
	wishes := make([]models.Claim, len(batch))
	for i := range batch {
		wishes[i] = batch[i].Claim
	}
	verdicts, err := s.store.CommitClaims(ctx, wishes)
	if errors.Is(err, models.ErrUnknown) {
		return nil, err // what is pending stays so, until it is settled
	}
	outcomes := make([]models.GateOutcome, 0, len(batch))
	for i := range batch {
		e := &batch[i]
		switch {
		case err == nil && verdicts[i].Coupon != nil && e.reserved && verdicts[i].Epoch == e.epoch:
			outcomes = append(outcomes, e.outcome(models.GateConfirm, e.epoch))
		case err == nil && verdicts[i].Coupon != nil:
			outcomes = append(outcomes, e.outcome(models.GateRecord, verdicts[i].Epoch))
		case e.reserved:
			outcomes = append(outcomes, e.outcome(models.GateRelease, e.epoch))
		}
	}
	s.finisher.tell(outcomes...)
	return verdicts, err
}
