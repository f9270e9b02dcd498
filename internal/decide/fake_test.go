package decide

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// monday is a Monday night in UTC, outside business hours.
var monday = time.Date(2026, 3, 2, 2, 10, 0, 0, time.UTC)

// world is a store in memory: one provider with one customer, one case, and what a test puts into it.
type world struct {
	cut         guard.Shares
	mu          sync.Mutex
	provider    threat.Organisation
	customer    threat.Organisation
	state       threat.TenantState
	settings    tenant.Settings
	c           threat.Case
	detections  []threat.Detection
	contacts    []threat.ContactEntry
	persons     map[uuid.UUID]threat.Person
	assets      []threat.Asset
	connections []threat.Connection
	responses   []threat.Response
	escalations []threat.Escalation
	reach       threat.Reach
	decisions   map[string]threat.Decision
	recorded    int // calls of RecordDecision
	lineages    int // calls of Lineage
	used        int
	fails       error // every read answers this
}

func newWorld() *world {
	id := func(name string) uuid.UUID { return threat.DerivedID("test", name) }
	w := &world{
		provider: threat.Organisation{ID: id("provider"), Kind: threat.Provider, Slug: "provider"},
		customer: threat.Organisation{ID: id("customer"), Kind: threat.Customer, Slug: "customer", Tenant: true,
			ParentID: uuid.NullUUID{UUID: id("provider"), Valid: true}},
		settings:  tenant.Effective(),
		persons:   map[uuid.UUID]threat.Person{},
		decisions: map[string]threat.Decision{},
	}
	w.state = threat.TenantState{TenantID: w.customer.ID, Mode: threat.ModeCollaborate, ModeVersion: 3, StopVersion: 1,
		ProtectionVersion: 2, SettingsVersion: 4}
	w.c = threat.Case{ID: id("case"), TenantID: w.customer.ID, Number: 1042, Title: "An attack", Severity: threat.SeverityHigh,
		Threat: threat.ThreatActive, ThreatVersion: 5, ContactVersion: 6, OpenedAt: monday}
	for i, name := range []string{"Ada", "Ben"} {
		p := threat.Person{ID: id(name), OrgID: w.customer.ID, Name: name, Email: name + "@customer.example", Language: "en"}
		w.persons[p.ID] = p
		w.contacts = append(w.contacts, threat.ContactEntry{TenantID: w.customer.ID, PersonID: p.ID, Position: i + 1,
			Authorise: []string{"*"}, Methods: []threat.Method{
				{Channel: "smtp", ConnectionID: id("mail"), Address: p.Email, Verified: true},
				{Channel: "pagerduty", ConnectionID: id("pager"), Address: "key-" + name, Verified: true}}})
	}
	w.connections = []threat.Connection{
		{ID: id("mail"), Adapter: "smtp", Settings: map[string]string{"address": "mail.customer.example:25"}},
		{ID: id("pager"), Adapter: "pagerduty", Settings: map[string]string{}}}
	return w
}

// unreached puts an escalation into the world that nobody answered.
func (w *world) unreached() {
	w.escalations = []threat.Escalation{{ID: threat.DerivedID("test", "escalation"), CaseID: w.c.ID, Number: 1}}
	w.reach = threat.Reach{Contacts: 2, TriedToEnd: 2, Interrupted: 2, Accepted: 8, Over: true}
}

func (w *world) response(verb, kind, value string) threat.Response {
	r := threat.Response{Action: threat.Action{TenantID: w.customer.ID, CaseID: w.c.ID, Step: "block-adversary-address", Round: 1,
		Verb: verb, Target: threat.Target{Kind: threat.TargetKind(kind), Value: value},
		Connections: []uuid.UUID{threat.DerivedID("test", "feed")}}, Required: true, AskedBy: threat.SystemActor,
		State: threat.ResponseProposed}
	r.ID = threat.ActionID(r.CaseID, r.Step, r.Target, 1)
	return r
}

func (w *world) person(name string) threat.Person { return w.persons[threat.DerivedID("test", name)] }

// caller signs a person in with a role over an organisation.
func (w *world) caller(person uuid.UUID, org uuid.UUID, roles ...threat.Role) threat.Caller {
	c := threat.Caller{PersonID: uuid.NullUUID{UUID: person, Valid: true}, OrgID: org, Surface: "console"}
	for _, r := range roles {
		c.Grants = append(c.Grants, threat.Grant{PersonID: person, OrgID: org, Role: r})
	}
	return c
}

func (w *world) TenantState(context.Context, uuid.UUID) (threat.TenantState, error) {
	return w.state, w.fails
}
func (w *world) EffectiveSettings(context.Context, uuid.UUID) (tenant.Settings, error) {
	return w.settings, w.fails
}
func (w *world) Lineage(_ context.Context, id uuid.UUID) ([]threat.Organisation, error) {
	w.mu.Lock()
	w.lineages++
	w.mu.Unlock()
	switch id {
	case w.customer.ID:
		return []threat.Organisation{w.provider, w.customer}, w.fails
	case w.provider.ID:
		return []threat.Organisation{w.provider}, w.fails
	}
	return nil, threat.Faultf(threat.NotFound, "no such organisation")
}
func (w *world) Case(context.Context, uuid.UUID) (threat.Case, error) { return w.c, w.fails }
func (w *world) DetectionsOfCase(_ context.Context, _ uuid.UUID, after int64, limit int) ([]threat.Detection, error) {
	var out []threat.Detection
	for _, d := range w.detections {
		if d.Seq > after && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, w.fails
}
func (w *world) Contacts(context.Context, uuid.UUID) ([]threat.ContactEntry, error) {
	return w.contacts, w.fails
}
func (w *world) Person(_ context.Context, id uuid.UUID) (threat.Person, error) {
	p, ok := w.persons[id]
	if !ok {
		return p, threat.Faultf(threat.NotFound, "no such person")
	}
	return p, w.fails
}

// Shares gives what the world was told of them.
func (w *world) Shares(context.Context, threat.Response) (guard.Shares, error) { return w.cut, w.fails }

// AssetsTouched finds assets as the store does: an address inside theirs, or the same name.
func (w *world) AssetsTouched(_ context.Context, _ uuid.UUID, t threat.Target) ([]threat.Asset, error) {
	var out []threat.Asset
	for _, a := range w.assets {
		hit := a.Name == t.Value || t.AssetID.Valid && t.AssetID.UUID == a.ID
		for _, s := range a.Addresses {
			p, err := threat.CanonicalPrefix(s)
			ip, err2 := netip.ParseAddr(t.Value)
			hit = hit || err == nil && err2 == nil && p.Contains(ip)
		}
		if hit {
			out = append(out, a)
		}
	}
	return out, w.fails
}
func (w *world) Connections(_ context.Context, org uuid.UUID) (out []threat.Connection, err error) {
	for _, c := range w.connections {
		if c.TenantID == org || c.TenantID == uuid.Nil && org == w.customer.ID {
			out = append(out, c)
		}
	}
	return out, w.fails
}
func (w *world) Responses(context.Context, uuid.UUID) ([]threat.Response, error) {
	return w.responses, w.fails
}
func (w *world) Escalations(context.Context, uuid.UUID) ([]threat.Escalation, error) {
	return w.escalations, w.fails
}
func (w *world) Reach(context.Context, uuid.UUID) (threat.Reach, error) { return w.reach, w.fails }
func (w *world) Used(context.Context, uuid.UUID, threat.Class, string, time.Time) (int, int, error) {
	return w.used, w.used, w.fails
}
func (w *world) RecordDecision(_ context.Context, d threat.Decision, key string) (threat.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorded++
	if first, ok := w.decisions[key]; ok {
		return first, nil
	}
	d.ID = threat.DerivedID("decision", key)
	w.decisions[key] = d
	return d, w.fails
}

// pages collects what the provider was told.
type pages struct {
	mu   sync.Mutex
	said []string
}

func (p *pages) page(_ context.Context, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, what)
}

func (p *pages) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.said)
}

func builtIn(t testing.TB) *policies.Engine {
	t.Helper()
	e, err := policies.New(context.Background(), policies.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newService(t testing.TB, w *world, p Policies) (*Service, *pages) {
	t.Helper()
	told := &pages{}
	return New(Deps{Store: w, Policies: p, Now: func() time.Time { return monday }, Page: told.page,
		Ours: []string{"192.0.2.250", "firebreak.provider.example"}}), told
}
