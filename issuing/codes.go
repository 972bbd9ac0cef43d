package issuing

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"scrip/models"
)

type codeStore interface {
	CreateCodes(ctx context.Context, op models.Op, template models.ID, count int64, pattern models.CodePattern, perTask int64) (models.Job, error)
	CreateSharedCode(
		ctx context.Context, op models.Op, template models.ID, limit int64, hash models.CodeHash, seal func(models.ID) []byte,
	) (models.CodeBatch, error)
	CodeBatch(ctx context.Context, id models.ID) (models.CodeBatch, error)
	BatchesAfter(ctx context.Context, template, after models.ID, limit int) ([]models.CodeBatch, error)
	MakeCodes(ctx context.Context, task *models.Task, chunk models.CodeChunk) error
	ExportCodes(ctx context.Context, op models.Op, template models.ID) error
	CodeChunks(ctx context.Context, batch models.ID, after int64, limit int) ([]models.CodeChunk, error)
	CountCodes(ctx context.Context, batch models.ID, hashes []models.CodeHash) (int, error)
}

// Codes makes claim codes, and shows them to their owner. It is safe for
// concurrent use.
type Codes struct {
	store codeStore
	keys  *CodeKeys
}

// NewCodes makes one.
func NewCodes(st codeStore, keys *CodeKeys) *Codes { return &Codes{store: st, keys: keys} }

const (
	codesPerTask  = 2000 // some milliseconds of inserting, and 30 to 100 KiB of memory
	chunksAtOnce  = 8
	batchesAtOnce = 50
)

// Create begins a job that makes so many single-use codes of a pattern that
// Check has nothing against.
func (c *Codes) Create(ctx context.Context, op models.Op, template models.ID, count int64, pattern models.CodePattern) (models.Job, error) {
	return c.store.CreateCodes(ctx, op, template, count, pattern, codesPerTask)
}

// Share makes one code by which coupons can be claimed up to a limit.
func (c *Codes) Share(ctx context.Context, op models.Op, template models.ID, text string, limit int64) (models.CodeBatch, error) {
	seal := func(id models.ID) []byte { return c.keys.sealText(id, 0, []byte(text)) }
	return c.store.CreateSharedCode(ctx, op, template, limit, c.keys.Hash(text), seal)
}

// maxDraws bounds how often a task's codes are drawn anew because one was taken:
// of a pattern that was let through one in ten million is.
const maxDraws = 5

// Make does one task of a job of codes. What is drawn lives in this transaction
// alone: a task that is begun again draws others.
func (c *Codes) Make(ctx context.Context, task models.Task) error {
	batch, err := c.store.CodeBatch(ctx, task.JobID)
	if err != nil {
		return err
	}
	if batch.Pattern == nil {
		return fmt.Errorf("batch %s of codes has no pattern", batch.ID)
	}
	maker := models.NewCodeMaker(*batch.Pattern)
	for range maxDraws {
		if err = c.store.MakeCodes(ctx, &task, c.draw(maker, &task)); !errors.Is(err, models.ErrCodeTaken) {
			return err
		}
	}
	return err
}

func (c *Codes) draw(maker *models.CodeMaker, task *models.Task) models.CodeChunk {
	hashes := make([]models.CodeHash, task.Units)
	var texts []byte
	for i := range hashes {
		code := maker.Next()
		hashes[i] = c.keys.Hash(code)
		texts = append(append(texts, code...), '\n')
	}
	return models.CodeChunk{
		Batch: task.JobID, Seq: task.Seq, Hashes: hashes, Sealed: c.keys.sealText(task.JobID, task.Seq, texts),
	}
}

// Export shows all of a template's codes to its owner, batch by batch in the
// order of their making: write gets some lines at a time, a code in each. It
// notes in the audit log that they were shown, before the first of them is.
// What a job has yet to make is not among them.
func (c *Codes) Export(ctx context.Context, op models.Op, template models.ID, write func(lines []byte) error) error {
	if err := c.store.ExportCodes(ctx, op, template); err != nil {
		return err
	}
	return c.each(ctx, template, func(_ models.ID, lines []byte) error { return write(lines) })
}

// each opens what is sealed of a template, or of all for 0.
func (c *Codes) each(ctx context.Context, template models.ID, do func(batch models.ID, lines []byte) error) error {
	for after := models.ID(0); ; {
		batches, err := c.store.BatchesAfter(ctx, template, after, batchesAtOnce)
		if err != nil {
			return err
		}
		for i := range batches {
			if err := c.open(ctx, &batches[i], func(lines []byte) error { return do(batches[i].ID, lines) }); err != nil {
				return err
			}
			after = batches[i].ID
		}
		if len(batches) < batchesAtOnce {
			return nil
		}
	}
}

func (c *Codes) open(ctx context.Context, batch *models.CodeBatch, do func(lines []byte) error) error {
	if batch.Pattern == nil {
		text, err := c.keys.openText(batch.ID, 0, batch.Sealed)
		if err != nil {
			return err
		}
		return do(append(text, '\n'))
	}
	for after := int64(0); ; {
		chunks, err := c.store.CodeChunks(ctx, batch.ID, after, chunksAtOnce)
		if err != nil {
			return err
		}
		for _, chunk := range chunks {
			lines, err := c.keys.openText(batch.ID, chunk.Seq, chunk.Sealed)
			if err != nil {
				return err
			}
			if err := do(lines); err != nil {
				return err
			}
			after = chunk.Seq
		}
		if len(chunks) < chunksAtOnce {
			return nil
		}
	}
}

// Check opens all that is sealed, and describes what cannot be claimed by though
// its owner was shown it.
func (c *Codes) Check(ctx context.Context) (broken []string, err error) {
	err = c.each(ctx, 0, func(batch models.ID, lines []byte) error {
		var hashes []models.CodeHash
		for line := range bytes.Lines(lines) {
			hashes = append(hashes, c.keys.Hash(string(bytes.TrimSuffix(line, []byte("\n")))))
		}
		n, err := c.store.CountCodes(ctx, batch, hashes)
		if n != len(hashes) {
			broken = append(broken, fmt.Sprintf("batch_id=%s sealed=%d found=%d", batch, len(hashes), n))
		}
		return err
	})
	return broken, err
}
