package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestProposalsAreNumberedOnce(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	more := storetest.Connection(t, w.s, w.o, "feed")
	r := w.propose("203.0.113.7", more.ID, w.conn.ID, more.ID)
	assert.Equal(t, int64(1), r.Number)
	assert.Equal(t, threat.ResponseProposed, r.State)
	assert.Equal(t, map[string]string{"direction": "both"}, r.Params)
	assert.Len(t, r.Connections, 2)
	require.Len(t, r.Holders, 2, "one a connection")
	for _, h := range r.Holders {
		assert.Equal(t, threat.HolderWanted, h.State)
		assert.Equal(t, threat.EffectAbsent, h.Effect.State)
		assert.Equal(t, h.EffectID, h.Effect.ID)
	}
	assert.Equal(t, r, w.propose("203.0.113.7", w.conn.ID), "a repeated action is given back as it stands")
	assert.Equal(t, int64(2), w.propose("203.0.113.8").Number)
	assert.Equal(t, 2, w.count(threat.EntryResponseProposed))

	all, err := w.s.Responses(w.ctx, w.c.ID)
	require.NoError(t, err)
	assert.Len(t, all, 2)
	open, err := w.s.ResponsesOf(w.ctx, []uuid.UUID{w.o.ID}, true, 1)
	require.NoError(t, err)
	assert.Len(t, open, 1)
	none, err := w.s.ResponsesOf(w.ctx, nil, false, 0)
	require.NoError(t, err)
	assert.Empty(t, none)
	w.verified()
}

func TestProposalsAreChecked(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	other := storetest.Connection(t, w.s, storetest.Tenant(t, w.s), "feed")
	try := func(fn func(*threat.Response)) error {
		r := threat.Response{Action: threat.Action{Step: "x", Verb: "block_ip", Connections: []uuid.UUID{w.conn.ID},
			Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}}}
		fn(&r)
		_, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{r})
		return err
	}
	for what, c := range map[string]struct {
		fn    func(*threat.Response)
		kind  threat.FaultKind
		place string
	}{
		"verb":       {func(r *threat.Response) { r.Verb = "nuke" }, threat.Unsupported, "/responses/0/verb"},
		"target":     {func(r *threat.Response) { r.Target.Value = "x" }, threat.Invalid, "/responses/0/target/value"},
		"parameter":  {func(r *threat.Response) { r.Params = map[string]string{"a": "b"} }, threat.Invalid, "/responses/0/params"},
		"end":        {func(r *threat.Response) { r.End = "never" }, threat.Invalid, "/responses/0/end"},
		"duration":   {func(r *threat.Response) { r.Duration = -1 }, threat.Invalid, "/responses/0/duration"},
		"connection": {func(r *threat.Response) { r.Connections = []uuid.UUID{other.ID} }, threat.NotFound, "/responses/0/connections/0"},
	} {
		err := try(c.fn)
		require.True(t, threat.Is(err, c.kind), "%s: %v", what, err)
		assert.Equal(t, c.place, err.(*threat.Fault).Place, what)
	}
	_, err := w.s.CloseCase(w.ctx, w.c.ID, "done", threat.SystemActor)
	require.NoError(t, err)
	assert.True(t, threat.Is(try(func(*threat.Response) {}), threat.Conflict))
	_, err = w.s.ProposeResponses(w.ctx, uuid.New(), nil)
	assert.True(t, threat.Is(err, threat.NotFound))
}

func TestDecisionsAreApplied(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.propose("203.0.113.7")
	d := w.decision(threat.Execute)
	done := w.apply(r, d)
	assert.Equal(t, threat.ResponseActing, done.State)
	assert.Equal(t, threat.BasisMode, done.Basis)
	assert.Equal(t, time.Hour, done.Duration)
	assert.Equal(t, d.Facts, done.Facts)
	_, err := w.s.ApplyDecision(w.ctx, r.ID, r.Version, d)
	assert.True(t, threat.Is(err, threat.Conflict), "decided on an older version")
	_, err = w.s.ApplyDecision(w.ctx, r.ID, done.Version, d)
	assert.True(t, threat.Is(err, threat.Conflict), "it acts already")

	r = w.apply(w.propose("203.0.113.8"), w.decision(threat.Deny))
	assert.Equal(t, threat.ResponseDenied, r.State)
	assert.Equal(t, "because", r.Why)
	require.NotNil(t, r.EndedAt)

	r = w.propose("203.0.113.9")
	d = w.decision(threat.Execute)
	storetest.SetMode(t, w.s, w.o, threat.ModeCollaborate)
	_, err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, d)
	assert.True(t, threat.Is(err, threat.Stale), err)
	assert.Equal(t, r, w.response(r), "nothing was changed")
	r, err = w.s.MarkStale(w.ctx, r.ID, "the mode changed")
	require.NoError(t, err)
	assert.Equal(t, 1, r.Stales)
	d = w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Duration = 0 })
	_, err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, d)
	assert.True(t, threat.Is(err, threat.Invalid))
	_, err = w.s.MarkStale(w.ctx, done.ID, "x")
	require.NoError(t, err)
	w.verified()
}

func TestUnreachableRestsOnContactAndThreat(t *testing.T) {
	w := newWork(t, threat.ModeCollaborateUnreachable)
	r := w.propose("203.0.113.7")
	unreachable := w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Basis = threat.BasisUnreachable })
	_, err := w.s.SetContact(w.ctx, w.c.ID, threat.ContactTrying, "an escalation runs")
	require.NoError(t, err)
	_, err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, unreachable)
	assert.True(t, threat.Is(err, threat.Stale), err)
	unreachable.Basis = threat.BasisMode
	_, err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, unreachable)
	assert.NoError(t, err, "who was reached does not matter to the other bases")
}

func TestTheDigestIsThatOfTheCanonicalBody(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	_, q := w.asked("203.0.113.7")
	raw, err := json.Marshal(q.Body)
	require.NoError(t, err)
	canonical, err := jcs.Transform(raw)
	require.NoError(t, err)
	sum := sha256.Sum256(canonical)
	assert.Equal(t, hex.EncodeToString(sum[:]), q.Digest)
	assert.Equal(t, int64(3600), q.Body.Seconds)
	assert.Equal(t, 1, q.Body.Round)
	assert.Equal(t, threat.RequestAct, q.Body.Kind)
	assert.Equal(t, w.clock.Now().Add(30*time.Minute), q.ExpiresAt)
}

func TestTheSameQuestionIsNotAskedTwice(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	w.clock.Advance(time.Minute)
	again := w.apply(r, w.decision(threat.Ask))
	assert.Equal(t, q.ID, again.RequestID.UUID, "an open one is kept")
	assert.NotEqual(t, r.DecisionID, again.DecisionID)
	assert.Equal(t, threat.RequestOpen, w.request(q.ID).State)

	longer := w.apply(r, w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Duration = 2 * time.Hour }))
	require.NotEqual(t, q.ID, longer.RequestID.UUID, "another body is another question")
	assert.Equal(t, threat.RequestSuperseded, w.request(q.ID).State)
	next := w.request(longer.RequestID.UUID)
	assert.Equal(t, 2, next.Body.Round)
	assert.Equal(t, q.ID, next.Supersedes.UUID)

	two := w.apply(r, w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Duration, d.Approvers.Needed = 2*time.Hour, 2 }))
	assert.NotEqual(t, next.ID, two.RequestID.UUID, "more approvers are another question")
	open, err := w.s.OpenRequests(w.ctx, []uuid.UUID{w.o.ID}, 0)
	require.NoError(t, err)
	require.Len(t, open, 1)
	assert.Equal(t, two.RequestID.UUID, open[0].ID)
	all, err := w.s.RequestsOf(w.ctx, r.ID)
	require.NoError(t, err)
	assert.Len(t, all, 3)
	denied := w.apply(r, w.decision(threat.Deny))
	assert.Equal(t, threat.ResponseDenied, denied.State)
	assert.Equal(t, threat.RequestSuperseded, w.request(two.RequestID.UUID).State)
	w.verified()
}

func TestAConsentOutlivesAnUnrelatedChange(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	a := w.vote(q, w.person("ann", threat.Contact), threat.VerdictApprove)
	require.True(t, a.Accepted, a.Text)
	r = w.response(r)
	require.Equal(t, threat.ResponseActing, r.State)
	require.Equal(t, threat.BasisApproval, r.Basis)

	rounds := 7
	require.NoError(t, w.s.SetSettings(w.ctx, w.o.ID, tenant.Settings{Rounds: &rounds}, threat.SystemActor))
	stale := w.claim(r)
	require.Equal(t, threat.ClaimStale, stale.Verdict)
	r = w.response(r)
	require.Equal(t, threat.ResponseStale, r.State)
	require.Equal(t, 1, r.Stales)
	r = w.apply(r, w.decision(threat.Ask))
	assert.Equal(t, threat.ResponseActing, r.State, "the consent stands")
	assert.Equal(t, threat.BasisApproval, r.Basis)
	assert.Equal(t, threat.ClaimGranted, w.claim(r).Verdict)
	open, err := w.s.OpenRequests(w.ctx, []uuid.UUID{w.o.ID}, 0)
	require.NoError(t, err)
	assert.Empty(t, open)
	w.verified()
}

func TestAConsentIsNotStretched(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	require.True(t, w.vote(q, w.person("ann", threat.Contact), threat.VerdictApprove).Accepted)
	_, err := w.s.MarkStale(w.ctx, r.ID, "moved")
	require.NoError(t, err)
	r = w.apply(r, w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Approvers.Needed = 2 }))
	assert.Equal(t, threat.ResponseAsked, r.State, "one yes is not two")
	assert.NotEqual(t, q.ID, r.RequestID.UUID)

	// Policy lets it go on the strength of an approval that nobody gave.
	r = w.apply(r, w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Basis = threat.BasisApproval }))
	require.Equal(t, threat.ResponseActing, r.State)
	assert.Equal(t, threat.ClaimStale, w.claim(r).Verdict, "the newest question was not approved")
	assert.Equal(t, threat.ResponseStale, w.response(r).State)
}

func TestRequestsExpire(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	_, err := w.s.ExpireRequest(w.ctx, q.ID)
	assert.True(t, threat.Is(err, threat.Conflict), "its time runs")
	w.clock.Advance(30 * time.Minute)
	for range 2 {
		done, err := w.s.ExpireRequest(w.ctx, q.ID)
		require.NoError(t, err)
		assert.Equal(t, threat.RequestExpired, done.State)
	}
	r = w.response(r)
	assert.Equal(t, threat.ResponseExpired, r.State)
	require.NotNil(t, r.EndedAt)
	assert.Equal(t, 1, w.count(threat.EntryRequestClosed))
	w.verified()
}

func TestEndsAreAskedAbout(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	who := threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1}
	open := func(r threat.Response) (threat.Request, error) {
		return w.s.OpenEndRequest(w.ctx, r.ID, who, time.Minute, uuid.New(), "it is held on")
	}
	_, err := open(w.propose("203.0.113.1"))
	require.True(t, threat.Is(err, threat.Conflict), "nothing is held")

	r := w.held("203.0.113.7")
	q, err := open(r)
	require.NoError(t, err)
	again, err := open(r)
	require.NoError(t, err)
	assert.Equal(t, q, again)
	assert.Equal(t, threat.ResponseHeld, w.response(r).State)
	w.clock.Advance(time.Minute)
	_, err = w.s.ExpireRequest(w.ctx, q.ID)
	require.NoError(t, err)
	r = w.response(r)
	assert.Equal(t, threat.ResponseHeld, r.State, "nobody's answer frees nobody")
	assert.Contains(t, r.Why, "nobody answered")

	q, err = open(r)
	require.NoError(t, err)
	_, err = w.s.ExtendHold(w.ctx, r.ID, r.HoldUntil.Add(time.Minute), "people are asked", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, threat.RequestOpen, w.request(q.ID).State, "the question stands while it is held on")
	before := *w.response(r).HoldUntil
	ann := w.person("ann", threat.Contact)
	a := w.vote(q, ann, threat.VerdictDeny)
	require.True(t, a.Accepted)
	assert.Equal(t, threat.RequestDenied, a.State)
	r = w.response(r)
	assert.Equal(t, before.Add(time.Hour), *r.HoldUntil, "for as long again")
	assert.Equal(t, *r.HoldUntil, *r.Holders[0].Until)
	assert.Equal(t, 2, r.Extended)

	q, err = open(r)
	require.NoError(t, err)
	_, err = w.s.SetStop(w.ctx, w.o.ID, true, "test", threat.SystemActor)
	require.NoError(t, err)
	require.True(t, w.vote(q, ann, threat.VerdictApprove).Accepted, "ends can be decided under a stop")
	r = w.response(r)
	assert.Contains(t, r.Ending, "approved by ann")
	assert.Equal(t, ann.Actor(), r.EndingBy)
	assert.Equal(t, threat.ClaimGranted, w.release(r).Verdict)
	w.verified()
}
