// Package feed serves the lists that firewalls poll, at /feeds/{token}/{list}.txt. It knows no store and no adapter: it
// declares what it needs of them, and internal/app brings them together. It writes no token anywhere.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Subscriber is who a token stands for.
type Subscriber struct {
	Connection threat.Connection // whose lists it may fetch
	Firewall   string            // the name of the firewall that holds the token; never the token
}

// Lists is what the store keeps.
type Lists interface {
	// FeedEntries gives the entries of a list with its revision and the time of that, read together.
	FeedEntries(ctx context.Context, connection uuid.UUID, list string, now time.Time) ([]threat.FeedEntry, int64, time.Time, error)
	// RecordFetch notes that a firewall has a revision of a list.
	RecordFetch(ctx context.Context, connection uuid.UUID, list, firewall string, revision int64, at time.Time) error
}

// Options are what the handler needs.
type Options struct {
	// Authenticate gives whom a token stands for. It hashes the token before it looks it up. Faults: Unauthenticated or
	// NotFound for one that is not known (404), Forbidden or Expired for one that was revoked or has run out (403); any
	// other is 503, upon which firewalls keep the copy that they have.
	Authenticate func(ctx context.Context, token string) (Subscriber, error)
	Lists        Lists
	// Screen is asked last: which of a list's values may be served; nil lets all through. Its errors are 503.
	Screen func(ctx context.Context, c threat.Connection, list string, values []string) ([]string, error)
	Now    func() time.Time // nil is time.Now
	Log    *slog.Logger     // nil is slog.Default
}

// Handler serves GET and HEAD of /feeds/{token}/{list}.txt. A GET that is answered whole, or with 304, is recorded as a
// fetch of that revision by that firewall; a HEAD is not, since it brings no entry anywhere.
type Handler struct {
	Options
	seen seen
}

// New makes the handler. Mount it at /feeds/, outside of whatever logs paths, or behind RedactPath.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Handler{Options: o, seen: seen{at: map[seenKey]sight{}}}
}

// prefix is where the lists are.
const prefix = "/feeds/"

// RedactPath gives a path as it may be logged: the token in it is replaced.
func RedactPath(path string) string {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return path
	}
	if _, file, ok := strings.Cut(rest, "/"); ok {
		return prefix + "[token]/" + threat.Inert(file, 64)
	}
	return prefix + "[token]"
}

// maxToken is the longest token looked at, in bytes.
const maxToken = 512

// request is one request, read.
type request struct {
	token, list string
	format      format
}

// read takes a request apart. The status is that of the refusal; 0 when there is none.
func read(r *http.Request) (q request, status int, what string) {
	rest, ok := strings.CutPrefix(r.URL.Path, prefix)
	token, file, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || token == "" || len(token) > maxToken {
		return q, http.StatusNotFound, "no such list"
	}
	name, ok := strings.CutSuffix(file, ".txt")
	if !ok || (name != threat.FeedIPs && name != threat.FeedDomains) {
		return q, http.StatusNotFound, "no such list; there are ips.txt and domains.txt"
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return q, http.StatusMethodNotAllowed, "lists are fetched with GET"
	}
	query := r.URL.Query()
	for k, v := range query {
		if k != "format" || len(v) != 1 {
			return q, http.StatusBadRequest, "the only parameter is format, once"
		}
	}
	f, ok := formats[query.Get("format")]
	if !ok {
		return q, http.StatusBadRequest, "no such format; there are " + formatNames()
	}
	return request{token: token, list: name, format: f}, 0, ""
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	q, status, what := read(r)
	if status != 0 {
		problem(w, r, status, what)
		return
	}
	ctx := r.Context()
	who, err := h.Authenticate(ctx, q.token)
	if err != nil {
		status, what := refusal(err)
		if status == http.StatusServiceUnavailable {
			// The error's text is left out: who looked the token up may have put it there.
			h.Log.LogAttrs(ctx, slog.LevelError, "feed: a token could not be checked", slog.String("kind", string(threat.KindOf(err))))
		}
		problem(w, r, status, what)
		return
	}
	log := h.Log.With("connection", who.Connection.ID, "list", q.list, "firewall", threat.Inert(who.Firewall, 64))
	now := h.Now().UTC()
	page, err := h.page(ctx, who, q, now)
	if err != nil {
		log.LogAttrs(ctx, slog.LevelError, "feed: a list could not be made", slog.String("kind", string(threat.KindOf(err))),
			slog.String("error", err.Error()))
		problem(w, r, http.StatusServiceUnavailable, "the list cannot be read now; keep the copy that you have")
		return
	}
	if err := page.serve(w, r, now); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "feed: the list was not fetched to its end", slog.Int64("revision", page.revision))
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	// The client may be gone by now; that it has the list is true all the same.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.Lists.RecordFetch(keep, who.Connection.ID, q.list, who.Firewall, page.revision, now); err != nil {
		// The firewall has it, and we do not know: entries stay published instead of in force until its next fetch.
		log.LogAttrs(ctx, slog.LevelError, "feed: a fetch could not be recorded", slog.String("kind", string(threat.KindOf(err))))
	}
}

func refusal(err error) (int, string) {
	switch threat.KindOf(err) {
	case threat.Unauthenticated, threat.NotFound, threat.Invalid:
		return http.StatusNotFound, "no such list"
	case threat.Forbidden, threat.Expired:
		return http.StatusForbidden, "this token is no longer good"
	}
	return http.StatusServiceUnavailable, "the token cannot be checked now; keep the copy that you have"
}

// page makes a list as it is now: without what is over, and without what the screen holds back.
func (h *Handler) page(ctx context.Context, who Subscriber, q request, now time.Time) (*page, error) {
	if h.Lists == nil {
		return nil, errors.New("no lists")
	}
	entries, revision, changed, err := h.Lists.FeedEntries(ctx, who.Connection.ID, q.list, now)
	if err != nil {
		return nil, err
	}
	values := make([]string, 0, len(entries))
	for _, e := range entries {
		if now.Before(e.Until) && e.ConnectionID == who.Connection.ID && e.List == q.list && clean(e.Value) {
			values = append(values, e.Value)
		}
	}
	values = order(values)
	if h.Screen != nil {
		if values, err = h.Screen(ctx, who.Connection, q.list, values); err != nil {
			return nil, err
		}
	}
	p := newPage(q.format.page(q.list, values), revision)
	p.kind = q.format.kind
	p.modified = h.seen.since(seenKey{who.Connection.ID, q.list, q.format.name}, p.sum, changed, now)
	return p, nil
}

// clean refuses a value that would not stay on its line.
func clean(v string) bool {
	return v != "" && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == ',' || r == '"' || r == '#' || r > '~' })
}
