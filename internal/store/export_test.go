package store

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// AppendAll is appendAll in a transaction of its own, for tests.
func (s *Store) AppendAll(ctx context.Context, org uuid.UUID, es []threat.Entry) (out []threat.Entry, firsts []bool, err error) {
	err = s.write(ctx, []uuid.UUID{org}, func(ctx context.Context, t *tx) (err error) {
		out, firsts, err = t.appendAll(ctx, es)
		return err
	})
	return out, firsts, err
}

// AppendThenFail appends in a transaction that fails with err, for tests.
func (s *Store) AppendThenFail(ctx context.Context, e threat.Entry, fail error) error {
	return s.write(ctx, []uuid.UUID{e.OrgID}, func(ctx context.Context, t *tx) error {
		if _, _, err := t.append(ctx, e); err != nil {
			return err
		}
		t.wake("case")
		return fail
	})
}

// AppendUnlocked appends without the lock of the entry's organisation, for tests.
func (s *Store) AppendUnlocked(ctx context.Context, e threat.Entry) error {
	return s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		_, _, err := t.append(ctx, e)
		return err
	})
}

// Wakeful commits a transaction that wakes a kind, for tests.
func (s *Store) Wakeful(ctx context.Context, kind string) error {
	return s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		t.wake(kind)
		t.wake(kind)
		return nil
	})
}

// LimitPages bounds the SQLite file, so that it is full, for tests.
func (s *Store) LimitPages(ctx context.Context, n int) error {
	e := s.engine.(*sqliteEngine)
	c := <-e.writer
	defer func() { e.writer <- c }()
	if err := c.open(); err != nil {
		return err
	}
	_, err := c.conn.ExecContext(ctx, "PRAGMA max_page_count="+strconv.Itoa(n))
	return err
}
