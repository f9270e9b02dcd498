package threat

import (
	"time"

	"github.com/google/uuid"
)

// Question is what policy can be asked.
type Question string

const (
	AskTriage   Question = "triage"
	AskEscalate Question = "escalate"
	AskRespond  Question = "respond"
	AskApprove  Question = "approve"
	AskAccess   Question = "access"
)

// Questions lists the five questions.
var Questions = []Question{AskTriage, AskEscalate, AskRespond, AskApprove, AskAccess}

// Effectuate is what policy says about one action.
type Effectuate string

const (
	Execute Effectuate = "execute"
	Ask     Effectuate = "ask"
	Deny    Effectuate = "deny"
)

// Basis is the right on which an execution rests. Claim checks it again under the tenant's lock.
type Basis string

const (
	BasisNone        Basis = ""
	BasisMode        Basis = "mode"        // authorize
	BasisApproval    Basis = "approval"    // an approved request
	BasisUnreachable Basis = "unreachable" // collaborate_unreachable, and nobody was reached
)

// RuleLabel names a rule that took part in an answer; it is shown to the approver and kept with the decision.
type RuleLabel struct {
	ID    string `json:"id"`    // stable, e.g. respond.mode.collaborate
	Title string `json:"title"` // in words
}

// Approvers says who may approve and how many must. An empty list of roles means nobody.
type Approvers struct {
	Roles    []Role `json:"roles"`
	Needed   int    `json:"needed"`
	FourEyes bool   `json:"four_eyes"` // whoever asked for the action may not approve it
}

// Revisions are the facts' versions that a decision rested on. Claim compares them.
type Revisions struct {
	Mode       int64  `json:"mode"`
	Stop       int64  `json:"stop"`
	Protection int64  `json:"protection"`
	Settings   int64  `json:"settings"`
	Contact    int64  `json:"contact"`
	Threat     int64  `json:"threat"`
	Policy     string `json:"policy"` // the bundle's revision; not compared, but kept
}

// Decision is one answer of policy, recorded whole. Its input and answer are stored by content under their digests.
type Decision struct {
	ID         uuid.UUID     `json:"id"`
	TenantID   uuid.UUID     `json:"tenant_id"`
	CaseID     uuid.NullUUID `json:"case_id"`
	SubjectID  uuid.UUID     `json:"subject_id"` // the detection, case, response or request it is about
	Question   Question      `json:"question"`
	Revision   string        `json:"revision"` // of the policy bundle
	Input      []byte        `json:"-"`        // canonical JSON
	Answer     []byte        `json:"-"`        // canonical JSON
	InputHash  string        `json:"input_sha256"`
	AnswerHash string        `json:"answer_sha256"`
	Rules      []RuleLabel   `json:"rules"`
	Reasons    []string      `json:"reasons"`
	Fault      string        `json:"fault,omitempty"` // undefined, error, timeout: the safe answer was taken instead
	At         time.Time     `json:"at"`
}

// RespondDecision is the respond answer as the rest of the house uses it.
type RespondDecision struct {
	DecisionID uuid.UUID     `json:"decision_id"`
	Effect     Effectuate    `json:"effect"`
	Basis      Basis         `json:"basis"`
	Approvers  Approvers     `json:"approvers"`
	AskFor     time.Duration `json:"ask_for"`  // how long a request stays open
	Duration   time.Duration `json:"duration"` // of the containment; never zero with execute or ask
	End        End           `json:"end"`
	Silence    string        `json:"silence"` // what happens if nobody answers, in words
	Guard      string        `json:"guard,omitempty"`
	Narrower   string        `json:"narrower,omitempty"`
	Rules      []RuleLabel   `json:"rules"`
	Reasons    []string      `json:"reasons"`
	Facts      Revisions     `json:"facts"`
}
