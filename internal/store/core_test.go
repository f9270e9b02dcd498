package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// raw opens the same database beside the store, as somebody with access to its disk would.
func raw(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", address
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func run(t *testing.T, db *sql.DB, q string, args ...any) {
	t.Helper()
	res, err := db.Exec(q, args...)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.Positive(t, n, "the statement touched nothing: %s", q)
}

func note(org uuid.UUID, key string) threat.Entry {
	return threat.Entry{OrgID: org, Key: key, Kind: threat.EntryCaseNote, Actor: threat.SystemActor, Subject: "note:" + key,
		Payload: []byte(`{"text":"` + key + `"}`)}
}

func verified(t *testing.T, s *store.Store, heads ...store.Head) store.Report {
	t.Helper()
	r, err := s.Verify(context.Background(), heads)
	require.NoError(t, err)
	return r
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	ctx := context.Background()
	_, err := store.Open(ctx, store.Options{URL: "mysql://x", Keys: secret.Ephemeral()})
	require.True(t, threat.Is(err, threat.Invalid), err)
	_, err = store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.True(t, threat.Is(err, threat.Invalid), err)
	_, err = store.Open(ctx, store.Options{URL: "postgres://user:hunter2@127.0.0.1:1/none?connect_timeout=1", Keys: secret.Ephemeral()})
	require.True(t, threat.Is(err, threat.Unavailable), err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestOpenRefusesAnotherKeyFile(t *testing.T) {
	address, keys := storetest.URL(t), secret.Ephemeral()
	s := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	storetest.Tenant(t, s)
	_, err := store.Open(context.Background(), store.Options{URL: address, Keys: secret.Ephemeral()})
	require.True(t, threat.Is(err, threat.Invalid), err)
	again := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	require.True(t, verified(t, again).OK())
}

func TestOpenRefusesNewerTables(t *testing.T) {
	address := storetest.URL(t)
	keys := secret.Ephemeral()
	storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	run(t, raw(t, address), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	_, err := store.Open(context.Background(), store.Options{URL: address, Keys: keys})
	require.True(t, threat.Is(err, threat.Unsupported), err)
}

func TestSQLiteIsDurableAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data dir with ? and %", "firebreak.db")
	storetest.Open(t, storetest.WithURL("sqlite:"+path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = os.Stat(path + "-wal")
	require.NoError(t, err, "the file is in WAL mode")
}

func TestRotatedMasterKeyOpensEverything(t *testing.T) {
	ctx := context.Background()
	keyFile := filepath.Join(t.TempDir(), "key")
	keys, err := secret.Open(keyFile, "")
	require.NoError(t, err)
	address := storetest.URL(t)
	s := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	o := storetest.Tenant(t, s)
	require.NoError(t, s.PutSecret(ctx, o.ID, "pagerduty", []byte("s3cret"), "system"))
	heads, err := s.SignHeads(ctx)
	require.NoError(t, err)

	require.NoError(t, keys.Rotate())
	n, err := s.RewrapKeys(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, n, "provider and customer")
	require.NoError(t, keys.Forget())

	fresh, err := secret.Open(keyFile, "")
	require.NoError(t, err)
	again := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(fresh))
	value, err := again.Secret(ctx, o.ID, "pagerduty")
	require.NoError(t, err)
	require.Equal(t, "s3cret", string(value))
	require.Empty(t, verified(t, again, heads...).Problems, "heads signed before the rotation still hold")
}

func TestWriteIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	s := storetest.Open(t)
	o := storetest.Tenant(t, s)
	var woken []string
	s.OnWake(func(kind string) { woken = append(woken, kind) })

	before, err := s.Entries(ctx, o.ID, 0, 0)
	require.NoError(t, err)
	boom := errors.New("boom")
	err = s.AppendThenFail(ctx, note(o.ID, "lost"), boom)
	require.ErrorIs(t, err, boom)
	require.Equal(t, threat.Internal, threat.KindOf(err))
	after, err := s.Entries(ctx, o.ID, 0, 0)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Empty(t, woken, "nothing wakes for what was not committed")

	require.NoError(t, s.Wakeful(ctx, "case"))
	require.Equal(t, []string{"case"}, woken)

	err = s.AppendUnlocked(ctx, note(o.ID, "unlocked"))
	require.True(t, threat.Is(err, threat.Internal), err)
	_, err = s.Append(ctx, note(uuid.New(), "nobody"))
	require.True(t, threat.Is(err, threat.NotFound), err)

	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Append(gone, note(o.ID, "given up"))
	require.True(t, threat.Is(err, threat.Unavailable), err)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, verified(t, s).OK())
}

// A disk that is full is stood in for by SQLite's own limit on pages, which gives the same SQLITE_FULL.
func TestFullDiskIsUnavailableAndLosesNothing(t *testing.T) {
	if os.Getenv(storetest.StoreEnv) == "postgres" {
		return // PostgreSQL's disk_full is mapped in the same place, and cannot be made here
	}
	ctx := context.Background()
	s := storetest.Open(t)
	o := storetest.Tenant(t, s)
	require.NoError(t, s.LimitPages(ctx, 200))
	big := note(o.ID, "big")
	big.Payload = []byte(`"` + strings.Repeat("x", 200*4096) + `"`)
	for range 3 {
		_, err := s.Append(ctx, big)
		require.True(t, threat.Is(err, threat.Unavailable), err)
	}
	require.NoError(t, s.LimitPages(ctx, 1<<20))
	_, err := s.Append(ctx, big)
	require.NoError(t, err)
	require.Empty(t, verified(t, s).Problems)
}

func TestConcurrentAppendsLeaveNoGap(t *testing.T) {
	const stores, writers, each = 2, 8, 20
	ctx := context.Background()
	address, keys := storetest.URL(t), secret.Ephemeral()
	var all []*store.Store
	for range stores {
		all = append(all, storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys)))
	}
	a, b := storetest.Tenant(t, all[0]), storetest.Tenant(t, all[0])
	var wg sync.WaitGroup
	errs := make(chan error, stores*writers*each)
	for si, s := range all {
		for w := range writers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				org := a.ID
				if w%2 == 1 {
					org = b.ID
				}
				for i := range each {
					// Every second key is written by all: it must stand once.
					key := fmt.Sprintf("%d-%d-%d", si, w, i)
					if i%2 == 0 {
						key = fmt.Sprintf("shared-%d", i)
					}
					_, err := s.Append(ctx, note(org, key))
					errs <- err
				}
			}()
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Empty(t, verified(t, all[1]).Problems)
	for _, org := range []uuid.UUID{a.ID, b.ID} {
		es, err := all[0].Entries(ctx, org, 0, 0)
		require.NoError(t, err)
		notes := 0
		for i, e := range es {
			require.Equal(t, int64(i+1), e.Seq)
			if e.Kind == threat.EntryCaseNote {
				notes++
			}
		}
		require.Equal(t, stores*writers/2*each/2+each/2, notes)
	}
}

const (
	childURL  = "FIREBREAK_STORE_CHILD_URL"
	childKeys = "FIREBREAK_STORE_CHILD_KEYS"
	childOrg  = "FIREBREAK_STORE_CHILD_ORG"
	childName = "FIREBREAK_STORE_CHILD_NAME"
)

// TestAppendingChild is the process that TestKilledWhileAppending kills. It does nothing when run by itself.
func TestAppendingChild(t *testing.T) {
	address := os.Getenv(childURL)
	if address == "" {
		return
	}
	ctx := context.Background()
	keys, err := secret.Open(os.Getenv(childKeys), "")
	require.NoError(t, err)
	s, err := store.Open(ctx, store.Options{URL: address, Keys: keys})
	require.NoError(t, err)
	org := uuid.MustParse(os.Getenv(childOrg))
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				batch := []threat.Entry{note(org, fmt.Sprintf("%s-%d-%d-a", os.Getenv(childName), w, i)),
					note(org, fmt.Sprintf("%s-%d-%d-b", os.Getenv(childName), w, i))}
				out, _, err := s.AppendAll(ctx, org, batch)
				if err != nil {
					fmt.Println("fail", err)
					continue
				}
				fmt.Printf("ack %s %s\nack %s %s\n", out[0].Key, out[0].Hash, out[1].Key, out[1].Hash)
			}
		}()
	}
	time.Sleep(time.Minute) // until it is killed
}

func TestKilledWhileAppending(t *testing.T) {
	ctx := context.Background()
	address, keyFile := storetest.URL(t), filepath.Join(t.TempDir(), "key")
	keys, err := secret.Open(keyFile, "")
	require.NoError(t, err)
	first, err := store.Open(ctx, store.Options{URL: address, Keys: keys})
	require.NoError(t, err)
	org := storetest.Tenant(t, first).ID
	require.NoError(t, first.Close())

	acked := map[string]string{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAppendingChild$", "-test.v")
		cmd.Env = append(os.Environ(), childURL+"="+address, childKeys+"="+keyFile, childOrg+"="+org.String(),
			fmt.Sprintf("%s=round%d", childName, round))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines, n := bufio.NewScanner(out), 0
		for lines.Scan() {
			var key, hash string
			if _, err := fmt.Sscanf(lines.Text(), "ack %s %s", &key, &hash); err == nil && len(hash) == 64 {
				acked[key] = hash
				n++
			} else {
				require.NotContains(t, lines.Text(), "fail")
			}
			if n == 40+round*37 { // then it is killed in the middle of whatever it does
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait(), "the child was killed")

		s, err := store.Open(ctx, store.Options{URL: address, Keys: keys})
		require.NoError(t, err)
		require.Empty(t, verified(t, s).Problems)
		standing := map[string]string{}
		for after := int64(0); ; {
			es, err := s.Entries(ctx, org, after, 0)
			require.NoError(t, err)
			if len(es) == 0 {
				break
			}
			for _, e := range es {
				standing[e.Key] = e.Hash
				after = e.Seq
			}
		}
		for key, hash := range acked {
			require.Equal(t, hash, standing[key], "an acknowledged entry is there: %s", key)
		}
		for key := range standing { // a batch is there whole or not at all
			if base, ok := strings.CutSuffix(key, "-a"); ok {
				require.Contains(t, standing, base+"-b")
			}
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, len(acked), 200)
}
