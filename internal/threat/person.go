package threat

import (
	"time"

	"github.com/google/uuid"
)

// Role is what a caller is for. Analysts and shift leads are the provider's, contacts the customer's or its partner's;
// an administrator sets up and approves nothing. Sensor, firewall and relay are machines.
type Role string

const (
	Analyst       Role = "analyst"
	ShiftLead     Role = "shift_lead"
	PartnerRole   Role = "partner"
	Contact       Role = "contact"
	Author        Role = "author"
	Auditor       Role = "auditor"
	Administrator Role = "administrator"
	Sensor        Role = "sensor"
	Firewall      Role = "firewall"
	Relay         Role = "relay"
)

// Roles lists every role.
var Roles = []Role{Analyst, ShiftLead, PartnerRole, Contact, Author, Auditor, Administrator, Sensor, Firewall, Relay}

// Person is a human of one organisation. What they may do comes from their grants.
type Person struct {
	ID         uuid.UUID  `json:"id"`
	OrgID      uuid.UUID  `json:"org_id"`
	Name       string     `json:"name"`
	Email      string     `json:"email"`
	Language   string     `json:"language"`
	Zone       string     `json:"zone"`
	Simulated  bool       `json:"simulated"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
}

// Grant gives a person a role over an organisation and everything below it.
type Grant struct {
	PersonID uuid.UUID `json:"person_id"`
	OrgID    uuid.UUID `json:"org_id"`
	Role     Role      `json:"role"`
}

// ContactEntry makes a person an authorised contact of a tenant, with a place in its chain and rights of their own.
type ContactEntry struct {
	TenantID   uuid.UUID `json:"tenant_id"`
	PersonID   uuid.UUID `json:"person_id"`
	Position   int       `json:"position"`    // 1 is asked first
	Authorise  []string  `json:"authorise"`   // verbs they may approve; "*" means all
	ChangeMode bool      `json:"change_mode"` // may change the response mode
	Methods    []Method  `json:"methods"`     // ways to reach them, in order
}

// MayAuthorise reports whether the contact may approve a verb. An empty list authorises nothing.
func (c ContactEntry) MayAuthorise(verb string) bool {
	for _, v := range c.Authorise {
		if v == "*" || v == verb {
			return true
		}
	}
	return false
}

// Method is one way to reach a person: a channel and an address there.
type Method struct {
	Channel      string        `json:"channel"` // smtp, pagerduty, console
	ConnectionID uuid.UUID     `json:"connection_id"`
	Address      string        `json:"address"` // mail address, phone number, routing key reference
	Delay        time.Duration `json:"delay"`   // after the step begins
	Verified     bool          `json:"verified"`
}

// Caller is who acts: a person in a session, or a token. It is what the access question is asked about.
type Caller struct {
	PersonID  uuid.NullUUID `json:"person_id"`
	TokenID   uuid.NullUUID `json:"token_id"`
	SessionID uuid.NullUUID `json:"session_id"`
	OrgID     uuid.UUID     `json:"org_id"`
	Name      string        `json:"name"`
	Grants    []Grant       `json:"grants"`
	Surface   string        `json:"surface"` // console, api, cli, mail, pagerduty, slack
}

// IsPerson reports whether a human stands behind the call.
func (c Caller) IsPerson() bool { return c.PersonID.Valid }

// Actor names the caller for the journal: "person:<id>", "token:<id>" or "system".
func (c Caller) Actor() string {
	switch {
	case c.PersonID.Valid:
		return "person:" + c.PersonID.UUID.String()
	case c.TokenID.Valid:
		return "token:" + c.TokenID.UUID.String()
	}
	return SystemActor
}

// SystemActor is the journal's name for what Firebreak does by itself.
const SystemActor = "system"
