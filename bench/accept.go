package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/bench/figure"
	"github.com/firebreak/firebreak/internal/app"
	"github.com/firebreak/firebreak/internal/threat"
)

const (
	batchSize  = 500  // detections of a body
	bigFinding = 2000 // bytes: as many as a body of that many holds
)

// accepted measures detections a second in batches, into the store and through HTTP, beside a bare grouped insert of the same
// bytes. Nothing triages them meanwhile: the program is made and does not run.
func accepted(ctx context.Context, dir string, log *slog.Logger, rounds int) (out []figure.Figure, err error) {
	h := &house{probe: newProbe(), http: &http.Client{Timeout: time.Minute}}
	if h.app, err = app.New(ctx, app.Config{Data: filepath.Join(dir, "data"), KeyFile: filepath.Join(dir, "key"), Listen: "127.0.0.1:0",
		MetricsListen: "off", Temporal: app.Temporal{BasePort: housePorts}, Version: "bench", Log: log,
		Announce: func(string) {}}); err != nil {
		return nil, err
	}
	defer func() {
		if cerr := h.app.Close(context.WithoutCancel(ctx)); err == nil {
			err = cerr
		}
	}()
	h.store = h.app.Store()
	handler, err := h.app.Handler()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // ErrServerClosed
	defer server.Close()
	h.base = "http://" + l.Addr().String()
	s, err := h.site(ctx, threat.ModeCollaborate)
	if err != nil {
		return nil, err
	}
	db, err := openFloor(filepath.Join(dir, "floor.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY, raw BLOB NOT NULL)`); err != nil {
		return nil, err
	}
	one, err := newGrouped(ctx, db, 1)
	if err != nil {
		return nil, err
	}
	hundred, err := newGrouped(ctx, db, 100)
	if err != nil {
		return nil, err
	}
	same, err := newRowsFloor(ctx, filepath.Join(dir, "data", "firebreak.db"), dir)
	if err != nil {
		return nil, err
	}
	defer same.close()
	var inside, http []float64
	rate := func(to *[]float64, do func() error) error {
		began := time.Now()
		err := do()
		*to = append(*to, batchSize/time.Since(began).Seconds())
		return err
	}
	next := func() ([]json.RawMessage, []byte, error) {
		list := make([]json.RawMessage, batchSize)
		for i := range list {
			h.serial++
			list[i] = finding(h.serial, 4, bigFinding, fmt.Sprintf(`"evidences":[{"src_endpoint":{"ip":"45.9.%d.%d"},`+
				`"dst_endpoint":{"ip":"10.0.0.7"}}]`, h.serial/250%250, 1+h.serial%250))
		}
		b, err := json.Marshal(list)
		return list, b, err
	}
	for i := range rounds + 2 {
		list, _, err := next()
		if err != nil {
			return nil, err
		}
		for _, g := range []*grouped{one, hundred} {
			if err := rate(&g.rates, func() error { return g.insert(ctx, list) }); err != nil {
				return nil, err
			}
		}
		_, body, err := next()
		if err != nil {
			return nil, err
		}
		if err := rate(&inside, func() error {
			_, err := h.app.Ingest().AcceptOCSF(ctx, s.tenant.ID, "token:bench", body)
			return err
		}); err != nil {
			return nil, err
		}
		if err := same.repeat(ctx, s.tenant.ID); err != nil {
			return nil, err
		}
		if _, body, err = next(); err != nil {
			return nil, err
		}
		if err := rate(&http, func() error { return h.detect(ctx, s, body) }); err != nil {
			return nil, err
		}
		if err := same.pass(ctx, s.tenant.ID); err != nil {
			return nil, err
		}
		if i == 1 { // what was the first of its kind does not count
			one.rates, hundred.rates, same.rates, inside, http = nil, nil, nil, nil, nil
		}
	}
	in, through := figure.Quantile(inside, 0.5), figure.Quantile(http, 0.5)
	bare := figure.Quantile(one.rates, 0.5)
	name := fmt.Sprintf("detections accepted, batches of %d", batchSize)
	return []figure.Figure{
		figure.Against(name+", beside the raw bytes, a row a statement", "1/s", in, bare, figure.AtLeast(0.5)),
		figure.Against("... beside the raw bytes, 100 rows a statement", "1/s", in, figure.Quantile(hundred.rates, 0.5), nil),
		figure.Against("... beside the same rows and indexes, 100 rows a statement", "1/s", in, figure.Quantile(same.rates, 0.5), nil),
		figure.Against("the same through HTTP, beside the raw bytes, a row a statement", "1/s", through, bare, nil),
		figure.Plain("HTTP's part of a batch", "ms", 1000*batchSize*(1/through-1/in), nil),
	}, nil
}

// grouped is a bare insert of raw findings, a batch in one transaction: the floor.
type grouped struct {
	db    *sql.DB
	rows  int // of a statement
	st    *sql.Stmt
	rates []float64
}

func newGrouped(ctx context.Context, db *sql.DB, rows int) (*grouped, error) {
	st, err := db.PrepareContext(ctx, `INSERT INTO bare VALUES `+strings.TrimSuffix(strings.Repeat("(?,?),", rows), ","))
	return &grouped{db: db, rows: rows, st: st}, err
}

func (g *grouped) insert(ctx context.Context, list []json.RawMessage) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	st := tx.StmtContext(ctx, g.st)
	for len(list) > 0 {
		args := make([]any, 0, 2*g.rows)
		for _, raw := range list[:g.rows] {
			args = append(args, uuid.Must(uuid.NewV7()).String(), []byte(raw))
		}
		if _, err := st.ExecContext(ctx, args...); err != nil {
			return err
		}
		list = list[g.rows:]
	}
	return tx.Commit()
}
