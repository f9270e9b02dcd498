package store

import (
	"context"
	"database/sql"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// PutConnection adds a connection, or replaces the one of its id. Conflict when its tenant has another one of that name,
// NotFound for an id of another tenant, Invalid with the place.
func (s *Store) PutConnection(ctx context.Context, by string, c threat.Connection) (threat.Connection, error) {
	var err error
	if c.Name, err = properName(c.Name, "/name"); err != nil {
		return c, err
	}
	if c.Adapter == "" {
		return c, &threat.Fault{Kind: threat.Invalid, What: "a connection names its adapter", Place: "/adapter"}
	}
	if c.ReachedFrom == "" {
		c.ReachedFrom = threat.ReachedFromServer
	}
	if c.Settings == nil {
		c.Settings = map[string]string{}
	}
	if c.ID == uuid.Nil {
		if c.ID, err = uuid.NewV7(); err != nil {
			return c, err
		}
	}
	settings, err := jsonText(c.Settings)
	if err != nil {
		return c, err
	}
	err = s.write(ctx, []uuid.UUID{c.TenantID}, func(ctx context.Context, t *tx) error {
		old, err := collect[threat.Connection](t.query(ctx, connectionSelect+`id = ?1`, c.ID))(scanConnection)
		if err != nil {
			return err
		}
		c.CreatedAt = t.now
		if len(old) > 0 {
			c.CreatedAt = old[0].CreatedAt
			if old[0].TenantID != c.TenantID {
				return threat.Faultf(threat.NotFound, "no such connection")
			}
			if old[0].Adapter != c.Adapter {
				return &threat.Fault{Kind: threat.Conflict, What: "a connection keeps its adapter", Place: "/adapter",
					Next: "add another connection, and disable this one"}
			}
		}
		if _, err := t.exec(ctx, `INSERT INTO connections (id, tenant_id, adapter, name, settings, secret_ref, reached_from, enabled,
			created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, settings = excluded.settings, secret_ref = excluded.secret_ref,
			reached_from = excluded.reached_from, enabled = excluded.enabled`, c.ID, c.TenantID, c.Adapter, c.Name, settings,
			c.SecretRef, c.ReachedFrom, c.Enabled, micros(c.CreatedAt)); err != nil {
			if t.s.engine.fateOf(err) == fateUnique {
				return &threat.Fault{Kind: threat.Conflict, What: "a connection of that name stands already", Place: "/name", Err: err}
			}
			return err
		}
		return t.record(ctx, c.TenantID, onceKey("connection"), threat.EntryConnectionChanged, by, "connection:"+c.ID.String(), c)
	})
	return c, err
}

const connectionSelect = `SELECT id, tenant_id, adapter, name, settings, secret_ref, reached_from, enabled, created_at
	FROM connections WHERE `

func scanConnection(r *sql.Rows) (c threat.Connection, err error) {
	var settings string
	var at int64
	if err := r.Scan(&c.ID, &c.TenantID, &c.Adapter, &c.Name, &settings, &c.SecretRef, &c.ReachedFrom, &c.Enabled,
		&at); err != nil {
		return c, err
	}
	c.CreatedAt = fromMicros(at)
	return c, fromJSON(settings, &c.Settings)
}

// connection reads one; NotFound when it is not there.
func (t *tx) connection(ctx context.Context, id uuid.UUID) (threat.Connection, error) {
	return one[threat.Connection](t.query(ctx, connectionSelect+`id = ?1`, id))(scanConnection, "connection")
}

// Connection gives one by its id. NotFound when it is not there.
func (s *Store) Connection(ctx context.Context, id uuid.UUID) (c threat.Connection, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = t.connection(ctx, id)
		return err
	})
	return c, err
}

// Connections gives a tenant's connections by name.
func (s *Store) Connections(ctx context.Context, tenant uuid.UUID) (out []threat.Connection, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.Connection](t.query(ctx, connectionSelect+`tenant_id = ?1 ORDER BY name`, tenant))(scanConnection)
		return err
	})
	return out, err
}

// PutSecret keeps a credential, sealed under the organisation's key, in the place of one of the same name. The journal
// tells that it was set, and by whom. Invalid without a name or a value.
func (s *Store) PutSecret(ctx context.Context, org uuid.UUID, ref string, value []byte, by string) error {
	if ref == "" || len(value) == 0 {
		return &threat.Fault{Kind: threat.Invalid, What: "a credential has a name and a value", Place: "/secret"}
	}
	return s.write(ctx, []uuid.UUID{org}, func(ctx context.Context, t *tx) error {
		key, err := s.orgKey(ctx, t, org)
		if err != nil {
			return err
		}
		sealed, err := key.Seal(value, secretPlace(org, ref))
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO secrets (org_id, ref, sealed, updated_at) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (org_id, ref) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`, org, ref, sealed,
			micros(t.now)); err != nil {
			return err
		}
		return t.record(ctx, org, onceKey("secret"), threat.EntryConnectionChanged, by, "secret:"+ref, map[string]any{"set": ref})
	})
}

// Secret gives a credential in clear. NotFound when there is none of that name, Internal when it does not open.
func (s *Store) Secret(ctx context.Context, org uuid.UUID, ref string) (value []byte, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		sealed, err := one[[]byte](t.query(ctx, `SELECT sealed FROM secrets WHERE org_id = ?1 AND ref = ?2`, org, ref))(
			func(r *sql.Rows) (b []byte, err error) {
				err = r.Scan(&b)
				return b, err
			}, "credential")
		if err != nil {
			return err
		}
		key, err := s.orgKey(ctx, t, org)
		if err != nil {
			return err
		}
		if value, err = key.Open(sealed, secretPlace(org, ref)); err != nil {
			return threat.Faultf(threat.Internal, "a credential does not open: %w", err)
		}
		return nil
	})
	return value, err
}

func secretPlace(org uuid.UUID, ref string) []byte {
	return append(append([]byte("secret\x00"), org[:]...), ref...)
}
