package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// assigned is what the entry of an assignment says.
type assigned struct {
	State    threat.DetectionState `json:"state"`
	Case     uuid.NullUUID         `json:"case"`
	Opened   bool                  `json:"opened,omitempty"`
	Of       uuid.NullUUID         `json:"of"`
	Reason   string                `json:"reason,omitempty"`
	Decision uuid.UUID             `json:"decision"`
	Severity threat.Severity       `json:"severity"`
	Threat   threat.ThreatState    `json:"threat"`
	Seq      int64                 `json:"seq,omitempty"`
}

func assignedKey(detection uuid.UUID) string { return "assigned:" + detection.String() }

// Assign applies a triage answer under the tenant's lock: the detection is suppressed, repeats an earlier one, joins an open
// case with which it shares an observable within the tenant's window (the most severe one, of those the newest), or opens a
// case. What an attacker does anew returns its case to active and breaks a standing acknowledgement. Repeated, Assign gives
// the first assignment. NotFound for a detection that is not there, Conflict for a quarantined one.
//
// A repetition that says more than the first (it is more severe, or active where the first was not) is a finding of its
// own: it joins the first one's case, and is not suppressed with it.
func (s *Store) Assign(ctx context.Context, answer threat.Triage) (out threat.Assignment, err error) {
	var d threat.Detection
	var set tenant.Settings
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) { // neither changes under the lock in a way that matters
		if d, err = t.detection(ctx, answer.DetectionID); err != nil {
			return err
		}
		set, err = t.effectiveSettings(ctx, d.TenantID)
		return err
	})
	if err != nil {
		return out, err
	}
	a := assigning{answer: answer, dedup: set.DedupWithin.Duration(), correlate: set.CorrelateWithin.Duration(),
		digests: observableDigests(d)}
	err = s.write(ctx, []uuid.UUID{d.TenantID}, func(ctx context.Context, t *tx) (err error) {
		a.d, err = one[detectionRow](t.query(ctx, detectionSelect+`id = ?1`, d.ID))(scanDetection, "detection")
		if err != nil {
			return err
		}
		switch a.d.State {
		case threat.DetectionReceived:
			out, err = a.apply(ctx, t)
		case threat.DetectionQuarantined:
			err = threat.Faultf(threat.Conflict, "detection %s could not be read, and waits for a person", d.ID)
		default:
			out, err = t.firstAssignment(ctx, a.d)
		}
		return err
	})
	return out, err
}

// firstAssignment is what was answered the first time.
func (t *tx) firstAssignment(ctx context.Context, d detectionRow) (threat.Assignment, error) {
	out := threat.Assignment{State: d.State, CaseID: d.CaseID}
	e, ok, err := t.entryOf(ctx, d.TenantID, assignedKey(d.ID))
	if err != nil || !ok || e.Erased {
		return out, err
	}
	var said assigned
	if err := json.Unmarshal(e.Payload, &said); err != nil {
		return out, threat.Faultf(threat.Internal, "the assignment of %s cannot be read: %w", e.Subject, err)
	}
	out.Opened, out.Of = said.Opened, said.Of
	return out, nil
}

// observableDigests are what detections are correlated by: each observable once, as SHA-256 over tenant, kind and value.
func observableDigests(d threat.Detection) [][]byte {
	out := make([][]byte, 0, len(d.Observables))
	for _, o := range d.Observables[:min(len(d.Observables), threat.MaxCorrelated)] {
		b := append(d.TenantID[:], 0)
		b = append(append(append(b, o.Kind...), 0), o.Value...)
		sum := sha256.Sum256(b)
		out = append(out, sum[:])
	}
	slices.SortFunc(out, bytes.Compare)
	return slices.CompactFunc(out, bytes.Equal)
}

// assigning is one detection on its way to a case.
type assigning struct {
	answer           threat.Triage
	d                detectionRow
	dedup, correlate time.Duration
	digests          [][]byte
	entries          []threat.Entry
}

// adversary reports whether it is an attacker's doing.
func (a *assigning) adversary() bool {
	return a.d.Adversary() || a.answer.Threat == threat.ThreatActive
}

// saysMore reports whether a repetition says more than the earlier one did.
func (a *assigning) saysMore(earlier detectionRow) bool {
	return a.d.Severity > earlier.Severity || a.answer.Threat == threat.ThreatActive && earlier.Threat != threat.ThreatActive
}

func (a *assigning) apply(ctx context.Context, t *tx) (threat.Assignment, error) {
	a.entries = nil
	if a.answer.Suppress {
		return a.suppress(ctx, t, uuid.NullUUID{}, a.answer.Reason)
	}
	earlier, repeats, err := a.earlier(ctx, t)
	if err != nil {
		return threat.Assignment{}, err
	}
	var c threat.Case
	joins := false
	if repeats {
		of := uuid.NullUUID{UUID: earlier.ID, Valid: true}
		if !a.d.At.After(earlier.At) {
			// The very same event, told again: a sensor that reads its file anew is no attacker who comes back, and what was let
			// go is not done again for it.
			a.answer.Proposals = nil
		}
		if earlier.State == threat.DetectionSuppressed && !a.saysMore(earlier) {
			return a.suppress(ctx, t, of, "it repeats a finding that was suppressed: "+earlier.Reason)
		}
		if earlier.CaseID.Valid {
			if c, err = t.caseRow(ctx, earlier.CaseID.UUID); err != nil {
				return threat.Assignment{}, err
			}
			joins = c.Open()
		}
		if joins && !a.saysMore(earlier) {
			return a.repeat(ctx, t, c, of)
		}
	}
	if !joins {
		if c, joins, err = a.related(ctx, t); err != nil {
			return threat.Assignment{}, err
		}
	}
	if !joins {
		return a.open(ctx, t)
	}
	return a.join(ctx, t, c)
}

// earlier finds the newest detection of the same key that was triaged before this one and received within the window of it,
// on either side: triage need not keep the order.
func (a *assigning) earlier(ctx context.Context, t *tx) (detectionRow, bool, error) {
	if a.d.DedupKey == "" {
		return detectionRow{}, false, nil
	}
	found, err := collect[detectionRow](t.query(ctx, detectionSelect+`tenant_id = ?1 AND dedup_key = ?2 AND received_at >= ?3
		AND received_at <= ?4 AND id <> ?5 AND state IN ('assigned', 'duplicate', 'suppressed') ORDER BY received_at DESC, entry DESC
		LIMIT 1`, a.d.TenantID, a.d.DedupKey, micros(a.d.ReceivedAt.Add(-a.dedup)), micros(a.d.ReceivedAt.Add(a.dedup)),
		a.d.ID))(scanDetection)
	if err != nil || len(found) == 0 {
		return detectionRow{}, false, err
	}
	return found[0], true, nil
}

// related finds the open case to which the detection belongs: of the most severe ones that named one of its observables
// within the window, the newest.
func (a *assigning) related(ctx context.Context, t *tx) (best threat.Case, found bool, err error) {
	since := micros(a.d.ReceivedAt.Add(-a.correlate))
	for chunk := range padded(anys(a.digests)) {
		cases, err := collect[threat.Case](t.query(ctx, caseSelect+`closed_at IS NULL AND id IN (SELECT case_id FROM observables
			WHERE tenant_id = ?1 AND last_at >= ?2 AND digest IN `+places(3, len(chunk))+`) ORDER BY severity DESC, number DESC LIMIT 1`,
			append([]any{a.d.TenantID, since}, chunk...)...))(scanCase)
		if err != nil {
			return best, false, err
		}
		for _, c := range cases {
			if !found || c.Severity > best.Severity || c.Severity == best.Severity && c.Number > best.Number {
				best, found = c, true
			}
		}
	}
	return best, found, nil
}

func (a *assigning) suppress(ctx context.Context, t *tx, of uuid.NullUUID, reason string) (threat.Assignment, error) {
	out := threat.Assignment{State: threat.DetectionSuppressed, Of: of}
	if err := a.settle(ctx, t, out, 0, reason); err != nil {
		return out, err
	}
	_, err := t.appendFresh(ctx, a.entries)
	return out, err
}

// repeat puts a repetition beside the first: it tells the case nothing that it does not know.
func (a *assigning) repeat(ctx context.Context, t *tx, c threat.Case, of uuid.NullUUID) (threat.Assignment, error) {
	out := threat.Assignment{State: threat.DetectionDuplicate, CaseID: uuid.NullUUID{UUID: c.ID, Valid: true}, Of: of}
	c.LastDetection++
	if err := t.execOne(ctx, "case", `UPDATE cases SET last_seq = ?2, updated_at = ?3 WHERE id = ?1`, c.ID, c.LastDetection,
		micros(t.now)); err != nil {
		return out, err
	}
	return out, a.finish(ctx, t, out, c, "it repeats "+detectionSubject(of.UUID))
}

func (a *assigning) open(ctx context.Context, t *tx) (threat.Assignment, error) {
	c := threat.Case{ID: uuid.Must(uuid.NewV7()), TenantID: a.d.TenantID, Title: a.answer.Title, Severity: a.answer.Severity,
		Threat: threat.ThreatSuspected, ThreatVersion: 1, ContactVersion: 1, LastDetection: 1, OpenedAt: t.now, UpdatedAt: t.now}
	if c.Title == "" {
		c.Title = a.d.Title
	}
	if a.answer.Threat == threat.ThreatActive {
		c.Threat = threat.ThreatActive
	}
	if a.adversary() {
		c.LastAdversaryAt = &t.now
	}
	out := threat.Assignment{State: threat.DetectionAssigned, CaseID: uuid.NullUUID{UUID: c.ID, Valid: true}, Opened: true}
	rows, err := collect[threat.Case](t.query(ctx, `INSERT INTO cases (id, tenant_id, title, severity, threat, threat_version, contact,
		contact_version, ack_by, cursor_seq, last_seq, adversary_at, opened_at, updated_at, closed_by, close_reason, simulated,
		responses, escalations) SELECT ?1, o.id, ?3, CAST(?4 AS BIGINT), ?5, 1, '', 1, '', 0, 1, CAST(?6 AS BIGINT), CAST(?7 AS BIGINT),
		CAST(?7 AS BIGINT), '', '', o.simulated, 0, 0 FROM organisations o WHERE o.id = ?2 RETURNING number, simulated`, c.ID, c.TenantID,
		c.Title, int(c.Severity), string(c.Threat), nullMicros(c.LastAdversaryAt), micros(t.now)))(
		func(r *sql.Rows) (n threat.Case, err error) {
			err = r.Scan(&n.Number, &n.Simulated)
			return n, err
		})
	if err != nil {
		return out, err
	}
	if len(rows) == 0 {
		return out, threat.Faultf(threat.NotFound, "no such tenant")
	}
	c.Number, c.Simulated = rows[0].Number, rows[0].Simulated
	if err := a.entry(c, threat.EntryCaseOpened, "case:"+c.ID.String(), caseSubject(c.ID), map[string]any{"number": c.Number,
		"title": c.Title, "severity": c.Severity, "threat": c.Threat, "detection": a.d.ID, "simulated": c.Simulated}); err != nil {
		return out, err
	}
	return out, a.finish(ctx, t, out, c, "")
}

func (a *assigning) join(ctx context.Context, t *tx, c threat.Case) (threat.Assignment, error) {
	out := threat.Assignment{State: threat.DetectionAssigned, CaseID: uuid.NullUUID{UUID: c.ID, Valid: true}}
	c.LastDetection++
	c.Severity = max(c.Severity, a.answer.Severity)
	broken := a.adversary() && c.AckUntil != nil
	by := c.AckBy
	if a.adversary() {
		c.LastAdversaryAt = &t.now
	}
	if broken {
		c.AckBy, c.AckUntil, c.Contact, c.ContactVersion = "", nil, threat.ContactTrying, c.ContactVersion+1
	}
	if err := t.execOne(ctx, "case", `UPDATE cases SET last_seq = ?2, severity = ?3, adversary_at = ?4, ack_by = ?5, ack_until = ?6,
		contact = ?7, contact_version = ?8, updated_at = ?9 WHERE id = ?1`, c.ID, c.LastDetection, int(c.Severity),
		nullMicros(c.LastAdversaryAt), c.AckBy, nullMicros(c.AckUntil), string(c.Contact), c.ContactVersion, micros(t.now)); err != nil {
		return out, err
	}
	var err error
	switch {
	case a.answer.Threat == threat.ThreatActive,
		a.adversary() && (c.Threat == threat.ThreatContained || c.Threat == threat.ThreatResolved):
		c, err = t.setThreat(ctx, c, threat.ThreatActive, "new adversary activity", threat.SystemActor)
	}
	if err != nil {
		return out, err
	}
	if broken {
		if err := a.entry(c, threat.EntryAckBroken, fmt.Sprintf("ack-broken:%s:%d", c.ID, c.ContactVersion), caseSubject(c.ID),
			map[string]any{"by": by, "detection": a.d.ID, "title": a.d.Title}); err != nil {
			return out, err
		}
		if err := t.nudgeAsked(ctx, c.ID); err != nil {
			return out, err
		}
	}
	return out, a.finish(ctx, t, out, c, "")
}

// entry adds one about the case to those that are written at the end.
func (a *assigning) entry(c threat.Case, kind threat.EntryKind, key, subject string, what any) error {
	payload, err := json.Marshal(what)
	a.entries = append(a.entries, threat.Entry{OrgID: a.d.TenantID, Key: key, Kind: kind,
		CaseID: uuid.NullUUID{UUID: c.ID, Valid: c.ID != uuid.Nil}, Actor: threat.SystemActor, Subject: subject, Payload: payload})
	return err
}

// assignedKinds are the entries of what can become of a detection.
var assignedKinds = map[threat.DetectionState]threat.EntryKind{
	threat.DetectionAssigned:   threat.EntryDetectionAssigned,
	threat.DetectionDuplicate:  threat.EntryDetectionDuplicate,
	threat.DetectionSuppressed: threat.EntryDetectionSuppressed,
}

// finish writes what became of a detection that has a case, and nudges the case.
func (a *assigning) finish(ctx context.Context, t *tx, out threat.Assignment, c threat.Case, reason string) error {
	if err := a.settle(ctx, t, out, c.LastDetection, reason); err != nil {
		return err
	}
	seen := make([]any, 0, 4*len(a.digests))
	for _, digest := range a.digests {
		seen = append(seen, c.TenantID, digest, c.ID, micros(a.d.ReceivedAt))
	}
	if err := t.insertRows(ctx, `INSERT INTO observables (tenant_id, digest, case_id, last_at)`,
		`ON CONFLICT (tenant_id, digest, case_id) DO UPDATE SET last_at = CASE WHEN observables.last_at > excluded.last_at
		THEN observables.last_at ELSE excluded.last_at END`, 4, seen); err != nil {
		return err
	}
	if _, err := t.appendFresh(ctx, a.entries); err != nil {
		return err
	}
	return t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
}

// settle writes the detection's row, and its entry beside those to be written.
func (a *assigning) settle(ctx context.Context, t *tx, out threat.Assignment, seq int64, reason string) error {
	proposals, err := listText(a.answer.Proposals)
	if err != nil {
		return err
	}
	decision := uuid.NullUUID{UUID: a.answer.DecisionID, Valid: a.answer.DecisionID != uuid.Nil}
	if err := t.execOne(ctx, "detection", `UPDATE detections SET state = ?2, case_id = ?3, seq = ?4, reason = ?5, threat = ?6,
		proposals = ?7, decision_id = ?8, lease_owner = '', lease_until = 0 WHERE id = ?1`, a.d.ID, string(out.State), out.CaseID, seq,
		reason, string(a.answer.Threat), proposals, decision); err != nil {
		return err
	}
	return a.entry(threat.Case{ID: out.CaseID.UUID}, assignedKinds[out.State], assignedKey(a.d.ID), detectionSubject(a.d.ID),
		assigned{State: out.State, Case: out.CaseID, Opened: out.Opened, Of: out.Of, Reason: reason, Decision: a.answer.DecisionID,
			Severity: a.answer.Severity, Threat: a.answer.Threat, Seq: seq})
}
