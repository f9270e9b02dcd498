package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestAuthorizeContainsAtOnceThenTells(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager})
	c := h.detect()
	h.play(3 * time.Second)
	r := h.last(c)
	require.Equal(t, threat.ResponseHeld, r.State, r.Why)
	require.Equal(t, threat.BasisMode, r.Basis)
	require.NotEmpty(t, w.holds(attacker))
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat)
	require.Equal(t, 1, pager.rung(""), "and the contact was told")
	require.Equal(t, 1, w.seen("apply"))
	require.Equal(t, 4*time.Hour, r.Duration, "policy decides")

	h.play(4*time.Hour + 5*time.Second)
	r = h.last(c)
	require.Equal(t, threat.ResponseReleased, r.State, r.Why)
	require.Contains(t, r.Ending, "its time is up and the threat is contained")
	require.Empty(t, w.holds(attacker))
	require.Equal(t, 1, h.counted["send act success"])
	require.Equal(t, 1, h.counted["send release success"])
	require.Greater(t, h.counted["read ours"], 40, "it was read again while it was held")
	h.sound()
}

func TestCollaborateWaitsForConsent(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager})
	c := h.detect()
	h.play(time.Minute)
	r := h.last(c)
	require.Equal(t, threat.ResponseAsked, r.State, r.Why)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, 1, pager.rung(""))
	h.vote(r, threat.VerdictApprove)
	h.play(3 * time.Second)
	r = h.last(c)
	require.Equal(t, threat.ResponseHeld, r.State, r.Why)
	require.Equal(t, threat.BasisApproval, r.Basis)
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat)
	h.sound()
}

func TestCollaborateDoesNothingWithoutAnAnswer(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager})
	c := h.detect()
	h.play(2 * time.Hour)
	require.Equal(t, threat.ResponseExpired, h.last(c).State)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, threat.ThreatActive, h.theCase(c).Threat)
	require.Equal(t, threat.ContactUnreachable, h.theCase(c).Contact)
	h.sound()
}

func TestDeniedIsNotAskedAgainSoon(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborate)
	h.wall("wall")
	h.contacts([]*phone{h.phone("pager", true)})
	c := h.detect()
	h.play(time.Second)
	h.vote(h.last(c), threat.VerdictDeny)
	h.play(time.Minute)
	require.Equal(t, threat.ResponseDenied, h.last(c).State)
	h.detect()
	h.play(time.Minute)
	require.Len(t, h.responses(c), 1)
	h.play(time.Hour)
	h.detect()
	h.play(time.Second)
	require.Len(t, h.responses(c), 2)
	require.Equal(t, 2, h.last(c).Round)
	require.Equal(t, threat.ResponseAsked, h.last(c).State)
	h.sound()
}

func TestNotifyNeverActs(t *testing.T) {
	h := newHouse(t, threat.ModeNotify)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager})
	c := h.detect()
	h.play(time.Hour)
	require.Equal(t, threat.ResponseDenied, h.last(c).State)
	require.Zero(t, w.seen("apply"))
	require.Positive(t, pager.rung(""), "the contact is told what is recommended")
	h.sound()
}

func TestUnreachableActsOnlyWhenEverybodyWasRungToTheEnd(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager := h.wall("wall"), h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	c := h.detect()
	h.play(19 * time.Minute)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, threat.ResponseAsked, h.last(c).State)
	h.play(2 * time.Minute)
	require.Equal(t, threat.ContactUnreachable, h.theCase(c).Contact)
	r := h.last(c)
	require.Equal(t, threat.ResponseHeld, r.State, r.Why)
	require.Equal(t, threat.BasisUnreachable, r.Basis)
	require.NotEmpty(t, w.holds(attacker))
	require.Equal(t, 2, pager.rung(people[0].Email))
	require.Equal(t, 2, pager.rung(people[1].Email))
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat)
	h.sound()
}

func TestMailAloneIsNeverUnreachable(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager, mail := h.wall("wall"), h.phone("pager", true), h.phone("mail", false)
	h.contacts([]*phone{pager}, []*phone{mail})
	c := h.detect()
	h.play(2 * time.Hour)
	require.Equal(t, threat.ContactExhausted, h.theCase(c).Contact)
	require.Equal(t, threat.ResponseExpired, h.last(c).State)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, 1, h.paged("nobody answered"))
	h.sound()
}

func TestASirenThatCannotBeAnsweredIsNeverUnreachable(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, siren := h.wall("wall"), h.phone("siren", true)
	siren.channel.TwoWay = false
	h.contacts([]*phone{siren})
	c := h.detect()
	h.play(2 * time.Hour)
	require.Equal(t, threat.ContactExhausted, h.theCase(c).Contact)
	require.Zero(t, w.seen("apply"))
}

func TestARequestOutlivesItsTimeWhileItIsNotKnownWhetherAnybodyIsReached(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager}, []*phone{pager}, []*phone{pager}, []*phone{pager}) // 40 minutes; a request's 30 are over before
	c := h.detect()
	h.play(35 * time.Minute)
	require.Equal(t, threat.ResponseAsked, h.last(c).State)
	h.play(10 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(c).State, h.last(c).Why)
	require.NotEmpty(t, w.holds(attacker))
	h.sound()
}
