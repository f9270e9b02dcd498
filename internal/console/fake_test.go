package console

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// now is the moment of every test: ten past three at night.
var now = time.Date(2026, 3, 14, 3, 10, 0, 0, time.UTC)

func ago(d time.Duration) time.Time     { return now.Add(-d) }
func agoP(d time.Duration) *time.Time   { t := now.Add(-d); return &t }
func laterP(d time.Duration) *time.Time { t := now.Add(d); return &t }

// id is a readable id.
func id(kind byte, n byte) uuid.UUID {
	u := uuid.UUID{0x01, 0x95, 0x90, kind, 0, n, 0x70, 0, 0x80, 0, 0, 0, 0, 0, kind, n}
	return u
}

// Who and what the tests' world is made of.
var (
	rootID, northID, eastID                            = id(1, 1), id(1, 2), id(1, 3)
	analystID, contactID, secondID, auditorID, adminID = id(2, 1), id(2, 2), id(2, 3), id(2, 4), id(2, 5)
	feedID, nftID, mailID                              = id(3, 1), id(3, 2), id(3, 3)
	caseID, quietCaseID, eastCaseID                    = id(4, 1), id(4, 2), id(4, 3)
	heldID, askedID, failedID, eastRespID              = id(5, 1), id(5, 2), id(5, 3), id(5, 4)
	requestID1, endRequestID, eastRequestID            = id(6, 1), id(6, 2), id(6, 3)
	printerID, dcID                                    = id(7, 1), id(7, 2)
	escalationID, detectionID                          = id(8, 1), id(9, 1)
	digest                                             = "9f2c4a7be0d1c3558a6f0b1e2d3c4b5a69788796a5b4c3d2e1f00112233445566"
)

func valid(u uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: u, Valid: true} }

// world is a store, an access, a door, a policy and a lab in memory.
type world struct {
	mu          sync.Mutex
	orgs        []threat.Organisation
	people      map[uuid.UUID]threat.Person
	grants      map[uuid.UUID][]threat.Grant
	cases       map[uuid.UUID]threat.Case
	timeline    map[uuid.UUID][]threat.TimelineRow
	detections  map[uuid.UUID][]threat.Detection
	decisions   map[uuid.UUID][]threat.Decision
	escalations map[uuid.UUID][]threat.Escalation
	attempts    map[uuid.UUID][]threat.Attempt
	responses   map[uuid.UUID]threat.Response
	requests    map[uuid.UUID]threat.Request
	claims      map[uuid.UUID][]threat.Claim
	states      map[uuid.UUID]threat.TenantState
	consents    map[uuid.UUID][]threat.Consent
	contacts    map[uuid.UUID][]threat.ContactEntry
	assets      map[uuid.UUID][]threat.Asset
	links       map[uuid.UUID][]threat.Connection
	stops       map[uuid.UUID]Stop
	entries     map[uuid.UUID][]threat.Entry
	feed        map[string][]threat.FeedEntry
	fetches     map[string][]threat.FeedFetch
	lists       []threat.FeedList
	policy      PolicyStatus
	labels      map[threat.Question][]threat.RuleLabel
	alarms      []Alarm
	secrets     map[string]threat.Link
	lab         LabView
	subjects    map[uuid.UUID]uuid.UUID // person to case

	// What the handlers did.
	notes    []string
	clicks   []threat.Click
	answer   threat.ClickAnswer
	acked    []uuid.UUID
	released []string
	played   []string
	denied   []string
	fault    error // of the door
	ended    []uuid.UUID
}

// as is the cookie of a person in the tests.
func as(person uuid.UUID) *http.Cookie {
	return &http.Cookie{Name: "firebreak_session", Value: person.String()}
}

func newWorld() *world {
	w := &world{people: map[uuid.UUID]threat.Person{}, grants: map[uuid.UUID][]threat.Grant{},
		cases:    map[uuid.UUID]threat.Case{},
		timeline: map[uuid.UUID][]threat.TimelineRow{}, detections: map[uuid.UUID][]threat.Detection{},
		decisions: map[uuid.UUID][]threat.Decision{}, escalations: map[uuid.UUID][]threat.Escalation{},
		attempts: map[uuid.UUID][]threat.Attempt{}, responses: map[uuid.UUID]threat.Response{},
		requests: map[uuid.UUID]threat.Request{},
		claims:   map[uuid.UUID][]threat.Claim{}, states: map[uuid.UUID]threat.TenantState{},
		consents: map[uuid.UUID][]threat.Consent{},
		contacts: map[uuid.UUID][]threat.ContactEntry{}, assets: map[uuid.UUID][]threat.Asset{},
		links: map[uuid.UUID][]threat.Connection{}, stops: map[uuid.UUID]Stop{}, entries: map[uuid.UUID][]threat.Entry{},
		feed: map[string][]threat.FeedEntry{}, fetches: map[string][]threat.FeedFetch{}, secrets: map[string]threat.Link{},
		subjects: map[uuid.UUID]uuid.UUID{}}
	w.addPeople()
	w.addTenants()
	w.addCases()
	w.addDetections()
	w.addResponses()
	w.addRequests()
	w.addRest()
	return w
}

// console makes the pages over a world.
func (w *world) console(t testing.TB) *Console {
	t.Helper()
	c, err := New(w.deps())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) deps() Deps {
	return Deps{Access: w, Rights: rights{w}, Door: w, Store: w,
		StopOf: func(_ context.Context, org uuid.UUID) (Stop, error) { return w.stops[org], nil },
		Policy: w, Lab: fakeLab{w},
		Involved: func(_ context.Context, c threat.Caller, caseID uuid.UUID) (bool, error) {
			return w.subjects[c.PersonID.UUID] == caseID, nil
		},
		Alarms: func(context.Context) []Alarm { return w.alarms }, Now: func() time.Time { return now }, Version: "0.1.0-test",
		Log: slog.New(slog.DiscardHandler)}
}

func none(noun string) error { return threat.Faultf(threat.NotFound, "no such %s", noun) }

func find[K comparable, V any](m map[K]V, k K, noun string) (V, error) {
	v, ok := m[k]
	if !ok {
		return v, none(noun)
	}
	return v, nil
}

func (w *world) Authenticate(r *http.Request, surface string) (threat.Caller, error) {
	if r.Header.Get("Authorization") != "" {
		return threat.Caller{TokenID: valid(id(13, 1)), OrgID: rootID, Surface: surface}, nil
	}
	c, err := r.Cookie("firebreak_session")
	if err != nil {
		return threat.Caller{}, threat.Faultf(threat.Unauthenticated, "nobody is signed in")
	}
	return w.callerOf(c.Value, surface)
}

func (w *world) callerOf(person, surface string) (threat.Caller, error) {
	p, ok := w.people[uuid.MustParse(person)]
	if !ok {
		return threat.Caller{}, threat.Faultf(threat.Unauthenticated, "nobody is signed in")
	}
	return threat.Caller{PersonID: valid(p.ID), SessionID: valid(id(14, 1)), OrgID: p.OrgID, Name: p.Name,
		Grants: w.grants[p.ID], Surface: surface}, nil
}

func (w *world) sees(c threat.Caller, org uuid.UUID) bool {
	line, _ := w.Lineage(context.Background(), org)
	for _, g := range c.Grants {
		if slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == g.OrgID }) {
			return true
		}
	}
	return false
}

// fakeMay is a little of policies/access.
var fakeMay = map[threat.Role][]string{
	threat.Analyst: {"case.read", "detection.read", "request.read", "tenant.read", "organisation.read",
		"connection.read", "policy.read", "feed.read", "case.write", "request.decide", "action.release", "tenant.stop"},
	threat.Contact: {"case.read", "detection.read", "request.read", "tenant.read", "organisation.read",
		"connection.read", "policy.read", "case.write", "request.decide", "action.release", "tenant.stop", "tenant.mode"},
	threat.Auditor: {"case.read", "detection.read", "request.read", "tenant.read", "organisation.read",
		"connection.read", "policy.read", "feed.read", "journal.read"},
	threat.Administrator: {"case.read", "detection.read", "request.read", "tenant.read", "organisation.read",
		"connection.read", "policy.read", "feed.read", "journal.read", "tenant.write", "tenant.stop", "action.release"},
}

type rights struct{ w *world }

func (r rights) Access(_ context.Context, c threat.Caller, action string, org uuid.UUID) (bool, string, error) {
	line, _ := r.w.Lineage(context.Background(), org)
	for _, g := range c.Grants {
		at := slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == g.OrgID })
		if at && slices.Contains(fakeMay[g.Role], action) {
			return true, "", nil
		}
	}
	return false, "no right", nil
}

func (w *world) Allow(ctx context.Context, c threat.Caller, action string, org uuid.UUID) error {
	if ok, _, _ := (rights{w}).Access(ctx, c, action, org); ok {
		return nil
	}
	if !w.sees(c, org) {
		return none("organisation")
	}
	w.denied = append(w.denied, action)
	return threat.Faultf(threat.Forbidden, "not allowed: none of the caller's roles has this right here")
}

func (w *world) CheckOrigin(r *http.Request) error {
	if http.NewCrossOriginProtection().Check(r) != nil {
		return threat.Faultf(threat.Forbidden, "the request comes from another site's page")
	}
	return nil
}

func (w *world) Visible(_ context.Context, c threat.Caller) ([]threat.Organisation, error) {
	var out []threat.Organisation
	for _, o := range w.orgs {
		if w.sees(c, o.ID) {
			out = append(out, o)
		}
	}
	return out, nil
}

func (w *world) Resolve(ctx context.Context, c threat.Caller, name, action string) (threat.Organisation, error) {
	for _, o := range w.orgs {
		if o.Slug == name || o.ID.String() == name {
			return o, w.Allow(ctx, c, action, o.ID)
		}
	}
	return threat.Organisation{}, none("organisation")
}

func (w *world) PeekLink(_ context.Context, secret string) (threat.Link, error) {
	l, err := find(w.secrets, secret, "link")
	if err == nil && l.UsedAt != nil {
		return l, threat.Faultf(threat.Conflict, "this link was used, and works once")
	}
	return l, err
}

func (w *world) NotForwarded(l threat.Link, c threat.Caller) error {
	if c.PersonID.Valid && c.PersonID.UUID != l.PersonID {
		return threat.Faultf(threat.Forbidden, "this link was sent to somebody else")
	}
	return nil
}

func (w *world) use(secret string) threat.Link {
	l := w.secrets[secret]
	l.UsedAt = &now
	w.secrets[secret] = l
	return l
}

func (w *world) FollowLink(_ context.Context, secret, _, _ string) (threat.Session, string, error) {
	l := w.use(secret)
	return threat.Session{PersonID: l.PersonID, ExpiresAt: now.Add(12 * time.Hour)}, l.PersonID.String(), nil
}

func (w *world) FollowAck(_ context.Context, secret string) (threat.Caller, threat.Link, error) {
	l := w.use(secret)
	c, err := w.callerOf(l.PersonID.String(), "mail")
	return c, l, err
}

func (w *world) SetCookie(rw http.ResponseWriter, secret string, _ threat.Session) {
	http.SetCookie(rw, &http.Cookie{Name: "firebreak_session", Value: secret, Path: "/", HttpOnly: true})
}

func (w *world) ClearCookie(rw http.ResponseWriter) {
	http.SetCookie(rw, &http.Cookie{Name: "firebreak_session", Path: "/", MaxAge: -1})
}

func (w *world) SignOut(_ context.Context, session uuid.UUID) error {
	w.ended = append(w.ended, session)
	return nil
}

func (w *world) Decide(_ context.Context, c threat.Click) (threat.ClickAnswer, error) {
	w.clicks = append(w.clicks, c)
	return w.answer, w.fault
}

func (w *world) Acknowledge(_ context.Context, c threat.Caller, id uuid.UUID, _ uuid.NullUUID) (threat.Case, error) {
	if w.fault != nil {
		return threat.Case{}, w.fault
	}
	w.acked = append(w.acked, c.PersonID.UUID)
	return w.cases[id], nil
}

func (w *world) Release(_ context.Context, _ threat.Caller, id uuid.UUID, why string) (threat.Response, error) {
	w.released = append(w.released, why)
	return w.responses[id], w.fault
}

func (w *world) Root(context.Context) (threat.Organisation, error) { return w.orgs[0], nil }

func (w *world) Lineage(_ context.Context, org uuid.UUID) ([]threat.Organisation, error) {
	var out []threat.Organisation
	for _, o := range w.orgs {
		if o.ID == org || o.ID == rootID {
			out = append(out, o)
		}
	}
	return out, nil
}

func (w *world) Person(_ context.Context, id uuid.UUID) (threat.Person, error) {
	return find(w.people, id, "person")
}
func (w *world) Case(_ context.Context, id uuid.UUID) (threat.Case, error) {
	return find(w.cases, id, "case")
}

func (w *world) CaseByNumber(_ context.Context, n int64) (threat.Case, error) {
	for _, c := range w.cases {
		if c.Number == n {
			return c, nil
		}
	}
	return threat.Case{}, none("case")
}

func (w *world) Cases(_ context.Context, q threat.CaseQuery) ([]threat.Case, error) {
	var out []threat.Case
	for _, c := range w.cases {
		if slices.Contains(q.Tenants, c.TenantID) && (q.Open == nil || *q.Open == c.Open()) &&
			(q.Before == 0 || c.Number < q.Before) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b threat.Case) int { return int(b.Number - a.Number) })
	return out[:min(len(out), max(q.Limit, 1))], nil
}

func (w *world) Timeline(_ context.Context, id uuid.UUID) ([]threat.TimelineRow, error) {
	return w.timeline[id], nil
}

func (w *world) DetectionsOfCase(_ context.Context, id uuid.UUID, after int64, limit int) ([]threat.Detection, error) {
	var out []threat.Detection
	for _, d := range w.detections[id] {
		if d.Seq > after && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, nil
}

func (w *world) DecisionsOfCase(_ context.Context, id uuid.UUID) ([]threat.Decision, error) {
	return w.decisions[id], nil
}
func (w *world) Escalations(_ context.Context, id uuid.UUID) ([]threat.Escalation, error) {
	return w.escalations[id], nil
}
func (w *world) Attempts(_ context.Context, id uuid.UUID) ([]threat.Attempt, error) {
	return w.attempts[id], nil
}

func (w *world) Note(_ context.Context, _ uuid.UUID, text, _ string) error {
	w.notes = append(w.notes, text)
	return nil
}

func (w *world) CloseCase(_ context.Context, id uuid.UUID, reason, by string) (threat.Case, error) {
	c := w.cases[id]
	c.ClosedAt, c.CloseReason, c.ClosedBy = &now, reason, by
	w.cases[id] = c
	return c, nil
}

func (w *world) Response(_ context.Context, id uuid.UUID) (threat.Response, error) {
	return find(w.responses, id, "response")
}

func (w *world) Responses(_ context.Context, id uuid.UUID) ([]threat.Response, error) {
	var out []threat.Response
	for _, r := range w.responses {
		if r.CaseID == id {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b threat.Response) int { return int(a.Number - b.Number) })
	return out, nil
}

func (w *world) ResponsesOf(_ context.Context, tenants []uuid.UUID, open bool, _ int) ([]threat.Response, error) {
	var out []threat.Response
	for _, r := range w.responses {
		if slices.Contains(tenants, r.TenantID) && (!open || r.EndedAt == nil) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b threat.Response) int { return int(a.Number - b.Number) })
	return out, nil
}

func (w *world) Request(_ context.Context, id uuid.UUID) (threat.Request, error) {
	return find(w.requests, id, "request")
}

func (w *world) OpenRequests(_ context.Context, tenants []uuid.UUID, _ int) ([]threat.Request, error) {
	var out []threat.Request
	for _, r := range w.requests {
		if slices.Contains(tenants, r.TenantID) && r.State == threat.RequestOpen {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b threat.Request) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return out, nil
}

func (w *world) InFlight(_ context.Context, tenant uuid.UUID) ([]threat.Claim, error) {
	return w.claims[tenant], nil
}

func (w *world) TenantState(_ context.Context, tenant uuid.UUID) (threat.TenantState, error) {
	s, err := find(w.states, tenant, "tenant")
	s.Stopped = w.stops[tenant].On || w.stops[rootID].On
	return s, err
}

func (w *world) Consents(_ context.Context, tenant uuid.UUID) ([]threat.Consent, error) {
	return w.consents[tenant], nil
}

func (w *world) EffectiveSettings(context.Context, uuid.UUID) (tenant.Settings, error) {
	return tenant.Effective(tenant.Settings{NeverBlock: []string{"192.0.2.0/24"}}), nil
}
func (w *world) Contacts(_ context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error) {
	return w.contacts[tenant], nil
}
func (w *world) Assets(_ context.Context, tenant uuid.UUID) ([]threat.Asset, error) {
	return w.assets[tenant], nil
}

func (w *world) AssetsTouched(_ context.Context, tenant uuid.UUID, t threat.Target) ([]threat.Asset, error) {
	if t.Value == "203.0.113.77" {
		return w.assets[tenant][:min(1, len(w.assets[tenant]))], nil
	}
	return nil, nil
}

func (w *world) Connections(_ context.Context, tenant uuid.UUID) ([]threat.Connection, error) {
	return w.links[tenant], nil
}

func (w *world) SetMode(_ context.Context, _ string, c threat.Consent) (threat.TenantState, error) {
	w.consents[c.TenantID] = append(w.consents[c.TenantID], c)
	s := w.states[c.TenantID]
	s.Mode, s.Eradicate, s.ModeVersion = c.Mode, c.Eradicate, s.ModeVersion+1
	w.states[c.TenantID] = s
	return s, nil
}

func (w *world) SetStop(_ context.Context, org uuid.UUID, on bool, why, by string) ([]threat.Claim, error) {
	w.stops[org] = Stop{On: on, Why: why, By: by}
	return w.claims[org], nil
}

func (w *world) PutAsset(_ context.Context, _ string, a threat.Asset) (threat.Asset, error) {
	for i, x := range w.assets[a.TenantID] {
		if x.ID == a.ID {
			w.assets[a.TenantID][i] = a
		}
	}
	return a, nil
}

func (w *world) FeedLists(_ context.Context, c uuid.UUID) ([]threat.FeedList, error) {
	return w.lists, nil
}

func (w *world) FeedEntries(_ context.Context, _ uuid.UUID, list string, _ time.Time) ([]threat.FeedEntry, int64,
	time.Time, error) {
	revision := int64(0)
	for _, e := range w.feed[list] {
		revision = max(revision, e.Revision)
	}
	return w.feed[list], revision, now, nil
}

func (w *world) Fetches(_ context.Context, _ uuid.UUID, list string) ([]threat.FeedFetch, error) {
	return w.fetches[list], nil
}

func (w *world) Entries(_ context.Context, org uuid.UUID, after int64, limit int) ([]threat.Entry, error) {
	all := w.entries[org]
	from := min(int(after), len(all))
	return all[from:min(from+limit, len(all))], nil
}

func (w *world) Heads(_ context.Context, orgs []uuid.UUID) (map[uuid.UUID]int64, error) {
	out := map[uuid.UUID]int64{}
	for _, o := range orgs {
		out[o] = int64(len(w.entries[o]))
	}
	return out, nil
}

func (w *world) Active() PolicyStatus                           { return w.policy }
func (w *world) Labels() map[threat.Question][]threat.RuleLabel { return maps.Clone(w.labels) }

type fakeLab struct{ w *world }

func (l fakeLab) View(context.Context) (LabView, error) { return l.w.lab, nil }
func (l fakeLab) Play(_ context.Context, scenario string) error {
	l.w.played = append(l.w.played, scenario)
	return nil
}

func (l fakeLab) SignIn(_ context.Context, person uuid.UUID, _, _ string) (string, time.Time, error) {
	if !l.w.people[person].Simulated {
		return "", time.Time{}, threat.Faultf(threat.Forbidden, "only people of the lab can be signed in as")
	}
	return person.String(), now.Add(time.Hour), nil
}
