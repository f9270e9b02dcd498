package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const token = "fb_feed_T0ken-that-must-not-show"

var (
	connection = uuid.MustParse("0192f0c1-0000-7000-8000-00000000000a")
	foreign    = uuid.MustParse("0192f0c1-0000-7000-8000-00000000000b")
)

// bench is a handler over lists in memory.
type bench struct {
	t       *testing.T
	handler *Handler
	server  *httptest.Server
	log     *bytes.Buffer
	busy    sync.WaitGroup // a fetch is recorded after its answer went out

	mu       sync.Mutex
	now      time.Time
	entries  []threat.FeedEntry
	revision int64
	changed  time.Time
	fetches  []threat.FeedFetch
	auth     error // what the token's look-up answers
	broken   error // what the lists answer
	never    map[string]bool
	screen   error
}

func (b *bench) FeedEntries(_ context.Context, c uuid.UUID, list string, _ time.Time) ([]threat.FeedEntry, int64, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []threat.FeedEntry
	for _, e := range b.entries {
		if e.List == list {
			out = append(out, e) // entries of others and old ones too: the handler must not rest on the store for that
		}
	}
	return out, b.revision, b.changed, b.broken
}

func (b *bench) RecordFetch(_ context.Context, c uuid.UUID, list, firewall string, revision int64, at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetches = append(b.fetches, threat.FeedFetch{ConnectionID: c, List: list, Firewall: firewall, Revision: revision, At: at})
	return nil
}

func open(t *testing.T) *bench {
	b := &bench{t: t, log: &bytes.Buffer{}, now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), never: map[string]bool{}}
	b.handler = New(Options{
		Authenticate: func(_ context.Context, got string) (Subscriber, error) {
			if b.auth != nil {
				return Subscriber{}, b.auth
			}
			if got != token {
				return Subscriber{}, threat.Faultf(threat.NotFound, "no token %s", got)
			}
			return Subscriber{Connection: threat.Connection{ID: connection}, Firewall: "edge-1"}, nil
		},
		Lists: b,
		Screen: func(_ context.Context, _ threat.Connection, _ string, values []string) ([]string, error) {
			var out []string
			for _, v := range values {
				if !b.never[v] {
					out = append(out, v)
				}
			}
			return out, b.screen
		},
		Now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now },
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.busy.Add(1)
		defer b.busy.Done()
		b.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.server.Close()
		if strings.Contains(b.log.String(), token) {
			t.Errorf("the token is in the log: %s", b.log)
		}
	})
	return b
}

func (b *bench) add(list, value string, life time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revision++
	b.changed = b.now
	b.entries = append(b.entries, threat.FeedEntry{ConnectionID: connection, List: list, Value: value, Mark: "m", Revision: b.revision,
		AddedAt: b.now, Until: b.now.Add(life)})
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// get fetches as a client that unpacks nothing by itself.
func (b *bench) do(method, path string, header ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.server.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.busy.Wait()
	return resp, string(body)
}

func (b *bench) get(path string, header ...string) (*http.Response, string) {
	b.t.Helper()
	return b.do(http.MethodGet, "/feeds/"+token+"/"+path, header...)
}

func (b *bench) want(path, want string) {
	b.t.Helper()
	resp, body := b.get(path)
	if resp.StatusCode != 200 || body != want {
		b.t.Fatalf("%s answered %d\n%q\nwant\n%q", path, resp.StatusCode, body, want)
	}
}

func TestListIsPlainAndInStableOrder(t *testing.T) {
	b := open(t)
	b.want("ips.txt", "")
	for _, v := range []string{"203.0.113.10", "2001:db8::2", "203.0.113.9", "2001:db8::1", "203.0.113.9"} {
		b.add(threat.FeedIPs, v, time.Hour)
	}
	b.add(threat.FeedDomains, "b.example.com", time.Hour)
	b.add(threat.FeedDomains, "a.example.net", time.Hour)
	b.want("ips.txt", "203.0.113.9\n203.0.113.10\n2001:db8::1\n2001:db8::2\n")
	b.want("domains.txt", "a.example.net\nb.example.com\n")
	resp, _ := b.get("ips.txt")
	if ct := resp.Header.Get("Content-Type"); ct != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}
}

func TestWhatIsOverOrNotOursIsNotServed(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", 10*time.Second)
	b.add(threat.FeedIPs, "203.0.113.10", time.Hour)
	b.entries = append(b.entries,
		threat.FeedEntry{ConnectionID: foreign, List: threat.FeedIPs, Value: "198.51.100.1", Until: b.now.Add(time.Hour)},
		threat.FeedEntry{ConnectionID: connection, List: threat.FeedIPs, Value: "198.51.100.2\n198.51.100.3", Until: b.now.Add(time.Hour)},
		threat.FeedEntry{ConnectionID: connection, List: threat.FeedIPs, Value: "#198.51.100.4", Until: b.now.Add(time.Hour)})
	b.pass(10*time.Second - time.Nanosecond)
	b.want("ips.txt", "203.0.113.9\n203.0.113.10\n")
	b.pass(time.Nanosecond)
	b.want("ips.txt", "203.0.113.10\n")
}

func TestNeverBlockListIsAppliedLast(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", time.Hour)
	b.add(threat.FeedIPs, "203.0.113.10", time.Hour)
	resp, _ := b.get("ips.txt")
	b.never["203.0.113.9"] = true
	again, body := b.get("ips.txt", "If-None-Match", resp.Header.Get("ETag"))
	if again.StatusCode != 200 || body != "203.0.113.10\n" {
		t.Fatalf("answered %d %q", again.StatusCode, body)
	}
	b.screen = threat.Faultf(threat.Unavailable, "gone")
	if resp, _ := b.get("ips.txt"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("a list that could not be screened answered %d", resp.StatusCode)
	}
}

func TestUnchangedListAnswers304AndIsRecorded(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", time.Hour)
	b.want("ips.txt", "203.0.113.9\n") // seen here from now on
	b.pass(time.Minute)
	resp, _ := b.get("ips.txt")
	tag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if !strings.HasPrefix(tag, `"`) || modified == "" {
		t.Fatalf("ETag %q, Last-Modified %q", tag, modified)
	}
	for _, header := range [][]string{{"If-None-Match", tag}, {"If-None-Match", `"x", W/` + tag}, {"If-None-Match", "*"},
		{"If-Modified-Since", modified}} {
		b.fetches = nil
		resp, body := b.get("ips.txt", header...)
		if resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != tag {
			t.Errorf("%v answered %d", header, resp.StatusCode)
		}
		if len(b.fetches) != 1 || b.fetches[0].Revision != 1 || b.fetches[0].Firewall != "edge-1" {
			t.Errorf("%v was recorded as %+v", header, b.fetches)
		}
	}
	// The tag goes before the time, and a change within the same second shows by both.
	if resp, _ := b.get("ips.txt", "If-None-Match", `"old"`, "If-Modified-Since", modified); resp.StatusCode != 200 {
		t.Errorf("another tag answered %d", resp.StatusCode)
	}
	b.add(threat.FeedIPs, "203.0.113.10", time.Hour)
	resp, _ = b.get("ips.txt")
	if resp.Header.Get("Last-Modified") != "" {
		t.Error("a list that changed this very second tells a time")
	}
	for _, header := range [][]string{{"If-None-Match", tag}, {"If-Modified-Since", modified}} {
		if resp, _ := b.get("ips.txt", header...); resp.StatusCode != 200 {
			t.Errorf("%v answered %d after a change", header, resp.StatusCode)
		}
	}
}

func TestGzipHasATagOfItsOwn(t *testing.T) {
	b := open(t)
	for i := range 200 {
		b.add(threat.FeedIPs, fmt.Sprintf("203.0.113.%d", i), time.Hour)
	}
	plain, text := b.get("ips.txt", "Accept-Encoding", "gzip;q=0")
	packed, raw := b.get("ips.txt", "Accept-Encoding", "br, gzip")
	if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("the encodings are not those that were asked for")
	}
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") || packed.Header.Get("Vary") != "Accept-Encoding" {
		t.Error("two encodings share a strong tag")
	}
	z, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil || string(unpacked) != text || len(raw) >= len(text) {
		t.Fatalf("unpacked to %d bytes of %d: %v", len(unpacked), len(text), err)
	}
	if resp, _ := b.get("ips.txt", "Accept-Encoding", "gzip", "If-None-Match", packed.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("the packed tag answered %d", resp.StatusCode)
	}
}

func TestHeadBringsNothingAndIsNoFetch(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", time.Hour)
	get, _ := b.get("ips.txt")
	b.fetches = nil
	head, body := b.do(http.MethodHead, "/feeds/"+token+"/ips.txt")
	if head.StatusCode != 200 || body != "" || head.ContentLength != get.ContentLength || head.Header.Get("ETag") != get.Header.Get("ETag") {
		t.Errorf("HEAD answered %d, %d bytes, %s", head.StatusCode, head.ContentLength, head.Header.Get("ETag"))
	}
	if len(b.fetches) != 0 {
		t.Errorf("a HEAD was recorded: %+v", b.fetches)
	}
}

func TestFormats(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", time.Hour)
	b.add(threat.FeedIPs, "2001:db8::1", time.Hour)
	b.add(threat.FeedDomains, "c2.example.com", time.Hour)
	both := "203.0.113.9\n2001:db8::1\n"
	for format, want := range map[string]string{"plain": both, "panos": both, "fortigate": both, "sonicwall": both, "sophos": "203.0.113.9\n"} {
		b.want("ips.txt?format="+format, want)
		b.want("domains.txt?format="+format, "c2.example.com\n")
	}
	for list, want := range map[string][]string{"ips": {"203.0.113.9", "IP"}, "domains": {"c2.example.com", "Domain"}} {
		resp, body := b.get(list + ".txt?format=checkpoint")
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("Content-Type %q", resp.Header.Get("Content-Type"))
		}
		rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%s: %v %q", list, err, body)
		}
		if rows[1][1] != want[0] || rows[1][2] != want[1] {
			t.Errorf("%s: %v", list, rows[1])
		}
		for i, cell := range rows[1] {
			if cell == "" {
				t.Errorf("%s: the field %s is empty, which makes a gateway drop the file", list, rows[0][i])
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/feeds/" + token + "/ips", 404},
		{"GET", "/feeds/" + token + "/hosts.txt", 404},
		{"GET", "/feeds/" + token + "/../ips.txt", 404},
		{"GET", "/feeds/" + token + "/ips.txt/", 404},
		{"GET", "/feeds/" + token, 404},
		{"GET", "/feeds//ips.txt", 404},
		{"GET", "/feeds/wrong/ips.txt", 404},
		{"GET", "/feeds/" + strings.Repeat("x", 600) + "/ips.txt", 404},
		{"POST", "/feeds/" + token + "/ips.txt", 405},
		{"GET", "/feeds/" + token + "/ips.txt?format=xml", 400},
		{"GET", "/feeds/" + token + "/ips.txt?format=plain&format=panos", 400},
		{"GET", "/feeds/" + token + "/ips.txt?fromat=panos", 400},
	} {
		resp, body := b.do(c.method, c.path)
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s answered %d %s", c.method, c.path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		if strings.Contains(body, token) {
			t.Errorf("the token is in the answer %q", body)
		}
	}
	for _, c := range []struct {
		err    error
		status int
	}{
		{threat.Faultf(threat.Forbidden, "revoked %s", token), 403},
		{threat.Faultf(threat.Expired, "over"), 403},
		{threat.Faultf(threat.Unavailable, "no database for %s", token), 503},
		{fmt.Errorf("a defect about %s", token), 503},
	} {
		b.auth = c.err
		if resp, body := b.get("ips.txt"); resp.StatusCode != c.status || strings.Contains(body, token) {
			t.Errorf("%v answered %d %q", c.err, resp.StatusCode, body)
		}
	}
	b.auth, b.broken = nil, threat.Faultf(threat.Unavailable, "the database went away")
	if resp, _ := b.get("ips.txt"); resp.StatusCode != 503 {
		t.Errorf("broken lists answered %d", resp.StatusCode)
	}
	if len(b.fetches) != 0 {
		t.Errorf("refusals were recorded as fetches: %+v", b.fetches)
	}
}

// brokenWriter is a client that goes away in the middle of a list.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (w brokenWriter) Write(b []byte) (int, error) { return len(b) / 2, io.ErrClosedPipe }

func TestAListThatDidNotArriveIsNoFetch(t *testing.T) {
	b := open(t)
	b.add(threat.FeedIPs, "203.0.113.9", time.Hour)
	b.handler.ServeHTTP(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest("GET", "/feeds/"+token+"/ips.txt", nil))
	if len(b.fetches) != 0 {
		t.Fatalf("half a list was recorded: %+v", b.fetches)
	}
}

func TestRedactPath(t *testing.T) {
	for path, want := range map[string]string{
		"/feeds/" + token + "/ips.txt": "/feeds/[token]/ips.txt",
		"/feeds/" + token:              "/feeds/[token]",
		"/v1/cases":                    "/v1/cases",
	} {
		if got := RedactPath(path); got != want {
			t.Errorf("%s became %s", path, got)
		}
	}
}

func FuzzListName(f *testing.F) {
	for _, s := range []string{"ips.txt", "domains.txt", "ips.txt?format=checkpoint", "IPS.TXT", "../ips.txt", "ips.txt%00", "%2e%2e/x", "ips.txt?%zz"} {
		f.Add(s)
	}
	b := &bench{log: &bytes.Buffer{}, now: time.Unix(1e9, 0).UTC()}
	b.entries = []threat.FeedEntry{{ConnectionID: connection, List: threat.FeedIPs, Value: "203.0.113.9", Until: b.now.Add(time.Hour)}}
	h := New(Options{Lists: b, Now: func() time.Time { return b.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Authenticate: func(context.Context, string) (Subscriber, error) {
			return Subscriber{Connection: threat.Connection{ID: connection}}, nil
		}})
	f.Fuzz(func(t *testing.T, name string) {
		req, err := http.NewRequest("GET", "http://h/", nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(name, "?")
		req.URL.Path, req.URL.RawQuery = "/feeds/"+token+"/"+path, query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if strings.Contains(w.Body.String(), token) {
			t.Fatalf("the token shows in %q", w.Body)
		}
		switch {
		case w.Code == 200 && path != "ips.txt" && path != "domains.txt":
			t.Fatalf("%q answered 200", name)
		case w.Code != 200 && w.Code != 400 && w.Code != 404:
			t.Fatalf("%q answered %d", name, w.Code)
		}
	})
}
