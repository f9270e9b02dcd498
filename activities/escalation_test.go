package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// trying is a house whose customer is told of a case, in a mode that asks.
func trying(t *testing.T, with ...wrapped) *house {
	h := newHouse(t, threat.ModeCollaborate, with...)
	h.wall("wall")
	return h
}

func TestContactsAreTriedInTurn(t *testing.T) {
	h := trying(t)
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	pager.delay = 90 * time.Second
	people := h.contacts([]*phone{mail, pager}, []*phone{mail})
	start := h.clock.Now()
	k := h.detect()
	h.play(30 * time.Minute)
	at := func(p *phone) (out []time.Duration) {
		for _, x := range p.at {
			out = append(out, x.Sub(start))
		}
		return out
	}
	require.Equal(t, []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute}, at(mail))
	require.Equal(t, []time.Duration{90 * time.Second, 10*time.Minute + 90*time.Second}, at(pager))
	require.Equal(t, []string{people[0].Email, people[1].Email, people[0].Email, people[1].Email},
		[]string{mail.sent[0].To, mail.sent[1].To, mail.sent[2].To, mail.sent[3].To})
	list, err := h.s.Escalations(h.ctx, k.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, threat.EscalationExhausted, list[0].State)
	require.Equal(t, 20*time.Minute, list[0].EndedAt.Sub(start))
	require.Contains(t, mail.sent[0].Text, "FB-1")
	for _, a := range h.attempts(k) {
		require.Equal(t, threat.AttemptAccepted, a.State)
		require.Equal(t, a.Channel == "pager", a.Interruptive && a.TwoWay)
		require.NotEmpty(t, a.ProviderID)
	}
	h.sound()
}

// oneLink gives every attempt a link.
type oneLink struct{}

func (oneLink) AckLink(_ context.Context, a threat.Attempt) (string, error) {
	return "https://firebreak.example/ack/" + a.ID.String(), nil
}

func TestAnAcknowledgingLinkStandsOnlyWhereNobodyElseReads(t *testing.T) {
	h := trying(t)
	h.deps.Links = oneLink{}
	h.deps.CaseLink = func(id uuid.UUID) string { return "https://firebreak.example/cases/" + id.String() }
	h.restart()
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	pager.channel.Shared = true
	h.contacts([]*phone{mail, pager})
	h.detect()
	h.play(time.Minute)
	require.Contains(t, mail.sent[0].Text, "/ack/")
	require.Contains(t, mail.sent[0].Link, "/ack/")
	require.NotContains(t, pager.sent[0].Text+pager.sent[0].HTML+pager.sent[0].Link, "/ack/")
	require.Contains(t, pager.sent[0].Link, "/cases/")
}

func TestTheChainIsASnapshot(t *testing.T) {
	h := trying(t)
	pager := h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	h.detect()
	h.play(time.Minute)
	h.contacts([]*phone{pager})
	h.play(10 * time.Minute)
	require.Equal(t, 1, pager.rung(people[1].Email))
}

func TestOneBadChannelStopsNoOther(t *testing.T) {
	h := trying(t)
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	mail.notify = func(adapters.Message) error { return threat.Faultf(threat.Forbidden, "we are blocked") }
	people := h.contacts([]*phone{mail, pager}, []*phone{mail, pager})
	k := h.detect()
	h.play(time.Minute)
	require.Equal(t, 1, pager.rung(""))
	require.Zero(t, pager.rung(people[1].Email), "the first one was reached over the other, and has their time")
	refused := 0
	for _, a := range h.attempts(k) {
		if a.State == threat.AttemptRefused {
			refused++
			require.Contains(t, a.Error, "we are blocked")
		}
	}
	require.Equal(t, 1, refused)
	h.sound()
}

func TestAStepThatReachedNobodyGoesOnAtOnce(t *testing.T) {
	h := trying(t)
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	mail.notify = func(adapters.Message) error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	people := h.contacts([]*phone{mail}, []*phone{}, []*phone{pager})
	h.detect()
	h.play(time.Second)
	require.Equal(t, 1, pager.rung(people[2].Email))
	h.sound()
}

func TestWhatCannotBeSentIsUndeliverableAndNeverAConsent(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w := h.wall("wall")
	pager := h.phone("pager", true)
	pager.notify = func(adapters.Message) error { return threat.Faultf(threat.Forbidden, "no such key") }
	h.contacts([]*phone{pager}, []*phone{pager})
	k := h.detect()
	h.play(time.Second)
	require.Equal(t, 1, h.paged("the providers refused every message"), "people are called at once")
	h.play(2 * time.Hour)
	require.Equal(t, threat.ContactUndeliverable, h.theCase(k).Contact)
	require.Len(t, h.attempts(k), 4, "the second round came a step's wait later")
	require.Zero(t, w.seen("apply"))
	require.Equal(t, threat.ResponseExpired, h.last(k).State)
	h.sound()
}

func TestAnAcknowledgementStopsThePagers(t *testing.T) {
	h := trying(t)
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	pager.delay = time.Minute
	people := h.contacts([]*phone{mail, pager}, []*phone{mail, pager})
	k := h.detect()
	h.play(59 * time.Second)
	h.ack(k, people[0])
	h.play(10 * time.Minute)
	require.Equal(t, 1, mail.rung(""))
	require.Zero(t, pager.rung(""), "no page after the acknowledgement")
	require.Zero(t, mail.resolved(), "a mail cannot be taken back")
	h.sound()
}

func TestAnAcknowledgementTakesThePageBack(t *testing.T) {
	h := trying(t)
	pager := h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	k := h.detect()
	h.play(6 * time.Minute)
	require.Equal(t, 2, pager.rung(""))
	fails := times(2, threat.Faultf(threat.Unavailable, "nobody answers"))
	pager.notify = func(m adapters.Message) error {
		if m.Resolve {
			return fails()
		}
		return nil
	}
	h.ack(k, people[1])
	h.play(10 * time.Minute)
	require.Equal(t, 2, pager.rung(""))
	keys := map[string]int{}
	for _, m := range pager.sent {
		keys[m.AttemptID.String()]++
	}
	require.Len(t, keys, 2, "a withdrawal bears the key of what it withdraws")
	h.sound()
}

func TestACloseCancels(t *testing.T) {
	h := trying(t)
	pager := h.phone("pager", true)
	h.contacts([]*phone{pager}, []*phone{pager})
	k := h.detect()
	h.play(time.Minute)
	_, err := h.s.CloseCase(h.ctx, k.ID, "a false alarm", "person:x")
	require.NoError(t, err)
	h.play(20 * time.Minute)
	require.Equal(t, 1, pager.rung(""))
	require.Equal(t, 1, pager.resolved())
	require.Equal(t, threat.ContactTrying, h.theCase(k).Contact)
	h.sound()
}

func TestAMessageThatWasCutOffIsNotRepeatedWithoutAKey(t *testing.T) {
	c := &cut{finishAttempt: times(1, errCrash)}
	h := trying(t, c.wrap)
	mail := h.phone("mail", false)
	h.contacts([]*phone{mail})
	k := h.detect()
	h.play(time.Second)
	h.restart()
	h.play(4 * time.Minute)
	require.Equal(t, 1, mail.rung(""))
	require.Equal(t, threat.AttemptUnknown, h.attempts(k)[0].State)
	h.sound()
}

func TestAMessageThatWasCutOffIsHandedInAgainUnderItsKey(t *testing.T) {
	c := &cut{finishAttempt: times(1, errCrash)}
	h := trying(t, c.wrap)
	pager := h.phone("pager", true)
	h.contacts([]*phone{pager})
	k := h.detect()
	h.play(time.Second)
	h.restart()
	h.play(4 * time.Minute)
	require.Equal(t, 2, pager.rung(""))
	require.Equal(t, pager.sent[0].AttemptID, pager.sent[1].AttemptID)
	require.Equal(t, threat.AttemptAccepted, h.attempts(k)[0].State)
	h.sound()
}

func TestAProviderThatWantsToBeLeftAlone(t *testing.T) {
	busy := &threat.Fault{Kind: threat.RateLimited, What: "too many", RetryAfter: 40 * time.Second}
	for _, keyed := range []bool{true, false} {
		h := trying(t)
		p := h.phone("pager", true)
		p.channel.Keyed = keyed
		p.notify = func() func(adapters.Message) error {
			f := times(1, busy)
			return func(adapters.Message) error { return f() }
		}()
		h.contacts([]*phone{p})
		k := h.detect()
		h.play(39 * time.Second)
		require.Zero(t, p.rung(""))
		h.play(2 * time.Minute)
		if keyed {
			require.Equal(t, 1, p.rung(""))
			require.Equal(t, threat.AttemptAccepted, h.attempts(k)[0].State)
			require.GreaterOrEqual(t, p.at[0].Sub(*h.attempts(k)[0].SentAt), 40*time.Second)
		} else {
			require.Equal(t, threat.AttemptRefused, h.attempts(k)[0].State)
		}
		h.sound()
	}
}

func TestAProcessThatWasAwayLeavesEverybodyTheirTime(t *testing.T) {
	h := newHouse(t, threat.ModeCollaborateUnreachable)
	w, pager := h.wall("wall"), h.phone("pager", true)
	people := h.contacts([]*phone{pager}, []*phone{pager})
	h.detect()
	h.play(time.Minute)
	h.clock.Advance(25 * time.Minute)
	h.restart()
	h.play(4 * time.Minute)
	require.Zero(t, w.seen("apply"))
	require.Equal(t, 1, pager.rung(people[1].Email), "not a volley, and then a consent")
	h.play(30 * time.Minute)
	require.Equal(t, 2, pager.rung(people[1].Email))
	h.sound()
}

func TestTheEndOfAnEscalationIsWrittenDownThoughAKillComesBetween(t *testing.T) {
	c := &cut{}
	h := newHouse(t, threat.ModeCollaborateUnreachable, c.wrap)
	w, pager := h.wall("wall"), h.phone("pager", true)
	h.contacts([]*phone{pager})
	k := h.detect()
	h.play(9 * time.Minute)
	c.setContact = times(1, errCrash)
	h.play(time.Minute)
	h.restart() // the escalation is over, and no sweep brings it back: the case settles it
	h.play(time.Minute)
	require.Equal(t, threat.ContactUnreachable, h.theCase(k).Contact)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, w.seen("apply"))
	require.Equal(t, 2, pager.rung(""))
	h.sound()
}

func TestAMethodThatComesAfterItsStepIsStillTried(t *testing.T) {
	h := trying(t)
	mail, pager := h.phone("mail", false), h.phone("pager", true)
	pager.delay = 7 * time.Minute
	h.contacts([]*phone{mail, pager})
	k := h.detect()
	h.play(40 * time.Minute)
	require.Equal(t, 2, mail.rung(""))
	require.Equal(t, 2, pager.rung(""))
	list, err := h.s.Escalations(h.ctx, k.ID)
	require.NoError(t, err)
	require.GreaterOrEqual(t, list[0].EndedAt.Sub(pager.at[1]), 5*time.Minute, "whoever is rung last has their time too")
	require.Equal(t, threat.ContactUnreachable, h.theCase(k).Contact)
	h.sound()
}

func TestAMessageToNobodyKnownIsRefused(t *testing.T) {
	h := trying(t)
	pager := h.phone("pager", true)
	h.contacts([]*phone{pager})
	delete(h.phones, pager.id)
	k := h.detect()
	h.play(time.Second)
	a := h.attempts(k)[0]
	require.Equal(t, threat.AttemptRefused, a.State)
	require.Contains(t, a.Error, "no such channel")
	require.False(t, a.Interruptive)
	require.Zero(t, h.paged("%"))
}
