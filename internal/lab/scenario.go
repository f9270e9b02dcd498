package lab

import (
	"time"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Scenario is one story that can be played, on a simulated customer of its own.
type Scenario struct {
	ID, Title, Text string
	Mode            threat.Mode
	Consent         string // the words that the simulated contact agrees to
	slug, customer  string
	people          []personPlan
	wait            time.Duration // an escalation's step
	rounds          int
	hint            string // what the viewer can do, once the device has its orders
}

type personPlan struct{ name, email string }

// IDs of the scenarios.
const (
	NightC2     = "night-c2"
	Authorize   = "authorize"
	Unreachable = "unreachable"
)

var scenarios = []Scenario{
	{ID: NightC2, Title: "Orders at night", Mode: threat.ModeCollaborate, slug: "lab-night", customer: "Lab Night Shift Ltd (simulated)",
		Text: "An unmanaged recorder takes orders from a controller and scans its neighbours. The customer's mode is collaborate: " +
			"the case asks. Sign in as the simulated contact and approve; the firewall fetches the block, and the scan stops for want of orders.",
		Consent: "Ask me before you act on our network. (A simulated consent.)",
		people:  []personPlan{{"Nina Night (simulated)", "nina.night@lab-night.example"}, {"Paul Porter (simulated)", "paul.porter@lab-night.example"}},
		wait:    30 * time.Second, rounds: 2,
		hint: "The customer's mode is collaborate: open the queue, sign in as Nina Night (simulated), and approve."},
	{ID: Authorize, Title: "Act at once", Mode: threat.ModeAuthorize, slug: "lab-authorize", customer: "Lab Trusting Works Ltd (simulated)",
		Text:    "The same attack on a customer whose mode is authorize: Firebreak contains it at once and tells the contacts afterwards.",
		Consent: "Contain what threatens us at once, and tell me then. (A simulated consent.)",
		people:  []personPlan{{"Anton Auer (simulated)", "anton.auer@lab-authorize.example"}},
		wait:    30 * time.Second, rounds: 1,
		hint: "The customer's mode is authorize: Firebreak acts by itself. Watch the firewall."},
	{ID: Unreachable, Title: "Nobody answers", Mode: threat.ModeCollaborateUnreachable, slug: "lab-unreachable",
		customer: "Lab Sound Sleepers Ltd (simulated)",
		Text: "The same attack on a customer whose contacts are asleep. Each is paged by a simulated pager that nobody answers; when all " +
			"were tried to the end and the threat is still active, Firebreak acts as the customer agreed for that case.",
		Consent: "Ask us first. If none of us can be reached and the threat is active, contain it. (A simulated consent.)",
		people: []personPlan{{"Ursula Unna (simulated)", "ursula.unna@lab-unreachable.example"},
			{"Bert Bett (simulated)", "bert.bett@lab-unreachable.example"}},
		wait: 3 * time.Second, rounds: 1,
		hint: "The contacts are paged in turn, and nobody answers. Firebreak acts when all were tried. You could answer for one of them."},
}

// plan is what a scenario needs of Firebreak.
func (s Scenario) plan(p Pace) TenantPlan {
	within := func(d time.Duration) *tenant.Seconds { return tenant.In(d) }
	end := threat.EndReleaseWhenContained
	plan := TenantPlan{Slug: s.slug, Name: s.customer, PollSeconds: int(max(time.Second, p.Poll.Round(time.Second)) / time.Second),
		Settings: tenant.Settings{BlockFor: within(time.Minute), BlockMax: within(10 * time.Minute), BlockEnd: &end,
			RequestOpen: within(10 * time.Minute), StepWait: within(s.wait), Rounds: &s.rounds, AckFor: within(5 * time.Minute),
			Reverify: within(5 * time.Second), Settle: within(time.Second), Call: within(5 * time.Second), Lease: within(15 * time.Second),
			DedupWithin: within(20 * time.Second), CorrelateWithin: within(10 * time.Minute), QuietClose: within(5 * time.Minute)}}
	for _, x := range s.people {
		plan.People = append(plan.People, threat.Person{Name: x.name, Email: x.email, Language: "en", Zone: "UTC", Simulated: true})
	}
	for _, h := range hosts {
		plan.Assets = append(plan.Assets, threat.Asset{Kind: h.Kind, Name: h.Name, Addresses: []string{h.Address}, Managed: h.Managed,
			Role: h.Role, Evidence: "told by the lab", Protected: h.Guarded, Tags: []string{"simulated"}})
	}
	return plan
}
