package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// ProblemType begins the type of every problem; the kind follows.
const ProblemType = "urn:firebreak:problem:"

// statuses is the table from a fault's kind to its HTTP status.
var statuses = map[threat.FaultKind]int{
	threat.Invalid:         http.StatusUnprocessableEntity,
	threat.Unauthenticated: http.StatusUnauthorized,
	threat.Forbidden:       http.StatusForbidden,
	threat.NotFound:        http.StatusNotFound,
	threat.Conflict:        http.StatusConflict,
	threat.Stale:           http.StatusConflict,
	threat.Expired:         http.StatusGone,
	threat.TooLarge:        http.StatusRequestEntityTooLarge,
	threat.RateLimited:     http.StatusTooManyRequests,
	threat.Unavailable:     http.StatusServiceUnavailable,
	threat.Unsupported:     http.StatusUnprocessableEntity,
	threat.Unknown:         http.StatusBadGateway,
	threat.Internal:        http.StatusInternalServerError,
}

// titles is what each kind is called for people.
var titles = map[threat.FaultKind]string{
	threat.Invalid:         "The input is wrong",
	threat.Unauthenticated: "Nobody is signed in",
	threat.Forbidden:       "The caller lacks the right",
	threat.NotFound:        "There is no such thing",
	threat.Conflict:        "The state moved on",
	threat.Stale:           "The facts moved on",
	threat.Expired:         "Its time is up",
	threat.TooLarge:        "It is too large",
	threat.RateLimited:     "Too many calls",
	threat.Unavailable:     "A part is down or full",
	threat.Unsupported:     "This cannot be done here",
	threat.Unknown:         "It may have happened",
	threat.Internal:        "A defect of ours",
}

// refusals is the table from a refused click to its kind; what is not in it is a conflict.
var refusals = map[threat.Refusal]threat.FaultKind{
	threat.RefusedUnknown:     threat.NotFound,
	threat.RefusedNotAPerson:  threat.Forbidden,
	threat.RefusedWrongPerson: threat.Forbidden,
	threat.RefusedSelf:        threat.Forbidden,
	threat.RefusedSubject:     threat.Forbidden,
	threat.RefusedPolicy:      threat.Forbidden,
	threat.RefusedExpired:     threat.Expired,
	threat.RefusedStale:       threat.Stale,
}

// status is an error with an HTTP status other than its kind's.
type status struct {
	code int
	err  error
}

func (s *status) Error() string { return s.err.Error() }

func (s *status) Unwrap() error { return s.err }

// unreadable marks a fault of a body or a parameter that could not be read at all: 400, and not 422.
func unreadable(err error) error {
	if threat.Is(err, threat.Invalid) {
		return &status{http.StatusBadRequest, err}
	}
	return err
}

// refused is a click that the door did not accept.
type refused struct{ answer threat.ClickAnswer }

func (r *refused) Error() string { return "refused: " + r.answer.Text }

// problem is a wire.Problem that huma can send.
type problem struct{ wire.Problem }

// Error gives the detail.
func (p *problem) Error() string { return p.Detail }

// GetStatus gives the HTTP status.
func (p *problem) GetStatus() int { return p.Status }

// ContentType is RFC 9457's.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders gives Retry-After, and what a 401 must carry (RFC 9110, 11.6.1).
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="firebreak"`)
	}
	return h
}

// problemOf writes an error for the caller. What is no fault is a defect of ours: its text stays in the log.
func problemOf(err error, requestID string) *problem {
	var r *refused
	if errors.As(err, &r) {
		kind, ok := refusals[r.answer.Refusal]
		if !ok {
			kind = threat.Conflict
		}
		p := newProblem(&threat.Fault{Kind: kind, What: r.answer.Text}, requestID)
		p.Refusal, p.Answer = r.answer.Refusal, &r.answer
		return p
	}
	var f *threat.Fault
	if !errors.As(err, &f) {
		f = &threat.Fault{Kind: threat.Internal}
	}
	p := newProblem(f, requestID)
	var s *status
	if errors.As(err, &s) {
		p.Status = s.code
	}
	return p
}

func newProblem(f *threat.Fault, requestID string) *problem {
	code, known := statuses[f.Kind]
	if !known {
		f = &threat.Fault{Kind: threat.Internal}
		code = http.StatusInternalServerError
	}
	p := &problem{wire.Problem{Type: ProblemType + string(f.Kind), Title: titles[f.Kind], Status: code, Detail: f.What, Kind: f.Kind,
		Place: f.Place, Next: f.Next, RequestID: requestID}}
	if f.Kind == threat.Internal {
		p.Detail, p.Place, p.Next = "something went wrong here", "", "tell the operator, with the request id"
	}
	if f.RetryAfter > 0 {
		p.RetryAfter = int64((f.RetryAfter + time.Second - 1) / time.Second)
	}
	return p
}

// writeProblem answers outside of huma's operations.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err, RequestID(r.Context()))
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	_ = json.NewEncoder(w).Encode(p.Problem) // the client that is gone does not read it
}

// ours turns what huma itself refuses (a parameter of the wrong shape) into a problem of ours.
func ours(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	f := &threat.Fault{Kind: threat.Invalid, What: m.Detail}
	if len(m.Errors) > 0 {
		f.What, f.Place = threat.Inert(m.Errors[0].Message, 200), threat.Inert(m.Errors[0].Location, 100)
		f.Place = strings.TrimPrefix(strings.TrimPrefix(f.Place, "query."), "path.")
	}
	if m.Status >= 500 {
		f = &threat.Fault{Kind: threat.Internal}
	}
	p := newProblem(f, RequestID(ctx.Context()))
	p.Status = m.Status
	return p.Problem, nil
}
