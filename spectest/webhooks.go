package spectest

import (
	"encoding/json"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Webhook fails the test unless the body is one that the document has the server
// send for this event.
func (c *Checker) Webhook(tb testing.TB, event string, body []byte) {
	tb.Helper()
	item := c.doc.Webhooks[event]
	if item == nil || item.Post == nil {
		tb.Errorf("the document has no webhook %q", event)
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		tb.Errorf("webhook %s: %v in %s", event, err, body)
		return
	}
	schema := item.Post.RequestBody.Value.Content.Get("application/json").Schema.Value
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		tb.Errorf("webhook %s: %v\n%s", event, err, body)
	}
}
