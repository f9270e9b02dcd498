package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// slugShape is what stands for an organisation in paths.
var slugShape = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// parents says below which kinds an organisation may stand.
var parents = map[threat.OrganisationKind][]threat.OrganisationKind{
	threat.Provider:  nil,
	threat.Partner:   {threat.Provider, threat.Partner},
	threat.Customer:  {threat.Provider, threat.Partner},
	threat.SubEstate: {threat.Customer, threat.SubEstate},
}

// maxName bounds names of organisations, people, assets and connections, in runes.
const maxName = 200

// CreateOrganisation adds a node to the tree, with its key, its journal and, for a tenant, its state: the mode is notify
// until somebody consents to more. The id and the time are the store's. Conflict when the slug stands already or a second
// root is asked for, NotFound for a parent that is not there, Invalid with the place otherwise.
func (s *Store) CreateOrganisation(ctx context.Context, by string, o threat.Organisation) (threat.Organisation, error) {
	allowed, known := parents[o.Kind]
	switch {
	case !known:
		return o, &threat.Fault{Kind: threat.Invalid, What: "unknown kind of organisation", Place: "/kind",
			Next: "give provider, partner, customer or sub_estate"}
	case !slugShape.MatchString(o.Slug):
		return o, &threat.Fault{Kind: threat.Invalid, What: "a slug is made of a-z, 0-9 and hyphens, 63 at most", Place: "/slug"}
	case uuid.Validate(o.Slug) == nil:
		return o, &threat.Fault{Kind: threat.Invalid, What: "a slug that reads as an id", Place: "/slug"}
	case (o.Kind == threat.Provider) == o.ParentID.Valid:
		return o, &threat.Fault{Kind: threat.Invalid, What: "the provider is the root, and everybody else has a parent",
			Place: "/parent_id"}
	}
	var err error
	if o.Name, err = properName(o.Name, "/name"); err != nil {
		return o, err
	}
	own := "" // what it sets itself from the beginning: the zone of its business hours, when one was given
	if o.Zone == "" {
		o.Zone = "UTC"
	} else if own, err = jsonText(tenant.Settings{Zone: &o.Zone}); err != nil {
		return o, err
	}
	if _, err := time.LoadLocation(o.Zone); err != nil {
		return o, &threat.Fault{Kind: threat.Invalid, What: "unknown time zone", Place: "/zone", Next: "give an IANA name"}
	}
	if o.Language == "" {
		o.Language = "en"
	}
	if o.ID, err = uuid.NewV7(); err != nil {
		return o, err
	}
	var locks []uuid.UUID
	if o.ParentID.Valid {
		locks = []uuid.UUID{o.ParentID.UUID} // whoever stops or sets the tree above holds this lock too
	}
	err = s.write(ctx, locks, func(ctx context.Context, t *tx) error {
		if o.ParentID.Valid {
			p, err := t.organisation(ctx, o.ParentID.UUID)
			if err != nil {
				return err
			}
			fits := false
			for _, k := range allowed {
				fits = fits || p.Kind == k
			}
			if !fits {
				return &threat.Fault{Kind: threat.Invalid, What: "a " + string(o.Kind) + " cannot stand below a " + string(p.Kind),
					Place: "/parent_id"}
			}
			o.Simulated = o.Simulated || p.Simulated
		}
		o.CreatedAt = t.now
		if _, err := t.exec(ctx, `INSERT INTO organisations (id, parent_id, kind, slug, name, language, zone, tenant, simulated,
			created_at, stopped, stop_why, stop_by, settings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '', '', ?12)`,
			o.ID, o.ParentID, string(o.Kind), o.Slug, o.Name, o.Language, o.Zone, o.Tenant, o.Simulated, micros(o.CreatedAt),
			false, own); err != nil {
			if t.s.engine.fateOf(err) == fateUnique {
				return &threat.Fault{Kind: threat.Conflict, What: "an organisation of that slug, or the root, stands already",
					Place: "/slug", Err: err}
			}
			return err
		}
		if o.Tenant {
			if _, err := t.exec(ctx, `INSERT INTO tenant_states (tenant_id, mode, mode_version, eradicate, stop_version,
				protection_version, settings_version) VALUES (?1, ?2, 0, ?3, 0, 0, 0)`, o.ID, string(threat.ModeNotify),
				false); err != nil {
				return err
			}
		}
		if err := t.newOrgKey(ctx, o.ID); err != nil {
			return err
		}
		if err := t.newHead(ctx, o.ID); err != nil {
			return err
		}
		return t.record(ctx, o.ID, "organisation:"+o.ID.String(), threat.EntryOrganisation, by, "organisation:"+o.ID.String(), o)
	})
	return o, err
}

// record journals a change of an organisation's own data.
func (t *tx) record(ctx context.Context, org uuid.UUID, key string, kind threat.EntryKind, by, subject string, what any) error {
	payload, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, _, err = t.append(ctx, threat.Entry{OrgID: org, Key: key, Kind: kind, Actor: by, Subject: subject, Payload: payload})
	return err
}

// onceKey is a key for a change that nothing repeats by itself.
func onceKey(noun string) string { return noun + ":" + uuid.Must(uuid.NewV7()).String() }

// properName refuses an empty name and makes one inert.
func properName(name, place string) (string, error) {
	if name == "" {
		return "", &threat.Fault{Kind: threat.Invalid, What: "a name is missing", Place: place}
	}
	return threat.Inert(name, maxName), nil
}

const organisationColumns = `o.id, o.parent_id, o.kind, o.slug, o.name, o.language, o.zone, o.tenant, o.simulated, o.created_at`

func scanOrganisation(r *sql.Rows) (o threat.Organisation, err error) {
	var at int64
	err = r.Scan(&o.ID, &o.ParentID, &o.Kind, &o.Slug, &o.Name, &o.Language, &o.Zone, &o.Tenant, &o.Simulated, &at)
	o.CreatedAt = fromMicros(at)
	return o, err
}

// organisation reads one by id; NotFound when it is not there.
func (t *tx) organisation(ctx context.Context, id uuid.UUID) (threat.Organisation, error) {
	return one[threat.Organisation](t.query(ctx, `SELECT `+organisationColumns+` FROM organisations o WHERE o.id = ?1`, id))(scanOrganisation,
		"organisation")
}

// one reads the first row, or gives NotFound for the noun.
func one[T any](rows *sql.Rows, err error) func(scan func(*sql.Rows) (T, error), noun string) (T, error) {
	return func(scan func(*sql.Rows) (T, error), noun string) (T, error) {
		found, err := collect[T](rows, err)(scan)
		if err == nil && len(found) == 0 {
			err = threat.Faultf(threat.NotFound, "no such %s", noun)
		}
		if err != nil {
			var zero T
			return zero, err
		}
		return found[0], nil
	}
}

// Organisation gives one by its id or its slug. NotFound when it is not there.
func (s *Store) Organisation(ctx context.Context, idOrSlug string) (o threat.Organisation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if id, perr := uuid.Parse(idOrSlug); perr == nil {
			o, err = t.organisation(ctx, id)
			return err
		}
		o, err = one[threat.Organisation](t.query(ctx, `SELECT `+organisationColumns+` FROM organisations o WHERE o.slug = ?1`, idOrSlug))(
			scanOrganisation, "organisation")
		return err
	})
	return o, err
}

// Organisations gives an organisation and all below it, each after its parent. NotFound when it is not there.
func (s *Store) Organisations(ctx context.Context, under uuid.UUID) (out []threat.Organisation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.below(ctx, under)
		if err == nil && len(out) == 0 {
			err = threat.Faultf(threat.NotFound, "no such organisation")
		}
		return err
	})
	return out, err
}

// Root gives the provider, the top of the tree. NotFound before the first start has made it.
func (s *Store) Root(ctx context.Context) (o threat.Organisation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		o, err = one[threat.Organisation](t.query(ctx, `SELECT `+organisationColumns+` FROM organisations o WHERE o.parent_id IS NULL`))(
			scanOrganisation, "organisation")
		return err
	})
	return o, err
}

// below reads a node and all below it, each after its parent.
func (t *tx) below(ctx context.Context, id uuid.UUID) ([]threat.Organisation, error) {
	return collect[threat.Organisation](t.query(ctx, `WITH RECURSIVE tree (id, depth) AS (
		SELECT id, 0 FROM organisations WHERE id = ?1
		UNION ALL SELECT c.id, tree.depth + 1 FROM organisations c JOIN tree ON c.parent_id = tree.id)
		SELECT `+organisationColumns+` FROM tree JOIN organisations o ON o.id = tree.id ORDER BY tree.depth, o.slug`, id))(
		scanOrganisation)
}

// lineageOf is the table of a node and all above it, with their distance from the node.
const lineageOf = `WITH RECURSIVE line (id, parent_id, depth) AS (
		SELECT id, parent_id, 0 FROM organisations WHERE id = ?1
		UNION ALL SELECT p.id, p.parent_id, line.depth + 1 FROM organisations p JOIN line ON p.id = line.parent_id)`

// lineage reads the way from the root to a node.
func (t *tx) lineage(ctx context.Context, id uuid.UUID) ([]threat.Organisation, error) {
	return collect[threat.Organisation](t.query(ctx, lineageOf+` SELECT `+organisationColumns+`
		FROM line JOIN organisations o ON o.id = line.id ORDER BY line.depth DESC`, id))(scanOrganisation)
}

// Lineage gives the way from the root to an organisation, which comes last. NotFound when it is not there.
func (s *Store) Lineage(ctx context.Context, id uuid.UUID) (out []threat.Organisation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.lineage(ctx, id)
		if err == nil && len(out) == 0 {
			err = threat.Faultf(threat.NotFound, "no such organisation")
		}
		return err
	})
	return out, err
}

// errTreeMoved says that an organisation was added below while the locks were taken.
var errTreeMoved = errors.New("the tree moved")

// writeBelow is write under the locks of an organisation and of all below it, which fn gets. Nobody can add one
// meanwhile: that takes the lock of its parent.
func (s *Store) writeBelow(ctx context.Context, org uuid.UUID,
	fn func(ctx context.Context, t *tx, below []threat.Organisation) error) error {
	for {
		tree, err := s.Organisations(ctx, org)
		if err != nil {
			return err
		}
		locks := make([]uuid.UUID, len(tree))
		for i, o := range tree {
			locks[i] = o.ID
		}
		err = s.write(ctx, locks, func(ctx context.Context, t *tx) error {
			below, err := t.below(ctx, org)
			if err != nil {
				return err
			}
			for _, o := range below {
				if t.heads[o.ID] == nil {
					return errTreeMoved
				}
			}
			return fn(ctx, t, below)
		})
		if !errors.Is(err, errTreeMoved) {
			return err
		}
	}
}

// OwnSettings gives what an organisation sets itself. NotFound when it is not there.
func (s *Store) OwnSettings(ctx context.Context, org uuid.UUID) (out tenant.Settings, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		var text string
		if err := t.row(ctx, `SELECT settings FROM organisations WHERE id = ?1`, org).Scan(&text); err != nil {
			return err
		}
		return fromJSON(text, &out)
	})
	return out, err
}

// EffectiveSettings gives what holds for an organisation, with everything above it and the defaults. NotFound when it is
// not there.
func (s *Store) EffectiveSettings(ctx context.Context, org uuid.UUID) (out tenant.Settings, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.effectiveSettings(ctx, org)
		return err
	})
	return out, err
}

// effectiveSettings reads what holds for an organisation.
func (t *tx) effectiveSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error) {
	texts, err := collect[string](t.query(ctx, lineageOf+` SELECT o.settings FROM line JOIN organisations o ON o.id = line.id
		ORDER BY line.depth DESC`, org))(func(r *sql.Rows) (text string, err error) {
		err = r.Scan(&text)
		return text, err
	})
	if err != nil {
		return tenant.Settings{}, err
	}
	if len(texts) == 0 {
		return tenant.Settings{}, threat.Faultf(threat.NotFound, "no such organisation")
	}
	all := make([]tenant.Settings, len(texts))
	for i, text := range texts {
		if err := fromJSON(text, &all[i]); err != nil {
			return tenant.Settings{}, err
		}
	}
	return tenant.Effective(all...), nil
}
