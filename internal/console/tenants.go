package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// tenantsPage lists the organisations that the reader sees, as a tree.
type tenantsPage struct {
	frame
	Orgs []orgRow
}

type orgRow struct {
	Name, Slug, Kind string
	Depth            int // below the highest one seen; at most 6
	Tenant           bool
	Mode             word
	Stopped          bool
	Simulated        bool
}

var orgKinds = map[threat.OrganisationKind]string{threat.Provider: "provider", threat.Partner: "partner",
	threat.Customer: "customer", threat.SubEstate: "part of a customer"}

func listTenants(k *call) error {
	all, err := k.orgs()
	if err != nil {
		return err
	}
	p := &tenantsPage{frame: k.frame("Tenants", "/tenants")}
	p.live("")
	below := map[uuid.UUID][]threat.Organisation{}
	var tops []threat.Organisation
	for _, o := range all {
		if _, seen := k.byID[o.ParentID.UUID]; o.ParentID.Valid && seen {
			below[o.ParentID.UUID] = append(below[o.ParentID.UUID], o)
		} else {
			tops = append(tops, o)
		}
	}
	for _, o := range tops {
		if err := p.add(k, o, below, 0); err != nil {
			return err
		}
	}
	return k.render(http.StatusOK, "tenants", p)
}

func (p *tenantsPage) add(k *call, o threat.Organisation, below map[uuid.UUID][]threat.Organisation, depth int) error {
	row := orgRow{Name: threat.Inert(o.Name, maxName), Slug: o.Slug, Kind: orgKinds[o.Kind], Depth: min(depth, 6),
		Tenant:    o.Tenant,
		Simulated: o.Simulated}
	if o.Tenant && k.may("tenant.read", o.ID) {
		st, err := k.deps.Store.TenantState(k.ctx(), o.ID)
		if err != nil {
			return err
		}
		row.Mode, row.Stopped = modeWord(st.Mode), st.Stopped
	} else if s, err := k.deps.StopOf(k.ctx(), o.ID); err != nil {
		return err
	} else {
		row.Stopped = s.On
	}
	p.Orgs = append(p.Orgs, row)
	children := below[o.ID]
	slices.SortFunc(children, func(a, b threat.Organisation) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range children {
		if err := p.add(k, c, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// tenantPage is one organisation, and what it owns when it is a tenant.
type tenantPage struct {
	frame
	Name, Slug, Kind   string
	ID, Zone, Language string
	Tenant             bool
	Mode               word
	Eradicate          bool
	Consents           []consentRow
	Modes              []modeChoice
	MayMode            bool
	MayWrite           bool
	MayStop            bool
	Stopped            bool
	Stops              []stopRow
	Contacts           []contactRow
	Assets             []assetRow
	Connections        []connectionRow
	Settings           []settingRow
}

type consentRow struct {
	Version   int64
	Mode      word
	Eradicate bool
	By        string
	Words     string
	Language  string
	At        moment
}

type modeChoice struct {
	Value     string
	Word      word
	Now       bool
	Eradicate bool // of the mode in force
}

type contactRow struct {
	Position   int
	Name       string
	Verbs      string
	ChangeMode bool
	Methods    []methodRow
}

type methodRow struct {
	Channel, Address, Delay string
	Verified                bool
}

type assetRow struct {
	ID, Name, Kind, Role, Evidence string
	Addresses, Tags                []string
	Managed, Protected             bool
}

type connectionRow struct {
	ID, Name, Adapter, From string
	Enabled, Secret         bool
	Settings                []pair
}

type settingRow struct{ Name, Value, Meaning string }

// orgOf gives the organisation that the path names, if the caller has a right over it.
func (k *call) orgOf(action string) (threat.Organisation, error) {
	return k.deps.Access.Resolve(k.ctx(), k.caller, k.r.PathValue("tenant"), action)
}

// tenantOf is orgOf for tenants alone.
func (k *call) tenantOf(action string) (threat.Organisation, error) {
	o, err := k.orgOf(action)
	if err == nil && !o.Tenant {
		return o, threat.Faultf(threat.NotFound, "this organisation owns no assets, and has no mode")
	}
	return o, err
}

func showTenant(k *call) error {
	o, err := k.orgOf("tenant.read")
	if err != nil {
		return err
	}
	name := threat.Inert(o.Name, maxName)
	p := &tenantPage{frame: k.frame(name, "/tenants"), Name: name, Slug: o.Slug, Kind: orgKinds[o.Kind], ID: o.ID.String(),
		Zone: threat.Inert(o.Zone, 60), Language: threat.Inert(o.Language, 40), Tenant: o.Tenant,
		MayMode: o.Tenant && k.may("tenant.mode", o.ID), MayWrite: k.may("tenant.write", o.ID),
		MayStop: k.may("tenant.stop", o.ID)}
	p.live("")
	p.Simulated = o.Simulated
	fills := []func(*call, threat.Organisation) error{p.switches, p.settings}
	if o.Tenant {
		fills = append(fills, p.modes, p.contacts, p.assets)
	}
	if k.may("connection.read", o.ID) {
		fills = append(fills, p.connections)
	}
	for _, fill := range fills {
		if err := fill(k, o); err != nil {
			return err
		}
	}
	return k.render(http.StatusOK, "tenant", p)
}

// switches lists the stop switches that bind an organisation: its own, and those above it.
func (p *tenantPage) switches(k *call, o threat.Organisation) error {
	rows, err := k.stopsOver(o)
	p.Stops, p.Stopped = rows, len(rows) > 0
	return err
}

// stopsOver gives the switches that are on in an organisation and above it.
func (k *call) stopsOver(o threat.Organisation) ([]stopRow, error) {
	line, err := k.lineage(o.ID)
	if err != nil {
		return nil, err
	}
	var out []stopRow
	for _, above := range line {
		s, err := k.deps.StopOf(k.ctx(), above.ID)
		if err != nil {
			return nil, err
		}
		if s.On {
			out = append(out, stopRow{Org: threat.Inert(above.Name, maxName), Slug: above.Slug, Why: threat.Inert(s.Why, maxText),
				By: k.actor(s.By)})
		}
	}
	return out, nil
}

func (p *tenantPage) modes(k *call, o threat.Organisation) error {
	st, err := k.deps.Store.TenantState(k.ctx(), o.ID)
	if err != nil {
		return err
	}
	p.Mode, p.Eradicate = modeWord(st.Mode), st.Eradicate
	for _, m := range threat.Modes {
		p.Modes = append(p.Modes, modeChoice{Value: string(m), Word: modeWord(m), Now: m == st.Mode, Eradicate: st.Eradicate})
	}
	list, err := k.deps.Store.Consents(k.ctx(), o.ID)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i]
		p.Consents = append(p.Consents, consentRow{Version: c.Version, Mode: modeWord(c.Mode), Eradicate: c.Eradicate,
			By:    k.name(c.GivenBy),
			Words: threat.Inert(c.Words, 2000), Language: threat.Inert(c.Language, 40), At: p.When(c.At)})
	}
	return nil
}

func (p *tenantPage) contacts(k *call, o threat.Organisation) error {
	list, err := k.contacts(o.ID)
	for _, e := range list {
		row := contactRow{Position: e.Position, Name: k.name(e.PersonID), ChangeMode: e.ChangeMode, Verbs: "nothing"}
		if e.MayAuthorise("*") {
			row.Verbs = "everything"
		} else if len(e.Authorise) > 0 {
			var verbs []string
			for _, v := range e.Authorise {
				verbs = append(verbs, strings.ToLower(verbTitle(v)))
			}
			row.Verbs = strings.Join(verbs, ", ")
		}
		for _, m := range e.Methods {
			row.Methods = append(row.Methods, methodRow{Channel: threat.Inert(m.Channel, 40),
				Address: threat.Inert(m.Address, maxName),
				Delay:   durationWords(m.Delay), Verified: m.Verified})
		}
		p.Contacts = append(p.Contacts, row)
	}
	return err
}

func (p *tenantPage) assets(k *call, o threat.Organisation) error {
	list, err := k.deps.Store.Assets(k.ctx(), o.ID)
	for _, a := range list {
		row := assetRow{ID: a.ID.String(), Name: threat.Inert(a.Name, maxName), Kind: threat.Inert(a.Kind, 40),
			Role: assetWords(a.Role), Evidence: threat.Inert(a.Evidence, maxText), Managed: a.Managed, Protected: a.Protected}
		for _, x := range a.Addresses {
			row.Addresses = append(row.Addresses, threat.Inert(x, 80))
		}
		for _, x := range a.Tags {
			row.Tags = append(row.Tags, threat.Inert(x, 80))
		}
		p.Assets = append(p.Assets, row)
	}
	return err
}

func (p *tenantPage) connections(k *call, o threat.Organisation) error {
	list, err := k.deps.Store.Connections(k.ctx(), o.ID)
	for _, c := range list {
		row := connectionRow{ID: c.ID.String(), Name: threat.Inert(c.Name, maxName), Adapter: threat.Inert(c.Adapter, 40),
			From: threat.Inert(c.ReachedFrom, 60), Enabled: c.Enabled, Secret: c.SecretRef != ""}
		var names []string
		for n := range c.Settings {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			row.Settings = append(row.Settings, pair{threat.Inert(n, 60), threat.Inert(c.Settings[n], 200)})
		}
		p.Connections = append(p.Connections, row)
	}
	return err
}

func (p *tenantPage) settings(k *call, o threat.Organisation) error {
	s, err := k.deps.Store.EffectiveSettings(k.ctx(), o.ID)
	if err != nil {
		return err
	}
	add := func(name, value, meaning string) { p.Settings = append(p.Settings, settingRow{name, value, meaning}) }
	for _, d := range []struct {
		name    string
		value   *tenant.Seconds
		meaning string
	}{
		{"A request stays open", s.RequestOpen, "then it expires"},
		{"A contact is tried for", s.StepWait, "before the next one"},
		{"An acknowledgement holds", s.AckFor, "or until new activity of the attacker"},
		{"A containment lasts", s.BlockFor, "unless asked otherwise"},
		{"The longest containment", s.BlockMax, "nobody may ask for more"},
		{"Detections are correlated within", s.CorrelateWithin, ""},
		{"Repetitions are told within", s.DedupWithin, ""},
		{"What is held is read again every", s.Reverify, "give or take a fifth"},
		{"A quiet contained case is resolved after", s.QuietClose, ""},
	} {
		if d.value != nil {
			add(d.name, durationWords(d.value.Duration()), d.meaning)
		}
	}
	for _, n := range []struct {
		name    string
		value   *int
		meaning string
	}{{"Rounds of an escalation", s.Rounds, ""},
		{"Containments an hour", s.BudgetContain, "a fifth is kept for critical cases"},
		{"Domain blocks an hour", s.BudgetDomain, "a fifth is kept for critical cases"}} {
		if n.value != nil {
			add(n.name, fmt.Sprint(*n.value), n.meaning)
		}
	}
	if s.BlockEnd != nil {
		add("When a containment's time is up", endWords(*s.BlockEnd), "")
	}
	if s.Zone != nil && s.BusinessFrom != nil && s.BusinessTo != nil {
		add("Business hours", clock(*s.BusinessFrom)+" to "+clock(*s.BusinessTo)+" "+threat.Inert(*s.Zone, 60), "")
	}
	add("Never blocked", listWords(s.NeverBlock), "adds up from the organisations above")
	add("Own networks", listWords(s.OwnNetworks), "beside the private ranges")
	return nil
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

func listWords(list []string) string {
	if len(list) == 0 {
		return "nothing is listed"
	}
	return threat.Inert(strings.Join(list, ", "), 2000)
}

// protectAsset protects an asset, or lifts that.
func protectAsset(k *call) error {
	o, err := k.tenantOf("tenant.write")
	if err != nil {
		return err
	}
	id, err := k.pathID("asset", "asset")
	if err != nil {
		return err
	}
	if err := k.form(); err != nil {
		return err
	}
	list, err := k.deps.Store.Assets(k.ctx(), o.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a threat.Asset) bool { return a.ID == id })
	if i < 0 {
		return threat.Faultf(threat.NotFound, "there is no such asset")
	}
	a := list[i]
	switch k.r.PostForm.Get("protected") {
	case "true":
		a.Protected = true
	case "false":
		a.Protected = false
	default:
		return &threat.Fault{Kind: threat.Invalid, What: "neither true nor false", Place: "protected"}
	}
	if a, err = k.deps.Store.PutAsset(k.ctx(), k.caller.Actor(), a); err != nil {
		return err
	}
	s := said{Tone: toneGood, Title: threat.Inert(a.Name, maxName) + " is protected",
		Text: "No action touches it, whoever approves one."}
	if !a.Protected {
		s = said{Tone: toneWarn, Title: threat.Inert(a.Name, maxName) + " is no longer protected",
			Text: "Actions that policy allows may touch it."}
	}
	return k.say("/tenants/"+o.Slug, s)
}
