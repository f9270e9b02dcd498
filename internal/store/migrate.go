package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/firebreak/firebreak/internal/threat"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Placeholders that migrations may use; each dialect replaces them:
//
//	{{blob}}       bytes
//	{{serial}}     the whole definition of a primary key that counts up by itself
//	{{clustered}}  after the closing bracket of a table whose primary key is its order on disk
var placeholders = []string{"{{blob}}", "{{serial}}", "{{clustered}}"}

// migrate runs every file of migrations/ that the database has not seen, in the order of their numbers. words replaces
// the placeholders in their order.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, words []string, opts ...goose.ProviderOption) error {
	var pairs []string
	for i, p := range placeholders {
		pairs = append(pairs, p, words[i])
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	opts = append(opts, goose.WithDisableGlobalRegistry(true))
	p, err := goose.NewProvider(dialect, db, dialectFS{sub, strings.NewReplacer(pairs...)}, opts...)
	if err != nil {
		return threat.Faultf(threat.Internal, "the migrations cannot be read: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return threat.Faultf(threat.Unavailable, "the tables cannot be brought up to date: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return &threat.Fault{Kind: threat.Unsupported, What: "the database was written by a newer Firebreak",
			Next: "start that version, or restore a backup made before the upgrade"}
	}
	return nil
}

// dialectFS is the migrations with their placeholders replaced.
type dialectFS struct {
	fs.FS
	words *strings.Replacer
}

// Open gives a file in the dialect's words.
func (d dialectFS) Open(name string) (fs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	out := []byte(d.words.Replace(string(text)))
	return &dialectFile{Reader: bytes.NewReader(out), name: name, size: int64(len(out))}, nil
}

// dialectFile is one migration in memory.
type dialectFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *dialectFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *dialectFile) Close() error               { return nil }
func (f *dialectFile) Name() string               { return f.name }
func (f *dialectFile) Size() int64                { return f.size }
func (f *dialectFile) Mode() fs.FileMode          { return 0o444 }
func (f *dialectFile) ModTime() time.Time         { return time.Time{} }
func (f *dialectFile) IsDir() bool                { return false }
func (f *dialectFile) Sys() any                   { return nil }
