package issuing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"scrip/issuing"
	"scrip/models"
)

const (
	someKey  = "some key of at least 32 characters"
	otherKey = "another key of at least 32 characters"
)

// vault is a store of codes in memory.
type vault struct {
	mu      sync.Mutex
	key     *models.CodeKey
	batches []models.CodeBatch
	chunks  []models.CodeChunk
	codes   map[models.CodeHash]models.ID
	taken   int // how many draws are to meet a code that is taken
	shown   int // exports
}

func (v *vault) CodeKey(context.Context) (models.CodeKey, bool, error) {
	if v.key == nil {
		return models.CodeKey{}, false, nil
	}
	return *v.key, true, nil
}

func (v *vault) KeepCodeKey(_ context.Context, key models.CodeKey) error {
	if v.key == nil {
		v.key = &key
	}
	return nil
}

func (v *vault) RewrapCodeKey(_ context.Context, was, is models.CodeKey) error {
	if bytes.Equal(v.key.Text, was.Text) {
		v.key = &is
	}
	return nil
}

func (v *vault) CreateCodes(_ context.Context, _ models.Op, template models.ID, count int64, pattern models.CodePattern, _ int64) (models.Job, error) {
	id := models.ID(len(v.batches) + 1)
	v.batches = append(v.batches, models.CodeBatch{ID: id, TemplateID: template, Count: count, UsageLimit: 1, Pattern: &pattern})
	return models.Job{ID: id, Kind: models.JobCodes, Total: count}, nil
}

func (v *vault) CreateSharedCode(_ context.Context, _ models.Op, template models.ID, limit int64, hash models.CodeHash, seal func(models.ID) []byte) (models.CodeBatch, error) {
	b := models.CodeBatch{ID: models.ID(len(v.batches) + 1), TemplateID: template, Count: 1, UsageLimit: limit}
	b.Sealed = seal(b.ID)
	v.batches, v.codes[hash] = append(v.batches, b), b.ID
	return b, nil
}

func (v *vault) CodeBatch(_ context.Context, id models.ID) (models.CodeBatch, error) {
	if id < 1 || int(id) > len(v.batches) {
		return models.CodeBatch{}, models.NotFound("batch of codes")
	}
	return v.batches[id-1], nil
}

func (v *vault) BatchesAfter(_ context.Context, template, after models.ID, limit int) ([]models.CodeBatch, error) {
	var found []models.CodeBatch
	for _, b := range v.batches {
		if b.ID > after && (template == 0 || b.TemplateID == template) && len(found) < limit {
			found = append(found, b)
		}
	}
	return found, nil
}

func (v *vault) MakeCodes(_ context.Context, _ *models.Task, chunk models.CodeChunk) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.taken--; v.taken >= 0 {
		return models.ErrCodeTaken
	}
	v.chunks = append(v.chunks, chunk)
	for _, hash := range chunk.Hashes {
		v.codes[hash] = chunk.Batch
	}
	return nil
}

func (v *vault) ExportCodes(context.Context, models.Op, models.ID) error {
	v.shown++
	return nil
}

func (v *vault) CodeChunks(_ context.Context, batch models.ID, after int64, limit int) ([]models.CodeChunk, error) {
	var found []models.CodeChunk
	for _, c := range v.chunks {
		if c.Batch == batch && c.Seq > after && len(found) < limit {
			found = append(found, models.CodeChunk{Batch: c.Batch, Seq: c.Seq, Sealed: c.Sealed})
		}
	}
	return found, nil
}

func (v *vault) CountCodes(_ context.Context, batch models.ID, hashes []models.CodeHash) (n int, err error) {
	for _, hash := range hashes {
		if v.codes[hash] == batch {
			n++
		}
	}
	return n, nil
}

func newVault() *vault { return &vault{codes: map[models.CodeHash]models.ID{}} }

func open(t *testing.T, v *vault, current, old string) *issuing.CodeKeys {
	t.Helper()
	keys, err := issuing.OpenCodeKeys(t.Context(), v, current, old)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestOneDatabaseHasOneKeyForEver(t *testing.T) {
	t.Parallel()
	v := newVault()
	hash := open(t, v, "", "").Hash("x")
	same := func(current, old string, wrapped bool) {
		t.Helper()
		if open(t, v, current, old).Hash("x") != hash {
			t.Error("a code has another hash now")
		}
		if v.key.Wrapped != wrapped {
			t.Errorf("wrapped: %v", v.key.Wrapped)
		}
	}
	refused := func(want error, current, old string) {
		t.Helper()
		if _, err := issuing.OpenCodeKeys(t.Context(), v, current, old); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	same("", "", false)
	same("", otherKey, false)
	same(someKey, "", true) // from now on there is a key
	same(someKey, "", true)
	refused(issuing.ErrNoCodeKey, "", "")
	refused(issuing.ErrWrongCodeKey, otherKey, "")
	same("", someKey, true) // opens, and stays
	same(otherKey, someKey, true)
	same(otherKey, "", true) // the old one is needed once
	refused(issuing.ErrWrongCodeKey, someKey, "")
	same(otherKey, someKey, true)
	if open(t, newVault(), otherKey, "").Hash("x") == hash {
		t.Error("another database hashes in the same way")
	}
	v.key.Text[3] ^= 1
	refused(issuing.ErrWrongCodeKey, otherKey, someKey)
}

func TestHashesForgive(t *testing.T) {
	t.Parallel()
	keys := open(t, newVault(), someKey, "")
	for _, typed := range []string{"vip-70k", " VIP 7 O K", "v1p7ok", "VLP--70K"} {
		if keys.Hash(typed) != keys.Hash("VIP70K") {
			t.Errorf("%q is another code", typed)
		}
	}
	if keys.Hash("VIP70KX") == keys.Hash("VIP70K") || keys.Hash("") == keys.Hash("V") {
		t.Error("two codes have one hash")
	}
}

// exported is all that Export writes.
func exported(t *testing.T, c *issuing.Codes, template models.ID) []string {
	t.Helper()
	var out bytes.Buffer
	err := c.Export(t.Context(), models.Op{}, template, func(lines []byte) error {
		_, err := out.Write(lines)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out.String())
}

func TestWhatIsMadeIsExportedAndFound(t *testing.T) {
	t.Parallel()
	v := newVault()
	keys := open(t, v, someKey, "")
	c := issuing.NewCodes(v, keys)
	ctx, op := t.Context(), models.Op{}
	pattern := models.CodePattern{Prefix: "VIP-"}
	pattern.Normalize()
	for i := range 60 { // more than are read at once
		template := models.ID(1 + i%2)
		if i%3 == 0 {
			if _, err := c.Share(ctx, op, template, fmt.Sprint("word", i), 9); err != nil {
				t.Fatal(err)
			}
			continue
		}
		job, err := c.Create(ctx, op, template, 30, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for seq := range int64(10) {
			if err := c.Make(ctx, models.Task{JobID: job.ID, Seq: seq + 1, Units: 3}); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := exported(t, c, 1), exported(t, c, 2)
	if len(first) != 10+20*30 || len(second) != 10+20*30 || v.shown != 2 {
		t.Errorf("exported %d and %d, noted %d times", len(first), len(second), v.shown)
	}
	for _, code := range append(first, second...) {
		if v.codes[keys.Hash(strings.ToLower(code))] == 0 {
			t.Fatalf("%s cannot be found", code)
		}
	}
	slices.Sort(first)
	if n := len(slices.Compact(first)); n != 610 {
		t.Errorf("%d different codes", n)
	}
	for _, chunk := range v.chunks {
		if bytes.Contains(chunk.Sealed, []byte("VIP")) {
			t.Fatal("a chunk lies open")
		}
	}
	if broken, err := c.Check(ctx); err != nil || len(broken) > 0 {
		t.Errorf("%v, %v", broken, err)
	}
	delete(v.codes, keys.Hash(second[len(second)-1]))
	if broken, err := c.Check(ctx); err != nil || len(broken) != 1 {
		t.Errorf("%v, %v", broken, err)
	}
	v.chunks[0].Sealed, v.chunks[1].Sealed = v.chunks[1].Sealed, v.chunks[0].Sealed
	if _, err := c.Check(ctx); err == nil {
		t.Error("chunks opened in one another's places")
	}
}

func TestATaskDrawsAnewWhatIsTaken(t *testing.T) {
	t.Parallel()
	v := newVault()
	c := issuing.NewCodes(v, open(t, v, someKey, ""))
	pattern := models.CodePattern{}
	pattern.Normalize()
	job, err := c.Create(t.Context(), models.Op{}, 1, 3, pattern)
	if err != nil {
		t.Fatal(err)
	}
	v.taken = 4
	if err := c.Make(t.Context(), models.Task{JobID: job.ID, Seq: 1, Units: 3}); err != nil || len(v.codes) != 3 {
		t.Errorf("made %d: %v", len(v.codes), err)
	}
	v.taken = 5
	if err := c.Make(t.Context(), models.Task{JobID: job.ID, Seq: 2, Units: 3}); !errors.Is(err, models.ErrCodeTaken) {
		t.Errorf("got %v", err)
	}
	if err := c.Make(t.Context(), models.Task{JobID: 99, Seq: 1, Units: 3}); !models.IsCode(err, models.CodeNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestAnExportStopsWithItsReader(t *testing.T) {
	t.Parallel()
	v := newVault()
	c := issuing.NewCodes(v, open(t, v, someKey, ""))
	for i := range 3 {
		if _, err := c.Share(t.Context(), models.Op{}, 1, fmt.Sprint("word", i), 9); err != nil {
			t.Fatal(err)
		}
	}
	gone, calls := errors.New("gone"), 0
	err := c.Export(t.Context(), models.Op{}, 1, func([]byte) error { calls++; return gone })
	if !errors.Is(err, gone) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func BenchmarkDraw(b *testing.B) {
	v := newVault()
	keys, err := issuing.OpenCodeKeys(b.Context(), v, someKey, "")
	if err != nil {
		b.Fatal(err)
	}
	c := issuing.NewCodes(v, keys)
	pattern := models.CodePattern{}
	pattern.Normalize()
	job, err := c.Create(b.Context(), models.Op{}, 1, 2000, pattern)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		v.codes = map[models.CodeHash]models.ID{}
		v.chunks = nil
		if err := c.Make(b.Context(), models.Task{JobID: job.ID, Seq: 1, Units: 2000}); err != nil {
			b.Fatal(err)
		}
	}
}
