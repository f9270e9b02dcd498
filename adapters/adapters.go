// Package adapters is the contract between Firebreak and the products it reads and moves. An adapter implements the small
// interfaces that it can; Wrap gives each the same behaviour around them: checks before, a deadline, kinds of errors, and no
// secret in any text. It knows no product; internal/app registers them in one list.
package adapters

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Sending says what a product does with the same request sent twice. It decides what may follow when it is not known
// whether the first one arrived.
type Sending string

const (
	Natural  Sending = "natural"  // the same request again changes nothing
	Keyed    Sending = "keyed"    // the product honours our key
	Findable Sending = "findable" // twice is two, but a read shows whether it is there
	Blind    Sending = "blind"    // twice is two, and nothing can be read: a person decides
)

// Ability is what an adapter can do with one verb.
type Ability struct {
	Verb    string
	Sending Sending
	// Settle is how long after a call a read can be believed. Zero takes the tenant's setting.
	Settle time.Duration
	// DeviceEnds reports whether the device lets go by itself at the time it is given (a dead man's switch).
	DeviceEnds bool
	// Polled reports that the effect is only published by us and takes force when the device fetches it.
	Polled bool
}

// Info describes an adapter.
type Info struct {
	Name     string // the folder and the registry's key
	Title    string // the product's name
	Verbs    []Ability
	Settings []Setting
	Secret   string // what the credential is, in words; empty when it needs none
	Local    bool   // runs here and needs no relay ever (feed)
}

// Setting is one configuration value of a connection.
type Setting struct {
	Name, Meaning, Default string
	Required               bool
}

// Order is one effect to bring about, read or remove. Mark is ours: what bears it is ours to undo.
type Order struct {
	EffectID   uuid.UUID
	Generation int64
	TenantID   uuid.UUID
	Verb       string
	Target     threat.Target
	Asset      threat.Asset // the machine that the target is, or is on, as its tenant knows it; zero for other targets
	Params     map[string]string
	Until      time.Time // when the hold ends, UTC; for what is done once, by when it has to be done
	DeviceEnds time.Time // the time-out to set on the device: later than Until; zero when the ability has none
	Key        string    // the same for each sending under the same generation
	Mark       string    // "firebreak:<effect>:<generation>"
	Handle     string    // the device's id of it, when known
}

// Receipt is what a device answered to a change.
type Receipt struct {
	Outcome threat.Outcome
	Handle  string // the device's own id, for the removal
	Detail  string // for people; no secret
	Adopted bool   // it stood there already and bears no mark of ours
}

// Presence is what a read shows.
type Presence string

const (
	Absent    Presence = "absent"
	Ours      Presence = "ours"    // there, and it bears our mark
	Foreign   Presence = "foreign" // there, and somebody else's
	Published Presence = "published"
	Pending   Presence = "pending" // a job of ours is still under way there
)

// Reading is one independent read of an effect.
type Reading struct {
	Presence   Presence
	InForce    bool // the device enforces it now
	Handle     string
	DeviceEnds *time.Time // when the device lets go by itself
	Detail     string     // for people: "2 of 3 firewalls have fetched revision 14"
	Prior      json.RawMessage
	At         time.Time
}

// Actor is a product that can contain. Every method honours ctx's deadline. Errors are *threat.Fault of kind Invalid,
// Unauthenticated, Forbidden, NotFound, Conflict, RateLimited (with RetryAfter), Unavailable, Unsupported, or Unknown when
// the request may have taken effect though no answer came.
type Actor interface {
	// Validate checks that an order could be applied, without contacting the device. Read and Remove do not ask it: what
	// would not be allowed any more must still be seen and taken away.
	Validate(o Order) error
	// Read tells whether the effect is there, without writing. It must not rest on what Apply answered.
	Read(ctx context.Context, o Order) (Reading, error)
	// Apply brings the effect about. What is there already without our mark is adopted, not changed.
	Apply(ctx context.Context, o Order) (Receipt, error)
	// Remove takes away what bears our mark, and nothing else. An absent effect answers OutcomeDoesNotExist without error.
	Remove(ctx context.Context, o Order) (Receipt, error)
}

// Renewer is an Actor whose device has a time-out of its own that can be set anew. Without it, Apply is used again.
// What is not there any more is not brought back: that answers NotFound, since a second coming under the same generation
// would be a second effect. What somebody else put there is left alone and answers a Receipt with Adopted.
type Renewer interface {
	Renew(ctx context.Context, o Order) (Receipt, error)
}

// Planner is an Actor that can say beforehand what it would send, without contacting the device. Without it, a dry run
// tells the order in general words.
type Planner interface {
	Plan(o Order) (string, error)
}

// Tester is a product whose connection can be tried without changing anything.
type Tester interface {
	Test(ctx context.Context) error
}

// Finding is a detection as a decoder gives it: without ids of ours, its observables not yet canonical.
type Finding struct {
	UID         string
	Title       string
	Severity    threat.Severity
	At          time.Time
	Techniques  []string
	Observables []threat.Observable
	DedupKey    string
	Raw         json.RawMessage // the part of the body that this finding came from
	Skip        string          // not a finding (a flow record, a heartbeat): why it is left out
	Unreadable  error           // this part of the body could not be read: kept raw in quarantine; a fault with its place
}

// Detector reads a product's own format. One body may hold several findings. A fault is Invalid with the place; findings
// that could be read are returned beside it.
type Detector interface {
	Detect(body []byte) ([]Finding, error)
}

// Message is what a Notifier brings to a person.
type Message struct {
	AttemptID uuid.UUID // the provider's deduplication key is made from it
	CaseID    uuid.UUID
	To        string // address in the channel
	Subject   string
	Text      string // plain
	HTML      string
	Link      string // to the page where the person acknowledges or decides
	Severity  threat.Severity
	Resolve   bool // withdraw what was sent for the same key
}

// Delivery is what a provider answered.
type Delivery struct {
	Accepted   bool
	ProviderID string
	Detail     string
}

// Notifier is a channel to people.
type Notifier interface {
	// Channel tells what kind of channel it is.
	Channel() Channel
	// Notify hands a message to the provider. Faults are as Actor's; Unknown when it may have gone out.
	Notify(ctx context.Context, m Message) (Delivery, error)
}

// Channel describes a channel to people.
type Channel struct {
	Name         string
	Interruptive bool // rings
	TwoWay       bool // can bring an answer back
	Keyed        bool // the provider drops a repeated key
	Shared       bool // others read it besides the person it is for: it carries no link that speaks for them
}

// Opener makes an adapter for one connection. Secret is the credential's value, and must not be kept in any text.
type Opener func(c threat.Connection, secret string) (any, error)

// Product is one row of the registry.
type Product struct {
	Info Info
	Open Opener
}
