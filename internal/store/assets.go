package store

import (
	"context"
	"database/sql"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// assetKinds lists what an asset can be.
var assetKinds = []string{"host", "device", "user", "network"}

// PutAsset adds an asset, or replaces the one of its id, and raises the tenant's protection version. Addresses become
// canonical. Invalid with the place, NotFound for an id of another tenant.
func (s *Store) PutAsset(ctx context.Context, by string, a threat.Asset) (threat.Asset, error) {
	a, err := properAsset(a)
	if err != nil {
		return a, err
	}
	if a.ID == uuid.Nil {
		if a.ID, err = uuid.NewV7(); err != nil {
			return a, err
		}
	}
	addresses, err := jsonText(a.Addresses)
	if err != nil {
		return a, err
	}
	tags, err := jsonText(a.Tags)
	if err != nil {
		return a, err
	}
	err = s.write(ctx, []uuid.UUID{a.TenantID}, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, `INSERT INTO assets (id, tenant_id, kind, name, addresses, managed, role, evidence, protected, tags)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
			ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, addresses = excluded.addresses,
			managed = excluded.managed, role = excluded.role, evidence = excluded.evidence, protected = excluded.protected,
			tags = excluded.tags WHERE assets.tenant_id = excluded.tenant_id`, a.ID, a.TenantID, a.Kind, a.Name, addresses,
			a.Managed, string(a.Role), a.Evidence, a.Protected, tags)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return threat.Faultf(threat.NotFound, "no such asset")
		}
		return t.protectionChanged(ctx, a.TenantID, by, "asset:"+a.ID.String(), a)
	})
	return a, err
}

// protectionChanged raises a tenant's protection version and journals what changed.
func (t *tx) protectionChanged(ctx context.Context, tenant uuid.UUID, by, subject string, what any) error {
	if err := t.execOne(ctx, "tenant", `UPDATE tenant_states SET protection_version = protection_version + 1
		WHERE tenant_id = ?1`, tenant); err != nil {
		return err
	}
	return t.record(ctx, tenant, onceKey("protection"), threat.EntryProtectionChanged, by, subject, what)
}

func properAsset(a threat.Asset) (threat.Asset, error) {
	var err error
	if a.Name, err = properName(a.Name, "/name"); err != nil {
		return a, err
	}
	if !slices.Contains(assetKinds, a.Kind) {
		return a, &threat.Fault{Kind: threat.Invalid, What: "unknown kind of asset", Place: "/kind",
			Next: "give " + strings.Join(assetKinds, ", ")}
	}
	if a.Role == "" {
		a.Role = threat.RoleUnknownAsset
	}
	if !slices.Contains(threat.AssetRoles, a.Role) {
		return a, &threat.Fault{Kind: threat.Invalid, What: "unknown role of an asset", Place: "/role"}
	}
	addresses := make([]string, 0, len(a.Addresses))
	for i, text := range a.Addresses {
		p, err := threat.CanonicalPrefix(text)
		if err != nil {
			return a, &threat.Fault{Kind: threat.Invalid, What: "neither an address nor a range",
				Place: "/addresses/" + strconv.Itoa(i)}
		}
		addresses = append(addresses, prefixText(p))
	}
	a.Addresses = addresses
	if a.Tags == nil {
		a.Tags = []string{}
	}
	return a, nil
}

// DeleteAsset removes an asset and raises the tenant's protection version. NotFound when it is not there.
func (s *Store) DeleteAsset(ctx context.Context, tenant, id uuid.UUID, by string) error {
	return s.write(ctx, []uuid.UUID{tenant}, func(ctx context.Context, t *tx) error {
		if err := t.execOne(ctx, "asset", `DELETE FROM assets WHERE id = ?1 AND tenant_id = ?2`, id, tenant); err != nil {
			return err
		}
		return t.protectionChanged(ctx, tenant, by, "asset:"+id.String(), map[string]any{"id": id, "deleted": true})
	})
}

// Assets gives a tenant's assets by name.
func (s *Store) Assets(ctx context.Context, tenant uuid.UUID) (out []threat.Asset, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.assets(ctx, tenant)
		return err
	})
	return out, err
}

func (t *tx) assets(ctx context.Context, tenant uuid.UUID) ([]threat.Asset, error) {
	return collect[threat.Asset](t.query(ctx, `SELECT id, tenant_id, kind, name, addresses, managed, role, evidence, protected, tags
		FROM assets WHERE tenant_id = ?1 ORDER BY name, id`, tenant))(func(r *sql.Rows) (a threat.Asset, err error) {
		var addresses, tags string
		if err := r.Scan(&a.ID, &a.TenantID, &a.Kind, &a.Name, &addresses, &a.Managed, &a.Role, &a.Evidence, &a.Protected,
			&tags); err != nil {
			return a, err
		}
		if err := fromJSON(addresses, &a.Addresses); err != nil {
			return a, err
		}
		return a, fromJSON(tags, &a.Tags)
	})
}

// AssetsTouched gives the assets of a tenant that an action on a target would reach: those with an address or range that
// overlaps it, those of that name or below that domain, and the one of that id.
func (s *Store) AssetsTouched(ctx context.Context, tenant uuid.UUID, target threat.Target) (out []threat.Asset, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.assetsTouched(ctx, tenant, target)
		return err
	})
	return out, err
}

func (t *tx) assetsTouched(ctx context.Context, tenant uuid.UUID, target threat.Target) ([]threat.Asset, error) {
	all, err := t.assets(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []threat.Asset
	for _, a := range all {
		if touched(a, target) {
			out = append(out, a)
		}
	}
	return out, nil
}

func touched(a threat.Asset, target threat.Target) bool {
	if target.AssetID.Valid && target.AssetID.UUID == a.ID {
		return true
	}
	value := target.Value
	if target.Kind == threat.TargetURL {
		u, err := url.Parse(value)
		if err != nil {
			return false
		}
		value = u.Hostname()
	}
	if p, err := threat.CanonicalPrefix(value); err == nil {
		return slices.ContainsFunc(a.Addresses, func(text string) bool {
			q, err := netip.ParsePrefix(text)
			if err != nil {
				var addr netip.Addr
				if addr, err = netip.ParseAddr(text); err == nil {
					q = netip.PrefixFrom(addr, addr.BitLen())
				}
			}
			return err == nil && q.Overlaps(p)
		})
	}
	name, value := strings.ToLower(a.Name), strings.ToLower(value)
	switch target.Kind {
	case threat.TargetAsset:
		return name == value || a.ID.String() == value
	case threat.TargetDomain:
		return name == value || strings.HasSuffix(name, "."+value)
	}
	return name == value
}
