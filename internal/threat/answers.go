package threat

import (
	"time"

	"github.com/google/uuid"
)

// EscalateAnswer is what policy says about telling the customer: whether, whom in which order, and for how long.
type EscalateAnswer struct {
	DecisionID uuid.UUID     `json:"decision_id"`
	Escalate   bool          `json:"escalate"`
	Why        string        `json:"why"`
	Rounds     int           `json:"rounds"`    // how often the whole chain is tried
	StepWait   time.Duration `json:"step_wait"` // before the next contact is tried
	AckFor     time.Duration `json:"ack_for"`   // how long an acknowledgement holds
	Chain      []ChainStep   `json:"chain"`     // in the order of trying; empty means that nobody can be tried: alarm at once
}

// ApproveFact is what policy says about one person's verdict on one request, as the door hands it to the store. The zero
// value allows nothing.
type ApproveFact struct {
	Allowed    bool          `json:"allowed"`
	Role       Role          `json:"role"`    // in which the verdict counts, when allowed
	Refusal    Refusal       `json:"refusal"` // empty when allowed
	Why        string        `json:"why"`     // for the person, in a sentence
	DecisionID uuid.NullUUID `json:"decision_id"`
	Facts      Revisions     `json:"facts"` // what the answer rested on; the store compares them
}
