package activities_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestManyDetectionsGiveOneResponseForEachStepAndTarget(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	h.wall("wall")
	var k threat.Case
	for i := range 410 {
		k = h.detectAnd([]func(*threat.Triage){propose(attacker, fmt.Sprintf("203.0.113.%d", 70+i%3))})
	}
	h.play(time.Second)
	k = h.theCase(k)
	require.Equal(t, int64(410), k.LastDetection)
	require.Equal(t, k.LastDetection, k.Cursor)
	require.Len(t, h.responses(k), 4)
	h.sound()
}

func TestAKilledStepIsTakenAgainWithTheSameProposals(t *testing.T) {
	c := &cut{advance: times(3, errCrash)}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	k := h.detect()
	h.play(time.Minute)
	require.Len(t, h.responses(k), 1)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	require.Equal(t, 1, w.seen("apply"))
	k = h.theCase(k)
	require.Equal(t, k.LastDetection, k.Cursor)
	h.sound()
}

func TestANewDetectionAfterTheEndBeginsANewRound(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	h.detect()
	h.play(time.Minute)
	require.Len(t, h.responses(k), 1, "one is enough while it stands")
	_, err := h.s.EndHold(h.ctx, h.last(k).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(time.Minute)
	require.Empty(t, w.holds(attacker))
	h.detect()
	h.play(3 * time.Second)
	r := h.last(k)
	require.Equal(t, 2, r.Round)
	require.Equal(t, threat.ActionID(k.ID, r.Step, r.Target, 2), r.ID)
	require.Equal(t, threat.ResponseHeld, r.State)
	require.NotEmpty(t, w.holds(attacker))
	h.sound()
}

func TestAProposalThatCannotBeDoneIsSaidAloudAndTheRestGoesOn(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.wall("wall")
	k := h.detectAnd([]func(*threat.Triage){func(a *threat.Triage) {
		a.Proposals = append(a.Proposals, threat.Proposal{Step: "wipe", Verb: "format_disk", Target: threat.Target{Kind: threat.TargetIP, Value: attacker}})
	}, propose(attacker)})
	h.play(3 * time.Second)
	require.Len(t, h.responses(k), 1)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	require.Equal(t, 1, h.paged("format_disk"))
	require.Equal(t, int64(1), h.theCase(k).Cursor)
}

func TestAQuietCaseIsResolvedAndClosed(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	h.settings(tenant.Settings{BlockFor: tenant.In(48 * time.Hour)})
	k := h.detect()
	h.play(23 * time.Hour)
	require.True(t, h.theCase(k).Open())
	h.play(2 * time.Hour)
	k = h.theCase(k)
	require.False(t, k.Open())
	require.Equal(t, threat.ThreatResolved, k.Threat)
	require.Equal(t, threat.SystemActor, k.ClosedBy)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, "its responses go on")
	h.play(24 * time.Hour)
	require.Equal(t, threat.ResponseReleased, h.last(k).State)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestASuspicionWithNothingOpenIsClosedAndAnActiveThreatIsNot(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	low := h.detectAnd([]func(*threat.Triage){func(a *threat.Triage) { a.Threat, a.Severity = threat.ThreatSuspected, threat.SeverityLow }},
		storetest.Observing("198.51.100.1"), func(d *threat.Detection) { d.Techniques, d.Severity = nil, threat.SeverityLow })
	active := h.detectAnd(nil, storetest.Observing("198.51.100.2"))
	h.play(25 * time.Hour)
	require.False(t, h.theCase(low).Open())
	require.Equal(t, threat.ContactNone, h.theCase(low).Contact, "a low suspicion tells nobody")
	require.True(t, h.theCase(active).Open())
}

func TestContainedIsTakenBackWhenMoreIsRequired(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	require.Equal(t, threat.ThreatContained, h.theCase(k).Threat)
	storetest.SetMode(t, h.s, h.tenant, threat.ModeCollaborate)
	suspected := func(a *threat.Triage) { a.Threat = threat.ThreatSuspected }
	h.detectAnd([]func(*threat.Triage){suspected, propose("203.0.113.99")}, func(d *threat.Detection) { d.Techniques = nil })
	h.play(3 * time.Second)
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat)
	h.vote(h.last(k), threat.VerdictApprove)
	h.play(3 * time.Second)
	require.Equal(t, threat.ThreatContained, h.theCase(k).Threat)
	h.sound()
}

func TestAClosedCaseIsDone(t *testing.T) {
	h := newHouse(t, threat.ModeNotify)
	k := h.detectAnd(nil)
	_, err := h.s.CloseCase(h.ctx, k.ID, "over", "person:x")
	require.NoError(t, err)
	for _, id := range []uuid.UUID{k.ID, uuid.New()} {
		next, err := h.subjects[activities.KindCase].Step(h.ctx, activities.Subject{ID: id, TenantID: h.tenant.ID})
		require.NoError(t, err)
		require.True(t, next.Done)
		require.Equal(t, "test", next.Build)
	}
	for _, kind := range []string{activities.KindEscalation, activities.KindResponse} {
		next, err := h.subjects[kind].Step(h.ctx, activities.Subject{ID: uuid.New(), TenantID: h.tenant.ID})
		require.NoError(t, err)
		require.True(t, next.Done)
	}
}

func TestNobodyInTheChainRaisesTheAlarmAtOnce(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w := h.wall("wall")
	h.contacts([]*phone{}) // a contact without a way to reach them
	k := h.detect()
	h.play(0)
	require.Equal(t, threat.ContactUndeliverable, h.theCase(k).Contact)
	require.Equal(t, 1, h.paged("no authorised contact"))
	h.detect()
	h.play(2 * time.Hour)
	require.Equal(t, 1, h.paged("no authorised contact"), "and not over and over")
	require.Zero(t, w.seen("apply"), "which is never a consent")
	pager := h.phone("pager", true)
	h.contacts([]*phone{pager})
	h.detect()
	h.play(time.Second)
	require.Equal(t, 1, pager.rung(""), "who is there by now is told")
	h.sound()
}

func TestAnAcknowledgementThatExpiresIsAskedForAgain(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	h.wall("wall")
	pager := h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	k := h.detect()
	h.play(time.Minute)
	h.ack(k, people[0])
	h.play(58 * time.Minute)
	require.Equal(t, 1, pager.rung(""), "while it holds nobody is called")
	h.play(3 * time.Minute)
	require.Equal(t, 2, pager.rung(people[0].Email))
	require.Equal(t, threat.ContactTrying, h.theCase(k).Contact)
	h.play(6 * time.Minute)
	require.Equal(t, 1, pager.rung(people[1].Email))
	h.sound()
}

func TestLookingIntoItAndThenSilence(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager := h.wall("wall"), h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	k := h.detect()
	h.play(time.Minute)
	h.ack(k, people[0])
	h.play(10 * time.Minute)
	require.Zero(t, pager.rung(people[1].Email))
	h.detect() // the adversary goes on
	h.play(time.Second)
	require.Equal(t, 2, pager.rung(people[0].Email), "whoever said that they look into it is asked again")
	h.play(6 * time.Minute)
	require.Equal(t, 1, pager.rung(people[1].Email), "and so is the next")
	require.Zero(t, w.seen("apply"))
	h.play(20 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, threat.BasisUnreachable, h.last(k).Basis)
	h.sound()
}

func TestAnAcknowledgementStopsNobodyFromDeciding(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager := h.wall("wall"), h.phone("pager", true)
	people := h.contacts([]*phone{pager})
	k := h.detect()
	h.play(9 * time.Minute)
	h.ack(k, people[0])
	h.play(15 * time.Minute)
	require.Zero(t, w.seen("apply"), "an acknowledgement authorises nothing")
	h.vote(h.last(k), threat.VerdictApprove)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
}

func TestAnEscalationThatRanToItsEndIsNotRepeatedByItself(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	h.wall("wall")
	pager := h.phone("pager", true)
	h.contacts([]*phone{pager})
	k := h.detect()
	h.play(12 * time.Hour)
	require.Equal(t, 2, pager.rung(""), "two rounds")
	require.Equal(t, threat.ContactUnreachable, h.theCase(k).Contact)
	h.detectAnd([]func(*threat.Triage){func(a *threat.Triage) { a.Threat = threat.ThreatSuspected }}, func(d *threat.Detection) { d.Techniques = nil })
	h.play(time.Minute)
	require.Equal(t, 2, pager.rung(""), "nor for what is no adversary's doing")
	h.detect()
	h.play(time.Minute)
	require.Equal(t, 3, pager.rung(""))
	h.sound()
}
