package activities_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// holding is a house in which the attacker is blocked for an hour, with an end; the case is active all the time, because
// something else that is required was denied.
func holding(t *testing.T, end threat.End, with ...wrapped) (*house, *wall, threat.Case) {
	h := newHouse(t, threat.ModeAuthorize, with...)
	w := h.wall("wall")
	hour := tenant.In(time.Hour)
	h.settings(tenant.Settings{BlockFor: hour, BlockEnd: &end, NeverBlock: []string{"203.0.113.200"}})
	k := h.detectAnd([]func(*threat.Triage){propose(attacker, "203.0.113.200")})
	h.play(3 * time.Second)
	rs := h.responses(k)
	require.Equal(t, threat.ResponseHeld, rs[0].State, rs[0].Why)
	require.Equal(t, threat.ResponseDenied, rs[1].State)
	require.Equal(t, end, rs[0].End)
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat)
	return h, w, k
}

// ends gives the open question about a response's end.
func (h *house) ends(r threat.Response) (open []threat.Request, all int) {
	h.Helper()
	list, err := h.s.RequestsOf(h.ctx, r.ID)
	require.NoError(h, err)
	for _, q := range list {
		if q.Body.Kind != threat.RequestEnd {
			continue
		}
		all++
		if q.State == threat.RequestOpen {
			open = append(open, q)
		}
	}
	return open, all
}

func TestAnEndOfReleaseLetsGo(t *testing.T) {
	h, w, k := holding(t, threat.EndRelease)
	h.play(59 * time.Minute)
	require.NotEmpty(t, w.holds(attacker))
	h.play(2 * time.Minute)
	require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestNobodyIsFreedUnattendedWhileTheCaseIsActive(t *testing.T) {
	for _, end := range []threat.End{threat.EndReleaseWhenContained, threat.EndAsk} {
		t.Run(string(end), func(t *testing.T) {
			h, w, k := holding(t, end)
			h.play(61 * time.Minute)
			r := h.responses(k)[0]
			require.Equal(t, threat.ResponseHeld, r.State, r.Why)
			open, _ := h.ends(r)
			require.Len(t, open, 1)
			require.Equal(t, endRoles, open[0].Approvers.Roles)
			require.Equal(t, 1, r.Extended)
			h.play(3 * time.Hour)
			r = h.responses(k)[0]
			require.Equal(t, threat.ResponseHeld, r.State, "however long nobody answers")
			require.NotEmpty(t, w.holds(attacker), "and the device's own end was put off")
			require.Positive(t, w.seen("renew"))
			open, all := h.ends(r)
			require.Len(t, open, 1, "it is asked again and again")
			require.GreaterOrEqual(t, all, 6)
			require.GreaterOrEqual(t, h.paged("nobody says whether to let go"), 5)
			h.vote(r, threat.VerdictApprove)
			h.play(3 * time.Second)
			require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State)
			require.Empty(t, w.holds(attacker))
			h.sound()
		})
	}
}

var endRoles = []threat.Role{threat.Contact, threat.Analyst, threat.ShiftLead}

func TestANoToTheEndHoldsForAsLongAgain(t *testing.T) {
	h, w, k := holding(t, threat.EndAsk)
	h.play(61 * time.Minute)
	h.vote(h.responses(k)[0], threat.VerdictDeny)
	h.play(65 * time.Minute)
	r := h.responses(k)[0]
	require.Equal(t, threat.ResponseHeld, r.State)
	open, all := h.ends(r)
	require.Empty(t, open, "nobody is asked before it is over")
	require.Equal(t, 1, all)
	require.NotEmpty(t, w.holds(attacker))
	h.play(time.Hour)
	open, _ = h.ends(r)
	require.Len(t, open, 1)
	h.sound()
}

func TestTheQuestionIsPutEvenWhenAKillComesBetweenTheHoldAndIt(t *testing.T) {
	h, _, k := holding(t, threat.EndAsk)
	h.play(59*time.Minute + 50*time.Second)
	r := h.responses(k)[0]
	// As the step leaves it when it is killed after it held on.
	_, err := h.s.ExtendHold(h.ctx, r.ID, r.HoldUntil.Add(30*time.Minute), "its time is up: people are asked whether to let go", threat.SystemActor)
	require.NoError(t, err)
	h.restart()
	h.play(time.Second)
	open, _ := h.ends(r)
	require.Len(t, open, 1)
}

func TestAnEndOfReleaseWhenContainedReleasesOnceItIs(t *testing.T) {
	h, w, k := holding(t, threat.EndReleaseWhenContained)
	h.play(61 * time.Minute)
	_, err := h.s.SetThreat(h.ctx, k.ID, threat.ThreatResolved, "looked into", "person:x")
	require.NoError(t, err)
	h.play(31 * time.Minute)
	require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

func TestAnEndOfExtendHoldsWhileTheCaseIsActive(t *testing.T) {
	h, w, k := holding(t, threat.EndExtend)
	h.play(5*time.Hour + time.Minute)
	r := h.responses(k)[0]
	require.Equal(t, threat.ResponseHeld, r.State)
	require.Equal(t, 5, r.Extended)
	require.NotEmpty(t, w.holds(attacker))
	_, err := h.s.CloseCase(h.ctx, k.ID, "over", "person:x")
	require.NoError(t, err)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseHeld, h.responses(k)[0].State, "a closed case leaves its responses running")
	h.play(time.Hour)
	require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State)
	h.sound()
}

func TestADeviceOnItsOwnLetsGoLaterThanWe(t *testing.T) {
	h, w, k := holding(t, threat.EndRelease)
	r := h.responses(k)[0]
	ends := *r.Holders[0].Effect.DeviceEnds
	require.Equal(t, r.HoldUntil.Add(threat.ClaimMargin(time.Hour)), ends)
	h.live = nil // nobody looks after it any more
	h.clock.Advance(89 * time.Minute)
	require.NotEmpty(t, w.holds(attacker))
	h.clock.Advance(2 * time.Minute)
	require.Empty(t, w.holds(attacker))
}

func TestAProcessThatWasAwayPastTheEndComesBackAndEndsIt(t *testing.T) {
	h, w, k := holding(t, threat.EndRelease)
	h.clock.Advance(3 * time.Hour)
	h.restart()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseReleased, h.responses(k)[0].State, h.responses(k)[0].Why)
	require.Empty(t, w.holds(attacker))
	h.sound()
}

// TestWhatWasNeverLookedAtIsReadBeforeItsEnd has the process away from the moment a device has acted until after the end: the
// device is asked before anything is let go, and nobody is freed unattended.
func TestWhatWasNeverLookedAtIsReadBeforeItsEnd(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	h.settings(tenant.Settings{BlockFor: tenant.In(time.Hour), BlockEnd: endOf(threat.EndReleaseWhenContained),
		NeverBlock: []string{"203.0.113.200"}})
	w.read = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	k := h.detectAnd([]func(*threat.Triage){propose(attacker, "203.0.113.200")})
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseActing, h.responses(k)[0].State)
	require.NotEmpty(t, w.holds(attacker))
	h.clock.Advance(61 * time.Minute)
	w.read = nil
	h.restart()
	h.play(time.Minute)
	r := h.responses(k)[0]
	require.Equal(t, threat.ResponseHeld, r.State, "%s %s", r.Why, r.Ending)
	open, _ := h.ends(r)
	require.Len(t, open, 1)
	require.NotEmpty(t, w.holds(attacker))
	h.sound()
}

// TestWhatCannotBeReadIsLetGoInTheEnd bounds the wait for that look by the device's own end.
func TestWhatCannotBeReadIsLetGoInTheEnd(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	h.settings(tenant.Settings{BlockFor: tenant.In(time.Hour), BlockEnd: endOf(threat.EndAsk)})
	w.read = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	k := h.detect()
	h.play(80 * time.Minute)
	require.Empty(t, h.last(k).Ending)
	h.play(20 * time.Minute)
	require.Contains(t, h.last(k).Ending, "no device was ever seen to enforce it")
	h.sound()
}

// fetch has a firewall fetch the list of addresses as it stands.
func (h *house) fetch(c threat.Connection, firewall string) {
	h.Helper()
	_, revision, _, err := h.s.FeedEntries(h.ctx, c.ID, threat.FeedIPs, h.clock.Now())
	require.NoError(h, err)
	require.NoError(h, h.s.RecordFetch(h.ctx, c.ID, threat.FeedIPs, firewall, revision, h.clock.Now()))
}

func TestPublishedIsNotEnforced(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	c := h.feed()
	h.fetch(c, "edge-1")
	h.fetch(c, "edge-2")
	k := h.detect()
	h.play(time.Minute)
	r := h.last(k)
	require.Equal(t, threat.ResponseActing, r.State)
	require.True(t, r.Holders[0].Effect.Published)
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat)
	h.fetch(c, "edge-1")
	h.play(time.Second)
	require.Equal(t, threat.ResponseActing, h.last(k).State, "one of two")
	before := h.counted["read published"]
	h.fetch(c, "edge-2")
	h.play(0)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, "a fetch is seen at once")
	require.Equal(t, threat.ThreatContained, h.theCase(k).Threat)
	require.Equal(t, before, h.counted["read published"])
	h.sound()
}

func TestAListThatNobodyFetchesIsLookedAtLessAndLess(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.feed()
	k := h.detect()
	h.play(2 * time.Hour)
	require.Equal(t, threat.ResponseActing, h.last(k).State)
	require.Less(t, h.counted["read published"], 60)
	require.Zero(t, h.paged("not known"), "it is known: nobody fetches")
	h.play(3 * time.Hour)
	r := h.last(k)
	require.Equal(t, threat.ResponseReleased, r.State, r.Why)
	require.Contains(t, r.Ending, "no device was ever seen to enforce it")
	entries, _, _, err := h.s.FeedEntries(h.ctx, r.Connections[0], threat.FeedIPs, h.clock.Now())
	require.NoError(t, err)
	require.Empty(t, entries)
	h.sound()
}

func TestAFeedIsTakenBack(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	c := h.feed()
	h.fetch(c, "edge-1")
	k := h.detect()
	h.play(2 * time.Second)
	h.fetch(c, "edge-1")
	h.play(time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	_, err := h.s.EndHold(h.ctx, h.last(k).ID, "taken back", "person:x")
	require.NoError(t, err)
	h.play(3 * time.Second)
	require.Equal(t, threat.ResponseReleased, h.last(k).State)
	entries, _, _, err := h.s.FeedEntries(h.ctx, c.ID, threat.FeedIPs, h.clock.Now())
	require.NoError(t, err)
	require.Empty(t, entries)
	h.sound()
}

func TestADetectionsResponsesWithoutADeviceSayWhy(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	c, err := h.s.Connection(h.ctx, w.id)
	require.NoError(t, err)
	c.Enabled = false
	_, err = h.s.PutConnection(h.ctx, threat.SystemActor, c)
	require.NoError(t, err)
	k := h.detect()
	require.NotEqual(t, uuid.Nil, k.ID)
	h.play(time.Second)
	r := h.last(k)
	require.Equal(t, threat.ResponseDenied, r.State)
	require.Contains(t, r.Why, "names no connection")
	h.sound()
}

func TestWhatNoDeviceHasWhenItsTimeIsUpIsOver(t *testing.T) {
	h, w, k := holding(t, threat.EndAsk)
	w.apply = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	h.play(58 * time.Minute)
	w.lose(attacker)
	r := h.responses(k)[0]
	require.NoError(t, h.subjects[activities.KindResponse].(performer).Perform(h.ctx, activities.Task{Kind: activities.TaskVerify,
		TenantID: h.tenant.ID, ResponseID: r.ID, ConnectionID: w.id}))
	h.play(4 * time.Minute)
	r = h.responses(k)[0]
	require.Equal(t, threat.ResponseReleased, r.State, r.Why)
	require.Contains(t, r.Ending, "no device has it")
	h.sound()
}

func TestARenewalThatAGuardRefusesIsTold(t *testing.T) {
	h, w, k := holding(t, threat.EndAsk)
	h.play(59 * time.Minute)
	_, err := h.s.SetStop(h.ctx, h.tenant.ID, true, "a drill", threat.SystemActor)
	require.NoError(t, err)
	h.play(20 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.responses(k)[0].State)
	require.Equal(t, 1, h.paged("cannot be renewed"))
	_, err = h.s.SetStop(h.ctx, h.tenant.ID, false, "over", threat.SystemActor)
	require.NoError(t, err)
	h.play(5 * time.Minute)
	require.Positive(t, w.seen("renew"))
	h.play(time.Hour)
	require.NotEmpty(t, w.holds(attacker))
	h.sound()
}
