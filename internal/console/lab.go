package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Lab is the simulated network. Its people are the only ones who can be signed in as without a link.
type Lab interface {
	View(ctx context.Context) (LabView, error)
	// Play starts a scenario. NotFound for one that there is not, Conflict while it runs.
	Play(ctx context.Context, scenario string) error
	// SignIn makes a session of a simulated person. Forbidden for any other.
	SignIn(ctx context.Context, person uuid.UUID, address, agent string) (cookie string, expires time.Time, err error)
}

// LabView is what the lab shows of itself.
type LabView struct {
	TenantID  uuid.UUID
	Slug      string
	Hosts     []LabHost
	Firewall  LabFirewall
	Scenarios []LabScenario
	People    []LabPerson
	FeedURL   string // a curl line that fetches the list as the firewall does
}

// LabHost is one machine of the simulated network.
type LabHost struct {
	Name, Address, Role string
	Managed             bool
	State               string // in words: what it does right now
}

// LabFirewall is the simulated firewall: what it enforces, and the fetch that it learnt it by.
type LabFirewall struct {
	Enforced  []string
	LastFetch time.Time // zero before the first
	Revision  int64
}

// LabScenario is a story that can be played.
type LabScenario struct {
	ID, Title, Text string
	Running         bool
	Steps           []LabStep // of the last play
}

// LabStep is one thing that happened in a scenario.
type LabStep struct {
	At   time.Time
	Text string
}

// LabPerson is a simulated person.
type LabPerson struct {
	ID         uuid.UUID
	Name, Role string
}

type labPage struct {
	frame
	Slug      string
	Hosts     []LabHost
	Enforced  []string
	LastFetch *moment
	Revision  int64
	Scenarios []labScenario
	People    []labPerson
	FeedURL   string
	Me        string
}

type labScenario struct {
	ID, Title, Text string
	Running         bool
	Steps           []labStep
}

type labStep struct {
	At   moment
	Text string
}

type labPerson struct {
	ID, Name, Role string
	Me             bool
}

func showLab(k *call) error {
	v, err := k.deps.Lab.View(k.ctx())
	if err != nil {
		return err
	}
	p := &labPage{frame: k.frame("Lab", "/lab"), Slug: v.Slug, Revision: v.Firewall.Revision,
		FeedURL: threat.Inert(v.FeedURL, 2000)}
	p.live("")
	p.Simulated = true
	if t := v.Firewall.LastFetch; !t.IsZero() {
		p.LastFetch = p.when(&t)
	}
	for _, e := range v.Firewall.Enforced {
		p.Enforced = append(p.Enforced, threat.Inert(e, maxName))
	}
	for _, h := range v.Hosts {
		p.Hosts = append(p.Hosts, LabHost{Name: threat.Inert(h.Name, maxName), Address: threat.Inert(h.Address, maxName),
			Role: strings.ReplaceAll(threat.Inert(h.Role, 40), "_", " "), Managed: h.Managed, State: threat.Inert(h.State, maxText)})
	}
	for _, s := range v.Scenarios {
		row := labScenario{ID: s.ID, Title: threat.Inert(s.Title, maxName), Text: threat.Inert(s.Text, maxText),
			Running: s.Running}
		for _, st := range s.Steps {
			row.Steps = append(row.Steps, labStep{p.When(st.At), threat.Inert(st.Text, maxText)})
		}
		p.Scenarios = append(p.Scenarios, row)
	}
	for _, x := range v.People {
		p.People = append(p.People, labPerson{ID: x.ID.String(), Name: threat.Inert(x.Name, maxName),
			Role: threat.Inert(x.Role, maxName),
			Me:   k.known && k.caller.PersonID.Valid && k.caller.PersonID.UUID == x.ID})
	}
	return k.render(http.StatusOK, "lab", p)
}

func playScenario(k *call) error {
	if err := k.deps.Lab.Play(k.ctx(), k.r.PathValue("scenario")); err != nil {
		return err
	}
	return k.say("/lab", said{Tone: toneGood, Title: "The scenario runs",
		Text: "Watch its steps here, and the queue for what it comes to."})
}

func signInAs(k *call) error {
	id, err := k.pathID("person", "person in the lab")
	if err != nil {
		return err
	}
	secret, expires, err := k.deps.Lab.SignIn(k.ctx(), id, k.remote(), threat.Inert(k.r.UserAgent(), 200))
	if err != nil {
		return err
	}
	k.deps.Access.SetCookie(k.w, secret, threat.Session{PersonID: id, ExpiresAt: expires})
	return k.redirect("/")
}
