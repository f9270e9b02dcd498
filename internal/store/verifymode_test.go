package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestAModeThatNobodyConsentedToIsFound(t *testing.T) {
	address := storetest.URL(t)
	s := storetest.Open(t, storetest.WithURL(address))
	quiet, loud := storetest.Tenant(t, s), storetest.Tenant(t, s)
	storetest.SetMode(t, s, loud, threat.ModeCollaborate)
	write := behind(t, address)
	check := func() store.Report {
		t.Helper()
		r, err := s.Verify(context.Background(), nil)
		require.NoError(t, err)
		return r
	}
	require.True(t, check().OK())

	write(`UPDATE tenant_states SET mode = 'authorize' WHERE tenant_id = ?1`, loud.ID.String())
	r := check()
	require.Equal(t, map[store.Flaw]int{store.FlawFact: 1}, flaws(r))
	require.Contains(t, r.Problems[0].Text, "the mode in force is authorize")
	require.Contains(t, r.Problems[0].Text, "consented was collaborate")
	write(`UPDATE tenant_states SET mode = 'collaborate' WHERE tenant_id = ?1`, loud.ID.String())

	write(`UPDATE tenant_states SET mode = 'authorize' WHERE tenant_id = ?1`, quiet.ID.String())
	require.Equal(t, map[store.Flaw]int{store.FlawFact: 1}, flaws(check()), "nobody ever consented there")
	write(`UPDATE tenant_states SET mode = 'notify' WHERE tenant_id = ?1`, quiet.ID.String())
	require.True(t, check().OK())
}
