package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestAnOrganisationsZoneIsThatOfItsBusinessHours(t *testing.T) {
	r := newRig(t)
	root, err := r.s.Root(r.ctx)
	require.NoError(t, err)
	make := func(slug, zone string, kind threat.OrganisationKind, parent uuid.UUID) threat.Organisation {
		o, err := r.s.CreateOrganisation(r.ctx, threat.SystemActor, threat.Organisation{Kind: kind, Slug: slug, Name: slug, Zone: zone,
			ParentID: uuid.NullUUID{UUID: parent, Valid: true}, Tenant: true})
		require.NoError(t, err)
		return o
	}
	zone := func(o threat.Organisation) string {
		set, err := r.s.EffectiveSettings(r.ctx, o.ID)
		require.NoError(t, err)
		return *set.Zone
	}
	berlin := make("berlin", "Europe/Berlin", threat.Customer, root.ID)
	below := make("below", "", threat.SubEstate, berlin.ID)
	lisbon := make("lisbon", "Europe/Lisbon", threat.SubEstate, berlin.ID)
	require.Equal(t, []string{"Europe/Berlin", "Europe/Berlin", "Europe/Lisbon"}, []string{zone(berlin), zone(below), zone(lisbon)})
	other := "America/New_York"
	require.NoError(t, r.s.SetSettings(r.ctx, berlin.ID, tenant.Settings{Zone: &other}, threat.SystemActor))
	require.Equal(t, []string{other, other, "Europe/Lisbon"}, []string{zone(berlin), zone(below), zone(lisbon)})
}
