package api

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// Lifetimes of a sign-in link.
const (
	usualLink = 15 * time.Minute
	maxLink   = 24 * time.Hour
)

func (a *API) peopleRoutes() {
	handle(a, get("/v1/people", "list-people", "access", "People, with their roles"),
		func(ctx context.Context, c *call, p *inOrg, _ none) (wire.List[wire.Person], error) {
			orgs, err := a.orgsOf(ctx, c, p.Org, "person.read")
			if err != nil {
				return wire.List[wire.Person]{}, err
			}
			var out []wire.Person
			for _, o := range orgs {
				found, err := a.d.Store.Persons(ctx, o.ID)
				if err != nil {
					return wire.List[wire.Person]{}, err
				}
				for _, one := range found {
					v, err := a.personView(ctx, one, o.Slug)
					if err != nil {
						return wire.List[wire.Person]{}, err
					}
					out = append(out, v)
				}
			}
			return list(out), nil
		})
	handle(a, post("/v1/people", "add-person", "access", "Add a person").answers(http.StatusCreated), a.addPerson)
	handle(a, post("/v1/people/{id}/disable", "disable-person", "access", "End a person's sessions, links and rights at once"),
		func(ctx context.Context, c *call, p *byID, _ none) (wire.Person, error) {
			who, o, err := a.personOf(ctx, c, p.ID)
			if err != nil {
				return wire.Person{}, err
			}
			if err := a.notLast(ctx, who.ID, nil); err != nil {
				return wire.Person{}, err
			}
			if err := a.d.Store.DisablePerson(ctx, who.ID, c.caller.Actor()); err != nil {
				return wire.Person{}, err
			}
			if who, err = a.d.Store.Person(ctx, who.ID); err != nil {
				return wire.Person{}, err
			}
			return a.personView(ctx, who, o.Slug)
		})
	handle(a, put("/v1/people/{id}/grants", "set-grants", "access",
		"Replace a person's roles; those over organisations that the caller does not administer stay"),
		func(ctx context.Context, c *call, p *byID, b wire.SetGrants) (wire.Person, error) {
			who, o, err := a.personOf(ctx, c, p.ID)
			if err != nil {
				return wire.Person{}, err
			}
			if err := a.grant(ctx, c, who.ID, b.Grants); err != nil {
				return wire.Person{}, err
			}
			return a.personView(ctx, who, o.Slug)
		})
	handle(a, post("/v1/people/{id}/signin-link", "link-person", "access",
		"Make a one-time sign-in link; hand it over by a way you trust"), a.signInLink)
	handle(a, post("/v1/session", "sign-in", "access", "Use a one-time sign-in link up, for a terminal").answers(http.StatusCreated).
		toAnybody(),
		func(ctx context.Context, c *call, _ *none, b wire.SignIn) (wire.Session, error) {
			secret := strings.TrimSpace(b.Link)
			secret = secret[strings.LastIndexByte(secret, '/')+1:]
			ses, value, err := a.d.Access.FollowLink(ctx, secret, addressOf(c.http), c.http.UserAgent())
			return wire.Session{Secret: value, PersonID: ses.PersonID, ExpiresAt: ses.ExpiresAt}, err
		})
	handle(a, remove("/v1/session", "sign-out", "access", "End the caller's own session"),
		func(ctx context.Context, c *call, _ *none, _ none) (wire.Done, error) {
			if !c.caller.SessionID.Valid {
				return wire.Done{}, threat.Faultf(threat.Invalid, "a token is no session; revoke it instead")
			}
			return wire.Done{Done: true}, a.d.Access.SignOut(ctx, c.caller.SessionID.UUID)
		})
}

// addressOf gives the caller's address without its port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// personOf gives the person of a path when the caller administers their organisation.
func (a *API) personOf(ctx context.Context, c *call, text string) (threat.Person, threat.Organisation, error) {
	id, err := pathID(text, "person")
	if err != nil {
		return threat.Person{}, threat.Organisation{}, err
	}
	p, err := a.d.Store.Person(ctx, id)
	if err != nil {
		return p, threat.Organisation{}, noSuch(err, "person")
	}
	o, err := a.d.Access.Resolve(ctx, c.caller, p.OrgID.String(), "person.write")
	return p, o, noSuch(err, "person")
}

func (a *API) personView(ctx context.Context, p threat.Person, org string) (wire.Person, error) {
	grants, err := a.d.Store.Grants(ctx, p.ID)
	return wire.Person{Person: p, Org: org, Grants: list(grants).Items}, err
}

func (a *API) addPerson(ctx context.Context, c *call, _ *none, b wire.NewPerson) (wire.Person, error) {
	o, err := a.org(ctx, c, b.Org, "person.write")
	if err != nil {
		return wire.Person{}, err
	}
	if _, err := a.readGrants(ctx, c, b.Grants); err != nil { // before the person is there
		return wire.Person{}, err
	}
	p, err := a.d.Store.PutPerson(ctx, c.caller.Actor(), threat.Person{OrgID: o.ID, Name: b.Name, Email: b.Email,
		Language: cmp.Or(b.Language, o.Language), Zone: cmp.Or(b.Zone, o.Zone), Simulated: o.Simulated})
	if err != nil {
		return wire.Person{}, err
	}
	if len(b.Grants) > 0 {
		if err := a.grant(ctx, c, p.ID, b.Grants); err != nil {
			return wire.Person{}, err
		}
	}
	return a.personView(ctx, p, o.Slug)
}

// readGrants resolves roles: the caller must administer each organisation that one reaches.
func (a *API) readGrants(ctx context.Context, c *call, told []wire.Grant) ([]threat.Grant, error) {
	out := make([]threat.Grant, len(told))
	for i, g := range told {
		o, err := a.org(ctx, c, g.Org, "person.write")
		if threat.Is(err, threat.NotFound) {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "no such organisation", Place: "/grants" + place(i) + "/org"}
		}
		if err != nil {
			return nil, err
		}
		if _, machine := machineKinds[g.Role]; machine {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "not a role of people", Place: "/grants" + place(i) + "/role"}
		}
		out[i] = threat.Grant{OrgID: o.ID, Role: g.Role}
	}
	return out, nil
}

// notLast refuses to leave the provider without an administrator.
func (a *API) notLast(ctx context.Context, person uuid.UUID, kept []threat.Grant) error {
	last, err := a.d.Access.LastAdministrator(ctx, person, kept)
	if err == nil && last {
		err = &threat.Fault{Kind: threat.Conflict, What: "this is the provider's last administrator", Next: "make another one first"}
	}
	return err
}

// grant replaces a person's roles as far as the caller may: what others granted elsewhere stays.
func (a *API) grant(ctx context.Context, c *call, person uuid.UUID, told []wire.Grant) error {
	set, err := a.readGrants(ctx, c, told)
	if err != nil {
		return err
	}
	had, err := a.d.Store.Grants(ctx, person)
	if err != nil {
		return err
	}
	for _, g := range had {
		mine, _, err := a.d.Rights.Access(ctx, c.caller, "person.write", g.OrgID)
		if err != nil {
			return err
		}
		if !mine {
			set = append(set, g)
		}
	}
	if err := a.notLast(ctx, person, set); err != nil {
		return err
	}
	return a.d.Store.SetGrants(ctx, person, set, c.caller.Actor())
}

// signInLink makes a link for a person. Whoever holds it acts as them, so that the caller must administer every
// organisation in which that person has a role.
func (a *API) signInLink(ctx context.Context, c *call, p *byID, b wire.NewLink) (wire.Link, error) {
	who, _, err := a.personOf(ctx, c, p.ID)
	if err != nil {
		return wire.Link{}, err
	}
	grants, err := a.d.Store.Grants(ctx, who.ID)
	if err != nil {
		return wire.Link{}, err
	}
	for _, g := range grants {
		err := a.d.Access.Allow(ctx, c.caller, "person.write", g.OrgID)
		if threat.Is(err, threat.NotFound) {
			err = threat.Faultf(threat.Forbidden, "the person has a role in an organisation that the caller does not administer")
		}
		if err != nil {
			return wire.Link{}, err
		}
	}
	life := usualLink
	if b.LifetimeSeconds != 0 {
		life = time.Duration(b.LifetimeSeconds) * time.Second
	}
	if b.LifetimeSeconds < 0 || b.LifetimeSeconds > int64(maxLink/time.Second) {
		return wire.Link{}, &threat.Fault{Kind: threat.Invalid, What: "a link lives for a day at most", Place: "/lifetime_seconds"}
	}
	url, err := a.d.Access.SignInLink(ctx, who.ID, life)
	return wire.Link{URL: url, ExpiresAt: a.d.Now().UTC().Add(life)}, err
}
