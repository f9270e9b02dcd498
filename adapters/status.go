package adapters

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// statusKinds is the table from an HTTP status (RFC 9110 and the IANA registry) to what its reader can do. What is not
// in it goes by its hundred: see StatusKind.
var statusKinds = map[int]threat.FaultKind{
	401: threat.Unauthenticated,
	402: threat.Forbidden, // a licence that is not there
	403: threat.Forbidden,
	404: threat.NotFound,
	407: threat.Unavailable, // a proxy on the way wants credentials
	408: threat.Unavailable, // the request did not arrive whole
	409: threat.Conflict,
	410: threat.NotFound,
	412: threat.Conflict,
	413: threat.TooLarge,
	421: threat.Unavailable,
	423: threat.Conflict,
	425: threat.Unavailable,
	428: threat.Conflict,
	429: threat.RateLimited,
	451: threat.Forbidden,
	501: threat.Unsupported,
	503: threat.Unavailable,
	507: threat.Unavailable,
	511: threat.Unavailable,
}

// StatusKind classes an HTTP status of a device's answer; "" is success (2xx). With changes, the request asked for a
// change: then a 5xx that does not say otherwise may have come after the effect, and is Unknown. A redirect is Invalid:
// it is never followed, since it would carry a credential elsewhere or turn a change into a read.
func StatusKind(status int, changes bool) threat.FaultKind {
	if status >= 200 && status < 300 {
		return ""
	}
	if k, ok := statusKinds[status]; ok {
		return k
	}
	switch {
	case status >= 300 && status < 500:
		return threat.Invalid
	case changes:
		return threat.Unknown
	}
	return threat.Unavailable
}

// MaxRetryAfter is the longest wait that an answer can ask for; a longer one is cut to it.
const MaxRetryAfter = time.Hour

// RetryAfter reads when a device wants to be asked again: Retry-After in seconds or as a date (RFC 9110, 10.2.3), else
// the headers that vendors use beside it. Zero when it does not tell.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	wait := func(d time.Duration) time.Duration { return min(max(d, 0), MaxRetryAfter) }
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if n, err := strconv.ParseFloat(v, 64); err == nil && n == n {
			return wait(seconds(n))
		}
		if t, err := http.ParseTime(v); err == nil {
			return wait(t.Sub(now))
		}
	}
	for _, name := range []string{"X-Ratelimit-Retryafter", "X-Rate-Limit-Reset", "X-Ratelimit-Reset", "Ratelimit-Reset"} {
		n, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64)
		if err != nil || n != n || n <= 0 {
			continue
		}
		if n > 1e9 { // a moment of the Unix clock, not a span
			return wait(time.Unix(int64(min(n, 1e12)), 0).Sub(now))
		}
		return wait(seconds(n))
	}
	return 0
}

// seconds gives a duration, cut to MaxRetryAfter before the multiplication can overflow.
func seconds(n float64) time.Duration {
	return time.Duration(min(max(n, 0), MaxRetryAfter.Seconds()) * float64(time.Second))
}
