package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const attemptSelect = `SELECT id, tenant_id, case_id, escalation_id, round, position, person_id, channel, connection_id, address,
	interruptive, two_way, state, error, provider_id, due_at, sent_at, accepted_at, delivered_at, seen_at, acknowledged_at
	FROM attempts WHERE `

func scanAttempt(r *sql.Rows) (a threat.Attempt, err error) {
	var due int64
	var sent, accepted, delivered, seen, acknowledged sql.NullInt64
	err = r.Scan(&a.ID, &a.TenantID, &a.CaseID, &a.EscalationID, &a.Round, &a.Position, &a.PersonID, &a.Channel, &a.ConnectionID,
		&a.Address, &a.Interruptive, &a.TwoWay, &a.State, &a.Error, &a.ProviderID, &due, &sent, &accepted, &delivered, &seen,
		&acknowledged)
	a.DueAt, a.SentAt, a.AcceptedAt = fromMicros(due), fromNullMicros(sent), fromNullMicros(accepted)
	a.DeliveredAt, a.SeenAt, a.AcknowledgedAt = fromNullMicros(delivered), fromNullMicros(seen), fromNullMicros(acknowledged)
	return a, err
}

// attempt reads one; NotFound when it is not there.
func (t *tx) attempt(ctx context.Context, id uuid.UUID) (threat.Attempt, error) {
	return one[threat.Attempt](t.query(ctx, attemptSelect+`id = ?1`, id))(scanAttempt, "attempt")
}

// attempts reads those of an escalation in the order in which they are due.
func (t *tx) attempts(ctx context.Context, escalation uuid.UUID) ([]threat.Attempt, error) {
	return collect[threat.Attempt](t.query(ctx, attemptSelect+`escalation_id = ?1 ORDER BY due_at, round, position, id`, escalation))(
		scanAttempt)
}

func attemptSubject(id uuid.UUID) string { return "attempt:" + id.String() }

// attemptEntry journals what became of an attempt: once for each state and mark.
func (t *tx) attemptEntry(ctx context.Context, a threat.Attempt, state string) error {
	return t.caseEntry(ctx, threat.Case{ID: a.CaseID, TenantID: a.TenantID}, threat.EntryAttempt, attemptSubject(a.ID)+":"+state,
		threat.SystemActor, attemptSubject(a.ID), map[string]any{"state": state, "escalation": a.EscalationID, "round": a.Round,
			"position": a.Position, "person": a.PersonID, "channel": a.Channel, "provider_id": a.ProviderID, "error": a.Error})
}

// asAttempt is write under the lock of an attempt's tenant.
func (s *Store) asAttempt(ctx context.Context, id uuid.UUID, fn func(context.Context, *tx, threat.Attempt) error) error {
	a, err := s.Attempt(ctx, id)
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{a.TenantID}, func(ctx context.Context, t *tx) error {
		a, err := t.attempt(ctx, id) // its tenant never changes
		if err != nil {
			return err
		}
		return fn(ctx, t, a)
	})
}

// Attempt gives one. NotFound when it is not there.
func (s *Store) Attempt(ctx context.Context, id uuid.UUID) (a threat.Attempt, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = t.attempt(ctx, id)
		return err
	})
	return a, err
}

// Attempts gives an escalation's attempts in the order in which they are due.
func (s *Store) Attempts(ctx context.Context, escalationID uuid.UUID) (out []threat.Attempt, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.attempts(ctx, escalationID)
		return err
	})
	return out, err
}

// AttemptByProvider gives the newest attempt that a provider knows by an id of its own. NotFound when there is none.
func (s *Store) AttemptByProvider(ctx context.Context, channel, providerID string) (a threat.Attempt, err error) {
	if providerID == "" {
		return a, threat.Faultf(threat.NotFound, "no such attempt")
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = one[threat.Attempt](t.query(ctx, attemptSelect+`channel = ?1 AND provider_id = ?2 AND provider_id <> ''
			ORDER BY due_at DESC, id LIMIT 1`, channel, providerID))(scanAttempt, "attempt")
		return err
	})
	return a, err
}

// PlanAttempts adds attempts to an escalation. One that is there already, by its id, is left alone. NotFound for an unknown
// escalation, Conflict when it is over.
func (s *Store) PlanAttempts(ctx context.Context, escalationID uuid.UUID, list []threat.Attempt) error {
	return s.asEscalation(ctx, escalationID, func(ctx context.Context, t *tx, e threat.Escalation) error {
		if e.State != threat.EscalationRunning {
			return threat.Faultf(threat.Conflict, "the escalation is %s", e.State)
		}
		rows := make([]any, 0, len(list)*attemptInsertColumns)
		for _, a := range list {
			rows = append(rows, a.ID, e.TenantID, e.CaseID, e.ID, a.Round, a.Position, a.PersonID, a.Channel, a.ConnectionID, a.Address,
				a.Interruptive, a.TwoWay, string(threat.AttemptPlanned), "", "", micros(a.DueAt))
		}
		return t.insertRows(ctx, `INSERT INTO attempts (id, tenant_id, case_id, escalation_id, round, position, person_id, channel,
			connection_id, address, interruptive, two_way, state, error, provider_id, due_at)`, `ON CONFLICT (id) DO NOTHING`,
			attemptInsertColumns, rows)
	})
}

const attemptInsertColumns = 16

// BeginAttempt notes that a planned message is about to go out, before it does, and reports true exactly once: it may then
// be sent. It is false when it is no longer planned; and when its case is acknowledged or closed or its escalation over, it
// is skipped. NotFound for an unknown attempt.
func (s *Store) BeginAttempt(ctx context.Context, id uuid.UUID) (out threat.Attempt, send bool, err error) {
	err = s.asAttempt(ctx, id, func(ctx context.Context, t *tx, a threat.Attempt) error {
		out, send = a, false
		if a.State != threat.AttemptPlanned {
			return nil
		}
		e, err := t.escalation(ctx, a.EscalationID)
		if err != nil {
			return err
		}
		c, err := t.caseRow(ctx, a.CaseID)
		if err != nil {
			return err
		}
		if e.State != threat.EscalationRunning || !c.Open() || c.Acknowledged(t.now) {
			out, err = t.skipAttempt(ctx, a, "it was no longer needed when it was due")
			return err
		}
		a.State, a.SentAt = threat.AttemptSending, &t.now
		if err := t.execOne(ctx, "attempt", `UPDATE attempts SET state = ?2, sent_at = ?3 WHERE id = ?1`, a.ID, string(a.State),
			micros(t.now)); err != nil {
			return err
		}
		out, send = a, true
		return t.attemptEntry(ctx, a, string(a.State))
	})
	return out, send, err
}

func (t *tx) skipAttempt(ctx context.Context, a threat.Attempt, why string) (threat.Attempt, error) {
	a.State, a.Error = threat.AttemptSkipped, why
	if err := t.execOne(ctx, "attempt", `UPDATE attempts SET state = ?2, error = ?3 WHERE id = ?1`, a.ID, string(a.State),
		why); err != nil {
		return a, err
	}
	return a, t.attemptEntry(ctx, a, string(a.State))
}

// skipAttempts skips what is still planned of an escalation.
func (t *tx) skipAttempts(ctx context.Context, escalation uuid.UUID, why string) error {
	planned, err := collect[threat.Attempt](t.query(ctx, attemptSelect+`escalation_id = ?1 AND state = 'planned' ORDER BY due_at, id`,
		escalation))(scanAttempt)
	if err != nil {
		return err
	}
	for _, a := range planned {
		if _, err := t.skipAttempt(ctx, a, why); err != nil {
			return err
		}
	}
	return nil
}

// SkipAttempts skips what is still planned of an escalation; what went out is not changed. NotFound when it is not there.
func (s *Store) SkipAttempts(ctx context.Context, escalationID uuid.UUID, why string) error {
	return s.asEscalation(ctx, escalationID, func(ctx context.Context, t *tx, e threat.Escalation) error {
		return t.skipAttempts(ctx, e.ID, why)
	})
}

// maxErrorText bounds what a provider said about a failure, in runes.
const maxErrorText = 500

// FinishAttempt notes what came of a message that was being sent: accepted, refused or unknown. What a provider accepted or
// refused stays; an unknown one may still turn out either way. Conflict when it never went out, Invalid for another state.
func (s *Store) FinishAttempt(ctx context.Context, id uuid.UUID, state threat.AttemptState, providerID, errText string) error {
	if !slices.Contains([]threat.AttemptState{threat.AttemptAccepted, threat.AttemptRefused, threat.AttemptUnknown}, state) {
		return threat.Faultf(threat.Invalid, "a message that was sent cannot become %s", threat.Inert(string(state), 32))
	}
	return s.asAttempt(ctx, id, func(ctx context.Context, t *tx, a threat.Attempt) error {
		switch a.State {
		case threat.AttemptSending, threat.AttemptUnknown:
		case threat.AttemptAccepted, threat.AttemptRefused:
			return nil
		default:
			return threat.Faultf(threat.Conflict, "the message is %s, and did not go out", a.State)
		}
		if a.State == state {
			return nil
		}
		a.State, a.Error = state, threat.Inert(errText, maxErrorText)
		if providerID != "" {
			a.ProviderID = providerID
		}
		if state == threat.AttemptAccepted {
			a.AcceptedAt = &t.now
		}
		if err := t.execOne(ctx, "attempt", `UPDATE attempts SET state = ?2, error = ?3, provider_id = ?4, accepted_at = ?5 WHERE id = ?1`,
			a.ID, string(a.State), a.Error, a.ProviderID, nullMicros(a.AcceptedAt)); err != nil {
			return err
		}
		if err := t.attemptEntry(ctx, a, string(a.State)); err != nil {
			return err
		}
		return t.nudge(ctx, nudgeEscalation, a.TenantID, a.EscalationID)
	})
}

// attemptMarks are the facts about a message that come after its acceptance, and their columns. Neither is an
// acknowledgement.
var attemptMarks = map[string]string{"delivered": "delivered_at", "seen": "seen_at"}

// MarkAttempt notes when a message was "delivered" or "seen", once each. Invalid for anything else.
func (s *Store) MarkAttempt(ctx context.Context, id uuid.UUID, what string, at time.Time) error {
	column, ok := attemptMarks[what]
	if !ok {
		return threat.Faultf(threat.Invalid, "a message can be marked delivered or seen")
	}
	return s.asAttempt(ctx, id, func(ctx context.Context, t *tx, a threat.Attempt) error {
		res, err := t.exec(ctx, `UPDATE attempts SET `+column+` = ?2 WHERE id = ?1 AND `+column+` IS NULL`, id, micros(at))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return t.attemptEntry(ctx, a, what)
	})
}
