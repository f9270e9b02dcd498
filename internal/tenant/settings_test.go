package tenant_test

import (
	"testing"
	"time"

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

func TestTheRootMayWidenADefaultAndNobodyElse(t *testing.T) {
	root := tenant.Settings{BudgetContain: part(500), BlockMax: tenant.In(60 * 24 * time.Hour)}
	require.Equal(t, 500, *tenant.Effective(root).BudgetContain)
	require.Equal(t, 60*24*time.Hour, tenant.Effective(root).BlockMax.Duration())
	below := tenant.Settings{BudgetContain: part(1000), BudgetDomain: part(1000), BlockMax: tenant.In(90 * 24 * time.Hour)}
	set := tenant.Effective(root, below)
	require.Equal(t, 500, *set.BudgetContain)
	require.Equal(t, 100, *set.BudgetDomain, "the default stands above it")
	require.Equal(t, 60*24*time.Hour, set.BlockMax.Duration())
	require.Equal(t, 5, *tenant.Effective(root, tenant.Settings{BudgetContain: part(5)}).BudgetContain)
}

func TestListsAddUp(t *testing.T) {
	set := tenant.Effective(tenant.Settings{Egress: []string{"192.0.2.1"}, NeverBlock: []string{"a.example"}, Administrators: []string{"root"}},
		tenant.Settings{Egress: []string{"192.0.2.2"}, Resolvers: []string{"9.9.9.9"}, VPNPools: []string{"10.8.0.0/16"}, Administrators: []string{"it"}})
	require.Equal(t, []string{"192.0.2.1", "192.0.2.2"}, set.Egress)
	require.Equal(t, []string{"it", "root"}, set.Administrators)
	require.Equal(t, []string{"10.8.0.0/16", "192.0.2.1", "192.0.2.2", "9.9.9.9", "a.example"}, set.Untouchable())
	require.Len(t, set.Listed(), 4)
}
