package adaptertest

import "github.com/firebreak/firebreak/internal/threat"

// Fault is one way in which a request can go wrong.
type Fault string

const (
	TimeoutBefore Fault = "time-out before the effect" // the request is taken, nothing happens, no answer
	TimeoutAfter  Fault = "time-out after the effect"
	Cut           Fault = "connection cut after the effect"
	Refused       Fault = "no connection"
	Status401     Fault = "401"
	Status403     Fault = "403"
	Status404     Fault = "404"
	Status409     Fault = "409"
	Status429     Fault = "429 with Retry-After"
	Status500     Fault = "500"
	Status503     Fault = "503"
	LyingSuccess  Fault = "success without the effect"
)

// RetryAfter is the number of seconds that a fault of Status429 asks for.
const RetryAfter = 7

// Row is one line of the matrix.
type row struct {
	fault Fault
	// kind is what a change must answer; "" is an answer without an error.
	kind threat.FaultKind
	// effect reports whether the change took place all the same.
	effect bool
	// read is what a read that meets it must answer; "" leaves reads out.
	read threat.FaultKind
}

// matrix is what every adapter is put through.
var matrix = []row{
	{TimeoutBefore, threat.Unknown, false, threat.Unavailable},
	{TimeoutAfter, threat.Unknown, true, ""},
	{Cut, threat.Unknown, true, threat.Unavailable},
	{Refused, threat.Unavailable, false, threat.Unavailable},
	{Status401, threat.Unauthenticated, false, threat.Unauthenticated},
	{Status403, threat.Forbidden, false, threat.Forbidden},
	{Status404, threat.NotFound, false, ""}, // a read may take it for an honest absence
	{Status409, threat.Conflict, false, ""},
	{Status429, threat.RateLimited, false, threat.RateLimited},
	{Status500, threat.Unknown, false, threat.Unavailable},
	{Status503, threat.Unavailable, false, threat.Unavailable},
	{LyingSuccess, "", false, ""},
}

// Faults lists every fault of the matrix.
func Faults() []Fault {
	out := make([]Fault, len(matrix))
	for i, r := range matrix {
		out[i] = r.fault
	}
	return out
}
