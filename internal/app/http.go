package app

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters/pagerduty"
	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/console"
	"github.com/firebreak/firebreak/internal/feed"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
	"github.com/firebreak/firebreak/policies"
)

// handler puts API, console and feed on one mux.
func (a *App) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	a.api = api.New(api.Deps{Access: a.access, Rights: a.decide, Door: a.door, Ingest: a.ingest, Store: a.store, Policy: a.policy,
		Registry: a.registry, Webhooks: webhooks{a},
		StopOf: func(ctx context.Context, org uuid.UUID) (bool, string, string, error) {
			s, err := a.store.StopOf(ctx, org)
			return s.On, s.Why, s.By, err
		},
		Involved:       a.barred,
		TestConnection: a.testConnection, Checks: a.checks,
		Version: wire.Version{Version: a.cfg.Version, Commit: a.cfg.Commit, Go: runtime.Version()}, Log: a.log, Metrics: a.metrics})
	a.api.Mount(mux)
	mux.Handle("/feeds/", feed.New(feed.Options{Authenticate: func(ctx context.Context, token string) (feed.Subscriber, error) {
		c, name, err := a.access.FeedSubscriber(ctx, token)
		return feed.Subscriber{Connection: c, Firewall: name}, err
	}, Lists: a.store, Screen: screen(a.store), Log: a.log}))
	d := console.Deps{Access: a.access, Rights: a.decide, Door: a.door, Store: a.store,
		StopOf: func(ctx context.Context, org uuid.UUID) (console.Stop, error) {
			s, err := a.store.StopOf(ctx, org)
			return console.Stop(s), err
		},
		Policy: rules{a.policy}, Involved: a.involved, Alarms: a.alarms, Version: a.cfg.Version,
		Secure: strings.HasPrefix(a.base, "https://"), Log: a.log}
	if a.lab != nil {
		d.Lab = labPages{a}
	}
	pages, err := console.New(d)
	if err != nil {
		return nil, err
	}
	mux.Handle("/feeds", pages) // the page about them; what is below are the lists
	mux.Handle("/", pages)
	return traced(mux), nil
}

// rules are the policy engine as the console shows it.
type rules struct{ *policies.Engine }

func (r rules) Active() console.PolicyStatus {
	s := r.Engine.Active()
	return console.PolicyStatus{Revision: s.Revision, Source: s.Source, LoadedAt: s.LoadedAt, Age: s.Age, Stale: s.Stale,
		Error: s.Error, ErrorAt: s.ErrorAt, Reloads: s.Reloads, Stuck: s.Stuck}
}

// checks asks each part whether it works.
func (a *App) checks(ctx context.Context) map[string]error {
	out := map[string]error{"database": a.store.Ping(ctx), "temporal": a.engine.Healthy(ctx), "policy": nil}
	if s := a.policy.Active(); s.Stale {
		out["policy"] = threat.Faultf(threat.Stale, "the rules in the directory cannot be taken; revision %.12s stays in force", s.Revision)
	}
	return out
}

// testConnection tries a connection without changing anything.
func (a *App) testConnection(ctx context.Context, connection uuid.UUID) error {
	p, err := a.devices.Open(ctx, connection)
	if err != nil {
		return err
	}
	switch {
	case p.Device != nil:
		return p.Device.Test(ctx)
	case p.Notifier != nil:
		return p.Notifier.Test(ctx)
	}
	return threat.Faultf(threat.Unsupported, "%s has no way to try a connection", p.Info.Title)
}

// plan gives the connections through which a verb reaches a target.
func (a *App) plan(ctx context.Context, tenant uuid.UUID, name string, target threat.Target) ([]uuid.UUID, string, error) {
	v, ok := verb.Find(name)
	if !ok {
		return nil, "", threat.Faultf(threat.Unsupported, "unknown verb %q", threat.Inert(name, 64))
	}
	target, err := verb.CanonicalTarget(v, target)
	if err != nil {
		return nil, "", err
	}
	list, err := a.store.Connections(ctx, tenant)
	if err != nil {
		return nil, "", err
	}
	ids, left := plan.Connections(name, target, list, func(adapter, verb string) bool {
		_, able := a.registry.Ability(adapter, verb)
		return able
	})
	return ids, plan.Told(left), nil
}

// involved reports whether a caller is a subject of a case.
func (a *App) involved(ctx context.Context, caller threat.Caller, caseID uuid.UUID) (bool, error) {
	if !caller.IsPerson() {
		return false, nil
	}
	p, err := a.store.Person(ctx, caller.PersonID.UUID)
	if err != nil {
		return false, err
	}
	return a.decide.Subject(ctx, caseID, p)
}

// barred is involved for everybody but the provider's own people, auditors and administrators, who work on every case.
func (a *App) barred(ctx context.Context, caller threat.Caller, tenant, caseID uuid.UUID) (bool, error) {
	line, err := a.store.Lineage(ctx, tenant)
	if err != nil {
		return false, err
	}
	for _, g := range caller.Grants {
		switch g.Role {
		case threat.Analyst, threat.ShiftLead, threat.Auditor, threat.Administrator:
			if slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == g.OrgID }) {
				return false, nil
			}
		}
	}
	return a.involved(ctx, caller, caseID)
}

// recentAlarms are how many entries of the provider's journal are looked through for pages, and how old one may be.
const (
	recentAlarms = 200
	alarmFor     = 24 * time.Hour
	maxAlarms    = 10
)

// alarms gives what the provider's people were called for within a day, the newest first.
func (a *App) alarms(ctx context.Context) []console.Alarm {
	heads, err := a.store.Heads(ctx, []uuid.UUID{a.root.ID})
	if err != nil {
		a.log.ErrorContext(ctx, "the provider's journal cannot be read", "error", err)
		return nil
	}
	entries, err := a.store.Entries(ctx, a.root.ID, max(0, heads[a.root.ID]-recentAlarms), recentAlarms)
	if err != nil {
		a.log.ErrorContext(ctx, "the provider's journal cannot be read", "error", err)
		return nil
	}
	var out []console.Alarm
	for i := len(entries) - 1; i >= 0 && len(out) < maxAlarms; i-- {
		e := entries[i]
		if e.Kind != threat.EntryPage || time.Since(e.At) > alarmFor {
			continue
		}
		var said struct {
			Page string `json:"page"`
		}
		if json.Unmarshal(e.Payload, &said) == nil && said.Page != "" {
			out = append(out, console.Alarm{At: e.At, What: said.Page})
		}
	}
	return out
}

// webhooks take what other programs send of themselves.
type webhooks struct{ a *App }

// PagerDuty takes an acknowledgement that was given there. It counts as the word of the person whom that incident called;
// what is repeated changes nothing.
func (w webhooks) PagerDuty(ctx context.Context, connection uuid.UUID, header http.Header, body []byte) error {
	p, err := w.a.devices.Open(ctx, connection)
	if err != nil {
		return err
	}
	pd, ok := p.Raw.(*pagerduty.PagerDuty)
	if !ok {
		return threat.Faultf(threat.NotFound, "no such connection")
	}
	event, err := pd.Webhook(header, body, time.Now())
	if err != nil {
		return err
	}
	if event.Type != pagerduty.EventAcknowledged || !event.Attempt.Valid || !event.Person {
		return nil // what a timer or another program acknowledged there, nobody has seen
	}
	at, err := w.a.store.Attempt(ctx, event.Attempt.UUID)
	switch {
	case threat.Is(err, threat.NotFound):
		return nil // an incident of somebody else's, or of another installation
	case err != nil:
		return err
	case at.ConnectionID != connection:
		return threat.Faultf(threat.Forbidden, "the incident was not raised over this connection")
	case at.AcknowledgedAt != nil:
		return nil
	}
	c, err := w.a.store.Case(ctx, at.CaseID)
	if err != nil {
		return err
	}
	if overtaken(event, c) {
		return nil
	}
	person, err := w.a.store.Person(ctx, at.PersonID)
	if err != nil {
		return err
	}
	_, err = w.a.door.Acknowledge(ctx, threat.Caller{PersonID: uuid.NullUUID{UUID: person.ID, Valid: true}, OrgID: person.OrgID,
		Name: person.Name, Surface: "pagerduty"}, at.CaseID, event.Attempt)
	if threat.Is(err, threat.Conflict) {
		return nil // the case is closed: PagerDuty need not repeat it
	}
	return err
}

// clockApart is how far PagerDuty's clock and ours may be apart.
const clockApart = time.Minute

// overtaken reports whether the attacker did something new after an acknowledgement was given there: it was broken before it
// came here, late or repeated.
func overtaken(event pagerduty.Webhook, c threat.Case) bool {
	return c.LastAdversaryAt != nil && c.LastAdversaryAt.After(event.At.Add(clockApart))
}

// labPages are the lab as the console shows it.
type labPages struct{ a *App }

func (l labPages) View(ctx context.Context) (console.LabView, error) {
	v, err := l.a.lab.View(ctx)
	if err != nil {
		return console.LabView{}, err
	}
	return labView(v), nil
}

func (l labPages) Play(ctx context.Context, scenario string) error {
	return l.a.lab.Play(ctx, scenario)
}

// SignIn signs a simulated person in, and nobody else.
func (l labPages) SignIn(ctx context.Context, person uuid.UUID, address, agent string) (string, time.Time, error) {
	p, err := l.a.lab.Person(person)
	if err != nil || !p.Simulated {
		return "", time.Time{}, threat.Faultf(threat.Forbidden, "only simulated people are signed in without a link")
	}
	link, err := l.a.access.SignInLink(ctx, p.ID, time.Minute)
	if err != nil {
		return "", time.Time{}, err
	}
	ses, cookie, err := l.a.access.FollowLink(ctx, link[strings.LastIndexByte(link, '/')+1:], address, agent)
	return cookie, ses.ExpiresAt, err
}

// openLab makes the simulated network.
func (a *App) openLab(context.Context) (err error) {
	if !a.cfg.Lab {
		return nil
	}
	a.lab, err = lab.New(lab.Options{BaseURL: "http://" + a.listener.Addr().String(),
		Setup: lab.StoreSetup{Store: a.store, Tokens: a.access}, Log: a.log})
	return err
}
