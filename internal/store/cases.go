package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const caseColumns = `id, tenant_id, number, title, severity, threat, threat_version, contact, contact_version, ack_by, ack_until,
	cursor_seq, last_seq, adversary_at, opened_at, updated_at, closed_at, closed_by, close_reason, simulated`

const caseSelect = `SELECT ` + caseColumns + ` FROM cases WHERE `

func scanCase(r *sql.Rows) (c threat.Case, err error) {
	var ack, adversary, closed sql.NullInt64
	var opened, updated int64
	err = r.Scan(&c.ID, &c.TenantID, &c.Number, &c.Title, &c.Severity, &c.Threat, &c.ThreatVersion, &c.Contact, &c.ContactVersion,
		&c.AckBy, &ack, &c.Cursor, &c.LastDetection, &adversary, &opened, &updated, &closed, &c.ClosedBy, &c.CloseReason, &c.Simulated)
	c.AckUntil, c.LastAdversaryAt, c.ClosedAt = fromNullMicros(ack), fromNullMicros(adversary), fromNullMicros(closed)
	c.OpenedAt, c.UpdatedAt = fromMicros(opened), fromMicros(updated)
	return c, err
}

// caseRow reads one; NotFound when it is not there.
func (t *tx) caseRow(ctx context.Context, id uuid.UUID) (threat.Case, error) {
	return one[threat.Case](t.query(ctx, caseSelect+`id = ?1`, id))(scanCase, "case")
}

// caseEntry journals something about a case. A key that stands already changes nothing.
func (t *tx) caseEntry(ctx context.Context, c threat.Case, kind threat.EntryKind, key, by, subject string, what any) error {
	payload, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, _, err = t.append(ctx, threat.Entry{OrgID: c.TenantID, Key: key, Kind: kind,
		CaseID: uuid.NullUUID{UUID: c.ID, Valid: true}, Actor: by, Subject: subject, Payload: payload})
	return err
}

func caseSubject(id uuid.UUID) string { return "case:" + id.String() }

// nudgeAsked nudges the responses of a case about which people are asked.
func (t *tx) nudgeAsked(ctx context.Context, caseID uuid.UUID) error {
	_, err := t.exec(ctx, `INSERT INTO outbox (kind, subject_id, tenant_id, stamp, severity, at, lease_owner, lease_until)
		SELECT 'response', r.id, r.tenant_id, CAST(?2 AS BIGINT), c.severity, CAST(?2 AS BIGINT), '', 0
		FROM responses r JOIN cases c ON c.id = r.case_id
		WHERE r.case_id = ?1 AND r.ended_at IS NULL AND r.state = 'asked'`+nudgeAgain, caseID, micros(t.now))
	if err == nil {
		t.wake(nudgeResponse)
	}
	return err
}

// setThreat changes a case's threat state, journals it, and nudges the case and what is asked for it. Setting it to where it
// stands changes nothing.
func (t *tx) setThreat(ctx context.Context, c threat.Case, to threat.ThreatState, why, by string) (threat.Case, error) {
	if c.Threat == to {
		return c, nil
	}
	from := c.Threat
	c.Threat, c.ThreatVersion, c.UpdatedAt = to, c.ThreatVersion+1, t.now
	if err := t.execOne(ctx, "case", `UPDATE cases SET threat = ?2, threat_version = ?3, updated_at = ?4 WHERE id = ?1`, c.ID,
		string(to), c.ThreatVersion, micros(t.now)); err != nil {
		return c, err
	}
	if err := t.caseEntry(ctx, c, threat.EntryCaseThreat, fmt.Sprintf("threat:%s:%d", c.ID, c.ThreatVersion), by, caseSubject(c.ID),
		map[string]any{"from": from, "to": to, "why": why}); err != nil {
		return c, err
	}
	if err := t.nudgeAsked(ctx, c.ID); err != nil {
		return c, err
	}
	return c, t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
}

// setContact changes how a case stands with the customer, journals it, and nudges the case and what is asked for it. Setting
// it to where it stands changes nothing.
func (t *tx) setContact(ctx context.Context, c threat.Case, to threat.ContactState, why, by string) (threat.Case, error) {
	if c.Contact == to {
		return c, nil
	}
	from := c.Contact
	c.Contact, c.ContactVersion, c.UpdatedAt = to, c.ContactVersion+1, t.now
	if err := t.execOne(ctx, "case", `UPDATE cases SET contact = ?2, contact_version = ?3, updated_at = ?4 WHERE id = ?1`, c.ID,
		string(to), c.ContactVersion, micros(t.now)); err != nil {
		return c, err
	}
	if err := t.caseEntry(ctx, c, threat.EntryCaseContact, fmt.Sprintf("contact:%s:%d", c.ID, c.ContactVersion), by,
		caseSubject(c.ID), map[string]any{"from": from, "to": to, "why": why}); err != nil {
		return c, err
	}
	if err := t.nudgeAsked(ctx, c.ID); err != nil {
		return c, err
	}
	return c, t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
}

// asCase is write under the lock of a case's tenant.
func (s *Store) asCase(ctx context.Context, id uuid.UUID, fn func(context.Context, *tx, threat.Case) error) error {
	c, err := s.Case(ctx, id)
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{c.TenantID}, func(ctx context.Context, t *tx) error {
		c, err := t.caseRow(ctx, id) // its tenant never changes
		if err != nil {
			return err
		}
		return fn(ctx, t, c)
	})
}

// Case gives one. NotFound when it is not there.
func (s *Store) Case(ctx context.Context, id uuid.UUID) (c threat.Case, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = t.caseRow(ctx, id)
		return err
	})
	return c, err
}

// CaseByNumber gives the case that people call FB-n. NotFound when it is not there.
func (s *Store) CaseByNumber(ctx context.Context, n int64) (c threat.Case, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = one[threat.Case](t.query(ctx, caseSelect+`number = ?1`, n))(scanCase, "case")
		return err
	})
	return c, err
}

const (
	usualCases = 50  // of a query without a limit
	maxCases   = 200 // of any
)

// Cases gives the cases that a query selects, the newest first.
func (s *Store) Cases(ctx context.Context, q threat.CaseQuery) (out []threat.Case, err error) {
	if q.Limit <= 0 {
		q.Limit = usualCases
	}
	if q.Before <= 0 {
		q.Before = math.MaxInt64
	}
	where := ``
	if q.Open != nil && *q.Open {
		where = ` AND closed_at IS NULL`
	} else if q.Open != nil {
		where = ` AND closed_at IS NOT NULL`
	}
	limit := min(q.Limit, maxCases)
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		out = nil
		for chunk := range padded(anys(sortedIDs(q.Tenants))) {
			found, err := collect[threat.Case](t.query(ctx, caseSelect+`number < ?1 AND tenant_id IN `+places(3, len(chunk))+where+
				` ORDER BY number DESC LIMIT ?2`, append([]any{q.Before, limit}, chunk...)...))(scanCase)
			if err != nil {
				return err
			}
			out = append(out, found...)
		}
		slices.SortFunc(out, func(a, b threat.Case) int { return cmp.Compare(b.Number, a.Number) })
		out = out[:min(len(out), limit)]
		return nil
	})
	return out, err
}

// AdvanceCursor notes that a case has acted on its detections up to seq. It never goes back.
func (s *Store) AdvanceCursor(ctx context.Context, caseID uuid.UUID, seq int64) error {
	return s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) error {
		if seq <= c.Cursor || seq > c.LastDetection {
			return nil
		}
		return t.execOne(ctx, "case", `UPDATE cases SET cursor_seq = ?2 WHERE id = ?1`, caseID, seq)
	})
}

// threatStates are those that a case can be set to.
var threatStates = []threat.ThreatState{threat.ThreatSuspected, threat.ThreatActive, threat.ThreatContained, threat.ThreatResolved}

// SetThreat changes a case's threat state and gives the case. Setting it to where it stands changes nothing. Invalid for an
// unknown state, Conflict when the case is closed.
func (s *Store) SetThreat(ctx context.Context, caseID uuid.UUID, to threat.ThreatState, why, by string) (out threat.Case, err error) {
	if !slices.Contains(threatStates, to) {
		return out, &threat.Fault{Kind: threat.Invalid, What: "unknown threat state", Place: "/threat"}
	}
	err = s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) (err error) {
		if out = c; c.Threat == to {
			return nil
		}
		if err := mustBeOpen(c); err != nil {
			return err
		}
		out, err = t.setThreat(ctx, c, to, why, by)
		return err
	})
	return out, err
}

// contactStates are those that a case can be set to; an acknowledgement is given by a person.
var contactStates = []threat.ContactState{threat.ContactNone, threat.ContactTrying, threat.ContactUnreachable,
	threat.ContactUndeliverable, threat.ContactExhausted}

// SetContact changes how a case stands with the customer and gives the case. Setting it to where it stands changes nothing.
// Invalid for an unknown state or acknowledged, Conflict when the case is closed.
func (s *Store) SetContact(ctx context.Context, caseID uuid.UUID, to threat.ContactState, why string) (out threat.Case, err error) {
	if !slices.Contains(contactStates, to) {
		return out, &threat.Fault{Kind: threat.Invalid, What: "a case's contact cannot be set to this", Place: "/contact"}
	}
	err = s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) (err error) {
		if out = c; c.Contact == to {
			return nil
		}
		if err := mustBeOpen(c); err != nil {
			return err
		}
		out, err = t.setContact(ctx, c, to, why, threat.SystemActor)
		return err
	})
	return out, err
}

func mustBeOpen(c threat.Case) error {
	if c.Open() {
		return nil
	}
	return &threat.Fault{Kind: threat.Conflict, What: c.Name() + " is closed", Next: "read the case again"}
}

// CloseCase closes a case: its threat is resolved and its escalations end. Its responses go on to their own ends. Invalid
// without a reason, Conflict when it is closed already.
func (s *Store) CloseCase(ctx context.Context, caseID uuid.UUID, reason, by string) (out threat.Case, err error) {
	if reason == "" {
		return out, &threat.Fault{Kind: threat.Invalid, What: "a reason is missing", Place: "/reason"}
	}
	err = s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) error {
		if err := mustBeOpen(c); err != nil {
			return err
		}
		if err := t.cancelEscalations(ctx, c, "the case was closed"); err != nil {
			return err
		}
		c, err := t.setThreat(ctx, c, threat.ThreatResolved, reason, by)
		if err != nil {
			return err
		}
		c.ClosedAt, c.ClosedBy, c.CloseReason, c.UpdatedAt = &t.now, by, reason, t.now
		if err := t.execOne(ctx, "case", `UPDATE cases SET closed_at = ?2, closed_by = ?3, close_reason = ?4, updated_at = ?2
			WHERE id = ?1`, c.ID, micros(t.now), by, reason); err != nil {
			return err
		}
		if err := t.caseEntry(ctx, c, threat.EntryCaseClosed, "closed:"+c.ID.String(), by, caseSubject(c.ID),
			map[string]any{"reason": reason}); err != nil {
			return err
		}
		// Nothing joins a closed case: what it named need not be kept to find it by.
		if _, err := t.exec(ctx, `DELETE FROM observables WHERE case_id = ?1`, c.ID); err != nil {
			return err
		}
		out = c
		return t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
	})
	return out, err
}

// maxNote bounds a note, in bytes.
const maxNote = 20_000

// Note keeps what a person wrote about a case, open or closed. Invalid when it is empty or over 20,000 bytes.
func (s *Store) Note(ctx context.Context, caseID uuid.UUID, text, by string) error {
	if text == "" || len(text) > maxNote {
		return &threat.Fault{Kind: threat.Invalid, What: "a note has between 1 and 20,000 bytes", Place: "/text"}
	}
	return s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) error {
		return t.caseEntry(ctx, c, threat.EntryCaseNote, onceKey("note"), by, caseSubject(c.ID), map[string]any{"text": text})
	})
}
