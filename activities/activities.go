// Package activities holds what the workflows do: each step reads where the store stands, decides what is next, and says
// so. A step may be run again at any time, after a crash or by a workflow that was started anew, so it never carries a
// fact of its own from one call to the next.
//
// The package declares the interfaces that it needs of the other rooms; it imports neither the store nor policy.
package activities

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// The names under which activities are registered. They stand in recorded histories: never change one.
const (
	CaseStep          = "case.step"
	EscalationStep    = "escalation.step"
	EscalationPerform = "escalation.perform"
	ResponseStep      = "response.step"
	ResponsePerform   = "response.perform"
)

// The kinds of what a workflow looks after. They are also the kinds of nudges.
const (
	KindCase       = "case"
	KindEscalation = "escalation"
	KindResponse   = "response"
)

// Kinds lists every kind that has a workflow.
var Kinds = []string{KindCase, KindEscalation, KindResponse}

// SignalNudge is the signal that wakes a workflow. It carries nothing: the workflow reads what it means from the store.
const SignalNudge = "nudge"

// The kinds of tasks. A task touches the outside and is run by Perform, once for each time it is planned.
const (
	TaskAttempt = "attempt" // send one message to one contact: AttemptID
	TaskCancel  = "cancel"  // take a message back at its channel, when the escalation is over: AttemptID
	TaskAct     = "act"     // put one effect in force under a claim: ClaimID
	TaskRead    = "read"    // ask the device what stands there after a send without a result: ClaimID
	TaskVerify  = "verify"  // read whether the effect stands, independently of the sender: ResponseID, ConnectionID
	TaskRenew   = "renew"   // put a new end to the device's own time-out under a claim: ClaimID
	TaskRelease = "release" // take one effect away under a release's claim: ClaimID
)

// Subject is what a workflow looks after. It holds ids only: everything else is in the store.
type Subject struct {
	ID       uuid.UUID `json:"id"`
	TenantID uuid.UUID `json:"tenant_id"`
}

// Next is what a step says should happen.
type Next struct {
	Done   bool      `json:"done,omitempty"`   // nothing is left to do, ever; a later nudge starts the workflow anew
	WakeAt time.Time `json:"wake_at,omitzero"` // step again at this time, UTC; zero means only when nudged
	Tasks  []Task    `json:"tasks,omitempty"`  // to be performed side by side, then step again
	Again  bool      `json:"again,omitempty"`  // step again at once
	Build  string    `json:"build,omitempty"`  // of the program that answered; a change makes the workflow continue as new
}

// Task is one thing to do outside, named by its rows in the store. What must be true for it to be done is checked when it
// is done, under a claim or an attempt of its own.
type Task struct {
	Kind         string        `json:"kind"`
	TenantID     uuid.UUID     `json:"tenant_id"`
	ClaimID      uuid.UUID     `json:"claim_id,omitzero"`
	AttemptID    uuid.UUID     `json:"attempt_id,omitzero"`
	EscalationID uuid.UUID     `json:"escalation_id,omitzero"`
	ResponseID   uuid.UUID     `json:"response_id,omitzero"`
	ConnectionID uuid.UUID     `json:"connection_id,omitzero"`
	Generation   int64         `json:"generation,omitempty"`
	Timeout      time.Duration `json:"timeout,omitempty"` // of one try, the call's deadline and the product's settle time; zero takes the workflow's default
}

// WorkflowID gives the id of the workflow that looks after a subject of a kind: "case-<uuid>". It is opaque: it holds no
// customer data.
func WorkflowID(kind string, id uuid.UUID) string { return kind + "-" + id.String() }

// ParseWorkflowID reads what WorkflowID wrote. An id that is not one of ours is an Invalid fault.
func ParseWorkflowID(s string) (kind string, id uuid.UUID, err error) {
	kind, rest, ok := strings.Cut(s, "-")
	if !ok || WorkflowType(kind) == "" {
		return "", uuid.Nil, threat.Faultf(threat.Invalid, "%q is not the id of a workflow of ours", threat.Inert(s, 80))
	}
	id, err = uuid.Parse(rest)
	if err != nil || WorkflowID(kind, id) != s {
		return "", uuid.Nil, threat.Faultf(threat.Invalid, "%q is not the id of a workflow of ours", threat.Inert(s, 80))
	}
	return kind, id, nil
}

// WorkflowType gives the registered name of the workflow for a kind, or "" for a kind that has none.
func WorkflowType(kind string) string {
	switch kind {
	case KindCase:
		return "Case"
	case KindEscalation:
		return "Escalation"
	case KindResponse:
		return "Response"
	}
	return ""
}
