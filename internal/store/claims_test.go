package store_test

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestAClaimIsALease(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID, Settle: 2 * time.Second})
	require.NoError(t, err)
	require.Equal(t, threat.ClaimGranted, a.Verdict, a.Why)
	now := w.clock.Now()
	c := a.Claim
	assert.Equal(t, threat.Claim{ID: c.ID, TenantID: w.o.ID, CaseID: w.c.ID, ResponseID: r.ID, DecisionID: r.DecisionID, EffectID: a.Effect.ID,
		Generation: 1, Kind: threat.ClaimAct, Class: threat.Contain, Severity: threat.SeverityHigh, Until: now.Add(time.Hour), At: now,
		LeaseUntil: now.Add(lease)}, c)
	assert.Equal(t, threat.EffectClaimed, a.Effect.State)
	assert.Equal(t, int64(1), a.Effect.Generation)
	assert.Equal(t, a, w.claim(r), "asking again gives the same claim")
	got, err := w.s.ClaimByID(w.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, c, got)
	h := w.response(r).Holders[0]
	assert.Equal(t, threat.HolderHolding, h.State)
	assert.Equal(t, c.Until, *h.Until)
	flying, err := w.s.InFlight(w.ctx, w.o.ID)
	require.NoError(t, err)
	assert.Equal(t, []threat.Claim{c}, flying)
	standing, err := w.s.EffectsStanding(w.ctx, w.o.ID)
	require.NoError(t, err)
	assert.Equal(t, []threat.Effect{a.Effect}, standing)
	at, err := w.s.SettleUntil(w.ctx, c.ID)
	require.NoError(t, err)
	assert.Zero(t, at, "nothing was sent")

	w.clock.Advance(lease - call)
	require.False(t, w.send(c), "the lease would not outlast the call")
	w.clock.Advance(-time.Second)
	require.True(t, w.send(c))
	require.False(t, w.send(c), "sent once")
	at, err = w.s.SettleUntil(w.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, w.clock.Now().Add(call+2*time.Second), at, "its deadline, and the product's settle time")
	w.finish(c, threat.OutcomeSuccess)
	w.finish(c, threat.OutcomeFailure)
	of, err := w.s.ClaimsOf(w.ctx, r.ID)
	require.NoError(t, err)
	require.Len(t, of, 1)
	assert.Equal(t, threat.OutcomeSuccess, of[0].Outcome, "the first result stays")
	assert.Equal(t, 1, of[0].Sends)
	assert.Equal(t, 1, w.count(threat.EntryClaimResult))
	assert.Equal(t, threat.ClaimJoined, w.claim(r).Verdict)
	assert.Equal(t, threat.ResponseActing, w.response(r).State, "not contained before the device was read")
	w.look(a.Effect, ours)
	r = w.response(r)
	assert.Equal(t, threat.ResponseHeld, r.State)
	assert.Equal(t, c.Until, *r.HoldUntil)
	assert.Equal(t, w.clock.Now(), *r.HoldFrom)
	byClass, byVerb, err := w.s.Used(w.ctx, w.o.ID, threat.Contain, "block_ip", now.Add(-time.Hour))
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1}, []int{byClass, byVerb})
	w.verified()
}

func TestOnlyWhatActsMayClaim(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.propose("203.0.113.7")
	assert.Equal(t, threat.ClaimStale, w.claim(r).Verdict)
	assert.Equal(t, r, w.response(r), "asking for it changes nothing")
	_, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: uuid.New()})
	assert.True(t, threat.Is(err, threat.Invalid))
	_, err = w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: uuid.New(), ConnectionID: w.conn.ID})
	assert.True(t, threat.Is(err, threat.NotFound))
	_, err = w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID, Kind: threat.ClaimRelease})
	assert.True(t, threat.Is(err, threat.Invalid))
	_, _, err = w.s.BeginSend(w.ctx, uuid.New(), call)
	assert.True(t, threat.Is(err, threat.NotFound))
	require.Zero(t, w.count(threat.EntryClaimGranted))
}

func TestFactsThatMovedAreStale(t *testing.T) {
	for what, move := range map[string]func(w work){
		"mode": func(w work) { storetest.SetMode(t, w.s, w.o, threat.ModeAuthorize) },
		"stop": func(w work) {
			for _, on := range []bool{true, false} {
				_, err := w.s.SetStop(w.ctx, w.o.ID, on, "test", threat.SystemActor)
				require.NoError(t, err)
			}
		},
		"settings": func(w work) {
			n := 3
			require.NoError(t, w.s.SetSettings(w.ctx, w.o.ParentID.UUID, tenant.Settings{Rounds: &n}, threat.SystemActor))
		},
		"protection": func(w work) {
			_, err := w.s.PutAsset(w.ctx, threat.SystemActor, threat.Asset{TenantID: w.o.ID, Kind: "host", Name: "dc1"})
			require.NoError(t, err)
		},
	} {
		w := newWork(t, threat.ModeAuthorize)
		r := w.acting("203.0.113.7")
		move(w)
		a := w.claim(r)
		assert.Equal(t, threat.ClaimStale, a.Verdict, what)
		assert.NotEmpty(t, a.Why)
		r = w.response(r)
		assert.Equal(t, threat.ResponseStale, r.State, what)
		assert.Equal(t, 1, r.Stales)
		r = w.apply(r, w.decision(threat.Execute))
		assert.Equal(t, threat.ClaimGranted, w.claim(r).Verdict, what)
		w.verified()
	}
}

func TestGuardsAreAskedUnderTheLock(t *testing.T) {
	w := newWork(t, threat.ModeCollaborate)
	refused := func(want string, r threat.Response, q threat.ClaimRequest) {
		t.Helper()
		q.ResponseID, q.ConnectionID = r.ID, r.Connections[0]
		before := w.count(threat.EntryClaimRefused)
		for range 2 {
			a, err := w.s.Claim(w.ctx, q)
			require.NoError(t, err)
			assert.Equal(t, threat.ClaimRefused, a.Verdict)
			assert.Equal(t, want, a.Guard)
			assert.NotEmpty(t, a.Why)
		}
		assert.Equal(t, before+1, w.count(threat.EntryClaimRefused), "journalled once")
		assert.Equal(t, threat.ResponseActing, w.response(r).State, "the caller says what follows")
	}
	refused(guard.Mode, w.acting("203.0.113.1"), threat.ClaimRequest{}) // a decision that the mode does not carry
	storetest.SetMode(t, w.s, w.o, threat.ModeAuthorize)
	refused(guard.Lockout, w.acting("203.0.113.2"), threat.ClaimRequest{Ours: []string{"203.0.113.0/24"}})
	refused(guard.NotOurs, w.acting("10.1.2.3"), threat.ClaimRequest{})
	_, err := w.s.PutAsset(w.ctx, threat.SystemActor, threat.Asset{TenantID: w.o.ID, Kind: "host", Name: "dc1", Protected: true,
		Addresses: []string{"10.1.2.3"}})
	require.NoError(t, err)
	refused(guard.Protected, w.apply(w.stale(w.responseAt("10.1.2.3")), w.decision(threat.Execute)), threat.ClaimRequest{})
	off := storetest.Connection(t, w.s, w.o, "feed")
	off.Enabled = false
	_, err = w.s.PutConnection(w.ctx, threat.SystemActor, off)
	require.NoError(t, err)
	refused(guard.Shape, w.acting("203.0.113.4", off.ID), threat.ClaimRequest{})
	w.verified()
}

// responseAt gives the case's response about an address.
func (w work) responseAt(value string) threat.Response {
	w.t.Helper()
	all, err := w.s.Responses(w.ctx, w.c.ID)
	require.NoError(w.t, err)
	for _, r := range all {
		if r.Target.Value == value {
			return r
		}
	}
	require.Fail(w.t, "no response about "+value)
	return threat.Response{}
}

func (w work) stale(r threat.Response) threat.Response {
	w.t.Helper()
	r, err := w.s.MarkStale(w.ctx, r.ID, "test")
	require.NoError(w.t, err)
	return r
}

func TestUnreachableIsReadAgainWhenItIsClaimed(t *testing.T) {
	w := newWork(t, threat.ModeCollaborateUnreachable)
	r := w.apply(w.propose("203.0.113.7"), w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Basis = threat.BasisUnreachable }))
	a := w.claim(r)
	assert.Equal(t, threat.ClaimRefused, a.Verdict)
	assert.Equal(t, guard.Mode, a.Guard, "nobody was tried")
	_, err := w.s.SetThreat(w.ctx, w.c.ID, threat.ThreatContained, "test", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, threat.ClaimStale, w.claim(r).Verdict)
}

func TestManyClaimsOnOneEffectGiveOne(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	const responses, calls = 4, 50
	var rs []threat.Response
	for range responses {
		rs = append(rs, w.in(w.openCase()).acting("203.0.113.7"))
	}
	for generation := int64(1); generation <= 2; generation++ {
		var mu sync.Mutex
		granted, sent := map[uuid.UUID]uuid.UUID{}, 0
		var wg sync.WaitGroup
		for i := range responses * calls {
			wg.Go(func() {
				a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: rs[i%responses].ID, ConnectionID: w.conn.ID})
				if !assert.NoError(t, err) {
					return
				}
				if a.Verdict != threat.ClaimGranted {
					assert.Equal(t, threat.ClaimWait, a.Verdict, a.Why)
					return
				}
				_, ok, err := w.s.BeginSend(w.ctx, a.Claim.ID, call)
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				granted[a.Claim.ID] = a.Claim.ResponseID
				if ok {
					sent++
				}
			})
		}
		wg.Wait()
		require.Len(t, granted, 1, "one claim a generation")
		assert.Equal(t, 1, sent, "sent once")
		assert.Equal(t, int(generation), w.count(threat.EntryClaimGranted))
		for id := range granted {
			c, err := w.s.ClaimByID(w.ctx, id)
			require.NoError(t, err)
			assert.Equal(t, generation, c.Generation)
			w.finish(c, threat.OutcomeFailure)
		}
	}
	w.verified()
}

func TestTwoProcessesShareTheTruth(t *testing.T) {
	address, keys, clock := storetest.URL(t), secret.Ephemeral(), storetest.NewClock()
	opts := []storetest.Option{storetest.WithURL(address), storetest.WithKeys(keys), storetest.WithClock(clock)}
	w := newWork(t, threat.ModeCollaborate, opts...)
	w.clock = clock
	w.clock.Advance(time.Second)
	stores := []*store.Store{w.s, storetest.Open(t, opts...)}
	r, q := w.asked("203.0.113.7")
	who := []threat.Caller{w.person("ann", threat.Contact), w.person("bob", threat.Contact)}
	// each runs something from both processes at once, and counts how often it was the one that did it.
	each := func(times int, do func(s *store.Store, i int) (bool, error)) int32 {
		t.Helper()
		var did atomic.Int32
		var wg sync.WaitGroup
		for i := range times {
			wg.Go(func() {
				ok, err := do(stores[i%2], i)
				if assert.NoError(t, err) && ok {
					did.Add(1)
				}
			})
		}
		wg.Wait()
		return did.Load()
	}
	assert.Equal(t, int32(1), each(10, func(s *store.Store, i int) (bool, error) {
		a, err := s.CastVote(w.ctx, w.ballot(q, who[i%2], threat.VerdictApprove))
		return a.Accepted, err
	}))
	claims := sync.Map{}
	each(20, func(s *store.Store, _ int) (bool, error) {
		a, err := s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID})
		claims.Store(a.Claim.ID, a)
		return a.Verdict == threat.ClaimGranted, err
	})
	var a threat.ClaimAnswer
	n := 0
	claims.Range(func(_, v any) bool { a = v.(threat.ClaimAnswer); n++; return true })
	require.Equal(t, 1, n)
	send := func(c threat.Claim) int32 {
		return each(10, func(s *store.Store, _ int) (bool, error) {
			_, ok, err := s.BeginSend(w.ctx, c.ID, call)
			return ok, err
		})
	}
	assert.Equal(t, int32(1), send(a.Claim))
	finish := func(c threat.Claim) {
		each(6, func(s *store.Store, i int) (bool, error) {
			return true, s.FinishClaim(w.ctx, c.ID, threat.ClaimResult{Outcome: []threat.Outcome{threat.OutcomeUnknown, threat.OutcomeSuccess}[i%2]})
		})
	}
	finish(a.Claim)
	look := func(shows bool) {
		w.clock.Advance(lease)
		each(10, func(s *store.Store, _ int) (bool, error) {
			_, err := s.RecordSighting(w.ctx, threat.Sighting{EffectID: a.Effect.ID, Generation: 1, Ours: shows, InForce: shows, At: w.clock.Now()})
			return true, err
		})
	}
	look(true)
	assert.Equal(t, threat.ResponseHeld, w.response(r).State)
	assert.Equal(t, 1, w.count(threat.EntryEffectVerified))
	each(6, func(s *store.Store, _ int) (bool, error) {
		_, err := s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
		return true, err
	})
	var rel atomic.Value
	each(10, func(s *store.Store, _ int) (bool, error) {
		a, err := s.ClaimRelease(w.ctx, r.ID, w.conn.ID)
		rel.Store(a.Claim)
		return a.Verdict == threat.ClaimGranted, err
	})
	assert.Equal(t, int32(1), send(rel.Load().(threat.Claim)))
	finish(rel.Load().(threat.Claim))
	look(false)
	assert.Equal(t, threat.ResponseReleased, w.response(r).State)
	assert.Equal(t, 2, w.count(threat.EntryClaimGranted))
	assert.Equal(t, 2, w.count(threat.EntryClaimResult))
	assert.Equal(t, 1, w.count(threat.EntryEffectReleased))
	w.verified()
}

func TestTheBudgetHoldsUnderManyClaims(t *testing.T) {
	for severity, want := range map[threat.Severity]int32{threat.SeverityHigh: 8, threat.SeverityCritical: 10} {
		t.Run(severity.String(), func(t *testing.T) {
			w := newWork(t, threat.ModeAuthorize)
			budget := 10
			require.NoError(t, w.s.SetSettings(w.ctx, w.o.ID, tenant.Settings{BudgetContain: &budget}, threat.SystemActor))
			w = w.in(w.openCase(func(a *threat.Triage) { a.Severity = severity }))
			rs := w.manyActing(500)
			var granted, refused atomic.Int32
			var wg sync.WaitGroup
			for _, r := range rs {
				wg.Go(func() {
					a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID})
					if !assert.NoError(t, err) {
						return
					}
					switch a.Verdict {
					case threat.ClaimGranted:
						granted.Add(1)
					case threat.ClaimRefused:
						assert.Contains(t, []string{guard.Budget, guard.Reserve}, a.Guard)
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			assert.Equal(t, want, granted.Load())
			assert.Equal(t, int32(500)-want, refused.Load())
			w.clock.Advance(time.Hour)
			assert.Equal(t, threat.ClaimGranted, w.claim(w.acting("203.0.113.7")).Verdict, "an hour later there is more")
			w.verified()
		})
	}
}

// manyActing gives n acting responses on n addresses.
func (w work) manyActing(n int) []threat.Response {
	w.t.Helper()
	list := make([]threat.Response, n)
	for i := range list {
		list[i] = threat.Response{Action: threat.Action{Step: "block", Verb: "block_ip", Connections: []uuid.UUID{w.conn.ID},
			Target: threat.Target{Kind: threat.TargetIP, Value: address(i)}}}
	}
	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, list)
	require.NoError(w.t, err)
	d := w.decision(threat.Execute)
	for i, r := range rs {
		rs[i], err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, d)
		require.NoError(w.t, err)
	}
	return rs
}

func TestStopAndNarrowerModesBindAtCommit(t *testing.T) {
	for what, bar := range map[string]func(w work) threat.EntryKind{
		"stop": func(w work) threat.EntryKind {
			flying, err := w.s.SetStop(w.ctx, w.o.ParentID.UUID, true, "enough", threat.SystemActor)
			assert.NoError(t, err)
			assert.NotEmpty(t, flying, "what was claimed before is told")
			return threat.EntryStopChanged
		},
		"mode": func(w work) threat.EntryKind {
			storetest.SetMode(t, w.s, w.o, threat.ModeNotify)
			return threat.EntryModeChanged
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWork(t, threat.ModeAuthorize)
			rs := w.manyActing(1000)
			for _, r := range rs[:20] {
				require.Equal(t, threat.ClaimGranted, w.claim(r).Verdict)
			}
			begin := make(chan struct{})
			var asked, granted atomic.Int32
			var wg sync.WaitGroup
			for _, part := range [][]threat.Response{rs[20:350], rs[350:700], rs[700:]} {
				wg.Go(func() {
					for _, r := range part {
						if asked.Add(1) == 200 {
							close(begin)
						}
						w.clock.Advance(2 * time.Minute) // so that the budget is never spent
						a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID})
						assert.NoError(t, err)
						if a.Verdict == threat.ClaimGranted {
							granted.Add(1)
						}
					}
				})
			}
			var kind threat.EntryKind
			wg.Go(func() {
				<-begin
				kind = bar(w)
			})
			wg.Wait()
			assert.Greater(t, granted.Load(), int32(150), "it came in the midst of them")
			assert.Less(t, granted.Load(), int32(900))
			var barred int64
			after := 0
			for last := int64(0); ; {
				es, err := w.s.Entries(w.ctx, w.o.ID, last, 0)
				require.NoError(t, err)
				if len(es) == 0 {
					break
				}
				for _, e := range es {
					last = e.Seq
					switch {
					case e.Kind == kind:
						barred = e.Seq
						after = 0
					case e.Kind == threat.EntryClaimGranted && barred > 0:
						after++
					}
				}
			}
			require.NotZero(t, barred)
			assert.Zero(t, after, "not one claim after it")
			for _, r := range w.waiting() {
				assert.NotEqual(t, threat.ClaimGranted, w.claim(r).Verdict)
			}
			w.verified()
		})
	}
}

// waiting gives some of the responses of the case that hold nothing.
func (w work) waiting() (out []threat.Response) {
	w.t.Helper()
	all, err := w.s.Responses(w.ctx, w.c.ID)
	require.NoError(w.t, err)
	for _, r := range all {
		if r.Holders[0].State == threat.HolderWanted && len(out) < 20 {
			out = append(out, r)
		}
	}
	return out
}

func TestAStopKeepsBackWhatWasNotSent(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r, sent := w.acting("203.0.113.7"), w.acting("203.0.113.8")
	a, b := w.claim(r), w.claim(sent)
	require.True(t, w.send(b.Claim))
	flying, err := w.s.SetStop(w.ctx, w.o.ID, true, "enough", threat.SystemActor)
	require.NoError(t, err)
	assert.Len(t, flying, 2)
	require.False(t, w.send(a.Claim))
	c, err := w.s.ClaimByID(w.ctx, a.Claim.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.OutcomeFailure, c.Outcome)
	assert.Contains(t, c.Error, "stop")
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State)
	w.finish(b.Claim, threat.OutcomeSuccess)
	w.look(b.Effect, ours)
	assert.Equal(t, threat.ResponseHeld, w.response(sent).State, "what was under way is seen to its end")
	w.undo(sent) // under the stop
	w.verified()
}

func TestWhatWasDecidedOnOtherFactsIsNotSent(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	other := storetest.Connection(t, w.s, w.o, "feed")
	r := w.acting("203.0.113.7", w.conn.ID, other.ID)
	a, b := w.claim(r), w.claim(r, other.ID)
	require.True(t, w.send(b.Claim))
	storetest.SetMode(t, w.s, w.o, threat.ModeCollaborate)
	require.False(t, w.send(a.Claim))
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State)
	assert.Equal(t, threat.ClaimStale, w.claim(r).Verdict)
	w.look(b.Effect, ours)
	r = w.response(r)
	assert.Equal(t, threat.ResponseStale, r.State)
	r = w.apply(r, w.decision(threat.Ask))
	require.True(t, w.vote(w.request(r.RequestID.UUID), w.person("ann", threat.Contact), threat.VerdictApprove).Accepted)
	r = w.response(r)
	require.Equal(t, threat.ResponseActing, r.State)
	w.bring(r, w.conn.ID)
	of, err := w.s.ClaimsOf(w.ctx, r.ID)
	require.NoError(t, err)
	assert.Len(t, of, 3)
	assert.Equal(t, threat.ResponseHeld, w.response(r).State)
	w.verified()
}

func (w work) effect(a threat.ClaimAnswer) threat.Effect {
	w.t.Helper()
	e, err := w.s.Effect(w.ctx, a.Effect.ID)
	require.NoError(w.t, err)
	return e
}

func TestLapse(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	assert.True(t, threat.Is(w.s.LapseClaim(w.ctx, a.Claim.ID), threat.Conflict), "it may still be sent")
	w.clock.Advance(lease)
	require.NoError(t, w.s.LapseClaim(w.ctx, a.Claim.ID))
	require.NoError(t, w.s.LapseClaim(w.ctx, a.Claim.ID))
	require.False(t, w.send(a.Claim))
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	assert.Equal(t, threat.HolderFailed, r.Holders[0].State)
	assert.Contains(t, r.Why, "lapsed")
	err := w.s.FinishClaim(w.ctx, a.Claim.ID, threat.ClaimResult{Outcome: threat.OutcomeSuccess})
	require.NoError(t, err, "a late result changes nothing")
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State)

	next := w.claim(r)
	require.Equal(t, threat.ClaimGranted, next.Verdict)
	assert.Equal(t, int64(2), next.Claim.Generation)
	assert.Empty(t, w.response(r).Why)
	require.True(t, w.send(next.Claim))
	assert.True(t, threat.Is(w.s.LapseClaim(w.ctx, next.Claim.ID), threat.Conflict), "it was sent")
	w.verified()
}

func TestResultsOfAnAct(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	err := w.s.FinishClaim(w.ctx, a.Claim.ID, threat.ClaimResult{Outcome: threat.OutcomeSuccess})
	assert.True(t, threat.Is(err, threat.Conflict), "nothing was sent")
	err = w.s.FinishClaim(w.ctx, a.Claim.ID, threat.ClaimResult{})
	assert.True(t, threat.Is(err, threat.Invalid))
	w.finish(a.Claim, threat.OutcomeUnsupported)
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State)
	h := w.response(r).Holders[0]
	assert.Equal(t, threat.HolderFailed, h.State)
	assert.Equal(t, threat.OutcomeUnsupported, h.Outcome)
	assert.Equal(t, "the device said unsupported", h.Error)
	for _, o := range []threat.Outcome{threat.OutcomeFailure, threat.OutcomeError, threat.OutcomeDoesNotExist} {
		a = w.claim(r)
		require.True(t, w.send(a.Claim))
		w.finish(a.Claim, o)
		assert.Equal(t, threat.EffectAbsent, w.effect(a).State, o)
	}
	a = w.claim(r)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomePartial)
	assert.Equal(t, threat.EffectUnknown, w.effect(a).State, "a part may be there: the device is read")
	_, err = w.s.FailResponse(w.ctx, r.ID, "given up")
	assert.True(t, threat.Is(err, threat.Conflict), "it may hold something")
	w.finish(a.Claim, threat.OutcomeFailure)
	done, err := w.s.FailResponse(w.ctx, r.ID, "given up")
	require.NoError(t, err)
	assert.Equal(t, threat.ResponseFailed, done.State)
	_, err = w.s.FailResponse(w.ctx, r.ID, "given up")
	require.NoError(t, err)
	_, err = w.s.EndHold(w.ctx, r.ID, "x", threat.SystemActor)
	assert.True(t, threat.Is(err, threat.Conflict))
	w.verified()
}

func TestTheJournalTellsWhatWasClaimed(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	es, err := w.s.EntriesOfCase(w.ctx, w.c.ID)
	require.NoError(t, err)
	e := es[len(es)-1]
	require.Equal(t, threat.EntryClaimGranted, e.Kind)
	assert.Equal(t, "claim:"+a.Effect.ID.String()+":1", e.Key)
	assert.Equal(t, "claim:"+a.Claim.ID.String(), e.Subject)
	var payload struct {
		threat.Claim
		Verb       string        `json:"verb"`
		Target     threat.Target `json:"target"`
		Connection uuid.UUID     `json:"connection_id"`
	}
	require.NoError(t, json.Unmarshal(e.Payload, &payload))
	assert.Equal(t, a.Claim.ID, payload.ID)
	assert.Equal(t, "block_ip", payload.Verb)
	assert.Equal(t, "203.0.113.7", payload.Target.Value)
	assert.Equal(t, w.conn.ID, payload.Connection)
}
