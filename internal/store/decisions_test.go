package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestADecisionIsKeptWhole(t *testing.T) {
	r := newRig(t)
	c := storetest.Case(t, r.s, r.o, r.clock.Now())
	d := threat.Decision{TenantID: r.o.ID, CaseID: uuid.NullUUID{UUID: c.ID, Valid: true}, SubjectID: uuid.New(),
		Question: threat.AskRespond, Revision: "r1", Input: []byte(`{"at":"2026-03-02T08:00:00Z"}`), Answer: []byte(`{"effect":"ask"}`),
		Rules: []threat.RuleLabel{{ID: "respond.mode.collaborate", Title: "Collaborate asks"}}, Reasons: []string{"the mode asks"},
		At: r.clock.Now()}
	first, err := r.s.RecordDecision(r.ctx, d, "key")
	require.NoError(t, err)
	assert.NotEqual(t, uuid.Nil, first.ID)
	assert.Len(t, first.InputHash, 64)
	got, err := r.s.Decision(r.ctx, first.ID)
	require.NoError(t, err)
	assert.Equal(t, first, got)

	before := r.head()
	other := d
	other.Input, other.Answer, other.At = []byte(`{"at":"2026-03-02T09:00:00Z"}`), []byte(`{"effect":"deny"}`), d.At.Add(time.Hour)
	again, err := r.s.RecordDecision(r.ctx, other, "key")
	require.NoError(t, err)
	assert.Equal(t, first, again, "the first one stands")
	assert.Equal(t, before, r.head())

	other.Answer = d.Answer
	second, err := r.s.RecordDecision(r.ctx, other, "another key")
	require.NoError(t, err)
	assert.Equal(t, first.AnswerHash, second.AnswerHash)
	elsewhere := d
	elsewhere.TenantID, elsewhere.CaseID = storetest.Tenant(t, r.s).ID, uuid.NullUUID{}
	third, err := r.s.RecordDecision(r.ctx, elsewhere, "key")
	require.NoError(t, err)
	assert.NotEqual(t, first.ID, third.ID, "another tenant's key")
	list, err := r.s.DecisionsOfCase(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, []threat.Decision{first, second}, list)
	_, err = r.s.Decision(r.ctx, uuid.New())
	assert.True(t, threat.Is(err, threat.NotFound))
	_, err = r.s.RecordDecision(r.ctx, d, "")
	assert.True(t, threat.Is(err, threat.Invalid))
	d.TenantID = uuid.New()
	_, err = r.s.RecordDecision(r.ctx, d, "key")
	assert.True(t, threat.Is(err, threat.NotFound))
	assert.Equal(t, 3, r.verified().Rows["decisions"])
}

func TestTriagesDecisionIsItsCases(t *testing.T) {
	r := newRig(t)
	d := r.detect()
	kept, err := r.s.RecordDecision(r.ctx, threat.Decision{TenantID: r.o.ID, SubjectID: d.ID, Question: threat.AskTriage,
		Input: []byte(`{}`), Answer: []byte(`{}`)}, "triage")
	require.NoError(t, err)
	a := r.assign(d, func(a *threat.Triage) { a.DecisionID = kept.ID })
	list, err := r.s.DecisionsOfCase(r.ctx, a.CaseID.UUID)
	require.NoError(t, err)
	assert.Equal(t, []threat.Decision{kept}, list)
}
