package threat

import (
	"errors"
	"fmt"
	"time"
)

// FaultKind classes an error by what its reader can do about it. The API maps each kind to one HTTP status and the
// command line to one exit code; see docs/errors.md.
type FaultKind string

const (
	Invalid         FaultKind = "invalid"         // the caller's input is wrong; Place says where
	Unauthenticated FaultKind = "unauthenticated" // nobody we know
	Forbidden       FaultKind = "forbidden"       // known, without the right
	NotFound        FaultKind = "not_found"       // absent, or not the caller's to see
	Conflict        FaultKind = "conflict"        // the state moved on; read it again
	Stale           FaultKind = "stale"           // a fact differs from what a decision rested on; decide anew
	Expired         FaultKind = "expired"         // its time is up
	TooLarge        FaultKind = "too_large"       // over a documented limit
	RateLimited     FaultKind = "rate_limited"    // try again after RetryAfter
	Unavailable     FaultKind = "unavailable"     // a part is down or full; nothing was changed
	Unsupported     FaultKind = "unsupported"     // this cannot be done here, and was refused before it began
	Unknown         FaultKind = "unknown"         // it may have happened: read before repeating
	Internal        FaultKind = "internal"        // a defect of ours
)

// Fault is the error of this program: its kind, what went wrong, where, and what to do next. None of its texts may
// carry a secret or a customer's payload.
type Fault struct {
	Kind       FaultKind
	What       string        // what went wrong, in a sentence without a final stop
	Place      string        // where in the input, as a JSON pointer or a flag; may be empty
	Next       string        // what the reader can do; may be empty
	RetryAfter time.Duration // with RateLimited and Unavailable; zero when not told
	Err        error         // the cause, for logs; its text is not shown to callers of the API
}

// Error gives what, place and next on one line. The cause is left to Unwrap: it may name internals.
func (f *Fault) Error() string {
	s := string(f.Kind) + ": " + f.What
	if f.Place != "" {
		s += " (at " + f.Place + ")"
	}
	if f.Next != "" {
		s += "; " + f.Next
	}
	return s
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Faultf makes a fault of a kind; a %w operand becomes its cause.
func Faultf(kind FaultKind, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	return &Fault{Kind: kind, What: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf gives the kind of the first fault in err's chain, Internal for any other error and "" for nil.
func KindOf(err error) FaultKind {
	if err == nil {
		return ""
	}
	var f *Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return Internal
}

// Is reports whether err is a fault of the given kind.
func Is(err error, kind FaultKind) bool { return err != nil && KindOf(err) == kind }
