package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestThreeStalesAskPeople(t *testing.T) {
	c := &cut{applyDecision: times(3, threat.Faultf(threat.Stale, "the settings changed"))}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	h.contacts([]*phone{h.phone("pager", true)})
	k := h.detect()
	h.play(time.Second)
	r := h.last(k)
	require.Equal(t, threat.ResponseAsked, r.State, r.Why)
	require.Equal(t, 3, r.Stales)
	q, err := h.s.Request(h.ctx, r.RequestID.UUID)
	require.NoError(t, err)
	require.Equal(t, threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1, FourEyes: true}, q.Approvers)
	require.Zero(t, w.seen("apply"))
	h.vote(r, threat.VerdictApprove)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	h.sound()
}

func TestAWiderModeLetsGoWhatWaits(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	w := h.wall("wall")
	k := h.detect()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseAsked, h.last(k).State)
	storetest.SetMode(t, h.s, h.tenant, threat.ModeAuthorize)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	h.sound()
}

func TestWhatAStopHoldsBackIsDecidedAnewWhenItIsLifted(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	w := h.wall("wall")
	asked := h.detect()
	h.play(time.Minute)
	first := h.last(asked)
	require.Equal(t, threat.ResponseAsked, first.State)
	_, err := h.s.SetStop(h.ctx, h.tenant.ID, true, "a drill", threat.SystemActor)
	require.NoError(t, err)
	later := h.detectAnd([]func(*threat.Triage){propose("203.0.113.67")})
	h.play(2 * time.Hour) // longer than any request is open
	require.Equal(t, threat.ResponseAsked, h.responses(asked)[0].State, "nobody could answer: it does not lapse")
	require.Equal(t, threat.ResponseProposed, h.last(later).State)
	h.restart()
	_, err = h.s.SetStop(h.ctx, h.tenant.ID, false, "over", threat.SystemActor)
	require.NoError(t, err)
	h.play(time.Minute)
	for _, r := range []threat.Response{h.responses(asked)[0], h.last(later)} {
		require.Equal(t, threat.ResponseAsked, r.State, r.Why)
		q, err := h.s.Request(h.ctx, r.RequestID.UUID)
		require.NoError(t, err)
		require.Equal(t, threat.RequestOpen, q.State)
		require.True(t, q.ExpiresAt.After(h.clock.Now()), "there is time to answer")
	}
	require.NotEqual(t, first.RequestID, h.responses(asked)[0].RequestID)
	storetest.SetMode(t, h.s, h.tenant, threat.ModeAuthorize)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(later).State)
	require.Equal(t, 2, w.seen("apply"))
	h.sound()
}

func TestAStopHoldsBackWhatWaitsAndReleasesStillWork(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	held := h.last(k)
	require.Equal(t, threat.ResponseHeld, held.State)
	_, err := h.s.SetStop(h.ctx, h.tenant.ID, true, "a drill", threat.SystemActor)
	require.NoError(t, err)
	h.detectAnd([]func(*threat.Triage){propose("203.0.113.67")})
	h.play(time.Minute)
	require.Equal(t, threat.ResponseProposed, h.last(k).State)
	require.Equal(t, 1, w.seen("apply"))
	_, err = h.s.EndHold(h.ctx, held.ID, "taken back by hand", "person:x")
	require.NoError(t, err)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestAStopBetweenTheClaimAndTheSendingLetsNothingOut(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	// The step claims and plans the sending; the stop comes before the task runs.
	for h.counted["claim act granted"] == 0 {
		nudges, err := h.s.LeaseNudges(h.ctx, "test", 10, 10, time.Minute)
		require.NoError(t, err)
		require.NoError(t, h.s.DoneNudges(h.ctx, "test", nudges))
		for _, n := range nudges {
			for again := true; again; {
				next, err := h.subjects[n.Kind].Step(h.ctx, activities.Subject{ID: n.SubjectID, TenantID: n.TenantID})
				require.NoError(t, err)
				again = next.Again
			}
		}
	}
	_, err := h.s.SetStop(h.ctx, h.tenant.ID, true, "a drill", threat.SystemActor)
	require.NoError(t, err)
	h.restart()
	h.play(2 * time.Minute)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, threat.ResponseStale, h.last(k).State, h.last(k).Why)
	_, err = h.s.SetStop(h.ctx, h.tenant.ID, false, "over", threat.SystemActor)
	require.NoError(t, err)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	h.sound()
}

func TestASlowProductIsReadWhenItHasHadItsTime(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("slow")
	k := h.detect()
	h.play(7 * time.Second)
	require.Zero(t, w.seen("read"))
	require.Equal(t, threat.ResponseActing, h.last(k).State)
	h.play(2 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	h.sound()
}

func TestWhatMayHaveHappenedIsReadAndNotRepeated(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.after = unknown()
	k := h.detect()
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	require.Equal(t, 1, h.counted["send act unknown"])
	require.Len(t, h.claims(h.last(k)), 1)
	h.sound()
}

func TestWhatDidNotHappenIsClaimedAnewInANewGeneration(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.before = unknown()
	k := h.detect()
	h.play(10 * time.Second)
	r := h.last(k)
	require.Equal(t, threat.ResponseHeld, r.State, r.Why)
	require.Equal(t, int64(2), r.Holders[0].Generation)
	require.Equal(t, 2, w.seen("apply"))
	h.sound()
}

func TestAKillAfterTheSendingIsSettledByReading(t *testing.T) {
	c := &cut{finish: times(1, errCrash)}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	k := h.detect()
	h.play(500 * time.Millisecond)
	require.NotEmpty(t, w.holds(attacker))
	require.Equal(t, threat.ResponseActing, h.last(k).State)
	h.restart()
	h.play(10 * time.Second)
	require.Equal(t, threat.ResponseActing, h.last(k).State, "the sender may still be in its call")
	h.play(10 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	h.sound()
}

func TestAKillBeforeTheSendingIsSettledByReading(t *testing.T) {
	c := &cut{begin: times(1, errCrash)}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	k := h.detect()
	h.play(500 * time.Millisecond)
	require.Zero(t, w.seen("apply"))
	h.restart()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	require.Equal(t, int64(2), h.last(k).Holders[0].Generation)
	h.sound()
}

func TestDriftIsSeenAndPutRight(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	until := *h.last(k).HoldUntil
	w.lose(attacker)
	h.play(7 * time.Minute)
	r := h.last(k)
	require.Equal(t, threat.ResponseHeld, r.State, r.Why)
	require.NotEmpty(t, w.holds(attacker))
	require.Equal(t, int64(2), r.Holders[0].Generation)
	require.Equal(t, until, *r.HoldUntil, "the same right, and the same end")
	require.Equal(t, threat.ThreatContained, h.theCase(k).Threat)
	h.sound()
}

func TestWhatStoodThereBeforeUsIsAdoptedAndStays(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.put(attacker, "an administrator's")
	k := h.detect()
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	h.play(4*time.Hour + time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(k).State)
	require.Equal(t, "an administrator's", w.holds(attacker))
	require.Zero(t, w.seen("remove"))
	h.sound()
}

func TestTwoCasesShareOneEffect(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	one := h.detectAnd([]func(*threat.Triage){propose(attacker)}, storetest.Observing("198.51.100.1"))
	h.play(3 * time.Second)
	two := h.detectAnd([]func(*threat.Triage){propose(attacker)}, storetest.Observing("198.51.100.2"))
	require.NotEqual(t, one.ID, two.ID)
	h.play(time.Hour)
	require.Equal(t, threat.ResponseHeld, h.last(two).State, h.last(two).Why)
	require.Equal(t, threat.ThreatContained, h.theCase(two).Threat)
	require.Equal(t, 1, w.seen("apply"))
	_, err := h.s.EndHold(h.ctx, h.last(one).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(one).State)
	require.NotEmpty(t, w.holds(attacker), "the other case still wants it")
	_, err = h.s.EndHold(h.ctx, h.last(two).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(two).State)
	require.Empty(t, w.holds(attacker))
	require.Equal(t, 1, w.seen("remove"))
	h.sound()
}

func TestWhoWaitsForAnAbandonedClaimSettlesIt(t *testing.T) {
	c := &cut{finish: times(1, errCrash)}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	one := h.detectAnd([]func(*threat.Triage){propose(attacker)}, storetest.Observing("198.51.100.1"))
	h.play(500 * time.Millisecond)
	two := h.detectAnd([]func(*threat.Triage){propose(attacker)}, storetest.Observing("198.51.100.2"))
	// The first response's workflow is gone and does not come back.
	gone := h.last(one)
	delete(h.live, activities.KindResponse+gone.ID.String())
	h.play(2 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(two).State, h.last(two).Why)
	require.Equal(t, 1, w.seen("apply"))
	h.sound()
}

func TestAFailedReleaseIsTriedForEver(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	w.remove = func() error { return threat.Faultf(threat.Forbidden, "not allowed") }
	_, err := h.s.EndHold(h.ctx, h.last(k).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(time.Hour)
	require.Equal(t, 1, h.paged("cannot be taken back"))
	require.NotEmpty(t, w.holds(attacker))
	require.Greater(t, w.seen("remove"), 10)
	require.Less(t, w.seen("remove"), 30)
	w.remove = nil
	h.play(6 * time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(k).State)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestAReleaseWithoutAnAnswerIsRead(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	w.remove = times(1, unknown())
	_, err := h.s.EndHold(h.ctx, h.last(k).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(k).State, h.last(k).Why)
	require.Empty(t, w.holds(attacker))
	require.Equal(t, 2, w.seen("remove"), "a read showed it still there")
	h.sound()
}

func TestAKillWhileReleasing(t *testing.T) {
	c := &cut{}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	c.finish = times(1, errCrash)
	_, err := h.s.EndHold(h.ctx, h.last(k).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(500 * time.Millisecond)
	h.restart()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseReleased, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("remove"))
	h.sound()
}

func TestADisabledConnectionFailsTheResponseAloud(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	w := h.wall("wall")
	k := h.detect()
	h.play(time.Second)
	c, err := h.s.Connection(h.ctx, w.id)
	require.NoError(t, err)
	c.Enabled = false
	_, err = h.s.PutConnection(h.ctx, threat.SystemActor, c)
	require.NoError(t, err)
	h.vote(h.last(k), threat.VerdictApprove)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseFailed, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, h.paged("disabled"))
	h.sound()
}

func TestASpentBudgetPagesAndFails(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	h.wall("wall")
	one := 5
	h.settings(tenant.Settings{BudgetContain: &one})
	k := h.detectAnd([]func(*threat.Triage){propose("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5", "203.0.113.6")})
	h.play(time.Second)
	for _, r := range h.responses(k) {
		h.vote(r, threat.VerdictApprove)
	}
	h.play(5 * time.Second)
	states := map[threat.ResponseState]int{}
	for _, r := range h.responses(k) {
		states[r.State]++
	}
	require.Equal(t, map[threat.ResponseState]int{threat.ResponseHeld: 4, threat.ResponseFailed: 2}, states, "a fifth is kept for critical cases")
	require.Equal(t, 2, h.paged("budget"))
	h.sound()
}

func TestASpentBudgetPagesAndWhatIsDecidedWaitsForIt(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	five := 5
	h.settings(tenant.Settings{BudgetContain: &five})
	h.detectAnd([]func(*threat.Triage){propose("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")})
	h.play(10 * time.Second)
	require.Equal(t, 4, w.seen("apply"))
	k := h.detectAnd([]func(*threat.Triage){propose("203.0.113.5")})
	h.play(20 * time.Minute)
	require.Equal(t, threat.ResponseProposed, h.last(k).State)
	require.Equal(t, 4, w.seen("apply"), "a fifth is kept for critical cases")
	require.Positive(t, h.paged("budget"))
	h.restart()
	h.play(time.Hour)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, "the hour is over")
	require.Equal(t, 5, w.seen("apply"))
	k = h.detectAnd([]func(*threat.Triage){propose("203.0.113.6", "203.0.113.7", "203.0.113.8", "203.0.113.9")})
	waiting := func() (n int) {
		for _, r := range h.responses(k) {
			if r.State == threat.ResponseProposed {
				n++
			}
		}
		return n
	}
	h.play(time.Minute)
	require.Equal(t, 1, waiting())
	ten := 10
	h.settings(tenant.Settings{BudgetContain: &ten})
	h.play(budgetAgain)
	require.Zero(t, waiting(), "the budget was raised")
	require.Equal(t, 9, w.seen("apply"))
	h.sound()
}

// budgetAgain is how long a response waits before its budget is looked at again, and a little.
const budgetAgain = 6 * time.Minute

func TestOneOfTwoDevicesIsToldAsAPart(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	good, bad := h.wall("wall"), h.wall("wall")
	bad.apply = func() error { return threat.Faultf(threat.Unsupported, "this model cannot") }
	k := h.detect()
	h.play(time.Minute)
	r := h.last(k)
	require.Equal(t, threat.ResponseHeld, r.State)
	require.Contains(t, r.Why, "partial: 1 of 2")
	require.NotEmpty(t, good.holds(attacker))
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat, "a part is not contained")
	require.Equal(t, 1, h.paged("a part of its devices"))
	h.sound()
}

func TestWhoIsAskedAnewIsLookedAfterOnWhatHoldsAlready(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	one, two := h.wall("wall"), h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	storetest.SetMode(t, h.s, h.tenant, threat.ModeCollaborate)
	two.lose(attacker)
	h.play(7 * time.Minute)
	r := h.last(k)
	require.Equal(t, threat.ResponseAsked, r.State, "the old right is gone: %s", r.Why)
	require.NotEmpty(t, one.holds(attacker), "and frees nobody")
	before := one.seen("read")
	h.play(15 * time.Minute)
	require.Greater(t, one.seen("read"), before, "what holds is read on")
	h.vote(r, threat.VerdictApprove)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.NotEmpty(t, two.holds(attacker))
	require.Equal(t, threat.ThreatContained, h.theCase(k).Threat)
	h.play(5 * time.Hour)
	require.Equal(t, threat.ResponseReleased, h.last(k).State, h.last(k).Why)
	require.Empty(t, one.holds(attacker))
	require.Empty(t, two.holds(attacker))
	h.sound()
}

func TestALeaseHardlyLongerThanACall(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	h.settings(tenant.Settings{Lease: tenant.In(16 * time.Second), Call: tenant.In(15 * time.Second)})
	k := h.detect()
	h.play(5 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
}

func TestSecondsOfAnAcceleratedRun(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	h.settings(tenant.Settings{BlockFor: tenant.In(2 * time.Second), Reverify: tenant.In(500 * time.Millisecond), RequestOpen: tenant.In(time.Second),
		StepWait: tenant.In(300 * time.Millisecond), Settle: tenant.In(100 * time.Millisecond)})
	k := h.detect()
	h.play(1500 * time.Millisecond)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	h.play(4 * time.Second)
	require.Equal(t, threat.ResponseReleased, h.last(k).State, h.last(k).Why)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestNobodyLooksBeforeTheSenderHasHadItsTime(t *testing.T) {
	c := &cut{finish: times(1, errCrash)}
	h := newHouse(t, threat.ModeAuthorize, c.wrap)
	w := h.wall("wall")
	k := h.detect()
	h.play(500 * time.Millisecond)
	claim := h.claims(h.last(k))[0]
	p := h.subjects[activities.KindResponse].(performer)
	task := activities.Task{Kind: activities.TaskRead, TenantID: h.tenant.ID, ResponseID: claim.ResponseID, ClaimID: claim.ID, ConnectionID: w.id}
	require.NoError(t, p.Perform(h.ctx, task))
	require.Zero(t, w.seen("read"), "it would prove nothing")
	require.NoError(t, p.Perform(h.ctx, activities.Task{Kind: activities.TaskAct, TenantID: h.tenant.ID, ClaimID: claim.ID}))
	require.Equal(t, 1, w.seen("apply"), "a task that is run twice sends once")
	require.Error(t, p.Perform(h.ctx, activities.Task{Kind: "dance"}))
}
