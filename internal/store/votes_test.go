package store_test

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// lastClick gives the newest click in a journal.
func (w work) lastClick(org uuid.UUID) (e threat.Entry, payload map[string]any) {
	w.t.Helper()
	es, err := w.s.Entries(w.ctx, org, 0, 0)
	require.NoError(w.t, err)
	for _, x := range es {
		if x.Kind == threat.EntryClickAccepted || x.Kind == threat.EntryClickRefused {
			e = x
		}
	}
	require.NotEmpty(w.t, e.Kind, "no click is journalled")
	require.NoError(w.t, json.Unmarshal(e.Payload, &payload))
	return e, payload
}

func TestEveryRefusalHasItsNameAndItsEntry(t *testing.T) {
	type setup struct {
		w   work
		r   threat.Response
		q   threat.Request
		ann threat.Caller
	}
	approve := func(s setup, fns ...func(*threat.Ballot)) threat.Ballot {
		return s.w.ballot(s.q, s.ann, threat.VerdictApprove, fns...)
	}
	fact := func(why threat.Refusal) func(s setup) threat.Ballot {
		return func(s setup) threat.Ballot {
			return approve(s, func(b *threat.Ballot) { b.Fact = threat.ApproveFact{Refusal: why, Why: "policy said so"} })
		}
	}
	for want, click := range map[threat.Refusal]func(s setup) threat.Ballot{
		threat.RefusedNotAPerson: func(s setup) threat.Ballot {
			s.ann.PersonID, s.ann.TokenID = uuid.NullUUID{}, uuid.NullUUID{UUID: uuid.New(), Valid: true}
			return approve(s)
		},
		threat.RefusedWrongPerson: func(s setup) threat.Ballot {
			require.NoError(t, s.w.s.DisablePerson(s.w.ctx, s.ann.PersonID.UUID, threat.SystemActor))
			return approve(s)
		},
		threat.RefusedSelf:    fact(threat.RefusedSelf),
		threat.RefusedSubject: fact(threat.RefusedSubject),
		threat.RefusedPolicy:  fact(threat.RefusedNone),
		threat.RefusedTwice: func(s setup) threat.Ballot {
			require.True(t, s.w.vote(s.q, s.ann, threat.VerdictApprove).Accepted)
			return approve(s)
		},
		threat.RefusedDecided: func(s setup) threat.Ballot {
			require.True(t, s.w.vote(s.q, s.w.person("bob", threat.Contact), threat.VerdictDeny).Accepted)
			return approve(s)
		},
		threat.RefusedExpired: func(s setup) threat.Ballot {
			s.w.clock.Advance(30 * time.Minute)
			return approve(s)
		},
		threat.RefusedChanged: func(s setup) threat.Ballot {
			return approve(s, func(b *threat.Ballot) { b.Click.Digest = strings.Repeat("0", 64) })
		},
		threat.RefusedSuperseded: func(s setup) threat.Ballot {
			s.w.apply(s.r, s.w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Duration = time.Minute }))
			return approve(s)
		},
		threat.RefusedNotNarrower: func(s setup) threat.Ballot {
			return approve(s, func(b *threat.Ballot) {
				b.Click.Verdict, b.Click.Narrower = threat.VerdictNarrow, &threat.Narrowing{Seconds: 3601}
			})
		},
		threat.RefusedStopped: func(s setup) threat.Ballot {
			_, err := s.w.s.SetStop(s.w.ctx, s.w.o.ParentID.UUID, true, "test", threat.SystemActor)
			require.NoError(t, err)
			return approve(s)
		},
		threat.RefusedStale: func(s setup) threat.Ballot {
			b := approve(s)
			rounds := 3
			require.NoError(t, s.w.s.SetSettings(s.w.ctx, s.w.o.ID, tenant.Settings{Rounds: &rounds}, threat.SystemActor))
			return b
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			w := newWork(t, threat.ModeCollaborate)
			s := setup{w: w, ann: w.person("ann", threat.Contact)}
			s.r, s.q = w.asked("203.0.113.7", func(d *threat.RespondDecision) { d.Approvers.Needed = 2 })
			b := click(s)
			before := w.request(s.q.ID)
			a, err := w.s.CastVote(w.ctx, b)
			require.NoError(t, err)
			assert.False(t, a.Accepted)
			assert.Equal(t, want, a.Refusal)
			assert.NotEmpty(t, a.Text)
			assert.Equal(t, 2, a.Need)
			assert.Equal(t, before, w.request(s.q.ID), "a refused click changes nothing")
			e, payload := w.lastClick(w.o.ID)
			assert.Equal(t, threat.EntryClickRefused, e.Kind)
			assert.Equal(t, b.Click.Caller.Actor(), e.Actor)
			assert.Equal(t, w.c.ID, e.CaseID.UUID)
			assert.Equal(t, string(want), payload["refusal"])
			assert.Equal(t, b.Click.Digest, payload["digest"])
			assert.Equal(t, string(b.Click.Verdict), payload["verdict"])
			assert.Equal(t, "console", payload["surface"])
			w.verified()
		})
	}
}

func TestAClickOnNothingIsJournalledToo(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	_, q := w.asked("203.0.113.7")
	ann := w.person("ann", threat.Contact)
	b := w.ballot(q, ann, threat.VerdictApprove)
	b.Click.RequestID = uuid.New()
	a, err := w.s.CastVote(w.ctx, b)
	require.NoError(t, err)
	assert.Equal(t, threat.RefusedUnknown, a.Refusal)
	_, payload := w.lastClick(ann.OrgID)
	assert.Equal(t, "no_such_request", payload["refusal"])
	b.Click.Caller.OrgID = uuid.New()
	a, err = w.s.CastVote(w.ctx, b)
	require.NoError(t, err)
	assert.Equal(t, threat.RefusedUnknown, a.Refusal)
	b.Click.Verdict = "maybe"
	_, err = w.s.CastVote(w.ctx, b)
	assert.True(t, threat.Is(err, threat.Invalid))
}

func TestWhatNoAnswerOfPolicyLifts(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	ann := w.person("ann", threat.Contact)
	_, nobody := w.asked("203.0.113.7", func(d *threat.RespondDecision) { d.Approvers.Roles = nil })
	assert.Equal(t, threat.RefusedWrongPerson, w.vote(nobody, ann, threat.VerdictApprove).Refusal, "an empty list means nobody")

	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{{AskedBy: ann.Actor(), Action: threat.Action{Step: "by-hand",
		Verb: "block_ip", Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.8"}, Connections: []uuid.UUID{w.conn.ID}}}})
	require.NoError(t, err)
	r := w.apply(rs[0], w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Approvers.FourEyes = true }))
	q := w.request(r.RequestID.UUID)
	assert.Equal(t, threat.RefusedSelf, w.vote(q, ann, threat.VerdictApprove).Refusal)
	assert.True(t, w.vote(q, w.person("bob", threat.Contact), threat.VerdictApprove).Accepted)
}

func TestApprovalLetsItGoOnce(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	ann := w.person("ann", threat.Contact)
	a := w.vote(q, ann, threat.VerdictApprove)
	assert.Equal(t, threat.ClickAnswer{Accepted: true, Text: "it is approved", State: threat.RequestApproved, Have: 1, Need: 1}, a)
	again := w.vote(q, ann, threat.VerdictApprove)
	assert.Equal(t, threat.RefusedDecided, again.Refusal)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	assert.Equal(t, "approved by ann: I say so", r.Why)
	q = w.request(q.ID)
	require.Len(t, q.Votes, 1)
	assert.Equal(t, threat.Vote{RequestID: q.ID, PersonID: ann.PersonID.UUID, Name: "ann", Role: threat.Contact,
		Verdict: threat.VerdictApprove, Reason: "I say so", Surface: "console", At: w.clock.Now()}, q.Votes[0])
	assert.Equal(t, threat.ClaimGranted, w.claim(r).Verdict)
	assert.Equal(t, 1, w.count(threat.EntryClickAccepted))
	assert.Equal(t, 1, w.count(threat.EntryClickRefused))
	w.verified()
}

func TestAQuorumOfTwo(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7", func(d *threat.RespondDecision) { d.Approvers.Needed = 2 })
	ann, bob := w.person("ann", threat.Contact), w.person("bob", threat.Contact)
	more := w.vote(q, ann, threat.VerdictMore)
	assert.Equal(t, threat.ClickAnswer{Accepted: true, Text: "noted; nothing is decided by it", State: threat.RequestOpen, Need: 2}, more)
	first := w.vote(q, ann, threat.VerdictApprove)
	assert.Equal(t, threat.ClickAnswer{Accepted: true, Text: "counted: 1 of 2 approvals", State: threat.RequestOpen, Have: 1, Need: 2}, first)
	assert.Equal(t, threat.ResponseAsked, w.response(r).State)
	assert.Equal(t, threat.RefusedTwice, w.vote(q, ann, threat.VerdictApprove).Refusal)
	second := w.vote(q, bob, threat.VerdictApprove)
	assert.Equal(t, threat.RequestApproved, second.State)
	assert.Equal(t, 2, second.Have)
	assert.Equal(t, threat.ResponseActing, w.response(r).State)

	r, q = w.asked("203.0.113.8", func(d *threat.RespondDecision) { d.Approvers.Needed = 2 })
	require.True(t, w.vote(q, ann, threat.VerdictApprove).Accepted)
	no := w.vote(q, bob, threat.VerdictDeny)
	assert.Equal(t, threat.RequestDenied, no.State, "one no is enough")
	assert.Equal(t, threat.ResponseDenied, w.response(r).State)
	w.verified()
}

func TestNarrowing(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	other := storetest.Connection(t, w.s, w.o, "feed")
	r := w.apply(w.propose("203.0.113.7", w.conn.ID, other.ID), w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Approvers.Needed = 2 }))
	q := w.request(r.RequestID.UUID)
	ann, bob := w.person("ann", threat.Contact), w.person("bob", threat.Contact)
	require.True(t, w.vote(q, bob, threat.VerdictApprove).Accepted)

	narrow := func(n *threat.Narrowing, d *threat.RespondDecision) func(*threat.Ballot) {
		return func(b *threat.Ballot) { b.Click.Narrower, b.Narrower = n, d }
	}
	d := w.decision(threat.Ask, func(d *threat.RespondDecision) { d.Duration, d.Approvers.Needed = 10*time.Minute, 2 })
	for what, n := range map[string]*threat.Narrowing{"nothing": nil, "the same": {Seconds: 3600}, "longer": {Seconds: 3601},
		"negative": {Seconds: -1}, "all connections": {Connections: q.Body.Connections}, "another connection": {Connections: []uuid.UUID{uuid.New()}},
		"longer on fewer": {Seconds: 7200, Connections: []uuid.UUID{other.ID}}} {
		assert.Equal(t, threat.RefusedNotNarrower, w.vote(q, ann, threat.VerdictNarrow, narrow(n, &d)).Refusal, what)
	}
	half := &threat.Narrowing{Seconds: 1800, Connections: []uuid.UUID{other.ID}}
	deny := w.decision(threat.Deny)
	assert.Equal(t, threat.RefusedPolicy, w.vote(q, ann, threat.VerdictNarrow, narrow(half, &deny)).Refusal)
	assert.Equal(t, threat.RefusedPolicy, w.vote(q, ann, threat.VerdictNarrow, narrow(half, nil)).Refusal)
	old := d
	old.Facts.Protection--
	assert.Equal(t, threat.RefusedStale, w.vote(q, ann, threat.VerdictNarrow, narrow(half, &old)).Refusal)
	require.Equal(t, threat.RequestOpen, w.request(q.ID).State)

	a := w.vote(q, ann, threat.VerdictNarrow, narrow(half, &d))
	require.True(t, a.Accepted, a.Text)
	require.True(t, a.Next.Valid)
	assert.Equal(t, threat.RequestSuperseded, w.request(q.ID).State)
	next := w.request(a.Next.UUID)
	assert.Equal(t, threat.RequestOpen, next.State, "the vote on the old digest lapsed")
	assert.Equal(t, int64(600), next.Body.Seconds, "policy cut it further")
	assert.Equal(t, []uuid.UUID{other.ID}, next.Body.Connections)
	assert.Equal(t, q.ID, next.Supersedes.UUID)
	require.Len(t, next.Votes, 1)
	assert.Equal(t, ann.PersonID.UUID, next.Votes[0].PersonID)
	assert.Equal(t, 1, a.Have)
	assert.Equal(t, threat.RefusedTwice, w.vote(next, ann, threat.VerdictApprove).Refusal)
	assert.Equal(t, threat.RequestApproved, w.vote(next, bob, threat.VerdictApprove).State)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	assert.Equal(t, 10*time.Minute, r.Duration)
	require.Len(t, r.Holders, 1)
	_, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID})
	assert.True(t, threat.Is(err, threat.Invalid), "narrowed away")
	granted := w.claim(r, other.ID)
	require.Equal(t, threat.ClaimGranted, granted.Verdict, granted.Why)
	assert.Equal(t, w.clock.Now().Add(10*time.Minute), granted.Claim.Until)
	w.verified()
}

func TestNarrowingIsEnoughWhenOneIsNeeded(t *testing.T) {
	for _, effect := range []threat.Effectuate{threat.Ask, threat.Execute} {
		w := newWork(t, threat.ModeCollaborate)
		r, q := w.asked("203.0.113.7")
		d := w.decision(effect, func(d *threat.RespondDecision) { d.Duration, d.Basis = 30*time.Minute, threat.BasisApproval })
		a := w.vote(q, w.person("ann", threat.Contact), threat.VerdictNarrow, func(b *threat.Ballot) {
			b.Click.Narrower, b.Narrower = &threat.Narrowing{Seconds: 1800}, &d
		})
		require.True(t, a.Accepted, a.Text)
		assert.Equal(t, threat.RequestApproved, w.request(a.Next.UUID).State)
		r = w.response(r)
		assert.Equal(t, threat.ResponseActing, r.State)
		assert.Equal(t, d.DecisionID, r.DecisionID.UUID)
		assert.Equal(t, threat.ClaimGranted, w.claim(r).Verdict)
		w.verified()
	}
}

func TestManyClicksGiveOneDecision(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	r, q := w.asked("203.0.113.7")
	const clicks = 50
	who := make([]threat.Caller, 5)
	for i := range who {
		who[i] = w.person("contact-"+string(rune('a'+i)), threat.Contact)
	}
	var accepted, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range clicks {
		b := w.ballot(q, who[i%len(who)], threat.VerdictApprove)
		wg.Go(func() {
			a, err := w.s.CastVote(w.ctx, b)
			switch {
			case !assert.NoError(t, err):
			case a.Accepted:
				accepted.Add(1)
			case assert.Contains(t, []threat.Refusal{threat.RefusedDecided, threat.RefusedTwice}, a.Refusal):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, int32(1), accepted.Load())
	assert.Equal(t, int32(clicks-1), refused.Load())
	assert.Equal(t, 1, w.count(threat.EntryClickAccepted))
	assert.Equal(t, clicks-1, w.count(threat.EntryClickRefused))
	assert.Equal(t, 1, w.count(threat.EntryRequestClosed))
	assert.Equal(t, threat.ResponseActing, w.response(r).State)
	w.verified()
}

func TestAContactWhoDecidesIsOnTheCase(t *testing.T) {
	w := newWork(t, threat.ModeCollaborateUnreachable)
	_, q := w.asked("203.0.113.7")
	e, err := w.s.StartEscalation(w.ctx, w.c.ID, chainOf(storetest.Contact(t, w.s, w.o)), "an attack")
	require.NoError(t, err)
	require.True(t, w.vote(q, w.person("ann", threat.Contact), threat.VerdictDeny).Accepted)
	c, err := w.s.Case(w.ctx, w.c.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.ContactAcknowledged, c.Contact)
	assert.Equal(t, "ann", c.AckBy)
	assert.True(t, c.Acknowledged(w.clock.Now()), "nobody counts as unreachable while it holds")
	e, err = w.s.Escalation(w.ctx, e.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.EscalationAcknowledged, e.State, "nobody else is called")

	other := w.in(w.openCase())
	_, q = other.asked("203.0.113.9", func(d *threat.RespondDecision) { d.Approvers.Roles = []threat.Role{threat.Analyst} })
	require.True(t, other.vote(q, other.person("eve", threat.Analyst), threat.VerdictApprove, func(b *threat.Ballot) {
		b.Fact.Role = threat.Analyst
	}).Accepted)
	c, err = w.s.Case(w.ctx, other.c.ID)
	require.NoError(t, err)
	assert.False(t, c.Acknowledged(w.clock.Now()), "an analyst's word is not the customer's")
	w.verified()
}
