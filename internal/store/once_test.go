package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// host is an asset of the tenant on which a process runs.
func (w work) host(name string) threat.Asset {
	w.t.Helper()
	a, err := w.s.PutAsset(w.ctx, threat.SystemActor, threat.Asset{TenantID: w.o.ID, Kind: "host", Name: name, Role: threat.RoleWorkstation, Managed: true,
		Evidence: "told"})
	require.NoError(w.t, err)
	return a
}

// killing proposes to end a process on an asset and lets it go.
func (w work) killing(on threat.Asset, connections ...uuid.UUID) threat.Response {
	w.t.Helper()
	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{{Required: true, Action: threat.Action{Step: "kill", Verb: verb.KillProcess,
		Target:      threat.Target{Kind: threat.TargetProcess, Value: on.ID.String() + "/4711@2026-03-02T08:00:00Z"},
		Connections: append([]uuid.UUID{w.conn.ID}, connections...)}}})
	require.NoError(w.t, err)
	require.True(w.t, rs[0].Target.AssetID.Valid)
	return w.apply(rs[0], w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Duration = 0 }))
}

// eradicating is a tenant in authorize that lets go what cannot be undone, too.
func eradicating(t *testing.T) work {
	w := newWork(t, threat.ModeAuthorize)
	_, err := w.s.SetMode(w.ctx, threat.SystemActor, threat.Consent{TenantID: w.o.ID, Mode: threat.ModeAuthorize, Eradicate: true,
		GivenBy: storetest.Contact(t, w.s, w.o).ID, Words: "also what cannot be undone", Language: "en"})
	require.NoError(t, err)
	return w
}

func TestWhatIsDoneOnceEndsWhenItIsSeen(t *testing.T) {
	w := eradicating(t)
	r := w.killing(w.host("laptop-7"))
	require.Zero(t, r.Duration)
	a := w.claim(r)
	require.Equal(t, threat.ClaimGranted, a.Verdict, a.Why)
	assert.Equal(t, w.clock.Now().Add(time.Hour), a.Claim.Until, "by then it has to be done")
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	require.Equal(t, threat.ResponseActing, w.response(r).State, "not done before the device was read")
	e := w.look(a.Effect, ours)
	r = w.response(r)
	assert.Equal(t, threat.ResponseReleased, r.State)
	assert.Equal(t, verb.Done, r.Why)
	assert.NotNil(t, r.HoldFrom)
	assert.Nil(t, r.HoldUntil, "nothing is held")
	assert.NotNil(t, r.EndedAt)
	assert.Equal(t, threat.HolderReleased, r.Holders[0].State)
	assert.Equal(t, threat.EffectAbsent, e.State, "the next time is a generation of its own")
	assert.Equal(t, 1, w.count(threat.EntryEffectVerified))
	assert.Zero(t, w.count(threat.EntryEffectReleased), "nothing was taken back")
	_, err := w.s.EndHold(w.ctx, r.ID, "undo", threat.SystemActor)
	require.True(t, threat.Is(err, threat.Conflict), "%v", err)
	w.verified()
}

func TestWhatWasNotThereIsSeenNotToBeThere(t *testing.T) {
	w := eradicating(t)
	r := w.killing(w.host("laptop-7"))
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeDoesNotExist)
	require.Equal(t, threat.ResponseActing, w.response(r).State)
	w.look(a.Effect, foreign)
	require.Equal(t, threat.ResponseReleased, w.response(r).State)
	require.Equal(t, verb.Done, w.response(r).Why)

	other := w.killing(w.host("laptop-8")) // a device that says so, and the process lives
	b := w.claim(other)
	require.True(t, w.send(b.Claim))
	w.finish(b.Claim, threat.OutcomeDoesNotExist)
	w.clock.Advance(call + settle)
	w.look(b.Effect)
	other = w.response(other)
	require.Equal(t, threat.ResponseActing, other.State)
	require.Contains(t, other.Why, "failed")
	w.verified()
}

func TestDoneOnAPartIsNotRoundedUp(t *testing.T) {
	w := eradicating(t)
	second := storetest.Connection(t, w.s, w.o, "nftables")
	r := w.killing(w.host("laptop-7"), second.ID)
	a, b := w.claim(r), w.claim(r, second.ID)
	require.True(t, w.send(a.Claim))
	require.True(t, w.send(b.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	w.look(a.Effect, ours)
	require.Equal(t, threat.ResponseActing, w.response(r).State, "the other device is waited for")
	w.look(a.Effect)
	require.Equal(t, threat.EffectInForce, w.response(r).Holders[0].Effect.State, "what is done is done, whatever starts anew")
	w.finish(b.Claim, threat.OutcomeFailure)
	r = w.response(r)
	require.Equal(t, threat.ResponseReleased, r.State)
	require.Contains(t, r.Why, "partial: done on 1 of 2")
	w.verified()
}

func TestWhatIsNeverSeenDoneFails(t *testing.T) {
	w := eradicating(t)
	r := w.killing(w.host("laptop-7"))
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	w.clock.Advance(time.Hour)
	_, err := w.s.EndHold(w.ctx, r.ID, "it was not seen to be done", threat.SystemActor)
	require.NoError(t, err)
	rel := w.release(r)
	require.Equal(t, threat.ClaimJoined, rel.Verdict, "nothing is sent to take it back")
	r = w.response(r)
	require.Equal(t, threat.ResponseFailed, r.State)
	require.Equal(t, "it was not seen to be done", r.Why)
	w.verified()
}

func TestTwoCasesEndOneProcess(t *testing.T) {
	w := eradicating(t)
	on := w.host("laptop-7")
	r := w.killing(on)
	a := w.claim(r)
	require.True(t, w.send(a.Claim))
	two := w.in(w.openCase())
	r2 := two.killing(on)
	require.Equal(t, threat.ClaimWait, two.claim(r2).Verdict)
	w.finish(a.Claim, threat.OutcomeSuccess)
	w.look(a.Effect, ours)
	require.Equal(t, threat.ResponseReleased, w.response(r).State)
	b := two.claim(r2)
	require.Equal(t, threat.ClaimGranted, b.Verdict, "it asks for itself")
	require.Equal(t, int64(2), b.Effect.Generation)
	w.verified()
}

func TestADurationIsOnlyOfWhatHolds(t *testing.T) {
	w := eradicating(t)
	on := w.host("laptop-7")
	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{{Action: threat.Action{Step: "kill", Verb: verb.KillProcess,
		Target:      threat.Target{Kind: threat.TargetProcess, Value: on.ID.String() + "/4711@2026-03-02T08:00:00Z"},
		Connections: []uuid.UUID{w.conn.ID}}}})
	require.NoError(t, err)
	_, err = w.s.ApplyDecision(w.ctx, rs[0].ID, rs[0].Version, w.decision(threat.Execute))
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
	r := w.propose("203.0.113.9")
	_, err = w.s.ApplyDecision(w.ctx, r.ID, r.Version, w.decision(threat.Execute, func(d *threat.RespondDecision) { d.Duration = 0 }))
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
}
