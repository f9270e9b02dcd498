package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestEventsLeaveNothingOut(t *testing.T) {
	r := newRig(t)
	other, quiet := storetest.Tenant(t, r.s), storetest.Tenant(t, r.s)
	orgs := []uuid.UUID{r.o.ID, other.ID, quiet.ID, uuid.New()}
	after, err := r.s.Heads(r.ctx, orgs)
	require.NoError(t, err)
	assert.Len(t, after, 3)
	none, err := r.s.EventsAfter(r.ctx, orgs, after, 10)
	require.NoError(t, err)
	assert.Empty(t, none)
	storetest.Case(t, r.s, r.o, r.clock.Now())
	storetest.Case(t, r.s, other, r.clock.Now())
	storetest.Case(t, r.s, r.o, r.clock.Now())
	seen := map[uuid.UUID][]threat.EntryKind{}
	for {
		page, err := r.s.EventsAfter(r.ctx, orgs, after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			require.Equal(t, after[e.OrgID]+1, e.Seq)
			require.Nil(t, e.Payload)
			after[e.OrgID] = e.Seq
			seen[e.OrgID] = append(seen[e.OrgID], e.Kind)
		}
	}
	one := []threat.EntryKind{threat.EntryDetectionReceived, threat.EntryCaseOpened, threat.EntryDetectionAssigned}
	assert.Equal(t, map[uuid.UUID][]threat.EntryKind{r.o.ID: append(append([]threat.EntryKind{}, one...), one...), other.ID: one}, seen)
	heads, err := r.s.Heads(r.ctx, orgs)
	require.NoError(t, err)
	assert.Equal(t, heads, after)
	all, err := r.s.EventsAfter(r.ctx, []uuid.UUID{quiet.ID}, nil, 0)
	require.NoError(t, err)
	assert.NotEmpty(t, all, "from the first on")
}
