package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/apitest"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/threat"
)

// finding is an OCSF 1.8 Detection Finding, written from the schema.
func finding(uid string) string {
	return `{"class_uid":2004,"category_uid":2,"type_uid":200401,"activity_id":1,"severity_id":4,"time":1772438400000,
		"metadata":{"version":"1.8.0","product":{"name":"Sensor","vendor_name":"Example"}},
		"finding_info":{"uid":"` + uid + `","title":"Beacon to a command server"},
		"observables":[{"name":"dst","type_id":2,"value":"203.0.113.7"}]}`
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestDetectionsAreTakenIn(t *testing.T) {
	w := apitest.Open(t)
	sensor := w.Token(w.One, threat.Sensor)
	at := "/v1/tenants/" + w.One.Slug + "/detections"
	var r ingest.Receipt
	call(w, sensor, "POST", at, finding("1")).read(t, 202, &r)
	require.Len(t, r.IDs, 1)
	d, err := w.Store.Detection(t.Context(), r.IDs[0])
	require.NoError(t, err, "accepted means kept")
	require.Equal(t, w.One.ID, d.TenantID)
	require.True(t, strings.HasPrefix(d.Sensor, "token:"), d.Sensor)
	call(w, sensor, "POST", "/v1/tenants/"+w.One.ID.String()+"/sensors/ocsf", zipped(t, "["+finding("2")+","+finding("3")+"]"),
		"Content-Encoding", "gzip").read(t, 202, &r)
	require.Len(t, r.IDs, 2)

	p := call(w, sensor, "POST", at, `{"class_uid":`).problem(t)
	require.Equal(t, 400, p.Status)
	require.Equal(t, threat.Invalid, p.Kind)
	p = call(w, sensor, "POST", "/v1/tenants/"+w.One.Slug+"/sensors/nobody", finding("4")).problem(t)
	require.Equal(t, threat.NotFound, p.Kind)
	require.Contains(t, p.Next, "ocsf")
	p = call(w, sensor, "POST", at, strings.Repeat(" ", api.MaxBody+1)).problem(t)
	require.Equal(t, 413, p.Status)
	p = call(w, sensor, "POST", at, zipped(t, strings.Repeat(" ", api.MaxBody+1)), "Content-Encoding", "gzip").problem(t)
	require.Equal(t, 413, p.Status, "the limit holds for what comes out")
	p = call(w, sensor, "POST", at, "no gzip at all", "Content-Encoding", "gzip").problem(t)
	require.Equal(t, 400, p.Status)
	p = call(w, sensor, "POST", at, finding("5"), "Content-Encoding", "br").problem(t)
	require.Equal(t, 415, p.Status)
	require.Equal(t, 403, call(w, sensor, "GET", at, nil).status, "a sensor only sends")
	require.Equal(t, 422, call(w, w.SignIn(w.Analyst), "POST", "/v1/tenants/provider/stop", wire.SetStop{On: true, Why: " "}).status)

	var list wire.List[threat.Detection]
	call(w, w.SignIn(w.Analyst), "GET", at+"?state=received", nil).read(t, 200, &list)
	require.Len(t, list.Items, 3)
	list = wire.List[threat.Detection]{}
	call(w, w.SignIn(w.Analyst), "GET", at, nil).read(t, 200, &list)
	require.Len(t, list.Items, 3, "left out: all")
	require.Equal(t, 422, call(w, w.SignIn(w.Analyst), "GET", at+"?state=lost", nil).status)
	var one wire.Detection
	call(w, w.SignIn(w.Contact), "GET", "/v1/detections/"+d.ID.String(), nil).read(t, 200, &one)
	require.Contains(t, one.Raw, "Beacon")
}

func TestOurBodiesAreStrict(t *testing.T) {
	w := apitest.Open(t)
	c := w.Case(w.One, "beacon")
	contact := w.SignIn(w.Contact)
	at := "/v1/cases/" + c.Name() + "/notes"
	for body, place := range map[string]string{`{"text":"a","texts":"b"}`: "/texts", `{"text":7}`: "/text", `{`: "/", `{}`: "/text"} {
		a := call(w, contact, "POST", at, body)
		p := a.problem(t)
		require.Equal(t, 400, p.Status, body)
		require.Equal(t, place, p.Place, body)
	}
	require.Equal(t, "did you mean text?", call(w, contact, "POST", at, `{"txt":"a"}`).problem(t).Next)
	require.Equal(t, 415, call(w, contact, "POST", at, `{"text":"a"}`, "Content-Type", "text/plain").status)
	require.Equal(t, 413, call(w, contact, "POST", at, `{"text":"`+strings.Repeat("a", api.MaxBody)+`"}`).status)
	require.Equal(t, 422, call(w, contact, "GET", "/v1/cases?opne=true", nil).status, "unknown parameters are refused")
	p := call(w, contact, "GET", "/v1/cases?open=maybe", nil).problem(t)
	require.Equal(t, "open", p.Place)
	require.Equal(t, "cursor", call(w, contact, "GET", "/v1/cases?cursor=zzz", nil).problem(t).Place)
	require.Equal(t, threat.NotFound, call(w, contact, "GET", "/v1/nowhere", nil).problem(t).Kind)
	a := call(w, contact, "DELETE", "/v1/cases", nil)
	require.Equal(t, 405, a.status)
	require.Equal(t, []string{"GET"}, a.header.Values("Allow"))
	require.Equal(t, 403, call(w, contact, "POST", at, `{"text":"a"}`, "Sec-Fetch-Site", "cross-site").status)
	require.Equal(t, 200, call(w, contact, "POST", at, `{"text":"a"}`, "Sec-Fetch-Site", "same-origin").status)
}

func TestCases(t *testing.T) {
	w := apitest.Open(t)
	var made []threat.Case
	for _, title := range []string{"first", "second", "third"} {
		made = append(made, w.Case(w.One, title))
		w.Clock.Advance(25 * time.Hour) // beyond the correlation window
	}
	other := w.Case(w.Two, "theirs")
	contact, analyst := w.SignIn(w.Contact), w.SignIn(w.Analyst)
	var page wire.Page[wire.Case]
	call(w, contact, "GET", "/v1/cases?limit=2", nil).read(t, 200, &page)
	require.Len(t, page.Items, 2)
	require.Equal(t, made[2].Name(), page.Items[0].Name)
	require.Equal(t, w.One.Slug, page.Items[0].Tenant)
	call(w, contact, "GET", "/v1/cases?limit=2&cursor="+page.Next, nil).read(t, 200, &page)
	require.Len(t, page.Items, 1)
	require.Equal(t, made[0].Name(), page.Items[0].Name)
	call(w, analyst, "GET", "/v1/cases", nil).read(t, 200, &page)
	require.Len(t, page.Items, 4, "the provider sees all")
	call(w, analyst, "GET", "/v1/cases?tenant="+w.Two.Slug, nil).read(t, 200, &page)
	require.Len(t, page.Items, 1)
	require.Equal(t, 404, call(w, contact, "GET", "/v1/cases?tenant="+w.Two.Slug, nil).status)
	var one wire.Case
	for _, name := range []string{made[0].Name(), strings.ToLower(made[0].Name()), made[0].Name()[3:], made[0].ID.String()} {
		call(w, contact, "GET", "/v1/cases/"+name, nil).read(t, 200, &one)
		require.Equal(t, made[0].ID, one.ID)
	}
	hidden, absent := call(w, contact, "GET", "/v1/cases/"+other.Name(), nil), call(w, contact, "GET", "/v1/cases/FB-9999", nil)
	require.Equal(t, 404, hidden.status)
	a, b := hidden.problem(t), absent.problem(t)
	a.RequestID, b.RequestID = "", ""
	require.Equal(t, b, a, "what is another's looks like what is not there")

	call(w, contact, "POST", "/v1/cases/"+one.Name+"/acknowledge", nil).read(t, 200, &one)
	require.Equal(t, threat.ContactAcknowledged, one.Contact)
	call(w, analyst, "POST", "/v1/cases/"+one.Name+"/close", wire.CloseCase{Reason: "over"}).read(t, 200, &one)
	require.False(t, one.Open())
	require.Equal(t, 409, call(w, analyst, "POST", "/v1/cases/"+one.Name+"/close", wire.CloseCase{Reason: "over"}).status)
	call(w, contact, "GET", "/v1/cases?open=false", nil).read(t, 200, &page)
	require.Len(t, page.Items, 1)
}

func TestVerdicts(t *testing.T) {
	w := apitest.Open(t)
	w.Connection(w.One)
	c := w.Case(w.One, "beacon")
	q := w.Ask(c, "203.0.113.7")
	contact := w.SignIn(w.Contact)
	var list wire.List[wire.Request]
	call(w, contact, "GET", "/v1/requests", nil).read(t, 200, &list)
	require.Len(t, list.Items, 1)
	require.Equal(t, c.Name(), list.Items[0].Case)
	at := "/v1/requests/" + q.ID.String() + "/verdicts"
	refusal := func(token string, v wire.Verdict) wire.Problem { return call(w, token, "POST", at, v).problem(t) }

	p := refusal(contact, wire.Verdict{Verdict: threat.VerdictApprove, Digest: "0"})
	require.Equal(t, threat.RefusedChanged, p.Refusal)
	require.Equal(t, 409, p.Status)
	require.NotNil(t, p.Answer)
	p = refusal(w.Token(w.One, threat.Contact), wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest})
	require.Equal(t, threat.RefusedNotAPerson, p.Refusal)
	require.Equal(t, 403, p.Status)
	p = refusal(w.SignIn(w.Admin), wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest})
	require.Equal(t, threat.RefusedWrongPerson, p.Refusal)
	require.Equal(t, 403, p.Status)
	require.Equal(t, 422, call(w, contact, "POST", at, wire.Verdict{Verdict: "maybe", Digest: q.Digest}).status)

	var answer threat.ClickAnswer
	call(w, contact, "POST", at, wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest, Reason: "known C2"}).read(t, 200, &answer)
	require.True(t, answer.Accepted)
	require.Equal(t, threat.RequestApproved, answer.State)
	p = refusal(contact, wire.Verdict{Verdict: threat.VerdictDeny, Digest: q.Digest})
	require.Equal(t, 409, p.Status)
	require.Contains(t, []threat.Refusal{threat.RefusedDecided, threat.RefusedTwice}, p.Refusal)

	entries, err := w.Store.Entries(t.Context(), w.One.ID, 0, 200)
	require.NoError(t, err)
	kinds := map[threat.EntryKind]int{}
	for _, e := range entries {
		kinds[e.Kind]++
	}
	require.Equal(t, 1, kinds[threat.EntryClickAccepted])
	require.Equal(t, 4, kinds[threat.EntryClickRefused], "a refused click is journalled, whoever clicked")

	w.Connection(w.Two)
	late := w.Ask(w.Case(w.Two, "other"), "203.0.113.9")
	w.Clock.Advance(time.Hour)
	p = call(w, w.SignIn(w.Other), "POST", "/v1/requests/"+late.ID.String()+"/verdicts",
		wire.Verdict{Verdict: threat.VerdictApprove, Digest: late.Digest}).problem(t)
	require.Equal(t, 410, p.Status)
	require.Equal(t, threat.RefusedExpired, p.Refusal)
}

func TestActionsByHand(t *testing.T) {
	w := apitest.Open(t)
	conn := w.Connection(w.One)
	c := w.Case(w.One, "beacon")
	analyst := w.SignIn(w.Analyst)
	at := "/v1/cases/" + c.Name() + "/actions"
	var r wire.Response
	call(w, analyst, "POST", at, wire.Propose{Verb: "block_ip", Target: wire.Target{Kind: "ip", Value: "::ffff:203.0.113.7"},
		DurationSeconds: 3600}).read(t, 202, &r)
	require.Equal(t, threat.ResponseProposed, r.State)
	require.Equal(t, "203.0.113.7", r.Target.Value)
	require.Equal(t, float64(3600), r.DurationSeconds)
	require.Equal(t, []uuid.UUID{conn.ID}, r.Connections)
	require.Equal(t, "person:"+w.Analyst.ID.String(), r.AskedBy)
	require.Equal(t, 409, call(w, analyst, "POST", at, wire.Propose{Verb: "block_ip", Target: wire.Target{Kind: "ip", Value: "203.0.113.7"}}).status)
	p := call(w, analyst, "POST", at, wire.Propose{Verb: "block_everything", Target: wire.Target{Kind: "ip", Value: "203.0.113.8"}}).problem(t)
	require.Equal(t, threat.Unsupported, p.Kind)
	p = call(w, analyst, "POST", at, wire.Propose{Verb: "block_ip", Target: wire.Target{Kind: "ip", Value: "nonsense"}}).problem(t)
	require.Equal(t, "/target/value", p.Place)
	var got struct {
		Response wire.Response  `json:"response"`
		Claims   []threat.Claim `json:"claims"`
	}
	call(w, analyst, "GET", "/v1/actions/"+r.ID.String(), nil).read(t, 200, &got)
	require.Equal(t, r.ID, got.Response.ID)
	call(w, analyst, "POST", "/v1/actions/"+r.ID.String()+"/release", wire.Why{Why: "a mistake"}).read(t, 202, &r)
	require.Equal(t, threat.ResponseSuperseded, r.State)
	require.Equal(t, 409, call(w, analyst, "POST", "/v1/actions/"+r.ID.String()+"/release", wire.Why{Why: "again"}).status)
}

func TestTenantsAreSetUp(t *testing.T) {
	w := apitest.Open(t)
	admin, contact := w.SignIn(w.Admin), w.SignIn(w.Contact)
	var o threat.Organisation
	call(w, admin, "POST", "/v1/organisations", wire.NewOrganisation{Parent: "provider", Kind: threat.Customer, Slug: "acme",
		Name: "Acme"}).read(t, 201, &o)
	require.True(t, o.Tenant)
	require.Equal(t, 409, call(w, admin, "POST", "/v1/organisations", wire.NewOrganisation{Parent: "provider", Kind: threat.Customer,
		Slug: "acme", Name: "Acme"}).status)
	require.Equal(t, 403, call(w, contact, "POST", "/v1/organisations", wire.NewOrganisation{Parent: w.One.Slug, Kind: threat.SubEstate,
		Slug: "mine", Name: "Mine"}).status)

	var set wire.Settings
	at := "/v1/tenants/" + w.One.Slug
	call(w, admin, "PUT", at+"/settings", `{"block_for_seconds":7200,"never_block":["192.0.2.0/24"]}`).read(t, 200, &set)
	require.InDelta(t, 7200, float64(*set.Effective.BlockFor), 0)
	require.Nil(t, set.Own.Rounds)
	require.Equal(t, 403, call(w, contact, "PUT", at+"/settings", `{}`).status)
	p := call(w, admin, "PUT", at+"/settings", `{"never_block":["???"]}`).problem(t)
	require.Equal(t, "/never_block/0", p.Place)

	var a threat.Asset
	call(w, admin, "POST", at+"/assets", wire.NewAsset{Kind: "host", Name: "dc1", Addresses: []string{"10.0.0.5"},
		Role: threat.RoleDomainController}).read(t, 201, &a)
	call(w, admin, "POST", at+"/assets/"+a.ID.String()+"/protect", wire.Protect{Protected: true}).read(t, 200, &a)
	require.True(t, a.Protected)
	require.Equal(t, 404, call(w, admin, "DELETE", "/v1/tenants/"+w.Two.Slug+"/assets/"+a.ID.String(), nil).status)
	require.Equal(t, 200, call(w, admin, "DELETE", at+"/assets/"+a.ID.String(), nil).status)

	var stop wire.Stopped
	call(w, contact, "POST", at+"/stop", wire.SetStop{On: true, Why: "maintenance"}).read(t, 200, &stop)
	require.True(t, stop.Stop.On)
	require.Empty(t, stop.InFlight)
	var tenant wire.Tenant
	call(w, contact, "GET", at, nil).read(t, 200, &tenant)
	require.True(t, tenant.State.Stopped)
}

func TestModeIsAPersonsConsent(t *testing.T) {
	w := apitest.Open(t)
	w.Connection(w.One)
	c := w.Case(w.One, "beacon")
	w.Ask(c, "203.0.113.7")
	contact := w.SignIn(w.Contact)
	at := "/v1/tenants/" + w.One.Slug + "/mode"
	var v wire.ModePreview
	call(w, contact, "GET", at+"/preview?mode=authorize", nil).read(t, 200, &v)
	require.Equal(t, 1, v.LetGo)
	require.Equal(t, threat.BasisMode, v.Waiting[0].Basis)
	require.Equal(t, threat.ModeCollaborate, v.Now)
	call(w, contact, "GET", at+"/preview?mode=notify", nil).read(t, 200, &v)
	require.Equal(t, 0, v.LetGo)
	for _, token := range []string{w.SignIn(w.Admin), w.SignIn(w.Analyst), w.Token(w.One, threat.Contact)} {
		require.Equal(t, 403, call(w, token, "POST", at, wire.SetMode{Mode: threat.ModeAuthorize, Words: "I agree"}).status)
	}
	require.Equal(t, "/words", call(w, contact, "POST", at, wire.SetMode{Mode: threat.ModeAuthorize, Words: " "}).problem(t).Place)
	var m wire.Mode
	call(w, contact, "POST", at, wire.SetMode{Mode: threat.ModeAuthorize, Words: "I agree", Language: "en"}).read(t, 200, &m)
	require.Equal(t, threat.ModeAuthorize, m.State.Mode)
	require.Equal(t, w.Contact.ID, m.Consents[0].GivenBy)
	require.Equal(t, "I agree", m.Consents[0].Words)
}

func TestConnections(t *testing.T) {
	w := apitest.Open(t, func(d *api.Deps) {
		d.TestConnection = func(context.Context, uuid.UUID) error { return threat.Faultf(threat.Unavailable, "the device is away") }
	})
	admin := w.SignIn(w.Admin)
	at := "/v1/tenants/" + w.One.Slug + "/connections"
	var c threat.Connection
	call(w, admin, "POST", at, wire.NewConnection{Adapter: "blocker", Name: "edge", Settings: map[string]string{"address": "192.0.2.1"}}).
		read(t, 201, &c)
	require.True(t, c.Enabled)
	require.Equal(t, "/settings/address", call(w, admin, "POST", at, wire.NewConnection{Adapter: "blocker", Name: "b"}).problem(t).Place)
	require.Equal(t, "/adapter", call(w, admin, "POST", at, wire.NewConnection{Adapter: "nobody", Name: "b"}).problem(t).Place)
	a := call(w, admin, "PUT", at+"/"+c.ID.String()+"/secret", wire.Secret{Value: "hunter2-very-secret"})
	a.read(t, 200, &c)
	require.NotEmpty(t, c.SecretRef)
	require.NotContains(t, string(a.body), "hunter2")
	value, err := w.Store.Secret(t.Context(), w.One.ID, c.SecretRef)
	require.NoError(t, err)
	require.Equal(t, "hunter2-very-secret", string(value))
	off := false
	call(w, admin, "PATCH", at+"/"+c.ID.String(), wire.ChangeConnection{Enabled: &off}).read(t, 200, &c)
	require.False(t, c.Enabled)
	require.Equal(t, "192.0.2.1", c.Settings["address"])
	require.Equal(t, 503, call(w, admin, "POST", at+"/"+c.ID.String()+"/test", nil).status)
	require.Equal(t, 404, call(w, admin, "GET", "/v1/tenants/"+w.Two.Slug+"/connections/"+c.ID.String(), nil).status)
	var feed wire.Feed
	call(w, admin, "GET", "/v1/feeds/"+c.ID.String(), nil).read(t, 200, &feed)
	require.Equal(t, c.ID, feed.Connection)
}

func TestPeopleAndTokens(t *testing.T) {
	w := apitest.Open(t)
	admin := w.SignIn(w.Admin)
	var p wire.Person
	call(w, admin, "POST", "/v1/people", wire.NewPerson{Org: w.One.Slug, Name: "Ada", Email: "ada@example.com",
		Grants: []wire.Grant{{Org: w.One.Slug, Role: threat.Contact}}}).read(t, 201, &p)
	require.Len(t, p.Grants, 1)
	require.Equal(t, "/grants/0/org", call(w, admin, "POST", "/v1/people", wire.NewPerson{Org: w.One.Slug, Name: "B", Email: "b@example.com",
		Grants: []wire.Grant{{Org: "nowhere", Role: threat.Contact}}}).problem(t).Place)
	var l wire.Link
	call(w, admin, "POST", "/v1/people/"+p.ID.String()+"/signin-link", nil).read(t, 200, &l)
	var ses wire.Session
	call(w, "", "POST", "/v1/session", wire.SignIn{Link: l.URL}).read(t, 201, &ses)
	require.Equal(t, p.ID, ses.PersonID)
	require.Equal(t, 409, call(w, "", "POST", "/v1/session", wire.SignIn{Link: l.URL}).status, "once")
	require.Equal(t, 404, call(w, "", "POST", "/v1/session", wire.SignIn{Link: "x"}).status)
	var who wire.Whoami
	call(w, ses.Secret, "GET", "/v1/whoami", nil).read(t, 200, &who)
	require.Equal(t, []wire.Grant{{Org: w.One.Slug, Role: threat.Contact}}, who.Roles)
	require.Equal(t, 200, call(w, ses.Secret, "DELETE", "/v1/session", nil).status)
	require.Equal(t, 401, call(w, ses.Secret, "GET", "/v1/whoami", nil).status)

	// A customer's own administrator neither raises somebody above themselves nor signs in as one who stands above them.
	local := storePerson(w, w.One, "local@example.com", threat.Grant{OrgID: w.One.ID, Role: threat.Administrator})
	above := storePerson(w, w.One, "above@example.com", threat.Grant{OrgID: w.Provider.ID, Role: threat.Analyst})
	theirs := w.SignIn(local)
	require.Equal(t, 403, call(w, theirs, "POST", "/v1/people/"+above.ID.String()+"/signin-link", nil).status)
	require.Equal(t, 422, call(w, theirs, "PUT", "/v1/people/"+local.ID.String()+"/grants",
		wire.SetGrants{Grants: []wire.Grant{{Org: "provider", Role: threat.Administrator}}}).status)
	call(w, theirs, "PUT", "/v1/people/"+above.ID.String()+"/grants",
		wire.SetGrants{Grants: []wire.Grant{{Org: w.One.Slug, Role: threat.Contact}}}).read(t, 200, &p)
	require.Len(t, p.Grants, 2, "what others granted elsewhere stays")
	require.Equal(t, 404, call(w, theirs, "POST", "/v1/people/"+w.Other.ID.String()+"/disable", nil).status)

	var k wire.MintedToken
	call(w, admin, "POST", "/v1/tokens", wire.NewToken{Org: w.One.Slug, Role: threat.Sensor, Name: "edge", ExpiresInSeconds: 3600}).
		read(t, 201, &k)
	require.Equal(t, threat.TokenSensor, k.Kind)
	require.Equal(t, 202, call(w, k.Secret, "POST", "/v1/tenants/"+w.One.Slug+"/detections", finding("1")).status)
	var tokens wire.List[threat.Token]
	call(w, admin, "GET", "/v1/tokens?org="+w.One.Slug, nil).read(t, 200, &tokens)
	require.Len(t, tokens.Items, 1)
	require.Equal(t, 404, call(w, w.SignIn(w.Other), "DELETE", "/v1/tokens/"+k.ID.String(), nil).status)
	require.Equal(t, 200, call(w, admin, "DELETE", "/v1/tokens/"+k.ID.String(), nil).status)
	require.Equal(t, 401, call(w, k.Secret, "POST", "/v1/tenants/"+w.One.Slug+"/detections", finding("1")).status)
	call(w, admin, "POST", "/v1/people/"+above.ID.String()+"/disable", nil).read(t, 200, &p)
	require.NotNil(t, p.DisabledAt)
}

func storePerson(w *apitest.World, o threat.Organisation, email string, g threat.Grant) threat.Person {
	w.Helper()
	ctx := context.Background()
	p, err := w.Store.PutPerson(ctx, threat.SystemActor, threat.Person{OrgID: o.ID, Name: email, Email: email})
	require.NoError(w, err)
	require.NoError(w, w.Store.SetGrants(ctx, p.ID, []threat.Grant{g}, threat.SystemActor))
	return p
}

func TestContacts(t *testing.T) {
	w := apitest.Open(t)
	admin := w.SignIn(w.Admin)
	at := "/v1/tenants/" + w.One.Slug + "/contacts"
	set := func(k wire.Contact) answered {
		return call(w, admin, "PUT", at, wire.SetContacts{Contacts: []wire.Contact{k}})
	}
	var list wire.List[wire.Contact]
	set(wire.Contact{Email: w.Contact.Email, Authorise: []string{"block_ip"}, Methods: []wire.ContactMethod{{Channel: "console"}}}).
		read(t, 200, &list)
	require.Equal(t, w.Contact.ID, *list.Items[0].PersonID)
	require.Equal(t, []string{"block_ip"}, list.Items[0].Authorise)
	require.Equal(t, w.Contact.Email, list.Items[0].Methods[0].Address, "the console shows it to the person")
	require.Equal(t, "/contacts/0/authorise/0", set(wire.Contact{Email: w.Contact.Email, Authorise: []string{"all"}}).problem(t).Place)
	require.Equal(t, "/contacts/0/person_id", set(wire.Contact{Email: "nobody@example.com"}).problem(t).Place)
	theirs := w.Connection(w.Two)
	require.Equal(t, "/contacts/0/methods/0/connection_id", set(wire.Contact{Email: w.Contact.Email,
		Methods: []wire.ContactMethod{{Channel: "blocker", ConnectionID: &theirs.ID, Address: "a"}}}).problem(t).Place,
		"another tenant's connection is not there")
	require.Equal(t, 403, call(w, w.SignIn(w.Contact), "PUT", at, wire.SetContacts{Contacts: []wire.Contact{}}).status)
}

func TestPolicyAndJournal(t *testing.T) {
	w := apitest.Open(t)
	var pol wire.Policy
	call(w, w.SignIn(w.Contact), "GET", "/v1/policy", nil).read(t, 200, &pol)
	require.Equal(t, w.Policies.Revision(), pol.Revision)
	require.NotEmpty(t, pol.Labels[threat.AskRespond])
	author := w.Token(w.Provider, threat.Author)
	input := json.RawMessage(`{"at":"2026-03-02T02:10:00Z","action":"case.read","lineage":["a"],
		"caller":{"kind":"person","grants":[{"org":"a","role":"analyst"}],"change_mode":false}}`)
	var trial wire.Trial
	call(w, author, "POST", "/v1/policy/evaluate", wire.Evaluate{Question: threat.AskAccess, Input: input}).read(t, 200, &trial)
	require.Contains(t, string(trial.Answer), `"allow":true`)
	require.Equal(t, 422, call(w, author, "POST", "/v1/policy/evaluate", wire.Evaluate{Question: "why", Input: input}).status)
	require.Equal(t, 403, call(w, w.SignIn(w.Contact), "POST", "/v1/policy/evaluate", wire.Evaluate{Question: "access", Input: input}).status)
	auditor := w.Token(w.Provider, threat.Auditor)
	var page wire.JournalPage
	call(w, auditor, "GET", "/v1/journal/"+w.One.Slug+"?limit=1", nil).read(t, 200, &page)
	require.Len(t, page.Items, 1)
	require.Equal(t, int64(1), page.Next)
	require.Equal(t, 403, call(w, w.SignIn(w.Contact), "GET", "/v1/journal/"+w.One.Slug, nil).status)
}

func TestHealth(t *testing.T) {
	fail := map[string]error{"db": nil, "engine": nil}
	w := apitest.Open(t, func(d *api.Deps) { d.Checks = func(context.Context) map[string]error { return fail } })
	require.Equal(t, 200, call(w, "", "GET", "/healthz", nil).status)
	var r wire.Ready
	call(w, "", "GET", "/readyz", nil).read(t, 200, &r)
	require.Equal(t, map[string]string{"db": "ok", "engine": "ok"}, r.Checks)
	fail["db"] = threat.Faultf(threat.Stale, "it works on with what it had")
	r = wire.Ready{}
	call(w, "", "GET", "/readyz", nil).read(t, 200, &r)
	require.Equal(t, wire.Ready{Ready: true, Checks: map[string]string{"db": "stale", "engine": "ok"}}, r)
	fail["engine"] = errors.New("dial tcp 10.0.0.9: refused")
	a := call(w, "", "GET", "/readyz", nil)
	p := a.problem(t)
	require.Equal(t, 503, p.Status)
	require.Contains(t, p.Detail, "engine")
	require.NotContains(t, p.Detail, "db")
	require.NotContains(t, string(a.body), "10.0.0.9")
	require.Equal(t, "5", a.header.Get("Retry-After"))
}

// lockedBuffer is a log that is read while calls still end.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// broken is a door that is not well.
type broken struct{ api.Door }

func (broken) Acknowledge(context.Context, threat.Caller, uuid.UUID, uuid.NullUUID) (threat.Case, error) {
	panic("a defect with customer data in it")
}

func (broken) Release(context.Context, threat.Caller, uuid.UUID, string) (threat.Response, error) {
	return threat.Response{}, errors.New("a cause that names internals")
}

func TestLogHoldsNoSecretAndDefectsAreTold(t *testing.T) {
	var log lockedBuffer
	w := apitest.Open(t, func(d *api.Deps) {
		d.Log = slog.New(slog.NewJSONHandler(&log, nil))
		d.Door = broken{d.Door}
	})
	c := w.Case(w.One, "beacon")
	token := w.SignIn(w.Contact)
	a := call(w, token, "POST", "/v1/cases/"+c.Name()+"/acknowledge", nil, "X-Request-ID", "mine-1")
	require.Equal(t, 500, a.status)
	require.Equal(t, "mine-1", a.problem(t).RequestID)
	call(w, token, "GET", "/v1/cases?tenant=a-secret-word", nil, "X-Request-ID", "bad id\t")
	w.Connection(w.One)
	q := w.Ask(c, "203.0.113.7")
	a = call(w, token, "POST", "/v1/actions/"+q.ResponseID.String()+"/release", wire.Why{Why: "x"})
	require.Equal(t, 500, a.status)
	require.NotContains(t, string(a.body), "internals")
	text := log.String()
	require.Contains(t, text, `"request_id":"mine-1"`)
	require.Contains(t, text, "a call panicked")
	require.Contains(t, text, "names internals", "the cause is in the log")
	for _, secret := range []string{token, "a-secret-word", "customer data"} {
		require.NotContains(t, text, secret)
	}
}

// hooks is PagerDuty's side of the app.
type hooks struct{ got []byte }

func (h *hooks) PagerDuty(_ context.Context, _ uuid.UUID, header http.Header, body []byte) error {
	if header.Get("X-PagerDuty-Signature") != "good" {
		return threat.Faultf(threat.Unauthenticated, "the signature is not right")
	}
	h.got = body
	return nil
}

func TestWebhooks(t *testing.T) {
	h := &hooks{}
	w := apitest.Open(t, func(d *api.Deps) { d.Webhooks = h })
	at := "/v1/webhooks/pagerduty/" + uuid.NewString()
	require.Equal(t, 401, call(w, "", "POST", at, "{}").status)
	require.Equal(t, 200, call(w, "", "POST", at, `{"event":1}`, "X-PagerDuty-Signature", "good").status)
	require.JSONEq(t, `{"event":1}`, string(h.got))
	require.Equal(t, 404, call(w, "", "POST", "/v1/webhooks/pagerduty/nonsense", "{}").status)
}

func TestMount(t *testing.T) {
	w := apitest.Open(t)
	mux := http.NewServeMux()
	w.API.Mount(mux)
	mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "console") })
	w.Server.Config.Handler = mux
	require.Equal(t, "console", string(call(w, "", "GET", "/cases", nil).body))
	require.Equal(t, 401, call(w, "", "GET", "/v1/cases", nil).status)
	require.Equal(t, 200, call(w, "", "GET", "/openapi.json", nil).status)
}
