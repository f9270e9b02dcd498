package api

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestEveryKindHasItsStatus(t *testing.T) {
	want := map[threat.FaultKind]int{threat.Invalid: 422, threat.Unauthenticated: 401, threat.Forbidden: 403, threat.NotFound: 404,
		threat.Conflict: 409, threat.Stale: 409, threat.Expired: 410, threat.TooLarge: 413, threat.RateLimited: 429, threat.Unavailable: 503,
		threat.Unsupported: 422, threat.Unknown: 502, threat.Internal: 500}
	require.Len(t, statuses, len(want))
	require.Len(t, titles, len(want))
	for kind, code := range want {
		p := problemOf(fmt.Errorf("around it: %w", &threat.Fault{Kind: kind, What: "what", Place: "/place", Next: "next",
			RetryAfter: 1500 * time.Millisecond, Err: errors.New("the cause")}), "id")
		require.Equal(t, code, p.Status, kind)
		require.Equal(t, kind, p.Kind)
		require.Equal(t, "urn:firebreak:problem:"+string(kind), p.Type)
		require.Equal(t, "id", p.RequestID)
		require.NotContains(t, fmt.Sprintf("%+v", p.Problem), "the cause")
		require.Equal(t, "2", p.GetHeaders().Get("Retry-After"))
		if kind == threat.Internal {
			require.NotEqual(t, "what", p.Detail, "what a defect says is for the log")
		} else {
			require.Equal(t, "what", p.Detail)
			require.Equal(t, "/place", p.Place)
			require.Equal(t, "next", p.Next)
		}
	}
	p := problemOf(errors.New("pq: password authentication failed for user x"), "")
	require.Equal(t, http.StatusInternalServerError, p.Status)
	require.NotContains(t, p.Detail, "password")
	require.Equal(t, http.StatusBadRequest, problemOf(unreadable(at("/a", "what")), "").Status)
	require.Equal(t, http.StatusForbidden, problemOf(unreadable(threat.Faultf(threat.Forbidden, "no")), "").Status)
}

func TestEveryRefusalHasItsStatus(t *testing.T) {
	for refusal, code := range map[threat.Refusal]int{threat.RefusedUnknown: 404, threat.RefusedNotAPerson: 403, threat.RefusedWrongPerson: 403,
		threat.RefusedSelf: 403, threat.RefusedSubject: 403, threat.RefusedTwice: 409, threat.RefusedDecided: 409,
		threat.RefusedExpired: 410, threat.RefusedChanged: 409, threat.RefusedSuperseded: 409, threat.RefusedNotNarrower: 409,
		threat.RefusedPolicy: 403, threat.RefusedStopped: 409, threat.RefusedStale: 409} {
		p := problemOf(&refused{threat.ClickAnswer{Refusal: refusal, Text: "no"}}, "")
		require.Equal(t, code, p.Status, refusal)
		require.Equal(t, refusal, p.Refusal)
		require.Equal(t, "no", p.Detail)
		require.NotNil(t, p.Answer)
	}
}
