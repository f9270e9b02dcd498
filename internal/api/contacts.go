package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// channelConsole is the one channel that needs no connection.
const channelConsole = "console"

func (a *API) contactRoutes() {
	handle(a, get("/v1/tenants/{tenant}/contacts", "list-contacts", "contacts", "A tenant's authorised contacts, in their order"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.List[wire.Contact], error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.List[wire.Contact]{}, err
			}
			return a.contacts(ctx, o.ID)
		})
	handle(a, put("/v1/tenants/{tenant}/contacts", "set-contacts", "contacts", "Replace a tenant's authorised contacts"),
		func(ctx context.Context, c *call, p *inTenant, b wire.SetContacts) (wire.List[wire.Contact], error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.write")
			if err != nil {
				return wire.List[wire.Contact]{}, err
			}
			entries := make([]threat.ContactEntry, len(b.Contacts))
			for i, told := range b.Contacts {
				if entries[i], err = a.contactEntry(ctx, c, o, told, "/contacts"+place(i)); err != nil {
					return wire.List[wire.Contact]{}, err
				}
			}
			if err := a.d.Store.SetContacts(ctx, o.ID, entries, c.caller.Actor()); err != nil {
				return wire.List[wire.Contact]{}, err
			}
			return a.contacts(ctx, o.ID)
		})
}

func (a *API) contacts(ctx context.Context, org uuid.UUID) (wire.List[wire.Contact], error) {
	entries, err := a.d.Store.Contacts(ctx, org)
	if err != nil {
		return wire.List[wire.Contact]{}, err
	}
	out := make([]wire.Contact, len(entries))
	for i, e := range entries {
		p, err := a.d.Store.Person(ctx, e.PersonID)
		if err != nil {
			return wire.List[wire.Contact]{}, err
		}
		out[i] = wire.Contact{PersonID: &e.PersonID, Name: p.Name, Email: p.Email, Position: e.Position, Authorise: e.Authorise,
			ChangeMode: e.ChangeMode}
		for _, m := range e.Methods {
			w := wire.ContactMethod{Channel: m.Channel, Address: m.Address, DelaySeconds: m.Delay.Seconds(), Verified: m.Verified}
			if m.ConnectionID != uuid.Nil {
				w.ConnectionID = &m.ConnectionID
			}
			out[i].Methods = append(out[i].Methods, w)
		}
	}
	return list(out), nil
}

// contactEntry reads one contact. Who it is must be somebody whom the caller may know of: a person of an organisation in
// which they may read the tenants' data.
func (a *API) contactEntry(ctx context.Context, c *call, o threat.Organisation, told wire.Contact,
	at string) (threat.ContactEntry, error) {
	e := threat.ContactEntry{TenantID: o.ID, Position: told.Position, Authorise: told.Authorise, ChangeMode: told.ChangeMode}
	bad := func(place, what string) (threat.ContactEntry, error) {
		return e, &threat.Fault{Kind: threat.Invalid, What: what, Place: at + place}
	}
	var p threat.Person
	var err error
	switch {
	case told.PersonID != nil:
		p, err = a.d.Store.Person(ctx, *told.PersonID)
	case told.Email != "":
		p, err = a.d.Store.PersonByEmail(ctx, told.Email)
	default:
		return bad("/person_id", "a contact is named by person_id or email")
	}
	if err == nil {
		err = a.may(ctx, c, "person.read", p.OrgID, "person")
	}
	if threat.Is(err, threat.NotFound) || threat.Is(err, threat.Forbidden) {
		return bad("/person_id", "no such person")
	}
	if err != nil {
		return e, err
	}
	e.PersonID = p.ID
	for i, v := range told.Authorise {
		if _, known := verb.Find(v); !known && v != "*" {
			return bad("/authorise"+place(i), "unknown verb")
		}
	}
	for i, m := range told.Methods {
		method, err := a.method(ctx, o.ID, m, at+"/methods"+place(i))
		if err != nil {
			return e, err
		}
		if method.Address == "" { // of the console, which shows it to the person
			method.Address = p.Email
		}
		e.Methods = append(e.Methods, method)
	}
	return e, nil
}

// method reads one way to reach a contact. A channel's connection is the tenant's own, or one above it.
func (a *API) method(ctx context.Context, tenant uuid.UUID, m wire.ContactMethod, at string) (threat.Method, error) {
	out := threat.Method{Channel: m.Channel, Address: m.Address, Delay: time.Duration(m.DelaySeconds * float64(time.Second)),
		Verified: m.Verified}
	bad := func(place, what string) (threat.Method, error) {
		return out, &threat.Fault{Kind: threat.Invalid, What: what, Place: at + place}
	}
	if m.DelaySeconds < 0 || m.DelaySeconds > 86400 {
		return bad("/delay_seconds", "a delay lies between nothing and a day")
	}
	if m.ConnectionID == nil {
		if m.Channel != channelConsole {
			return bad("/connection_id", "this channel needs a connection")
		}
		return out, nil
	}
	conn, err := a.d.Store.Connection(ctx, *m.ConnectionID)
	if err != nil && !threat.Is(err, threat.NotFound) {
		return out, err
	}
	near := false
	if err == nil {
		if near, err = a.atOrAbove(ctx, tenant, conn.TenantID); err != nil {
			return out, err
		}
	}
	if !near {
		return bad("/connection_id", "no such connection")
	}
	if conn.Adapter != m.Channel {
		return bad("/channel", "the connection is of another channel: "+conn.Adapter)
	}
	if m.Address == "" && m.Channel != channelConsole {
		return bad("/address", "this channel needs an address")
	}
	out.ConnectionID = conn.ID
	return out, nil
}

// atOrAbove reports whether an organisation is the tenant, or stands above it.
func (a *API) atOrAbove(ctx context.Context, tenant, org uuid.UUID) (bool, error) {
	for id := tenant; ; {
		if id == org {
			return true, nil
		}
		o, err := a.d.Store.Organisation(ctx, id.String())
		if err != nil || !o.ParentID.Valid {
			return false, err
		}
		id = o.ParentID.UUID
	}
}
