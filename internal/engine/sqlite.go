package engine

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	dbschemas "go.temporal.io/server/schema"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/firebreak/firebreak/internal/threat"
)

// asideEnding is added to the name of a file that this version of the server cannot read.
const asideEnding = ".aside"

// starts makes each start's settings unlike the ones before: the server never closes a connection, and would take up the
// old one to a file that may have been replaced.
var starts atomic.Int64

// sqliteStores gives the stores on a file, which it makes when there is none that this server can read.
func sqliteStores(path string, log *slog.Logger) (config.Persistence, error) {
	fail := func(err error) (config.Persistence, error) {
		return config.Persistence{}, threat.Faultf(threat.Unavailable, "Temporal's file cannot be made ready: %w", err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	conf := &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: (&url.URL{Path: path}).EscapedPath(),
		MaxConns:     1, // four are half as fast
		MaxIdleConns: 1,
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  "full",
			"busy_timeout": strconv.FormatInt(10_000+starts.Add(1), 10),
		},
	}
	schema, err := schemaDigest()
	if err != nil {
		return fail(err)
	}
	written, err := markOf(path)
	if err != nil {
		return fail(err)
	}
	if written != schema {
		if err := setAside(path, log); err != nil {
			return fail(err)
		}
		if err := create(path, conf, schema); err != nil {
			return fail(err)
		}
	}
	return config.Persistence{
		DefaultStore:     "sqlite",
		VisibilityStore:  "sqlite",
		NumHistoryShards: shards,
		DataStores:       map[string]config.DataStore{"sqlite": {SQL: conf}},
	}, nil
}

// schemaDigest names the tables that this server expects.
func schemaDigest() (string, error) {
	h := sha256.New()
	for _, name := range []string{"sqlite/v3/temporal/schema.sql", "sqlite/v3/visibility/schema.sql"} {
		text, err := fs.ReadFile(dbschemas.Assets(), name)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// The mark is written last, so that a file that was left half made is not taken for a whole one.
const markTable = "firebreak_schema"

// markOf gives the digest that a file was made under, or "" for none, for one that lacks it, and for what is no database.
func markOf(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw")
	if err != nil {
		return "", err
	}
	defer db.Close()
	var digest string
	if err := db.QueryRow(`SELECT digest FROM ` + markTable).Scan(&digest); err != nil {
		return "", nil // whatever it is, this server cannot read it
	}
	return digest, nil
}

// setAside keeps a file that cannot be read under another name, in place of the last such one.
func setAside(path string, log *slog.Logger) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil {
		log.Warn("Temporal's file was written by another version and is set aside; its workflows are started anew from the store",
			"file", path, "kept", path+asideEnding)
	}
	for _, ending := range []string{"", "-wal", "-shm"} {
		if e := os.Rename(path+ending, path+asideEnding+ending); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func create(path string, conf *config.SQL, schema string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := sqliteschema.SetupSchema(conf); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+conf.DatabaseName+"?mode=rw&_pragma=busy_timeout=10000&_pragma=synchronous=full")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(context.Background(), `CREATE TABLE `+markTable+` AS SELECT ?1 AS digest`, schema)
	return errors.Join(err, db.Close())
}
