package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// machineRoles are not for people.
var machineRoles = []threat.Role{threat.Sensor, threat.Firewall, threat.Relay}

// PutPerson adds a person, or replaces name, address, language and zone of the one of its id. Conflict when the mail
// address is somebody else's or the organisation is another, NotFound for an unknown organisation, Invalid with the place.
func (s *Store) PutPerson(ctx context.Context, by string, p threat.Person) (threat.Person, error) {
	var err error
	if p.Name, err = properName(p.Name, "/name"); err != nil {
		return p, err
	}
	p.Email = strings.ToLower(strings.TrimSpace(p.Email))
	local, domain, _ := strings.Cut(p.Email, "@")
	if local == "" || domain == "" || strings.ContainsAny(p.Email, " \t\r\n<>,;") || strings.Contains(domain, "@") ||
		len(p.Email) > 254 || threat.Inert(p.Email, 254) != p.Email {
		return p, &threat.Fault{Kind: threat.Invalid, What: "not a mail address", Place: "/email"}
	}
	if p.Language == "" {
		p.Language = "en"
	}
	if p.Zone == "" {
		p.Zone = "UTC"
	}
	if p.ID == uuid.Nil {
		if p.ID, err = uuid.NewV7(); err != nil {
			return p, err
		}
	}
	err = s.write(ctx, []uuid.UUID{p.OrgID}, func(ctx context.Context, t *tx) error {
		old, err := collect[threat.Person](t.query(ctx, personSelect+`id = ?1`, p.ID))(scanPerson)
		if err != nil {
			return err
		}
		p.CreatedAt, p.DisabledAt = t.now, nil
		if len(old) > 0 {
			p.CreatedAt, p.DisabledAt = old[0].CreatedAt, old[0].DisabledAt
			if old[0].OrgID != p.OrgID {
				return &threat.Fault{Kind: threat.Conflict, What: "a person stays with their organisation", Place: "/org_id",
					Next: "disable this one, and add another"}
			}
		}
		if _, err := t.exec(ctx, `INSERT INTO people (id, org_id, name, email, language, zone, simulated, created_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, language = excluded.language,
			zone = excluded.zone`, p.ID, p.OrgID, p.Name, p.Email, p.Language, p.Zone, p.Simulated, micros(p.CreatedAt)); err != nil {
			if t.s.engine.fateOf(err) == fateUnique {
				return &threat.Fault{Kind: threat.Conflict, What: "a person of that mail address is there already", Place: "/email",
					Err: err}
			}
			return err
		}
		return t.record(ctx, p.OrgID, onceKey("person"), threat.EntryPerson, by, "person:"+p.ID.String(), p)
	})
	return p, err
}

const personSelect = `SELECT id, org_id, name, email, language, zone, simulated, disabled_at, created_at FROM people WHERE `

func scanPerson(r *sql.Rows) (p threat.Person, err error) {
	var disabled sql.NullInt64
	var created int64
	err = r.Scan(&p.ID, &p.OrgID, &p.Name, &p.Email, &p.Language, &p.Zone, &p.Simulated, &disabled, &created)
	p.DisabledAt, p.CreatedAt = fromNullMicros(disabled), fromMicros(created)
	return p, err
}

// person reads one; NotFound when it is not there.
func (t *tx) person(ctx context.Context, id uuid.UUID) (threat.Person, error) {
	return one[threat.Person](t.query(ctx, personSelect+`id = ?1`, id))(scanPerson, "person")
}

// Person gives one by id, disabled or not. NotFound when it is not there.
func (s *Store) Person(ctx context.Context, id uuid.UUID) (p threat.Person, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		p, err = t.person(ctx, id)
		return err
	})
	return p, err
}

// PersonByEmail gives one by mail address, in any case of letters. NotFound when it is not there.
func (s *Store) PersonByEmail(ctx context.Context, email string) (p threat.Person, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		p, err = one[threat.Person](t.query(ctx, personSelect+`email = ?1`, strings.ToLower(strings.TrimSpace(email))))(scanPerson, "person")
		return err
	})
	return p, err
}

// Persons gives an organisation's own people by name, the disabled ones too.
func (s *Store) Persons(ctx context.Context, org uuid.UUID) (out []threat.Person, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.Person](t.query(ctx, personSelect+`org_id = ?1 ORDER BY name, id`, org))(scanPerson)
		return err
	})
	return out, err
}

// asPerson is write under the lock of a person's organisation.
func (s *Store) asPerson(ctx context.Context, id uuid.UUID, fn func(context.Context, *tx, threat.Person) error) error {
	p, err := s.Person(ctx, id)
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{p.OrgID}, func(ctx context.Context, t *tx) error {
		p, err := t.person(ctx, id) // its organisation never changes
		if err != nil {
			return err
		}
		return fn(ctx, t, p)
	})
}

// DisablePerson ends a person's sessions, links and rights at once; what they did stays. Doing it again changes nothing.
// NotFound when they are not there.
func (s *Store) DisablePerson(ctx context.Context, id uuid.UUID, by string) error {
	return s.asPerson(ctx, id, func(ctx context.Context, t *tx, p threat.Person) error {
		if p.DisabledAt != nil {
			return nil
		}
		if err := t.execOne(ctx, "person", `UPDATE people SET disabled_at = ?2 WHERE id = ?1`, id, micros(t.now)); err != nil {
			return err
		}
		if err := t.endSessions(ctx, id); err != nil {
			return err
		}
		p.DisabledAt = &t.now
		return t.record(ctx, p.OrgID, onceKey("person"), threat.EntryPerson, by, "person:"+id.String(), p)
	})
}

// SetGrants replaces a person's roles. Invalid, with the place, for a role of machines or an unknown one, NotFound for an
// unknown person or organisation.
func (s *Store) SetGrants(ctx context.Context, person uuid.UUID, list []threat.Grant, by string) error {
	for i, g := range list {
		if !slices.Contains(threat.Roles, g.Role) || slices.Contains(machineRoles, g.Role) {
			return &threat.Fault{Kind: threat.Invalid, What: "not a role of people: " + threat.Inert(string(g.Role), 32),
				Place: place("/grants", i, "/role")}
		}
	}
	return s.asPerson(ctx, person, func(ctx context.Context, t *tx, p threat.Person) error {
		if _, err := t.exec(ctx, `DELETE FROM grants WHERE person_id = ?1`, person); err != nil {
			return err
		}
		kept := make([]threat.Grant, 0, len(list))
		for _, g := range list {
			if _, err := t.organisation(ctx, g.OrgID); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `INSERT INTO grants (person_id, org_id, role) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING`,
				person, g.OrgID, string(g.Role)); err != nil {
				return err
			}
			g.PersonID = person
			kept = append(kept, g)
		}
		return t.record(ctx, p.OrgID, onceKey("grants"), threat.EntryPerson, by, "person:"+person.String(),
			map[string]any{"grants": kept})
	})
}

// Grants gives a person's roles, none when the person is disabled.
func (s *Store) Grants(ctx context.Context, person uuid.UUID) (out []threat.Grant, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.grants(ctx, person)
		return err
	})
	return out, err
}

func (t *tx) grants(ctx context.Context, person uuid.UUID) ([]threat.Grant, error) {
	return collect[threat.Grant](t.query(ctx, `SELECT g.person_id, g.org_id, g.role FROM grants g
		JOIN people p ON p.id = g.person_id WHERE g.person_id = ?1 AND p.disabled_at IS NULL ORDER BY g.org_id, g.role`,
		person))(func(r *sql.Rows) (g threat.Grant, err error) {
		err = r.Scan(&g.PersonID, &g.OrgID, &g.Role)
		return g, err
	})
}
