package models_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"scrip/models"
)

// declaredCodes reads every constant of type Code out of the package's source:
// a list kept by hand would not have the one that was added last.
func declaredCodes(t *testing.T) map[string]models.Code {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]models.Code{}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if strings.HasPrefix(name.Name, "Code") {
					codes[name.Name] = codeLiteral(t, spec, i)
				}
			}
			return false
		})
	}
	return codes
}

func codeLiteral(t *testing.T, spec *ast.ValueSpec, i int) models.Code {
	t.Helper()
	name := spec.Names[i].Name
	if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" || i >= len(spec.Values) {
		t.Fatalf("%s is not declared as Code = \"…\"", name)
	}
	literal, ok := spec.Values[i].(*ast.BasicLit)
	if !ok {
		t.Fatalf("%s is not a literal", name)
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return models.Code(value)
}

func TestCodesAreUniqueWords(t *testing.T) {
	t.Parallel()
	codes := declaredCodes(t)
	if codes["CodeSoldOut"] != models.CodeSoldOut || codes["CodeInvalid"] != models.CodeInvalid {
		t.Fatalf("the constants were not found: %v", codes)
	}
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	names := map[models.Code]string{}
	for name, code := range codes {
		if !word.MatchString(string(code)) {
			t.Errorf("%s = %q is not a word in snake_case", name, code)
		}
		if other, taken := names[code]; taken {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		names[code] = name
	}
}

// TestCodesOnTheWire pins what clients already switch on.
func TestCodesOnTheWire(t *testing.T) {
	t.Parallel()
	for code, want := range map[models.Code]string{
		models.CodeUnknownField:   "unknown_field",
		models.CodeCurrencyDiffer: "currency_mismatch",
		models.CodeNotUnique:      "duplicate",
		models.CodeForbidden:      "forbidden",
		models.CodeKeyReused:      "idempotency_key_reused",
		models.CodeInProgress:     "in_progress",
		models.CodeRateLimited:    "rate_limited",
		models.CodeBusy:           "busy",
		models.CodeOutcomeUnknown: "outcome_unknown",
		models.CodeVersion:        "version_mismatch",
		models.CodeWrongState:     "wrong_state",
		models.CodeInternal:       "internal",
		models.CodeSoldOut:        "sold_out",
		models.CodeAlreadyClaimed: "already_claimed",
		models.CodeLimitReached:   "limit_reached",
		models.CodeNotStarted:     "not_started",
		models.CodeEnded:          "ended",
		models.CodePaused:         "paused",
		models.CodeNotEligible:    "not_eligible",
	} {
		if string(code) != want {
			t.Errorf("got %q, want %q", code, want)
		}
	}
}

func TestIsCode(t *testing.T) {
	t.Parallel()
	refusal := models.NotFound("template")
	tests := map[string]struct {
		err  error
		want bool
	}{
		"itself":        {refusal, true},
		"wrapped":       {fmt.Errorf("load: %w", refusal), true},
		"joined":        {errors.Join(errors.New("first"), refusal), true},
		"another code":  {models.Busy("full"), false},
		"another error": {errors.New("not_found"), false},
		"none":          {nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := models.IsCode(tc.err, models.CodeNotFound); got != tc.want {
				t.Errorf("IsCode(%v) = %v", tc.err, got)
			}
		})
	}
}

func TestErrorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if got := models.Refuse(models.CodePaused, "since %d", 5).Error(); got != "paused: since 5" {
		t.Errorf("got %q", got)
	}
	f := models.NewFaults()
	f.Require(false, "name")
	if got := f.Err().Error(); got != "invalid: name: is required" {
		t.Errorf("got %q, want the code and the field", got)
	}
	f.Require(false, "kind")
	if got := f.Err().Error(); got != "invalid: name: is required; kind: is required" {
		t.Errorf("got %q, want every field once", got)
	}
}

func TestBusyAsksToComeBack(t *testing.T) {
	t.Parallel()
	if got := models.Busy("full"); got.Code != models.CodeBusy || got.RetryAfter < time.Second {
		t.Errorf("got %+v: Retry-After is in whole seconds and must not be 0", got)
	}
}
