package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestCasesAreListedTheNewestFirst(t *testing.T) {
	r := newRig(t)
	other, third := storetest.Tenant(t, r.s), storetest.Tenant(t, r.s)
	var numbers []int64
	for i := range 9 {
		c := storetest.Case(t, r.s, []threat.Organisation{r.o, other, third}[i%3], r.clock.Now())
		numbers = append(numbers, c.Number)
		if i == 3 {
			_, err := r.s.CloseCase(r.ctx, c.ID, "done", "system")
			require.NoError(t, err)
		}
	}
	assert.IsIncreasing(t, numbers)
	list := func(q threat.CaseQuery) (out []int64) {
		t.Helper()
		cs, err := r.s.Cases(r.ctx, q)
		require.NoError(t, err)
		for _, c := range cs {
			out = append(out, c.Number)
		}
		return out
	}
	n := func(at ...int) (out []int64) {
		for _, i := range at {
			out = append(out, numbers[i])
		}
		return out
	}
	two := []uuid.UUID{r.o.ID, other.ID, other.ID}
	open, closed := true, false
	assert.Empty(t, list(threat.CaseQuery{}), "nobody's")
	assert.Equal(t, n(7, 6, 4, 3, 1, 0), list(threat.CaseQuery{Tenants: two}))
	assert.Equal(t, n(7, 6), list(threat.CaseQuery{Tenants: two, Limit: 2}))
	assert.Equal(t, n(4, 3), list(threat.CaseQuery{Tenants: two, Limit: 2, Before: numbers[6]}))
	assert.Equal(t, n(7, 6, 4, 1, 0), list(threat.CaseQuery{Tenants: two, Open: &open}))
	assert.Equal(t, n(3), list(threat.CaseQuery{Tenants: two, Open: &closed}))
	strangers := make([]uuid.UUID, 1200)
	for i := range strangers {
		strangers[i] = uuid.New()
	}
	assert.Equal(t, n(7, 4, 1), list(threat.CaseQuery{Tenants: append(strangers, other.ID)}))
	for _, err := range []error{
		func() error { _, err := r.s.Case(r.ctx, uuid.New()); return err }(),
		func() error { _, err := r.s.CaseByNumber(r.ctx, 10_000); return err }(),
		r.s.Note(r.ctx, uuid.New(), "x", "system"),
	} {
		assert.True(t, threat.Is(err, threat.NotFound), "%v", err)
	}
}

func TestACaseChanges(t *testing.T) {
	r := newRig(t)
	c := storetest.Case(t, r.s, r.o, r.clock.Now())
	r.assign(r.detect())
	before := r.head()
	r.clock.Advance(time.Minute)
	same, err := r.s.SetThreat(r.ctx, c.ID, threat.ThreatActive, "it is", "system")
	require.NoError(t, err)
	assert.Equal(t, c, same)
	assert.Equal(t, before, r.head(), "nothing changed")
	got, err := r.s.SetThreat(r.ctx, c.ID, threat.ThreatContained, "all is verified", "system")
	require.NoError(t, err)
	assert.Equal(t, c.ThreatVersion+1, got.ThreatVersion)
	got, err = r.s.SetContact(r.ctx, c.ID, threat.ContactUnreachable, "nobody answered")
	require.NoError(t, err)
	assert.Equal(t, c.ContactVersion+1, got.ContactVersion)
	got, err = r.s.SetContact(r.ctx, c.ID, threat.ContactUnreachable, "nobody answered")
	require.NoError(t, err)
	assert.Equal(t, c.ContactVersion+1, got.ContactVersion)
	read, err := r.s.Case(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, got, read)
	require.NoError(t, r.s.Note(r.ctx, c.ID, "looked at it", "person:"+uuid.NewString()))
	assert.Equal(t, []threat.EntryKind{threat.EntryCaseThreat, threat.EntryCaseContact, threat.EntryCaseNote}, r.kinds(before))
	for _, err := range []error{
		func() error { _, err := r.s.SetThreat(r.ctx, c.ID, "calm", "", "system"); return err }(),
		func() error { _, err := r.s.SetContact(r.ctx, c.ID, threat.ContactAcknowledged, ""); return err }(),
		func() error { _, err := r.s.CloseCase(r.ctx, c.ID, "", "system"); return err }(),
		r.s.Note(r.ctx, c.ID, "", "system"), r.s.Note(r.ctx, c.ID, strings.Repeat("x", 20_001), "system"),
	} {
		assert.True(t, threat.Is(err, threat.Invalid), "%v", err)
	}

	require.NoError(t, r.s.AdvanceCursor(r.ctx, c.ID, 5))
	read, err = r.s.Case(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Zero(t, read.Cursor, "there is no such detection")
	require.NoError(t, r.s.AdvanceCursor(r.ctx, c.ID, 1))
	require.NoError(t, r.s.AdvanceCursor(r.ctx, c.ID, 0))
	read, err = r.s.Case(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, int64(1), read.Cursor)

	got, err = r.s.CloseCase(r.ctx, c.ID, "it was a test", "person:x")
	require.NoError(t, err)
	assert.False(t, got.Open())
	assert.Equal(t, threat.ThreatResolved, got.Threat)
	read, err = r.s.Case(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, got, read)
	for _, err := range []error{
		func() error { _, err := r.s.CloseCase(r.ctx, c.ID, "again", "system"); return err }(),
		func() error { _, err := r.s.SetThreat(r.ctx, c.ID, threat.ThreatActive, "", "system"); return err }(),
		func() error { _, err := r.s.SetContact(r.ctx, c.ID, threat.ContactTrying, ""); return err }(),
	} {
		assert.True(t, threat.Is(err, threat.Conflict), "%v", err)
	}
	require.NoError(t, r.s.Note(r.ctx, c.ID, "an afterthought", "system"))
	r.verified()
}
