package spectest

import (
	"slices"
	"strings"
	"testing"
)

// CompareRoutes fails the test unless the server's routes and the document's
// operations are the same, both ways. Routes are given as gin lists them,
// "GET /v1/rules/:id". Those in ignored, in the same form, may be missing in
// the document; one that is not among the routes, or is documented after all,
// fails as well, so that the list does not outlive its reasons.
func (c *Checker) CompareRoutes(tb testing.TB, routes []string, ignored ...string) {
	tb.Helper()
	for _, fault := range c.compare(routes, ignored) {
		tb.Error(fault)
	}
}

func (c *Checker) compare(routes, ignored []string) (faults []string) {
	operations := map[string]bool{}
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			operations[method+" "+path] = true
		}
	}
	routed := map[string]bool{}
	for _, route := range routes {
		operation := documented(route)
		routed[operation] = true
		switch exempt := slices.Contains(ignored, route); {
		case !operations[operation] && !exempt:
			faults = append(faults, "the server routes "+operation+", but the document does not have it")
		case operations[operation] && exempt:
			faults = append(faults, operation+" is to be ignored, but the document has it")
		}
	}
	for operation := range operations {
		if !routed[operation] {
			faults = append(faults, "the document has "+operation+", but the server does not route it")
		}
	}
	for _, route := range ignored {
		if !slices.Contains(routes, route) {
			faults = append(faults, route+" is to be ignored, but the server does not route it")
		}
	}
	slices.Sort(faults)
	return faults
}

// documented writes a route of gin's as the document has it: :id and *file are
// {id} and {file}.
func documented(route string) string {
	segments := strings.Split(route, "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, ":") || strings.HasPrefix(segment, "*") {
			segments[i] = "{" + segment[1:] + "}"
		}
	}
	return strings.Join(segments, "/")
}
