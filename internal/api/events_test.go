package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/apitest"
	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// reader is one open event stream.
type reader struct {
	t     testing.TB
	res   *http.Response
	lines *bufio.Scanner
}

// block is one event as it stands on the line.
type block struct {
	id, event, comment string
	data               wire.Event
}

// patience is longer than a healthy machine ever takes; only a stream that brings nothing waits for it.
const patience = 30 * time.Second

func follow(w *apitest.World, token, from string) *reader {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Server.URL+"/v1/events", nil)
	require.NoError(w, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if from != "" {
		r.Header.Set("Last-Event-ID", from)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(w, err)
	w.Cleanup(func() { _ = res.Body.Close() }) // a stream is not read to its end
	require.Equal(w, 200, res.StatusCode)
	require.Equal(w, "text/event-stream", res.Header.Get("Content-Type"))
	return &reader{w, res, bufio.NewScanner(res.Body)}
}

// next reads one block; false at the stream's end.
func (r *reader) next() (b block, ok bool) {
	r.t.Helper()
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "":
			if value != "" {
				b.comment = value
				continue
			}
			return b, true
		case "id":
			b.id = value
		case "event":
			b.event = value
		case "data":
			require.NoError(r.t, json.Unmarshal([]byte(value), &b.data))
		}
	}
	return b, false
}

// until reads events up to one of a kind.
func (r *reader) until(kind threat.EntryKind) block {
	r.t.Helper()
	for {
		b, ok := r.next()
		require.True(r.t, ok, "the stream ended before %s came", kind)
		if b.data.Kind == kind {
			require.Equal(r.t, string(kind), b.event)
			require.NotEmpty(r.t, b.id)
			return b
		}
	}
}

func TestEventsComeAndResume(t *testing.T) {
	w := apitest.Open(t)
	contact := w.SignIn(w.Contact)
	first := follow(w, contact, "")
	begin, ok := first.next()
	require.True(t, ok)
	require.NotEmpty(t, begin.id, "a stream can be resumed before anything came")
	w.Case(w.Two, "theirs")
	c := w.Case(w.One, "ours")
	opened := first.until(threat.EntryCaseOpened)
	require.Equal(t, w.One.ID, opened.data.Org, "another tenant's events do not come")
	require.Equal(t, c.ID, *opened.data.Case)
	require.NoError(t, first.res.Body.Close())

	require.NoError(t, w.Store.Note(t.Context(), c.ID, "while nobody looked", threat.SystemActor))
	second := follow(w, contact, opened.id)
	noted := second.until(threat.EntryCaseNote)
	require.Greater(t, noted.data.Seq, opened.data.Seq)
	third := follow(w, contact, begin.id)
	require.Equal(t, opened.data, third.until(threat.EntryCaseOpened).data, "from the beginning again")
	third.until(threat.EntryCaseNote)
	require.Equal(t, 400, call(w, contact, "GET", "/v1/events?after=nonsense", nil).status)
	require.Equal(t, 403, call(w, w.Token(w.One, threat.Sensor), "GET", "/v1/events", nil).status)
}

func TestEventsEndWithTheSession(t *testing.T) {
	w := apitest.Open(t, func(d *api.Deps) { d.Recheck, d.Heartbeat = 20*time.Millisecond, 10*time.Millisecond })
	contact := w.SignIn(w.Contact)
	r := follow(w, contact, "")
	beats := false
	for !beats {
		b, ok := r.next()
		require.True(t, ok)
		beats = b.comment != ""
	}
	require.NoError(t, w.Store.DisablePerson(t.Context(), w.Contact.ID, threat.SystemActor))
	last := ""
	for b, ok := r.next(); ok; b, ok = r.next() {
		if b.event != "" {
			last = b.event
		}
	}
	require.Equal(t, "end", last)
}

func TestEventsAreBounded(t *testing.T) {
	w := apitest.Open(t, func(d *api.Deps) { d.Streams = 20 })
	contact := w.SignIn(w.Contact)
	for range 2 {
		_, ok := follow(w, contact, "").next()
		require.True(t, ok)
	}
	p := call(w, contact, "GET", "/v1/events", nil).problem(t)
	require.Equal(t, threat.RateLimited, p.Kind)
	require.Positive(t, p.RetryAfter)
	r := follow(w, w.SignIn(w.Analyst), "")
	_, ok := r.next()
	require.True(t, ok)
	w.API.Close()
	for _, ok = r.next(); ok; _, ok = r.next() {
		continue
	}
}

func TestClientWatches(t *testing.T) {
	w := apitest.Open(t)
	c, err := client.New(client.Options{Server: w.Server.URL, Token: w.SignIn(w.Contact)})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k := w.Case(w.One, "ours")
	begin := follow(w, w.SignIn(w.Contact), "")
	b, ok := begin.next()
	require.True(t, ok)
	require.NoError(t, w.Store.Note(ctx, k.ID, "one", threat.SystemActor))
	done := threat.Faultf(threat.Conflict, "enough")
	err = c.Watch(ctx, b.id, func(id string, e wire.Event) error {
		require.NotEmpty(t, id)
		if e.Kind == threat.EntryCaseNote {
			return done
		}
		return nil
	})
	require.ErrorIs(t, err, done)
	nobody, err := client.New(client.Options{Server: w.Server.URL, Token: "fbs_x"})
	require.NoError(t, err)
	err = nobody.Watch(ctx, "", func(string, wire.Event) error { return nil })
	require.True(t, threat.Is(err, threat.Unauthenticated), "%v", err)
}
