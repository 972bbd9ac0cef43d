package failpoint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"scrip/failpoint"
)

// TestStepsHasAll: a step that is declared and not listed would never be tried.
func TestStepsHasAll(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "failpoint.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []failpoint.Step
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, value := range spec.Values {
			literal, ok := value.(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no plain string", spec.Names[0])
			}
			name, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, failpoint.Step(name))
		}
		return false
	})
	if len(declared) == 0 || !slices.Equal(declared, failpoint.Steps()) {
		t.Errorf("declared are %v, listed %v", declared, failpoint.Steps())
	}
}
