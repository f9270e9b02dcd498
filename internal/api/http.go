package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

type requestKey struct{}

// RequestID gives the id of the call that ctx belongs to, for logs; empty outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

var properID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identified gives every call an id: the caller's own X-Request-ID when it is proper, else a new one.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !properID.MatchString(id) {
			id = uuid.NewString()
		}
		w.Header().Set("X-Request-ID", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}

// watched is a ResponseWriter that remembers what was answered.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watched) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logged writes a line for every call, without its query string or any header, and turns a panic into a 500.
func (a *API) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := a.d.Now()
		ww := &watched{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && (errors.Is(err, http.ErrAbortHandler) || r.Context().Err() != nil) {
					panic(http.ErrAbortHandler) // the caller went away while it was answered
				}
				a.d.Log.ErrorContext(r.Context(), "a call panicked", "request_id", RequestID(r.Context()), "method", r.Method,
					"panic", threat.Inert(fmt.Sprintf("%T", p), 100), "stack", string(debug.Stack()))
				if ww.status == 0 {
					writeProblem(ww, r, threat.Faultf(threat.Internal, "a call panicked"))
				}
			}
			took := a.d.Now().Sub(begin)
			a.d.Metrics.Request(r.Method, r.Pattern, ww.status, took) // the mux has set the pattern
			level := slog.LevelInfo
			if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
				level = slog.LevelDebug // probes come every few seconds
			}
			a.d.Log.Log(r.Context(), level, "call", "request_id", RequestID(r.Context()), "method", r.Method,
				"path", threat.Inert(r.URL.Path, 200), "status", ww.status, "bytes", ww.bytes, "took", took)
		}()
		next.ServeHTTP(ww, r)
	})
}

// guarded sets what every answer carries, and refuses what a browser sends from another site: a cookie alone must not act.
func (a *API) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if err := a.d.Access.CheckOrigin(r); err != nil {
			writeProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// missing answers a path or a method that there is not.
func (a *API) missing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := a.mux.Handler(other); pattern != "/" {
			allow = append(allow, m)
		}
	}
	if len(allow) == 0 {
		writeProblem(w, r, &threat.Fault{Kind: threat.NotFound, What: "there is no such path", Next: "see /openapi.json"})
		return
	}
	for _, m := range allow {
		w.Header().Add("Allow", m)
	}
	writeProblem(w, r, &status{http.StatusMethodNotAllowed, &threat.Fault{Kind: threat.Unsupported,
		What: "this path does not know the method", Next: "see /openapi.json"}})
}

type uncounted struct{}

func (uncounted) Request(string, string, int, time.Duration) {}

func (uncounted) Streams(int) {}
