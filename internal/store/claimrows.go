package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// claimRow is a claim as its row has it.
type claimRow struct {
	threat.Claim
	number  int64 // among the claims of the effect's generation, from 1; the first one acts
	request uuid.NullUUID
	verb    string
	settle  time.Duration // of the product
	quietAt *time.Time    // from then on the request is not under way any more: its answer, or its deadline
}

const claimSelect = `SELECT id, tenant_id, case_id, response_id, decision_id, request_id, effect_id, generation, number, kind, class,
	verb, severity, until, at, lease_until, settle, sends, sent_at, quiet_at, read_at, outcome, error, result_at FROM claims WHERE `

func scanClaim(r *sql.Rows) (c claimRow, err error) {
	var until, at, lease, settle int64
	var sent, quiet, read, result sql.NullInt64
	err = r.Scan(&c.ID, &c.TenantID, &c.CaseID, &c.ResponseID, &c.DecisionID, &c.request, &c.EffectID, &c.Generation,
		&c.number, &c.Kind,
		&c.Class, &c.verb, &c.Severity, &until, &at, &lease, &settle, &c.Sends, &sent, &quiet, &read, &c.Outcome, &c.Error,
		&result)
	c.Until, c.At, c.LeaseUntil, c.settle = fromMicros(until), fromMicros(at), fromMicros(lease),
		time.Duration(settle)*time.Microsecond
	c.SentAt, c.quietAt, c.ReadAt, c.ResultAt = fromNullMicros(sent), fromNullMicros(quiet), fromNullMicros(read),
		fromNullMicros(result)
	return c, err
}

// claimRow reads one; NotFound when it is not there.
func (t *tx) claimRow(ctx context.Context, id uuid.UUID) (claimRow, error) {
	return one[claimRow](t.query(ctx, claimSelect+`id = ?1`, id))(scanClaim, "claim")
}

// newestClaim reads the newest claim of some kinds on an effect's generation; ok is false when there is none.
func (t *tx) newestClaim(ctx context.Context, e deviceEffect, kinds ...threat.ClaimKind) (c claimRow, ok bool, err error) {
	args := []any{e.ID, e.Generation}
	for _, k := range kinds {
		args = append(args, string(k))
	}
	found, err := collect[claimRow](t.query(ctx, claimSelect+`effect_id = ?1 AND generation = ?2 AND kind IN `+places(3,
		len(kinds))+
		` ORDER BY number DESC LIMIT 1`, args...))(scanClaim)
	if err != nil || len(found) == 0 {
		return c, false, err
	}
	return found[0], true, nil
}

// settled reports whether what the claim's request did can be told from the device at t.
func (c claimRow) settled(t time.Time) bool {
	return c.quietAt != nil && !t.Before(c.quietAt.Add(c.settle))
}

// readClaims reads claims for callers.
func (s *Store) readClaims(ctx context.Context, where string, args ...any) (out []threat.Claim, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		found, err := collect[claimRow](t.query(ctx, claimSelect+where, args...))(scanClaim)
		out = make([]threat.Claim, len(found))
		for i, c := range found {
			out[i] = c.Claim
		}
		return err
	})
	return out, err
}

// InFlight gives a tenant's claims that have no result yet, the oldest first. One whose answer did not arrive is among them
// until a read of the device settles it.
func (s *Store) InFlight(ctx context.Context, tenant uuid.UUID) ([]threat.Claim, error) {
	return s.readClaims(ctx, `tenant_id = ?1 AND result_at IS NULL ORDER BY at, id`, tenant)
}

// ClaimsOf gives a response's claims, the first one first.
func (s *Store) ClaimsOf(ctx context.Context, responseID uuid.UUID) ([]threat.Claim, error) {
	return s.readClaims(ctx, `response_id = ?1 ORDER BY at, generation, number, id`, responseID)
}

// ClaimByID gives one. NotFound when it is not there.
func (s *Store) ClaimByID(ctx context.Context, id uuid.UUID) (threat.Claim, error) {
	found, err := s.readClaims(ctx, `id = ?1`, id)
	if err == nil && len(found) == 0 {
		err = threat.Faultf(threat.NotFound, "no such claim")
	}
	if err != nil {
		return threat.Claim{}, err
	}
	return found[0], nil
}

// SettleUntil gives from when on a read of the device that shows nothing is believed: the product's settle time after the
// request's answer, or after its deadline when none came. Zero while nothing was sent. NotFound for no claim.
func (s *Store) SettleUntil(ctx context.Context, claimID uuid.UUID) (out time.Time, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		c, err := t.claimRow(ctx, claimID)
		if err == nil && c.quietAt != nil {
			out = c.quietAt.Add(c.settle)
		}
		return err
	})
	return out, err
}

// Used counts a tenant's claims to act since a time: those of a class, and those of a verb. Releases and renewals are not
// counted.
func (s *Store) Used(ctx context.Context, tenant uuid.UUID, class threat.Class, verb string, since time.Time) (byClass,
	byVerb int, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		byClass, byVerb, err = t.used(ctx, tenant, class, verb, since)
		return err
	})
	return byClass, byVerb, err
}

func (t *tx) used(ctx context.Context, tenant uuid.UUID, class threat.Class, verb string, since time.Time) (byClass,
	byVerb int, err error) {
	err = t.row(ctx, `SELECT COALESCE(SUM(CASE WHEN class = ?3 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN verb = ?4 THEN 1 ELSE 0 END), 0)
		FROM claims WHERE tenant_id = ?1 AND kind = 'act' AND at > ?2`, tenant, micros(since), string(class), verb).Scan(&byClass, &byVerb)
	return byClass, byVerb, err
}

// claimRecord is what the journal keeps of a claim, and of its result.
type claimRecord struct {
	threat.Claim
	Number     int64         `json:"number"` // of the response in its case
	Connection uuid.UUID     `json:"connection_id"`
	Verb       string        `json:"verb"`
	Target     threat.Target `json:"target"`
	Request    uuid.NullUUID `json:"request_id"`
}

func claimSubject(id uuid.UUID) string { return "claim:" + id.String() }

// endClaim gives a claim its result, and journals it. The first result stays.
func (t *tx) endClaim(ctx context.Context, c claimRow, o threat.Outcome, why string) error {
	if c.ResultAt != nil {
		return nil
	}
	c.Outcome, c.Error, c.ResultAt = o, threat.Inert(why, maxWhy), &t.now
	if c.quietAt == nil || c.quietAt.After(t.now) {
		c.quietAt = &t.now
	}
	if err := t.saveClaim(ctx, c); err != nil {
		return err
	}
	return t.claimEntry(ctx, c)
}

// claimEntry journals what came of a claim.
func (t *tx) claimEntry(ctx context.Context, c claimRow) error {
	r, cs, err := t.withCase(ctx, c.ResponseID)
	if err != nil {
		return err
	}
	e, err := t.effectRow(ctx, c.EffectID)
	if err != nil {
		return err
	}
	return t.caseEntry(ctx, cs, threat.EntryClaimResult, "result:"+c.ID.String(), threat.SystemActor, claimSubject(c.ID),
		claimRecord{Claim: c.Claim,
			Number: r.Number, Connection: e.ConnectionID, Verb: c.verb, Target: e.Target, Request: c.request})
}

// saveClaim keeps what changes of a claim.
func (t *tx) saveClaim(ctx context.Context, c claimRow) error {
	return t.execOne(ctx, "claim",
		`UPDATE claims SET sends = ?2, sent_at = ?3, quiet_at = ?4, read_at = ?5, outcome = ?6, error = ?7,
		result_at = ?8 WHERE id = ?1`, c.ID, c.Sends, nullMicros(c.SentAt), nullMicros(c.quietAt), nullMicros(c.ReadAt),
		string(c.Outcome), c.Error, nullMicros(c.ResultAt))
}
