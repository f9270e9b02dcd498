package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestWhatMayHaveHappenedIsSettledByReading(t *testing.T) {
	for what, c := range map[string]struct {
		answer bool
		shows  func(*threat.Sighting)
		want   threat.EffectState
	}{
		"an answer that is unknown, and it is there": {true, ours, threat.EffectInForce},
		"an answer that is unknown, and it is not":   {true, func(*threat.Sighting) {}, threat.EffectAbsent},
		"no answer, and it is there":                 {false, ours, threat.EffectInForce},
		"no answer, and it is not":                   {false, func(*threat.Sighting) {}, threat.EffectAbsent},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWork(t, threat.ModeAuthorize)
			r := w.acting("203.0.113.7")
			a := w.claim(r)
			require.Equal(t, threat.EffectClaimed, w.look(a.Effect).State, "it was not sent: that nothing is there says nothing")
			require.True(t, w.send(a.Claim))
			if c.answer {
				w.clock.Advance(2 * time.Second)
				w.finish(a.Claim, threat.OutcomeUnknown)
				w.finish(a.Claim, threat.OutcomeUnknown)
				assert.Equal(t, threat.EffectUnknown, w.effect(a).State)
				r = w.response(r)
				assert.Equal(t, threat.ResponseActing, r.State)
				assert.Contains(t, r.Why, "may have happened")
			}
			flying, err := w.s.InFlight(w.ctx, w.o.ID)
			require.NoError(t, err)
			require.Len(t, flying, 1, "it may be on its way")
			at, err := w.s.SettleUntil(w.ctx, a.Claim.ID)
			require.NoError(t, err)
			before := w.effect(a)
			w.clock.Advance(at.Sub(w.clock.Now()) - 3*time.Microsecond)
			assert.Equal(t, before, w.look(a.Effect), "too early to believe that nothing is there")
			w.clock.Advance(time.Microsecond)
			assert.Equal(t, before, w.look(a.Effect, pending), "a job is under way there")
			e := w.look(a.Effect, c.shows)
			assert.Equal(t, c.want, e.State)
			claim, err := w.s.ClaimByID(w.ctx, a.Claim.ID)
			require.NoError(t, err)
			assert.Equal(t, w.clock.Now(), *claim.ReadAt)
			require.NotNil(t, claim.ResultAt)
			r = w.response(r)
			if c.want == threat.EffectInForce {
				assert.Equal(t, threat.OutcomeSuccess, claim.Outcome)
				assert.Equal(t, threat.ResponseHeld, r.State)
				assert.Equal(t, 1, w.count(threat.EntryEffectVerified))
			} else {
				assert.Equal(t, threat.OutcomeFailure, claim.Outcome)
				assert.Equal(t, threat.ResponseActing, r.State)
				assert.Equal(t, threat.HolderFailed, r.Holders[0].State)
				next := w.claim(r)
				assert.Equal(t, threat.ClaimGranted, next.Verdict)
				assert.Equal(t, int64(2), next.Claim.Generation)
				// The first request's answer comes at last, and a read of its generation.
				w.finish(a.Claim, threat.OutcomeSuccess)
				assert.Equal(t, threat.EffectClaimed, w.look(a.Effect, ours).State, "another generation's read")
				assert.Equal(t, int64(2), w.effect(next).Generation)
			}
			w.verified()
		})
	}
}

func TestASuccessThatADeviceDoesNotShow(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	assert.Equal(t, threat.EffectClaimed, w.look(a.Effect).State)
	w.clock.Advance(settle)
	assert.Equal(t, threat.EffectAbsent, w.look(a.Effect).State)
	c, err := w.s.ClaimByID(w.ctx, a.Claim.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.OutcomeFailure, c.Outcome)
	assert.Contains(t, w.response(r).Why, "does not show it")
	w.verified()
}

func TestPublishedIsNotInForce(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	e := w.look(a.Effect, published)
	assert.Equal(t, threat.EffectClaimed, e.State)
	assert.True(t, e.Published)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	until := r.Holders[0].Until.Add(time.Hour)
	r, err := w.s.ExtendHold(w.ctx, r.ID, until, "asked", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, until, *r.Holders[0].Until)
	e = w.look(a.Effect, ours)
	assert.Equal(t, threat.EffectInForce, e.State)
	assert.False(t, e.Published)
	r = w.response(r)
	assert.Equal(t, threat.ResponseHeld, r.State)
	assert.Equal(t, until, *r.HoldUntil)
	w.clock.Advance(time.Minute)
	e = w.look(a.Effect, published)
	assert.Equal(t, threat.EffectInForce, e.State, "a firewall more that has not fetched is no drift")
	assert.True(t, e.Published)
	assert.NotEqual(t, w.clock.Now(), *e.VerifiedAt)
	w.verified()
}

func TestReadsAreTakenOnce(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.held("203.0.113.7")
	e := *r.Holders[0].Effect
	version := r.Version
	at := w.clock.Now()
	for range 3 {
		w.look(e, ours)
	}
	assert.Equal(t, version, w.response(r).Version)
	assert.Equal(t, 1, w.count(threat.EntryEffectVerified))
	w.clock.Advance(time.Minute)
	e = w.look(e, ours, func(s *threat.Sighting) { ends := at.Add(2 * time.Hour); s.Handle, s.DeviceEnds = "h7", &ends })
	assert.Equal(t, "h7", e.Handle)
	assert.Equal(t, at.Add(2*time.Hour), *e.DeviceEnds)
	assert.Equal(t, threat.EffectInForce, w.look(e, func(s *threat.Sighting) { s.At = at }).State, "an older read than what is known")
	_, err := w.s.RecordSighting(w.ctx, threat.Sighting{EffectID: uuid.New()})
	assert.True(t, threat.Is(err, threat.NotFound))
	_, err = w.s.Effect(w.ctx, uuid.New())
	assert.True(t, threat.Is(err, threat.NotFound))
}

func TestDrift(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.held("203.0.113.7")
	until := *r.HoldUntil
	_, err := w.s.SetThreat(w.ctx, w.c.ID, threat.ThreatContained, "verified", threat.SystemActor)
	require.NoError(t, err)
	w.clock.Advance(10 * time.Minute)
	e := w.look(*r.Holders[0].Effect)
	assert.Equal(t, threat.EffectAbsent, e.State)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	assert.Equal(t, threat.HolderFailed, r.Holders[0].State)
	assert.Contains(t, r.Why, "drift")
	c, err := w.s.Case(w.ctx, w.c.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.ThreatActive, c.Threat)
	w.look(*r.Holders[0].Effect)
	assert.Equal(t, 1, w.count(threat.EntryEffectDrift))

	e = w.bring(r, w.conn.ID)
	assert.Equal(t, int64(2), e.Generation)
	r = w.response(r)
	assert.Equal(t, threat.ResponseHeld, r.State)
	assert.Empty(t, r.Why)
	assert.Equal(t, until, *r.HoldUntil, "one action has one end")

	w.look(e)
	w.clock.Advance(time.Hour)
	assert.Equal(t, threat.ClaimStale, w.claim(r).Verdict, "its time is over")
	done, err := w.s.EndHold(w.ctx, r.ID, "its time is up", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, threat.ResponseReleased, done.State, "it holds nothing any more")
	w.verified()
}

func TestPartial(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	other := storetest.Connection(t, w.s, w.o, "feed")
	r := w.acting("203.0.113.7", w.conn.ID, other.ID)
	w.bring(r, w.conn.ID)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	require.NotNil(t, r.HoldUntil, "the clock runs from the first device")
	w.clock.Advance(time.Minute)
	a := w.claim(r, other.ID)
	assert.Equal(t, *r.HoldUntil, a.Claim.Until, "one action has one end")
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeError)
	r = w.response(r)
	assert.Equal(t, threat.ResponseHeld, r.State)
	assert.Equal(t, "partial: 1 of 2 in force; the device said error", r.Why)

	// The device that holds loses it; it alone is claimed anew.
	h, _ := holder(r, w.conn.ID)
	w.look(*h.Effect)
	r = w.response(r)
	assert.Equal(t, threat.ResponseActing, r.State)
	w.bring(r, w.conn.ID)
	assert.Equal(t, threat.ResponseHeld, w.response(r).State)
	w.undo(r)
	w.verified()
}

func holder(r threat.Response, connection uuid.UUID) (threat.Holder, bool) {
	for _, h := range r.Holders {
		if h.ConnectionID == connection {
			return h, true
		}
	}
	return threat.Holder{}, false
}

func TestADecisionAboutTheRestFreesNobody(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	other := storetest.Connection(t, w.s, w.o, "feed")
	for what, against := range map[string]func(r threat.Response){
		"policy": func(r threat.Response) { w.apply(r, w.decision(threat.Deny)) },
		"silence": func(r threat.Response) {
			r = w.apply(r, w.decision(threat.Ask))
			w.clock.Advance(30 * time.Minute)
			_, err := w.s.ExpireRequest(w.ctx, r.RequestID.UUID)
			require.NoError(t, err)
		},
		"a person": func(r threat.Response) {
			r = w.apply(r, w.decision(threat.Ask))
			require.True(t, w.vote(w.request(r.RequestID.UUID), w.person("ann-"+r.ID.String(), threat.Contact), threat.VerdictDeny).Accepted)
		},
	} {
		r := w.in(w.openCase()).acting("203.0.113.7", w.conn.ID, other.ID)
		w.bring(r, w.conn.ID)
		against(w.stale(r))
		r = w.response(r)
		assert.Equal(t, threat.ResponseHeld, r.State, what)
		assert.Contains(t, r.Why, "partial: 1 of 2", what)
		w.undo(r)

		// One that is ended while it is decided anew lets go of what it holds.
		r = w.in(w.openCase()).acting("203.0.113.9", w.conn.ID, other.ID)
		w.bring(r, w.conn.ID)
		w.stale(r)
		w.undo(r)
	}
	w.verified()
}

func TestASharedEffectIsReleasedByItsLastHolder(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	first := w.held("203.0.113.7")
	e := *first.Holders[0].Effect
	w.clock.Advance(time.Minute)
	second := w.in(w.openCase()).acting("203.0.113.7")
	a := w.claim(second)
	assert.Equal(t, threat.ClaimJoined, a.Verdict)
	second = w.response(second)
	assert.Equal(t, threat.ResponseHeld, second.State)
	assert.Equal(t, w.clock.Now().Add(time.Hour), *second.HoldUntil)
	assert.Equal(t, threat.ClaimStale, w.claim(second).Verdict, "it acts no more")
	assert.Equal(t, 1, w.count(threat.EntryClaimGranted))
	assert.Equal(t, 1, w.count(threat.EntryClaimJoined))
	byClass, _, err := w.s.Used(w.ctx, w.o.ID, threat.Contain, "block_ip", w.clock.Now().Add(-time.Hour))
	require.NoError(t, err)
	assert.Equal(t, 1, byClass)

	_, err = w.s.ClaimRelease(w.ctx, first.ID, w.conn.ID)
	assert.True(t, threat.Is(err, threat.Conflict), "nobody is freed without an end")
	done, err := w.s.EndHold(w.ctx, first.ID, "enough", "person:x")
	require.NoError(t, err)
	assert.Equal(t, "enough", done.Ending)
	done, err = w.s.EndHold(w.ctx, first.ID, "again", "person:y")
	require.NoError(t, err)
	assert.Equal(t, "enough", done.Ending, "set once")
	assert.Equal(t, "person:x", done.EndingBy)
	assert.Equal(t, threat.ClaimJoined, w.release(first).Verdict, "the other one holds it")
	assert.Equal(t, threat.ResponseReleased, w.response(first).State)
	assert.Equal(t, threat.EffectInForce, w.look(e, ours).State)

	_, err = w.s.EndHold(w.ctx, second.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	rel := w.release(second)
	require.Equal(t, threat.ClaimGranted, rel.Verdict)
	assert.Equal(t, threat.ClaimRelease, rel.Claim.Kind)
	assert.Equal(t, threat.EffectReleasing, w.effect(a).State)
	assert.Equal(t, rel, w.release(second), "asking again gives the same claim")

	third := w.in(w.openCase()).acting("203.0.113.7")
	wait := w.claim(third)
	assert.Equal(t, threat.ClaimWait, wait.Verdict)
	assert.Equal(t, rel.Claim.ID, wait.Claim.ID, "so that the device can be read under it")
	require.True(t, w.send(rel.Claim))
	require.False(t, w.send(rel.Claim))
	assert.Equal(t, threat.ClaimWait, w.release(second).Verdict, "it is under way")
	w.finish(rel.Claim, threat.OutcomeSuccess)
	assert.Equal(t, threat.EffectReleasing, w.effect(a).State, "a read shows it gone, not an answer")
	assert.Equal(t, threat.ClaimWait, w.claim(third).Verdict)
	assert.Equal(t, threat.EffectAbsent, w.look(e).State)
	w.look(e)
	assert.Equal(t, 1, w.count(threat.EntryEffectReleased))
	assert.Equal(t, threat.ResponseReleased, w.response(second).State)
	next := w.claim(third)
	require.Equal(t, threat.ClaimGranted, next.Verdict)
	assert.Equal(t, int64(2), next.Claim.Generation, "the next generation")
	w.verified()
}

func TestOtherParametersAreAnotherBlock(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.held("203.0.113.7")
	v := w.in(w.openCase())
	rs, err := w.s.ProposeResponses(w.ctx, v.c.ID, []threat.Response{{Action: threat.Action{Step: "block", Verb: "block_ip",
		Params: map[string]string{"direction": "in"}, Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.7"},
		Connections: []uuid.UUID{w.conn.ID}}}})
	require.NoError(t, err)
	a := v.claim(v.apply(rs[0], v.decision(threat.Execute)))
	assert.Equal(t, threat.ClaimRefused, a.Verdict)
	assert.Equal(t, guard.Shape, a.Guard)
}

func TestWhatStoodThereBeforeIsNeverUndone(t *testing.T) {
	for what, adopt := range map[string]func(w work, a threat.ClaimAnswer){
		"the device says so": func(w work, a threat.ClaimAnswer) {
			require.True(t, w.send(a.Claim))
			w.finish(a.Claim, threat.OutcomeSuccess, func(r *threat.ClaimResult) { r.Adopted = true })
			w.look(a.Effect, foreign)
		},
		"a read says so, before it was sent": func(w work, a threat.ClaimAnswer) { w.look(a.Effect, foreign) },
		"a read says so, after no answer": func(w work, a threat.ClaimAnswer) {
			require.True(t, w.send(a.Claim))
			w.look(a.Effect, foreign, func(s *threat.Sighting) { s.Prior = []byte(`{"by":"them"}`) })
		},
	} {
		w := newWork(t, threat.ModeAuthorize)
		r := w.acting("203.0.113.7")
		a := w.claim(r)
		adopt(w, a)
		e := w.effect(a)
		assert.True(t, e.Adopted, what)
		assert.Equal(t, threat.EffectInForce, e.State, what)
		assert.Equal(t, threat.ResponseHeld, w.response(r).State)
		require.False(t, w.send(a.Claim), "it is settled")
		renew, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID, Kind: threat.ClaimRenew})
		require.NoError(t, err)
		assert.Equal(t, threat.ClaimStale, renew.Verdict)
		_, err = w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
		require.NoError(t, err)
		assert.Equal(t, threat.ClaimJoined, w.release(r).Verdict, what)
		assert.Equal(t, threat.ClaimJoined, w.release(r).Verdict, what)
		assert.Equal(t, threat.ResponseReleased, w.response(r).State)
		of, err := w.s.ClaimsOf(w.ctx, r.ID)
		require.NoError(t, err)
		assert.Len(t, of, 1, "no release was claimed")
		assert.Equal(t, 1, w.count(threat.EntryEffectReleased))
		w.verified()
	}
}

func TestReleases(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.held("203.0.113.7")
	_, err := w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	storetest.SetMode(t, w.s, w.o, threat.ModeNotify)
	_, err = w.s.SetStop(w.ctx, w.o.ID, true, "test", threat.SystemActor)
	require.NoError(t, err)

	a := w.release(r)
	require.Equal(t, threat.ClaimGranted, a.Verdict, "no mode and no stop stands against it")
	e := a.Effect
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeError)
	assert.Equal(t, threat.EffectInForce, w.effect(a).State, "it is there, and should not be")
	r = w.response(r)
	assert.Contains(t, r.Why, "release failed")
	assert.Equal(t, threat.HolderHolding, r.Holders[0].State)

	b := w.release(r)
	require.Equal(t, threat.ClaimGranted, b.Verdict)
	require.NotEqual(t, a.Claim.ID, b.Claim.ID)
	w.clock.Advance(lease)
	c := w.release(r)
	require.Equal(t, threat.ClaimGranted, c.Verdict, "the last one was never sent")
	require.False(t, w.send(b.Claim))
	require.True(t, w.send(c.Claim))
	w.finish(c.Claim, threat.OutcomeUnknown)
	assert.Equal(t, threat.EffectUnknown, w.effect(a).State)
	assert.Contains(t, w.response(r).Why, "not known")
	assert.Equal(t, threat.ClaimWait, w.release(r).Verdict, "the device is read first")
	w.clock.Advance(settle)
	e = w.look(e, ours)
	assert.Equal(t, threat.EffectReleasing, e.State, "it is there still")
	d := w.release(r)
	require.Equal(t, threat.ClaimGranted, d.Verdict)
	require.True(t, w.send(d.Claim)) // and the process dies
	w.clock.Advance(lease)
	f := w.release(r)
	require.Equal(t, threat.ClaimGranted, f.Verdict, "its lease is over without an answer")
	require.True(t, w.send(f.Claim))
	w.finish(f.Claim, threat.OutcomeSuccess)
	assert.Equal(t, threat.EffectReleasing, w.look(e, ours).State)
	assert.Equal(t, threat.ClaimWait, w.release(r).Verdict, "it said that it is gone: not yet read for long enough")
	w.clock.Advance(settle)
	w.look(e, ours)
	g := w.release(r)
	require.Equal(t, threat.ClaimGranted, g.Verdict, "it is there, whatever was said")
	require.True(t, w.send(g.Claim))
	w.finish(g.Claim, threat.OutcomeDoesNotExist)
	assert.Equal(t, threat.EffectAbsent, w.look(e, foreign).State, "somebody else's stands there; ours is gone")
	r = w.response(r)
	assert.Equal(t, threat.ResponseReleased, r.State)
	require.NotNil(t, r.EndedAt)
	assert.Equal(t, threat.ClaimJoined, w.release(r).Verdict)
	flying, err := w.s.InFlight(w.ctx, w.o.ID)
	require.NoError(t, err)
	assert.Empty(t, flying)
	w.finish(d.Claim, threat.OutcomeError)
	assert.Equal(t, threat.EffectAbsent, w.effect(a).State, "an old answer changes nothing")
	w.verified()
}

func TestAFailedReleaseOfWhatWasNeverSeen(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.acting("203.0.113.7")
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	_, err := w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	rel := w.release(r)
	require.Equal(t, threat.ClaimGranted, rel.Verdict)
	require.True(t, w.send(rel.Claim))
	w.finish(rel.Claim, threat.OutcomeError)
	assert.Equal(t, threat.EffectReleasing, w.effect(a).State, "nothing is in force before a read showed it")
	again := w.release(r)
	require.Equal(t, threat.ClaimGranted, again.Verdict)
	require.NotEqual(t, rel.Claim.ID, again.Claim.ID)
	w.verified()
	w.look(a.Effect)
	assert.Equal(t, threat.ResponseActing, w.response(r).State, "it may not have taken hold yet when it was looked for")
	w.clock.Advance(settle)
	w.look(a.Effect)
	assert.Equal(t, threat.ResponseReleased, w.response(r).State)
	w.verified()
}

func TestEndingWhileAClaimIsInFlight(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	end := func(r threat.Response) {
		t.Helper()
		got, err := w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
		require.NoError(t, err)
		require.Equal(t, threat.ResponseActing, got.State)
	}
	unsent := w.acting("203.0.113.1")
	a := w.claim(unsent)
	end(unsent)
	assert.Equal(t, threat.ClaimStale, w.claim(unsent).Verdict)
	assert.Equal(t, threat.ClaimJoined, w.release(unsent).Verdict, "nothing went out, and nothing will")
	require.False(t, w.send(a.Claim))
	assert.Equal(t, threat.ResponseReleased, w.response(unsent).State)

	raced := w.acting("203.0.113.2")
	a = w.claim(raced)
	end(raced)
	require.False(t, w.send(a.Claim), "it is ended")
	assert.Equal(t, threat.ResponseReleased, w.response(raced).State)

	sent := w.acting("203.0.113.3")
	a = w.claim(sent)
	require.True(t, w.send(a.Claim))
	end(sent)
	wait := w.release(sent)
	assert.Equal(t, threat.ClaimWait, wait.Verdict)
	assert.Equal(t, a.Claim.ID, wait.Claim.ID)
	w.clock.Advance(lease)
	rel := w.release(sent)
	require.Equal(t, threat.ClaimGranted, rel.Verdict, "it may be there: it is taken away")
	w.finish(a.Claim, threat.OutcomeSuccess)
	assert.Equal(t, threat.EffectReleasing, w.effect(rel).State, "a late answer changes nothing")
	require.True(t, w.send(rel.Claim))
	w.look(rel.Effect)
	assert.Equal(t, threat.ResponseReleased, w.response(sent).State)

	failed := w.acting("203.0.113.4")
	a = w.claim(failed)
	require.True(t, w.send(a.Claim))
	end(failed)
	w.finish(a.Claim, threat.OutcomeFailure)
	assert.Equal(t, threat.ResponseReleased, w.response(failed).State)

	seen := w.acting("203.0.113.5")
	a = w.claim(seen)
	require.True(t, w.send(a.Claim))
	end(seen)
	assert.Equal(t, threat.EffectInForce, w.look(a.Effect, ours).State)
	assert.Equal(t, threat.ResponseActing, w.response(seen).State)
	assert.Equal(t, threat.ClaimGranted, w.release(seen).Verdict)
	assert.Equal(t, threat.EffectAbsent, w.look(a.Effect).State, "gone before the release was sent")
	assert.Equal(t, threat.ResponseReleased, w.response(seen).State)

	idle := w.acting("203.0.113.6")
	got, err := w.s.EndHold(w.ctx, idle.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, threat.ResponseReleased, got.State, "it never held anything")
	waiting := w.propose("203.0.113.7")
	got, err = w.s.EndHold(w.ctx, waiting.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	assert.Equal(t, threat.ResponseSuperseded, got.State)
	_, err = w.s.EndHold(w.ctx, waiting.ID, "", threat.SystemActor)
	assert.True(t, threat.Is(err, threat.Invalid))
	w.verified()
}

func TestALostEffectThatWasBeingReleasedIsReleased(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.held("203.0.113.7")
	_, err := w.s.EndHold(w.ctx, r.ID, "enough", threat.SystemActor)
	require.NoError(t, err)
	w.look(*r.Holders[0].Effect)
	assert.Equal(t, threat.ResponseReleased, w.response(r).State)
	assert.Zero(t, w.count(threat.EntryEffectDrift))
	assert.Equal(t, 1, w.count(threat.EntryEffectReleased))
	w.verified()
}

func TestRenewals(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	r := w.held("203.0.113.7")
	renew := func(r threat.Response) threat.ClaimAnswer {
		t.Helper()
		a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID, Kind: threat.ClaimRenew, Until: *r.HoldUntil})
		require.NoError(t, err)
		return a
	}
	assert.Equal(t, threat.ClaimStale, renew(threat.Response{Action: threat.Action{ID: w.acting("203.0.113.8").ID}, HoldUntil: r.HoldUntil}).Verdict)
	later := w.in(w.openCase()).acting("203.0.113.7")
	w.clock.Advance(10 * time.Minute)
	require.Equal(t, threat.ClaimJoined, w.claim(later).Verdict)
	storetest.SetMode(t, w.s, w.o, threat.ModeNotify)

	a := renew(r)
	require.Equal(t, threat.ClaimGranted, a.Verdict, "a mode does not stand against it")
	assert.Equal(t, *w.response(later).HoldUntil, a.Claim.Until, "the longest of those that hold it")
	assert.Equal(t, a, renew(r))
	assert.Equal(t, threat.ClaimWait, renew(w.response(later)).Verdict)
	require.True(t, w.send(a.Claim))
	assert.Equal(t, threat.ClaimWait, renew(r).Verdict)
	ends := w.clock.Now().Add(3 * time.Hour)
	w.finish(a.Claim, threat.OutcomeSuccess, func(res *threat.ClaimResult) { res.DeviceEnds = &ends })
	assert.Equal(t, ends, *w.effect(a).DeviceEnds)
	assert.Equal(t, threat.EffectInForce, w.effect(a).State)

	b := renew(r)
	require.NotEqual(t, a.Claim.ID, b.Claim.ID)
	require.True(t, w.send(b.Claim))
	w.clock.Advance(lease)
	w.look(b.Effect, ours, func(s *threat.Sighting) { s.DeviceEnds = &ends })
	c, err := w.s.ClaimByID(w.ctx, b.Claim.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.OutcomeSuccess, c.Outcome, "the device's own end tells")

	_, err = w.s.SetStop(w.ctx, w.o.ID, true, "test", threat.SystemActor)
	require.NoError(t, err)
	stopped := renew(r)
	assert.Equal(t, threat.ClaimRefused, stopped.Verdict)
	assert.Equal(t, guard.Stop, stopped.Guard)
	byClass, _, err := w.s.Used(w.ctx, w.o.ID, threat.Contain, "block_ip", w.clock.Now().Add(-time.Hour))
	require.NoError(t, err)
	assert.Equal(t, 1, byClass, "renewals are not counted")
	w.verified()
}
