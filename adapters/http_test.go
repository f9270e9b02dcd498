package adapters_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// TestEveryStatusHasAKind looks at the whole range: a success is only a 2xx, and a change that a 5xx may have followed is
// never called failed.
func TestEveryStatusHasAKind(t *testing.T) {
	want := map[int]threat.FaultKind{400: threat.Invalid, 401: threat.Unauthenticated, 403: threat.Forbidden, 404: threat.NotFound,
		405: threat.Invalid, 408: threat.Unavailable, 409: threat.Conflict, 410: threat.NotFound, 413: threat.TooLarge, 422: threat.Invalid,
		423: threat.Conflict, 425: threat.Unavailable, 429: threat.RateLimited, 500: threat.Unknown, 501: threat.Unsupported,
		502: threat.Unknown, 503: threat.Unavailable, 504: threat.Unknown, 507: threat.Unavailable, 301: threat.Invalid, 307: threat.Invalid}
	for status := 100; status < 1000; status++ {
		change, read := adapters.StatusKind(status, true), adapters.StatusKind(status, false)
		if ok := status >= 200 && status < 300; ok != (change == "") || ok != (read == "") {
			t.Errorf("%d is %q for a change and %q for a read", status, change, read)
		}
		if read == threat.Unknown {
			t.Errorf("%d makes a read unknown", status)
		}
		if k, ok := want[status]; ok && change != k {
			t.Errorf("%d is %q; want %q", status, change, k)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After", now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{"Retry-After", now.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"Retry-After", "-5", 0},
		{"Retry-After", "99999999999999999999", time.Hour},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "soon", 0},
		{"X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Minute).Unix(), 10), time.Minute},
		{"X-Ratelimit-RetryAfter", strconv.FormatInt(now.Add(2*time.Minute).Unix(), 10), 2 * time.Minute},
		{"RateLimit-Reset", "30", 30 * time.Second},
		{"RateLimit-Reset", "1e300", time.Hour},
		{"Date", "x", 0},
	} {
		h := http.Header{}
		h.Set(c.name, c.value)
		if got := adapters.RetryAfter(h, now); got != c.want {
			t.Errorf("%s: %s is %s; want %s", c.name, c.value, got, c.want)
		}
	}
}

func client(t *testing.T, base string) *adapters.Client {
	t.Helper()
	c, err := adapters.NewClient(adapters.ClientOptions{Base: base, Secrets: []string{"s3cret"},
		Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer s3cret"); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientFollowsNothingAndSendsOnce(t *testing.T) {
	var elsewhere, hits atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch hits.Add(1); r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/html":
			_, _ = w.Write([]byte("<html>"))
		case "/echo":
			w.WriteHeader(422)
			_, _ = w.Write([]byte(`{"error":{"message":"token s3cret is bad"}}`))
		case "/long":
			for range adapters.MaxAnswer/1024 + 2 {
				_, _ = w.Write(make([]byte, 1024))
			}
		default:
			_, _ = w.Write([]byte(`{"ok":true}`))
		}
	}))
	defer s.Close()
	c := client(t, s.URL)
	var into map[string]any
	do := func(path string, changes bool) error {
		hits.Store(0)
		method := http.MethodGet
		if changes {
			method = http.MethodPost
		}
		_, err := c.Do(t.Context(), adapters.Call{Method: method, Path: path, Changes: changes, Into: &into, Body: map[string]string{"a": "b"},
			Header: http.Header{"Idempotency-Key": {"k"}}})
		return err
	}
	if err := do("redirect", true); !threat.Is(err, threat.Invalid) || elsewhere.Load() != 0 {
		t.Errorf("a redirect answered %v, followed %d times", err, elsewhere.Load())
	}
	if err := do("fine", true); err != nil || into["ok"] != true {
		t.Errorf("answered %v %v", err, into)
	}
	if err := do("cut", true); !threat.Is(err, threat.Unknown) || hits.Load() != 1 {
		t.Errorf("a cut answered %v after %d sendings", err, hits.Load())
	}
	if err := do("cut", false); !threat.Is(err, threat.Unavailable) {
		t.Errorf("a cut read answered %v", err)
	}
	if err := do("html", true); !threat.Is(err, threat.Unknown) {
		t.Errorf("a page instead of JSON answered %v", err)
	}
	if err := do("long", false); !threat.Is(err, threat.Unavailable) {
		t.Errorf("an endless answer answered %v", err)
	}
	if err := do("echo", true); !threat.Is(err, threat.Invalid) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "is bad") {
		t.Errorf("answered %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := client(t, gone.URL).Do(t.Context(), adapters.Call{Method: http.MethodPost, Path: "x", Changes: true}); !threat.Is(err, threat.Unavailable) {
		t.Errorf("a server that is not there answered %v", err)
	}
}

func TestClientDeadline(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(stop)
	for _, changes := range []bool{true, false} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := client(t, s.URL).Do(ctx, adapters.Call{Method: http.MethodPost, Path: "x?token=s3cret", Changes: changes})
		cancel()
		want := threat.Unavailable
		if changes {
			want = threat.Unknown
		}
		if !threat.Is(err, want) || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("answered %v; want %s", err, want)
		}
	}
}

func TestClientAddress(t *testing.T) {
	for _, base := range []string{"", "example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://example.com?a=b", "https://example.com#f", "://"} {
		if _, err := adapters.NewClient(adapters.ClientOptions{Base: base}); !threat.Is(err, threat.Invalid) {
			t.Errorf("%q: %v", base, err)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("the address's credential shows: %v", err)
		}
	}
}
