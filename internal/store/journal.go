package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/threat"
)

// head is the end of one organisation's chain, read under its lock and written once before the commit.
type head struct {
	seq   int64
	hash  []byte
	moved bool
}

// hashSize is the length of digests and hashes of the chain, in bytes: SHA-256.
const hashSize = sha256.Size

// genesis stands before the first entry of every chain.
var genesis = make([]byte, hashSize)

// payloadSaltSize is the length of the salt of a payload's digest, in bytes. It is erased with the payload, so that the
// digest that stays tells nothing about what was there.
const payloadSaltSize = 16

// lockHeads locks organisations in sorted order. NotFound when one is not there.
func (t *tx) lockHeads(ctx context.Context, sorted []uuid.UUID) error {
	if len(sorted) == 0 {
		return nil
	}
	for from := 0; from < len(sorted); from += lockChunk {
		ids := sorted[from:min(from+lockChunk, len(sorted))]
		args := make([]any, len(ids))
		for i, id := range ids {
			args[i] = id
		}
		rows, err := t.query(ctx, `SELECT org_id, seq, hash FROM journal_heads WHERE org_id IN `+places(1, len(ids))+
			` ORDER BY org_id`+t.s.engine.forUpdate(), args...)
		_, err = collect[struct{}](rows, err)(func(r *sql.Rows) (struct{}, error) {
			var id uuid.UUID
			h := &head{}
			err := r.Scan(&id, &h.seq, &h.hash)
			t.heads[id] = h
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
	}
	for _, id := range sorted {
		if t.heads[id] == nil {
			return &threat.Fault{Kind: threat.NotFound, What: "no such organisation"}
		}
	}
	return nil
}

// lockChunk bounds the parameters of one statement.
const lockChunk = 500

// newHead begins the chain of an organisation that was made in this transaction.
func (t *tx) newHead(ctx context.Context, org uuid.UUID) error {
	if _, err := t.exec(ctx, `INSERT INTO journal_heads (org_id, seq, hash) VALUES (?1, 0, ?2)`, org, genesis); err != nil {
		return err
	}
	t.heads[org] = &head{hash: genesis}
	return nil
}

// writeHeads keeps where the chains ended.
func (t *tx) writeHeads(ctx context.Context) error {
	for org, h := range t.heads {
		if !h.moved {
			continue
		}
		if err := t.execOne(ctx, "journal", `UPDATE journal_heads SET seq = ?2, hash = ?3 WHERE org_id = ?1`, org, h.seq,
			h.hash); err != nil {
			return err
		}
	}
	return nil
}

// Append adds one entry to its organisation's journal, and gives it with its place and hash. A key that stands already
// gives the first entry, unchanged.
func (s *Store) Append(ctx context.Context, e threat.Entry) (out threat.Entry, err error) {
	err = s.write(ctx, []uuid.UUID{e.OrgID}, func(ctx context.Context, t *tx) (err error) {
		out, _, err = t.append(ctx, e)
		return err
	})
	return out, err
}

// append adds one entry within a transaction that has locked the entry's organisation. first is false when the key stood
// already; the first entry is given then.
func (t *tx) append(ctx context.Context, e threat.Entry) (entry threat.Entry, first bool, err error) {
	entries, firsts, err := t.appendAll(ctx, []threat.Entry{e})
	if err != nil {
		return threat.Entry{}, false, err
	}
	return entries[0], firsts[0], nil
}

// appendAll adds many entries in few statements; see append. Entries of several organisations may be mixed.
func (t *tx) appendAll(ctx context.Context, es []threat.Entry) (entries []threat.Entry, firsts []bool, err error) {
	standing, err := t.standing(ctx, es)
	if err != nil {
		return nil, nil, err
	}
	return t.appendBeside(ctx, es, standing)
}

// appendFresh is appendAll for entries whose keys cannot stand yet, such as those that bear a new id: it does not look for
// them first.
func (t *tx) appendFresh(ctx context.Context, es []threat.Entry) ([]threat.Entry, error) {
	entries, _, err := t.appendBeside(ctx, es, map[entryKey]threat.Entry{})
	return entries, err
}

// appendBeside adds the entries that are not among those that stand already.
func (t *tx) appendBeside(ctx context.Context, es []threat.Entry, standing map[entryKey]threat.Entry) (
	entries []threat.Entry, firsts []bool, err error) {
	entries, firsts = make([]threat.Entry, len(es)), make([]bool, len(es))
	next := map[uuid.UUID]int64{} // the numbers that the new entries get
	var fresh []*sealing
	for i, e := range es {
		id := entryKey{e.OrgID, e.Key}
		if have, ok := standing[id]; ok {
			entries[i] = have
			continue
		}
		h := t.heads[e.OrgID]
		switch {
		case h == nil:
			return nil, nil, threat.Faultf(threat.Internal, "an entry %s for an organisation that is not locked", e.Kind)
		case e.Key == "" || e.Kind == "" || e.Actor == "":
			return nil, nil, threat.Faultf(threat.Internal, "an entry %s without a key, kind or actor", e.Kind)
		}
		if e.At.IsZero() {
			e.At = t.now
		}
		e.At = e.At.UTC().Truncate(time.Microsecond)
		if len(e.Payload) == 0 {
			e.Payload = json.RawMessage("null")
		}
		key, err := t.s.orgKey(ctx, t, e.OrgID)
		if err != nil {
			return nil, nil, err
		}
		next[e.OrgID]++
		e.Seq = h.seq + next[e.OrgID]
		fresh = append(fresh, &sealing{at: i, key: key, entry: e})
		firsts[i] = true
		standing[id] = e // the same key twice in one batch: its hash comes below
	}
	if err := sealAll(fresh); err != nil {
		return nil, nil, err
	}
	rows := make([]any, 0, len(fresh)*journalColumns)
	payloads := make([]any, 0, len(fresh)*payloadColumns)
	var org uuid.UUID
	var orgText any // its text, made once for many rows
	for _, f := range fresh {
		e := f.entry
		if orgText == nil || org != e.OrgID {
			org, orgText = e.OrgID, e.OrgID.String()
		}
		h := t.heads[e.OrgID]
		prev := h.hash
		sum := entryHash(e, f.digest, prev)
		h.seq, h.hash, h.moved = e.Seq, sum, true
		rows = append(rows, orgText, e.Seq, e.Key, string(e.Kind), micros(e.At), e.CaseID, e.Actor, e.Subject, f.digest, prev, sum)
		payloads = append(payloads, orgText, e.Seq, f.salt, f.dataKey, f.sealed)
		e.Digest, e.Prev, e.Hash = hex.EncodeToString(f.digest), hex.EncodeToString(prev), hex.EncodeToString(sum)
		entries[f.at] = e
		standing[entryKey{e.OrgID, e.Key}] = e
	}
	for i, e := range es {
		if !firsts[i] {
			entries[i] = standing[entryKey{e.OrgID, e.Key}]
		}
	}
	if err := t.insertRows(ctx, `INSERT INTO journal
		(org_id, seq, key, kind, at, case_id, actor, subject, digest, prev, hash)`, ``, journalColumns, rows); err != nil {
		return nil, nil, err
	}
	if err := t.insertRows(ctx, `INSERT INTO journal_payloads (org_id, seq, salt, data_key, sealed)`, ``, payloadColumns,
		payloads); err != nil {
		return nil, nil, err
	}
	return entries, firsts, nil
}

// sealing is a new entry whose payload is digested and sealed.
type sealing struct {
	at                            int // among the entries to append
	key                           secret.Key
	entry                         threat.Entry
	salt, digest, dataKey, sealed []byte
}

func (f *sealing) seal() (err error) {
	f.salt = make([]byte, payloadSaltSize)
	_, _ = rand.Read(f.salt)
	f.digest = payloadDigest(f.salt, f.entry.Payload)
	f.dataKey, f.sealed, err = f.key.SealApart(f.entry.Payload, payloadPlace(f.entry.OrgID, f.entry.Seq))
	return err
}

// sealAll seals payloads, many of them on every core.
func sealAll(list []*sealing) error {
	return inParallel(len(list), func(i int) error { return list[i].seal() })
}

// parallelFrom is from how many pieces of work on it is worth to share them out.
const parallelFrom = 32

// inParallel does n independent pieces of work, on every core when there are many.
func inParallel(n int, work func(i int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n/parallelFrom)
	if workers < 2 {
		for i := range n {
			if err := work(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = work(i)
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

const (
	journalColumns = 11
	payloadColumns = 5
)

type entryKey struct {
	org uuid.UUID
	key string
}

// standing gives the entries whose keys are in the journal already.
func (t *tx) standing(ctx context.Context, es []threat.Entry) (map[entryKey]threat.Entry, error) {
	out := map[entryKey]threat.Entry{}
	byOrg := map[uuid.UUID][]string{}
	for _, e := range es {
		byOrg[e.OrgID] = append(byOrg[e.OrgID], e.Key)
	}
	for org, keys := range byOrg {
		for len(keys) > 0 {
			n := 1
			for _, c := range insertChunks {
				if len(keys) >= c {
					n = c
					break
				}
			}
			args := []any{org}
			for _, k := range keys[:n] {
				args = append(args, k)
			}
			keys = keys[n:]
			found, err := t.entries(ctx, `j.org_id = ?1 AND j.key IN `+places(2, n), args...)
			if err != nil {
				return nil, err
			}
			for _, e := range found {
				out[entryKey{org, e.Key}] = e
			}
		}
	}
	return out, nil
}

// entryOf gives the entry of a key, whose payload tells a repeated call what was answered the first time.
func (t *tx) entryOf(ctx context.Context, org uuid.UUID, key string) (threat.Entry, bool, error) {
	found, err := t.entries(ctx, `j.org_id = ?1 AND j.key = ?2`, org, key)
	if err != nil || len(found) == 0 {
		return threat.Entry{}, false, err
	}
	return found[0], true, nil
}

const entryColumns = `j.org_id, j.seq, j.key, j.kind, j.at, j.case_id, j.actor, j.subject, j.digest, j.prev, j.hash,
	p.salt, p.data_key, p.sealed, p.erased_at`

const entryTables = ` FROM journal j LEFT JOIN journal_payloads p ON p.org_id = j.org_id AND p.seq = j.seq WHERE `

// storedEntry is an entry as the tables hold it.
type storedEntry struct {
	threat.Entry
	digest, prev, hash    []byte
	salt, dataKey, sealed []byte
	erasedAt              sql.NullInt64
}

func scanEntry(r *sql.Rows) (storedEntry, error) {
	var e storedEntry
	var at int64
	err := r.Scan(&e.OrgID, &e.Seq, &e.Key, &e.Kind, &at, &e.CaseID, &e.Actor, &e.Subject, &e.digest, &e.prev, &e.hash,
		&e.salt, &e.dataKey, &e.sealed, &e.erasedAt)
	e.At = fromMicros(at)
	e.Digest, e.Prev, e.Hash = hex.EncodeToString(e.digest), hex.EncodeToString(e.prev), hex.EncodeToString(e.hash)
	e.Erased = e.erasedAt.Valid
	return e, err
}

// entries reads entries with their payloads. where has the journal as j; order and limit may follow in it.
func (t *tx) entries(ctx context.Context, where string, args ...any) ([]threat.Entry, error) {
	stored, err := collect[storedEntry](t.query(ctx, `SELECT `+entryColumns+entryTables+where, args...))(scanEntry)
	if err != nil {
		return nil, err
	}
	out := make([]threat.Entry, len(stored))
	for i, e := range stored {
		if !e.Erased {
			key, err := t.s.orgKey(ctx, t, e.OrgID)
			if err != nil {
				return nil, err
			}
			e.Payload, err = key.OpenApart(e.dataKey, e.sealed, payloadPlace(e.OrgID, e.Seq))
			if err != nil {
				return nil, &threat.Fault{Kind: threat.Internal, What: fmt.Sprintf("the payload of entry %d of %s does not open",
					e.Seq, e.OrgID), Next: "run `firebreak journal verify`", Err: err}
			}
		}
		out[i] = e.Entry
	}
	return out, nil
}

// Entries gives an organisation's journal in order, from behind after; limit is at most 1000. The payload of an erased
// entry is nil.
func (s *Store) Entries(ctx context.Context, org uuid.UUID, after int64, limit int) (out []threat.Entry, err error) {
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.entries(ctx, `j.org_id = ?1 AND j.seq > ?2 ORDER BY j.seq LIMIT ?3`, org, after, limit)
		return err
	})
	return out, err
}

// EntriesOfCase gives what the journal holds about a case, in order.
func (s *Store) EntriesOfCase(ctx context.Context, caseID uuid.UUID) (out []threat.Entry, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.entries(ctx, `j.case_id = ?1 ORDER BY j.seq`, caseID)
		return err
	})
	return out, err
}

// Erase drops what an entry says: its payload, its salt and its data key. The chain keeps its digest and still verifies,
// and an entry of its own tells who erased it and why. Erasing again changes nothing. NotFound when there is no such
// entry, Invalid without a reason, and Conflict for the record of an erasure.
func (s *Store) Erase(ctx context.Context, org uuid.UUID, seq int64, why, by string) error {
	if why == "" {
		return &threat.Fault{Kind: threat.Invalid, What: "an erasure needs a reason", Place: "/why"}
	}
	return s.write(ctx, []uuid.UUID{org}, func(ctx context.Context, t *tx) error {
		found, err := collect[storedEntry](t.query(ctx, `SELECT `+entryColumns+entryTables+`j.org_id = ?1 AND j.seq = ?2`, org,
			seq))(scanEntry)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return threat.Faultf(threat.NotFound, "no entry %d", seq)
		case found[0].Erased:
			return nil
		case found[0].Kind == threat.EntryErased:
			return threat.Faultf(threat.Conflict, "entry %d records an erasure, and stays", seq)
		}
		if err := t.execOne(ctx, "payload", `UPDATE journal_payloads SET salt = NULL, data_key = NULL, sealed = NULL,
			erased_at = ?3 WHERE org_id = ?1 AND seq = ?2`, org, seq, micros(t.now)); err != nil {
			return err
		}
		payload, err := json.Marshal(map[string]any{"seq": seq, "kind": found[0].Kind, "why": why})
		if err != nil {
			return err
		}
		t.scrub = true
		_, _, err = t.append(ctx, threat.Entry{OrgID: org, Key: erasureKey(seq), Kind: threat.EntryErased,
			CaseID: found[0].CaseID, Actor: by, Subject: fmt.Sprintf("entry:%d", seq), Payload: payload})
		return err
	})
}

// payloadDigest is what the chain keeps of a payload: SHA-256 of salt and payload.
func payloadDigest(salt, payload []byte) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write(payload)
	return h.Sum(nil)
}

// payloadPlace binds a sealed payload to its entry.
func payloadPlace(org uuid.UUID, seq int64) []byte {
	b := append([]byte("payload\x00"), org[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(seq))
}

// entryHash chains an entry: SHA-256 over a label and the fields, each with its length before it (32 bits, big endian;
// numbers are 64 bits, big endian; a missing case is empty). Another program can check a chain from this comment.
func entryHash(e threat.Entry, digest, prev []byte) []byte {
	b := make([]byte, 0, 512)
	field := func(f []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	number := func(n int64) { field(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	field([]byte("firebreak/entry/v1"))
	field(e.OrgID[:])
	number(e.Seq)
	field([]byte(e.Key))
	field([]byte(e.Kind))
	number(micros(e.At))
	if e.CaseID.Valid {
		field(e.CaseID.UUID[:])
	} else {
		field(nil)
	}
	field([]byte(e.Actor))
	field([]byte(e.Subject))
	field(digest)
	field(prev)
	sum := sha256.Sum256(b)
	return sum[:]
}

// orgKey gives an organisation's key, unwrapped once a process.
func (s *Store) orgKey(ctx context.Context, t *tx, org uuid.UUID) (secret.Key, error) {
	if k, ok := t.newKeys[org]; ok {
		return k, nil
	}
	if k, ok := s.orgKeys.Load(org); ok {
		return k.(secret.Key), nil
	}
	var wrapped []byte
	var master string
	if err := t.row(ctx, `SELECT wrapped, master FROM org_keys WHERE org_id = ?1`, org).Scan(&wrapped, &master); err != nil {
		return secret.Key{}, fmt.Errorf("the key of organisation %s: %w", org, err)
	}
	k, err := s.keys.Unwrap(wrapped, master, keyPlace(org))
	if err != nil {
		return secret.Key{}, err
	}
	s.orgKeys.Store(org, k)
	return k, nil
}

func keyPlace(org uuid.UUID) []byte { return append([]byte("org-key\x00"), org[:]...) }

// newOrgKey makes the key of an organisation that was made in this transaction.
func (t *tx) newOrgKey(ctx context.Context, org uuid.UUID) error {
	key := secret.NewKey()
	wrapped, master, err := t.s.keys.Wrap(key, keyPlace(org))
	if err != nil {
		return err
	}
	t.newKeys[org] = key // not the store's cache: this transaction may yet be rolled back
	_, err = t.exec(ctx, `INSERT INTO org_keys (org_id, wrapped, master, created_at) VALUES (?1, ?2, ?3, ?4)`, org, wrapped,
		master, micros(t.now))
	return err
}

// checkKeyring refuses a keyring that cannot open this database's keys, before anything is written under another one.
func (s *Store) checkKeyring(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context, t *tx) error {
		masters, err := collect[string](t.query(ctx, `SELECT DISTINCT master FROM org_keys`))(func(r *sql.Rows) (m string, err error) {
			err = r.Scan(&m)
			return m, err
		})
		if err != nil {
			return err
		}
		for _, m := range masters {
			if !s.keys.Has(m) {
				return &threat.Fault{Kind: threat.Invalid, What: "the key file is not the one this data was written under",
					Place: "--key-file", Next: "give that one, or restore it from a backup"}
			}
		}
		return nil
	})
}

// RewrapKeys wraps every organisation's key under the keyring's newest master key. Afterwards the keyring may Forget the
// older ones.
func (s *Store) RewrapKeys(ctx context.Context) (n int, err error) {
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		type row struct {
			org     uuid.UUID
			wrapped []byte
			master  string
		}
		n = 0
		rows, err := collect[row](t.query(ctx, `SELECT org_id, wrapped, master FROM org_keys WHERE master <> ?1 ORDER BY org_id`+
			s.engine.forUpdate(), s.keys.Master()))(func(r *sql.Rows) (w row, err error) {
			err = r.Scan(&w.org, &w.wrapped, &w.master)
			return w, err
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			k, err := s.keys.Unwrap(r.wrapped, r.master, keyPlace(r.org))
			if err != nil {
				return err
			}
			wrapped, master, err := s.keys.Wrap(k, keyPlace(r.org))
			if err != nil {
				return err
			}
			if err := t.execOne(ctx, "key", `UPDATE org_keys SET wrapped = ?2, master = ?3 WHERE org_id = ?1`, r.org, wrapped,
				master); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
