package planted

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	plant = flag.Bool("plant", false, "plant the bugs in a copy of the tree and demand that each is caught; takes minutes")
	only  = flag.String("bugs", "", "plant only those whose name matches this expression")
)

// root is the module's folder, seen from this package's.
const root = "../../.."

// apply returns the text of a file with the edit made.
func (e *edit) apply(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, e.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), e.was); n != 1 {
		return "", fmt.Errorf("%s has it %d times, not once: %q", e.file, n, e.was)
	}
	return strings.Replace(string(text), e.was, e.is, 1), nil
}

// TestEveryBugCanBePlanted: a list of bugs that the code has outgrown would
// prove nothing.
func TestEveryBugCanBePlanted(t *testing.T) {
	t.Parallel()
	const fewest = 12
	if len(bugs()) < fewest {
		t.Errorf("%d bugs prove little", len(bugs()))
	}
	seen := map[string]bool{}
	for _, b := range bugs() {
		if seen[b.name] {
			t.Errorf("%s: there are two of this name", b.name)
		}
		seen[b.name] = true
		for _, e := range b.edits {
			if _, err := e.apply(root); err != nil || e.was == e.is {
				t.Errorf("%s: it cannot be planted: %v", b.name, err)
			}
		}
	}
}

// TestEveryPlantedBugIsCaught plants one bug after the other and demands that
// its test fails; each gets a line. First that test has to pass without it.
func TestEveryPlantedBugIsCaught(t *testing.T) {
	t.Parallel()
	if !*plant {
		t.Skip("takes minutes: make faults-selftest")
	}
	chosen := regexp.MustCompile(*only)
	s := newScratch(t)
	sound := map[string]error{}
	planted, caught := 0, 0
	for _, b := range bugs() {
		if !chosen.MatchString(b.name) {
			continue
		}
		began := time.Now()
		verdict := "caught by " + b.test
		if err := s.sound(t.Context(), sound, &b); err != nil {
			verdict = "RED: its test fails without it: " + err.Error()
		} else if err := s.catch(t.Context(), &b); err != nil {
			verdict = "RED: " + err.Error()
		}
		if line := fmt.Sprintf("%-82s %3.0f s  %s", b.name, time.Since(began).Seconds(), verdict); strings.Contains(verdict, "RED") {
			t.Error(line)
		} else {
			caught++
			t.Log(line)
		}
		planted++
	}
	t.Logf("%d bugs planted, %d caught", planted, caught)
}

// scratch is a copy of the tree.
type scratch struct{ dir string }

func newScratch(t *testing.T) *scratch {
	t.Helper()
	s := &scratch{dir: t.TempDir()}
	from := os.DirFS(root)
	err := fs.WalkDir(from, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "data"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(s.dir, path), 0o750)
		case !entry.Type().IsRegular() || entry.Name() == ".git":
			return nil
		}
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(s.dir, path), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sound runs the bug's test without the bug, once for all bugs with that test.
func (s *scratch) sound(ctx context.Context, known map[string]error, b *bug) error {
	key := b.pkg + " " + b.test
	if err, done := known[key]; done {
		return err
	}
	out, err := s.test(ctx, b)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(out))
	} else if !strings.Contains(out, "--- PASS: "+b.test+" (") {
		err = fmt.Errorf("no such test, or it was skipped:\n%s", tail(out))
	}
	known[key] = err
	return err
}

// catch plants the bug, runs its test, and takes the bug out again.
func (s *scratch) catch(ctx context.Context, b *bug) (err error) {
	before := map[string][]byte{}
	defer func() {
		for file, text := range before {
			err = errors.Join(err, os.WriteFile(file, text, 0o600))
		}
	}()
	for _, e := range b.edits {
		file := filepath.Join(s.dir, e.file)
		if before[file] == nil {
			if before[file], err = os.ReadFile(file); err != nil {
				return err
			}
		}
		text, err := e.apply(s.dir)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	out, err := s.test(ctx, b)
	switch {
	case err == nil:
		return errors.New("NOT CAUGHT by " + b.test)
	case !strings.Contains(out, "--- FAIL: "+b.test+" ("):
		return fmt.Errorf("%s did not fail by itself:\n%s", b.test, tail(out))
	}
	return nil
}

func (s *scratch) test(ctx context.Context, b *bug) (string, error) {
	pattern := "^" + strings.ReplaceAll(b.test, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-timeout=5m", "-v", "-run", pattern, b.pkg)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "SCRIP_TEST_REQUIRE_ENGINES=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tail is the end of a long output.
func tail(out string) string {
	const most = 2000
	return out[max(0, len(out)-most):]
}
