package approval_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/approval"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

var engine = sync.OnceValues(func() (*policies.Engine, error) {
	return policies.New(context.Background(), policies.Options{Timeout: 10 * time.Second})
})

// asker is the real policy over the real store. Before is called once ahead of an answer, as when something moves meanwhile.
type asker struct {
	*decide.Service
	before func()
}

func (a *asker) Approve(ctx context.Context, req threat.Request, caller threat.Caller, v threat.VerdictKind) (threat.ApproveFact, error) {
	f, err := a.Service.Approve(ctx, req, caller, v)
	if a.before != nil {
		a.before()
	}
	return f, err
}

// house is a real store under the real rules, with one tenant, its contacts and a case.
type house struct {
	*testing.T
	ctx      context.Context
	clock    *storetest.Clock
	store    *store.Store
	ask      *asker
	door     *approval.Door
	tenant   threat.Organisation
	edge     []threat.Connection
	ada, ben threat.Person // contacts
	c        threat.Case
}

func newHouse(t *testing.T, observables ...threat.Observable) *house {
	t.Helper()
	h := &house{T: t, ctx: t.Context(), clock: storetest.NewClock()}
	h.store = storetest.Open(t, storetest.WithClock(h.clock))
	h.tenant = storetest.Tenant(t, h.store)
	h.ada = storetest.Contact(t, h.store, h.tenant)
	h.ben = storetest.Person(t, h.store, h.tenant, "ben@customer.example", threat.Contact)
	require.NoError(t, h.store.SetContacts(h.ctx, h.tenant.ID, []threat.ContactEntry{
		{PersonID: h.ada.ID, Position: 1, Authorise: []string{"*"}, ChangeMode: true},
		{PersonID: h.ben.ID, Position: 2, Authorise: []string{"block_ip"}}}, threat.SystemActor))
	storetest.SetMode(t, h.store, h.tenant, threat.ModeCollaborate)
	h.edge = []threat.Connection{storetest.Connection(t, h.store, h.tenant, "nftables"), storetest.Connection(t, h.store, h.tenant, "nftables")}
	e, err := engine()
	require.NoError(t, err)
	h.ask = &asker{Service: decide.New(decide.Deps{Store: h.store, Policies: e, Now: h.clock.Now})}
	h.door = approval.New(approval.Deps{Store: h.store, Decide: h.ask, Now: h.clock.Now,
		Plan: func(context.Context, uuid.UUID, string, threat.Target) ([]uuid.UUID, string, error) {
			return h.ids(), "", nil
		}})
	ds, err := h.store.AcceptDetections(h.ctx, []threat.Detection{{TenantID: h.tenant.ID, Product: "ocsf", Sensor: "test", UID: uuid.NewString(),
		Title: "Beaconing", Severity: threat.SeverityHigh, Techniques: []string{"T1071"}, Raw: []byte(`{}`), OCSF: json.RawMessage(`{}`), At: h.clock.Now(),
		DedupKey: uuid.NewString(), Observables: append(observables, threat.Observable{Kind: threat.ObservableIP, Value: "203.0.113.9", Bearing: threat.BearingAdversary})}})
	require.NoError(t, err)
	got, err := h.store.Assign(h.ctx, threat.Triage{DetectionID: ds[0].ID, Title: "Beaconing", Severity: threat.SeverityHigh, Threat: threat.ThreatActive})
	require.NoError(t, err)
	h.c, err = h.store.Case(h.ctx, got.CaseID.UUID)
	require.NoError(t, err)
	return h
}

func (h *house) ids() []uuid.UUID {
	ids := []uuid.UUID{h.edge[0].ID, h.edge[1].ID}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

func (h *house) caller(p threat.Person) threat.Caller {
	grants, err := h.store.Grants(h.ctx, p.ID)
	require.NoError(h, err)
	return threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, OrgID: p.OrgID, Name: p.Name, Grants: grants, Surface: "console"}
}

// asked has an action proposed and decided, so that a request is open.
func (h *house) asked(by threat.Caller) threat.Request {
	h.Helper()
	r, err := h.door.Propose(h.ctx, by, approval.Proposal{CaseID: h.c.ID, Verb: "block_ip", Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}})
	require.NoError(h, err)
	return h.decided(r.ID)
}

func (h *house) decided(response uuid.UUID) threat.Request {
	h.Helper()
	r, err := h.store.Response(h.ctx, response)
	require.NoError(h, err)
	d, err := h.ask.Respond(h.ctx, r)
	require.NoError(h, err)
	require.Equal(h, threat.Ask, d.Effect, "%+v", d)
	r, err = h.store.ApplyDecision(h.ctx, r.ID, r.Version, d)
	require.NoError(h, err)
	q, err := h.store.Request(h.ctx, r.RequestID.UUID)
	require.NoError(h, err)
	return q
}

func (h *house) click(q threat.Request, p threat.Person, v threat.VerdictKind, edit ...func(*threat.Click)) threat.ClickAnswer {
	h.Helper()
	c := threat.Click{RequestID: q.ID, Caller: h.caller(p), Verdict: v, Digest: q.Digest}
	for _, e := range edit {
		e(&c)
	}
	a, err := h.door.Decide(h.ctx, c)
	require.NoError(h, err)
	return a
}

func (h *house) system() threat.Caller {
	return h.caller(storetest.Person(h.T, h.store, h.tenant, uuid.NewString()[:8]+"@customer.example", threat.PartnerRole))
}

// clicks gives what the journal holds of clicks, as kind and refusal.
func (h *house) clicks() []string {
	h.Helper()
	entries, err := h.store.Entries(h.ctx, h.tenant.ID, 0, 0)
	require.NoError(h, err)
	var out []string
	for _, e := range entries {
		if e.Kind == threat.EntryClickAccepted || e.Kind == threat.EntryClickRefused {
			var body struct {
				Refusal string `json:"refusal"`
			}
			require.NoError(h, json.Unmarshal(e.Payload, &body))
			out = append(out, strings.TrimSpace(string(e.Kind)+" "+body.Refusal))
		}
	}
	return out
}

// TestOneRequestThroughTheDoor takes one request past everybody who may not decide it, to the one who does, and past those
// who come late.
func TestOneRequestThroughTheDoor(t *testing.T) {
	h := newHouse(t)
	other := storetest.Contact(t, h.store, storetest.Tenant(t, h.store))
	analyst := storetest.Person(t, h.store, storetest.Provider(t, h.store), "sam@provider.example", threat.ShiftLead)
	q := h.asked(h.system())

	require.Equal(t, threat.RefusedChanged, h.click(q, h.ada, threat.VerdictApprove, func(c *threat.Click) { c.Digest = strings.Repeat("0", 64) }).Refusal)
	require.Equal(t, threat.RefusedWrongPerson, h.click(q, other, threat.VerdictApprove).Refusal)
	a := h.click(q, analyst, threat.VerdictApprove)
	require.Equal(t, threat.RefusedWrongPerson, a.Refusal)
	require.True(t, strings.HasPrefix(a.Text, "This is not yours to decide:"), a.Text)
	require.Equal(t, threat.RefusedNotAPerson, h.click(q, h.ada, threat.VerdictApprove, func(c *threat.Click) {
		c.Caller.PersonID, c.Caller.TokenID = uuid.NullUUID{}, uuid.NullUUID{UUID: uuid.New(), Valid: true}
	}).Refusal)
	require.True(t, h.click(q, h.ben, threat.VerdictMore).Accepted)
	a = h.click(q, h.ada, threat.VerdictApprove)
	require.True(t, a.Accepted, "%+v", a)
	require.Equal(t, threat.RequestApproved, a.State)
	r, err := h.store.Response(h.ctx, q.ResponseID)
	require.NoError(t, err)
	require.Equal(t, threat.ResponseActing, r.State)
	require.Equal(t, threat.BasisApproval, r.Basis)

	a = h.click(q, h.ben, threat.VerdictDeny)
	require.Equal(t, threat.RefusedDecided, a.Refusal)
	require.Equal(t, h.ada.Name+" approved this at 08:00 UTC; it is decided already. You need not do anything.", a.Text)
	a = h.click(q, h.ada, threat.VerdictApprove)
	require.Equal(t, threat.RefusedDecided, a.Refusal)
	require.Contains(t, a.Text, "You approved this")
	a = h.click(q, h.ada, threat.VerdictApprove, func(c *threat.Click) { c.RequestID = uuid.New() })
	require.Equal(t, threat.RefusedUnknown, a.Refusal)
	require.Equal(t, []string{"click.refused changed", "click.refused wrong_person", "click.refused wrong_person", "click.refused not_a_person",
		"click.accepted", "click.accepted", "click.refused already_decided", "click.refused already_decided", "click.refused no_such_request"}, h.clicks())
}

func TestFourEyes(t *testing.T) {
	h := newHouse(t)
	q := h.asked(h.caller(h.ada))
	require.True(t, q.Approvers.FourEyes)
	a := h.click(q, h.ada, threat.VerdictApprove)
	require.Equal(t, threat.RefusedSelf, a.Refusal)
	require.True(t, h.click(q, h.ben, threat.VerdictApprove).Accepted)
}

func TestExpiredAndSubject(t *testing.T) {
	h := newHouse(t, threat.Observable{Kind: threat.ObservableMailbox, Value: "ben@customer.example"})
	q := h.asked(h.system())
	a := h.click(q, h.ben, threat.VerdictDeny)
	require.Equal(t, threat.RefusedSubject, a.Refusal)
	require.NotContains(t, a.Text, "subject")
	_, err := h.door.Acknowledge(h.ctx, h.caller(h.ben), h.c.ID, uuid.NullUUID{})
	require.True(t, threat.Is(err, threat.Forbidden), "%v", err)
	_, err = h.door.Release(h.ctx, h.caller(h.ben), q.ResponseID, "it is mine")
	require.True(t, threat.Is(err, threat.Forbidden), "%v", err)
	c, err := h.door.Acknowledge(h.ctx, h.caller(h.ada), h.c.ID, uuid.NullUUID{})
	require.NoError(t, err)
	require.Equal(t, threat.ContactAcknowledged, c.Contact)
	h.clock.Advance(time.Hour)
	a = h.click(q, h.ada, threat.VerdictApprove)
	require.Equal(t, threat.RefusedExpired, a.Refusal)
	require.Contains(t, a.Text, "08:30 UTC")
}

func TestNarrowerTakesItsPlace(t *testing.T) {
	h := newHouse(t)
	q := h.asked(h.system())
	narrow := func(n threat.Narrowing) func(*threat.Click) { return func(c *threat.Click) { c.Narrower = &n } }
	require.Equal(t, threat.RefusedNotNarrower, h.click(q, h.ada, threat.VerdictNarrow, narrow(threat.Narrowing{Seconds: q.Body.Seconds + 1})).Refusal)
	a := h.click(q, h.ada, threat.VerdictNarrow, narrow(threat.Narrowing{Seconds: 600, Connections: h.ids()[:1]}))
	require.True(t, a.Accepted, "%+v", a)
	require.True(t, a.Next.Valid)
	require.Equal(t, "Approved, narrower: we block an address (203.0.113.9) for 10 minutes on 1 device. You see when the device has confirmed it.", a.Text)
	r, err := h.store.Response(h.ctx, q.ResponseID)
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, r.Duration)
	require.Equal(t, h.ids()[:1], r.Connections)
	require.Equal(t, threat.ResponseActing, r.State)
	b := h.click(q, h.ben, threat.VerdictApprove)
	require.Equal(t, threat.RefusedSuperseded, b.Refusal)
}

// TestFactsThatMove has the settings change between policy's answer and the count: once, and without end.
func TestFactsThatMove(t *testing.T) {
	h := newHouse(t)
	move := func() {
		set, err := h.store.OwnSettings(h.ctx, h.tenant.ID)
		require.NoError(t, err)
		set.NeverBlock = append(set.NeverBlock, "198.51.100."+string(rune('1'+len(set.NeverBlock))))
		require.NoError(t, h.store.SetSettings(h.ctx, h.tenant.ID, set, threat.SystemActor))
	}
	q := h.asked(h.system())
	h.ask.before = func() { move(); h.ask.before = nil }
	require.True(t, h.click(q, h.ada, threat.VerdictDeny).Accepted)

	h = newHouse(t)
	q = h.asked(h.system())
	h.ask.before = move
	a := h.click(q, h.ada, threat.VerdictApprove)
	require.Equal(t, threat.RefusedStale, a.Refusal)
	require.Equal(t, threat.RequestOpen, a.State)
	require.Equal(t, slices.Repeat([]string{"click.refused stale_facts"}, 3), h.clicks())
}

// TestManyAtOnce has both contacts approve many times at once: one approval counts, and the response is let go once.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t)
	q := h.asked(h.system())
	clicks := []threat.Click{{RequestID: q.ID, Caller: h.caller(h.ada), Verdict: threat.VerdictApprove, Digest: q.Digest},
		{RequestID: q.ID, Caller: h.caller(h.ben), Verdict: threat.VerdictApprove, Digest: q.Digest}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for i := range 12 {
		wg.Go(func() {
			a, err := h.door.Decide(h.ctx, clicks[i%2])
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !a.Accepted && a.Refusal != threat.RefusedDecided || a.Text == "" {
				t.Errorf("%+v %v", a, err)
			}
			if a.Accepted {
				accepted++
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, accepted)
	require.Len(t, h.clicks(), 12, "each is journalled")
	report, err := h.store.Verify(h.ctx, nil)
	require.NoError(t, err)
	require.Empty(t, report.Problems, "%+v", report)
}

func TestStopped(t *testing.T) {
	h := newHouse(t)
	q := h.asked(h.system())
	_, err := h.store.SetStop(h.ctx, h.tenant.ID, true, "drill", threat.SystemActor)
	require.NoError(t, err)
	a := h.click(q, h.ada, threat.VerdictApprove)
	require.Equal(t, threat.RefusedStopped, a.Refusal)
	require.True(t, h.click(q, h.ada, threat.VerdictDeny).Accepted)
}

func TestReleaseByHand(t *testing.T) {
	h := newHouse(t)
	q := h.asked(h.system())
	stranger := storetest.Contact(t, h.store, storetest.Tenant(t, h.store))
	_, err := h.door.Release(h.ctx, h.caller(stranger), q.ResponseID, "please")
	require.True(t, threat.Is(err, threat.Forbidden), "%v", err)
	r, err := h.door.Release(h.ctx, h.caller(h.ada), q.ResponseID, "our own host")
	require.NoError(t, err)
	require.NotEmpty(t, r.EndingBy+r.Why)
	_, err = h.door.Release(h.ctx, h.caller(h.ada), q.ResponseID, "again")
	require.True(t, threat.Is(err, threat.Conflict), "%v", err)
}
