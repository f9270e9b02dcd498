package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// none is a body, a set of parameters or an answer that there is not.
type none struct{}

// raw is a body that the handler reads by itself.
type raw []byte

// route says how an operation is reached, and what it is called in the OpenAPI document.
type route struct {
	method, path, id, tag, summary string
	status                         int  // of success; zero takes 200
	open                           bool // asks for no caller
}

// call is one authenticated call.
type call struct {
	caller threat.Caller
	http   *http.Request
	w      http.ResponseWriter

	subjects subjects
}

type callKey struct{}

type answer[A any] struct{ Body A }

// handle registers an operation: the caller is authenticated before the body is read, the body is read before do runs,
// and every fault becomes a problem. P holds the path and query parameters, B the body, A the answer.
func handle[P, B, A any](a *API, rt route, do func(ctx context.Context, c *call, p *P, body B) (A, error)) {
	if rt.status == 0 {
		rt.status = http.StatusOK
	}
	op := huma.Operation{OperationID: rt.id, Method: rt.method, Path: rt.path, Summary: rt.summary, Tags: []string{rt.tag},
		DefaultStatus: rt.status, Middlewares: huma.Middlewares{a.authenticated(rt)},
		Responses: map[string]*huma.Response{"default": a.problemResponse()}}
	if !rt.open {
		op.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	}
	huma.Register(a.huma, op, func(ctx context.Context, p *P) (*answer[A], error) {
		c := ctx.Value(callKey{}).(*call)
		body, err := bodyOf[B](c)
		if err != nil {
			return nil, a.fail(ctx, rt, err)
		}
		out, err := do(ctx, c, p, body)
		if err != nil {
			return nil, a.fail(ctx, rt, err)
		}
		return &answer[A]{Body: out}, nil
	})
	a.describeBody(rt, reflect.TypeFor[B]())
}

// authenticated finds out who calls.
func (a *API) authenticated(rt route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		c := &call{http: r, w: w}
		if !rt.open {
			var err error
			if c.caller, err = a.d.Access.Authenticate(r, surfaceOf(r)); err != nil {
				a.fail(r.Context(), rt, err)
				writeProblem(w, r, err)
				return
			}
		}
		next(huma.WithValue(ctx, callKey{}, c))
	}
}

// bodyOf reads and decodes the body of a call.
func bodyOf[B any](c *call) (B, error) {
	var body B
	switch into := any(&body).(type) {
	case *none:
		return body, nil
	case *raw:
		b, err := readBody(c.w, c.http)
		*into = b
		return body, err
	}
	b, err := readBody(c.w, c.http)
	if err != nil {
		return body, err
	}
	if len(b) > 0 {
		if err := isJSON(c.http); err != nil {
			return body, err
		}
	}
	return body, unreadable(decode(b, &body))
}

// fail logs a refusal, loudly when it is not the caller's doing, and gives the problem.
func (a *API) fail(ctx context.Context, rt route, err error) error {
	var r *refused
	if errors.As(err, &r) {
		return problemOf(err, RequestID(ctx))
	}
	var f *threat.Fault
	var cause error
	if errors.As(err, &f) {
		cause = f.Err
	}
	level := slog.LevelDebug
	switch kind := threat.KindOf(err); {
	case ctx.Err() != nil: // the caller went away
	case kind == threat.Internal:
		level = slog.LevelError
	case kind == threat.Unavailable, kind == threat.Unknown:
		level = slog.LevelWarn
	}
	a.d.Log.Log(ctx, level, "a call was refused", "request_id", RequestID(ctx), "operation", rt.id, "kind", threat.KindOf(err),
		"error", err, "cause", cause)
	return problemOf(err, RequestID(ctx))
}

// problemResponse is what every operation may answer instead.
func (a *API) problemResponse() *huma.Response {
	return &huma.Response{Description: "A problem", Content: map[string]*huma.MediaType{"application/problem+json": {
		Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.Problem](), true, "Problem")}}}
}

// describeBody writes the body into the OpenAPI document. It is done here, because we read bodies by ourselves.
func (a *API) describeBody(rt route, t reflect.Type) {
	if t == reflect.TypeFor[none]() {
		return
	}
	doc := a.huma.OpenAPI()
	item := doc.Paths[rt.path]
	op := map[string]*huma.Operation{http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch,
		http.MethodDelete: item.Delete}[rt.method]
	media := &huma.MediaType{Schema: &huma.Schema{Description: "as its sender writes it"}}
	required := true
	if t != reflect.TypeFor[raw]() {
		media.Schema = doc.Components.Schemas.Schema(t, true, t.Name())
		required = false
		for _, f := range shapeOf(t).fields {
			required = required || f.required
		}
	}
	op.RequestBody = &huma.RequestBody{Required: required, Content: map[string]*huma.MediaType{"application/json": media}}
}

// org gives the organisation of a path when the caller may do the action there.
func (a *API) org(ctx context.Context, c *call, idOrSlug, action string) (threat.Organisation, error) {
	o, err := a.d.Access.Resolve(ctx, c.caller, idOrSlug, action)
	return o, noSuch(err, "organisation")
}

// tenant is org for one that owns assets.
func (a *API) tenant(ctx context.Context, c *call, idOrSlug, action string) (threat.Organisation, error) {
	o, err := a.org(ctx, c, idOrSlug, action)
	if err == nil && !o.Tenant {
		err = &threat.Fault{Kind: threat.Invalid, What: "this organisation is no tenant", Place: "tenant",
			Next: "name an organisation that owns assets"}
	}
	return o, err
}

// may is nil when the caller may do the action there. Without a right to know of it, the noun is not there.
func (a *API) may(ctx context.Context, c *call, action string, org uuid.UUID, noun string) error {
	return noSuch(a.d.Access.Allow(ctx, c.caller, action, org), noun)
}

// where gives the organisations in which the caller may do an action. In none it is Forbidden.
func (a *API) where(ctx context.Context, c *call, action string) ([]threat.Organisation, error) {
	out, err := a.d.Access.Reach(ctx, c.caller, action)
	if err == nil && len(out) == 0 {
		err = a.nowhere(ctx, c, action)
	}
	return out, err
}

// nowhere refuses an action that the caller may do in no organisation, so that access journals it.
func (a *API) nowhere(ctx context.Context, c *call, action string) error {
	err := a.d.Access.Allow(ctx, c.caller, action, c.caller.OrgID)
	if err == nil || threat.Is(err, threat.NotFound) {
		err = threat.Faultf(threat.Forbidden, "none of the caller's roles has this right")
	}
	return err
}

// tenantsOf gives the tenants in which the caller may do an action: all, or the one that was named.
func (a *API) tenantsOf(ctx context.Context, c *call, named, action string) ([]threat.Organisation, error) {
	if named != "" {
		o, err := a.tenant(ctx, c, named, action)
		if err != nil {
			return nil, err
		}
		return []threat.Organisation{o}, nil
	}
	all, err := a.where(ctx, c, action)
	if err != nil {
		return nil, err
	}
	var out []threat.Organisation
	for _, o := range all {
		if o.Tenant {
			out = append(out, o)
		}
	}
	return out, nil
}

// slugs gives names of organisations by id.
func slugs(list []threat.Organisation) map[uuid.UUID]string {
	out := make(map[uuid.UUID]string, len(list))
	for _, o := range list {
		out[o.ID] = o.Slug
	}
	return out
}

func ids(list []threat.Organisation) []uuid.UUID {
	out := make([]uuid.UUID, len(list))
	for i, o := range list {
		out[i] = o.ID
	}
	return out
}

// pathID reads an id of a path: what is none names nothing.
func pathID(text, noun string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, threat.Faultf(threat.NotFound, "no such %s", noun)
	}
	return id, nil
}

// list never gives null.
func list[T any](items []T) wire.List[T] {
	if items == nil {
		items = []T{}
	}
	return wire.List[T]{Items: items}
}

// limit gives a list's length: what was asked for, else usual, and at most most.
func limit(asked, usual, most int) int {
	if asked <= 0 {
		return usual
	}
	return min(asked, most)
}
