package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql" // the plugin "postgres12_pgx"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	postgresPlugin = "postgres12_pgx"
	mainEnding     = "_temporal"
	visibleEnding  = "_temporal_visibility"
	// postgresConns is for each pool. The server has one for each of its five parts and two databases, most of which idle.
	postgresConns = 6
	// lockKey is an advisory lock of the database that was named to us: "firebreak Temporal" has one holder.
	lockKey     = 0x66625f74656d70
	lockRecheck = 5 * time.Second
)

// postgresStores gives the stores on two databases beside the one that is named, which it makes and brings up to date.
// The lock is held.
func postgresStores(ctx context.Context, address string) (config.Persistence, error) {
	conf, err := pgx.ParseConfig(address)
	if err != nil {
		return config.Persistence{}, unreadable()
	}
	if strings.ContainsAny(conf.User+conf.Password, " \t") || strings.ContainsAny(conf.Database, " \t?#%/") {
		return config.Persistence{}, &threat.Fault{Kind: threat.Unsupported, Place: "--database-url",
			What: "Temporal cannot be told a user or password with a space, or a database with one of space ? # % /",
			Next: "use others, or name an outside Temporal with --temporal-address"}
	}
	stores := config.Persistence{
		DefaultStore:     "main",
		VisibilityStore:  "visibility",
		NumHistoryShards: shards,
		DataStores: map[string]config.DataStore{
			"main":       {SQL: sqlConfig(address, conf, conf.Database+mainEnding)},
			"visibility": {SQL: sqlConfig(address, conf, conf.Database+visibleEnding)},
		},
	}
	for store, dir := range map[string]string{"main": "postgresql/v12/temporal", "visibility": "postgresql/v12/visibility"} {
		c := stores.DataStores[store].SQL
		if err := makeDatabase(ctx, conf, c.DatabaseName); err != nil {
			return config.Persistence{}, err
		}
		if err := bringUpToDate(c, dir); err != nil {
			return config.Persistence{}, &threat.Fault{Kind: threat.Unavailable, Err: err,
				What: "Temporal's database " + threat.Inert(c.DatabaseName, 80) + " cannot be brought up to date",
				Next: "see that our user owns it, or name an outside Temporal with --temporal-address"}
		}
	}
	return stores, nil
}

// sqlConfig tells the server's plugin the way to a database. Everything goes into the attributes, since the plugin would
// write user and database into an address without escaping them.
func sqlConfig(address string, conf *pgx.ConnConfig, database string) *config.SQL {
	attributes := map[string]string{"sslmode": os.Getenv("PGSSLMODE")}
	if u, err := url.Parse(address); err == nil {
		for k, v := range u.Query() {
			if !strings.HasPrefix(k, "pool_") { // of pgx's own pool
				attributes[k] = v[0]
			}
		}
	}
	if attributes["sslmode"] == "" {
		attributes["sslmode"] = "prefer" // as PostgreSQL's own clients do; the plugin would turn it off
	}
	hosts, ports := []string{conf.Host}, []string{strconv.Itoa(int(conf.Port))}
	for _, f := range conf.Fallbacks {
		if f.Host != hosts[len(hosts)-1] || strconv.Itoa(int(f.Port)) != ports[len(ports)-1] {
			hosts, ports = append(hosts, f.Host), append(ports, strconv.Itoa(int(f.Port)))
		}
	}
	attributes["host"], attributes["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	attributes["user"], attributes["password"], attributes["database"] = conf.User, conf.Password, database
	return &config.SQL{
		PluginName:        postgresPlugin,
		ConnectAddr:       "localhost:5432", // the attributes say otherwise
		DatabaseName:      database,
		ConnectAttributes: attributes,
		MaxConns:          postgresConns,
		MaxIdleConns:      postgresConns,
		MaxConnLifetime:   time.Hour,
	}
}

func makeDatabase(ctx context.Context, conf *pgx.ConnConfig, name string) error {
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return away(err)
	}
	defer conn.Close(ctx)
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil {
		return away(err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()); err != nil {
		return &threat.Fault{Kind: threat.Forbidden, Err: err,
			What: "Temporal's database " + threat.Inert(name, 80) + " cannot be made",
			Next: "make it, owned by our user, or name an outside Temporal with --temporal-address"}
	}
	return nil
}

// bringUpToDate makes the tables and applies what this version of the server adds; with nothing to do it does nothing.
func bringUpToDate(conf *config.SQL, dir string) (err error) {
	defer recoverFatal(&err)
	db, err := sqltool.NewConnection(conf, log.NewNoopLogger())
	if err != nil {
		return err
	}
	defer db.Close()
	quiet := log.NewNoopLogger()
	if err := schema.NewSetupSchemaTask(db, &schema.SetupConfig{InitialVersion: "0.0"}, quiet).Run(); err != nil {
		return err
	}
	return schema.NewUpdateSchemaTask(db, &schema.UpdateConfig{DBName: conf.DatabaseName, SchemaName: dir}, quiet).Run()
}

// unreadable is the fault of an address. The cause would repeat it, with its password.
func unreadable() error {
	return &threat.Fault{Kind: threat.Invalid, What: "the database address cannot be read", Place: "--database-url"}
}

// away is the fault of a PostgreSQL that does not answer. The cause may hold the address; it is for logs only.
func away(err error) error {
	return &threat.Fault{Kind: threat.Unavailable, What: "PostgreSQL cannot be reached for Temporal",
		Place: "--database-url", Err: err}
}

// lock is the advisory lock that keeps a second embedded server off the same databases. It lives as long as its connection,
// so a connection that breaks is made anew.
type lock struct {
	conf *pgx.ConnConfig
	stop context.CancelFunc
	done chan struct{}

	mu  sync.Mutex
	err error // why it is not held now
}

// acquire takes the lock, or gives Conflict when another process has it.
func acquire(ctx context.Context, address string) (*lock, error) {
	conf, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, unreadable()
	}
	l := &lock{conf: conf, done: make(chan struct{})}
	conn, err := l.take(ctx)
	if err != nil {
		return nil, err
	}
	keep, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.keep(keep, conn)
	return l, nil
}

func (l *lock) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, l.conf)
	if err != nil {
		return nil, away(err)
	}
	var got bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&got); err != nil {
		return nil, errors.Join(away(err), conn.Close(ctx))
	}
	if !got {
		_ = conn.Close(ctx) // only a read went over it
		return nil, &threat.Fault{Kind: threat.Conflict, What: "another process runs Temporal on this database",
			Next: "give --temporal-address, so that both use one Temporal"}
	}
	return conn, nil
}

// keep looks after the connection until ctx ends.
func (l *lock) keep(ctx context.Context, conn *pgx.Conn) {
	defer close(l.done)
	tick := time.NewTicker(lockRecheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if conn != nil {
				_ = conn.Close(context.Background()) // the lock goes with the connection in any case
			}
			return
		case <-tick.C:
		}
		try, cancel := context.WithTimeout(ctx, lockRecheck)
		var err error
		if conn != nil {
			if err = conn.Ping(try); err != nil {
				_ = conn.Close(try) // it is broken
				conn = nil
			}
		}
		if conn == nil {
			conn, err = l.take(try)
		}
		cancel()
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
	}
}

// held gives nil, or why the lock is not held: the server goes on, since its shards are fenced in the database, but two of
// them would take the shards from one another.
func (l *lock) held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("the lock of the embedded Temporal: %w", l.err)
	}
	return nil
}

func (l *lock) release() {
	l.stop()
	<-l.done
}
