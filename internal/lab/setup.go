package lab

import (
	"context"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// TenantPlan is what a scenario needs of Firebreak.
type TenantPlan struct {
	Slug, Name  string
	PollSeconds int             // of the firewall
	People      []threat.Person // simulated contacts, in the order of asking; ids and organisation are Setup's
	Assets      []threat.Asset
	Settings    tenant.Settings
}

// Site is what a scenario got.
type Site struct {
	Tenant        threat.Organisation
	People        []threat.Person // in the plan's order
	Feed          threat.Connection
	SensorToken   string
	FirewallToken string
}

// Setup brings a scenario's tenant into being.
type Setup interface {
	// EnsureTenant makes what is missing and sets what differs: a tenant marked simulated, its people as authorised contacts
	// for every verb, its assets, its settings, a feed connection, and new tokens of a sensor and a firewall in the place of
	// earlier ones. Conflict when an organisation of that slug is there that is not simulated.
	EnsureTenant(ctx context.Context, p TenantPlan) (Site, error)
	// SetMode has a simulated contact consent to a mode, when nobody has consented to any yet: what people who try things out
	// agreed to since stays.
	SetMode(ctx context.Context, tenant uuid.UUID, mode threat.Mode, by uuid.UUID, words string) error
}

// Store is what StoreSetup needs of the store; internal/store has it.
type Store interface {
	Root(ctx context.Context) (threat.Organisation, error)
	Organisation(ctx context.Context, idOrSlug string) (threat.Organisation, error)
	CreateOrganisation(ctx context.Context, by string, o threat.Organisation) (threat.Organisation, error)
	PersonByEmail(ctx context.Context, email string) (threat.Person, error)
	PutPerson(ctx context.Context, by string, p threat.Person) (threat.Person, error)
	SetGrants(ctx context.Context, person uuid.UUID, list []threat.Grant, by string) error
	SetContacts(ctx context.Context, tenant uuid.UUID, list []threat.ContactEntry, by string) error
	Assets(ctx context.Context, tenant uuid.UUID) ([]threat.Asset, error)
	PutAsset(ctx context.Context, by string, a threat.Asset) (threat.Asset, error)
	Connections(ctx context.Context, tenant uuid.UUID) ([]threat.Connection, error)
	PutConnection(ctx context.Context, by string, c threat.Connection) (threat.Connection, error)
	SetSettings(ctx context.Context, org uuid.UUID, set tenant.Settings, by string) error
	TenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error)
	SetMode(ctx context.Context, by string, c threat.Consent) (threat.TenantState, error)
	Tokens(ctx context.Context, org uuid.UUID) ([]threat.Token, error)
	RevokeToken(ctx context.Context, id uuid.UUID, by string) error
}

// Minter makes tokens; internal/access has it.
type Minter interface {
	// IssueToken makes a token and gives its secret, which is shown once.
	IssueToken(ctx context.Context, by string, k threat.Token) (secret string, kept threat.Token, err error)
}

// StoreSetup is Setup on the store of this process.
type StoreSetup struct {
	Store  Store
	Tokens Minter
}

var _ Setup = StoreSetup{}

// by is who does all this in the journal.
const by = threat.SystemActor

// simulated marks names, beside the organisation's own mark.
const (
	feedName     = "Lab firewall's feed (simulated)"
	pagerName    = "Lab pager (simulated)"
	consoleName  = "Console"
	sensorName   = "lab sensor (simulated)"
	firewallName = "lab firewall (simulated)"
)

// EnsureTenant is Setup's. Faults are the store's.
func (s StoreSetup) EnsureTenant(ctx context.Context, p TenantPlan) (Site, error) {
	org, fresh, err := s.organisation(ctx, p)
	if err != nil {
		return Site{}, err
	}
	site := Site{Tenant: org}
	if site.People, err = s.people(ctx, org, p.People); err != nil {
		return site, err
	}
	feed, err := s.connection(ctx, org, "feed", feedName, map[string]string{"interval": strconv.Itoa(max(1, p.PollSeconds))})
	if err != nil {
		return site, err
	}
	site.Feed = feed
	pager, err := s.connection(ctx, org, PagerName, pagerName, nil)
	if err != nil {
		return site, err
	}
	console, err := s.connection(ctx, org, "console", consoleName, nil)
	if err != nil {
		return site, err
	}
	if fresh { // later changes of people who try things out stay
		if err := s.Store.SetContacts(ctx, org.ID, contacts(site.People, pager, console), by); err != nil {
			return site, err
		}
		if err := s.Store.SetSettings(ctx, org.ID, p.Settings, by); err != nil {
			return site, err
		}
	}
	if err := s.assets(ctx, org, p.Assets); err != nil {
		return site, err
	}
	if site.SensorToken, err = s.token(ctx, threat.Token{OrgID: org.ID, Role: threat.Sensor, Kind: threat.TokenSensor,
		Name: sensorName}); err != nil {
		return site, err
	}
	site.FirewallToken, err = s.token(ctx, threat.Token{OrgID: org.ID, Role: threat.Firewall, Kind: threat.TokenFirewall,
		Name: firewallName, ConnectionID: uuid.NullUUID{UUID: feed.ID, Valid: true}})
	return site, err
}

// organisation gives the scenario's tenant, and whether it was made now or never finished.
func (s StoreSetup) organisation(ctx context.Context, p TenantPlan) (threat.Organisation, bool, error) {
	org, err := s.Store.Organisation(ctx, p.Slug)
	if err == nil {
		if !org.Simulated || !org.Tenant {
			return org, false, &threat.Fault{Kind: threat.Conflict, What: "an organisation " + p.Slug + " is there that is not the lab's",
				Next: "start without the lab, or on another data directory"}
		}
		tokens, err := s.Store.Tokens(ctx, org.ID)
		return org, len(tokens) == 0, err // tokens come last
	}
	if !threat.Is(err, threat.NotFound) {
		return org, false, err
	}
	root, err := s.Store.Root(ctx)
	if threat.Is(err, threat.NotFound) {
		root, err = s.Store.CreateOrganisation(ctx, by, threat.Organisation{Kind: threat.Provider, Slug: "lab-provider",
			Name: "Lab provider (simulated)", Simulated: true})
	}
	if err != nil {
		return org, false, err
	}
	org, err = s.Store.CreateOrganisation(ctx, by, threat.Organisation{ParentID: uuid.NullUUID{UUID: root.ID, Valid: true},
		Kind: threat.Customer, Slug: p.Slug, Name: p.Name, Tenant: true, Simulated: true})
	return org, true, err
}

func (s StoreSetup) people(ctx context.Context, org threat.Organisation, plan []threat.Person) ([]threat.Person, error) {
	out := make([]threat.Person, 0, len(plan))
	for _, p := range plan {
		old, err := s.Store.PersonByEmail(ctx, p.Email)
		switch {
		case err == nil && (old.OrgID != org.ID || !old.Simulated):
			return nil, threat.Faultf(threat.Conflict, "somebody who is not the lab's has the address of %s", p.Name)
		case err == nil:
			out = append(out, old)
			continue
		case !threat.Is(err, threat.NotFound):
			return nil, err
		}
		p.OrgID, p.Simulated = org.ID, true
		made, err := s.Store.PutPerson(ctx, by, p)
		if err != nil {
			return nil, err
		}
		if err := s.Store.SetGrants(ctx, made.ID, []threat.Grant{{PersonID: made.ID, OrgID: org.ID, Role: threat.Contact}}, by); err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

// contacts makes everybody an authorised contact, whom the console shows what waits and the pager rings.
func contacts(people []threat.Person, pager, console threat.Connection) []threat.ContactEntry {
	out := make([]threat.ContactEntry, len(people))
	for i, p := range people {
		out[i] = threat.ContactEntry{PersonID: p.ID, Position: i + 1, Authorise: []string{"*"}, ChangeMode: true, Methods: []threat.Method{
			{Channel: "console", ConnectionID: console.ID, Address: p.Email, Verified: true},
			{Channel: PagerName, ConnectionID: pager.ID, Address: "pager-of-" + p.Email, Verified: true}}}
	}
	return out
}

func (s StoreSetup) connection(ctx context.Context, org threat.Organisation, adapter, name string,
	settings map[string]string) (threat.Connection, error) {
	all, err := s.Store.Connections(ctx, org.ID)
	if err != nil {
		return threat.Connection{}, err
	}
	for _, c := range all {
		if c.Adapter == adapter && c.Name == name {
			return c, nil
		}
	}
	return s.Store.PutConnection(ctx, by, threat.Connection{TenantID: org.ID, Adapter: adapter, Name: name, Settings: settings,
		ReachedFrom: threat.ReachedFromServer, Enabled: true})
}

func (s StoreSetup) assets(ctx context.Context, org threat.Organisation, plan []threat.Asset) error {
	all, err := s.Store.Assets(ctx, org.ID)
	if err != nil {
		return err
	}
	for _, a := range plan {
		if slices.ContainsFunc(all, func(x threat.Asset) bool { return x.Name == a.Name }) {
			continue
		}
		a.TenantID = org.ID
		if _, err := s.Store.PutAsset(ctx, by, a); err != nil {
			return err
		}
	}
	return nil
}

// token makes a token in the place of those of the same name, whose secrets nobody has any more.
func (s StoreSetup) token(ctx context.Context, k threat.Token) (string, error) {
	all, err := s.Store.Tokens(ctx, k.OrgID)
	if err != nil {
		return "", err
	}
	secret, _, err := s.Tokens.IssueToken(ctx, by, k)
	if err != nil {
		return "", err
	}
	for _, old := range all {
		if old.Name == k.Name && old.Kind == k.Kind && old.RevokedAt == nil {
			if err := s.Store.RevokeToken(ctx, old.ID, by); err != nil {
				return "", err
			}
		}
	}
	return secret, nil
}

// SetMode is Setup's. Faults are the store's.
func (s StoreSetup) SetMode(ctx context.Context, tenant uuid.UUID, mode threat.Mode, person uuid.UUID, words string) error {
	state, err := s.Store.TenantState(ctx, tenant)
	if err != nil || state.ModeVersion > 0 {
		return err
	}
	_, err = s.Store.SetMode(ctx, "person:"+person.String(), threat.Consent{TenantID: tenant, Mode: mode, GivenBy: person, Words: words,
		Language: "en"})
	return err
}
