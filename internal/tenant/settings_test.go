package tenant_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/tenant"
)

func part(n int) *int { return &n }

func TestPartsNarrowDownwards(t *testing.T) {
	require.Equal(t, 25, *tenant.Effective().CasePart)
	require.Equal(t, 10, *tenant.Effective().SensorPart)
	require.Equal(t, 50, *tenant.Effective(tenant.Settings{CasePart: part(50)}).CasePart, "the default is nobody's limit")
	require.Equal(t, 20, *tenant.Effective(tenant.Settings{CasePart: part(20)}, tenant.Settings{CasePart: part(50)}).CasePart)
	require.Equal(t, 0, *tenant.Effective(tenant.Settings{SensorPart: part(20)}, tenant.Settings{SensorPart: part(0)}).SensorPart)
}

func TestListsAddUp(t *testing.T) {
	set := tenant.Effective(tenant.Settings{Egress: []string{"192.0.2.1"}, NeverBlock: []string{"a.example"}, Administrators: []string{"root"}},
		tenant.Settings{Egress: []string{"192.0.2.2"}, Resolvers: []string{"9.9.9.9"}, VPNPools: []string{"10.8.0.0/16"}, Administrators: []string{"it"}})
	require.Equal(t, []string{"192.0.2.1", "192.0.2.2"}, set.Egress)
	require.Equal(t, []string{"it", "root"}, set.Administrators)
	require.Equal(t, []string{"10.8.0.0/16", "192.0.2.1", "192.0.2.2", "9.9.9.9", "a.example"}, set.Untouchable())
	require.Len(t, set.Listed(), 4)
}
