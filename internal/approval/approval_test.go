package approval

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

var night = time.Date(2026, 3, 2, 3, 12, 0, 0, time.UTC)

// world is a store and a policy in memory: what a test puts into it is what they answer.
type world struct {
	req       threat.Request
	requests  []threat.Request
	response  threat.Response
	responses []threat.Response
	c         threat.Case
	contacts  []threat.ContactEntry
	person    threat.Person
	answers   []threat.ClickAnswer // of CastVote, in turn; the last one stays
	castErr   error
	reqErr    error

	fact    threat.ApproveFact
	respond threat.RespondDecision
	allowed bool
	subject bool

	ballots  []threat.Ballot
	asked    []threat.Response // of Respond
	approves int
	acks     []threat.Acknowledgement
	ended    []string
	proposed []threat.Response
	entries  []threat.Entry
}

func (w *world) Request(_ context.Context, id uuid.UUID) (threat.Request, error) {
	if w.reqErr != nil {
		return threat.Request{}, w.reqErr
	}
	if id != w.req.ID {
		return threat.Request{}, threat.Faultf(threat.NotFound, "no such request")
	}
	return w.req, nil
}
func (w *world) RequestsOf(context.Context, uuid.UUID) ([]threat.Request, error) {
	return w.requests, nil
}
func (w *world) Response(context.Context, uuid.UUID) (threat.Response, error) { return w.response, nil }
func (w *world) Responses(context.Context, uuid.UUID) ([]threat.Response, error) {
	return w.responses, nil
}
func (w *world) Case(context.Context, uuid.UUID) (threat.Case, error) { return w.c, nil }
func (w *world) Contacts(context.Context, uuid.UUID) ([]threat.ContactEntry, error) {
	return w.contacts, nil
}
func (w *world) Person(context.Context, uuid.UUID) (threat.Person, error) { return w.person, nil }

func (w *world) CastVote(_ context.Context, b threat.Ballot) (threat.ClickAnswer, error) {
	w.ballots = append(w.ballots, b)
	if w.castErr != nil {
		return threat.ClickAnswer{}, w.castErr
	}
	if len(w.answers) == 0 {
		return threat.ClickAnswer{Accepted: true, State: threat.RequestApproved, Have: 1, Need: 1}, nil
	}
	return w.answers[min(len(w.ballots), len(w.answers))-1], nil
}

func (w *world) Acknowledge(_ context.Context, a threat.Acknowledgement) (threat.Case, error) {
	w.acks = append(w.acks, a)
	return w.c, nil
}

func (w *world) EndHold(_ context.Context, _ uuid.UUID, why, by string) (threat.Response, error) {
	w.ended = append(w.ended, why+" by "+by)
	return w.response, nil
}

func (w *world) ProposeResponses(_ context.Context, _ uuid.UUID, list []threat.Response) ([]threat.Response, error) {
	w.proposed = append(w.proposed, list...)
	return list, nil
}

func (w *world) Append(_ context.Context, e threat.Entry) (threat.Entry, error) {
	w.entries = append(w.entries, e)
	return e, nil
}

func (w *world) Approve(context.Context, threat.Request, threat.Caller, threat.VerdictKind) (threat.ApproveFact, error) {
	w.approves++
	return w.fact, nil
}

func (w *world) Respond(_ context.Context, r threat.Response) (threat.RespondDecision, error) {
	w.asked = append(w.asked, r)
	return w.respond, nil
}

func (w *world) Access(context.Context, threat.Caller, string, uuid.UUID) (bool, string, error) {
	return w.allowed, "no role", nil
}

func (w *world) Subject(context.Context, uuid.UUID, threat.Person) (bool, error) {
	return w.subject, nil
}

var (
	ada    = threat.DerivedID("test", "ada")
	ben    = threat.DerivedID("test", "ben")
	tenant = threat.DerivedID("test", "tenant")
	edge   = []uuid.UUID{threat.DerivedID("test", "edge 1"), threat.DerivedID("test", "edge 2")}
)

func caller(id uuid.UUID, name string) threat.Caller {
	return threat.Caller{PersonID: uuid.NullUUID{UUID: id, Valid: true}, Name: name, OrgID: tenant, Surface: "console"}
}

func newWorld(t *testing.T) (*world, *Door) {
	t.Helper()
	target := threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}
	w := &world{allowed: true, fact: threat.ApproveFact{Allowed: true, Role: threat.Contact},
		c:        threat.Case{ID: threat.DerivedID("test", "case"), TenantID: tenant, Number: 7},
		contacts: []threat.ContactEntry{{TenantID: tenant, PersonID: ada}}, person: threat.Person{ID: ada, Name: "Ada"}}
	w.response = threat.Response{Action: threat.Action{ID: threat.DerivedID("test", "response"), TenantID: tenant, CaseID: w.c.ID, Verb: "block_ip",
		Target: target, Duration: 4 * time.Hour, Connections: edge}}
	w.req = threat.Request{ID: threat.DerivedID("test", "request"), TenantID: tenant, CaseID: w.c.ID, ResponseID: w.response.ID, State: threat.RequestOpen,
		OpenedAt: night.Add(-10 * time.Minute), ExpiresAt: night.Add(20 * time.Minute), Silence: "nothing is done if nobody answers", Digest: "d1",
		Body: threat.RequestBody{Kind: threat.RequestAct, Verb: "block_ip", Targets: []threat.Target{target}, Seconds: 14400, Connections: edge}}
	d := New(Deps{Store: w, Decide: w, Now: func() time.Time { return night },
		Plan: func(context.Context, uuid.UUID, string, threat.Target) ([]uuid.UUID, string, error) {
			return edge, "", nil
		}})
	return w, d
}

func (w *world) click(v threat.VerdictKind) threat.Click {
	return threat.Click{RequestID: w.req.ID, Caller: caller(ada, "Ada"), Verdict: v, Digest: "d1"}
}

// TestEveryRefusalHasWords reads the refusals from their source, so that a new one cannot be forgotten.
func TestEveryRefusalHasWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../threat/request.go", nil, 0)
	require.NoError(t, err)
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || v.Type == nil {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Refusal" {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		if code == "" {
			return true
		}
		n++
		words, ok := refusals[threat.Refusal(code)]
		if !ok {
			t.Errorf("%s has no words", code)
			return true
		}
		w, _ := newWorld(t)
		for _, s := range []said{{now: night}, {now: night, req: w.req, click: w.click(threat.VerdictApprove), need: 2}} {
			text := words(s)
			if !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] || len(text) > 300 || strings.Contains(text, code) && strings.Contains(code, "_") {
				t.Errorf("%s: %q", code, text)
			}
		}
		return true
	})
	require.Equal(t, n, len(refusals))
	require.GreaterOrEqual(t, n, 14)
}

func TestRefusalsAreToldInPlainWords(t *testing.T) {
	vote := func(id uuid.UUID, name string, v threat.VerdictKind, reason string) threat.Vote {
		return threat.Vote{PersonID: id, Name: name, Verdict: v, Reason: reason, At: night.Add(-time.Minute)}
	}
	next := threat.DerivedID("test", "next")
	closed := night.Add(-2 * time.Minute)
	for _, tt := range []struct {
		name    string
		refusal threat.Refusal
		edit    func(*world)
		want    string
	}{
		{"approved by another", threat.RefusedDecided, func(w *world) {
			w.req.State, w.req.Votes = threat.RequestApproved, []threat.Vote{vote(ben, "Ben", threat.VerdictApprove, "")}
		}, "Ben approved this at 03:11 UTC; it is decided already. You need not do anything."},
		{"approved by the same", threat.RefusedDecided, func(w *world) {
			w.req.State, w.req.Votes = threat.RequestApproved, []threat.Vote{vote(ada, "Ada", threat.VerdictApprove, "")}
		}, "You approved this at 03:11 UTC; it is decided already. You need not do anything."},
		{"denied", threat.RefusedDecided, func(w *world) {
			w.req.State, w.req.Votes = threat.RequestDenied, []threat.Vote{vote(ben, "Ben", threat.VerdictDeny, "our own scanner\n")}
		}, "Ben denied this at 03:11 UTC (our own scanner\ufffd). It stays denied."},
		{"decided by nobody known", threat.RefusedDecided, func(w *world) { w.req.State, w.req.ClosedAt = threat.RequestApproved, &closed },
			"This was decided already at 03:10 UTC."},
		{"twice", threat.RefusedTwice, func(w *world) {
			w.req.Votes = []threat.Vote{vote(ada, "Ada", threat.VerdictMore, ""), vote(ada, "Ada", threat.VerdictApprove, "")}
		}, "You approved this at 03:11 UTC already; it counts once. There are 1 of 2 approvals."},
		{"expired", threat.RefusedExpired, func(w *world) { w.req.ExpiresAt = night.Add(-24 * time.Hour) },
			"This was open until 03:12 UTC on 2026-03-01, and can no longer be decided. What was said about silence holds: nothing is done if nobody answers."},
		{"superseded", threat.RefusedSuperseded, func(w *world) {
			w.req.State, w.req.ClosedAt = threat.RequestSuperseded, &closed
			w.requests = []threat.Request{w.req, {ID: next, State: threat.RequestOpen, Body: threat.RequestBody{Kind: threat.RequestAct}}}
		}, "Another request took the place of this one at 03:10 UTC. Open that one and decide there."},
		{"wrong person", threat.RefusedWrongPerson, func(w *world) { w.fact.Why = "their role does not decide this request" },
			"This is not yours to decide: their role does not decide this request. Nothing was changed."},
		{"subject", threat.RefusedSubject, func(w *world) { w.fact.Why = "they are a subject of the case" },
			"This is not yours to decide; somebody else of your organisation has to."},
		{"policy", threat.RefusedPolicy, func(w *world) { w.fact.Why = "the response mode is notify" },
			"The rules do not let this be approved: the response mode is notify."},
		{"not narrower", threat.RefusedNotNarrower, func(*world) {},
			"That is not narrower than what is asked (4 hours on 2 devices). Give a shorter time, or a part of the devices."},
	} {
		w, d := newWorld(t)
		tt.edit(w)
		w.answers = []threat.ClickAnswer{{Refusal: tt.refusal, State: w.req.State, Have: 1, Need: 2, Text: "the store's"}}
		a, err := d.Decide(t.Context(), w.click(threat.VerdictApprove))
		require.NoError(t, err, tt.name)
		require.False(t, a.Accepted)
		require.Equal(t, tt.want, a.Text, tt.name)
		require.Equal(t, tt.refusal == threat.RefusedSuperseded, a.Next.Valid && a.Next.UUID == next, tt.name)
	}
}

func TestAcceptedIsToldInPlainWords(t *testing.T) {
	full, half := threat.ClickAnswer{Accepted: true, Have: 1, Need: 1}, threat.ClickAnswer{Accepted: true, Have: 1, Need: 2}
	for _, tt := range []struct {
		verdict threat.VerdictKind
		kind    threat.RequestKind
		answer  threat.ClickAnswer
		want    string
	}{
		{threat.VerdictApprove, threat.RequestAct, full, "Approved: we block an address (203.0.113.9) for 4 hours. You see when the device has confirmed it."},
		{threat.VerdictApprove, threat.RequestAct, half, "Your approval counts. There are 1 of 2 approvals."},
		{threat.VerdictApprove, threat.RequestEnd, full, "Approved: the measure, to block an address (203.0.113.9), is released. You see when the device has confirmed it."},
		{threat.VerdictDeny, threat.RequestAct, full, "Denied: we do not block an address (203.0.113.9)."},
		{threat.VerdictDeny, threat.RequestEnd, full, "Not released: the measure, to block an address (203.0.113.9), is held for 4 hours more."},
		{threat.VerdictMore, threat.RequestAct, full, "We see that you ask for more. Nothing is decided by it; the request stays open until 03:32 UTC."},
		{threat.VerdictNarrow, threat.RequestAct, full, "Approved, narrower: we block an address (203.0.113.9) for 30 minutes on 1 device. You see when the device has confirmed it."},
		{threat.VerdictNarrow, threat.RequestAct, half, "A narrower request took the place of this one, with your approval. There are 1 of 2 approvals."},
	} {
		w, d := newWorld(t)
		w.req.Body.Kind, w.answers = tt.kind, []threat.ClickAnswer{tt.answer}
		w.respond = threat.RespondDecision{Effect: threat.Ask, Duration: 30 * time.Minute}
		click := w.click(tt.verdict)
		if tt.verdict == threat.VerdictNarrow {
			click.Narrower = &threat.Narrowing{Seconds: 3600, Connections: edge[:1]}
		}
		a, err := d.Decide(t.Context(), click)
		require.NoError(t, err)
		require.Equal(t, tt.want, a.Text)
	}
}

func TestStaleIsAskedAnewThreeTimes(t *testing.T) {
	stale := threat.ClickAnswer{Refusal: threat.RefusedStale, State: threat.RequestOpen}
	w, d := newWorld(t)
	w.answers = []threat.ClickAnswer{stale, stale, {Accepted: true, Have: 1, Need: 1}}
	a, err := d.Decide(t.Context(), w.click(threat.VerdictApprove))
	require.NoError(t, err)
	require.True(t, a.Accepted)
	require.Equal(t, 3, w.approves)

	w, d = newWorld(t)
	w.answers = []threat.ClickAnswer{stale}
	a, err = d.Decide(t.Context(), w.click(threat.VerdictApprove))
	require.NoError(t, err)
	require.Equal(t, threat.RefusedStale, a.Refusal)
	require.Len(t, w.ballots, 3)
	require.Contains(t, a.Text, "three times in a row")

	w, d = newWorld(t)
	w.castErr = threat.Faultf(threat.Stale, "moved")
	a, err = d.Decide(t.Context(), w.click(threat.VerdictApprove))
	require.NoError(t, err)
	require.Equal(t, threat.RefusedStale, a.Refusal)
	require.Len(t, w.ballots, 3)
}

func TestUnknownRequest(t *testing.T) {
	w, d := newWorld(t)
	w.answers = []threat.ClickAnswer{{Refusal: threat.RefusedUnknown}}
	click := w.click(threat.VerdictApprove)
	click.RequestID = uuid.New()
	a, err := d.Decide(t.Context(), click)
	require.NoError(t, err)
	require.Equal(t, threat.RefusedUnknown, a.Refusal)
	require.Contains(t, a.Text, "no such request")
	require.Len(t, w.ballots, 1, "the store journals it")
	require.Zero(t, w.approves)
	require.False(t, w.ballots[0].Fact.Allowed)
	w.castErr = threat.Faultf(threat.NotFound, "no such request")
	a, err = d.Decide(t.Context(), click)
	require.NoError(t, err)
	require.Equal(t, threat.RefusedUnknown, a.Refusal)
}

func TestNarrowing(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    threat.Narrowing
		want bool // asked of policy
	}{
		{"shorter", threat.Narrowing{Seconds: 60}, true},
		{"a part", threat.Narrowing{Connections: edge[1:]}, true},
		{"the same", threat.Narrowing{Seconds: 14400, Connections: edge}, false},
		{"nothing", threat.Narrowing{}, false},
		{"longer", threat.Narrowing{Seconds: 14401, Connections: edge[:1]}, false},
		{"another device", threat.Narrowing{Seconds: 60, Connections: []uuid.UUID{uuid.New()}}, false},
		{"one twice", threat.Narrowing{Connections: []uuid.UUID{edge[0], edge[0], edge[1]}}, false},
	} {
		w, d := newWorld(t)
		w.respond = threat.RespondDecision{Effect: threat.Ask, Duration: time.Minute}
		click := w.click(threat.VerdictNarrow)
		click.Narrower = &tt.n
		_, err := d.Decide(t.Context(), click)
		require.NoError(t, err, tt.name)
		require.Len(t, w.ballots, 1, tt.name)
		require.Equal(t, tt.want, w.ballots[0].Narrower != nil, tt.name)
		if tt.want {
			require.Len(t, w.asked, 1)
			if tt.n.Seconds > 0 {
				require.Equal(t, time.Minute, w.asked[0].Duration)
			}
			if tt.n.Connections != nil {
				require.Equal(t, tt.n.Connections, w.asked[0].Connections)
			}
			require.Equal(t, edge, w.response.Connections, "the response itself is left alone")
		}
	}
	// Policy forbids the narrower action: there is nothing to approve.
	w, d := newWorld(t)
	w.respond = threat.RespondDecision{Effect: threat.Deny, Reasons: []string{"it is protected"}}
	w.answers = []threat.ClickAnswer{{Refusal: threat.RefusedPolicy}}
	click := w.click(threat.VerdictNarrow)
	click.Narrower = &threat.Narrowing{Seconds: 60}
	a, err := d.Decide(t.Context(), click)
	require.NoError(t, err)
	require.False(t, w.ballots[0].Fact.Allowed)
	require.Equal(t, threat.RefusedPolicy, w.ballots[0].Fact.Refusal)
	require.Equal(t, "The rules do not let this be approved: it is protected.", a.Text)
}

func TestBadClicks(t *testing.T) {
	w, d := newWorld(t)
	for name, edit := range map[string]func(*threat.Click){
		"no verdict":         func(c *threat.Click) { c.Verdict = "" },
		"an unknown verdict": func(c *threat.Click) { c.Verdict = "perhaps" },
		"narrow without how": func(c *threat.Click) { c.Verdict = threat.VerdictNarrow },
		"approve with a how": func(c *threat.Click) { c.Narrower = &threat.Narrowing{Seconds: 1} },
		"a time below zero":  func(c *threat.Click) { c.Verdict, c.Narrower = threat.VerdictNarrow, &threat.Narrowing{Seconds: -1} },
	} {
		click := w.click(threat.VerdictApprove)
		edit(&click)
		_, err := d.Decide(t.Context(), click)
		require.True(t, threat.Is(err, threat.Invalid), "%s: %v", name, err)
	}
	require.Empty(t, w.ballots)
	click := w.click(threat.VerdictDeny)
	click.Reason = " because\x00\u202e" + strings.Repeat("x", 5000)
	_, err := d.Decide(t.Context(), click)
	require.NoError(t, err)
	require.Len(t, []rune(w.ballots[0].Click.Reason), maxReason+1) // and an ellipsis
	w.reqErr = threat.Faultf(threat.Unavailable, "away")
	_, err = d.Decide(t.Context(), w.click(threat.VerdictApprove))
	require.True(t, threat.Is(err, threat.Unavailable))
}

func TestAcknowledge(t *testing.T) {
	w, d := newWorld(t)
	attempt := uuid.NullUUID{UUID: uuid.New(), Valid: true}
	_, err := d.Acknowledge(t.Context(), caller(ada, "Ada"), w.c.ID, attempt)
	require.NoError(t, err)
	require.Equal(t, []threat.Acknowledgement{{CaseID: w.c.ID, AttemptID: attempt, PersonID: ada, Name: "Ada", Via: "console"}}, w.acks)
	require.Empty(t, w.entries)

	analyst := caller(ben, "Ben")
	analyst.Grants = []threat.Grant{{OrgID: tenant, Role: threat.ShiftLead}}
	token := threat.Caller{TokenID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, OrgID: tenant}
	for _, who := range []threat.Caller{analyst, token, {}} {
		_, err := d.Acknowledge(t.Context(), who, w.c.ID, uuid.NullUUID{})
		require.True(t, threat.Is(err, threat.Forbidden), "%v", err)
	}
	w.subject = true
	_, err = d.Acknowledge(t.Context(), caller(ada, "Ada"), w.c.ID, attempt)
	require.True(t, threat.Is(err, threat.Forbidden))
	require.NotContains(t, err.Error(), "subject")
	require.Len(t, w.acks, 1)
	require.Len(t, w.entries, 4, "each is journalled")
	for _, e := range w.entries {
		require.Equal(t, threat.EntryAccessDenied, e.Kind)
		require.Equal(t, tenant, e.OrgID)
		require.Equal(t, w.c.ID, e.CaseID.UUID)
	}
}

func TestRelease(t *testing.T) {
	w, d := newWorld(t)
	_, err := d.Release(t.Context(), caller(ada, "Ada"), w.response.ID, " our own host ")
	require.NoError(t, err)
	require.Equal(t, []string{"our own host by person:" + ada.String()}, w.ended)
	_, err = d.Release(t.Context(), caller(ada, "Ada"), w.response.ID, " \n")
	require.True(t, threat.Is(err, threat.Invalid))
	w.subject = true
	_, err = d.Release(t.Context(), caller(ada, "Ada"), w.response.ID, "let me out")
	require.True(t, threat.Is(err, threat.Forbidden))
	w.subject, w.allowed = false, false
	_, err = d.Release(t.Context(), caller(ada, "Ada"), w.response.ID, "let me out")
	require.True(t, threat.Is(err, threat.Forbidden))
	require.Len(t, w.ended, 1)
	require.Len(t, w.entries, 2)
}

func TestPropose(t *testing.T) {
	w, d := newWorld(t)
	p := Proposal{CaseID: w.c.ID, Verb: "block_ip", Target: threat.Target{Kind: threat.TargetIP, Value: "::ffff:198.51.100.7"}}
	r, err := d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.NoError(t, err)
	require.Equal(t, "198.51.100.7", r.Target.Value)
	require.Equal(t, map[string]string{"direction": "both"}, r.Params)
	require.Equal(t, caller(ada, "").Actor(), r.AskedBy, "four eyes compares with it")
	require.Equal(t, ByHand, r.Step)
	require.Equal(t, threat.ActionID(w.c.ID, ByHand, r.Target, 1), r.ID)
	require.Equal(t, edge, r.Connections)
	require.Zero(t, r.Duration, "policy says how long")

	// The next one of the same kind waits for the first, and then has a round of its own.
	r.State, r.Number = threat.ResponseHeld, 3
	w.responses = []threat.Response{r}
	_, err = d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.True(t, threat.Is(err, threat.Conflict), "%v", err)
	w.responses[0].State, w.responses[0].EndedAt = threat.ResponseReleased, &night
	p.Connections, p.Duration, p.End = edge[1:], time.Hour, threat.EndAsk
	again, err := d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.NoError(t, err)
	require.Equal(t, 2, again.Round)
	require.Equal(t, edge[1:], again.Connections)
	require.Equal(t, time.Hour, again.Duration)

	for name, tt := range map[string]struct {
		edit func(*Proposal)
		kind threat.FaultKind
	}{
		"an unknown verb":         {func(p *Proposal) { p.Verb = "format_disk" }, threat.Unsupported},
		"a target that is none":   {func(p *Proposal) { p.Target.Value = "10.0.0.0/8" }, threat.Invalid},
		"too long":                {func(p *Proposal) { p.Duration = 365 * 24 * time.Hour }, threat.Invalid},
		"a time below zero":       {func(p *Proposal) { p.Duration = -1 }, threat.Invalid},
		"an unknown end":          {func(p *Proposal) { p.End = "never" }, threat.Invalid},
		"an unknown parameter":    {func(p *Proposal) { p.Params = map[string]string{"x": "y"} }, threat.Invalid},
		"a connection that can't": {func(p *Proposal) { p.Connections = []uuid.UUID{uuid.New()} }, threat.Unsupported},
	} {
		bad := p
		tt.edit(&bad)
		_, err := d.Propose(t.Context(), caller(ada, "Ada"), bad)
		require.Equal(t, tt.kind, threat.KindOf(err), "%s: %v", name, err)
	}
	w.c.ClosedAt = &night
	_, err = d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.True(t, threat.Is(err, threat.Conflict))
	w.c.ClosedAt, w.allowed = nil, false
	_, err = d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.True(t, threat.Is(err, threat.Forbidden))
	w.allowed, w.subject = true, true
	_, err = d.Propose(t.Context(), caller(ada, "Ada"), p)
	require.True(t, threat.Is(err, threat.Forbidden))
	require.Len(t, w.proposed, 2)
	_, err = New(Deps{Store: w, Decide: &world{allowed: true}, Plan: func(context.Context, uuid.UUID, string, threat.Target) ([]uuid.UUID, string, error) {
		return nil, "not through edge (it is disabled)", nil
	}}).Propose(t.Context(), caller(ada, "Ada"), p)
	require.True(t, threat.Is(err, threat.Unsupported))
	require.ErrorContains(t, err, "it is disabled")
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{4 * time.Hour: "4 hours", time.Minute: "1 minute", 90 * time.Second: "1 minute 30 seconds",
		49*time.Hour + time.Second: "2 days 1 hour", 0: "less than a second"} {
		require.Equal(t, want, span(d))
	}
	require.True(t, slices.Contains(verdicts, threat.VerdictMore))
}
