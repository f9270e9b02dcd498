package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// listState is how a list stands in its table: revision and time of the last change that was written. What expired since
// then counts one revision for each time at which entries did.
type listState struct {
	revision  int64
	changedAt time.Time
}

// feedList reads how a list stands at now. expired counts what is over and still in the table.
func (t *tx) feedList(ctx context.Context, connection uuid.UUID, list string, now time.Time) (st listState, expired int64, err error) {
	found, err := collect[listState](t.query(ctx, `SELECT revision, changed_at FROM feed_lists WHERE connection_id = ?1 AND list = ?2`,
		connection, list))(func(r *sql.Rows) (st listState, err error) {
		var at int64
		err = r.Scan(&st.revision, &at)
		st.changedAt = fromMicros(at)
		return st, err
	})
	if err != nil || len(found) == 0 {
		return st, 0, err
	}
	st = found[0]
	var last sql.NullInt64
	if err := t.row(ctx, `SELECT COUNT(DISTINCT until), MAX(until) FROM feed_entries WHERE connection_id = ?1 AND list = ?2
		AND until <= ?3`, connection, list, micros(now)).Scan(&expired, &last); err != nil {
		return st, 0, err
	}
	st.revision += expired
	if last.Valid && last.Int64 > micros(st.changedAt) {
		st.changedAt = fromMicros(last.Int64)
	}
	return st, expired, nil
}

// purge drops what is over from a list, and gives how the list stands then.
func (t *tx) purge(ctx context.Context, connection uuid.UUID, list string) (listState, error) {
	st, expired, err := t.feedList(ctx, connection, list, t.now)
	if err != nil || expired == 0 {
		return st, err
	}
	if _, err := t.exec(ctx, `DELETE FROM feed_entries WHERE connection_id = ?1 AND list = ?2 AND until <= ?3`, connection, list,
		micros(t.now)); err != nil {
		return st, err
	}
	return st, t.keepFeedList(ctx, connection, list, st)
}

func (t *tx) keepFeedList(ctx context.Context, connection uuid.UUID, list string, st listState) error {
	_, err := t.exec(ctx, `INSERT INTO feed_lists (connection_id, list, revision, changed_at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (connection_id, list) DO UPDATE SET revision = excluded.revision, changed_at = excluded.changed_at`, connection, list,
		st.revision, micros(st.changedAt))
	return err
}

// asConnection is write under the lock of a connection's tenant.
func (s *Store) asConnection(ctx context.Context, id uuid.UUID, fn func(context.Context, *tx, threat.Connection) error) error {
	c, err := s.Connection(ctx, id)
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{c.TenantID}, func(ctx context.Context, t *tx) error { return fn(ctx, t, c) })
}

func knownList(list string) error {
	if slices.Contains(threat.FeedLists, list) {
		return nil
	}
	return &threat.Fault{Kind: threat.Invalid, What: "no such list", Place: "/list"}
}

// PutFeedEntry adds an entry to a list, or sets Until of the one with the same list, value and mark. Only what is added
// raises the list's revision; a renewal keeps it. NotFound for an unknown connection or one of another tenant, Invalid for
// an unknown list, an empty value, or an entry that is over already.
func (s *Store) PutFeedEntry(ctx context.Context, e threat.FeedEntry) error {
	if err := knownList(e.List); err != nil {
		return err
	}
	if e.Value == "" || e.Mark == "" {
		return &threat.Fault{Kind: threat.Invalid, What: "an entry has a value and a mark", Place: "/value"}
	}
	return s.asConnection(ctx, e.ConnectionID, func(ctx context.Context, t *tx, c threat.Connection) error {
		if e.TenantID != uuid.Nil && e.TenantID != c.TenantID {
			return threat.Faultf(threat.NotFound, "no such connection")
		}
		if micros(e.Until) <= micros(t.now) {
			return &threat.Fault{Kind: threat.Invalid, What: "the entry would be over at once", Place: "/until"}
		}
		st, err := t.purge(ctx, c.ID, e.List)
		if err != nil {
			return err
		}
		res, err := t.exec(ctx, `UPDATE feed_entries SET until = ?5 WHERE connection_id = ?1 AND list = ?2 AND value = ?3 AND mark = ?4`,
			c.ID, e.List, e.Value, e.Mark, micros(e.Until))
		if err != nil {
			return err
		}
		if renewed, err := res.RowsAffected(); err != nil || renewed > 0 {
			return err
		}
		st.revision, st.changedAt = st.revision+1, t.now
		if _, err := t.exec(ctx, `INSERT INTO feed_entries (connection_id, list, value, mark, tenant_id, revision, added_at, until)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`, c.ID, e.List, e.Value, e.Mark, c.TenantID, st.revision, micros(t.now),
			micros(e.Until)); err != nil {
			return err
		}
		return t.keepFeedList(ctx, c.ID, e.List, st)
	})
}

// RemoveFeedEntry takes away the entry that bears a mark, raises the list's revision, and reports whether there was one.
// NotFound for an unknown connection.
func (s *Store) RemoveFeedEntry(ctx context.Context, connection uuid.UUID, list, value, mark string) (gone bool, err error) {
	if err := knownList(list); err != nil {
		return false, err
	}
	err = s.asConnection(ctx, connection, func(ctx context.Context, t *tx, c threat.Connection) error {
		gone = false
		st, err := t.purge(ctx, c.ID, list)
		if err != nil {
			return err
		}
		res, err := t.exec(ctx, `DELETE FROM feed_entries WHERE connection_id = ?1 AND list = ?2 AND value = ?3 AND mark = ?4`, c.ID, list,
			value, mark)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if gone = n > 0; err != nil || !gone {
			return err
		}
		st.revision, st.changedAt = st.revision+1, t.now
		return t.keepFeedList(ctx, c.ID, list, st)
	})
	return gone, err
}

// FeedEntries gives the entries of a list whose time is not over at now, by value and mark, with the list's revision and the
// time of that, read together. A list that never had an entry is at revision 0.
func (s *Store) FeedEntries(ctx context.Context, connection uuid.UUID, list string, now time.Time) (out []threat.FeedEntry, revision int64,
	changed time.Time, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		st, _, err := t.feedList(ctx, connection, list, now)
		if err != nil {
			return err
		}
		revision, changed = st.revision, st.changedAt
		out, err = collect[threat.FeedEntry](t.query(ctx, `SELECT connection_id, tenant_id, list, value, mark, revision, added_at, until
			FROM feed_entries WHERE connection_id = ?1 AND list = ?2 AND until > ?3 ORDER BY value, mark`, connection, list, micros(now)))(
			func(r *sql.Rows) (e threat.FeedEntry, err error) {
				var added, until int64
				err = r.Scan(&e.ConnectionID, &e.TenantID, &e.List, &e.Value, &e.Mark, &e.Revision, &added, &until)
				e.AddedAt, e.Until = fromMicros(added), fromMicros(until)
				return e, err
			})
		return err
	})
	return out, revision, changed, err
}

// FeedLists gives how every list of a connection stands now.
func (s *Store) FeedLists(ctx context.Context, connection uuid.UUID) (out []threat.FeedList, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		out = nil
		for _, list := range threat.FeedLists {
			st, _, err := t.feedList(ctx, connection, list, t.now)
			if err != nil {
				return err
			}
			l := threat.FeedList{ConnectionID: connection, List: list, Revision: st.revision, ChangedAt: st.changedAt}
			if err := t.row(ctx, `SELECT COUNT(*) FROM feed_entries WHERE connection_id = ?1 AND list = ?2 AND until > ?3`, connection, list,
				micros(t.now)).Scan(&l.Entries); err != nil {
				return err
			}
			out = append(out, l)
		}
		return nil
	})
	return out, err
}

const fetchSelect = `SELECT connection_id, list, firewall, revision, at, poll_interval FROM feed_fetches
	WHERE connection_id = ?1 AND list = ?2`

func scanFetch(r *sql.Rows) (f threat.FeedFetch, err error) {
	var at, interval int64
	err = r.Scan(&f.ConnectionID, &f.List, &f.Firewall, &f.Revision, &at, &interval)
	f.At, f.Interval = fromMicros(at), time.Duration(interval)*time.Microsecond
	return f, err
}

// Fetches gives the last fetch of every firewall that ever fetched a list, by name.
func (s *Store) Fetches(ctx context.Context, connection uuid.UUID, list string) (out []threat.FeedFetch, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.FeedFetch](t.query(ctx, fetchSelect+` ORDER BY firewall`, connection, list))(scanFetch)
		return err
	})
	return out, err
}

// RecordFetch notes that a firewall has a revision of a list. The interval is the time between its last two fetches; one that
// is told late changes nothing. Responses that wait for their entry to be enforced over the connection are nudged. NotFound
// for an unknown connection.
func (s *Store) RecordFetch(ctx context.Context, connection uuid.UUID, list, firewall string, revision int64, at time.Time) error {
	if err := knownList(list); err != nil {
		return err
	}
	return s.asConnection(ctx, connection, func(ctx context.Context, t *tx, c threat.Connection) error {
		last, err := collect[threat.FeedFetch](t.query(ctx, fetchSelect+` AND firewall = ?3`, c.ID, list, firewall))(scanFetch)
		if err != nil {
			return err
		}
		f := threat.FeedFetch{Revision: revision, At: at}
		if len(last) > 0 {
			if at.Before(last[0].At) {
				return nil
			}
			known := last[0].Interval
			if known <= 0 {
				known = expected(c)
			}
			f.Interval = steady(at.Sub(last[0].At), known)
		}
		if _, err := t.exec(ctx, `INSERT INTO feed_fetches (connection_id, list, firewall, revision, at, poll_interval)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (connection_id, list, firewall) DO UPDATE SET revision = excluded.revision,
			at = excluded.at, poll_interval = excluded.poll_interval`, c.ID, list, firewall, f.Revision, micros(f.At),
			f.Interval.Microseconds()); err != nil {
			return err
		}
		return t.nudgePublished(ctx, c)
	})
}

// steady gives a firewall's interval after a gap between two fetches: one fetch out of turn, or one outage, at most halves or
// doubles it. Otherwise a second fetch by hand would make the firewall look silent, and others' word enough for "enforced".
func steady(gap, known time.Duration) time.Duration {
	if gap <= 0 {
		return known
	}
	return min(max(gap, known/2), 2*known)
}

// expected is how far apart the fetches of a connection's firewalls are until that has been seen: its setting "interval" in
// seconds, else five minutes, as adapters/feed has it.
func expected(c threat.Connection) time.Duration {
	if n, err := strconv.Atoi(c.Settings["interval"]); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 5 * time.Minute
}

// nudgePublished nudges the responses that hold what is published over a connection and not known to be enforced.
func (t *tx) nudgePublished(ctx context.Context, c threat.Connection) error {
	res, err := t.exec(ctx, `INSERT INTO outbox (kind, subject_id, tenant_id, stamp, severity, at, lease_owner, lease_until)
		SELECT 'response', r.id, r.tenant_id, CAST(?3 AS BIGINT), k.severity, CAST(?3 AS BIGINT), '', 0
		FROM responses r JOIN cases k ON k.id = r.case_id WHERE r.ended_at IS NULL AND r.id IN (SELECT h.response_id FROM effects e
		CROSS JOIN holders h WHERE h.effect_id = e.id AND h.state = 'holding' AND e.tenant_id = ?1 AND e.connection_id = ?2 AND e.published
		AND e.state <> 'absent' AND e.state IN ('claimed', 'unknown'))`+nudgeAgain, c.TenantID, c.ID, micros(t.now))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	t.wake(nudgeResponse)
	return nil
}
