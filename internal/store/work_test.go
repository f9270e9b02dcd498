package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// work is a tenant with a mode, a case and a connection.
type work struct {
	rig
	conn threat.Connection
	c    threat.Case
}

const (
	call   = 15 * time.Second // the settings' defaults
	lease  = time.Minute
	settle = 5 * time.Second
)

func newWork(t *testing.T, m threat.Mode, opts ...storetest.Option) work {
	t.Helper()
	w := work{rig: newRig(t, opts...)}
	storetest.SetMode(t, w.s, w.o, m)
	w.conn = storetest.Connection(t, w.s, w.o, "nftables")
	w.c = w.openCase()
	return w
}

// openCase opens one more case of the tenant.
func (w work) openCase(fns ...func(*threat.Triage)) threat.Case {
	w.t.Helper()
	return w.caseOf(w.assign(w.detect(storetest.Observing()), fns...))
}

// in gives the same with another case.
func (w work) in(c threat.Case) work {
	w.c = c
	return w
}

func (w work) facts() threat.Revisions {
	w.t.Helper()
	st, err := w.s.TenantState(w.ctx, w.o.ID)
	require.NoError(w.t, err)
	c, err := w.s.Case(w.ctx, w.c.ID)
	require.NoError(w.t, err)
	return threat.Revisions{Mode: st.ModeVersion, Stop: st.StopVersion, Protection: st.ProtectionVersion, Settings: st.SettingsVersion,
		Contact: c.ContactVersion, Threat: c.ThreatVersion, Policy: "p1"}
}

// propose proposes to block an address over some connections, or the first one.
func (w work) propose(value string, connections ...uuid.UUID) threat.Response {
	w.t.Helper()
	if len(connections) == 0 {
		connections = []uuid.UUID{w.conn.ID}
	}
	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{{Required: true, Action: threat.Action{Step: "block", Verb: "block_ip",
		Target: threat.Target{Kind: threat.TargetIP, Value: value}, Connections: connections}}})
	require.NoError(w.t, err)
	require.Len(w.t, rs, 1)
	return rs[0]
}

// decision is what policy would say with the facts of now.
func (w work) decision(e threat.Effectuate, fns ...func(*threat.RespondDecision)) threat.RespondDecision {
	d := threat.RespondDecision{DecisionID: uuid.New(), Effect: e, Duration: time.Hour, End: threat.EndRelease, AskFor: 30 * time.Minute,
		Approvers: threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1}, Silence: "nothing is done", Facts: w.facts(),
		Reasons: []string{"because"}}
	if e == threat.Execute {
		d.Basis = threat.BasisMode
	}
	for _, fn := range fns {
		fn(&d)
	}
	return d
}

func (w work) apply(r threat.Response, d threat.RespondDecision) threat.Response {
	w.t.Helper()
	r, err := w.s.ApplyDecision(w.ctx, r.ID, w.response(r).Version, d)
	require.NoError(w.t, err)
	return r
}

// acting proposes a block and lets it go.
func (w work) acting(value string, connections ...uuid.UUID) threat.Response {
	w.t.Helper()
	r := w.apply(w.propose(value, connections...), w.decision(threat.Execute))
	require.Equal(w.t, threat.ResponseActing, r.State)
	return r
}

// asked proposes a block and asks about it.
func (w work) asked(value string, fns ...func(*threat.RespondDecision)) (threat.Response, threat.Request) {
	w.t.Helper()
	r := w.apply(w.propose(value), w.decision(threat.Ask, fns...))
	require.Equal(w.t, threat.ResponseAsked, r.State)
	return r, w.request(r.RequestID.UUID)
}

func (w work) response(r threat.Response) threat.Response {
	w.t.Helper()
	r, err := w.s.Response(w.ctx, r.ID)
	require.NoError(w.t, err)
	return r
}

func (w work) request(id uuid.UUID) threat.Request {
	w.t.Helper()
	q, err := w.s.Request(w.ctx, id)
	require.NoError(w.t, err)
	return q
}

func (w work) claim(r threat.Response, connections ...uuid.UUID) threat.ClaimAnswer {
	w.t.Helper()
	id := w.conn.ID
	if len(connections) > 0 {
		id = connections[0]
	}
	a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: id})
	require.NoError(w.t, err)
	return a
}

func (w work) release(r threat.Response, connections ...uuid.UUID) threat.ClaimAnswer {
	w.t.Helper()
	id := w.conn.ID
	if len(connections) > 0 {
		id = connections[0]
	}
	a, err := w.s.ClaimRelease(w.ctx, r.ID, id)
	require.NoError(w.t, err)
	return a
}

func (w work) send(c threat.Claim) bool {
	w.t.Helper()
	got, ok, err := w.s.BeginSend(w.ctx, c.ID, call)
	require.NoError(w.t, err)
	require.Equal(w.t, c.ID, got.ID)
	return ok
}

func (w work) finish(c threat.Claim, o threat.Outcome, fns ...func(*threat.ClaimResult)) {
	w.t.Helper()
	res := threat.ClaimResult{Outcome: o, Detail: "the device said " + string(o)}
	for _, fn := range fns {
		fn(&res)
	}
	require.NoError(w.t, w.s.FinishClaim(w.ctx, c.ID, res))
}

// look records what a read of an effect shows an instant later.
func (w work) look(e threat.Effect, fns ...func(*threat.Sighting)) threat.Effect {
	w.t.Helper()
	w.clock.Advance(time.Microsecond)
	s := threat.Sighting{EffectID: e.ID, Generation: e.Generation, At: w.clock.Now()}
	for _, fn := range fns {
		fn(&s)
	}
	e, err := w.s.RecordSighting(w.ctx, s)
	require.NoError(w.t, err)
	return e
}

func ours(s *threat.Sighting)      { s.Ours, s.InForce = true, true }
func foreign(s *threat.Sighting)   { s.Foreign, s.InForce = true, true }
func published(s *threat.Sighting) { s.Ours = true }
func pending(s *threat.Sighting)   { s.Pending = true }

// held brings a block to where its device shows it.
func (w work) held(value string, connections ...uuid.UUID) threat.Response {
	w.t.Helper()
	r := w.acting(value, connections...)
	for _, id := range r.Connections {
		w.bring(r, id)
	}
	r = w.response(r)
	require.Equal(w.t, threat.ResponseHeld, r.State)
	return r
}

// bring claims, sends and reads an acting response's effect over a connection.
func (w work) bring(r threat.Response, connection uuid.UUID) threat.Effect {
	w.t.Helper()
	a := w.claim(r, connection)
	require.Equal(w.t, threat.ClaimGranted, a.Verdict, a.Why)
	require.True(w.t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	e := w.look(a.Effect, ours)
	require.Equal(w.t, threat.EffectInForce, e.State)
	return e
}

// undo ends a response and takes its effect away.
func (w work) undo(r threat.Response) {
	w.t.Helper()
	_, err := w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
	require.NoError(w.t, err)
	a := w.release(r)
	require.Equal(w.t, threat.ClaimGranted, a.Verdict, a.Why)
	require.True(w.t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	w.look(a.Effect)
	require.Equal(w.t, threat.ResponseReleased, w.response(r).State)
}

// count counts a tenant's entries of a kind.
func (w work) count(kind threat.EntryKind) (n int) {
	w.t.Helper()
	for after := int64(0); ; {
		es, err := w.s.Entries(w.ctx, w.o.ID, after, 0)
		require.NoError(w.t, err)
		if len(es) == 0 {
			return n
		}
		for _, e := range es {
			after = e.Seq
			if e.Kind == kind {
				n++
			}
		}
	}
}

// person makes a person of the tenant and gives them as a caller.
func (w work) person(name string, roles ...threat.Role) threat.Caller {
	w.t.Helper()
	p := storetest.Person(w.t, w.s, w.o, name+"@example.com", roles...)
	return threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, OrgID: w.o.ID, Name: p.Name, Surface: "console"}
}

// ballot is a click that policy allows.
func (w work) ballot(q threat.Request, who threat.Caller, v threat.VerdictKind, fns ...func(*threat.Ballot)) threat.Ballot {
	b := threat.Ballot{Click: threat.Click{RequestID: q.ID, Caller: who, Verdict: v, Digest: q.Digest, Reason: "I say so"},
		Fact: threat.ApproveFact{Allowed: true, Role: threat.Contact, Facts: w.facts()}}
	for _, fn := range fns {
		fn(&b)
	}
	return b
}

func (w work) vote(q threat.Request, who threat.Caller, v threat.VerdictKind, fns ...func(*threat.Ballot)) threat.ClickAnswer {
	w.t.Helper()
	a, err := w.s.CastVote(w.ctx, w.ballot(q, who, v, fns...))
	require.NoError(w.t, err)
	return a
}

// address gives the n-th of many outside addresses.
func address(n int) string { return fmt.Sprintf("198.51.%d.%d", n/200, n%200+1) }
