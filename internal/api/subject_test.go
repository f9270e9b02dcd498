package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/apitest"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestASubjectOfACaseNeitherSeesNorTouchesIt(t *testing.T) {
	var w *apitest.World
	own := uuid.Nil // of which the contact is a subject
	w = apitest.Open(t, func(d *api.Deps) {
		d.Involved = func(_ context.Context, c threat.Caller, tenant, caseID uuid.UUID) (bool, error) {
			require.Equal(t, w.One.ID, tenant)
			return c.PersonID.UUID == w.Contact.ID && caseID == own, nil
		}
	})
	w.Connection(w.One)
	seen := w.Case(w.One, "another")
	w.Clock.Advance(25 * time.Hour) // beyond the correlation window
	hidden := w.Case(w.One, "theirs")
	q := w.Ask(hidden, "203.0.113.7")
	own = hidden.ID
	contact, analyst := w.SignIn(w.Contact), w.SignIn(w.Analyst)
	decisions, err := w.Store.DecisionsOfCase(t.Context(), hidden.ID)
	require.NoError(t, err)
	require.NotEmpty(t, decisions)
	found, err := w.Store.DetectionsOfCase(t.Context(), hidden.ID, 0, 10)
	require.NoError(t, err)
	require.NotEmpty(t, found)

	name := "/v1/cases/" + hidden.Name()
	for _, path := range []string{name, "/v1/cases/" + hidden.ID.String(), name + "/timeline", name + "/responses", name + "/detections",
		name + "/decisions", "/v1/requests/" + q.ID.String(), "/v1/actions/" + q.ResponseID.String(),
		"/v1/decisions/" + decisions[0].ID.String(), "/v1/detections/" + found[0].ID.String()} {
		require.Equal(t, 404, call(w, contact, "GET", path, nil).status, path)
		require.Equal(t, 200, call(w, analyst, "GET", path, nil).status, path)
	}
	for path, body := range map[string]any{name + "/close": wire.CloseCase{Reason: "nothing to see"}, name + "/notes": wire.Note{Text: "x"},
		name + "/acknowledge": nil, "/v1/actions/" + q.ResponseID.String() + "/release": wire.Why{Why: "x"}} {
		require.Equal(t, 404, call(w, contact, "POST", path, body).status, path)
	}
	after, err := w.Store.Case(t.Context(), hidden.ID)
	require.NoError(t, err)
	require.True(t, after.Open())

	var cases wire.Page[wire.Case]
	call(w, contact, "GET", "/v1/cases", nil).read(t, 200, &cases)
	require.Len(t, cases.Items, 1)
	require.Equal(t, seen.ID, cases.Items[0].ID)
	cases = wire.Page[wire.Case]{}
	call(w, contact, "GET", "/v1/cases?limit=1", nil).read(t, 200, &cases)
	call(w, contact, "GET", "/v1/cases?limit=1&cursor="+cases.Next, nil).read(t, 200, &cases)
	require.Len(t, cases.Items, 1, "the page goes on behind what was left out")
	var requests wire.List[wire.Request]
	call(w, contact, "GET", "/v1/requests", nil).read(t, 200, &requests)
	require.Empty(t, requests.Items)
	var detections wire.List[threat.Detection]
	call(w, contact, "GET", "/v1/tenants/"+w.One.Slug+"/detections", nil).read(t, 200, &detections)
	require.Len(t, detections.Items, 1)
	var preview wire.ModePreview
	call(w, contact, "GET", "/v1/tenants/"+w.One.Slug+"/mode/preview?mode=authorize", nil).read(t, 200, &preview)
	require.Empty(t, preview.Waiting)
	call(w, analyst, "GET", "/v1/tenants/"+w.One.Slug+"/mode/preview?mode=authorize", nil).read(t, 200, &preview)
	require.Len(t, preview.Waiting, 1)

	stream := follow(w, contact, "")
	_, ok := stream.next()
	require.True(t, ok)
	require.NoError(t, w.Store.Note(t.Context(), hidden.ID, "not theirs to read", threat.SystemActor))
	require.NoError(t, w.Store.Note(t.Context(), seen.ID, "theirs to read", threat.SystemActor))
	require.Equal(t, seen.ID, *stream.until(threat.EntryCaseNote).data.Case)
}

func TestAPersonTakesTheirOrganisationsZoneAndLanguage(t *testing.T) {
	w := apitest.Open(t)
	admin := w.SignIn(w.Admin)
	require.Equal(t, 201, call(w, admin, "POST", "/v1/organisations", wire.NewOrganisation{Parent: "provider", Kind: threat.Customer,
		Slug: "berlin", Name: "Berlin", Zone: "Europe/Berlin", Language: "de"}).status)
	var p wire.Person
	call(w, admin, "POST", "/v1/people", wire.NewPerson{Org: "berlin", Name: "Ada", Email: "ada@berlin.example"}).read(t, 201, &p)
	require.Equal(t, []string{"Europe/Berlin", "de"}, []string{p.Zone, p.Language})
	call(w, admin, "POST", "/v1/people", wire.NewPerson{Org: "berlin", Name: "Ben", Email: "ben@berlin.example", Zone: "UTC",
		Language: "en"}).read(t, 201, &p)
	require.Equal(t, []string{"UTC", "en"}, []string{p.Zone, p.Language})
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := apitest.Open(t)
	admin := w.SignIn(w.Admin)
	at := "/v1/people/" + w.Admin.ID.String()
	require.Equal(t, 409, call(w, admin, "POST", at+"/disable", nil).status)
	require.Equal(t, 409, call(w, admin, "PUT", at+"/grants", wire.SetGrants{Grants: []wire.Grant{{Org: w.One.Slug,
		Role: threat.Administrator}}}).status)
	require.Equal(t, 200, call(w, admin, "PUT", at+"/grants", wire.SetGrants{Grants: []wire.Grant{{Org: "provider",
		Role: threat.Administrator}, {Org: w.One.Slug, Role: threat.Administrator}}}).status)
	require.Equal(t, 200, call(w, admin, "PUT", at+"/grants", wire.SetGrants{Grants: []wire.Grant{{Org: "provider",
		Role: threat.Administrator}}}).status, "roles elsewhere may go")
	storePerson(w, w.Provider, "second@example.com", threat.Grant{OrgID: w.Provider.ID, Role: threat.Administrator})
	require.Equal(t, 200, call(w, admin, "POST", at+"/disable", nil).status)
}
