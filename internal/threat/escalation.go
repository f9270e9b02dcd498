package threat

import (
	"time"

	"github.com/google/uuid"
)

// EscalationState is where the attempts to reach the customer stand.
type EscalationState string

const (
	EscalationRunning      EscalationState = "running"
	EscalationAcknowledged EscalationState = "acknowledged"
	EscalationExhausted    EscalationState = "exhausted" // every step of every round is over
	EscalationCancelled    EscalationState = "cancelled" // the case closed, or nobody had to be told any more
)

// ChainStep is one step of an escalation's chain: who is tried, for how long, before the next one.
type ChainStep struct {
	Position int           `json:"position"`
	PersonID uuid.UUID     `json:"person_id"`
	Name     string        `json:"name"`
	Wait     time.Duration `json:"wait"`
	Methods  []Method      `json:"methods"`
}

// Escalation is the attempts to reach authorised contacts in turn, and what came of each. Its chain is a snapshot taken
// when it began.
type Escalation struct {
	ID         uuid.UUID       `json:"id"`
	TenantID   uuid.UUID       `json:"tenant_id"`
	CaseID     uuid.UUID       `json:"case_id"`
	Number     int             `json:"number"` // of the case's escalations, from 1
	Chain      []ChainStep     `json:"chain"`
	Rounds     int             `json:"rounds"`
	AckFor     time.Duration   `json:"ack_for"` // how long an acknowledgement holds
	Subject    string          `json:"subject"` // what it is about, in a line
	State      EscalationState `json:"state"`
	DecisionID uuid.NullUUID   `json:"decision_id"`
	StartedAt  time.Time       `json:"started_at"`
	EndedAt    *time.Time      `json:"ended_at,omitempty"`
	AckBy      string          `json:"ack_by,omitempty"`
	AckVia     string          `json:"ack_via,omitempty"`
}

// AttemptState is what became of one message.
type AttemptState string

const (
	AttemptPlanned  AttemptState = "planned"
	AttemptSending  AttemptState = "sending" // written before the call; without a result it is unknown
	AttemptAccepted AttemptState = "accepted"
	AttemptRefused  AttemptState = "refused"
	AttemptUnknown  AttemptState = "unknown" // may have gone out; not repeated, and never counted as accepted
	AttemptSkipped  AttemptState = "skipped" // acknowledged before it was due, or the contact is a subject of the case
)

// Attempt is one message to one person over one channel, with the four facts that are never mixed: delivered, seen,
// acknowledged, and (in the door) decided.
type Attempt struct {
	ID             uuid.UUID    `json:"id"`
	TenantID       uuid.UUID    `json:"tenant_id"`
	CaseID         uuid.UUID    `json:"case_id"`
	EscalationID   uuid.UUID    `json:"escalation_id"`
	Round          int          `json:"round"`
	Position       int          `json:"position"`
	PersonID       uuid.UUID    `json:"person_id"`
	Channel        string       `json:"channel"`
	ConnectionID   uuid.UUID    `json:"connection_id"`
	Address        string       `json:"address"`
	Interruptive   bool         `json:"interruptive"` // rings: phone, SMS, pager
	TwoWay         bool         `json:"two_way"`      // can bring an answer back; one that cannot never counts towards unreachable
	State          AttemptState `json:"state"`
	Error          string       `json:"error,omitempty"`
	ProviderID     string       `json:"provider_id,omitempty"` // the provider's own id of the message
	DueAt          time.Time    `json:"due_at"`
	SentAt         *time.Time   `json:"sent_at,omitempty"`
	AcceptedAt     *time.Time   `json:"accepted_at,omitempty"`
	DeliveredAt    *time.Time   `json:"delivered_at,omitempty"`
	SeenAt         *time.Time   `json:"seen_at,omitempty"`
	AcknowledgedAt *time.Time   `json:"acknowledged_at,omitempty"`
}

// AttemptID is the id of an attempt: a rebuilt escalation finds those that it made before.
func AttemptID(escalation uuid.UUID, round, position, method string) uuid.UUID {
	return DerivedID("attempt", escalation.String(), round, position, method)
}

// Reach sums up an escalation's attempts. Unreachable is computed from it, never told.
type Reach struct {
	Contacts     int  `json:"contacts"`     // authorised contacts in the chain
	TriedToEnd   int  `json:"tried_to_end"` // of them, those whose every step is over in every round
	Interrupted  int  `json:"interrupted"`  // of them, those with an accepted attempt over a two-way interruptive channel
	Accepted     int  `json:"accepted"`     // attempts that a provider accepted
	Undelivered  int  `json:"undelivered"`  // attempts refused or unknown
	Acknowledged bool `json:"acknowledged"` // an acknowledgement holds
	Over         bool `json:"over"`         // the escalation has run to its end
}

// Unreachable reports whether every authorised contact was tried to the end, over at least one interruptive channel each
// that can bring an answer back, and none acknowledged. Nobody to try is not unreachable.
func (r Reach) Unreachable() bool {
	return r.Over && !r.Acknowledged && r.Contacts > 0 && r.TriedToEnd == r.Contacts && r.Interrupted == r.Contacts
}

// Undeliverable reports whether nothing went out to anybody though it was tried: that pages the provider, and is never
// a consent.
func (r Reach) Undeliverable() bool {
	return r.Over && !r.Acknowledged && r.Accepted == 0 && r.Undelivered > 0
}
