package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"gorm.io/gorm"

	"scrip/models"
)

// CodeKey reads the key of claim codes, as it is kept; found is false before the
// first one is kept.
func (s *Store) CodeKey(ctx context.Context) (key models.CodeKey, found bool, err error) {
	err = s.sql.row(ctx, "SELECT wrapped, data_key FROM code_keys WHERE id = 1", nil, &key.Wrapped, &key.Text)
	if errors.Is(err, sql.ErrNoRows) {
		return key, false, nil
	}
	if err != nil {
		return key, false, fmt.Errorf("read the key of claim codes: %w", err)
	}
	return key, true, nil
}

// KeepCodeKey keeps the first key of claim codes. Where there is one already, it
// stays: of instances that start together one is first.
func (s *Store) KeepCodeKey(ctx context.Context, key models.CodeKey) error {
	return s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "INSERT INTO code_keys (id, wrapped, data_key, created_at) VALUES (1, ?, ?, ?)"+
			s.dialect.keep("id"), key.Wrapped, key.Text, millis(s.Now()))
		return err
	})
}

// RewrapCodeKey replaces the way in which the key of claim codes is kept, unless
// somebody has replaced it meanwhile. The key itself never changes.
func (s *Store) RewrapCodeKey(ctx context.Context, was, is models.CodeKey) error {
	return s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "UPDATE code_keys SET wrapped = ?, data_key = ? WHERE id = 1 AND data_key = ?",
			is.Wrapped, is.Text, was.Text)
		return err
	})
}

type codeBatchRow struct {
	ID         models.ID
	TemplateID models.ID
	Total      int64
	UsageLimit int64
	Used       int64
	Prefix     *string
	Length     *int
	Charset    *string
	Family     *string
	Sealed     []byte
	CreatedAt  int64 `gorm:"autoCreateTime:false"`
}

func (*codeBatchRow) TableName() string { return "code_batches" }

func (r *codeBatchRow) batch() (models.CodeBatch, error) {
	b := models.CodeBatch{
		ID: r.ID, TemplateID: r.TemplateID, Count: r.Total, UsageLimit: r.UsageLimit, Used: r.Used,
		Sealed: r.Sealed, CreatedAt: instant(r.CreatedAt),
	}
	if r.Prefix != nil && r.Length != nil && r.Charset != nil {
		b.Pattern = &models.CodePattern{Prefix: *r.Prefix, Length: *r.Length, Charset: *r.Charset}
	}
	return b, nil
}

// family names the codes that one guess may hit: of one prefix and length.
func family(p *models.CodePattern) string {
	return models.FoldCode(p.Prefix) + "/" + strconv.Itoa(p.Length)
}

// CreateCodes stores a batch of single-use codes and the job that makes them, so
// many in a task. It is refused where codes of the pattern would be scarce.
func (s *Store) CreateCodes(ctx context.Context, op models.Op, template models.ID, count int64, pattern models.CodePattern, perTask int64) (models.Job, error) {
	return change(ctx, s, op, func(t tx) (models.Job, note, error) {
		owner, row, err := s.newCodeBatch(t, op, template, count, 1)
		if err != nil {
			return models.Job{}, note{}, err
		}
		row.Prefix, row.Length, row.Charset, row.Family = &pattern.Prefix, &pattern.Length, &pattern.Charset, new(family(&pattern))
		var issued int64
		err = t.orm.Table("code_batches").Where("family = ?", *row.Family).Select("COALESCE(SUM(total), 0)").Scan(&issued).Error
		if err != nil {
			return models.Job{}, note{}, fmt.Errorf("count the codes of the pattern: %w", err)
		}
		f := models.NewFaults()
		if pattern.Scarce(f, issued, count); f.Err() != nil {
			return models.Job{}, note{}, f.Err()
		}
		if err := t.orm.Create(row).Error; err != nil {
			return models.Job{}, note{}, fmt.Errorf("create batch of codes: %w", err)
		}
		var tasks []models.NewTask
		for left := count; left > 0; left -= perTask {
			tasks = append(tasks, models.NewTask{Units: min(left, perTask), Args: []byte("{}")}) // all is in the batch
		}
		job, err := s.createJob(ctx, t, op, models.Job{ID: row.ID, Kind: models.JobCodes, MerchantID: owner.MerchantID}, tasks)
		return job, owner.note("codes.create", map[string]any{
			"job_id": row.ID, "count": count, "prefix": pattern.Prefix, "length": pattern.Length, "charset": pattern.Charset,
		}), err
	})
}

// newCodeBatch finds the template whose codes are to be made, locked against an
// edit, and begins their row.
func (s *Store) newCodeBatch(t tx, op models.Op, template models.ID, total, limit int64) (templateRow, *codeBatchRow, error) {
	owner, err := lockTemplate(t, op.Actor, template)
	switch {
	case err != nil:
		return owner, nil, err
	case owner.Issue != models.IssueCode:
		return owner, nil, models.Refuse(models.CodeWrongState, "this template is not issued by codes: its issue is %q", owner.Issue)
	case owner.State == models.TemplateEnded:
		return owner, nil, models.Refuse(models.CodeWrongState, "this template has ended")
	}
	id, err := s.ids.Next()
	return owner, &codeBatchRow{
		ID: id, TemplateID: template, Total: total, UsageLimit: limit, CreatedAt: millis(op.At),
	}, err
}

// hasNoCodes refuses to issue a template in another way whose codes are made.
func (r *templateRow) hasNoCodes(t tx) error {
	err := t.orm.Where("template_id = ?", r.ID).Take(&codeBatchRow{}).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look for the template's codes: %w", err)
	}
	return models.Refuse(models.CodeWrongState, "this template has codes, so its issue stays %q", models.IssueCode)
}

// CreateSharedCode stores one code that many users may claim by. seal hides its
// text, given the id under which it is kept.
func (s *Store) CreateSharedCode(ctx context.Context, op models.Op, template models.ID, limit int64, hash models.CodeHash, seal func(models.ID) []byte) (models.CodeBatch, error) {
	return change(ctx, s, op, func(t tx) (models.CodeBatch, note, error) {
		owner, row, err := s.newCodeBatch(t, op, template, 1, limit)
		if err != nil {
			return models.CodeBatch{}, note{}, err
		}
		row.Sealed = seal(row.ID)
		if err := t.orm.Create(row).Error; err != nil {
			return models.CodeBatch{}, note{}, fmt.Errorf("create shared code: %w", err)
		}
		err = insert(ctx, t, "codes (hash, batch_id, usage_limit)", 3, []any{hash[:], row.ID, limit}, "")
		if s.dialect.duplicate(err) {
			f := models.NewFaults()
			f.Add("code", models.CodeNotUnique, "is in use already")
			return models.CodeBatch{}, note{}, f.Err()
		}
		if err != nil {
			return models.CodeBatch{}, note{}, err
		}
		made, err := row.batch()
		return made, owner.note("codes.share", map[string]any{"id": row.ID, "usage_limit": limit}), err
	})
}

// CodeBatch reads a batch for whoever makes its codes.
func (s *Store) CodeBatch(ctx context.Context, id models.ID) (models.CodeBatch, error) {
	var row codeBatchRow
	if err := s.orm.WithContext(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return models.CodeBatch{}, found(err, "batch of codes")
	}
	return row.batch()
}

// CodeBatches lists a template's batches and shared codes, newest first.
func (s *Store) CodeBatches(ctx context.Context, actor models.Principal, template models.ID, page models.Page) ([]models.CodeBatch, error) {
	if _, err := s.Template(ctx, actor, template); err != nil {
		return nil, err
	}
	var rows []codeBatchRow
	if err := paged(s.orm.WithContext(ctx).Where("template_id = ?", template), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list batches of codes: %w", err)
	}
	return convert(rows, (*codeBatchRow).batch)
}

// MakeCodes stores the codes that a task is to make, and ends it. Where one of
// them is there already, nothing is stored and the error is
// models.ErrCodeTaken: draw others.
func (s *Store) MakeCodes(ctx context.Context, task *models.Task, chunk models.CodeChunk) error {
	err := s.inTask(ctx, task, func(t tx) (outcome, error) {
		args := make([]any, 0, 3*len(chunk.Hashes))
		for i := range chunk.Hashes {
			args = append(args, chunk.Hashes[i][:], chunk.Batch, 1)
		}
		if err := insert(ctx, t, "codes (hash, batch_id, usage_limit)", 3, args, ""); err != nil {
			return outcome{}, err
		}
		return outcome{}, insert(ctx, t, "code_chunks (batch_id, seq, codes, sealed)", 4,
			[]any{chunk.Batch, chunk.Seq, len(chunk.Hashes), chunk.Sealed}, "")
	})
	if s.dialect.duplicate(err) {
		return errors.Join(models.ErrCodeTaken, err)
	}
	return err
}

// ExportCodes notes in the audit log that somebody is shown all of a template's
// codes.
func (s *Store) ExportCodes(ctx context.Context, op models.Op, template models.ID) error {
	_, err := change(ctx, s, op, func(t tx) (struct{}, note, error) {
		var row templateRow
		err := t.orm.Where("id = ?", template).Take(&row).Error
		if err == nil && !op.Actor.Owns(row.MerchantID) {
			err = gorm.ErrRecordNotFound
		}
		return struct{}{}, row.note("codes.export", nil), found(err, "template")
	})
	return err
}

// BatchesAfter lists a template's batches in the order of their making, from
// after the given one on; all templates' for 0.
func (s *Store) BatchesAfter(ctx context.Context, template, after models.ID, limit int) ([]models.CodeBatch, error) {
	var rows []codeBatchRow
	err := equals(s.orm.WithContext(ctx), "template_id", template).
		Where("id > ?", after).Order("id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("list batches of codes: %w", err)
	}
	return convert(rows, (*codeBatchRow).batch)
}

// CodeChunks lists the sealed chunks of a batch in their order, from after the
// given one on.
func (s *Store) CodeChunks(ctx context.Context, batch models.ID, after int64, limit int) ([]models.CodeChunk, error) {
	var chunks []models.CodeChunk
	err := query(ctx, s.sql, "SELECT seq, sealed FROM code_chunks WHERE batch_id = ? AND seq > ? ORDER BY seq LIMIT ?",
		[]any{batch, after, limit},
		func(scan func(...any) error) error {
			chunk := models.CodeChunk{Batch: batch}
			err := scan(&chunk.Seq, &chunk.Sealed)
			chunks = append(chunks, chunk)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read sealed codes: %w", s.dialect.explain(err))
	}
	return chunks, nil
}

// CountCodes says how many of the hashes are those of codes of the batch.
func (s *Store) CountCodes(ctx context.Context, batch models.ID, hashes []models.CodeHash) (n int, err error) {
	args := make([]any, 1, 1+len(hashes))
	args[0] = batch
	for i := range hashes {
		args = append(args, hashes[i][:])
	}
	err = s.sql.row(ctx, "SELECT COUNT(*) FROM codes WHERE batch_id = ? AND hash IN ("+marks(len(hashes))+")", args, &n)
	if err != nil {
		return 0, fmt.Errorf("count codes: %w", s.dialect.explain(err))
	}
	return n, nil
}
