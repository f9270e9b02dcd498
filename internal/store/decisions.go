package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// decisionRecord is what a decision's entry says: with the contents that its digests name, all of it.
type decisionRecord struct {
	threat.Decision
	Key string `json:"key"`
}

// RecordDecision keeps a decision whole: input and answer by their content, once each. A key that stands already gives the
// first decision back, with its input and its answer, and keeps nothing. NotFound for an unknown organisation.
func (s *Store) RecordDecision(ctx context.Context, d threat.Decision, key string) (out threat.Decision, err error) {
	if key == "" || d.Question == "" {
		return out, threat.Faultf(threat.Invalid, "a decision has a key and a question")
	}
	if d.ID == uuid.Nil {
		d.ID = uuid.Must(uuid.NewV7())
	}
	d.InputHash, d.AnswerHash = contentDigest(d.Input), contentDigest(d.Answer)
	rules, err := listText(d.Rules)
	if err != nil {
		return out, err
	}
	reasons, err := listText(d.Reasons)
	if err != nil {
		return out, err
	}
	err = s.write(ctx, []uuid.UUID{d.TenantID}, func(ctx context.Context, t *tx) error {
		first, err := t.decisions(ctx, `tenant_id = ?1 AND key = ?2`, d.TenantID, key)
		if err != nil {
			return err
		}
		if len(first) > 0 {
			out = first[0]
			return nil
		}
		if d.At.IsZero() {
			d.At = t.now
		}
		d.At = fromMicros(micros(d.At))
		if err := t.keepContents(ctx, d.TenantID, d.Input, d.Answer); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO decisions (id, tenant_id, key, case_id, subject_id, question, revision, input, answer,
			rules, reasons, fault, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)`, d.ID, d.TenantID, key, d.CaseID,
			d.SubjectID, string(d.Question), d.Revision, d.InputHash, d.AnswerHash, rules, reasons, d.Fault, micros(d.At)); err != nil {
			return err
		}
		out = d
		payload, err := jsonText(decisionRecord{Decision: d, Key: key})
		if err != nil {
			return err
		}
		_, err = t.appendFresh(ctx, []threat.Entry{{OrgID: d.TenantID, Key: "decision:" + d.ID.String(), Kind: threat.EntryDecision,
			CaseID: d.CaseID, Actor: threat.SystemActor, Subject: "decision:" + d.ID.String(), Payload: []byte(payload)}})
		return err
	})
	return out, err
}

func contentDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// contentPlace binds a sealed content to its organisation and digest.
func contentPlace(org uuid.UUID, digest string) []byte {
	return append(append([]byte("content\x00"), org[:]...), digest...)
}

// keepContents keeps parts of decisions under their digests, each once an organisation.
func (t *tx) keepContents(ctx context.Context, org uuid.UUID, parts ...[]byte) error {
	key, err := t.s.orgKey(ctx, t, org)
	if err != nil {
		return err
	}
	rows := make([]any, 0, 3*len(parts))
	for i, part := range parts {
		if slices.ContainsFunc(parts[:i], func(p []byte) bool { return string(p) == string(part) }) {
			continue
		}
		digest := contentDigest(part)
		sealed, err := key.Seal(part, contentPlace(org, digest))
		if err != nil {
			return err
		}
		rows = append(rows, org, digest, sealed)
	}
	return t.insertRows(ctx, `INSERT INTO contents (org_id, digest, sealed)`, `ON CONFLICT (org_id, digest) DO NOTHING`, 3, rows)
}

// contents reads parts of decisions by their digests.
func (t *tx) contents(ctx context.Context, org uuid.UUID, digests []string) (map[string][]byte, error) {
	key, err := t.s.orgKey(ctx, t, org)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for chunk := range padded(anys(digests)) {
		_, err := collect[struct{}](t.query(ctx, `SELECT digest, sealed FROM contents WHERE org_id = ?1 AND digest IN `+
			places(2, len(chunk)), append([]any{org}, chunk...)...))(func(r *sql.Rows) (struct{}, error) {
			var digest string
			var sealed []byte
			if err := r.Scan(&digest, &sealed); err != nil {
				return struct{}{}, err
			}
			part, err := key.Open(sealed, contentPlace(org, digest))
			if err != nil {
				return struct{}{}, threat.Faultf(threat.Internal, "a part of a decision does not open: %w", err)
			}
			out[digest] = part
			return struct{}{}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// decisions reads some of one organisation, whole. where may end in order and limit.
func (t *tx) decisions(ctx context.Context, where string, args ...any) ([]threat.Decision, error) {
	out, err := collect[threat.Decision](t.query(ctx, `SELECT id, tenant_id, case_id, subject_id, question, revision, input, answer, rules,
		reasons, fault, at FROM decisions WHERE `+where, args...))(scanDecision)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	var digests []string
	for _, d := range out {
		digests = append(digests, d.InputHash, d.AnswerHash)
	}
	slices.Sort(digests)
	parts, err := t.contents(ctx, out[0].TenantID, slices.Compact(digests))
	if err != nil {
		return nil, err
	}
	for i := range out {
		d := &out[i]
		input, ok := parts[d.InputHash]
		answer, ok2 := parts[d.AnswerHash]
		if !ok || !ok2 {
			return nil, threat.Faultf(threat.Internal, "a part of decision %s is missing", d.ID)
		}
		d.Input, d.Answer = input, answer
	}
	return out, nil
}

func scanDecision(r *sql.Rows) (d threat.Decision, err error) {
	var rules, reasons string
	var at int64
	if err := r.Scan(&d.ID, &d.TenantID, &d.CaseID, &d.SubjectID, &d.Question, &d.Revision, &d.InputHash, &d.AnswerHash, &rules,
		&reasons, &d.Fault, &at); err != nil {
		return d, err
	}
	d.At = fromMicros(at)
	if err := fromJSON(rules, &d.Rules); err != nil {
		return d, err
	}
	return d, fromJSON(reasons, &d.Reasons)
}

// Decision gives one whole. NotFound when it is not there.
func (s *Store) Decision(ctx context.Context, id uuid.UUID) (d threat.Decision, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		found, err := t.decisions(ctx, `id = ?1`, id)
		if err == nil && len(found) == 0 {
			err = threat.Faultf(threat.NotFound, "no such decision")
		}
		if err != nil {
			return err
		}
		d = found[0]
		return nil
	})
	return d, err
}

// DecisionsOfCase gives a case's decisions whole, the first one first; among them those about its detections, which were made
// before they had a case.
func (s *Store) DecisionsOfCase(ctx context.Context, caseID uuid.UUID) (out []threat.Decision, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.decisions(ctx, `case_id = ?1 OR id IN (SELECT decision_id FROM detections WHERE case_id = ?1) ORDER BY at, id`, caseID)
		return err
	})
	return out, err
}
