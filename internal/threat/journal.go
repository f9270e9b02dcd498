package threat

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// EntryKind names what a journal entry records. Dotted: the noun, then what became of it.
type EntryKind string

const (
	EntryDetectionReceived    EntryKind = "detection.received"
	EntryDetectionAssigned    EntryKind = "detection.assigned"
	EntryDetectionDuplicate   EntryKind = "detection.duplicate"
	EntryDetectionSuppressed  EntryKind = "detection.suppressed"
	EntryDetectionQuarantined EntryKind = "detection.quarantined"
	EntryCaseOpened           EntryKind = "case.opened"
	EntryCaseThreat           EntryKind = "case.threat"
	EntryCaseContact          EntryKind = "case.contact"
	EntryCaseClosed           EntryKind = "case.closed"
	EntryCaseNote             EntryKind = "case.note"
	EntryDecision             EntryKind = "decision.recorded"
	EntryRequestOpened        EntryKind = "request.opened"
	EntryRequestClosed        EntryKind = "request.closed"
	EntryClickAccepted        EntryKind = "click.accepted"
	EntryClickRefused         EntryKind = "click.refused"
	EntryResponseProposed     EntryKind = "response.proposed"
	EntryResponseState        EntryKind = "response.state"
	EntryClaimGranted         EntryKind = "claim.granted"
	EntryClaimJoined          EntryKind = "claim.joined"
	EntryClaimRefused         EntryKind = "claim.refused"
	EntryClaimResult          EntryKind = "claim.result"
	EntryEffectVerified       EntryKind = "effect.verified"
	EntryEffectDrift          EntryKind = "effect.drift"
	EntryEffectReleased       EntryKind = "effect.released"
	EntryEscalationStarted    EntryKind = "escalation.started"
	EntryEscalationEnded      EntryKind = "escalation.ended"
	EntryAttempt              EntryKind = "attempt.state"
	EntryAcknowledged         EntryKind = "acknowledgement.given"
	EntryAckBroken            EntryKind = "acknowledgement.broken"
	EntryModeChanged          EntryKind = "tenant.mode"
	EntryModeTold             EntryKind = "tenant.mode_told"
	EntryStopChanged          EntryKind = "tenant.stop"
	EntryProtectionChanged    EntryKind = "tenant.protection"
	EntrySettingsChanged      EntryKind = "tenant.settings"
	EntryContactsChanged      EntryKind = "tenant.contacts"
	EntryConnectionChanged    EntryKind = "tenant.connection"
	EntryOrganisation         EntryKind = "organisation.created"
	EntryPerson               EntryKind = "person.changed"
	EntryToken                EntryKind = "token.changed"
	EntrySignIn               EntryKind = "session.signin"
	EntryAccessDenied         EntryKind = "access.denied"
	EntryPolicy               EntryKind = "policy.loaded"
	EntryErased               EntryKind = "payload.erased"
	EntryPage                 EntryKind = "provider.paged"
)

// Entry is one record of an organisation's journal. Key is deterministic: appending the same key again returns the
// first entry unchanged.
type Entry struct {
	OrgID   uuid.UUID       `json:"org_id"`
	Seq     int64           `json:"seq"` // from 1, without a gap
	Key     string          `json:"key"`
	Kind    EntryKind       `json:"kind"`
	At      time.Time       `json:"at"`
	CaseID  uuid.NullUUID   `json:"case_id"`
	Actor   string          `json:"actor"`   // "system", "person:<id>", "token:<id>"
	Subject string          `json:"subject"` // what it is about: "detection:<id>"
	Payload json.RawMessage `json:"payload"` // null when erased
	Erased  bool            `json:"erased,omitempty"`
	Digest  string          `json:"digest"` // SHA-256 of salt and payload
	Prev    string          `json:"prev"`   // hash of the entry before
	Hash    string          `json:"hash"`   // of all of the above but the payload
}
