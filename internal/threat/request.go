package threat

import (
	"time"

	"github.com/google/uuid"
)

// RequestKind is what a request asks for.
type RequestKind string

const (
	RequestAct RequestKind = "act" // may we do this?
	RequestEnd RequestKind = "end" // its time is up: approve releases it, deny holds it for as long again
)

// RequestState is where a request stands.
type RequestState string

const (
	RequestOpen       RequestState = "open"
	RequestApproved   RequestState = "approved"
	RequestDenied     RequestState = "denied"
	RequestExpired    RequestState = "expired"
	RequestSuperseded RequestState = "superseded" // a narrower one, or a new decision, took its place
)

// RequestBody is what people are shown and what they approve. Its digest is the SHA-256 of its canonical JSON (RFC 8785).
type RequestBody struct {
	TenantID    uuid.UUID         `json:"tenant_id"`
	CaseID      uuid.UUID         `json:"case_id"`
	ResponseID  uuid.UUID         `json:"response_id"`
	Kind        RequestKind       `json:"kind"`
	Verb        string            `json:"verb"`
	Targets     []Target          `json:"targets"`
	Params      map[string]string `json:"params"`
	Seconds     int64             `json:"duration_seconds"`
	Connections []uuid.UUID       `json:"connections"`
	End         End               `json:"end"`
	Round       int               `json:"round"` // rises with every new question about the same response
}

// Request is one question to people.
type Request struct {
	ID         uuid.UUID     `json:"id"`
	TenantID   uuid.UUID     `json:"tenant_id"`
	CaseID     uuid.UUID     `json:"case_id"`
	ResponseID uuid.UUID     `json:"response_id"`
	DecisionID uuid.UUID     `json:"decision_id"`
	Body       RequestBody   `json:"body"`
	Digest     string        `json:"digest"`
	Approvers  Approvers     `json:"approvers"`
	AskedBy    string        `json:"asked_by"` // an actor; what four eyes compares with
	Rules      []RuleLabel   `json:"rules"`
	Reasons    []string      `json:"reasons"`
	Silence    string        `json:"silence"`
	State      RequestState  `json:"state"`
	ClosedWhy  string        `json:"closed_why,omitempty"`
	Supersedes uuid.NullUUID `json:"supersedes"`
	OpenedAt   time.Time     `json:"opened_at"`
	ExpiresAt  time.Time     `json:"expires_at"`
	ClosedAt   *time.Time    `json:"closed_at,omitempty"`
	Votes      []Vote        `json:"votes"`
}

// VerdictKind is what a person says to a request.
type VerdictKind string

const (
	VerdictApprove VerdictKind = "approve"
	VerdictNarrow  VerdictKind = "narrow" // approve a narrower action
	VerdictDeny    VerdictKind = "deny"
	VerdictMore    VerdictKind = "more" // ask for more; decides nothing
)

// Vote is one accepted verdict.
type Vote struct {
	RequestID uuid.UUID   `json:"request_id"`
	PersonID  uuid.UUID   `json:"person_id"`
	Name      string      `json:"name"`
	Role      Role        `json:"role"` // the role in which it counted
	Verdict   VerdictKind `json:"verdict"`
	Reason    string      `json:"reason"`
	Surface   string      `json:"surface"`
	At        time.Time   `json:"at"`
}

// Click is one attempt to decide, as a surface hands it to the door.
type Click struct {
	RequestID uuid.UUID   `json:"request_id"`
	Caller    Caller      `json:"caller"`
	Verdict   VerdictKind `json:"verdict"`
	Digest    string      `json:"digest"` // of what the person was shown
	Narrower  *Narrowing  `json:"narrower,omitempty"`
	Reason    string      `json:"reason"`
}

// Narrowing is how an approver makes an action smaller. Zero fields keep what was asked.
type Narrowing struct {
	Seconds     int64       `json:"duration_seconds,omitempty"` // shorter
	Connections []uuid.UUID `json:"connections,omitempty"`      // a part of them
}

// Refusal says why the door did not accept a click. Each is journalled.
type Refusal string

const (
	RefusedNone        Refusal = ""
	RefusedUnknown     Refusal = "no_such_request"
	RefusedNotAPerson  Refusal = "not_a_person"
	RefusedWrongPerson Refusal = "wrong_person" // no right over this tenant or verb
	RefusedSelf        Refusal = "four_eyes"    // they asked for it
	RefusedSubject     Refusal = "subject_of_case"
	RefusedTwice       Refusal = "already_voted"
	RefusedDecided     Refusal = "already_decided"
	RefusedExpired     Refusal = "expired"
	RefusedChanged     Refusal = "changed" // the digest is not that of the request
	RefusedSuperseded  Refusal = "superseded"
	RefusedNotNarrower Refusal = "not_narrower"
	RefusedPolicy      Refusal = "policy"      // policy said no, or could not answer
	RefusedStopped     Refusal = "stopped"     // the tenant is stopped; only ends may be decided
	RefusedStale       Refusal = "stale_facts" // facts moved under the decision three times; try again
)

// ClickAnswer is what the door answered.
type ClickAnswer struct {
	Accepted bool          `json:"accepted"`
	Refusal  Refusal       `json:"refusal,omitempty"`
	Text     string        `json:"text"`  // for the person, in a sentence
	State    RequestState  `json:"state"` // of the request afterwards
	Have     int           `json:"have"`  // approvals so far
	Need     int           `json:"need"`
	Next     uuid.NullUUID `json:"next"` // the narrower request that took this one's place
}
