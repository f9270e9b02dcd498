package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// serving gives a client of a server that answers every call by fn.
func serving(t *testing.T, fn http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(fn)
	t.Cleanup(s.Close)
	c, err := client.New(client.Options{Server: s.URL + "/below/", Token: "fbt_secret", Version: "1"})
	require.NoError(t, err)
	return c
}

func TestCalls(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer fbt_secret", r.Header.Get("Authorization"))
		require.Equal(t, wire.AgentCLI+"1", r.UserAgent())
		require.Equal(t, "/below/v1/cases/a%2Fb%3Fc/notes", r.URL.EscapedPath())
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"text":"seen"}`, string(b))
		_, err = io.WriteString(w, `{"done":true}`)
		require.NoError(t, err)
	})
	require.NoError(t, c.Note(t.Context(), "a/b?c", "seen"))
}

func TestProblemsComeBackAsFaults(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(429)
		_, _ = io.WriteString(w, `{"kind":"rate_limited","detail":"too\u0007 many","place":"/a","next":"wait","retry_after":7,"status":429}`)
	})
	_, err := c.Whoami(t.Context())
	var f *threat.Fault
	require.ErrorAs(t, err, &f)
	require.Equal(t, threat.RateLimited, f.Kind)
	require.Equal(t, 7*time.Second, f.RetryAfter)
	require.Equal(t, "too\uFFFD many", f.What, "what a server says is made inert")
	require.Equal(t, "/a", f.Place)
	require.Equal(t, "wait", f.Next)
}

func TestARefusedClickKeepsItsAnswer(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(403)
		_, _ = io.WriteString(w, `{"kind":"forbidden","detail":"not yours","status":403,"refusal":"four_eyes",
			"answer":{"accepted":false,"refusal":"four_eyes","text":"not yours","need":2}}`)
	})
	_, err := c.Decide(t.Context(), "1", wire.Verdict{Verdict: threat.VerdictApprove})
	var no *client.Refused
	require.True(t, errors.As(err, &no))
	require.Equal(t, threat.RefusedSelf, no.Answer.Refusal)
	require.Equal(t, 2, no.Answer.Need)
	require.True(t, threat.Is(err, threat.Forbidden))
}

func TestWhatIsNoFirebreakIsTold(t *testing.T) {
	for _, answer := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>proxy</html>", 502) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>a portal</html>") },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://elsewhere.example/", 302) },
	} {
		_, err := serving(t, answer).Whoami(t.Context())
		require.True(t, threat.Is(err, threat.Unavailable), "%v", err)
		require.NotContains(t, err.Error(), "fbt_secret")
	}
	for _, bad := range []string{"", "nowhere", "ftp://x", "http://", "http://user:pw@x", "http://x/?q"} {
		_, err := client.New(client.Options{Server: bad})
		require.True(t, threat.Is(err, threat.Invalid), bad)
	}
	c, err := client.New(client.Options{Server: "http://127.0.0.1:1"})
	require.NoError(t, err)
	_, err = c.Version(t.Context())
	require.True(t, threat.Is(err, threat.Unavailable))
}
