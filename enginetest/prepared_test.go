package enginetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

func TestWhatIsFilledOnceIsCopied(t *testing.T) {
	t.Parallel()
	var folders, databases atomic.Int64
	fill := func(ctx context.Context, dsn, dir string) error {
		if dsn == "" {
			folders.Add(1)
			return os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600)
		}
		databases.Add(1)
		return errors.Join(
			execute(ctx, dsn, "CREATE TABLE t (n INT PRIMARY KEY, CHECK (n < 3)) ENGINE=InnoDB"),
			execute(ctx, dsn, "INSERT INTO t VALUES (1)"))
	}
	for range 2 {
		text, err := os.ReadFile(filepath.Join(FilledDir(t, fill), "file"))
		if err != nil || string(text) != "text" {
			t.Errorf("the folder has %q, %v", text, err)
		}
		dsn := FilledDSN(t, fill)
		if MariaDB(t).Pid() == 0 {
			continue // it is filled by whoever opens it
		}
		if got := ask(t, dsn, "SELECT SUM(n) FROM t"); got != "1" {
			t.Errorf("the database has %s", got)
		}
		mustExec(t, dsn, "INSERT INTO t VALUES (2)")
		if err := execute(t.Context(), dsn, "INSERT INTO t VALUES (3)"); err == nil {
			t.Error("the CHECK is lost")
		}
	}
	if folders.Load() > 1 || databases.Load() > 1 {
		t.Errorf("filled %d times and %d times", folders.Load(), databases.Load())
	}
}
