package threat

import (
	"time"

	"github.com/google/uuid"
)

// ResponseState is where an action stands in its life.
type ResponseState string

const (
	ResponseProposed       ResponseState = "proposed"
	ResponseAsked          ResponseState = "asked"
	ResponseActing         ResponseState = "acting"
	ResponsePendingOffline ResponseState = "pending_offline"
	ResponseVerified       ResponseState = "verified" // the device said so
	ResponseHeld           ResponseState = "held"     // verified, its clock runs, and it is read again
	ResponseReleased       ResponseState = "released"
	ResponseDenied         ResponseState = "denied"
	ResponseExpired        ResponseState = "expired" // nobody answered in time
	ResponseStale          ResponseState = "stale"   // facts moved; it is decided anew
	ResponseSuperseded     ResponseState = "superseded"
	ResponseFailed         ResponseState = "failed"
	ResponseUnknown        ResponseState = "unknown" // it may have happened; settled by reading
)

// Terminal reports whether nothing follows any more.
func (s ResponseState) Terminal() bool {
	switch s {
	case ResponseReleased, ResponseDenied, ResponseExpired, ResponseSuperseded, ResponseFailed:
		return true
	}
	return false
}

// responseSteps is the life of a response: from a state to those that may follow it.
var responseSteps = map[ResponseState][]ResponseState{
	ResponseProposed: {ResponseAsked, ResponseActing, ResponseDenied, ResponseStale, ResponseSuperseded, ResponseFailed,
		ResponsePendingOffline},
	ResponseAsked: {ResponseActing, ResponseDenied, ResponseExpired, ResponseStale, ResponseSuperseded, ResponseFailed,
		ResponsePendingOffline, ResponseProposed},
	ResponseStale: {ResponseProposed, ResponseAsked, ResponseActing, ResponseDenied, ResponseSuperseded, ResponseFailed},
	ResponsePendingOffline: {ResponseActing, ResponseStale, ResponseSuperseded, ResponseFailed, ResponseExpired,
		ResponseProposed},
	ResponseActing: {ResponseVerified, ResponseUnknown, ResponseFailed, ResponsePendingOffline, ResponseReleased,
		ResponseStale},
	ResponseUnknown:  {ResponseVerified, ResponseFailed, ResponseActing, ResponseReleased},
	ResponseVerified: {ResponseHeld, ResponseUnknown, ResponseReleased, ResponseFailed},
	ResponseHeld:     {ResponseReleased, ResponseUnknown, ResponseFailed, ResponseActing, ResponseVerified},
}

// MayBecome reports whether a response may go from s to next. Staying is always allowed.
func (s ResponseState) MayBecome(next ResponseState) bool {
	if s == next {
		return true
	}
	for _, n := range responseSteps[s] {
		if n == next {
			return true
		}
	}
	return false
}

// Response is an action's life.
type Response struct {
	Action
	Number     int64         `json:"number"` // of the case's responses, from 1
	State      ResponseState `json:"state"`
	Why        string        `json:"why"`      // why it stands where it stands, for people
	Required   bool          `json:"required"` // counts towards contained
	AskedBy    string        `json:"asked_by"` // the actor who wanted it: system for a plan
	DecisionID uuid.NullUUID `json:"decision_id"`
	RequestID  uuid.NullUUID `json:"request_id"` // the newest one
	Basis      Basis         `json:"basis"`
	Facts      Revisions     `json:"facts"` // of the decision
	Stales     int           `json:"stales"`
	Version    int64         `json:"version"` // optimistic: Save compares it
	HoldFrom   *time.Time    `json:"hold_from,omitempty"`
	HoldUntil  *time.Time    `json:"hold_until,omitempty"`
	Ending     string        `json:"ending,omitempty"` // why it is being released; set once, by an end or a person
	EndingBy   string        `json:"ending_by,omitempty"`
	Extended   int           `json:"extended"`
	Holders    []Holder      `json:"holders"` // one a connection
	CreatedAt  time.Time     `json:"created_at"`
	UpdatedAt  time.Time     `json:"updated_at"`
	EndedAt    *time.Time    `json:"ended_at,omitempty"`
}
