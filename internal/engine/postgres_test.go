package engine_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/threat"
)

// postgresEnv names the variable with the address of a PostgreSQL in which tests may make databases.
const postgresEnv = "FIREBREAK_TEST_POSTGRES"

// database makes a database with a user of its own whose name and password need escaping.
func database(t *testing.T) (address string, admin *pgx.Conn, name string) {
	t.Helper()
	given := os.Getenv(postgresEnv)
	if given == "" {
		t.Skipf("%s: %s names no PostgreSQL", t.Name(), postgresEnv)
	}
	admin, err := pgx.Connect(within(t), given)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close(context.Background())) })
	name = "firebreak_engine_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	user, password := name+"@/?#:", "a:b+c%&=/@"
	do := func(q string) {
		t.Helper()
		_, err := admin.Exec(within(t), q)
		require.NoError(t, err)
	}
	quoted := pgx.Identifier{user}.Sanitize()
	do(`CREATE ROLE ` + quoted + ` LOGIN CREATEDB PASSWORD '` + password + `'`)
	do(`CREATE DATABASE ` + name + ` OWNER ` + quoted)
	t.Cleanup(func() {
		for _, ending := range []string{"", "_temporal", "_temporal_visibility"} {
			do(`DROP DATABASE IF EXISTS ` + name + ending + ` WITH (FORCE)`)
		}
		do(`DROP ROLE ` + quoted)
	})
	u, err := url.Parse(given)
	require.NoError(t, err)
	u.User, u.Path = url.UserPassword(user, password), "/"+name
	return u.String(), admin, name
}

func TestPostgres(t *testing.T) {
	address, admin, name := database(t)
	e := start(t, engine.Options{PostgresURL: address})
	require.NoError(t, e.StartWorker(register))
	require.NoError(t, e.Healthy(within(t)))
	require.Equal(t, secretWord+" ok", said(t, tell(t, e, "w", "ok")))
	require.NotContains(t, history(t, e, "w"), secretWord)
	tell(t, e, "survives", "ok")

	_, err := engine.Start(within(t), engine.Options{PostgresURL: address, PayloadKey: payloadKey})
	require.Equal(t, threat.Conflict, threat.KindOf(err), err)
	require.ErrorContains(t, err, "--temporal-address")
	require.NoError(t, e.Healthy(within(t)), "the first goes on")

	// The lock's connection breaks; it is taken again.
	_, err = admin.Exec(within(t), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = $1)`, name)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, admin.QueryRow(within(t), `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = $1)`, name).Scan(&n))
		return n == 1
	}, patience, 50*time.Millisecond)
	require.NoError(t, e.Healthy(within(t)))

	require.NoError(t, e.Close(within(t)))
	e = start(t, engine.Options{PostgresURL: address}) // at once: the lock is free
	require.NoError(t, e.StartWorker(register))
	require.Equal(t, secretWord+" ok", said(t, e.Client().GetWorkflow(within(t), "survives", "")))
}

func TestPostgresThatCannotBeUsed(t *testing.T) {
	address, admin, name := database(t)
	_, err := admin.Exec(within(t), `ALTER ROLE `+pgx.Identifier{name + "@/?#:"}.Sanitize()+` NOCREATEDB`)
	require.NoError(t, err)
	_, err = engine.Start(within(t), engine.Options{PostgresURL: address, PayloadKey: payloadKey})
	require.Equal(t, threat.Forbidden, threat.KindOf(err), err)
	require.ErrorContains(t, err, name+"_temporal")

	for bad, kind := range map[string]threat.FaultKind{
		"postgres://u:hidden@127.0.0.1:1/x":              threat.Unavailable,
		"postgres://u:hidden@[::1/x":                     threat.Invalid,
		strings.Replace(address, "a%3A", "hidden%20", 1): threat.Unsupported,
	} {
		_, err := engine.Start(within(t), engine.Options{PostgresURL: bad, PayloadKey: payloadKey})
		require.Equal(t, kind, threat.KindOf(err), bad)
		require.NotContains(t, err.Error(), "hidden")
	}
}
