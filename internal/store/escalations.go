package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const escalationSelect = `SELECT id, tenant_id, case_id, number, chain, rounds, ack_for, subject, state, decision_id, started_at,
	ended_at, ack_by, ack_via FROM escalations WHERE `

func scanEscalation(r *sql.Rows) (e threat.Escalation, err error) {
	var chain string
	var ackFor, started int64
	var ended sql.NullInt64
	if err := r.Scan(&e.ID, &e.TenantID, &e.CaseID, &e.Number, &chain, &e.Rounds, &ackFor, &e.Subject, &e.State, &e.DecisionID,
		&started, &ended, &e.AckBy, &e.AckVia); err != nil {
		return e, err
	}
	e.AckFor = time.Duration(ackFor) * time.Microsecond
	e.StartedAt, e.EndedAt = fromMicros(started), fromNullMicros(ended)
	return e, fromJSON(chain, &e.Chain)
}

// escalation reads one; NotFound when it is not there.
func (t *tx) escalation(ctx context.Context, id uuid.UUID) (threat.Escalation, error) {
	return one[threat.Escalation](t.query(ctx, escalationSelect+`id = ?1`, id))(scanEscalation, "escalation")
}

// reach sums up an escalation's attempts as they stand, and whether an acknowledgement of its case holds at now.
func (t *tx) reach(ctx context.Context, escalation uuid.UUID, now time.Time) (threat.Reach, error) {
	e, err := t.escalation(ctx, escalation)
	if err != nil {
		return threat.Reach{}, err
	}
	c, err := t.caseRow(ctx, e.CaseID)
	if err != nil {
		return threat.Reach{}, err
	}
	attempts, err := t.attempts(ctx, escalation)
	if err != nil {
		return threat.Reach{}, err
	}
	r := threat.Reach{Acknowledged: c.Acknowledged(now), Over: e.State == threat.EscalationExhausted}
	type visit struct{ round, position int }
	tried, pending, rung := map[visit]bool{}, map[visit]bool{}, map[uuid.UUID]bool{}
	for _, a := range attempts {
		at := visit{a.Round, a.Position}
		switch a.State {
		case threat.AttemptAccepted:
			r.Accepted++
			tried[at] = true
			if a.TwoWay && a.Interruptive {
				rung[a.PersonID] = true
			}
		case threat.AttemptRefused, threat.AttemptUnknown:
			r.Undelivered++
			tried[at] = true
		case threat.AttemptPlanned, threat.AttemptSending:
			pending[at] = true
		}
	}
	toEnd := map[uuid.UUID]bool{}
	for _, step := range e.Chain {
		over := true
		for round := 1; round <= e.Rounds; round++ {
			at := visit{round, step.Position}
			over = over && tried[at] && !pending[at]
		}
		before, again := toEnd[step.PersonID]
		toEnd[step.PersonID] = over && (before || !again)
	}
	for person, over := range toEnd {
		r.Contacts++
		if over {
			r.TriedToEnd++
		}
		if rung[person] {
			r.Interrupted++
		}
	}
	return r, nil
}

// Reach sums up an escalation's attempts as they stand. NotFound when it is not there.
func (s *Store) Reach(ctx context.Context, escalationID uuid.UUID) (r threat.Reach, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		r, err = t.reach(ctx, escalationID, t.now)
		return err
	})
	return r, err
}

// Escalation gives one. NotFound when it is not there.
func (s *Store) Escalation(ctx context.Context, id uuid.UUID) (e threat.Escalation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		e, err = t.escalation(ctx, id)
		return err
	})
	return e, err
}

// Escalations gives those of a case, the first one first.
func (s *Store) Escalations(ctx context.Context, caseID uuid.UUID) (out []threat.Escalation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.escalations(ctx, caseID)
		return err
	})
	return out, err
}

func (t *tx) escalations(ctx context.Context, caseID uuid.UUID) ([]threat.Escalation, error) {
	return collect[threat.Escalation](t.query(ctx, escalationSelect+`case_id = ?1 ORDER BY number`, caseID))(scanEscalation)
}

// runningEscalation gives the one that runs for a case.
func (t *tx) runningEscalation(ctx context.Context, caseID uuid.UUID) (threat.Escalation, bool, error) {
	found, err := collect[threat.Escalation](t.query(ctx, escalationSelect+`case_id = ?1 AND ended_at IS NULL ORDER BY number LIMIT 1`,
		caseID))(scanEscalation)
	if err != nil || len(found) == 0 {
		return threat.Escalation{}, false, err
	}
	return found[0], true, nil
}

// asEscalation is write under the lock of an escalation's tenant.
func (s *Store) asEscalation(ctx context.Context, id uuid.UUID, fn func(context.Context, *tx, threat.Escalation) error) error {
	e, err := s.Escalation(ctx, id)
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{e.TenantID}, func(ctx context.Context, t *tx) error {
		e, err := t.escalation(ctx, id) // its tenant never changes
		if err != nil {
			return err
		}
		return fn(ctx, t, e)
	})
}

func escalationSubject(id uuid.UUID) string { return "escalation:" + id.String() }

// StartEscalation begins to tell a case's customer, as policy answered; subject says in a line what about. While one runs it
// is given unchanged. Conflict when the case is closed, Invalid when policy wants nobody told.
func (s *Store) StartEscalation(ctx context.Context, caseID uuid.UUID, answer threat.EscalateAnswer, subject string) (
	out threat.Escalation, err error) {
	if !answer.Escalate {
		return out, threat.Faultf(threat.Invalid, "policy wants nobody told")
	}
	err = s.asCase(ctx, caseID, func(ctx context.Context, t *tx, c threat.Case) error {
		if err := mustBeOpen(c); err != nil {
			return err
		}
		running, found, err := t.runningEscalation(ctx, c.ID)
		if out = running; err != nil || found {
			return err
		}
		e := threat.Escalation{TenantID: c.TenantID, CaseID: c.ID, Chain: answer.Chain, Rounds: max(answer.Rounds, 1),
			AckFor: answer.AckFor, Subject: threat.Inert(subject, maxName), State: threat.EscalationRunning, StartedAt: t.now,
			DecisionID: uuid.NullUUID{UUID: answer.DecisionID, Valid: answer.DecisionID != uuid.Nil}}
		if e.Chain == nil {
			e.Chain = []threat.ChainStep{}
		}
		if err := t.row(ctx, `UPDATE cases SET escalations = escalations + 1 WHERE id = ?1 RETURNING escalations`, c.ID).
			Scan(&e.Number); err != nil {
			return err
		}
		e.ID = threat.DerivedID("escalation", c.ID.String(), strconv.Itoa(e.Number))
		chain, err := jsonText(e.Chain)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO escalations (id, tenant_id, case_id, number, chain, rounds, ack_for, subject, state,
			decision_id, started_at, ack_by, ack_via) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '', '')`, e.ID, e.TenantID,
			e.CaseID, e.Number, chain, e.Rounds, e.AckFor.Microseconds(), e.Subject, string(e.State), e.DecisionID,
			micros(e.StartedAt)); err != nil {
			return err
		}
		out = e
		if err := t.caseEntry(ctx, c, threat.EntryEscalationStarted, escalationSubject(e.ID), threat.SystemActor,
			escalationSubject(e.ID), e); err != nil {
			return err
		}
		if !c.Acknowledged(t.now) {
			if _, err := t.setContact(ctx, c, threat.ContactTrying, "an escalation began", threat.SystemActor); err != nil {
				return err
			}
		}
		return t.nudge(ctx, nudgeEscalation, e.TenantID, e.ID)
	})
	return out, err
}

// endEscalation ends one that runs: what is still planned of it is skipped, and its case is nudged.
func (t *tx) endEscalation(ctx context.Context, e threat.Escalation, state threat.EscalationState, why string) (threat.Escalation, error) {
	e.State, e.EndedAt = state, &t.now
	if err := t.execOne(ctx, "escalation", `UPDATE escalations SET state = ?2, ended_at = ?3, ack_by = ?4, ack_via = ?5 WHERE id = ?1`,
		e.ID, string(state), micros(t.now), e.AckBy, e.AckVia); err != nil {
		return e, err
	}
	if err := t.skipAttempts(ctx, e.ID, why); err != nil {
		return e, err
	}
	if err := t.caseEntry(ctx, threat.Case{ID: e.CaseID, TenantID: e.TenantID}, threat.EntryEscalationEnded,
		"escalation-ended:"+e.ID.String(), threat.SystemActor, escalationSubject(e.ID), map[string]any{"state": state, "why": why,
			"number": e.Number, "ack_by": e.AckBy, "ack_via": e.AckVia}); err != nil {
		return e, err
	}
	if err := t.nudge(ctx, nudgeEscalation, e.TenantID, e.ID); err != nil {
		return e, err
	}
	return e, t.nudge(ctx, nudgeCase, e.TenantID, e.CaseID)
}

// cancelEscalations ends what runs for a case.
func (t *tx) cancelEscalations(ctx context.Context, c threat.Case, why string) error {
	for {
		e, found, err := t.runningEscalation(ctx, c.ID)
		if err != nil || !found {
			return err
		}
		if _, err := t.endEscalation(ctx, e, threat.EscalationCancelled, why); err != nil {
			return err
		}
	}
}

// endings are the states in which an escalation can end, and why.
var endings = map[threat.EscalationState]string{
	threat.EscalationExhausted:    "every step of every round is over",
	threat.EscalationCancelled:    "nobody has to be told any more",
	threat.EscalationAcknowledged: "the case is acknowledged",
}

// EndEscalation ends an escalation. One that is over is given unchanged. Invalid for a state that is no end.
func (s *Store) EndEscalation(ctx context.Context, id uuid.UUID, state threat.EscalationState) (out threat.Escalation, err error) {
	why, ok := endings[state]
	if !ok {
		return out, threat.Faultf(threat.Invalid, "an escalation cannot be ended as %s", threat.Inert(string(state), 32))
	}
	err = s.asEscalation(ctx, id, func(ctx context.Context, t *tx, e threat.Escalation) (err error) {
		if out = e; e.State != threat.EscalationRunning {
			return nil
		}
		out, err = t.endEscalation(ctx, e, state, why)
		return err
	})
	return out, err
}

// Acknowledge keeps a person's word that they are on a case, and gives the case. It holds for as long as the escalation says,
// ends what runs, and authorises nothing. Forbidden for a disabled person, NotFound for an attempt that is not of the case,
// Conflict when the case is closed.
func (s *Store) Acknowledge(ctx context.Context, a threat.Acknowledgement) (out threat.Case, err error) {
	err = s.asCase(ctx, a.CaseID, func(ctx context.Context, t *tx, c threat.Case) (err error) {
		out, err = t.acknowledge(ctx, c, a)
		return err
	})
	return out, err
}

// acknowledge keeps a person's word that they are on a case; see Acknowledge. Whoever decides about a case as its contact
// is on it too, so that CastVote comes here as well.
func (t *tx) acknowledge(ctx context.Context, c threat.Case, a threat.Acknowledgement) (threat.Case, error) {
	p, err := t.person(ctx, a.PersonID)
	if err != nil {
		return c, err
	}
	if p.DisabledAt != nil {
		return c, threat.Faultf(threat.Forbidden, "this person is disabled")
	}
	if err := mustBeOpen(c); err != nil {
		return c, err
	}
	if a.Name == "" {
		a.Name = p.Name
	}
	ackFor, err := t.takeAcknowledgement(ctx, c, a)
	if err != nil {
		return c, err
	}
	until := t.now.Add(ackFor)
	c.AckBy, c.AckUntil, c.Contact, c.ContactVersion, c.UpdatedAt = a.Name, &until, threat.ContactAcknowledged, c.ContactVersion+1, t.now
	if err := t.execOne(ctx, "case", `UPDATE cases SET ack_by = ?2, ack_until = ?3, contact = ?4, contact_version = ?5,
		updated_at = ?6 WHERE id = ?1`, c.ID, c.AckBy, micros(until), string(c.Contact), c.ContactVersion, micros(t.now)); err != nil {
		return c, err
	}
	if err := t.caseEntry(ctx, c, threat.EntryAcknowledged, fmt.Sprintf("ack:%s:%d", c.ID, c.ContactVersion),
		"person:"+a.PersonID.String(), caseSubject(c.ID), map[string]any{"by": a.Name, "via": a.Via, "until": until,
			"attempt": a.AttemptID}); err != nil {
		return c, err
	}
	if err := t.nudgeAsked(ctx, c.ID); err != nil {
		return c, err
	}
	return c, t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
}

// takeAcknowledgement marks the message that was answered, ends the escalation that runs, and tells how long the
// acknowledgement holds: as the one that runs says, else that of the message, else the setting.
func (t *tx) takeAcknowledgement(ctx context.Context, c threat.Case, a threat.Acknowledgement) (ackFor time.Duration, err error) {
	if a.AttemptID.Valid {
		m, err := t.attempt(ctx, a.AttemptID.UUID)
		if err == nil && m.CaseID != c.ID {
			err = threat.Faultf(threat.NotFound, "no such attempt")
		}
		if err != nil {
			return 0, err
		}
		if _, err := t.exec(ctx, `UPDATE attempts SET acknowledged_at = ?2 WHERE id = ?1 AND acknowledged_at IS NULL`, m.ID,
			micros(t.now)); err != nil {
			return 0, err
		}
		if err := t.attemptEntry(ctx, m, "acknowledged"); err != nil {
			return 0, err
		}
		e, err := t.escalation(ctx, m.EscalationID)
		if err != nil {
			return 0, err
		}
		ackFor = e.AckFor
	}
	e, running, err := t.runningEscalation(ctx, c.ID)
	if err != nil {
		return 0, err
	}
	if running {
		e.AckBy, e.AckVia = a.Name, a.Via
		if e.AckFor > 0 {
			ackFor = e.AckFor
		}
		if _, err := t.endEscalation(ctx, e, threat.EscalationAcknowledged, a.Name+" acknowledged the case"); err != nil {
			return 0, err
		}
	}
	if ackFor > 0 {
		return ackFor, nil
	}
	set, err := t.effectiveSettings(ctx, c.TenantID)
	if err != nil {
		return 0, err
	}
	return set.AckFor.Duration(), nil
}
