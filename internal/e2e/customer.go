//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Customer is a tenant that was set up over the API, as an administrator does it: one authorised contact, who has consented
// to a response mode, and a sensor.
type Customer struct {
	Slug        string
	ID          uuid.UUID
	Admin       *User // the first administrator
	Contact     *User
	ContactID   uuid.UUID
	SensorToken string
	server      *Server
	t           testing.TB
}

const contactName = "Carla Contact"

// quick are settings at which a scenario takes seconds. Blocks last as long as the test wants.
func quick(block time.Duration) tenant.Settings {
	end := threat.EndReleaseWhenContained
	rounds := 1
	return tenant.Settings{BlockFor: tenant.In(block), BlockMax: tenant.In(time.Hour), BlockEnd: &end,
		RequestOpen: tenant.In(5 * time.Minute), StepWait: tenant.In(time.Minute), Rounds: &rounds, Reverify: tenant.In(3 * time.Second), Settle: tenant.In(time.Second),
		Call: tenant.In(10 * time.Second), Lease: tenant.In(20 * time.Second)}
}

// must gives a value, and ends the test where there is an error instead.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// NewCustomer sets a tenant up.
func NewCustomer(admin *User, slug string, mode threat.Mode, settings tenant.Settings) *Customer {
	s := admin.server
	t := s.t
	t.Helper()
	ctx := t.Context()
	c := &Customer{Slug: slug, Admin: admin, server: s, t: t}
	org := must[threat.Organisation](t)(admin.CreateOrganisation(ctx, wire.NewOrganisation{Parent: "provider", Kind: threat.Customer,
		Slug: slug, Name: "Customer " + slug}))
	c.ID = org.ID
	if _, err := admin.SetSettings(ctx, slug, settings); err != nil {
		t.Fatal(err)
	}
	c.ContactID, c.Contact = c.Person(contactName, "carla@"+slug+".example", threat.Contact)
	c.Contacts(wire.Contact{PersonID: &c.ContactID, Authorise: []string{"*"}, ChangeMode: true,
		Methods: []wire.ContactMethod{{Channel: "console"}}})
	c.SetMode(mode)
	c.SensorToken = c.Token(wire.NewToken{Org: slug, Role: threat.Sensor, Name: "sensor"})
	return c
}

// Person adds a person to the tenant with a role over it, and signs them in.
func (c *Customer) Person(name, email string, role threat.Role) (uuid.UUID, *User) {
	c.t.Helper()
	p := must[wire.Person](c.t)(c.Admin.AddPerson(c.t.Context(), wire.NewPerson{Org: c.Slug, Name: name, Email: email,
		Grants: []wire.Grant{{Org: c.Slug, Role: role}}}))
	return p.ID, c.server.SignIn(c.Link(p.ID))
}

// Link makes a one-time sign-in link of a person.
func (c *Customer) Link(person uuid.UUID) string {
	c.t.Helper()
	return must[wire.Link](c.t)(c.Admin.LinkPerson(c.t.Context(), person, 0)).URL
}

// Contacts replaces the authorised contacts.
func (c *Customer) Contacts(list ...wire.Contact) {
	c.t.Helper()
	if _, err := c.Admin.SetContacts(c.t.Context(), c.Slug, list); err != nil {
		c.t.Fatal(err)
	}
}

// SetMode has the contact consent to a mode.
func (c *Customer) SetMode(mode threat.Mode) {
	c.t.Helper()
	if _, err := c.Contact.SetMode(c.t.Context(), c.Slug, wire.SetMode{Mode: mode, Words: "I agree to " + string(mode) + ".",
		Language: "en"}); err != nil {
		c.t.Fatal(err)
	}
}

// Token makes a program's token.
func (c *Customer) Token(n wire.NewToken) string {
	c.t.Helper()
	return must[wire.MintedToken](c.t)(c.Admin.CreateToken(c.t.Context(), n)).Secret
}

// Connect configures a product.
func (c *Customer) Connect(adapter, name string, settings map[string]string) threat.Connection {
	c.t.Helper()
	return must[threat.Connection](c.t)(c.Admin.AddConnection(c.t.Context(), c.Slug,
		wire.NewConnection{Adapter: adapter, Name: name, Settings: settings}))
}

// Sensor gives the address to which a product posts.
func (c *Customer) Sensor(product string) string {
	return c.server.URL + "/v1/tenants/" + c.Slug + "/sensors/" + product
}

// Cases gives the tenant's cases, the newest first.
func (c *Customer) Cases() []wire.Case {
	c.t.Helper()
	return must[wire.Page[wire.Case]](c.t)(c.Contact.Cases(c.t.Context(), c.Slug, "", "", 0)).Items
}

// Case waits for the tenant's one case.
func (c *Customer) Case(most time.Duration) wire.Case {
	c.t.Helper()
	var found []wire.Case
	Eventually(c.t, most, "a case opens", func() bool { found = c.Cases(); return len(found) > 0 })
	if len(found) != 1 {
		c.t.Fatalf("%d cases instead of one: %+v", len(found), found)
	}
	return found[0]
}

// Threat waits until a case's threat stands where it should.
func (c *Customer) Threat(name string, want threat.ThreatState, most time.Duration) wire.Case {
	c.t.Helper()
	var k wire.Case
	Eventually(c.t, most, name+" is "+string(want), func() bool {
		k = must[wire.Case](c.t)(c.Contact.Case(c.t.Context(), name))
		return k.Threat == want
	})
	return k
}

// Responses gives a case's responses.
func (c *Customer) Responses(name string) []wire.Response {
	c.t.Helper()
	return must[[]wire.Response](c.t)(c.Contact.Responses(c.t.Context(), name))
}

// Response waits until a case's only response stands in one of some states.
func (c *Customer) Response(name string, most time.Duration, states ...threat.ResponseState) wire.Response {
	c.t.Helper()
	var r wire.Response
	last := "none"
	Eventually(c.t, most, "the response of "+name+" reaches one of its states", func() bool {
		list := c.Responses(name)
		if len(list) != 1 {
			return false
		}
		if r = list[0]; last != string(r.State) {
			last = string(r.State)
			c.t.Logf("%s: %s %s is %s: %s", name, r.Verb, r.Target.Value, last, r.Why)
		}
		for _, s := range states {
			if r.State == s {
				return true
			}
		}
		if terminal := threat.ResponseState(last); terminal.Terminal() {
			c.t.Fatalf("the response of %s ended as %s: %s", name, last, r.Why)
		}
		return false
	})
	return r
}

// Request waits for an open question of the tenant.
func (c *Customer) Request(most time.Duration) wire.Request {
	c.t.Helper()
	var open []wire.Request
	Eventually(c.t, most, "somebody is asked", func() bool {
		open = must[[]wire.Request](c.t)(c.Contact.Requests(c.t.Context(), c.Slug))
		return len(open) > 0
	})
	return open[0]
}

// Journal gives the whole of the tenant's journal.
func (c *Customer) Journal() []threat.Entry {
	c.t.Helper()
	var out []threat.Entry
	for after := int64(0); ; {
		page := must[wire.JournalPage](c.t)(c.Admin.Journal(c.t.Context(), c.Slug, after, 500))
		out = append(out, page.Items...)
		if page.Next == 0 {
			return out
		}
		after = page.Next
	}
}

// Count gives how many entries of a kind the tenant's journal holds.
func (c *Customer) Count(kind threat.EntryKind) int {
	c.t.Helper()
	n := 0
	for _, e := range c.Journal() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
