package handlers

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/models"
)

// patchTemplate merges the body into the template (RFC 7396): an object is
// merged member by member, null takes a field back to what it is when absent,
// and anything else replaces.
func (a *api) patchTemplate(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	version, err := ifMatch(c)
	if err != nil {
		return err
	}
	var body templateBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	patch, err := newTemplatePatch(raw, &body)
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusOK, viewTemplate, a.announced(
		func(ctx context.Context, op models.Op) (models.Template, error) {
			return a.Store.EditTemplate(ctx, op, id, version, patch.apply)
		}))
}

// ifMatch reads the version that the caller has seen. A tag that is not one of
// ours cannot be that of any version.
func ifMatch(c *gin.Context) (int64, error) {
	header := c.GetHeader("If-Match")
	if header == "" {
		return 0, models.Refuse(models.CodeNeedsIfMatch, `send If-Match: "<version>" with the version that you have seen`)
	}
	version, err := strconv.ParseInt(strings.Trim(header, `"`), 10, 64)
	if err != nil || version < 1 || header != strconv.Quote(strconv.FormatInt(version, 10)) {
		return 0, models.Refuse(models.CodeVersion, `If-Match must be the version in quotes, such as "3"`)
	}
	return version, nil
}

// templatePatch is a PATCH whose fields are known to have the right types.
type templatePatch struct {
	doc   jsontext.Value
	body  *templateBody
	names []string // the fields it names, sorted
}

func newTemplatePatch(raw []byte, body *templateBody) (*templatePatch, error) {
	f := models.NewFaults()
	metadata(f, body.Metadata.Clone()) // merging is recursive: bound it first
	if err := f.Err(); err != nil {
		return nil, err
	}
	members, err := membersOf(raw)
	if err != nil {
		return nil, err
	}
	return &templatePatch{doc: raw, body: body, names: slices.Sorted(maps.Keys(members))}, nil
}

// apply edits the template, or says why that may not be. It changes nothing
// but t, and may be called again with another copy of it.
func (p *templatePatch) apply(t *models.Template) error {
	if err := p.allowedIn(t.State); err != nil {
		return err
	}
	spec := t.TemplateSpec
	p.clearVariants(&spec)
	doc, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	merged, err := mergePatch(doc, p.doc)
	if err != nil {
		return err
	}
	var body templateBody
	if err := decode(merged, &body); err != nil {
		return err
	}
	edited, err := body.spec()
	if err == nil {
		t.TemplateSpec = edited
	}
	return err
}

// allowedIn refuses what a template of that state no longer lets go of: what
// was promised to those who have claimed.
func (p *templatePatch) allowedIn(state models.TemplateState) error {
	var refused []string
	for _, name := range p.names {
		if !editable(state, name) {
			refused = append(refused, name)
		}
	}
	switch {
	case state == models.TemplateEnded:
		return models.Refuse(models.CodeWrongState, "an ended template does not change any more")
	case len(refused) > 0:
		refusal := models.Refuse(models.CodeWrongState,
			"once a template is published, only name, claim_window, metadata and audience can change, not %s",
			strings.Join(refused, ", "))
		for _, name := range refused {
			refusal.Fields = append(refusal.Fields, models.FieldError{
				Field: name, Code: models.CodeWrongState, Detail: "cannot change once the template is published",
			})
		}
		return refusal
	}
	return nil
}

func editable(state models.TemplateState, field string) bool {
	switch state {
	case models.TemplateDraft:
		return true
	case models.TemplateActive, models.TemplatePaused:
		return field == "name" || field == "claim_window" || field == "metadata" || field == "audience"
	case models.TemplateEnded:
	}
	return false
}

// clearVariants makes room where the patch names another variant of a field
// that has several: without it, a caller would have to null what belongs to the
// old kind of audience, or to the old form of validity.
func (p *templatePatch) clearVariants(spec *models.TemplateSpec) {
	if kind := p.body.Audience.Kind; kind != "" && kind != spec.Audience.Kind {
		spec.Audience = models.Audience{}
	}
	patched := p.body.Validity
	toDays := patched.DaysAfterClaim != nil
	toFixed := patched.From != nil || patched.Until != nil
	if toDays && spec.Validity.DaysAfterClaim == nil || toFixed && spec.Validity.DaysAfterClaim != nil {
		spec.Validity = models.Validity{}
	}
}

// mergePatch is the MergePatch of RFC 7396 on texts, so that numbers stay as
// they were written. Members come out sorted.
func mergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if patch.Kind() != jsontext.KindBeginObject {
		return patch, nil
	}
	changes, err := membersOf(patch)
	if err != nil {
		return nil, err
	}
	merged, err := membersOf(target)
	if err != nil {
		return nil, err
	}
	for name, change := range changes {
		if change.Kind() == jsontext.KindNull {
			delete(merged, name)
			continue
		}
		if merged[name], err = mergePatch(merged[name], change); err != nil {
			return nil, err
		}
	}
	return json.Marshal(merged, json.Deterministic(true))
}

// membersOf takes an object apart; of anything else it is empty.
func membersOf(v jsontext.Value) (map[string]jsontext.Value, error) {
	members := map[string]jsontext.Value{}
	if v.Kind() != jsontext.KindBeginObject {
		return members, nil
	}
	err := json.Unmarshal(v, &members)
	return members, err
}
