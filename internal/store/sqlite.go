package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/firebreak/firebreak/internal/threat"
)

// sqliteReaders is how many snapshots may be read at once beside the one writer.
const sqliteReaders = 4

// sqliteEngine is one file in WAL mode: one connection writes, a few read snapshots beside it. Statements are prepared
// once a connection.
type sqliteEngine struct {
	db      *sql.DB
	writer  chan *preparedConn // holds the one writer while it is free
	readers chan *preparedConn
	closed  chan struct{}
	once    sync.Once
	bound   sync.Map // SQL with ?1 -> SQL with ? where that is the same
}

// openSQLite opens or makes the file. Full synchronisation: what was committed survives the loss of power.
func openSQLite(ctx context.Context, path string) (engine, error) {
	if path == "" {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "no path of a database file", Place: "--database-url"}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, threat.Faultf(threat.Unavailable, "the data directory cannot be made: %w", err)
	}
	// SQLite would make the file readable for everybody; it holds customers' data.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, threat.Faultf(threat.Unavailable, "the database file cannot be opened: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"wal_autocheckpoint(4000)", "cache_size(-32000)", "temp_store(MEMORY)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1 + sqliteReaders + 1) // one more for migrations and scrubbing
	db.SetMaxIdleConns(1 + sqliteReaders + 1)
	e := &sqliteEngine{db: db, writer: make(chan *preparedConn, 1), readers: make(chan *preparedConn, sqliteReaders),
		closed: make(chan struct{})}
	if err := migrate(ctx, db, goose.DialectSQLite3,
		[]string{"BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT", "WITHOUT ROWID"}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e.writer <- &preparedConn{db: db}
	for range sqliteReaders {
		e.readers <- &preparedConn{db: db, readOnly: true}
	}
	return e, nil
}

func (e *sqliteEngine) begin(ctx context.Context, write bool) (session, error) {
	pool, word := e.readers, "BEGIN"
	if write {
		pool, word = e.writer, "BEGIN IMMEDIATE"
	}
	select {
	case c := <-pool:
		ses := &sqliteSession{c: c, pool: pool}
		if err := c.open(); err != nil {
			ses.giveBack()
			return nil, err
		}
		if _, err := c.exec(ctx, word, nil); err != nil {
			ses.giveBack()
			return nil, err
		}
		return ses, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.closed:
		return nil, sql.ErrConnDone
	}
}

// rebind leaves out the numbers of parameters that stand in their order. SQLite reads ?1 itself, but looks for the name of
// each numbered parameter among all of the statement's, which for a thousand of them takes longer than the insert.
func (e *sqliteEngine) rebind(q string) string {
	if b, ok := e.bound.Load(q); ok {
		return b.(string)
	}
	b := q
	inOrder := true
	for i, m := range numbered.FindAllStringSubmatch(q, -1) {
		inOrder = inOrder && m[1] == strconv.Itoa(i+1)
	}
	if inOrder {
		b = numbered.ReplaceAllString(q, "?")
	}
	got, _ := e.bound.LoadOrStore(q, b)
	return got.(string)
}

func (e *sqliteEngine) forUpdate() string { return "" } // BEGIN IMMEDIATE has the whole file

// scrub empties the write-ahead log, in which old pages stay otherwise. It needs no reader beside it to succeed whole.
func (e *sqliteEngine) scrub(ctx context.Context) error {
	var busy, log, moved int
	if err := e.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("a reader holds the write-ahead log")
	}
	return nil
}

func (e *sqliteEngine) close() error {
	var err error
	e.once.Do(func() {
		close(e.closed)
		deadline := time.After(10 * time.Second)
		for _, pool := range []chan *preparedConn{e.writer, e.readers} {
			for range cap(pool) {
				select {
				case c := <-pool:
					err = errors.Join(err, c.drop(false))
				case <-deadline:
					err = errors.Join(err, errors.New("a transaction still runs"))
				}
			}
		}
		err = errors.Join(err, e.db.Close())
	})
	return err
}

func (e *sqliteEngine) fateOf(err error) fate {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		if errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
			return fateDown
		}
		return fateOther
	}
	switch se.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fateUnique
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fateRetry
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fateDown
	}
	return fateOther
}

// preparedConn is one connection with the statements that were prepared on it. One goroutine has it at a time.
type preparedConn struct {
	db       *sql.DB
	readOnly bool
	conn     *sql.Conn
	stmts    map[string]*sql.Stmt
}

// maxPrepared bounds the statements kept; texts differ only in the number of rows, so that it is not reached in practice.
const maxPrepared = 500

func (c *preparedConn) open() error {
	if c.conn != nil {
		return nil
	}
	conn, err := c.db.Conn(context.Background())
	if err != nil {
		return err
	}
	if c.readOnly {
		if _, err := conn.ExecContext(context.Background(), "PRAGMA query_only=ON"); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	c.conn, c.stmts = conn, map[string]*sql.Stmt{}
	return nil
}

// drop closes the connection; bad has the pool forget it as well, because its transaction's state is not known.
func (c *preparedConn) drop(bad bool) error {
	if c.conn == nil {
		return nil
	}
	var err error
	for _, st := range c.stmts {
		err = errors.Join(err, st.Close())
	}
	if bad {
		// The driver's own words for "do not use this connection again": Raw then closes it, and says so.
		if rerr := c.conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(rerr, driver.ErrBadConn) {
			err = errors.Join(err, rerr)
		}
	} else {
		err = errors.Join(err, c.conn.Close())
	}
	c.conn, c.stmts = nil, nil
	return err
}

func (c *preparedConn) prepared(q string) (*sql.Stmt, error) {
	if st, ok := c.stmts[q]; ok {
		return st, nil
	}
	st, err := c.conn.PrepareContext(context.Background(), q)
	if err != nil {
		return nil, err
	}
	if len(c.stmts) >= maxPrepared {
		for k, old := range c.stmts {
			if err := old.Close(); err != nil {
				return nil, err
			}
			delete(c.stmts, k)
		}
	}
	c.stmts[q] = st
	return st, nil
}

// exec runs a statement. The caller's context is looked at beforehand only: statements are short, and one that is
// interrupted half-way leaves a transaction whose state must be guessed.
func (c *preparedConn) exec(ctx context.Context, q string, args []any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := c.prepared(q)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

// sqliteSession is a transaction on a connection that goes back to its pool at the end.
type sqliteSession struct {
	c    *preparedConn
	pool chan *preparedConn
	over bool
}

func (s *sqliteSession) exec(ctx context.Context, q string, args []any) (sql.Result, error) {
	return s.c.exec(ctx, q, args)
}

func (s *sqliteSession) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := s.c.prepared(q)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (s *sqliteSession) row(ctx context.Context, q string, args []any) *sql.Row {
	st, err := s.c.prepared(q)
	if err != nil || ctx.Err() != nil {
		return s.c.conn.QueryRowContext(ctx, q, args...) // carries the error to Scan
	}
	return st.QueryRowContext(context.Background(), args...)
}

func (s *sqliteSession) commit() error {
	_, err := s.c.exec(context.Background(), "COMMIT", nil)
	if err != nil {
		return errors.Join(err, s.rollback())
	}
	s.giveBack()
	return nil
}

func (s *sqliteSession) rollback() error {
	if s.over {
		return nil
	}
	defer s.giveBack()
	_, err := s.c.exec(context.Background(), "ROLLBACK", nil)
	if err == nil {
		return nil
	}
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code() == sqlite3.SQLITE_ERROR {
		return nil // SQLite has rolled back by itself, as it does when the disk is full
	}
	return errors.Join(fmt.Errorf("roll back: %w", err), s.c.drop(true))
}

func (s *sqliteSession) giveBack() {
	s.over = true
	s.pool <- s.c
}
