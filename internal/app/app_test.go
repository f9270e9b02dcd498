package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/threat"
)

// lines keeps what was announced.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// config is that of a program of its own, on ports of its own.
func config(t *testing.T, said *lines) Config {
	t.Helper()
	dir := t.TempDir()
	return Config{Data: filepath.Join(dir, "data"), KeyFile: filepath.Join(dir, "key"), Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0",
		Temporal: Temporal{BasePort: -1}, Log: slog.New(slog.DiscardHandler), Announce: said.add, Version: "test"}
}

// run starts a program and gives what ends it.
func run(t *testing.T, c Config) (a *App, stop func()) {
	t.Helper()
	a, err := New(t.Context(), c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, a.Close(context.Background()))
		})
	}
	t.Cleanup(stop)
	require.Eventually(t, func() bool {
		r, err := http.Get(a.Base() + "/readyz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond)
	return a, stop
}

func TestStartServesAndStopDrains(t *testing.T) {
	said := &lines{}
	c := config(t, said)
	a, stop := run(t, c)
	require.Contains(t, said.text(), a.Base()+"/signin/")
	metrics, err := http.Get("http://" + a.metricsL.Addr().String() + "/metrics")
	require.NoError(t, err)
	body := new(bytes.Buffer)
	_, err = body.ReadFrom(metrics.Body)
	require.NoError(t, errors.Join(err, metrics.Body.Close()))
	require.Contains(t, body.String(), "firebreak_policy_stale 0")

	t.Run("another process on the same directory is refused", func(t *testing.T) {
		_, err := New(t.Context(), c)
		require.True(t, threat.Is(err, threat.Conflict), "%v", err)
		require.Contains(t, err.Error(), "another firebreak runs on this data directory")
	})
	t.Run("the journal holds which rules are in force", func(t *testing.T) {
		entries, err := a.store.Entries(t.Context(), a.root.ID, 0, 100)
		require.NoError(t, err)
		kinds := map[threat.EntryKind]json.RawMessage{}
		for _, e := range entries {
			kinds[e.Kind] = e.Payload
		}
		require.Contains(t, string(kinds[threat.EntryPolicy]), a.policy.Revision())
	})
	t.Run("a page stands in the provider's journal and on the console, once", func(t *testing.T) {
		a.pager.Page(t.Context(), "the test calls")
		a.pager.Page(t.Context(), "the test calls")
		require.Eventually(t, func() bool { return len(a.alarms(t.Context())) > 0 }, 10*time.Second, 10*time.Millisecond)
		require.Len(t, a.alarms(t.Context()), 1)
		require.Equal(t, "the test calls", a.alarms(t.Context())[0].What)
	})
	stop()
	_, err = http.Get(a.Base() + "/healthz")
	require.Error(t, err, "nothing listens any more")

	said.all = nil
	again, stopAgain := run(t, c)
	require.Equal(t, a.root.ID, again.root.ID, "the second start finds the first one's data")
	stopAgain()
}

func TestEveryPageOfTheConsoleIsReached(t *testing.T) {
	a, err := New(t.Context(), config(t, &lines{}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close(context.Background())) })
	h, err := a.Handler()
	require.NoError(t, err)
	_, link, err := a.Access().EnsureAdministrator(t.Context(), firstAdmin, firstName)
	require.NoError(t, err)
	_, cookie, err := a.Access().FollowLink(t.Context(), link[strings.LastIndexByte(link, '/')+1:], "192.0.2.1", "test")
	require.NoError(t, err)
	for _, page := range []string{"/", "/cases", "/tenants", "/tenants/provider", "/policy", "/feeds", "/journal"} {
		r := httptest.NewRequest(http.MethodGet, page, nil)
		r.AddCookie(&http.Cookie{Name: access.CookieName, Value: cookie})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, page)
		require.Contains(t, w.Body.String(), "<h1", page)
	}
}

func TestAServerThatNobodyAdministersStartsAndMakesAnAdministrator(t *testing.T) {
	a, err := New(t.Context(), config(t, &lines{}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close(context.Background())) })
	seen := map[string]bool{}
	for _, email := range []string{firstAdmin, "admin-2@firebreak.local", "admin-3@firebreak.local"} {
		link, err := a.firstLink(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, link)
		require.False(t, seen[link])
		seen[link] = true
		p, err := a.Store().PersonByEmail(t.Context(), email)
		require.NoError(t, err)
		require.NoError(t, a.Store().DisablePerson(t.Context(), p.ID, threat.SystemActor))
	}
}

func TestABrokenRuleIsToldAndTheLastGoodOnesDecide(t *testing.T) {
	said := &lines{}
	c := config(t, said)
	c.PolicyDir = t.TempDir()
	copyRules(t, c.PolicyDir)
	a, _ := run(t, c)
	good := a.policy.Revision()
	require.NoError(t, os.WriteFile(filepath.Join(c.PolicyDir, "respond", "broken.rego"), []byte("package firebreak.respond\n\nallow if {"), 0o600))
	s := a.policy.Reload(t.Context())
	require.True(t, s.Stale)
	require.Equal(t, good, a.policy.Revision())
	require.Error(t, a.checks(t.Context())["policy"])
	require.Eventually(t, func() bool { return len(a.alarms(t.Context())) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, a.alarms(t.Context())[0].What, "cannot be taken")
}

func TestAKeyInsideTheDataIsRefused(t *testing.T) {
	c := config(t, &lines{})
	c.KeyFile = filepath.Join(c.Data, "key")
	_, err := New(t.Context(), c)
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
	require.Contains(t, err.Error(), "--key-file")
}

func TestATakenPortIsToldFirst(t *testing.T) {
	l, err := bind("127.0.0.1:0", "--listen")
	require.NoError(t, err)
	defer l.Close()
	c := config(t, &lines{})
	c.Listen = l.Addr().String()
	_, err = New(t.Context(), c)
	require.True(t, threat.Is(err, threat.Conflict), "%v", err)
	require.Contains(t, err.Error(), "--listen")
	require.NoDirExists(t, c.Data, "nothing was begun")
}
