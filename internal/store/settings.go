package store

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// SetSettings replaces what an organisation sets itself. The settings version of every tenant below rises, and its
// protection version when a list changed that protects, so that decisions made before are stale. Invalid with the place.
func (s *Store) SetSettings(ctx context.Context, org uuid.UUID, set tenant.Settings, by string) error {
	set, err := properSettings(set)
	if err != nil {
		return err
	}
	text, err := jsonText(set)
	if err != nil {
		return err
	}
	return s.writeBelow(ctx, org, func(ctx context.Context, t *tx, below []threat.Organisation) error {
		var oldText string
		if err := t.row(ctx, `SELECT settings FROM organisations WHERE id = ?1`, org).Scan(&oldText); err != nil {
			return err
		}
		var old tenant.Settings
		if err := fromJSON(oldText, &old); err != nil {
			return err
		}
		protects := 0
		if !slices.Equal(old.Untouchable(), set.Untouchable()) || !slices.Equal(old.OwnNetworks, set.OwnNetworks) ||
			!slices.Equal(old.Administrators, set.Administrators) {
			protects = 1
		}
		if err := t.execOne(ctx, "organisation", `UPDATE organisations SET settings = ?2 WHERE id = ?1`, org, text); err != nil {
			return err
		}
		for _, o := range below {
			if !o.Tenant {
				continue
			}
			if err := t.execOne(ctx, "tenant", `UPDATE tenant_states SET settings_version = settings_version + 1,
				protection_version = protection_version + ?2 WHERE tenant_id = ?1`, o.ID, protects); err != nil {
				return err
			}
		}
		return t.record(ctx, org, onceKey("settings"), threat.EntrySettingsChanged, by, "organisation:"+org.String(), set)
	})
}

// properSettings checks settings and gives them with their lists canonical.
func properSettings(set tenant.Settings) (tenant.Settings, error) {
	bad := func(place, what string) (tenant.Settings, error) {
		return set, &threat.Fault{Kind: threat.Invalid, What: what, Place: "/" + place}
	}
	for _, d := range []struct {
		place string
		value *tenant.Seconds
	}{
		{"request_open_seconds", set.RequestOpen}, {"step_wait_seconds", set.StepWait}, {"ack_for_seconds", set.AckFor},
		{"block_for_seconds", set.BlockFor}, {"block_max_seconds", set.BlockMax},
		{"correlate_within_seconds", set.CorrelateWithin}, {"dedup_within_seconds", set.DedupWithin},
		{"reverify_seconds", set.Reverify}, {"settle_seconds", set.Settle}, {"call_seconds", set.Call},
		{"lease_seconds", set.Lease}, {"quiet_close_seconds", set.QuietClose},
	} {
		if d.value != nil && (*d.value <= 0 || *d.value > maxSeconds) { // NaN fails neither, and JSON has none
			return bad(d.place, "a duration must be above 0 and at most a year")
		}
	}
	for _, n := range []struct {
		place   string
		value   *int
		min, to int
	}{
		{"rounds", set.Rounds, 1, 100}, {"budget_contain", set.BudgetContain, 0, 1_000_000},
		{"budget_block_domain", set.BudgetDomain, 0, 1_000_000}, {"case_part_percent", set.CasePart, 0, 100},
		{"sensor_part_percent", set.SensorPart, 0, 100}, {"business_from_minute", set.BusinessFrom, 0, 24 * 60},
		{"business_to_minute", set.BusinessTo, 0, 24 * 60},
	} {
		if n.value != nil && (*n.value < n.min || *n.value > n.to) {
			return bad(n.place, "a number from "+strconv.Itoa(n.min)+" to "+strconv.Itoa(n.to)+" is needed")
		}
	}
	if set.Call != nil && set.Lease != nil && *set.Call >= *set.Lease {
		return bad("call_seconds", "a call must be shorter than the lease of its claim")
	}
	if set.BlockEnd != nil && !slices.Contains(threat.Ends, *set.BlockEnd) {
		return bad("block_end", "unknown end of a containment")
	}
	if set.Zone != nil {
		if _, err := time.LoadLocation(*set.Zone); err != nil || *set.Zone == "" {
			return bad("zone", "unknown time zone")
		}
	}
	for _, l := range []struct {
		place     string
		list      *[]string
		canonical func(string) (string, bool)
		want      string
	}{
		{"never_block", &set.NeverBlock, canonicalPlace, "neither an address, a range nor a domain"},
		{"own_networks", &set.OwnNetworks, canonicalNetwork, "neither an address nor a range"},
		{"egress", &set.Egress, canonicalNetwork, "neither an address nor a range"},
		{"resolvers", &set.Resolvers, canonicalPlace, "neither an address, a range nor a domain"},
		{"vpn_pools", &set.VPNPools, canonicalPlace, "neither an address, a range nor a domain"},
		{"administrators", &set.Administrators, canonicalAccount, "not an account"},
	} {
		out := make([]string, 0, len(*l.list))
		for i, text := range *l.list {
			c, ok := l.canonical(text)
			if !ok {
				return bad(l.place+"/"+strconv.Itoa(i), l.want)
			}
			out = append(out, c)
		}
		*l.list = sortedTexts(out)
	}
	return set, nil
}

func canonicalNetwork(s string) (string, bool) {
	p, err := threat.CanonicalPrefix(s)
	if err != nil {
		return "", false
	}
	return prefixText(p), true
}

func canonicalPlace(s string) (string, bool) {
	if c, ok := canonicalNetwork(s); ok {
		return c, true
	}
	c, err := threat.CanonicalDomain(s)
	return c, err == nil
}

func canonicalAccount(s string) (string, bool) {
	t, err := threat.Target{Kind: threat.TargetAccount, Value: s}.Canonical()
	return t.Value, err == nil
}

// maxSeconds is the longest duration that a setting may have: a year.
const maxSeconds = 366 * 24 * 60 * 60

func sortedTexts(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// prefixText writes one address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
