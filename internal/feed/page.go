package feed

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// minGzip is the length, in bytes, from which a list is compressed.
const minGzip = 512

// page is a list as it is served: the bytes, and what they can be told apart by.
type page struct {
	body     []byte
	sum      string // of the bytes, as they are before compression
	revision int64
	modified time.Time // zero when no time can tell these bytes from others
	kind     string    // media type
}

func newPage(body []byte, revision int64) *page {
	sum := sha256.Sum256(body)
	return &page{body: body, sum: hex.EncodeToString(sum[:16]), revision: revision}
}

// serve answers with the list, or with 304 when the client has these bytes. An error means that they did not all go out.
func (p *page) serve(w http.ResponseWriter, r *http.Request, now time.Time) error {
	packed := len(p.body) >= minGzip && acceptsGzip(r.Header)
	tag := `"` + p.sum + `"`
	if packed {
		tag = `"` + p.sum + `-gzip"` // other bytes, another strong tag (RFC 9110, 8.8.3.3)
	}
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", tag)
	h.Set("X-Feed-Revision", strconv.FormatInt(p.revision, 10))
	if !p.modified.IsZero() {
		h.Set("Last-Modified", p.modified.UTC().Format(http.TimeFormat))
	}
	if p.unchanged(r.Header, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body := p.body
	if packed {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		body = b.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", p.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	n, err := w.Write(body)
	if err == nil && n < len(body) {
		err = io.ErrShortWrite
	}
	if err == nil { // what lies in a buffer has reached nobody
		if e := http.NewResponseController(w).Flush(); e != nil && !errors.Is(e, http.ErrNotSupported) {
			err = e
		}
	}
	return err
}

// unchanged evaluates If-None-Match, and only without it If-Modified-Since (RFC 9110, 13.1).
func (p *page) unchanged(h http.Header, tag string) bool {
	if tags := h.Values("If-None-Match"); len(tags) > 0 {
		for _, line := range tags {
			for _, t := range strings.Split(line, ",") {
				t = strings.TrimSpace(t)
				if t == "*" || strings.TrimPrefix(t, "W/") == tag {
					return true
				}
			}
		}
		return false
	}
	if v := h.Get("If-Modified-Since"); v != "" && !p.modified.IsZero() {
		since, err := http.ParseTime(v)
		return err == nil && !p.modified.Truncate(time.Second).After(since)
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as gzip goes.
func acceptsGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for _, part := range strings.Split(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			if name = strings.ToLower(strings.TrimSpace(name)); name != "gzip" && name != "x-gzip" && name != "*" {
				continue
			}
			q := 1.0
			for _, x := range strings.Split(params, ";") {
				if v, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(x), " ", ""), "q="); ok {
					var err error
					if q, err = strconv.ParseFloat(v, 64); err != nil {
						q = 0
					}
				}
			}
			return q > 0
		}
	}
	return false
}

// seen remembers since when a list's bytes are what they are. The list's own time is not enough: the never-block list
// changes them too.
type seen struct {
	mu sync.Mutex
	at map[seenKey]sight
}

type seenKey struct {
	connection uuid.UUID
	list       string
	format     string
}

type sight struct {
	sum   string
	since time.Time
}

// since gives the Last-Modified of some bytes: not before the list's own time, not before they were first seen here. It is
// zero during the first two seconds, for HTTP's times are whole seconds, and a second change within one would stay unseen.
func (s *seen) since(k seenKey, sum string, changed, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.at[k]
	if !ok || x.sum != sum {
		x = sight{sum, now}
		s.at[k] = x
	}
	t := x.since
	if changed.After(t) {
		t = changed
	}
	if now.Sub(t) < 2*time.Second {
		return time.Time{}
	}
	return t
}

// problem answers a refusal as RFC 9457 has it. The request's path is left out: the token is in it.
func problem(w http.ResponseWriter, r *http.Request, status int, what string) {
	b, err := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": what})
	if err != nil {
		b = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	switch status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "10")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the client that is gone does not read it
	}
}
