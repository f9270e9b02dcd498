package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/worker"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/firebreak/firebreak/internal/engine"
)

// bare is the floor: a program that decides nothing and keeps nothing, and has for each case the same HTTP call, the same
// commits in the same places (of one row each), the same workflows, nudges, local activities and activities as the program
// (see tally), over the same embedded engine and the same settings of SQLite.
type bare struct {
	engine *engine.Engine
	db     *sql.DB
	insert *sql.Stmt
	http   *http.Client
	server *http.Server
	base   string
	stop   context.CancelFunc
	ended  sync.WaitGroup

	received chan []uuid.UUID
	outbox   *bareOutbox

	mu    sync.Mutex
	state map[uuid.UUID]*bareCase // by the ids of all three workflows
	told  map[uuid.UUID]chan time.Time
	asked map[uuid.UUID]bool // cases that wait for a click, by case
	cases int
	all   int // workflows

	committed atomic.Int64
	counted   []*bareCase // while it is counted, the cases of this count
}

// kinds of bare cases.
const (
	bareAuthorize = "authorize"
	bareAsk       = "ask"
	bareMurmur    = "murmur"
)

// bareCase is one, with its workflows.
type bareCase struct {
	kind                         string
	id, response, escalation     uuid.UUID
	caseSteps, responseSteps     int
	escalationSteps              int
	clicked, acted, sent, called bool
}

// bareBody is a row of a usual size.
var bareBody = strings.Repeat("0123456789abcdef", 40)

func openBare(ctx context.Context, dir string, log *slog.Logger) (*bare, error) {
	b := &bare{http: &http.Client{Timeout: time.Minute}, received: make(chan []uuid.UUID, 1000), state: map[uuid.UUID]*bareCase{},
		told: map[uuid.UUID]chan time.Time{}, asked: map[uuid.UUID]bool{}}
	var err error
	if b.db, err = openFloor(filepath.Join(dir, "bare.db")); err != nil {
		return nil, err
	}
	if _, err := b.db.ExecContext(ctx, `CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)`); err != nil {
		return nil, err
	}
	if b.insert, err = b.db.PrepareContext(ctx, `INSERT INTO bare (id, body) VALUES (?, ?)`); err != nil {
		return nil, err
	}
	if b.engine, err = engine.Start(ctx, engine.Options{SQLitePath: filepath.Join(dir, "temporal.db"), Ports: engine.Ports{Base: barePorts},
		PayloadKey: bytes.Repeat([]byte{7}, 32), Log: log}); err != nil {
		return nil, err
	}
	if err := b.engine.StartWorker(b.register); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.base = "http://" + l.Addr().String()
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: time.Minute}
	run, stop := context.WithCancel(ctx)
	b.stop = stop
	b.outbox = newBareOutbox(b)
	b.ended.Go(func() { _ = b.server.Serve(l) }) // ErrServerClosed
	for range 4 {
		b.ended.Go(func() { b.ingest(run) })
	}
	b.ended.Go(func() { b.outbox.run(run) })
	return b, nil
}

// openFloor opens a file with the store's settings of SQLite, and one connection.
func openFloor(path string) (*sql.DB, error) {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"wal_autocheckpoint(4000)", "cache_size(-32000)", "temp_store(MEMORY)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func (b *bare) close(ctx context.Context) error {
	b.stop()
	err := b.server.Close()
	b.ended.Wait()
	if cerr := b.engine.Close(ctx); err == nil {
		err = cerr
	}
	if cerr := b.db.Close(); err == nil {
		err = cerr
	}
	return err
}

// commit is one transaction of one row.
func (b *bare) commit(ctx context.Context) error {
	b.committed.Add(1)
	_, err := b.insert.ExecContext(ctx, uuid.Must(uuid.NewV7()).String(), bareBody)
	return err
}

func (b *bare) commits(ctx context.Context, n int) error {
	for range n {
		if err := b.commit(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serve takes cases in, by the kind in the path and the ids in the query, and clicks.
func (b *bare) serve(w http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body)
	if err == nil {
		err = b.commit(r.Context())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var ids []uuid.UUID
	for _, s := range strings.Split(r.URL.Query().Get("ids"), ",") {
		ids = append(ids, uuid.MustParse(s))
	}
	if r.URL.Path == "/click" {
		c := b.of(ids[0])
		b.mu.Lock()
		c.clicked = true
		delete(b.asked, c.id)
		b.mu.Unlock()
		b.outbox.nudge(nudgeResponse, c.response)
		b.outbox.nudge(nudgeCase, c.id)
		b.outbox.nudge(nudgeEscalation, c.escalation)
	} else {
		b.received <- ids
	}
	w.WriteHeader(http.StatusAccepted)
}

// ingest has each case triaged and assigned: a lease for all, and two commits each.
func (b *bare) ingest(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case ids := <-b.received:
			const leased = 32
			for i, id := range ids {
				n := 2
				if i%leased == 0 {
					n = 3
				}
				if b.commits(ctx, n) != nil {
					return // it ends
				}
				b.outbox.nudge(nudgeCase, id)
			}
		}
	}
}

func (b *bare) of(id uuid.UUID) *bareCase {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state[id]
}

// add makes a bare case of a kind that has not come in yet.
func (b *bare) add(kind string) *bareCase {
	c := &bareCase{kind: kind, id: uuid.Must(uuid.NewV7()), response: uuid.Must(uuid.NewV7()), escalation: uuid.Must(uuid.NewV7())}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counted = append(b.counted, c)
	b.state[c.id], b.state[c.response], b.state[c.escalation] = c, c, c
	b.cases++
	b.all++
	if kind != bareMurmur {
		b.all += 2
	}
	return c
}

func (b *bare) send(ctx context.Context, path string, n int, ids ...uuid.UUID) error {
	var list []string
	for _, id := range ids {
		list = append(list, id.String())
	}
	body := bytes.Repeat([]byte(bareBody), 2*n)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+"/"+path+"?ids="+strings.Join(list, ","), bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := b.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the floor answers %s", answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (b *bare) expect(response uuid.UUID) <-chan time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan time.Time, 1)
	b.told[response] = c
	return c
}

func (b *bare) call(response uuid.UUID) {
	at := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.told[response]; ok {
		c <- at
		delete(b.told, response)
	}
}

func (b *bare) posts(ctx context.Context, n int) ([]time.Duration, error) {
	var out []time.Duration
	for range n {
		c := b.add(bareAuthorize)
		told := b.expect(c.response)
		took, err := b.timed(ctx, told, func() error { return b.send(ctx, "detections", 1, c.id) })
		if err != nil {
			return nil, err
		}
		out = append(out, took)
	}
	return out, nil
}

// timed measures from a send to the call, and waits for quiet.
func (b *bare) timed(ctx context.Context, told <-chan time.Time, send func() error) (time.Duration, error) {
	began := time.Now()
	if err := send(); err != nil {
		return 0, err
	}
	at, err := until(ctx, told)
	if err != nil {
		return 0, err
	}
	return at.Sub(began), b.idle(ctx)
}

func (b *bare) clicks(ctx context.Context, n int) ([]time.Duration, error) {
	cases, err := b.ask(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := b.idle(ctx); err != nil {
		return nil, err
	}
	return b.approve(ctx, cases)
}

func (b *bare) approve(ctx context.Context, cases []*bareCase) ([]time.Duration, error) {
	var out []time.Duration
	for _, c := range cases {
		told := b.expect(c.response)
		worker.PurgeStickyWorkflowCache()
		took, err := b.timed(ctx, told, func() error { return b.send(ctx, "click", 1, c.id) })
		if err != nil {
			return nil, err
		}
		out = append(out, took)
	}
	return out, nil
}

// ask has cases ask, and waits until each does and no nudge is left.
func (b *bare) ask(ctx context.Context, n int) ([]*bareCase, error) {
	var cases []*bareCase
	var ids []uuid.UUID
	for range n {
		c := b.add(bareAsk)
		cases, ids = append(cases, c), append(ids, c.id)
	}
	for from := 0; from < n; from += (n + 3) / 4 {
		part := ids[from:min(n, from+(n+3)/4)]
		if err := b.send(ctx, "detections", len(part), part...); err != nil {
			return nil, err
		}
	}
	return cases, poll(ctx, "bare cases that ask", func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, id := range ids {
			if !b.asked[id] {
				return false, nil
			}
		}
		return b.outbox.empty(), nil
	})
}

func (b *bare) burst(ctx context.Context, n int) (float64, error) {
	began := time.Now()
	_, err := b.ask(ctx, n)
	return float64(n) / time.Since(began).Seconds(), err
}

func (b *bare) open(ctx context.Context, n int) (int, error) {
	b.mu.Lock()
	have := b.cases
	b.mu.Unlock()
	for have < n {
		var cases []*bareCase
		var ids []uuid.UUID
		for range min(n-have, openAtOnce) {
			c := b.add(bareMurmur)
			cases, ids = append(cases, c), append(ids, c.id)
		}
		if err := b.send(ctx, "detections", len(ids), ids...); err != nil {
			return have, err
		}
		if err := poll(ctx, "bare cases that wait", func() (bool, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, c := range cases {
				if c.caseSteps == 0 {
					return false, nil
				}
			}
			return b.outbox.empty(), nil
		}); err != nil {
			return have, err
		}
		have += len(ids)
	}
	return have, b.idle(ctx)
}

func (b *bare) workflows(context.Context) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all, nil
}

func (b *bare) idle(ctx context.Context) error {
	calm := 0
	return poll(ctx, "quiet", func() (bool, error) {
		if calm++; !b.outbox.empty() {
			calm = 0
		}
		return calm >= calmPolls, nil
	})
}
