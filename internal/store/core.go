package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/threat"
)

// Options say where the store lies and what it is opened with.
type Options struct {
	URL  string           // "sqlite:/path/firebreak.db", or "postgres://..."
	Keys *secret.Keyring  // seals payloads and credentials; required
	Now  func() time.Time // the clock; time.Now when nil
	Log  *slog.Logger     // slog.Default() when nil
}

// Store is the truth. It is safe for concurrent use, and several may be open on one PostgreSQL database.
type Store struct {
	engine engine
	keys   *secret.Keyring
	now    func() time.Time
	log    *slog.Logger

	orgKeys sync.Map // uuid.UUID -> secret.Key

	nudgeTurn, receivedTurn turn // where the rounds between tenants stand

	mu    sync.RWMutex
	hooks []func(kind string)
}

// Open connects, brings the tables up to date, and checks that the keyring is the one the data was written under. It
// gives Invalid for a URL of another kind, Unavailable when the database cannot be reached, and Unsupported when it was
// written by a newer Firebreak.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Keys == nil {
		return nil, threat.Faultf(threat.Invalid, "the store needs a keyring")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{keys: o.Keys, now: o.Now, log: o.Log}
	var err error
	switch {
	case strings.HasPrefix(o.URL, "sqlite:"):
		s.engine, err = openSQLite(ctx, strings.TrimPrefix(o.URL, "sqlite:"))
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		s.engine, err = openPostgres(ctx, o.URL)
	default:
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the database URL is of no known kind", Place: "--database-url",
			Next: "give sqlite:/path/firebreak.db or postgres://..."}
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkKeyring(ctx); err != nil {
		return nil, errors.Join(err, s.engine.close())
	}
	return s, nil
}

// Close ends every connection. Transactions under way fail.
func (s *Store) Close() error { return s.engine.close() }

// Ping reports whether the database answers, for /readyz.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context, t *tx) error {
		var one int
		return t.row(ctx, `SELECT 1`).Scan(&one)
	})
}

// OnWake adds a hook that is called after each commit that left work of a kind: "case", "escalation" and "response" for
// nudges, "received" for detections to triage. Hooks run on the writer's goroutine and must not block.
func (s *Store) OnWake(hook func(kind string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, hook)
}

// clock gives the time now, in UTC and whole microseconds, as the tables keep it.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// engine is what differs between the databases: how a transaction begins, how parameters are written, and what an error
// means.
type engine interface {
	begin(ctx context.Context, write bool) (session, error)
	rebind(q string) string          // ?1 ?2 ... to the dialect's own
	forUpdate() string               // appended to a SELECT that locks its rows; empty where the whole file is locked
	fateOf(err error) fate           // what a driver's error means
	scrub(ctx context.Context) error // after an erasure: drop old row versions where the database keeps them
	close() error
}

// session is one transaction on one connection.
type session interface {
	exec(ctx context.Context, q string, args []any) (sql.Result, error)
	query(ctx context.Context, q string, args []any) (*sql.Rows, error)
	row(ctx context.Context, q string, args []any) *sql.Row
	commit() error
	rollback() error
}

// fate classes a driver's error.
type fate int

const (
	fateOther  fate = iota
	fateRetry       // busy, deadlock, serialization: the same transaction may be tried again
	fateDown        // no space, no connection: nothing was changed
	fateLost        // the connection went; of a commit nobody knows whether it stood
	fateUnique      // a unique key stands already
	fateText        // text that the database cannot hold
)

// tx is one transaction. Rows must be read to the end and closed before the next statement (PostgreSQL has one at a time,
// and SQLite's statements are shared): use collect.
type tx struct {
	s     *Store
	ses   session
	now   time.Time // of the transaction, UTC, whole microseconds
	heads map[uuid.UUID]*head
	wakes map[string]bool
	scrub bool // an erasure: old row versions go after the commit

	newKeys map[uuid.UUID]secret.Key // of organisations made in this transaction
}

// exec runs a statement; q has its parameters as ?1 ?2 ...
func (t *tx) exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	return t.ses.exec(ctx, t.s.engine.rebind(q), args)
}

// query reads rows; see collect.
func (t *tx) query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return t.ses.query(ctx, t.s.engine.rebind(q), args)
}

// row reads one row.
func (t *tx) row(ctx context.Context, q string, args ...any) *sql.Row {
	return t.ses.row(ctx, t.s.engine.rebind(q), args)
}

// execOne runs a statement that must change exactly one row, and gives NotFound when it changed none.
func (t *tx) execOne(ctx context.Context, what, q string, args ...any) error {
	res, err := t.exec(ctx, q, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return threat.Faultf(threat.NotFound, "no such %s", what)
	}
	return nil
}

// insertChunks are the numbers of rows of one multi-row insert, so that few different statements exist.
var insertChunks = []int{100, 10, 1}

// insertRows inserts many rows in few statements: head is "INSERT INTO t (a, b)", tail may be "ON CONFLICT DO NOTHING" or
// empty, and args are the rows' values one after the other.
func (t *tx) insertRows(ctx context.Context, head, tail string, columns int, args []any) error {
	for len(args) > 0 {
		n := 1
		for _, c := range insertChunks {
			if len(args) >= c*columns {
				n = c
				break
			}
		}
		if _, err := t.exec(ctx, multiRow(head, tail, columns, n), args[:n*columns]...); err != nil {
			return err
		}
		args = args[n*columns:]
	}
	return nil
}

type multiRowKey struct {
	head, tail    string
	columns, rows int
}

var multiRows sync.Map // multiRowKey -> string

func multiRow(head, tail string, columns, rows int) string {
	key := multiRowKey{head, tail, columns, rows}
	if q, ok := multiRows.Load(key); ok {
		return q.(string)
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(" VALUES ")
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteString(places(r*columns+1, columns))
	}
	b.WriteByte(' ')
	b.WriteString(tail)
	q, _ := multiRows.LoadOrStore(key, b.String())
	return q.(string)
}

// places gives "(?3,?4,?5)" for places(3, 3): the list of an IN or a row of VALUES.
func places(from, n int) string {
	b := []byte{'('}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '?')
		b = strconv.AppendInt(b, int64(from+i), 10)
	}
	return string(append(b, ')'))
}

// wake has the hooks called with kind after the commit.
func (t *tx) wake(kind string) { t.wakes[kind] = true }

// collect reads rows to their end and closes them: collect(t.query(ctx, ...))(scan).
func collect[T any](rows *sql.Rows, err error) func(scan func(*sql.Rows) (T, error)) ([]T, error) {
	return func(scan func(*sql.Rows) (T, error)) (out []T, _ error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, rows.Err()
	}
}

// writeTries is how often a transaction is tried when another one was in its way.
const writeTries = 8

// write runs fn in one transaction under the locks of some organisations: all of it happens, or nothing. fn may run
// more than once, so it must not change what lies outside before it has succeeded. Errors come back as faults:
// Unavailable when the database is full or away and nothing was changed, Unknown when the connection went during the
// commit, NotFound for an organisation that is not there.
func (s *Store) write(ctx context.Context, locks []uuid.UUID, fn func(context.Context, *tx) error) error {
	locks = sortedIDs(locks)
	for try := 1; ; try++ {
		wakes, err := s.writeOnce(ctx, locks, fn)
		if err == nil {
			s.mu.RLock()
			hooks := s.hooks
			s.mu.RUnlock()
			for kind := range wakes {
				for _, hook := range hooks {
					hook(kind)
				}
			}
			return nil
		}
		if s.engine.fateOf(err) != fateRetry || try == writeTries || ctx.Err() != nil {
			return s.fault(ctx, err)
		}
		wait := time.Duration(1<<try)*time.Millisecond + rand.N(5*time.Millisecond)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return s.fault(ctx, ctx.Err())
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, locks []uuid.UUID, fn func(context.Context, *tx) error) (
	wakes map[string]bool, err error) {
	ses, err := s.engine.begin(ctx, true)
	if err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done {
			if rerr := ses.rollback(); rerr != nil {
				err = errors.Join(err, rerr)
			}
		}
	}()
	t := &tx{s: s, ses: ses, heads: map[uuid.UUID]*head{}, wakes: map[string]bool{},
		newKeys: map[uuid.UUID]secret.Key{}}
	if err := t.lockHeads(ctx, locks); err != nil {
		return nil, err
	}
	t.now = s.clock()
	if err := fn(ctx, t); err != nil {
		return nil, err
	}
	if err := t.writeHeads(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done = true
	if err := ses.commit(); err != nil {
		if s.engine.fateOf(err) == fateLost {
			return nil, &threat.Fault{Kind: threat.Unknown, What: "the connection to the database went during a commit",
				Next: "read before repeating", Err: err}
		}
		return nil, err
	}
	if t.scrub {
		if err := s.engine.scrub(ctx); err != nil {
			s.log.Warn("old row versions of an erased payload stay until the database drops them", "error", err)
		}
	}
	return t.wakes, nil
}

// read runs fn on one consistent snapshot; what it would change is refused by the database.
func (s *Store) read(ctx context.Context, fn func(context.Context, *tx) error) (err error) {
	ses, err := s.engine.begin(ctx, false)
	if err != nil {
		return s.fault(ctx, err)
	}
	defer func() {
		if rerr := ses.rollback(); rerr != nil && err == nil {
			err = s.fault(ctx, rerr)
		}
	}()
	t := &tx{s: s, ses: ses, now: s.clock(), wakes: map[string]bool{}}
	if err := fn(ctx, t); err != nil {
		return s.fault(ctx, err)
	}
	return nil
}

// fault turns what a driver said into a fault. Faults pass unchanged.
func (s *Store) fault(ctx context.Context, err error) error {
	var f *threat.Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return err
	case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &threat.Fault{Kind: threat.Unavailable, What: "the call was given up before the database answered", Err: err}
	case errors.Is(err, sql.ErrNoRows):
		return &threat.Fault{Kind: threat.NotFound, What: "no such row", Err: err}
	}
	switch s.engine.fateOf(err) {
	case fateRetry:
		return &threat.Fault{Kind: threat.Unavailable, What: "the database is busy", Next: "try again",
			RetryAfter: time.Second, Err: err}
	case fateDown, fateLost:
		return &threat.Fault{Kind: threat.Unavailable, What: "the database cannot be written or reached",
			Next: "see that its disk has space and that it runs", RetryAfter: 5 * time.Second, Err: err}
	case fateUnique:
		return &threat.Fault{Kind: threat.Conflict, What: "one with the same key stands already", Err: err}
	case fateText:
		return &threat.Fault{Kind: threat.Invalid, What: "a text holds what the database cannot keep", Err: err}
	}
	return &threat.Fault{Kind: threat.Internal, What: "the store failed", Next: "see the log", Err: err}
}

// sortedIDs gives ids sorted and once each: the order in which locks are taken.
func sortedIDs(ids []uuid.UUID) []uuid.UUID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// micros is how a time stands in the tables: microseconds since 1970, UTC.
func micros(t time.Time) int64 { return t.UnixMicro() }

// fromMicros is the way back.
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// nullMicros is micros for a time that may be absent.
func nullMicros(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: micros(*t), Valid: true}
}

// fromNullMicros is the way back.
func fromNullMicros(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMicros(n.Int64)
	return &t
}

// jsonText is how a value stands in a TEXT column.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// fromJSON is the way back; an empty text leaves v as it is.
func fromJSON(text string, v any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), v)
}
