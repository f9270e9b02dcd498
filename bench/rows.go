package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// rowsFloor is the floor that writes what the program has written: the same rows into the same tables with the same
// indexes, a batch in one transaction, a hundred rows a statement.
type rowsFloor struct {
	from, to *sql.DB
	last     int64 // number of the journal's entry up to which rows were taken
	tables   []rowsTable
	rates    []float64
}

type rowsTable struct {
	columns int
	read    string // rows of a tenant behind an entry, in order
	insert  *sql.Stmt
}

const rowsAtOnce = 100

// newRowsFloor reads from the program's file and writes to one of its own.
func newRowsFloor(ctx context.Context, program, dir string) (*rowsFloor, error) {
	from, err := openFloor(program)
	if err != nil {
		return nil, err
	}
	to, err := openFloor(filepath.Join(dir, "rows.db"))
	if err != nil {
		return nil, err
	}
	f := &rowsFloor{from: from, to: to}
	if _, err := to.ExecContext(ctx, `PRAGMA foreign_keys = 0`); err != nil { // the organisations are not there
		return nil, err
	}
	for _, t := range []struct{ name, org, entry string }{{"journal", "org_id", "seq"}, {"journal_payloads", "org_id", "seq"},
		{"detections", "tenant_id", "entry"}} {
		if err := f.make(ctx, t.name); err != nil {
			return nil, err
		}
		columns, err := f.columns(ctx, t.name)
		if err != nil {
			return nil, err
		}
		list := strings.Join(columns, ", ")
		row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + "),"
		insert, err := to.PrepareContext(ctx, `INSERT INTO `+t.name+` (`+list+`) VALUES `+
			strings.TrimSuffix(strings.Repeat(row, rowsAtOnce), ","))
		if err != nil {
			return nil, err
		}
		f.tables = append(f.tables, rowsTable{columns: len(columns), insert: insert,
			read: `SELECT ` + list + ` FROM ` + t.name + ` WHERE ` + t.org + ` = ? AND ` + t.entry + ` > ? ORDER BY ` + t.entry})
	}
	return f, nil
}

// make makes a table and its indexes as they are in the program's file.
func (f *rowsFloor) make(ctx context.Context, table string) error {
	rows, err := f.from.QueryContext(ctx, `SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC`, table)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if _, err := f.to.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return rows.Err()
}

// columns gives a table's columns, without the one that counts by itself.
func (f *rowsFloor) columns(ctx context.Context, table string) (out []string, err error) {
	rows, err := f.from.QueryContext(ctx, `SELECT name FROM pragma_table_info(?) WHERE name <> 'arrival'`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

// repeat writes what the program has written for a tenant since the last time, and notes how long that took.
func (f *rowsFloor) repeat(ctx context.Context, tenant uuid.UUID) error {
	var args [][]any
	for _, t := range f.tables {
		list, err := f.read(ctx, t, tenant)
		if err != nil {
			return err
		}
		args = append(args, list)
	}
	began := time.Now()
	tx, err := f.to.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	for i, t := range f.tables {
		st := tx.StmtContext(ctx, t.insert)
		for list := args[i]; len(list) >= rowsAtOnce*t.columns; list = list[rowsAtOnce*t.columns:] {
			if _, err := st.ExecContext(ctx, list[:rowsAtOnce*t.columns]...); err != nil {
				return err
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	f.rates = append(f.rates, batchSize/time.Since(began).Seconds())
	return f.pass(ctx, tenant)
}

// pass leaves out what the program has written up to now.
func (f *rowsFloor) pass(ctx context.Context, tenant uuid.UUID) error {
	return f.from.QueryRowContext(ctx, `SELECT seq FROM journal_heads WHERE org_id = ?`, tenant.String()).Scan(&f.last)
}

func (f *rowsFloor) close() { _, _ = f.from.Close(), f.to.Close() }

func (f *rowsFloor) read(ctx context.Context, t rowsTable, tenant uuid.UUID) (out []any, err error) {
	rows, err := f.from.QueryContext(ctx, t.read, tenant.String(), f.last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row := make([]any, t.columns)
		into := make([]any, t.columns)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, row...)
	}
	if err == nil && len(out) < batchSize*t.columns {
		err = fmt.Errorf("only %d rows were found to repeat", len(out)/t.columns)
	}
	return out, errors.Join(err, rows.Err())
}
