package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Kinds of subjects that have a workflow: what a nudge is for, and what OnWake's hooks are told.
const (
	nudgeCase       = "case"
	nudgeEscalation = "escalation"
	nudgeResponse   = "response"
	wakeReceived    = "received" // detections wait for triage; they lie in their own table
)

// severityOf gives the expression for how severe the case of a subject ?2 is.
var severityOf = map[string]string{
	nudgeCase:       `(SELECT severity FROM cases WHERE id = ?2)`,
	nudgeEscalation: `(SELECT c.severity FROM escalations e JOIN cases c ON c.id = e.case_id WHERE e.id = ?2)`,
	nudgeResponse:   `(SELECT c.severity FROM responses r JOIN cases c ON c.id = r.case_id WHERE r.id = ?2)`,
}

// nudgeAgain is what a second nudge of a subject does: the stamp rises, and whoever has the subject keeps its lease.
const nudgeAgain = ` ON CONFLICT (kind, subject_id) DO UPDATE SET severity = excluded.severity,
	stamp = CASE WHEN outbox.stamp >= excluded.stamp THEN outbox.stamp + 1 ELSE excluded.stamp END`

// nudge has dispatch tell the workflow of a subject that something is new for it, after this transaction.
func (t *tx) nudge(ctx context.Context, kind string, tenant, subject uuid.UUID) error {
	severity, ok := severityOf[kind]
	if !ok {
		return threat.Faultf(threat.Internal, "nothing of the kind %q has a workflow", kind)
	}
	// A stamp is the time at least, so that a row that went and came back has a higher one.
	_, err := t.exec(ctx, `INSERT INTO outbox (kind, subject_id, tenant_id, stamp, severity, at, lease_owner, lease_until)
		VALUES (?1, ?2, ?3, ?4, COALESCE(`+severity+`, 0), ?4, '', 0)`+nudgeAgain, kind, subject, tenant, micros(t.now))
	if err == nil {
		t.wake(kind)
	}
	return err
}

// nudgeWaiting nudges every response of a tenant that a wider mode or a lifted stop may let go.
func (t *tx) nudgeWaiting(ctx context.Context, tenant uuid.UUID) error {
	_, err := t.exec(ctx, `INSERT INTO outbox (kind, subject_id, tenant_id, stamp, severity, at, lease_owner, lease_until)
		SELECT 'response', r.id, r.tenant_id, CAST(?2 AS BIGINT), c.severity, CAST(?2 AS BIGINT), '', 0
		FROM responses r JOIN cases c ON c.id = r.case_id
		WHERE r.tenant_id = ?1 AND r.ended_at IS NULL AND r.state IN ('proposed', 'asked', 'stale', 'acting')`+nudgeAgain,
		tenant, micros(t.now))
	if err == nil {
		t.wake(nudgeResponse)
	}
	return err
}

// Nudge has dispatch tell the workflow of a subject that something is new for it. Internal for an unknown kind, NotFound
// for a tenant that is not there.
func (s *Store) Nudge(ctx context.Context, kind string, tenant, subject uuid.UUID) error {
	return s.write(ctx, []uuid.UUID{tenant}, func(ctx context.Context, t *tx) error {
		return t.nudge(ctx, kind, tenant, subject)
	})
}

// openSubjects are the rows that must have a live workflow.
var openSubjects = map[string]string{
	nudgeCase:       `SELECT id, tenant_id FROM cases WHERE closed_at IS NULL`,
	nudgeEscalation: `SELECT id, tenant_id FROM escalations WHERE ended_at IS NULL`,
	nudgeResponse:   `SELECT id, tenant_id FROM responses WHERE ended_at IS NULL`,
}

// OpenSubjects gives open cases, running escalations or responses that have not ended, by id from behind after, for the
// sweep that looks for those without a live workflow. Their Stamp is 0. Invalid for an unknown kind.
func (s *Store) OpenSubjects(ctx context.Context, kind string, after uuid.UUID, limit int) (out []threat.Nudge, err error) {
	q, ok := openSubjects[kind]
	if !ok {
		return nil, threat.Faultf(threat.Invalid, "nothing of the kind %q has a workflow", kind)
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.Nudge](t.query(ctx, q+` AND id > ?1 ORDER BY id LIMIT ?2`, after, limit))(
			func(r *sql.Rows) (threat.Nudge, error) {
				n := threat.Nudge{Kind: kind}
				return n, r.Scan(&n.SubjectID, &n.TenantID)
			})
		return err
	})
	return out, err
}

// LeaseNudges hands out nudges to owner for a time: at most n, of each tenant at most perTenant with those that are out
// already, round robin between tenants, and the most severe first within one. A nudge that is neither done nor failed when
// the lease ends is handed out again.
func (s *Store) LeaseNudges(ctx context.Context, owner string, n, perTenant int, lease time.Duration) (out []threat.Nudge, err error) {
	if n <= 0 || perTenant <= 0 {
		return nil, nil
	}
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		out = nil
		tenants, err := t.inTurn(ctx, &s.nudgeTurn, `outbox WHERE 1 = 1`)
		if err != nil || len(tenants) == 0 {
			return err
		}
		found, err := eachTenant(ctx, t, tenants, n, `SELECT kind, subject_id, tenant_id, severity, at FROM outbox
			WHERE tenant_id = ?{tenant} AND lease_until <= ?1 ORDER BY severity DESC, at LIMIT ?2`, scanWaiting,
			micros(t.now), perTenant)
		if err != nil {
			return err
		}
		busy, err := t.leasedNudges(ctx)
		if err != nil {
			return err
		}
		for id, list := range found {
			found[id] = list[:max(0, min(len(list), perTenant-busy[id]))]
		}
		picked := roundRobin(tenants, found, n)
		if out, err = t.takeNudges(ctx, owner, picked, t.now.Add(lease)); err != nil {
			return err
		}
		if len(picked) > 0 {
			s.nudgeTurn.after(picked[len(picked)-1].TenantID)
		}
		return nil
	})
	return out, err
}

func scanWaiting(r *sql.Rows) (n threat.Nudge, err error) {
	var severity, at int64 // what they are ordered by
	err = r.Scan(&n.Kind, &n.SubjectID, &n.TenantID, &severity, &at)
	return n, err
}

// leasedNudges counts the nudges that are out, by tenant.
func (t *tx) leasedNudges(ctx context.Context) (map[uuid.UUID]int, error) {
	out := map[uuid.UUID]int{}
	_, err := collect[struct{}](t.query(ctx, `SELECT tenant_id, COUNT(*) FROM outbox WHERE lease_owner <> '' AND lease_until > ?1
		GROUP BY tenant_id`, micros(t.now)))(func(r *sql.Rows) (struct{}, error) {
		var id uuid.UUID
		var n int
		err := r.Scan(&id, &n)
		out[id] = n
		return struct{}{}, err
	})
	return out, err
}

// takeNudges leases nudges, without those that another process took or is nudging just now, in the order given.
func (t *tx) takeNudges(ctx context.Context, owner string, ns []threat.Nudge, until time.Time) ([]threat.Nudge, error) {
	stamps := map[threat.Nudge]int64{}
	for chunk := range chunks(ns) {
		args := []any{owner, micros(until), micros(t.now)}
		var where strings.Builder
		for i, n := range chunk {
			if i > 0 {
				where.WriteString(" OR ")
			}
			where.WriteString(`(kind, subject_id) = ` + places(len(args)+1, 2))
			args = append(args, n.Kind, n.SubjectID)
		}
		_, err := collect[struct{}](t.query(ctx, `UPDATE outbox SET lease_owner = ?1, lease_until = ?2, leased = stamp
			WHERE (kind, subject_id) IN
			(SELECT kind, subject_id FROM outbox WHERE lease_until <= ?3 AND (`+where.String()+`)`+t.skipLocked()+`)
			RETURNING kind, subject_id, tenant_id, stamp`, args...))(func(r *sql.Rows) (struct{}, error) {
			var n threat.Nudge
			var stamp int64
			err := r.Scan(&n.Kind, &n.SubjectID, &n.TenantID, &stamp)
			stamps[n] = stamp
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []threat.Nudge
	for _, n := range ns {
		if stamp, ok := stamps[n]; ok {
			n.Stamp = stamp
			out = append(out, n)
		}
	}
	return out, nil
}

// skipLocked is appended to a SELECT that takes rows from a queue: a row that somebody else has in hand is left to them.
func (t *tx) skipLocked() string {
	if lock := t.s.engine.forUpdate(); lock != "" {
		return lock + " SKIP LOCKED"
	}
	return ""
}

// DoneNudges takes nudges out of the outbox. One whose subject was nudged again meanwhile stays and is free at once; one
// that somebody else has leased by now is theirs.
func (s *Store) DoneNudges(ctx context.Context, owner string, ns []threat.Nudge) error {
	return s.eachNudge(ctx, ns, func(ctx context.Context, t *tx, n threat.Nudge) error {
		res, err := t.exec(ctx, `DELETE FROM outbox WHERE kind = ?1 AND subject_id = ?2 AND lease_owner = ?3
			AND leased = ?4 AND stamp = ?4`, n.Kind, n.SubjectID, owner, n.Stamp)
		if err != nil {
			return err
		}
		if gone, err := res.RowsAffected(); err != nil || gone > 0 {
			return err
		}
		res, err = t.exec(ctx, `UPDATE outbox SET lease_owner = '', lease_until = 0
			WHERE kind = ?1 AND subject_id = ?2 AND lease_owner = ?3 AND leased = ?4`, n.Kind, n.SubjectID, owner, n.Stamp)
		if err != nil {
			return err
		}
		if freed, err := res.RowsAffected(); err != nil || freed == 0 {
			return err
		}
		t.wake(n.Kind)
		return nil
	})
}

// FailNudges has nudges handed out again after a time, however often they are nudged before that.
func (s *Store) FailNudges(ctx context.Context, owner string, ns []threat.Nudge, after time.Duration) error {
	return s.eachNudge(ctx, ns, func(ctx context.Context, t *tx, n threat.Nudge) error {
		_, err := t.exec(ctx, `UPDATE outbox SET lease_owner = '', lease_until = ?4
			WHERE kind = ?1 AND subject_id = ?2 AND lease_owner = ?3 AND leased = ?5`, n.Kind, n.SubjectID, owner,
			micros(t.now.Add(after)), n.Stamp)
		return err
	})
}

// eachNudge runs fn for nudges in one transaction, always in the same order, so that two of them do not wait for one
// another.
func (s *Store) eachNudge(ctx context.Context, ns []threat.Nudge, fn func(context.Context, *tx, threat.Nudge) error) error {
	if len(ns) == 0 {
		return nil
	}
	ns = slices.Clone(ns)
	slices.SortFunc(ns, func(a, b threat.Nudge) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.SubjectID.String(), b.SubjectID.String()))
	})
	return s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		for _, n := range ns {
			if err := fn(ctx, t, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// OutboxDepth tells how many nudges wait, and since when the oldest does; the time is zero when none does.
func (s *Store) OutboxDepth(ctx context.Context) (n int, oldest time.Time, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		var at sql.NullInt64
		err := t.row(ctx, `SELECT COUNT(*), MIN(at) FROM outbox`).Scan(&n, &at)
		if at.Valid {
			oldest = fromMicros(at.Int64)
		}
		return err
	})
	return n, oldest, err
}

// turn remembers which tenant came last, so that the next round begins behind it.
type turn struct {
	mu   sync.Mutex
	last uuid.UUID
}

func (u *turn) after(id uuid.UUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = id
}

// inTurn gives the tenants that have rows in a table, each once, beginning behind the one that came last. from is the table
// with a WHERE; an index on tenant_id makes it as cheap as there are tenants.
func (t *tx) inTurn(ctx context.Context, u *turn, from string) ([]uuid.UUID, error) {
	tenants, err := collect[uuid.UUID](t.query(ctx, `WITH RECURSIVE waiting (id) AS (SELECT MIN(tenant_id) FROM `+from+`
		UNION ALL SELECT (SELECT MIN(tenant_id) FROM `+from+` AND tenant_id > waiting.id) FROM waiting WHERE waiting.id IS NOT NULL)
		SELECT id FROM waiting WHERE id IS NOT NULL`))(func(r *sql.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, err
	}
	tenants = sortedIDs(tenants)
	u.mu.Lock()
	last := u.last
	u.mu.Unlock()
	i, found := slices.BinarySearchFunc(tenants, last, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	if found {
		i++
	}
	return slices.Concat(tenants[i:], tenants[:i]), nil
}

// eachTenant asks the same of tenants in turn until it has rows of n of them. In q, ?{tenant} stands for the tenant and
// ?1, ?2 ... for args.
func eachTenant[T any](ctx context.Context, t *tx, tenants []uuid.UUID, n int, q string, scan func(*sql.Rows) (T, error),
	args ...any) (map[uuid.UUID][]T, error) {
	out := map[uuid.UUID][]T{}
	q = strings.ReplaceAll(q, "?{tenant}", "?"+strconv.Itoa(len(args)+1))
	for _, id := range tenants {
		list, err := collect[T](t.query(ctx, q, append(slices.Clone(args), id)...))(scan)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			out[id] = list
		}
		if len(out) == n {
			break
		}
	}
	return out, nil
}

// roundRobin takes n of the tenants' lists: the first of each in turn, then the second of each, and so on.
func roundRobin[T any](tenants []uuid.UUID, lists map[uuid.UUID][]T, n int) (out []T) {
	for i := 0; ; i++ {
		more := false
		for _, id := range tenants {
			if i < len(lists[id]) && len(out) < n {
				out, more = append(out, lists[id][i]), true
			}
		}
		if !more {
			return out
		}
	}
}

// chunks cuts a list into parts of the lengths of insertChunks, so that few different statements exist.
func chunks[T any](list []T) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			n := 1
			for _, c := range insertChunks {
				if len(list) >= c {
					n = c
					break
				}
			}
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}
