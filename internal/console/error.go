package console

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/firebreak/firebreak/internal/threat"
)

// faultPage is one way that a page says what went wrong.
type faultPage struct {
	status int
	title  string
}

// faultPages lists every kind of fault with its HTTP status, as the API gives it, and its title.
var faultPages = map[threat.FaultKind]faultPage{
	threat.Invalid:         {http.StatusUnprocessableEntity, "That cannot be taken as it is"},
	threat.Unauthenticated: {http.StatusUnauthorized, "Please sign in"},
	threat.Forbidden:       {http.StatusForbidden, "You may not do that"},
	threat.NotFound:        {http.StatusNotFound, "There is nothing here"},
	threat.Conflict:        {http.StatusConflict, "It has changed meanwhile"},
	threat.Stale:           {http.StatusConflict, "The facts have changed meanwhile"},
	threat.Expired:         {http.StatusGone, "Its time is over"},
	threat.TooLarge:        {http.StatusRequestEntityTooLarge, "That is too large"},
	threat.RateLimited:     {http.StatusTooManyRequests, "Too many at once"},
	threat.Unavailable:     {http.StatusServiceUnavailable, "Firebreak cannot do that right now"},
	threat.Unsupported:     {http.StatusUnprocessableEntity, "That cannot be done here"},
	threat.Unknown:         {http.StatusBadGateway, "It may have happened"},
	threat.Internal:        {http.StatusInternalServerError, "Something is broken on our side"},
}

// errorPage is the one page for all faults.
type errorPage struct {
	frame
	What   string
	Place  string
	Next   string
	SignIn bool
}

// fail shows the error page. What it says comes from the fault; a cause goes to the log only.
func (k *call) fail(err error) {
	f := &threat.Fault{Kind: threat.Internal, What: "the page could not be made"}
	errors.As(err, &f)
	fp, ok := faultPages[f.Kind]
	if !ok {
		fp = faultPages[threat.Internal]
	}
	if fp.status >= http.StatusInternalServerError {
		k.deps.Log.ErrorContext(k.ctx(), "a page failed", "request", k.id, "path", k.r.Pattern, "kind", f.Kind, "error", err,
			"cause", f.Err)
	}
	if f.RetryAfter > 0 {
		k.w.Header().Set("Retry-After", strconv.Itoa(int(max(f.RetryAfter.Seconds(), 1))))
	}
	p := &errorPage{frame: k.frame(fp.title, ""), What: sentence(threat.Inert(f.What, 400)), Place: threat.Inert(f.Place, 200),
		Next: sentence(threat.Inert(f.Next, 400)), SignIn: f.Kind == threat.Unauthenticated}
	p.RequestID = k.id
	if err := k.render(fp.status, "error", p); err != nil {
		k.deps.Log.ErrorContext(k.ctx(), "the error page failed", "request", k.id, "error", err)
		http.Error(k.w, fp.title, fp.status)
	}
}

func notFound(*call) error {
	return &threat.Fault{Kind: threat.NotFound, What: "there is no such page", Next: "go back to the queue"}
}
