package threat

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// ClaimRequest asks the store for the right to send one request to one device for a response.
type ClaimRequest struct {
	ResponseID   uuid.UUID
	ConnectionID uuid.UUID
	Kind         ClaimKind     // ClaimAct or ClaimRenew; releases have a call of their own
	Ours         []string      // Firebreak's own addresses and names, which no action may cut off
	Resolved     []string      // addresses to which the target's name leads now; none when it names no host or was not looked up
	Until        time.Time     // with ClaimRenew, the hold's end; with ClaimAct the store sets it
	Settle       time.Duration // the product's settle time; zero takes the tenant's setting
}

// ClaimResult is what came of the request that went out under a claim.
type ClaimResult struct {
	Outcome    Outcome
	Handle     string     // the device's own id of the effect
	Adopted    bool       // it stood there before us, and is never ours to undo
	DeviceEnds *time.Time // when the device lets go by itself; nil when it does not
	Detail     string     // for people; no secret
}

// Sighting is what an independent read of a device showed of one effect. Neither Ours, Foreign nor Pending is absent.
type Sighting struct {
	EffectID   uuid.UUID
	Generation int64
	ClaimID    uuid.NullUUID // the claim under which it was read, when one has no result yet
	ResponseID uuid.UUID     // for whom it was read
	Ours       bool          // there, and it bears our mark
	Foreign    bool          // there, and somebody else's
	Pending    bool          // a job of ours is still under way there
	InForce    bool          // the device enforces it now; a polled list that not everybody fetched is there and not in force
	Handle     string
	DeviceEnds *time.Time
	Detail     string
	Prior      json.RawMessage
	At         time.Time // of the read, UTC
}

// Present reports whether the device holds the effect, whoever put it there.
func (s Sighting) Present() bool { return s.Ours || s.Foreign }

// Ballot is one click with policy's answer about it, as the door hands it to the store.
type Ballot struct {
	Click Click
	Fact  ApproveFact
	// Narrower is policy's decision about the narrower action, with VerdictNarrow.
	Narrower *RespondDecision
}

// Acknowledgement is one person's word that they are on a case. It authorises nothing.
type Acknowledgement struct {
	CaseID    uuid.UUID
	AttemptID uuid.NullUUID // the message that they answered, when it was one
	PersonID  uuid.UUID
	Name      string
	Via       string // console, smtp, pagerduty, api, cli
}

// Nudge tells the workflow of a subject that something is new. It carries no right and no fact.
type Nudge struct {
	Kind      string // case, escalation, response
	SubjectID uuid.UUID
	TenantID  uuid.UUID
	Stamp     int64 // rises when the subject is nudged again
}

// CaseQuery selects cases, the newest first.
type CaseQuery struct {
	Tenants []uuid.UUID // whose; none gives nothing
	Open    *bool       // nil gives both
	Before  int64       // a case's number: those before it; zero begins with the newest
	Limit   int         // at most 200; zero takes 50
}

// ClaimMargin is how much longer than the hold a device's own time-out is: half the hold, 30 s at least and an hour at
// most, so that a device lets go by itself only after we could not tell it to.
func ClaimMargin(hold time.Duration) time.Duration {
	return min(max(hold/2, 30*time.Second), time.Hour)
}
