package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
	"github.com/firebreak/firebreak/policies"
)

// house is a store, policy, simulated devices and channels, and a loop that plays the three workflows by the store's clock:
// step, perform, wait for a nudge or a time.
type house struct {
	*testing.T
	ctx      context.Context
	s        *store.Store
	clock    *storetest.Clock
	tenant   threat.Organisation
	decide   *decide.Service
	deps     activities.Deps
	subjects map[string]stepper
	live     map[string]live

	mu      sync.Mutex
	walls   map[uuid.UUID]*wall
	feeds   map[uuid.UUID]*feed.Feed
	agents  map[uuid.UUID]*agent
	phones  map[uuid.UUID]*phone
	pages   []string
	steps   int
	counted map[string]int
	killed  bool // an error is the end of the process
}

type stepper interface {
	Step(context.Context, activities.Subject) (activities.Next, error)
}

type performer interface {
	Perform(context.Context, activities.Task) error
}

// live is a workflow that runs: when it steps next, zero for never.
type live struct {
	subject activities.Subject
	kind    string
	at      time.Time
	failed  int
}

var (
	engineOnce sync.Once
	engine     *policies.Engine
)

// rules gives the built-in policy, compiled once.
func rules(t testing.TB) *policies.Engine {
	engineOnce.Do(func() {
		var err error
		if engine, err = policies.New(context.Background(), policies.Options{Timeout: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
	})
	return engine
}

// wrapped changes the store that the activities see.
type wrapped func(s *store.Store) activities.Store

func newHouse(t *testing.T, mode threat.Mode, with ...wrapped) *house {
	t.Helper()
	h := &house{T: t, ctx: t.Context(), clock: storetest.NewClock(), live: map[string]live{}, walls: map[uuid.UUID]*wall{},
		feeds: map[uuid.UUID]*feed.Feed{}, agents: map[uuid.UUID]*agent{}, phones: map[uuid.UUID]*phone{}, counted: map[string]int{}}
	h.s = storetest.Open(t, storetest.WithClock(h.clock))
	h.tenant = storetest.Tenant(t, h.s)
	if mode != threat.ModeNotify {
		storetest.SetMode(t, h.s, h.tenant, mode)
	}
	h.decide = decide.New(decide.Deps{Store: h.s, Policies: rules(t), Now: h.clock.Now, Page: h.page, Ours: []string{"192.0.2.250"}})
	h.deps = activities.Deps{Store: h.s, Decide: h.decide, Devices: h, Page: h.page, Ours: []string{"192.0.2.250"}, Build: "test",
		Now: h.clock.Now, Wait: func(_ context.Context, d time.Duration) error { h.clock.Advance(d); return nil }, Metrics: counts{h}}
	for _, w := range with {
		h.deps.Store = w(h.s)
	}
	h.restart()
	return h
}

// restart is the end of a process and the begin of another: what the activities remember is gone, and so is Temporal.
func (h *house) restart() {
	h.subjects = map[string]stepper{activities.KindCase: activities.NewCase(h.deps),
		activities.KindEscalation: activities.NewEscalation(h.deps), activities.KindResponse: activities.NewResponse(h.deps)}
	h.live = map[string]live{}
	for _, kind := range activities.Kinds {
		open, err := h.s.OpenSubjects(h.ctx, kind, uuid.Nil, 1000)
		require.NoError(h, err)
		for _, n := range open {
			h.live[n.Kind+n.SubjectID.String()] = live{subject: activities.Subject{ID: n.SubjectID, TenantID: n.TenantID}, kind: n.Kind, at: h.clock.Now()}
		}
	}
}

func (h *house) page(_ context.Context, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages = append(h.pages, what)
}

func (h *house) paged(part string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, p := range h.pages {
		if strings.Contains(p, part) {
			n++
		}
	}
	return n
}

// counts is the metrics of a house.
type counts struct{ h *house }

func (c counts) add(what string) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.counted[what]++
}
func (c counts) Claimed(_ string, k threat.ClaimKind, v threat.ClaimVerdict) {
	c.add("claim " + string(k) + " " + string(v))
}
func (c counts) Sent(_ string, k threat.ClaimKind, o threat.Outcome, _ time.Duration) {
	c.add("send " + string(k) + " " + string(o))
}
func (c counts) Read(_ string, p adapters.Presence) { c.add("read " + string(p)) }

// busy is how many steps a workflow may take at one moment before the loop counts as endless.
const busy = 40

// play runs the workflows until the clock has moved by d.
func (h *house) play(d time.Duration) {
	h.Helper()
	end := h.clock.Now().Add(d)
	atOnce, moment := map[string]int{}, h.clock.Now()
	for {
		nudges, err := h.s.LeaseNudges(h.ctx, "test", 1000, 1000, time.Minute)
		require.NoError(h, err)
		for _, n := range nudges {
			k := n.Kind + n.SubjectID.String()
			h.live[k] = live{subject: activities.Subject{ID: n.SubjectID, TenantID: n.TenantID}, kind: n.Kind, at: h.clock.Now()}
		}
		require.NoError(h, h.s.DoneNudges(h.ctx, "test", nudges))
		now := h.clock.Now()
		if !now.Equal(moment) {
			moment, atOnce = now, map[string]int{}
		}
		key, next := h.due(now)
		if key == "" {
			if next.IsZero() || next.After(end) {
				if now.Before(end) {
					h.clock.Advance(end.Sub(now))
				}
				return
			}
			h.clock.Advance(next.Sub(now))
			continue
		}
		if atOnce[key]++; atOnce[key] > busy {
			h.Fatalf("%s steps without an end at %s: %+v", key, now, h.live[key])
		}
		h.run(key)
	}
}

// due gives a workflow whose time has come, or when the first one's will.
func (h *house) due(now time.Time) (key string, next time.Time) {
	keys := make([]string, 0, len(h.live))
	for k := range h.live {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		switch at := h.live[k].at; {
		case at.IsZero():
		case !at.After(now):
			return k, now
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return "", next
}

func (h *house) run(key string) {
	h.Helper()
	l := h.live[key]
	h.steps++
	next, err := h.subjects[l.kind].Step(h.ctx, l.subject)
	for _, t := range next.Tasks {
		if err == nil {
			err = h.subjects[l.kind].(performer).Perform(h.ctx, t)
		}
	}
	l.at = next.WakeAt
	switch {
	case err != nil:
		if l.failed++; l.failed > 20 {
			h.Fatalf("%s fails on: %v", key, err)
		}
		h.Logf("%s %s: %v", h.clock.Now().Format(time.TimeOnly), l.kind, err)
		l.at = h.clock.Now().Add(time.Second << min(l.failed, 6))
		if h.killed && errors.Is(err, errCrash) {
			h.clock.Advance(time.Second)
			h.restart()
			return
		}
	case next.Done:
		delete(h.live, key)
		return
	case next.Again || len(next.Tasks) > 0:
		l.failed, l.at = 0, h.clock.Now()
	default:
		l.failed = 0
	}
	require.Equal(h, "test", next.Build)
	h.live[key] = l
}

// settings changes the tenant's settings.
func (h *house) settings(set tenant.Settings) {
	h.Helper()
	require.NoError(h, h.s.SetSettings(h.ctx, h.tenant.ID, set, threat.SystemActor))
}

// propose is a triage answer that wants an address blocked.
func propose(addresses ...string) func(*threat.Triage) {
	return func(a *threat.Triage) {
		for _, x := range addresses {
			a.Proposals = append(a.Proposals, threat.Proposal{Step: "block-adversary-address", Verb: verb.BlockIP, Required: true,
				Target: threat.Target{Kind: threat.TargetIP, Value: x}})
		}
	}
}

const attacker = "203.0.113.66"

// detect brings a detection in, whose triage wants the attacker blocked.
func (h *house) detect(fns ...func(*threat.Detection)) threat.Case {
	h.Helper()
	return h.detectAnd([]func(*threat.Triage){propose(attacker)}, fns...)
}

func (h *house) detectAnd(triage []func(*threat.Triage), fns ...func(*threat.Detection)) threat.Case {
	h.Helper()
	d := storetest.Detection(h, h.s, h.tenant, h.clock.Now(), fns...)
	a := storetest.Assign(h, h.s, d, triage...)
	c, err := h.s.Case(h.ctx, a.CaseID.UUID)
	require.NoError(h, err)
	return c
}

func (h *house) theCase(c threat.Case) threat.Case {
	h.Helper()
	c, err := h.s.Case(h.ctx, c.ID)
	require.NoError(h, err)
	return c
}

// responses gives a case's responses.
func (h *house) responses(c threat.Case) []threat.Response {
	h.Helper()
	list, err := h.s.Responses(h.ctx, c.ID)
	require.NoError(h, err)
	return list
}

// last gives the newest response of a case.
func (h *house) last(c threat.Case) threat.Response {
	h.Helper()
	list := h.responses(c)
	require.NotEmpty(h, list)
	return list[len(list)-1]
}

func (h *house) claims(r threat.Response) []threat.Claim {
	h.Helper()
	list, err := h.s.ClaimsOf(h.ctx, r.ID)
	require.NoError(h, err)
	return list
}

// vote has the tenant's first contact say something to the newest request about a response.
func (h *house) vote(r threat.Response, v threat.VerdictKind) threat.ClickAnswer {
	h.Helper()
	r, err := h.s.Response(h.ctx, r.ID)
	require.NoError(h, err)
	require.True(h, r.RequestID.Valid, "nobody was asked")
	q, err := h.s.Request(h.ctx, r.RequestID.UUID)
	require.NoError(h, err)
	p := storetest.Contact(h, h.s, h.tenant)
	caller := threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, OrgID: p.OrgID, Name: p.Name, Surface: "console",
		Grants: []threat.Grant{{PersonID: p.ID, OrgID: h.tenant.ID, Role: threat.Contact}}}
	fact, err := h.decide.Approve(h.ctx, q, caller, v)
	require.NoError(h, err)
	a, err := h.s.CastVote(h.ctx, threat.Ballot{Click: threat.Click{RequestID: q.ID, Caller: caller, Verdict: v, Digest: q.Digest}, Fact: fact})
	require.NoError(h, err)
	require.True(h, a.Accepted, "%+v", a)
	return a
}

func (h *house) ack(c threat.Case, p threat.Person) {
	h.Helper()
	_, err := h.s.Acknowledge(h.ctx, threat.Acknowledgement{CaseID: c.ID, PersonID: p.ID, Name: p.Name, Via: "console"})
	require.NoError(h, err)
}

// contacts makes the chain: one person for each list of channels.
func (h *house) contacts(chain ...[]*phone) []threat.Person {
	h.Helper()
	var people []threat.Person
	var entries []threat.ContactEntry
	for i, ways := range chain {
		p := storetest.Contact(h, h.s, h.tenant)
		if i > 0 {
			p = storetest.Person(h, h.s, h.tenant, fmt.Sprintf("person-%d@example.com", i+1), threat.Contact)
		}
		e := threat.ContactEntry{PersonID: p.ID, Position: i + 1, Authorise: []string{"*"}, ChangeMode: i == 0}
		for _, w := range ways {
			e.Methods = append(e.Methods, threat.Method{Channel: w.channel.Name, ConnectionID: w.id, Address: p.Email, Delay: w.delay, Verified: true})
		}
		people, entries = append(people, p), append(entries, e)
	}
	require.NoError(h, h.s.SetContacts(h.ctx, h.tenant.ID, entries, threat.SystemActor))
	return people
}

func (h *house) attempts(c threat.Case) []threat.Attempt {
	h.Helper()
	list, err := h.s.Escalations(h.ctx, c.ID)
	require.NoError(h, err)
	var out []threat.Attempt
	for _, e := range list {
		as, err := h.s.Attempts(h.ctx, e.ID)
		require.NoError(h, err)
		out = append(out, as...)
	}
	return out
}

// sound checks the journal, and what no device may have seen.
func (h *house) sound() {
	h.Helper()
	report, err := h.s.Verify(h.ctx, nil)
	require.NoError(h, err)
	require.Empty(h, report.Problems)
	for _, w := range h.walls {
		require.Empty(h, w.wrong)
	}
}
