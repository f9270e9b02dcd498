package threat

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ThreatState says how far the threat of a case has got.
type ThreatState string

const (
	ThreatSuspected ThreatState = "suspected"
	ThreatActive    ThreatState = "active"
	ThreatContained ThreatState = "contained" // every required effect verified on its device
	ThreatResolved  ThreatState = "resolved"
)

// ContactState says how the case stands with the customer. Delivered, seen, acknowledged and decided are kept apart in
// the attempts; this is their sum.
type ContactState string

const (
	ContactNone          ContactState = ""              // nobody was to be told yet
	ContactTrying        ContactState = "trying"        // an escalation runs
	ContactAcknowledged  ContactState = "acknowledged"  // somebody said they are on it; authorises nothing
	ContactUnreachable   ContactState = "unreachable"   // everybody was tried to the end, and nobody answered
	ContactUndeliverable ContactState = "undeliverable" // messages could not be sent; never a consent
	ContactExhausted     ContactState = "exhausted"     // tried to the end, but not everybody over an interruptive channel
)

// Case is what belongs together.
type Case struct {
	ID              uuid.UUID    `json:"id"`
	TenantID        uuid.UUID    `json:"tenant_id"`
	Number          int64        `json:"number"` // shown as FB-1042
	Title           string       `json:"title"`
	Severity        Severity     `json:"severity"`
	Threat          ThreatState  `json:"threat"`
	ThreatVersion   int64        `json:"threat_version"`
	Contact         ContactState `json:"contact"`
	ContactVersion  int64        `json:"contact_version"` // rises when an acknowledgement or the sum of attempts changes
	AckBy           string       `json:"ack_by,omitempty"`
	AckUntil        *time.Time   `json:"ack_until,omitempty"`
	Cursor          int64        `json:"cursor"`   // the Seq of the last detection that the case has acted on
	LastDetection   int64        `json:"last_seq"` // the Seq of the newest detection assigned
	LastAdversaryAt *time.Time   `json:"adversary_at,omitempty"`
	OpenedAt        time.Time    `json:"opened_at"`
	UpdatedAt       time.Time    `json:"updated_at"`
	ClosedAt        *time.Time   `json:"closed_at,omitempty"`
	ClosedBy        string       `json:"closed_by,omitempty"`
	CloseReason     string       `json:"close_reason,omitempty"`
	Simulated       bool         `json:"simulated"`
}

// Name is how people call the case.
func (c Case) Name() string { return fmt.Sprintf("FB-%d", c.Number) }

// Open reports whether the case still runs.
func (c Case) Open() bool { return c.ClosedAt == nil }

// Acknowledged reports whether an acknowledgement holds at t.
func (c Case) Acknowledged(t time.Time) bool { return c.AckUntil != nil && t.Before(*c.AckUntil) }

// RowKind is the report's colour of a timeline row.
type RowKind string

const (
	RowAdversary RowKind = "adversary"
	RowDetection RowKind = "detection"
	RowAction    RowKind = "action"
	RowNotable   RowKind = "notable"
)

// TimelineRow is one line of a case's timeline, read from the journal and the detections.
type TimelineRow struct {
	At     time.Time `json:"at"`
	Kind   RowKind   `json:"kind"`
	Text   string    `json:"text"`
	Tactic string    `json:"tactic,omitempty"` // an ATT&CK technique or tactic
	Actor  string    `json:"actor,omitempty"`
	Ref    string    `json:"ref,omitempty"` // what it is about: "detection:<id>", "response:<id>"
}
