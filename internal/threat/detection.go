package threat

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Severity is OCSF's severity_id: 0 unknown, 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal.
type Severity int

const (
	SeverityUnknown Severity = iota
	SeverityInformational
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
	SeverityFatal
)

var severityNames = [...]string{"unknown", "informational", "low", "medium", "high", "critical", "fatal"}

// String gives the name of a severity; values out of range are unknown.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return severityNames[0]
	}
	return severityNames[s]
}

// DetectionState is where a detection stands on its way to a case.
type DetectionState string

const (
	DetectionReceived    DetectionState = "received"    // durable, not triaged yet
	DetectionAssigned    DetectionState = "assigned"    // belongs to exactly one case
	DetectionDuplicate   DetectionState = "duplicate"   // repeats another, and belongs to that one's case
	DetectionSuppressed  DetectionState = "suppressed"  // policy said that it opens nothing
	DetectionQuarantined DetectionState = "quarantined" // could not be read; kept raw for a person
)

// ClockMark notes an event time that cannot be right: it is kept, and marked.
type ClockMark string

const (
	ClockFine   ClockMark = ""
	ClockAhead  ClockMark = "ahead"  // over 5 minutes ahead of us
	ClockBehind ClockMark = "behind" // over 7 days old
)

// MaxCorrelated is how many observables of a detection are correlated; the rest stay in its record.
const MaxCorrelated = 256

// Detection is one finding of one product, kept raw and as an OCSF 1.8 Detection Finding (class 2004).
type Detection struct {
	ID          uuid.UUID       `json:"id"`
	TenantID    uuid.UUID       `json:"tenant_id"`
	Seq         int64           `json:"seq"`     // the store's order of arrival until it is assigned, then its place in its case, from 1: the cursor by which a case pulls
	Product     string          `json:"product"` // ocsf, crowdsec, suricata
	Sensor      string          `json:"sensor"`  // the token or connection that sent it
	UID         string          `json:"uid"`     // the product's own id of the finding; may be empty
	Title       string          `json:"title"`
	Severity    Severity        `json:"severity"`
	Techniques  []string        `json:"techniques,omitempty"` // ATT&CK ids, as the product told
	Observables []Observable    `json:"observables"`
	OCSF        json.RawMessage `json:"ocsf,omitempty"`
	Raw         []byte          `json:"-"`
	At          time.Time       `json:"at"` // when it happened, as the product says
	ReceivedAt  time.Time       `json:"received_at"`
	Clock       ClockMark       `json:"clock,omitempty"`
	DedupKey    string          `json:"dedup_key"` // equal for repetitions of the same finding
	State       DetectionState  `json:"state"`
	CaseID      uuid.NullUUID   `json:"case_id"`
	Reason      string          `json:"reason,omitempty"` // why suppressed, duplicate of what, or why unreadable
	Threat      ThreatState     `json:"threat,omitempty"` // what triage said of it
	Proposals   []Proposal      `json:"proposals,omitempty"`
	DecisionID  uuid.NullUUID   `json:"decision_id"` // of triage
}

// Proposal is one step of what triage would have done about a detection. The case plans it, policy decides on it.
type Proposal struct {
	Step     string `json:"step"` // names the plan's step; with the target it makes the action's id
	Verb     string `json:"verb"`
	Target   Target `json:"target"`
	Required bool   `json:"required"` // the case is contained only when this is verified
}

// Triage is what policy says about a detection, as ingest hands it to the store.
type Triage struct {
	DetectionID uuid.UUID
	DecisionID  uuid.UUID
	Suppress    bool
	Reason      string // why suppressed
	Title       string // of a case that it opens
	Severity    Severity
	Threat      ThreatState // suspected or active
	Proposals   []Proposal
}

// Assignment is what became of a triaged detection.
type Assignment struct {
	State  DetectionState
	CaseID uuid.NullUUID
	Opened bool // the case is new
	Of     uuid.NullUUID
}

// Adversary reports whether the finding is an adversary row of a timeline: it carries an ATT&CK technique.
func (d Detection) Adversary() bool { return len(d.Techniques) > 0 }
