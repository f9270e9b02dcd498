package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// TenantState gives what decisions and claims compare. NotFound for an organisation that is no tenant.
func (s *Store) TenantState(ctx context.Context, tenant uuid.UUID) (out threat.TenantState, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.tenantState(ctx, tenant)
		return err
	})
	return out, err
}

// tenantState reads a tenant's state; Stopped is true when its own switch or one above it is on.
func (t *tx) tenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error) {
	return one[threat.TenantState](t.query(ctx, lineageOf+` SELECT s.tenant_id, s.mode, s.mode_version, s.eradicate, s.stop_version,
		s.protection_version, s.settings_version,
		EXISTS (SELECT 1 FROM line JOIN organisations o ON o.id = line.id WHERE o.stopped)
		FROM tenant_states s WHERE s.tenant_id = ?1`, tenant))(func(r *sql.Rows) (st threat.TenantState, err error) {
		err = r.Scan(&st.TenantID, &st.Mode, &st.ModeVersion, &st.Eradicate, &st.StopVersion, &st.ProtectionVersion,
			&st.SettingsVersion, &st.Stopped)
		return st, err
	}, "tenant")
}

// SetMode records a consent and makes its mode the tenant's. It binds every claim after its commit; responses that wait
// are nudged, so that they are decided anew, and every other contact has to be told (LeaseModeNotices). Invalid without a mode, a person or the words they agreed to.
func (s *Store) SetMode(ctx context.Context, by string, c threat.Consent) (out threat.TenantState, err error) {
	switch {
	case !c.Mode.Valid():
		return out, &threat.Fault{Kind: threat.Invalid, What: "unknown response mode", Place: "/mode",
			Next: "give notify, collaborate, collaborate_unreachable or authorize"}
	case c.GivenBy == uuid.Nil:
		return out, &threat.Fault{Kind: threat.Invalid, What: "a mode is a consent, and a person gives it", Place: "/given_by"}
	case c.Words == "":
		return out, &threat.Fault{Kind: threat.Invalid, What: "the words that were agreed to are missing", Place: "/words"}
	case c.Eradicate && c.Mode != threat.ModeAuthorize:
		return out, &threat.Fault{Kind: threat.Invalid, What: "what cannot be undone can be granted with authorize only",
			Place: "/eradicate"}
	}
	if c.Language == "" {
		c.Language = "en"
	}
	err = s.write(ctx, []uuid.UUID{c.TenantID}, func(ctx context.Context, t *tx) error {
		st, err := t.tenantState(ctx, c.TenantID)
		if err != nil {
			return err
		}
		if _, err := t.person(ctx, c.GivenBy); err != nil {
			return err
		}
		c.Version, c.At = st.ModeVersion+1, t.now
		if _, err := t.exec(ctx, `INSERT INTO consents (tenant_id, version, mode, eradicate, given_by, words, language, at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`, c.TenantID, c.Version, string(c.Mode), c.Eradicate, c.GivenBy, c.Words,
			c.Language, micros(c.At)); err != nil {
			return err
		}
		if err := t.execOne(ctx, "tenant", `UPDATE tenant_states SET mode = ?2, mode_version = ?3, eradicate = ?4
			WHERE tenant_id = ?1`, c.TenantID, string(c.Mode), c.Version, c.Eradicate); err != nil {
			return err
		}
		if err := t.record(ctx, c.TenantID, consentSubject(c), threat.EntryModeChanged, by, consentSubject(c), c); err != nil {
			return err
		}
		if err := t.noteMode(ctx, c, st.Mode); err != nil {
			return err
		}
		if err := t.nudgeWaiting(ctx, c.TenantID); err != nil {
			return err
		}
		out, err = t.tenantState(ctx, c.TenantID)
		return err
	})
	return out, err
}

func consentSubject(c threat.Consent) string { return fmt.Sprintf("consent:%d", c.Version) }

// checkConsents is Verify's check of consents: each has its entry, and each entry its consent.
func checkConsents(ctx context.Context, t *tx, r *Report) error {
	return pairing{table: "consents", id: "version", org: "tenant_id", kind: threat.EntryModeChanged, noun: "consent"}.
		check(ctx, t, r)
}

// Consents gives every consent of a tenant, the first one first.
func (s *Store) Consents(ctx context.Context, tenant uuid.UUID) (out []threat.Consent, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.Consent](t.query(ctx, `SELECT tenant_id, version, mode, eradicate, given_by, words, language, at
			FROM consents WHERE tenant_id = ?1 ORDER BY version`, tenant))(func(r *sql.Rows) (c threat.Consent, err error) {
			var at int64
			err = r.Scan(&c.TenantID, &c.Version, &c.Mode, &c.Eradicate, &c.GivenBy, &c.Words, &c.Language, &at)
			c.At = fromMicros(at)
			return c, err
		})
		return err
	})
	return out, err
}

// SetStop turns an organisation's stop switch. It binds every claim of every tenant below after its commit; inFlight are
// the claims that were granted before it and have no result yet. Turning it off nudges what waits. Turning it to where it
// stands changes nothing. Invalid without a reason.
func (s *Store) SetStop(ctx context.Context, org uuid.UUID, on bool, why, by string) (inFlight []threat.Claim, err error) {
	if why == "" {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "a reason is missing", Place: "/why"}
	}
	var tenants []uuid.UUID
	err = s.writeBelow(ctx, org, func(ctx context.Context, t *tx, below []threat.Organisation) error {
		tenants = nil
		var was bool
		if err := t.row(ctx, `SELECT stopped FROM organisations WHERE id = ?1`, org).Scan(&was); err != nil {
			return err
		}
		for _, o := range below {
			if o.Tenant {
				tenants = append(tenants, o.ID)
			}
		}
		if was == on {
			return nil
		}
		if err := t.execOne(ctx, "organisation", `UPDATE organisations SET stopped = ?2, stop_why = ?3, stop_by = ?4, stop_at = ?5
			WHERE id = ?1`, org, on, why, by, micros(t.now)); err != nil {
			return err
		}
		payload, err := jsonText(map[string]any{"organisation": org, "on": on, "why": why})
		if err != nil {
			return err
		}
		var entries []threat.Entry
		key := onceKey("stop")
		for _, o := range below {
			if o.ID == org || o.Tenant { // each tenant's own journal tells why nothing was done for it
				entries = append(entries, threat.Entry{OrgID: o.ID, Key: key, Kind: threat.EntryStopChanged, Actor: by,
					Subject: "organisation:" + org.String(), Payload: []byte(payload)})
			}
		}
		if _, _, err := t.appendAll(ctx, entries); err != nil {
			return err
		}
		for _, id := range tenants {
			if err := t.execOne(ctx, "tenant", `UPDATE tenant_states SET stop_version = stop_version + 1 WHERE tenant_id = ?1`,
				id); err != nil {
				return err
			}
			if !on {
				if err := t.nudgeWaiting(ctx, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Read after the commit: no claim can be granted any more, so that the list can only be too long by what just ended.
	for _, id := range tenants {
		claims, err := s.InFlight(ctx, id)
		if err != nil {
			return inFlight, err
		}
		inFlight = append(inFlight, claims...)
	}
	return inFlight, nil
}

// Stop is where an organisation's own switch stands.
type Stop struct {
	On  bool   `json:"on"`
	Why string `json:"why"`
	By  string `json:"by"`
}

// StopOf gives an organisation's own switch, and not those above it. NotFound when it is not there.
func (s *Store) StopOf(ctx context.Context, org uuid.UUID) (out Stop, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		return t.row(ctx, `SELECT stopped, stop_why, stop_by FROM organisations WHERE id = ?1`, org).Scan(&out.On, &out.Why, &out.By)
	})
	return out, err
}

// Contacts gives a tenant's authorised contacts, by position.
func (s *Store) Contacts(ctx context.Context, tenant uuid.UUID) (out []threat.ContactEntry, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.contacts(ctx, tenant)
		return err
	})
	return out, err
}

// contacts reads a tenant's authorised contacts, by position.
func (t *tx) contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error) {
	return collect[threat.ContactEntry](t.query(ctx, `SELECT tenant_id, person_id, position, authorise, change_mode, methods
		FROM contacts WHERE tenant_id = ?1 ORDER BY position`, tenant))(func(r *sql.Rows) (c threat.ContactEntry, err error) {
		var authorise, methods string
		if err := r.Scan(&c.TenantID, &c.PersonID, &c.Position, &authorise, &c.ChangeMode, &methods); err != nil {
			return c, err
		}
		if err := fromJSON(authorise, &c.Authorise); err != nil {
			return c, err
		}
		return c, fromJSON(methods, &c.Methods)
	})
}

// nudgeUntold nudges a tenant's open cases of which nobody could be told: there may be somebody now.
func (t *tx) nudgeUntold(ctx context.Context, tenant uuid.UUID) error {
	ids, err := collect[uuid.UUID](t.query(ctx, `SELECT id FROM cases WHERE tenant_id = ?1 AND closed_at IS NULL AND contact = ?2
		ORDER BY number`, tenant, string(threat.ContactUndeliverable)))(func(r *sql.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.nudge(ctx, nudgeCase, tenant, id); err != nil {
			return err
		}
	}
	return nil
}

// SetContacts replaces a tenant's authorised contacts. Cases of which nobody could be told are nudged. They are numbered anew from 1, in the order of their positions and
// then of the list. Invalid with the place for a person named twice or disabled, NotFound for one that is not there.
func (s *Store) SetContacts(ctx context.Context, tenant uuid.UUID, list []threat.ContactEntry, by string) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b threat.ContactEntry) int { return a.Position - b.Position })
	return s.write(ctx, []uuid.UUID{tenant}, func(ctx context.Context, t *tx) error {
		if _, err := t.tenantState(ctx, tenant); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM contacts WHERE tenant_id = ?1`, tenant); err != nil {
			return err
		}
		entries := make([]threat.ContactEntry, len(list))
		seen := map[uuid.UUID]bool{}
		for i, c := range list {
			place := fmt.Sprintf("/contacts/%d/person_id", i)
			p, err := t.person(ctx, c.PersonID)
			if err != nil {
				return err
			}
			if p.DisabledAt != nil || seen[c.PersonID] {
				return &threat.Fault{Kind: threat.Invalid, What: "a contact is disabled, or named twice", Place: place}
			}
			seen[c.PersonID] = true
			c.TenantID, c.Position = tenant, i+1
			authorise, err := jsonText(c.Authorise)
			if err != nil {
				return err
			}
			methods, err := jsonText(c.Methods)
			if err != nil {
				return err
			}
			if _, err := t.exec(ctx, `INSERT INTO contacts (tenant_id, person_id, position, authorise, change_mode, methods)
				VALUES (?1, ?2, ?3, ?4, ?5, ?6)`, tenant, c.PersonID, c.Position, authorise, c.ChangeMode, methods); err != nil {
				return err
			}
			entries[i] = c
		}
		if err := t.nudgeUntold(ctx, tenant); err != nil {
			return err
		}
		return t.record(ctx, tenant, onceKey("contacts"), threat.EntryContactsChanged, by, "organisation:"+tenant.String(), entries)
	})
}
