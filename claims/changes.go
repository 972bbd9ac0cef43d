package claims

import (
	"context"
	"sync"

	"scrip/models"
)

// TemplateChanged takes note of an edit that was committed: claims here are
// judged by it from now on, the gate learns of a new stock, and then the other
// instances hear of it. Should the gate not be told, the worst is a claim that the
// store refuses, or one that the store grants though the gate said sold out;
// should another instance not hear, that it goes on for a moment to refuse what
// can be claimed by now.
func (s *Service) TemplateChanged(ctx context.Context, t models.Template) {
	s.definitions.forget(t.ID)
	if t.Stock != nil {
		if err := s.gate.SetStock(ctx, t.ID, t.Epoch, t.StockEdits, *t.Stock); err != nil {
			s.log.WarnContext(ctx, "gate not told of the stock", "template", t.ID, "error", err)
		}
	}
	if err := s.gate.Announce(ctx, t.ID); err != nil {
		s.log.WarnContext(ctx, "other instances not told of an edit; they see it later", "template", t.ID, "error", err)
	}
}

// listener hears of edits that were made on other instances.
type listener struct {
	end  context.CancelCauseFunc
	done sync.WaitGroup
}

func listen(g gate, heard func(template models.ID)) *listener {
	ctx, end := context.WithCancelCause(context.Background())
	l := &listener{end: end}
	l.done.Go(func() { g.Listen(ctx, heard) })
	return l
}

func (l *listener) close() {
	l.end(nil)
	l.done.Wait()
}
