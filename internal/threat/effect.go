package threat

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Outcome is an adapter's answer, in OCSF's words (remediation status_id).
type Outcome string

const (
	OutcomeNone         Outcome = ""
	OutcomeSuccess      Outcome = "success"
	OutcomeFailure      Outcome = "failure"
	OutcomeDoesNotExist Outcome = "does_not_exist"
	OutcomePartial      Outcome = "partial"
	OutcomeUnsupported  Outcome = "unsupported"
	OutcomeError        Outcome = "error"
	OutcomeUnknown      Outcome = "unknown" // the call was sent, and its answer did not arrive
)

// EffectState is where an effect stands on its device.
type EffectState string

const (
	EffectAbsent    EffectState = "absent"
	EffectClaimed   EffectState = "claimed"   // the intent is written; the device may or may not have it
	EffectInForce   EffectState = "in_force"  // read back from the device
	EffectReleasing EffectState = "releasing" // the intent to remove is written
	EffectUnknown   EffectState = "unknown"   // the device must be read before anything else
)

// EffectKey names an effect: one verb on one canonical target over one connection.
type EffectKey struct {
	TenantID     uuid.UUID `json:"tenant_id"`
	ConnectionID uuid.UUID `json:"connection_id"`
	Verb         string    `json:"verb"`
	Target       Target    `json:"target"`
}

// ID is the effect's id: the same key gives the same id.
func (k EffectKey) ID() uuid.UUID {
	return DerivedID("effect", k.TenantID.String(), k.ConnectionID.String(), k.Verb, k.Target.String())
}

// Effect is what a device has of ours.
type Effect struct {
	ID uuid.UUID `json:"id"`
	EffectKey
	Generation int64           `json:"generation"` // rises with each absent -> claimed
	State      EffectState     `json:"state"`
	Adopted    bool            `json:"adopted"` // stood there before us: never ours to undo
	Handle     string          `json:"handle"`  // the device's own id of it
	Prior      json.RawMessage `json:"prior,omitempty"`
	Published  bool            `json:"published"` // written, but not yet known to be enforced (feeds)
	VerifiedAt *time.Time      `json:"verified_at,omitempty"`
	DeviceEnds *time.Time      `json:"device_ends,omitempty"` // when the device lets go by itself; nil when it does not
	Version    int64           `json:"version"`
}

// HolderState is what one response has of an effect.
type HolderState string

const (
	HolderWanted   HolderState = "wanted" // not claimed yet
	HolderHolding  HolderState = "holding"
	HolderReleased HolderState = "released"
	HolderFailed   HolderState = "failed" // this device could not; told apart, never rounded up
)

// Holder is one response's hold on one effect, until when. The effect is released when its last holder lets go.
type Holder struct {
	ResponseID   uuid.UUID   `json:"response_id"`
	ConnectionID uuid.UUID   `json:"connection_id"`
	EffectID     uuid.UUID   `json:"effect_id"`
	Generation   int64       `json:"generation"`
	State        HolderState `json:"state"`
	Until        *time.Time  `json:"until,omitempty"`
	Outcome      Outcome     `json:"outcome"`
	Error        string      `json:"error,omitempty"`
	Effect       *Effect     `json:"effect,omitempty"` // filled in reads
}

// ClaimKind is what a claim allows.
type ClaimKind string

const (
	ClaimAct     ClaimKind = "act"
	ClaimRelease ClaimKind = "release" // skips stop, mode and budget
	ClaimRenew   ClaimKind = "renew"   // resets the device's own time-out of an effect in force
)

// Claim is the only right to send one request to one device. It is a lease: a request goes out only before Deadline,
// which lies before LeaseUntil. A claim without a result whose lease has run out is unknown, and settled by reading.
type Claim struct {
	ID         uuid.UUID     `json:"id"`
	TenantID   uuid.UUID     `json:"tenant_id"`
	CaseID     uuid.UUID     `json:"case_id"`
	ResponseID uuid.UUID     `json:"response_id"`
	DecisionID uuid.NullUUID `json:"decision_id"`
	EffectID   uuid.UUID     `json:"effect_id"`
	Generation int64         `json:"generation"`
	Kind       ClaimKind     `json:"kind"`
	Class      Class         `json:"class"`
	Severity   Severity      `json:"severity"`
	Until      time.Time     `json:"until"` // when the effect shall end
	At         time.Time     `json:"at"`
	LeaseUntil time.Time     `json:"lease_until"`
	Sends      int           `json:"sends"` // how many requests have gone out under it
	SentAt     *time.Time    `json:"sent_at,omitempty"`
	ReadAt     *time.Time    `json:"read_at,omitempty"` // the last read of the device under it
	Outcome    Outcome       `json:"outcome"`           // OutcomeNone: no result yet
	Error      string        `json:"error,omitempty"`
	ResultAt   *time.Time    `json:"result_at,omitempty"`
}

// ClaimVerdict is what store.Claim answers.
type ClaimVerdict string

const (
	ClaimGranted ClaimVerdict = "granted" // send
	ClaimJoined  ClaimVerdict = "joined"  // the effect is in force for another response already; we hold it too
	ClaimWait    ClaimVerdict = "wait"    // another claim on the effect is under way, or it is being released
	ClaimStale   ClaimVerdict = "stale"   // a fact differs from what the decision rested on
	ClaimRefused ClaimVerdict = "refused" // a guard said no
)

// ClaimAnswer is the whole answer of store.Claim and store.ClaimRelease.
type ClaimAnswer struct {
	Verdict  ClaimVerdict `json:"verdict"`
	Claim    Claim        `json:"claim"`
	Effect   Effect       `json:"effect"`
	Why      string       `json:"why,omitempty"`
	Guard    string       `json:"guard,omitempty"`
	Narrower string       `json:"narrower,omitempty"`
}
