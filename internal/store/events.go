package store

import (
	"context"
	"database/sql"
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Heads gives the number of the newest entry of some organisations' journals. An organisation that is not there is left out.
func (s *Store) Heads(ctx context.Context, orgs []uuid.UUID) (out map[uuid.UUID]int64, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.headsOf(ctx, orgs)
		return err
	})
	return out, err
}

func (t *tx) headsOf(ctx context.Context, orgs []uuid.UUID) (map[uuid.UUID]int64, error) {
	out := map[uuid.UUID]int64{}
	for chunk := range padded(anys(sortedIDs(orgs))) {
		_, err := collect[struct{}](t.query(ctx, `SELECT org_id, seq FROM journal_heads WHERE org_id IN `+places(1, len(chunk)), chunk...))(
			func(r *sql.Rows) (struct{}, error) {
				var id uuid.UUID
				var seq int64
				err := r.Scan(&id, &seq)
				out[id] = seq
				return struct{}{}, err
			})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxEvents bounds the entries of one call of EventsAfter.
const maxEvents = 1000

// EventsAfter gives what is new in some organisations' journals, each from behind the number given for it, without payloads:
// in order within one organisation, and none left out. An organisation without a number begins at its first entry. limit is
// at most 1000; whoever gets that many asks again. Its cost grows with the organisations that have news.
func (s *Store) EventsAfter(ctx context.Context, orgs []uuid.UUID, after map[uuid.UUID]int64, limit int) (out []threat.Entry, err error) {
	limit = bounded(limit, maxEvents)
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		out = nil
		heads, err := t.headsOf(ctx, orgs)
		if err != nil {
			return err
		}
		for _, org := range sortedIDs(orgs) {
			if heads[org] <= after[org] || len(out) == limit {
				continue
			}
			news, err := collect[threat.Entry](t.query(ctx, `SELECT org_id, seq, key, kind, at, case_id, actor, subject, digest, prev, hash
				FROM journal WHERE org_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3`, org, after[org], limit-len(out)))(scanEvent)
			if err != nil {
				return err
			}
			out = append(out, news...)
		}
		return nil
	})
	return out, err
}

func scanEvent(r *sql.Rows) (e threat.Entry, err error) {
	var at int64
	var digest, prev, hash []byte
	err = r.Scan(&e.OrgID, &e.Seq, &e.Key, &e.Kind, &at, &e.CaseID, &e.Actor, &e.Subject, &digest, &prev, &hash)
	e.At, e.Digest, e.Prev, e.Hash = fromMicros(at), hex.EncodeToString(digest), hex.EncodeToString(prev), hex.EncodeToString(hash)
	return e, err
}
