package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Head is a signed statement that an organisation's chain reached an entry at a time. Heads that are kept elsewhere show
// a tail that was cut off together with everything in the database that told of it.
type Head struct {
	OrgID     uuid.UUID         `json:"org_id"`
	Seq       int64             `json:"seq"`
	Hash      []byte            `json:"hash"`
	At        time.Time         `json:"at"`
	Signer    string            `json:"signer"`     // names the key; see secret.Keyring.Signer
	PublicKey ed25519.PublicKey `json:"public_key"` // for checks without the key file; trust it only as far as its source
	Signature []byte            `json:"signature"`  // ed25519 over Message
}

// Message is what is signed: a label, then organisation, number, hash and microseconds since 1970 (UTC).
func (h Head) Message() []byte {
	b := append([]byte("firebreak/head/v1\x00"), h.OrgID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Seq))
	b = append(b, h.Hash...)
	return binary.BigEndian.AppendUint64(b, uint64(micros(h.At)))
}

// Flaw names what is wrong with a journal.
type Flaw string

const (
	FlawRow       Flaw = "changed_row"     // an entry's fields do not give its hash, or do not follow the entry before
	FlawPayload   Flaw = "changed_payload" // a payload does not open, or does not give its digest
	FlawGap       Flaw = "gap"             // entries are missing within the chain
	FlawTail      Flaw = "cut_tail"        // the chain ends before a head that was signed or kept
	FlawHead      Flaw = "other_head"      // the chain has another hash where a head was signed or kept
	FlawSignature Flaw = "bad_signature"   // a head that this installation did not sign
	FlawNoEntry   Flaw = "missing_entry"   // a row whose journal entry is missing
	FlawNoRow     Flaw = "missing_row"     // an entry whose row is missing
	FlawTwice     Flaw = "twice"           // more entries than one for the same fact
)

// Problem is one flaw, with its place.
type Problem struct {
	OrgID uuid.UUID `json:"org_id"`
	Seq   int64     `json:"seq,omitempty"`
	Flaw  Flaw      `json:"flaw"`
	Text  string    `json:"text"`
}

// Report is what Verify found. A journal proves itself when Problems is empty.
type Report struct {
	Organisations int            `json:"organisations"`
	Entries       int64          `json:"entries"`
	Erased        int64          `json:"erased"`
	Heads         int            `json:"heads"` // signed heads compared
	Rows          map[string]int `json:"rows"`  // facts compared with their entries, by table
	Problems      []Problem      `json:"problems"`
	More          int            `json:"more,omitempty"` // problems beyond those listed
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// maxProblems bounds the list of a report; what is beyond is counted.
const maxProblems = 1000

func (r *Report) add(p Problem) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// completenessCheck compares one kind of rows with their entries. It runs in a read transaction, adds what it finds to
// the report, and counts what it compared in Rows.
type completenessCheck func(ctx context.Context, t *tx, r *Report) error

// completeness lists the checks beyond the chain itself: nothing missing, nothing twice.
var completeness = []completenessCheck{
	checkConsents,
	pairing{table: "detections", id: "id", org: "tenant_id", where: "x.state <> 'quarantined'",
		kind: threat.EntryDetectionReceived, noun: "detection"}.check,
	pairing{table: "detections", id: "id", org: "tenant_id", where: "x.state = 'quarantined'",
		kind: threat.EntryDetectionQuarantined, noun: "detection"}.check,
	pairing{table: "detections", id: "id", org: "tenant_id", where: "x.state = 'assigned'",
		kind: threat.EntryDetectionAssigned, noun: "detection", again: true}.check,
	pairing{table: "detections", id: "id", org: "tenant_id", where: "x.state = 'duplicate'",
		kind: threat.EntryDetectionDuplicate, noun: "detection", again: true}.check,
	pairing{table: "detections", id: "id", org: "tenant_id", where: "x.state = 'suppressed'",
		kind: threat.EntryDetectionSuppressed, noun: "detection", again: true}.check,
	checkMembership,
	pairing{table: "cases", id: "id", org: "tenant_id", kind: threat.EntryCaseOpened, noun: "case"}.check,
	pairing{table: "cases", id: "id", org: "tenant_id", where: "x.closed_at IS NOT NULL", kind: threat.EntryCaseClosed,
		noun: "case", again: true}.check,
	pairing{table: "decisions", id: "id", org: "tenant_id", kind: threat.EntryDecision, noun: "decision"}.check,
	checkContents,
	pairing{table: "escalations", id: "id", org: "tenant_id", kind: threat.EntryEscalationStarted, noun: "escalation"}.check,
	pairing{table: "escalations", id: "id", org: "tenant_id", where: "x.ended_at IS NOT NULL",
		kind: threat.EntryEscalationEnded, noun: "escalation", again: true}.check,
	pairing{table: "responses", id: "id", org: "tenant_id", kind: threat.EntryResponseProposed, noun: "response"}.check,
	pairing{table: "requests", id: "id", org: "tenant_id", kind: threat.EntryRequestOpened, noun: "request"}.check,
	pairing{table: "requests", id: "id", org: "tenant_id", where: "x.state <> 'open'", kind: threat.EntryRequestClosed,
		noun: "request", again: true}.check,
	pairing{table: "votes", id: "id", org: "tenant_id", where: "NOT x.carried", kind: threat.EntryClickAccepted, noun: "click"}.check,
	pairing{table: "claims", id: "id", org: "tenant_id", kind: threat.EntryClaimGranted, noun: "claim"}.check,
	pairing{table: "claims", id: "id", org: "tenant_id", where: "x.result_at IS NOT NULL", kind: threat.EntryClaimResult,
		noun: "claim", again: true}.check,
	checkEffects,
	checkModes,
}

// checkEffects is Verify's check of what devices are said to have: what is in force was read, and every generation but an
// effect's none was claimed.
func checkEffects(ctx context.Context, t *tx, r *Report) error {
	if err := t.problems(ctx, r, FlawNoEntry, "effect %s is in force, and no entry tells of a read of it", `SELECT x.tenant_id, 0, x.id
		FROM effects x LEFT JOIN journal j ON j.org_id = x.tenant_id
		AND j.key = 'verified:' || x.id || ':' || CAST(x.generation AS TEXT) WHERE x.state = 'in_force' AND j.key IS NULL`); err != nil {
		return err
	}
	if err := t.problems(ctx, r, FlawNoRow, "effect %s stands, and no claim of its generation is there", `SELECT x.tenant_id, 0, x.id
		FROM effects x LEFT JOIN claims c ON c.effect_id = x.id AND c.generation = x.generation AND c.kind = 'act'
		WHERE x.state <> 'absent' AND c.id IS NULL`); err != nil {
		return err
	}
	var n int
	if err := t.row(ctx, `SELECT COUNT(*) FROM effects`).Scan(&n); err != nil {
		return err
	}
	r.Rows["effects"] = n
	return nil
}

// checkMembership is Verify's check that detections stand in the case that their entry names, and that the case is there.
func checkMembership(ctx context.Context, t *tx, r *Report) error {
	return t.problems(ctx, r, FlawNoEntry, "detection %s stands in another case than its entry says", `SELECT x.tenant_id, j.seq, x.id
		FROM detections x JOIN journal j ON j.org_id = x.tenant_id AND j.key = 'assigned:' || x.id
		LEFT JOIN cases c ON c.id = x.case_id AND c.tenant_id = x.tenant_id
		WHERE COALESCE(x.case_id, '') <> COALESCE(j.case_id, '') OR x.case_id IS NOT NULL AND c.id IS NULL`)
}

// checkContents is Verify's check that decisions have their input and their answer.
func checkContents(ctx context.Context, t *tx, r *Report) error {
	return t.problems(ctx, r, FlawNoRow, "a part of decision %s is not there", `SELECT x.tenant_id, 0, x.id FROM decisions x
		LEFT JOIN contents i ON i.org_id = x.tenant_id AND i.digest = x.input
		LEFT JOIN contents a ON a.org_id = x.tenant_id AND a.digest = x.answer WHERE i.digest IS NULL OR a.digest IS NULL`)
}

// problems adds one for each row of organisation, number and id that a query finds.
func (t *tx) problems(ctx context.Context, r *Report, flaw Flaw, text, q string) error {
	found, err := collect[Problem](t.query(ctx, q))(func(rows *sql.Rows) (Problem, error) {
		var id string
		p := Problem{Flaw: flaw}
		err := rows.Scan(&p.OrgID, &p.Seq, &id)
		p.Text = fmt.Sprintf(text, id)
		return p, err
	})
	for _, p := range found {
		r.add(p)
	}
	return err
}

// pairing says how rows of a table and entries of a kind belong together: every row has exactly one such entry in its
// organisation's chain, and every such entry its row.
type pairing struct {
	table string           // FROM it
	id    string           // its column that makes the entry's subject
	org   string           // its column with the organisation
	where string           // which rows take part; empty: all
	kind  threat.EntryKind // of the entries
	noun  string           // the entry's subject is noun + ":" + id
	again bool             // the rows are counted by another pairing already
}

// check compares, in three statements whose cost grows with the rows.
func (p pairing) check(ctx context.Context, t *tx, r *Report) error {
	where := ""
	if p.where != "" {
		where = " AND (" + p.where + ")"
	}
	x := "x." + p.id
	add := func(flaw Flaw, text, q string) error {
		found, err := collect[Problem](t.query(ctx, q, string(p.kind), p.noun+":"))(func(rows *sql.Rows) (Problem, error) {
			var id string
			pr := Problem{Flaw: flaw}
			err := rows.Scan(&pr.OrgID, &pr.Seq, &id)
			pr.Text = fmt.Sprintf(text, p.noun, id, p.kind)
			return pr, err
		})
		for _, pr := range found {
			r.add(pr)
		}
		return err
	}
	if err := add(FlawNoEntry, "%s %s has no entry %s", `SELECT x.`+p.org+`, 0, `+x+` FROM `+p.table+` x
		LEFT JOIN (SELECT org_id, subject FROM journal WHERE kind = ?1) j ON j.org_id = x.`+p.org+` AND j.subject = ?2 || `+x+`
		WHERE j.subject IS NULL`+where); err != nil {
		return err
	}
	if err := add(FlawNoRow, "%s %s of an entry %s is not there", `SELECT j.org_id, j.seq, j.subject FROM
		(SELECT org_id, seq, subject FROM journal WHERE kind = ?1) j
		LEFT JOIN (SELECT x.`+p.org+` AS org, ?2 || `+x+` AS subject FROM `+p.table+` x WHERE 1 = 1`+where+`) y
		ON y.org = j.org_id AND y.subject = j.subject WHERE y.subject IS NULL`); err != nil {
		return err
	}
	if err := add(FlawTwice, "%s %s has more than one entry %s", `SELECT org_id, MAX(seq), subject FROM journal
		WHERE kind = ?1 AND ?2 <> '' GROUP BY org_id, subject HAVING COUNT(*) > 1`); err != nil {
		return err
	}
	if p.again {
		return nil
	}
	var n int
	if err := t.row(ctx, `SELECT COUNT(*) FROM `+p.table+` x WHERE 1 = 1`+where).Scan(&n); err != nil {
		return err
	}
	r.Rows[p.table] += n
	return nil
}

// SignHeads signs where every chain that has moved stands now, keeps the signatures, and gives all newest heads, for
// export.
func (s *Store) SignHeads(ctx context.Context) (out []Head, err error) {
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		heads, err := collect[Head](t.query(ctx, `SELECT org_id, seq, hash FROM journal_heads WHERE seq > 0 ORDER BY org_id`))(
			func(r *sql.Rows) (h Head, err error) {
				err = r.Scan(&h.OrgID, &h.Seq, &h.Hash)
				return h, err
			})
		if err != nil {
			return err
		}
		signed, err := t.signedHeads(ctx)
		if err != nil {
			return err
		}
		newest := map[uuid.UUID]Head{}
		for _, h := range signed {
			if h.Signer == s.keys.Signer() {
				newest[h.OrgID] = h // in the order of their numbers
			}
		}
		out = nil
		for _, h := range heads {
			if old, ok := newest[h.OrgID]; ok && old.Seq == h.Seq && bytes.Equal(old.Hash, h.Hash) {
				out = append(out, old)
				continue
			}
			h.At, h.Signer, h.PublicKey = t.now, s.keys.Signer(), s.keys.PublicKey()
			h.Signature = s.keys.Sign(h.Message())
			if _, err := t.exec(ctx, `INSERT INTO journal_signatures (org_id, seq, hash, at, signer, signature)
				VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING`, h.OrgID, h.Seq, h.Hash, micros(h.At), h.Signer,
				h.Signature); err != nil {
				return err
			}
			out = append(out, h)
		}
		return nil
	})
	return out, err
}

// signedHeads reads the kept signatures, in the order of organisation and number.
func (t *tx) signedHeads(ctx context.Context) ([]Head, error) {
	return collect[Head](t.query(ctx, `SELECT org_id, seq, hash, at, signer, signature FROM journal_signatures
		ORDER BY org_id, seq, at`))(func(r *sql.Rows) (h Head, err error) {
		var at int64
		err = r.Scan(&h.OrgID, &h.Seq, &h.Hash, &at, &h.Signer, &h.Signature)
		h.At = fromMicros(at)
		if h.Signer == t.s.keys.Signer() {
			h.PublicKey = t.s.keys.PublicKey()
		}
		return h, err
	})
}

// verifyPage is how many entries are read at a time.
const verifyPage = 1000

// Verify proves the journal of every organisation: each entry's hash, its place in the chain, each payload's digest, the
// heads given and those that were signed and kept; and that rows and entries of the same facts match one to one. What is
// wrong is in the report; the error tells only that it could not be read.
func (s *Store) Verify(ctx context.Context, heads []Head) (Report, error) {
	r := Report{Rows: map[string]int{}}
	err := s.read(ctx, func(ctx context.Context, t *tx) error {
		kept, err := t.signedHeads(ctx)
		if err != nil {
			return err
		}
		want := map[uuid.UUID][]Head{}
		for _, h := range append(slices.Clone(heads), kept...) {
			r.Heads++
			if h.Signer == s.keys.Signer() && !s.keys.Verify(h.Message(), h.Signature) {
				r.add(Problem{OrgID: h.OrgID, Seq: h.Seq, Flaw: FlawSignature, Text: "a head's signature is not ours"})
				continue
			}
			if h.Signer != s.keys.Signer() {
				r.add(Problem{OrgID: h.OrgID, Seq: h.Seq, Flaw: FlawSignature, Text: "a head is signed by another key: " +
					threat.Inert(h.Signer, 32)})
				continue
			}
			want[h.OrgID] = append(want[h.OrgID], h)
		}
		orgs, err := collect[uuid.UUID](t.query(ctx, `SELECT org_id FROM journal_heads UNION SELECT DISTINCT org_id FROM journal
			ORDER BY org_id`))(func(rows *sql.Rows) (id uuid.UUID, err error) {
			err = rows.Scan(&id)
			return id, err
		})
		if err != nil {
			return err
		}
		for id := range want {
			if !slices.Contains(orgs, id) {
				orgs = append(orgs, id) // its whole chain is gone
			}
		}
		r.Organisations = len(orgs)
		for _, org := range sortedIDs(orgs) {
			if err := t.verifyChain(ctx, org, want[org], &r); err != nil {
				return err
			}
		}
		for _, check := range completeness {
			if err := check(ctx, t, &r); err != nil {
				return err
			}
		}
		return nil
	})
	return r, err
}

// verifyChain proves one organisation's chain.
func (t *tx) verifyChain(ctx context.Context, org uuid.UUID, heads []Head, r *Report) error {
	at := map[int64][]Head{}
	for _, h := range heads {
		at[h.Seq] = append(at[h.Seq], h)
	}
	last, prev := int64(0), genesis
	for {
		page, err := collect[storedEntry](t.query(ctx, `SELECT `+entryColumns+entryTables+`j.org_id = ?1 AND j.seq > ?2
			ORDER BY j.seq LIMIT ?3`, org, last, verifyPage))(scanEntry)
		if err != nil {
			return err
		}
		for _, e := range page {
			r.Entries++
			if e.Seq != last+1 {
				r.add(Problem{OrgID: org, Seq: e.Seq, Flaw: FlawGap, Text: fmt.Sprintf("%d entries are missing before this one",
					e.Seq-last-1)})
			} else if !bytes.Equal(e.prev, prev) {
				r.add(Problem{OrgID: org, Seq: e.Seq, Flaw: FlawRow, Text: "the entry does not follow the one before it"})
			}
			if !bytes.Equal(entryHash(e.Entry, e.digest, e.prev), e.hash) {
				r.add(Problem{OrgID: org, Seq: e.Seq, Flaw: FlawRow, Text: "the entry's fields do not give its hash"})
			}
			if err := t.verifyPayload(ctx, e, r); err != nil {
				return err
			}
			for _, h := range at[e.Seq] {
				if !bytes.Equal(h.Hash, e.hash) {
					r.add(Problem{OrgID: org, Seq: e.Seq, Flaw: FlawHead, Text: "the entry's hash is not that of the head signed at " +
						h.At.Format(time.RFC3339)})
				}
			}
			last, prev = e.Seq, e.hash
		}
		if len(page) < verifyPage {
			break
		}
	}
	for _, h := range heads {
		if h.Seq > last {
			r.add(Problem{OrgID: org, Seq: h.Seq, Flaw: FlawTail, Text: fmt.Sprintf(
				"the chain ends at %d; a head signed at %s shows that it reached %d", last, h.At.Format(time.RFC3339), h.Seq)})
		}
	}
	var seq int64
	var hash []byte
	err := t.row(ctx, `SELECT seq, hash FROM journal_heads WHERE org_id = ?1`, org).Scan(&seq, &hash)
	switch {
	case err == sql.ErrNoRows:
		r.add(Problem{OrgID: org, Seq: last, Flaw: FlawTail, Text: "the organisation's head is missing"})
	case err != nil:
		return err
	case seq != last:
		r.add(Problem{OrgID: org, Seq: seq, Flaw: FlawTail, Text: fmt.Sprintf("the chain ends at %d, its head says %d", last, seq)})
	case !bytes.Equal(hash, prev):
		r.add(Problem{OrgID: org, Seq: seq, Flaw: FlawHead, Text: "the head's hash is not that of the last entry"})
	}
	return nil
}

func (t *tx) verifyPayload(ctx context.Context, e storedEntry, r *Report) error {
	if e.Erased {
		r.Erased++
		if e.salt != nil || e.dataKey != nil || e.sealed != nil {
			r.add(Problem{OrgID: e.OrgID, Seq: e.Seq, Flaw: FlawPayload, Text: "an erased payload is still there"})
		}
		_, ok, err := t.erasureOf(ctx, e.OrgID, e.Seq)
		if err == nil && !ok {
			r.add(Problem{OrgID: e.OrgID, Seq: e.Seq, Flaw: FlawNoEntry, Text: "a payload was erased without a record of it"})
		}
		return err
	}
	key, err := t.s.orgKey(ctx, t, e.OrgID)
	if err != nil {
		r.add(Problem{OrgID: e.OrgID, Seq: e.Seq, Flaw: FlawPayload, Text: "the organisation's key does not open"})
		return nil
	}
	payload, err := key.OpenApart(e.dataKey, e.sealed, payloadPlace(e.OrgID, e.Seq))
	if err != nil {
		r.add(Problem{OrgID: e.OrgID, Seq: e.Seq, Flaw: FlawPayload, Text: "the payload is missing or was changed"})
		return nil
	}
	if !bytes.Equal(payloadDigest(e.salt, payload), e.digest) {
		r.add(Problem{OrgID: e.OrgID, Seq: e.Seq, Flaw: FlawPayload, Text: "the payload does not give its digest"})
	}
	return nil
}

// erasureOf finds the record of an erasure, by its key alone.
func (t *tx) erasureOf(ctx context.Context, org uuid.UUID, seq int64) (by int64, ok bool, err error) {
	err = t.row(ctx, `SELECT seq FROM journal WHERE org_id = ?1 AND key = ?2 AND kind = ?3`, org, erasureKey(seq),
		string(threat.EntryErased)).Scan(&by)
	if err == sql.ErrNoRows {
		return 0, false, nil
	}
	return by, err == nil, err
}

func erasureKey(seq int64) string { return fmt.Sprintf("erased:%d", seq) }
