package spectest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

const document = "../openapi.yaml"

func TestExamples(t *testing.T) {
	t.Parallel()
	c, err := load(document) // checks those of bodies and parameters
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range c.doc.Components.Headers {
		example := header.Value.Example
		if err := header.Value.Schema.Value.VisitJSON(example, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("header %s: example %v: %v", name, example, err)
		}
	}
	checked := 0
	err = c.doc.WalkSchemas(func(pointer string, ref *openapi3.SchemaRef) error {
		values := ref.Value.Examples
		if ref.Value.Default != nil {
			values = append(slices.Clone(values), ref.Value.Default)
		}
		for _, value := range values {
			checked++
			if err := ref.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%s: example %v: %v", pointer, value, err)
			}
		}
		return nil
	})
	if err != nil || checked < 50 {
		t.Errorf("checked %d examples only, error %v", checked, err)
	}
}

// bodies calls visit for every JSON body of the document, once for one that
// several operations share.
func bodies(doc *openapi3.T, visit func(where string, body *openapi3.MediaType)) {
	seen := map[*openapi3.MediaType]bool{}
	all := operations(doc)
	maps.Copy(all, events(doc))
	for name, operation := range all {
		contents := map[string]openapi3.Content{}
		if operation.RequestBody != nil {
			contents["request"] = operation.RequestBody.Value.Content
		}
		for status, response := range operation.Responses.Map() {
			contents[status] = response.Value.Content
		}
		for part, content := range contents {
			for mediaType, body := range content {
				if strings.Contains(mediaType, "json") && !seen[body] {
					seen[body] = true
					visit(name+" "+part, body)
				}
			}
		}
	}
}

func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			all[method+" "+path] = operation
		}
	}
	return all
}

// events are what the document has the server itself send.
func events(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for event, item := range doc.Webhooks {
		all["webhook "+event] = item.Post
	}
	return all
}

// Wherever an object may be, a field that is not documented must be refused:
// else a server that sends one would not be found out.
func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	bodies(Load(t, document).doc, func(where string, body *openapi3.MediaType) {
		if len(body.Examples) == 0 {
			t.Errorf("%s has no example", where)
		}
		for name, example := range body.Examples {
			eachObject(example.Value.Value, "", func(path string, object map[string]any) {
				if free := regexp.MustCompile(`^(/data/\d+)?/(metadata|detail)\b`); free.MatchString(path) {
					return
				}
				object["undocumented"] = 1
				defer delete(object, "undocumented")
				if body.Schema.Value.VisitJSON(example.Value.Value, openapi3.EnableJSONSchema2020()) == nil {
					t.Errorf("%s: example %s: an undocumented field in %q is not noticed", where, name, path)
				}
			})
		}
	})
}

func eachObject(value any, path string, visit func(path string, object map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(path, value)
		for name, member := range value {
			eachObject(member, path+"/"+name, visit)
		}
	case []any:
		for i, element := range value {
			eachObject(element, fmt.Sprintf("%s/%d", path, i), visit)
		}
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	fields := 0
	err := Load(t, document).doc.WalkSchemas(func(pointer string, ref *openapi3.SchemaRef) error {
		for name, field := range ref.Value.Properties {
			schema := field.Value
			if schema.Type == nil && field.Ref == "" {
				continue // narrows a field that is explained elsewhere
			}
			fields++
			where := pointer + "/" + name
			if strings.TrimSpace(schema.Description) == "" {
				t.Errorf("%s is not described", where)
			}
			if schema.Type.Includes("integer") && (schema.Min == nil || len(schema.Examples) == 0) {
				t.Errorf("%s is a number without a lower bound or an example", where)
			}
			if schema.Type.Is("string") && len(schema.Examples) == 0 {
				t.Errorf("%s has no example", where)
			}
		}
		return nil
	})
	if err != nil || fields < 100 {
		t.Errorf("found %d fields only, error %v", fields, err)
	}
}

func TestOperationsAreExplained(t *testing.T) {
	t.Parallel()
	doc := Load(t, document).doc
	ids := map[string]string{}
	for name, operation := range operations(doc) {
		if operation.OperationID == "" || operation.Summary == "" {
			t.Errorf("%s has no operationId or no summary", name)
		}
		if twin := ids[operation.OperationID]; twin != "" {
			t.Errorf("%s and %s have the same operationId", name, twin)
		}
		ids[operation.OperationID] = name
		if len(operation.Tags) != 1 || doc.Tags.Get(operation.Tags[0]) == nil {
			t.Errorf("%s must have one tag, and that must be explained", name)
		}
		for _, fault := range callersFaults(name, operation) {
			t.Errorf("%s: %s", name, fault)
		}
		method, path, _ := strings.Cut(name, " ")
		if method == http.MethodPost && !strings.HasPrefix(path, "/v1/dtm/") && operation.Parameters.GetByInAndName("header", "Idempotency-Key") == nil {
			t.Errorf("%s takes no Idempotency-Key", name)
		}
	}
}

// callersFaults holds what the text says of an operation's callers against its
// security, whose scopes are roles.
func callersFaults(name string, operation *openapi3.Operation) (faults []string) {
	line, _, _ := strings.Cut(operation.Description, "\n")
	told := map[string]bool{}
	for _, role := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(line, -1) {
		told[role[1]] = true
	}
	allowed := map[string]bool{}
	if operation.Security == nil {
		return []string{"no security of its own"}
	}
	for _, alternative := range *operation.Security {
		for _, roles := range alternative {
			for _, role := range roles {
				allowed[role] = true
			}
		}
	}
	if diff := cmp.Diff(allowed, told); diff != "" || !strings.HasPrefix(line, "Callers: ") {
		faults = append(faults, "its first line must name its callers (-security +text):\n"+diff)
	}
	if len(allowed) == 0 {
		return faults
	}
	can := []int{401, 403, 429, 500, 503}
	if name == "POST /v1/dtm/locks/confirm" || name == "POST /v1/dtm/locks/cancel" {
		can = []int{401, 403, 425, 500} // whatever passes by itself is 425 there
	}
	for _, status := range can {
		if operation.Responses.Status(status) == nil {
			faults = append(faults, fmt.Sprintf("can be answered %d", status))
		}
	}
	return faults
}

// The codes in the document are those of package models, all of them.
func TestProblemCodes(t *testing.T) {
	t.Parallel()
	schemas := Load(t, document).doc.Components.Schemas
	told := map[string]bool{}
	for _, name := range []string{"Problem", "FieldError"} {
		for _, code := range schemas[name].Value.Properties["code"].Value.Enum {
			told[fmt.Sprint(code)] = true
		}
	}
	if diff := cmp.Diff(codesInSource(t), slices.Sorted(maps.Keys(told))); diff != "" {
		t.Errorf("problem codes (-models +document):\n%s", diff)
	}
}

func codesInSource(t *testing.T) (codes []string) {
	t.Helper()
	files, err := filepath.Glob("../models/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				kind, isIdent := spec.Type.(*ast.Ident)
				value, isLiteral := spec.Values[0].(*ast.BasicLit)
				if isIdent && isLiteral && kind.Name == "Code" {
					codes = append(codes, strings.Trim(value.Value, `"`))
				}
			}
			return true
		})
	}
	slices.Sort(codes)
	return codes
}
