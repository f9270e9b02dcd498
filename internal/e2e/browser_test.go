//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// alert is what CrowdSec posts of an address that tries passwords.
func alert(address string) []byte {
	at := time.Now().UTC().Format(time.RFC3339)
	return fmt.Appendf(nil, `[{"scenario":"crowdsecurity/ssh-bf","events_count":6,"machine_id":"bastion",`+
		`"source":{"scope":"Ip","value":%q},"start_at":%q,"stop_at":%q}]`, address, at, at)
}

// attackFrom has the tenant's sensor tell of an attacker.
func (c *Customer) attackFrom(address string) {
	c.t.Helper()
	if _, err := c.server.Client(c.SensorToken).Post(c.t.Context(), c.Slug, "crowdsec", alert(address)); err != nil {
		c.t.Fatal(err)
	}
}

// asked waits for the open question about an address.
func (c *Customer) asked(address string) wire.Request {
	c.t.Helper()
	var found wire.Request
	Eventually(c.t, time.Minute, "somebody is asked about "+address, func() bool {
		for _, q := range must[[]wire.Request](c.t)(c.Contact.Requests(c.t.Context(), c.Slug)) {
			if q.Body.Targets[0].Value == address {
				found = q
				return true
			}
		}
		return false
	})
	return found
}

// refusals gives why clicks were refused, as the journal has it.
func (c *Customer) refusals() []threat.Refusal {
	c.t.Helper()
	var out []threat.Refusal
	for _, e := range c.Journal() {
		if e.Kind != threat.EntryClickRefused {
			continue
		}
		var said struct {
			Refusal threat.Refusal `json:"refusal"`
		}
		if err := json.Unmarshal(e.Payload, &said); err != nil {
			c.t.Fatal(err)
		}
		out = append(out, said.Refusal)
	}
	return out
}

// TestClicksThatDoNotCount clicks too late, twice, without the right, and on what is not asked any more. Each is told why, and
// the journal has it.
func TestClicksThatDoNotCount(t *testing.T) {
	s := StartServer(t)
	c := NewCustomer(s.SignIn(s.Link), "acme", threat.ModeCollaborate, quick(10*time.Minute))
	c.Connect("feed", "List", nil)
	otto, _ := c.Person("Otto Other", "otto@acme.example", threat.Contact)
	both := func(authorise ...string) {
		console := []wire.ContactMethod{{Channel: "console"}}
		c.Contacts(wire.Contact{PersonID: &c.ContactID, Authorise: []string{"*"}, ChangeMode: true, Methods: console},
			wire.Contact{PersonID: &otto, Authorise: authorise, Methods: console})
	}
	both("block_ip")
	carla, other := s.NewPage(6*time.Minute), s.NewPage(6*time.Minute)
	carla.SignIn(c.Link(c.ContactID))
	other.SignIn(c.Link(otto))
	refused := func(p *Page, selector string, status int64, title string) {
		t.Helper()
		if got := p.Click(selector); got != status {
			t.Errorf("the click was answered %d instead of %d", got, status)
		}
		p.Shows(pageTime, "[role=alert]", title)
	}

	// Two look at the same question; one is faster.
	c.attackFrom("198.51.100.11")
	q := c.asked("198.51.100.11")
	other.Open("/requests/" + q.ID.String())
	other.Shows(pageTime, "#ask", "198.51.100.11", "Your decision")
	other.Freeze()
	carla.Open("/requests/" + q.ID.String())
	carla.Click("#approve")
	carla.Shows(pageTime, "main", "Approved: it is being done")
	refused(other, "#approve", 409, "Not counted: it is decided already")
	other.Picture("1-second-click")
	if _, complaint, code := c.Contact.Run("approve", q.ID.String(), "--yes", "--digest", q.Digest); code != 3 {
		t.Errorf("the second click of the same person at the terminal ended with %d: %s", code, complaint)
	}

	// The customer takes Otto's right away while he looks.
	c.attackFrom("198.51.100.12")
	q = c.asked("198.51.100.12")
	other.Open("/requests/" + q.ID.String())
	other.Shows(pageTime, "#ask", "Your decision")
	other.Freeze()
	both()
	refused(other, "#approve", 403, "Not counted: this is not yours to decide")
	other.Picture("2-wrong-person")
	other.Open("/requests/" + q.ID.String())
	other.Shows(pageTime, "#ask", "This is not yours to decide")
	if other.Text("#approve") != "" {
		t.Error("who may not decide is shown the button")
	}
	both("block_ip")

	// Carla narrows it while Otto looks: his click would be about something else.
	other.Open("/requests/" + q.ID.String())
	other.Shows(pageTime, "#ask", "Your decision")
	other.Freeze()
	carla.Open("/requests/" + q.ID.String())
	carla.Press("#narrow summary")
	carla.Choose("#seconds", "300")
	carla.Click("#approve-narrow")
	carla.Shows(pageTime, "main", "Approved, narrower: it is being done", "5 min")
	refused(other, "#approve", 409, "Not counted: another question took its place")

	// Nobody answers in time.
	short := quick(10 * time.Minute)
	seconds := *short.Lease
	short.RequestOpen = &seconds
	if _, err := c.Admin.SetSettings(t.Context(), c.Slug, short); err != nil {
		t.Fatal(err)
	}
	c.attackFrom("198.51.100.13")
	q = c.asked("198.51.100.13")
	carla.Open("/requests/" + q.ID.String())
	carla.Shows(pageTime, "#ask", "Your decision")
	carla.Freeze()
	Eventually(t, time.Minute, "the request expires", func() bool {
		return must[wire.Request](t)(c.Contact.Request(t.Context(), q.ID.String())).State == threat.RequestExpired
	})
	refused(carla, "#approve", 410, "Not counted: its time is over")
	carla.Picture("3-expired")

	if got, want := c.refusals(), []threat.Refusal{threat.RefusedDecided, threat.RefusedDecided, threat.RefusedWrongPerson,
		threat.RefusedSuperseded, threat.RefusedExpired}; !slices.Equal(got, want) {
		t.Errorf("the journal has %v", got)
	}
	s.VerifyJournal()
}

// TestNobodyGetsInWithoutARight opens pages of others and a link that was used.
func TestNobodyGetsInWithoutARight(t *testing.T) {
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	one := NewCustomer(admin, "one", threat.ModeCollaborate, quick(10*time.Minute))
	two := NewCustomer(admin, "two", threat.ModeCollaborate, quick(10*time.Minute))
	one.Connect("feed", "List", nil)
	one.attackFrom("198.51.100.21")
	q := one.asked("198.51.100.21")
	page := s.NewPage(3 * time.Minute)
	if status := page.Open("/cases/" + q.Case); status != 200 && status != 401 {
		t.Errorf("a case without a session: %d", status)
	}
	page.Shows(pageTime, "main", "Sign in")
	link := two.Link(two.ContactID)
	page.SignIn(link)
	for _, path := range []string{"/cases/" + q.Case, "/requests/" + q.ID.String(), "/tenants/one"} {
		if status := page.Open(path); status != 404 {
			t.Errorf("another customer's %s is answered %d: %s", path, status, page.Text("main"))
		}
	}
	page.Open("/")
	page.Shows(pageTime, "#mine", "Nothing waits for your decision.")
	page.Click("#signout")
	if status := page.Open(link); status != 409 {
		t.Errorf("a link that was used is answered %d: %s", status, page.Text("main"))
	}
	page.Shows(pageTime, "main", "works once", "Ask for a new one")
	if _, complaint, code := two.Contact.Run("case", "show", q.Case); code != 4 {
		t.Errorf("another customer's case at the terminal ended with %d: %s", code, complaint)
	}
	if _, complaint, code := two.Contact.Run("approve", q.ID.String(), "--yes", "--digest", q.Digest); code != 4 {
		t.Errorf("another customer's request at the terminal ended with %d: %s", code, complaint)
	}
	_, err := s.Client(two.SensorToken).Post(t.Context(), "one", "crowdsec", alert("198.51.100.22"))
	if !threat.Is(err, threat.NotFound) {
		t.Errorf("a sensor posts to another customer: %v", err)
	}
	s.VerifyJournal()
}
