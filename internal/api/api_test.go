package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api/apitest"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// answered is what a call came to.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// problem reads the answer as a problem, and checks what every one has.
func (a answered) problem(t testing.TB) wire.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), "%s", a.body)
	var p wire.Problem
	require.NoError(t, json.Unmarshal(a.body, &p), "%s", a.body)
	require.Equal(t, a.status, p.Status)
	require.Equal(t, "urn:firebreak:problem:"+string(p.Kind), p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, a.header.Get("X-Request-ID"), p.RequestID)
	return p
}

// read reads the answer into v, and checks the status.
func (a answered) read(t testing.TB, status int, v any) {
	t.Helper()
	require.Equal(t, status, a.status, "%s", a.body)
	require.NoError(t, json.Unmarshal(a.body, v), "%s", a.body)
}

// call sends one request. A body that is no text is sent as JSON; headers come in pairs.
func call(w *apitest.World, token, method, path string, body any, header ...string) answered {
	w.Helper()
	var from io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		from = strings.NewReader(b)
	case []byte:
		from = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		require.NoError(w, err)
		from = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, w.Server.URL+path, from)
	require.NoError(w, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(w, err)
	defer func() { require.NoError(w, res.Body.Close()) }()
	b, err := io.ReadAll(res.Body)
	require.NoError(w, err)
	return answered{res.StatusCode, res.Header, b}
}

// open are the operations that ask for no caller.
var open = map[string]bool{"GET /healthz": true, "GET /readyz": true, "POST /v1/session": true,
	"POST /v1/webhooks/pagerduty/{connection}": true}

// document loads our own OpenAPI document as a stranger does.
func document(t testing.TB, w *apitest.World) *openapi3.T {
	t.Helper()
	a := call(w, "", "GET", "/openapi.json", nil)
	require.Equal(t, 200, a.status)
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	require.NoError(t, err)
	return doc
}

func TestOpenAPI(t *testing.T) {
	w := apitest.Open(t)
	doc := document(t, w)
	require.NoError(t, doc.Validate(t.Context()))
	require.Greater(t, doc.Paths.Len(), 40)
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			require.NotEmpty(t, op.Summary, name)
			require.False(t, ids[op.OperationID], "%s is named twice", op.OperationID)
			ids[op.OperationID] = true
			require.NotNil(t, op.Responses.Default(), name)
			require.Equal(t, open[name], op.Security == nil, name)
		}
	}
	problem := doc.Components.Schemas["Problem"].Value
	for _, field := range []string{"type", "title", "status", "detail", "kind"} {
		require.Contains(t, problem.Required, field)
	}
}

// filled puts things of the first tenant into a path.
func filled(w *apitest.World, path string, c threat.Case, q threat.Request, conn threat.Connection) string {
	id := uuid.NewString()
	switch {
	case strings.HasPrefix(path, "/v1/actions/"):
		id = q.ResponseID.String()
	case strings.HasPrefix(path, "/v1/requests/"):
		id = q.ID.String()
	case strings.HasPrefix(path, "/v1/people/"):
		id = w.Contact.ID.String()
	case strings.HasPrefix(path, "/v1/decisions/"):
		id = q.DecisionID.String()
	case strings.Contains(path, "/connections/"):
		id = conn.ID.String()
	case strings.HasPrefix(path, "/v1/detections/"):
		list, err := w.Store.DetectionsOfCase(context.Background(), c.ID, 0, 1)
		require.NoError(w, err)
		id = list[0].ID.String()
	}
	return strings.NewReplacer("{tenant}", w.One.Slug, "{org}", w.One.Slug, "{case}", c.Name(), "{id}", id,
		"{connection}", conn.ID.String(), "{product}", "ocsf", "/preview", "/preview?mode=authorize").Replace(path)
}

// nobodys are operations that touch no organisation of their path.
var nobodys = map[string]bool{"GET /v1/version": true, "GET /v1/whoami": true, "GET /v1/verbs": true, "GET /v1/adapters": true,
	"GET /v1/cases": true, "GET /v1/requests": true, "GET /v1/organisations": true, "GET /v1/tokens": true, "GET /v1/people": true,
	"GET /v1/events": true, "GET /v1/policy": true, "POST /v1/policy/evaluate": true, "DELETE /v1/session": true,
	"POST /v1/organisations": true, "POST /v1/tokens": true, "POST /v1/people": true}

func TestEveryOperationAsksWhoCalls(t *testing.T) {
	w := apitest.Open(t)
	conn := w.Connection(w.One)
	c := w.Case(w.One, "beacon")
	q := w.Ask(c, "203.0.113.7")
	strangers := map[string]string{"another tenant's contact": w.SignIn(w.Other), "another tenant's sensor": w.Token(w.Two, threat.Sensor),
		"another tenant's administrator": w.Token(w.Two, threat.Administrator)}
	for path, item := range document(t, w).Paths.Map() {
		for method := range item.Operations() {
			name := method + " " + path
			if open[name] {
				continue
			}
			at := filled(w, path, c, q, conn)
			a := call(w, "", method, at, "{}")
			require.Equal(t, 401, a.status, name)
			require.Equal(t, threat.Unauthenticated, a.problem(t).Kind, name)
			require.NotEmpty(t, a.header.Get("WWW-Authenticate"), name)
			a = call(w, "fbt_"+strings.Repeat("A", 43), method, at, "{}")
			require.Equal(t, 401, a.status, name)
			if nobodys[name] {
				continue
			}
			for who, token := range strangers {
				a := call(w, token, method, at, bodies[name])
				require.Equal(t, 404, a.status, "%s by %s: %s", name, who, a.body)
				require.NotContains(t, string(a.body), w.One.ID.String())
			}
		}
	}
}

// bodies are good ones for those operations that read theirs before they look at what the path names.
var bodies = map[string]any{
	"PUT /v1/tenants/{tenant}/contacts":                wire.SetContacts{Contacts: []wire.Contact{}},
	"PUT /v1/tenants/{tenant}/settings":                map[string]any{},
	"POST /v1/tenants/{tenant}/mode":                   wire.SetMode{Mode: "authorize", Words: "yes"},
	"POST /v1/tenants/{tenant}/stop":                   wire.SetStop{On: true, Why: "why"},
	"POST /v1/tenants/{tenant}/assets":                 wire.NewAsset{Kind: "host", Name: "a"},
	"POST /v1/tenants/{tenant}/assets/{id}/protect":    wire.Protect{Protected: true},
	"POST /v1/tenants/{tenant}/connections":            wire.NewConnection{Adapter: "blocker", Name: "n"},
	"PUT /v1/tenants/{tenant}/connections/{id}/secret": wire.Secret{Value: "s"},
	"POST /v1/cases/{case}/close":                      wire.CloseCase{Reason: "over"},
	"POST /v1/cases/{case}/notes":                      wire.Note{Text: "a"},
	"POST /v1/cases/{case}/actions":                    wire.Propose{Verb: "block_ip", Target: wire.Target{Kind: "ip", Value: "203.0.113.7"}},
	"POST /v1/actions/{id}/release":                    wire.Why{Why: "why"},
	"POST /v1/requests/{id}/verdicts":                  wire.Verdict{Verdict: "approve", Digest: "0"},
	"PUT /v1/people/{id}/grants":                       wire.SetGrants{Grants: []wire.Grant{}},
	"POST /v1/tenants/{tenant}/detections":             "{}",
	"POST /v1/tenants/{tenant}/sensors/{product}":      "{}",
	"PATCH /v1/tenants/{tenant}/connections/{id}":      wire.ChangeConnection{},
}
