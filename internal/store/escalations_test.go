package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// chainOf is an answer that tells people, two rounds of five minutes each.
func chainOf(people ...threat.Person) threat.EscalateAnswer {
	a := threat.EscalateAnswer{DecisionID: uuid.New(), Escalate: true, Why: "it is high", Rounds: 2, StepWait: 5 * time.Minute,
		AckFor: 30 * time.Minute}
	for i, p := range people {
		a.Chain = append(a.Chain, threat.ChainStep{Position: i + 1, PersonID: p.ID, Name: p.Name, Wait: 5 * time.Minute})
	}
	return a
}

func (r rig) escalate(caseID uuid.UUID, people ...threat.Person) threat.Escalation {
	r.t.Helper()
	if len(people) == 0 {
		people = append(people, storetest.Contact(r.t, r.s, r.o))
	}
	e, err := r.s.StartEscalation(r.ctx, caseID, chainOf(people...), "an attack")
	require.NoError(r.t, err)
	return e
}

// message is an attempt of a step of an escalation.
func (r rig) message(e threat.Escalation, round, position int, channel string, rings, twoWay bool) threat.Attempt {
	return threat.Attempt{ID: threat.AttemptID(e.ID, fmt.Sprint(round), fmt.Sprint(position), channel), Round: round, Position: position,
		PersonID: e.Chain[position-1].PersonID, Channel: channel, Address: "somewhere", Interruptive: rings, TwoWay: twoWay,
		DueAt: r.clock.Now().Add(time.Duration(round) * time.Hour).Add(time.Duration(position) * time.Minute)}
}

// send plans a message and has the provider answer.
func (r rig) send(e threat.Escalation, a threat.Attempt, state threat.AttemptState) {
	r.t.Helper()
	require.NoError(r.t, r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{a}))
	_, send, err := r.s.BeginAttempt(r.ctx, a.ID)
	require.NoError(r.t, err)
	require.True(r.t, send)
	require.NoError(r.t, r.s.FinishAttempt(r.ctx, a.ID, state, "provider-"+a.ID.String(), ""))
}

func (r rig) reach(e threat.Escalation) threat.Reach {
	r.t.Helper()
	got, err := r.s.Reach(r.ctx, e.ID)
	require.NoError(r.t, err)
	return got
}

func TestEscalationsRunOneAtATime(t *testing.T) {
	r := newRig(t)
	c := storetest.Case(t, r.s, r.o, r.clock.Now())
	before := r.head()
	e := r.escalate(c.ID)
	assert.Equal(t, 1, e.Number)
	assert.Equal(t, 30*time.Minute, e.AckFor)
	assert.Equal(t, threat.EscalationRunning, e.State)
	got, err := r.s.Case(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.ContactTrying, got.Contact)
	assert.Equal(t, c.ContactVersion+1, got.ContactVersion)
	assert.Equal(t, []threat.EntryKind{threat.EntryEscalationStarted, threat.EntryCaseContact}, r.kinds(before))
	assert.Equal(t, e, r.escalate(c.ID), "one runs")
	read, err := r.s.Escalation(r.ctx, e.ID)
	require.NoError(t, err)
	assert.Equal(t, e, read)

	ended, err := r.s.EndEscalation(r.ctx, e.ID, threat.EscalationExhausted)
	require.NoError(t, err)
	assert.Equal(t, threat.EscalationExhausted, ended.State)
	again, err := r.s.EndEscalation(r.ctx, e.ID, threat.EscalationCancelled)
	require.NoError(t, err)
	assert.Equal(t, ended, again, "it ends once")
	_, err = r.s.EndEscalation(r.ctx, e.ID, threat.EscalationRunning)
	assert.True(t, threat.Is(err, threat.Invalid))
	err = r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{r.message(e, 1, 1, "smtp", false, true)})
	assert.True(t, threat.Is(err, threat.Conflict))

	second := r.escalate(c.ID)
	assert.Equal(t, 2, second.Number)
	_, err = r.s.CloseCase(r.ctx, c.ID, "done", "system")
	require.NoError(t, err)
	all, err := r.s.Escalations(r.ctx, c.ID)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, threat.EscalationCancelled, all[1].State)
	_, err = r.s.StartEscalation(r.ctx, c.ID, chainOf(), "an attack")
	assert.True(t, threat.Is(err, threat.Conflict))
	_, err = r.s.StartEscalation(r.ctx, c.ID, threat.EscalateAnswer{}, "an attack")
	assert.True(t, threat.Is(err, threat.Invalid))
	r.verified()
}

func TestAMessageGoesOutOnce(t *testing.T) {
	r := newRig(t)
	c := storetest.Case(t, r.s, r.o, r.clock.Now())
	e := r.escalate(c.ID)
	a := r.message(e, 1, 1, "pagerduty", true, true)
	require.NoError(t, r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{a}))
	err := r.s.FinishAttempt(r.ctx, a.ID, threat.AttemptAccepted, "p1", "")
	assert.True(t, threat.Is(err, threat.Conflict), "it did not go out")
	got, send, err := r.s.BeginAttempt(r.ctx, a.ID)
	require.NoError(t, err)
	assert.True(t, send)
	assert.Equal(t, threat.AttemptSending, got.State)
	assert.Equal(t, r.clock.Now(), *got.SentAt)
	_, send, err = r.s.BeginAttempt(r.ctx, a.ID)
	require.NoError(t, err)
	assert.False(t, send)
	a.Address = "somewhere else"
	require.NoError(t, r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{a, r.message(e, 2, 1, "pagerduty", true, true)}))
	got, err = r.s.Attempt(r.ctx, a.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.AttemptSending, got.State, "planned again, and left alone")
	assert.Equal(t, "somewhere", got.Address)

	require.NoError(t, r.s.FinishAttempt(r.ctx, a.ID, threat.AttemptUnknown, "", "no answer\x00"))
	require.NoError(t, r.s.FinishAttempt(r.ctx, a.ID, threat.AttemptAccepted, "p1", ""))
	require.NoError(t, r.s.FinishAttempt(r.ctx, a.ID, threat.AttemptRefused, "p2", "late"))
	r.clock.Advance(time.Minute)
	for range 2 {
		require.NoError(t, r.s.MarkAttempt(r.ctx, a.ID, "delivered", r.clock.Now()))
		require.NoError(t, r.s.MarkAttempt(r.ctx, a.ID, "seen", r.clock.Now().Add(time.Second)))
		r.clock.Advance(time.Minute)
	}
	assert.True(t, threat.Is(r.s.MarkAttempt(r.ctx, a.ID, "liked", r.clock.Now()), threat.Invalid))
	got, err = r.s.AttemptByProvider(r.ctx, "pagerduty", "p1")
	require.NoError(t, err)
	assert.Equal(t, a.ID, got.ID)
	assert.Equal(t, threat.AttemptAccepted, got.State)
	assert.Equal(t, time.Minute, got.DeliveredAt.Sub(*got.AcceptedAt))
	assert.Equal(t, time.Second, got.SeenAt.Sub(*got.DeliveredAt))
	assert.Nil(t, got.AcknowledgedAt)
	for _, id := range []string{"", "p2"} {
		_, err = r.s.AttemptByProvider(r.ctx, "pagerduty", id)
		assert.True(t, threat.Is(err, threat.NotFound))
	}
	require.NoError(t, r.s.SkipAttempts(r.ctx, e.ID, "no need"))
	list, err := r.s.Attempts(r.ctx, e.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, threat.AttemptAccepted, list[0].State)
	assert.Equal(t, threat.AttemptSkipped, list[1].State)
	assert.Equal(t, "no need", list[1].Error)
	r.verified()
}

func TestAnAcknowledgement(t *testing.T) {
	r := newRig(t)
	c := storetest.Case(t, r.s, r.o, r.clock.Now())
	e := r.escalate(c.ID)
	first, later := r.message(e, 1, 1, "smtp", false, true), r.message(e, 2, 1, "smtp", false, true)
	r.send(e, first, threat.AttemptAccepted)
	require.NoError(t, r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{later}))
	p := storetest.Contact(t, r.s, r.o)
	ack := threat.Acknowledgement{CaseID: c.ID, PersonID: p.ID, Name: "Ada", Via: "smtp",
		AttemptID: uuid.NullUUID{UUID: first.ID, Valid: true}}
	before := r.head()
	got, err := r.s.Acknowledge(r.ctx, ack)
	require.NoError(t, err)
	assert.Equal(t, threat.ContactAcknowledged, got.Contact)
	assert.Equal(t, "Ada", got.AckBy)
	assert.Equal(t, r.clock.Now().Add(30*time.Minute), *got.AckUntil)
	assert.Contains(t, r.kinds(before), threat.EntryAcknowledged)
	ended, err := r.s.Escalation(r.ctx, e.ID)
	require.NoError(t, err)
	assert.Equal(t, threat.EscalationAcknowledged, ended.State)
	assert.Equal(t, "Ada", ended.AckBy)
	assert.Equal(t, "smtp", ended.AckVia)
	list, err := r.s.Attempts(r.ctx, e.ID)
	require.NoError(t, err)
	assert.NotNil(t, list[0].AcknowledgedAt)
	assert.Nil(t, list[0].SeenAt, "that is another fact")
	assert.Equal(t, threat.AttemptSkipped, list[1].State)
	assert.True(t, r.reach(e).Acknowledged)
	assert.False(t, r.reach(e).Over)

	r.clock.Advance(30 * time.Minute)
	assert.False(t, r.reach(e).Acknowledged, "it expires")
	c2 := storetest.Case(t, r.s, r.o, r.clock.Now())
	ack.CaseID = c2.ID
	_, err = r.s.Acknowledge(r.ctx, ack)
	assert.True(t, threat.Is(err, threat.NotFound), "an answer to a message about another case")
	ack.AttemptID = uuid.NullUUID{}
	got, err = r.s.Acknowledge(r.ctx, ack)
	require.NoError(t, err)
	assert.Equal(t, r.clock.Now().Add(time.Hour), *got.AckUntil, "the setting, without an escalation")
	running := r.escalate(c2.ID)
	m := r.message(running, 1, 1, "smtp", false, true)
	require.NoError(t, r.s.PlanAttempts(r.ctx, running.ID, []threat.Attempt{m}))
	_, send, err := r.s.BeginAttempt(r.ctx, m.ID)
	require.NoError(t, err)
	assert.False(t, send, "an acknowledgement stands")

	require.NoError(t, r.s.DisablePerson(r.ctx, p.ID, "system"))
	_, err = r.s.Acknowledge(r.ctx, ack)
	assert.True(t, threat.Is(err, threat.Forbidden))
	_, err = r.s.CloseCase(r.ctx, c.ID, "done", "system")
	require.NoError(t, err)
	ack.CaseID, ack.PersonID = c.ID, storetest.Person(t, r.s, r.o, "x@example.com").ID
	_, err = r.s.Acknowledge(r.ctx, ack)
	assert.True(t, threat.Is(err, threat.Conflict))
	r.verified()
}

func TestReach(t *testing.T) {
	both := []int{1, 2}
	for _, tt := range []struct {
		name                       string
		do                         func(r rig, e threat.Escalation)
		unreachable, undeliverable bool
	}{
		{name: "everybody rung, nobody answered", unreachable: true, do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				for _, position := range both {
					r.send(e, r.message(e, round, position, "pagerduty", true, true), threat.AttemptAccepted)
				}
			}
		}},
		{name: "one ring each is enough when every step is over", unreachable: true, do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				for _, position := range both {
					r.send(e, r.message(e, round, position, "smtp", false, true), threat.AttemptRefused)
				}
			}
			for _, position := range both {
				r.send(e, r.message(e, 2, position, "pagerduty", true, true), threat.AttemptAccepted)
			}
		}},
		{name: "mail does not interrupt", do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				for _, position := range both {
					r.send(e, r.message(e, round, position, "smtp", false, true), threat.AttemptAccepted)
				}
			}
		}},
		{name: "a one-way channel never counts", do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				r.send(e, r.message(e, round, 1, "pagerduty", true, true), threat.AttemptAccepted)
				r.send(e, r.message(e, round, 2, "siren", true, false), threat.AttemptAccepted)
			}
		}},
		{name: "one contact was not tried in the second round", do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				r.send(e, r.message(e, round, 1, "pagerduty", true, true), threat.AttemptAccepted)
			}
			r.send(e, r.message(e, 1, 2, "pagerduty", true, true), threat.AttemptAccepted)
		}},
		{name: "one message is still under way", do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				for _, position := range both {
					r.send(e, r.message(e, round, position, "pagerduty", true, true), threat.AttemptAccepted)
				}
			}
			a := r.message(e, 2, 2, "smtp", false, true)
			require.NoError(r.t, r.s.PlanAttempts(r.ctx, e.ID, []threat.Attempt{a}))
			_, _, err := r.s.BeginAttempt(r.ctx, a.ID)
			require.NoError(r.t, err)
		}},
		{name: "one provider did not take it", do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				r.send(e, r.message(e, round, 1, "pagerduty", true, true), threat.AttemptAccepted)
				r.send(e, r.message(e, round, 2, "pagerduty", true, true), threat.AttemptUnknown)
			}
		}},
		{name: "nothing went out", undeliverable: true, do: func(r rig, e threat.Escalation) {
			for _, round := range both {
				r.send(e, r.message(e, round, 1, "pagerduty", true, true), threat.AttemptRefused)
				r.send(e, r.message(e, round, 2, "pagerduty", true, true), threat.AttemptUnknown)
			}
		}},
		{name: "nothing was tried", do: func(r rig, e threat.Escalation) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			c := storetest.Case(t, r.s, r.o, r.clock.Now())
			e := r.escalate(c.ID, storetest.Contact(t, r.s, r.o), storetest.Person(t, r.s, r.o, "second@example.com"))
			tt.do(r, e)
			assert.False(t, r.reach(e).Unreachable(), "it still runs")
			assert.False(t, r.reach(e).Undeliverable(), "it still runs")
			_, err := r.s.EndEscalation(r.ctx, e.ID, threat.EscalationExhausted)
			require.NoError(t, err)
			got := r.reach(e)
			assert.Equal(t, 2, got.Contacts)
			assert.Equal(t, tt.unreachable, got.Unreachable(), "%+v", got)
			assert.Equal(t, tt.undeliverable, got.Undeliverable(), "%+v", got)
			_, err = r.s.Acknowledge(r.ctx, threat.Acknowledgement{CaseID: c.ID, PersonID: storetest.Contact(t, r.s, r.o).ID})
			require.NoError(t, err)
			assert.False(t, r.reach(e).Unreachable(), "acknowledged")
			assert.False(t, r.reach(e).Undeliverable(), "acknowledged")
		})
	}
	t.Run("nobody to try", func(t *testing.T) {
		r := newRig(t)
		c := storetest.Case(t, r.s, r.o, r.clock.Now())
		e, err := r.s.StartEscalation(r.ctx, c.ID, chainOf(), "an attack")
		require.NoError(t, err)
		_, err = r.s.EndEscalation(r.ctx, e.ID, threat.EscalationExhausted)
		require.NoError(t, err)
		assert.False(t, r.reach(e).Unreachable())
		_, err = r.s.Reach(r.ctx, uuid.New())
		assert.True(t, threat.Is(err, threat.NotFound))
	})
}
