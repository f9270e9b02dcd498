// Package apitest serves the API for tests over the real store, rules, access, door and ingest. What is not here is the
// engine: nothing acts on a device, and no workflow runs.
package apitest

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/approval"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
	"github.com/firebreak/firebreak/policies"
)

// World is a provider with an administrator and an analyst, and two tenants of which each has a contact and collaborates.
type World struct {
	testing.TB
	Clock    *storetest.Clock
	Store    *store.Store
	Policies *policies.Engine
	Decide   *decide.Service
	Access   *access.Service
	Door     *approval.Door
	Ingest   *ingest.Service
	Registry *adapters.Registry
	API      *api.API
	Server   *httptest.Server

	Provider, One, Two threat.Organisation
	Admin, Analyst     threat.Person
	Contact, Other     threat.Person // of One and of Two
}

// Option changes what the API is made with.
type Option func(*api.Deps)

// Open serves a new world until the test ends.
func Open(t testing.TB, opts ...Option) *World {
	t.Helper()
	w := &World{TB: t, Clock: storetest.NewClock()}
	w.Store = storetest.Open(t, storetest.WithClock(w.Clock))
	w.Provider = storetest.Provider(t, w.Store)
	w.One, w.Two = storetest.Tenant(t, w.Store), storetest.Tenant(t, w.Store)
	w.Admin = storetest.Person(t, w.Store, w.Provider, "admin@example.com", threat.Administrator)
	w.Analyst = storetest.Person(t, w.Store, w.Provider, "analyst@example.com", threat.Analyst)
	w.Contact, w.Other = storetest.Contact(t, w.Store, w.One), storetest.Contact(t, w.Store, w.Two)
	storetest.SetMode(t, w.Store, w.One, threat.ModeCollaborate)
	storetest.SetMode(t, w.Store, w.Two, threat.ModeCollaborate)
	w.Server = httptest.NewUnstartedServer(nil)
	w.rooms(t)
	d := api.Deps{Access: w.Access, Rights: w.Decide, Door: w.Door, Ingest: w.Ingest, Store: w.Store, Policy: w.Policies,
		Registry: w.Registry, Now: w.Clock.Now, Version: wire.Version{Version: "test", Go: "test"},
		StopOf: func(ctx context.Context, org uuid.UUID) (bool, string, string, error) {
			s, err := w.Store.StopOf(ctx, org)
			return s.On, s.Why, s.By, err
		}}
	for _, opt := range opts {
		opt(&d)
	}
	w.API = api.New(d)
	w.Server.Config.Handler = w.API
	w.Server.Start()
	t.Cleanup(func() {
		w.API.Close()
		w.Server.Close()
	})
	return w
}

// rooms makes what the API works with.
func (w *World) rooms(t testing.TB) {
	t.Helper()
	var err error
	if w.Policies, err = policies.New(context.Background(), policies.Options{Timeout: 5 * time.Second}); err != nil {
		t.Fatalf("the rules: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Policies.Close(); err != nil {
			t.Errorf("close the rules: %v", err)
		}
	})
	w.Decide = decide.New(decide.Deps{Store: w.Store, Policies: w.Policies, Now: w.Clock.Now})
	address := "http://" + w.Server.Listener.Addr().String()
	if w.Access, err = access.New(access.Deps{Store: w.Store, Decide: w.Decide, Now: w.Clock.Now, BaseURL: address}); err != nil {
		t.Fatalf("access: %v", err)
	}
	if w.Registry, err = adapters.NewRegistry(blocker); err != nil {
		t.Fatalf("the registry: %v", err)
	}
	w.Door = approval.New(approval.Deps{Store: w.Store, Decide: w.Decide, Now: w.Clock.Now, Plan: w.plan})
	w.Ingest = ingest.New(ingest.Deps{Store: w.Store, Decide: w.Decide, Now: w.Clock.Now, Owner: "apitest"})
}

// blocker is a product that can block and does nothing.
var blocker = adapters.Product{
	Info: adapters.Info{Name: "blocker", Title: "Blocker", Secret: "a password", Verbs: []adapters.Ability{
		{Verb: verb.BlockIP, Sending: adapters.Natural}, {Verb: verb.BlockDomain, Sending: adapters.Natural}},
		Settings: []adapters.Setting{{Name: "address", Meaning: "where it is", Required: true}, {Name: "zone", Meaning: "of the firewall"}}},
	Open: func(threat.Connection, string) (any, error) {
		return nil, threat.Faultf(threat.Unsupported, "this product is for tests of the API")
	},
}

func (w *World) plan(ctx context.Context, tenant uuid.UUID, verb string, target threat.Target) ([]uuid.UUID, string, error) {
	list, err := w.Store.Connections(ctx, tenant)
	if err != nil {
		return nil, "", err
	}
	ids, left := plan.Connections(verb, target, list, func(adapter, verb string) bool {
		_, can := w.Registry.Ability(adapter, verb)
		return can
	})
	return ids, plan.Told(left), nil
}

// SignIn gives a bearer secret of a person's new session.
func (w *World) SignIn(p threat.Person) string {
	w.Helper()
	ctx := context.Background()
	link, err := w.Access.SignInLink(ctx, p.ID, 0)
	if err != nil {
		w.Fatalf("the link: %v", err)
	}
	_, secret, err := w.Access.FollowLink(ctx, link[len(w.Server.Listener.Addr().String())+len("http:///signin/"):], "192.0.2.1", "test")
	if err != nil {
		w.Fatalf("sign in: %v", err)
	}
	return secret
}

// Token makes a program's token of a role over an organisation.
func (w *World) Token(o threat.Organisation, role threat.Role) string {
	w.Helper()
	kind := threat.TokenAPI
	if role == threat.Sensor {
		kind = threat.TokenSensor
	}
	secret, _, err := w.Access.IssueToken(context.Background(), threat.SystemActor, threat.Token{OrgID: o.ID, Role: role, Kind: kind,
		Name: "a " + string(role)})
	if err != nil {
		w.Fatalf("the token: %v", err)
	}
	return secret
}

// Connection makes a connection of a tenant that can block.
func (w *World) Connection(o threat.Organisation) threat.Connection {
	w.Helper()
	c, err := w.Store.PutConnection(context.Background(), threat.SystemActor, threat.Connection{TenantID: o.ID, Adapter: "blocker",
		Name: "firewall of " + o.Slug, Settings: map[string]string{"address": "192.0.2.1"}, Enabled: true})
	if err != nil {
		w.Fatalf("the connection: %v", err)
	}
	return c
}

// Case makes a case of a tenant out of one detection.
func (w *World) Case(o threat.Organisation, title string) threat.Case {
	w.Helper()
	ctx := context.Background()
	kept, err := w.Store.AcceptDetections(ctx, []threat.Detection{{TenantID: o.ID, Product: "ocsf", Sensor: "test", UID: title,
		Title: title, Severity: threat.SeverityHigh, Techniques: []string{"T1071"}, Raw: []byte(`{"made":"by a test"}`),
		At: w.Clock.Now(), ReceivedAt: w.Clock.Now(), DedupKey: title, State: threat.DetectionReceived,
		Observables: []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.7", Bearing: threat.BearingAdversary}}}})
	if err != nil {
		w.Fatalf("the detection: %v", err)
	}
	a, err := w.Store.Assign(ctx, threat.Triage{DetectionID: kept[0].ID, Title: title, Severity: threat.SeverityHigh,
		Threat: threat.ThreatActive})
	if err != nil || !a.CaseID.Valid {
		w.Fatalf("the case: %v", err)
	}
	c, err := w.Store.Case(ctx, a.CaseID.UUID)
	if err != nil {
		w.Fatalf("the case: %v", err)
	}
	return c
}

// Ask has people asked about a block of an address in a case, as the workflow of a response does.
func (w *World) Ask(c threat.Case, address string) threat.Request {
	w.Helper()
	ctx := context.Background()
	r, err := w.Door.Propose(ctx, threat.Caller{TokenID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, OrgID: w.Provider.ID, Name: "a plan",
		Grants: []threat.Grant{{OrgID: w.Provider.ID, Role: threat.Analyst}}},
		approval.Proposal{CaseID: c.ID, Verb: verb.BlockIP, Target: threat.Target{Kind: threat.TargetIP, Value: address}})
	if err != nil {
		w.Fatalf("the action: %v", err)
	}
	d, err := w.Decide.Respond(ctx, r)
	if err != nil || d.Effect != threat.Ask {
		w.Fatalf("policy does not ask: %s %v", d.Effect, err)
	}
	if r, err = w.Store.ApplyDecision(ctx, r.ID, r.Version, d); err != nil || !r.RequestID.Valid {
		w.Fatalf("the request: %v", err)
	}
	q, err := w.Store.Request(ctx, r.RequestID.UUID)
	if err != nil {
		w.Fatalf("the request: %v", err)
	}
	return q
}
