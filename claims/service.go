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

	"github.com/maypok86/otter/v2"

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
	Announce(ctx context.Context, template models.ID) error
	Listen(ctx context.Context, heard func(template models.ID))
}

// store is where claims are decided.
type store interface {
	Now() time.Time
	NextID() (models.ID, error)
	Definition(ctx context.Context, id models.ID) (models.Template, error)
	AnsweredBefore(ctx context.Context, key *models.IdempotencyKey, otherwise error) error
	RememberAnswer(ctx context.Context, op models.Op, result any, failure error) error
	LookUpCode(ctx context.Context, hash models.CodeHash, userID string) (models.CodeLookup, error)
	CommitClaims(ctx context.Context, batch []models.Claim) ([]models.Verdict, error)
	Pack(ctx context.Context, actor models.Principal, id models.ID) (models.Pack, error)
	StoredTags(ctx context.Context, userID string) (map[string][]string, error)
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
	Direct        int           // claims in one transaction that pass the gate by while it is cold or away
	CommitTimeout time.Duration // of the gate and one transaction; shorter than what is pending is left alone before it is settled
	Grace         time.Duration // how long past its deadline a claim waits for the batch that it is in
	DefinitionTTL time.Duration // how old a template may be by which claims are judged; a tightening edit holds at once all the same

	Codes Codes
}

// Service grants claims. It is safe for concurrent use.
type Service struct {
	store store
	gate  gate
	log   *slog.Logger
	cfg   Config

	guard       *guard
	definitions *definitions
	holders     *holders
	batches     *groupcommit.Committer[entry, answer]
	packs       *groupcommit.Committer[[]entry, packAnswer]
	packCache   *otter.Cache[models.ID, models.Pack] // they never change
	finisher    *finisher
	rebuilds    rebuilds
	listener    *listener
	closing     sync.Once
}

// New starts a Service; Close ends it.
func New(cfg Config, st store, g gate, log *slog.Logger) (*Service, error) {
	defs, err := newDefinitions(st, cfg.DefinitionTTL)
	if err != nil {
		return nil, err
	}
	who, err := newHolders(st, log)
	if err != nil {
		return nil, err
	}
	packCache, err := otter.New(&otter.Options[models.ID, models.Pack]{MaximumSize: maxDefinitions})
	if err != nil {
		return nil, fmt.Errorf("cache of packs: %w", err)
	}
	s := &Service{
		packCache: packCache,
		store:     st, gate: g, log: log, cfg: cfg, guard: newGuard(cfg.Codes.Guesses),
		definitions: defs, holders: who, finisher: newFinisher(g, log),
	}
	s.batches = groupcommit.New(groupcommit.Config{
		Lanes: cfg.Lanes, MaxBatch: cfg.MaxBatch, WaitingRoom: cfg.WaitingRoom,
		Timeout: cfg.CommitTimeout, Grace: cfg.Grace,
	}, s.decide)
	s.packs = groupcommit.New(groupcommit.Config{
		Lanes: 1, MaxBatch: maxPacks, WaitingRoom: cfg.WaitingRoom, Timeout: cfg.CommitTimeout, Grace: cfg.Grace,
	}, s.decidePacks)
	s.listener = listen(g, defs.forget)
	return s, nil
}

// Close refuses new claims, commits those under way, and tells the gate of them.
func (s *Service) Close() {
	s.closing.Do(func() {
		s.listener.close()
		s.batches.Close()
		s.packs.Close()
		s.finisher.close()
		s.holders.close()
	})
}

// Bounds of how often a claim is judged anew because the template was edited, or
// the gate had to be loaded, in between.
const (
	maxTries = 6
	maxLoads = 2 // after so many a claim passes a cold gate by
)

// Claim gives the user one coupon of the template. It returns once the coupon
// is committed. Refusals are *models.Error; a *models.Replay carries the answer
// that an earlier request with the same idempotency key got; an error that
// wraps models.ErrUnknown says that the coupon may have been granted.
func (s *Service) Claim(ctx context.Context, op models.Op, template models.ID, userID string, tags []string) (models.Coupon, error) {
	return s.claim(ctx, &wish{op: op, userID: userID, tags: tags, who: storedTags{store: s.store, userID: userID}, template: template})
}

// wish is what somebody claims, and on which way.
type wish struct {
	op       models.Op
	userID   string
	tags     []string // that came with it
	who      storedTags
	template models.ID        // unless there is a code
	by       *models.CodeHash // nil: by the template's id
	direct   bool             // without the gate
}

// way is the template's way of issue that the wish asks for.
func (w *wish) way() models.Issue {
	if w.by != nil {
		return models.IssueCode
	}
	return models.IssueClaim
}

func (s *Service) claim(ctx context.Context, w *wish) (models.Coupon, error) {
	for try := range maxTries {
		def, err := s.find(ctx, w)
		if err != nil {
			return models.Coupon{}, err
		}
		got, err := s.attempt(ctx, w, def)
		switch {
		case err != nil:
			return models.Coupon{}, s.explain(err)
		case got.cold:
			w.direct = !s.rebuild(ctx, def.ID) || try >= maxLoads
		case got.Stale:
			s.definitions.forget(def.ID)
		case got.Void:
			continue
		case got.Replay != nil:
			return models.Coupon{}, got.Replay
		case got.Refused != nil:
			return models.Coupon{}, got.Refused
		default:
			return *got.Coupon, nil
		}
	}
	return models.Coupon{}, models.Busy("the template is being edited")
}

// find finds the template that is claimed from.
func (s *Service) find(ctx context.Context, w *wish) (*models.Template, error) {
	if w.by != nil {
		return s.byCode(ctx, w)
	}
	def, err := s.definition(ctx, w.op.Actor, w.template)
	if err != nil {
		return nil, s.store.AnsweredBefore(ctx, w.op.Key, err)
	}
	return def, nil
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
func (s *Service) attempt(ctx context.Context, w *wish, def *models.Template) (answer, error) {
	refusal, err := s.refusal(ctx, w, def)
	if err != nil || refusal != nil && w.op.Key == nil {
		return answer{Verdict: models.Verdict{Refused: refusal}}, err
	}
	e, err := s.prepare(w.op, def, w.userID)
	if err != nil {
		return answer{}, err
	}
	// A refusal under an idempotency key has to be kept, or was given before.
	e.By, e.Refused, e.direct = w.by, refusal, w.direct
	got, err := s.batches.Submit(ctx, int64(def.ID), e)
	if err == nil {
		err = got.err
	}
	if err == nil && got.Refused != nil {
		s.learn(def, w.userID, got.Refused)
	}
	return got, err
}

// refusal is the no to a claim, as far as that can be told without a
// transaction: by what the template admits, and by what was found out before and
// stays true. A user who has the coupon is told so whatever became of the template
// since: the first answer may have been lost, and a claim is idempotent for ever.
func (s *Service) refusal(ctx context.Context, w *wish, def *models.Template) (*models.Error, error) {
	if atLimit := s.holders.atLimit(def, w.userID); atLimit != nil {
		return atLimit, nil
	}
	now := s.store.Now()
	refusal, err := w.who.admits(ctx, def, w.way(), now, w.tags)
	if err != nil {
		return nil, err
	}
	if refusal == nil && s.definitions.soldOut(def) && s.holders.hasNone(ctx, def, w.userID) {
		return models.ErrSoldOut(), nil
	}
	if refusal == nil || refusal.Code == models.CodeNotStarted || closed(def, now) && s.holders.hasNone(ctx, def, w.userID) {
		return refusal, nil
	}
	have, err := s.store.Holdings(ctx, def.ID, w.userID)
	if err != nil {
		return nil, err
	}
	if atLimit := def.Limit(have); atLimit != nil {
		return atLimit, nil
	}
	return refusal, nil
}

// inFlight is longer than any claim is on its way.
const inFlight = time.Minute

// closed reports whether no claim that was judged by this definition can be
// granted any more: for two of the states the store sees to that, and of those
// judged before the end of the window none is on its way.
func closed(def *models.Template, now time.Time) bool {
	return def.State == models.TemplatePaused || def.State == models.TemplateEnded ||
		def.ClaimWindow.Ended(now.Add(-inFlight))
}

// learn remembers a refusal that the store gave, if the next claim can be
// refused by it.
func (s *Service) learn(def *models.Template, userID string, refusal *models.Error) {
	switch {
	case refusal.Code == models.CodeSoldOut:
		s.definitions.noteSoldOut(def)
	case len(refusal.CouponIDs) > 0:
		s.holders.note(def, userID, refusal.CouponIDs)
	}
}

func (s *Service) prepare(op models.Op, def *models.Template, userID string) (entry, error) {
	id, err := s.store.NextID()
	if err != nil {
		return entry{}, models.Busy("this instance cannot make ids right now")
	}
	now := s.store.Now()
	e := entry{Claim: models.Claim{ID: id, UserID: userID, Code: models.NewCode(), Template: def, At: now, Key: op.Key}}
	e.ValidFrom, e.ExpiresAt, err = def.Span(now)
	return e, err
}
