//go:build e2e

package e2e

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for making databases
)

// Postgres is a real PostgreSQL of the test's own, on loopback, run by a user who is not root.
type Postgres struct {
	URL    string // of the database postgres, which anybody on this machine may use
	script string
	dir    string
	t      testing.TB
}

// StartPostgres starts a server with nothing in it, and removes it when the test ends.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); err != nil || len(found) == 0 {
		t.Skip("needs a PostgreSQL server (Debian: postgresql-15)")
	}
	dir, err := os.MkdirTemp("", "firebreak-postgres-") // not t.TempDir, into which another user cannot go
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{script: filepath.Join(checkout(t), ".ci", "postgres"), dir: dir, t: t}
	t.Cleanup(func() { p.run("remove") })
	p.Start()
	return p
}

// Start starts the server, anew after Halt: then on the same port and with the same data.
func (p *Postgres) Start() {
	p.t.Helper()
	p.URL = p.run("start")
}

// Halt ends the server at once, as a crash would.
func (p *Postgres) Halt() {
	p.t.Helper()
	p.run("halt")
}

// Database makes a database and gives its address.
func (p *Postgres) Database(name string) string {
	p.t.Helper()
	db, err := sql.Open("pgx", p.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(p.t.Context(), `CREATE DATABASE "`+strings.ReplaceAll(name, `"`, ``)+`"`); err != nil {
		p.t.Fatalf("PostgreSQL: %v", err)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func (p *Postgres) run(verb string) string {
	p.t.Helper()
	cmd := exec.Command(p.script, verb, p.dir)
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := err.(*exec.ExitError); ok {
			said = string(exit.Stderr)
		}
		p.t.Errorf("PostgreSQL, %s: %v: %s", verb, err, said)
	}
	return strings.TrimSpace(string(out))
}
