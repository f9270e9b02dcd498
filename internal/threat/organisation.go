package threat

import (
	"time"

	"github.com/google/uuid"
)

// OrganisationKind places an organisation in the tree.
type OrganisationKind string

const (
	Provider  OrganisationKind = "provider"   // runs Firebreak; the root
	Partner   OrganisationKind = "partner"    // looks after customers of its own
	Customer  OrganisationKind = "customer"   // owns assets
	SubEstate OrganisationKind = "sub_estate" // a part of a customer with settings of its own
)

// Organisation is a node in the tree. An organisation that owns assets is a tenant; its id is the tenant id that every
// row, key and policy input carries.
type Organisation struct {
	ID        uuid.UUID        `json:"id"`
	ParentID  uuid.NullUUID    `json:"parent_id"`
	Kind      OrganisationKind `json:"kind"`
	Slug      string           `json:"slug"` // unique; [a-z0-9-]{1,63}; stands for the id in paths
	Name      string           `json:"name"`
	Language  string           `json:"language"` // BCP 47
	Zone      string           `json:"zone"`     // IANA
	Tenant    bool             `json:"tenant"`
	Simulated bool             `json:"simulated"` // made by the lab; shown as such everywhere
	CreatedAt time.Time        `json:"created_at"`
}

// Mode is a customer's response mode: the consent under which we act.
type Mode string

const (
	ModeNotify                 Mode = "notify"
	ModeCollaborate            Mode = "collaborate"
	ModeCollaborateUnreachable Mode = "collaborate_unreachable"
	ModeAuthorize              Mode = "authorize"
)

// Modes lists the modes from the narrowest to the widest.
var Modes = []Mode{ModeNotify, ModeCollaborate, ModeCollaborateUnreachable, ModeAuthorize}

// Rank orders modes by width: a lower rank allows less. An unknown mode ranks below all, so that it allows nothing.
func (m Mode) Rank() int {
	for i, k := range Modes {
		if k == m {
			return i
		}
	}
	return -1
}

// Valid reports whether m is one of Modes.
func (m Mode) Valid() bool { return m.Rank() >= 0 }

// Consent records who set a mode, when, and in which words: a mode is a consent.
type Consent struct {
	TenantID  uuid.UUID `json:"tenant_id"`
	Version   int64     `json:"version"` // rises by one with each change
	Mode      Mode      `json:"mode"`
	Eradicate bool      `json:"eradicate"` // whether authorize also covers what cannot be undone
	GivenBy   uuid.UUID `json:"given_by"`  // a person
	Words     string    `json:"words"`     // what they agreed to, as shown
	Language  string    `json:"language"`
	At        time.Time `json:"at"`
}

// ModeNotice is one contact who has to be told of a change of the response mode.
type ModeNotice struct {
	Consent
	Was      Mode
	PersonID uuid.UUID
}

// TenantState is what Claim reads under the tenant's lock. Each version rises with every change of its part.
type TenantState struct {
	TenantID          uuid.UUID `json:"tenant_id"`
	Mode              Mode      `json:"mode"`
	ModeVersion       int64     `json:"mode_version"`
	Eradicate         bool      `json:"eradicate"`
	Stopped           bool      `json:"stopped"` // this tenant's own switch, or that of an organisation above it
	StopVersion       int64     `json:"stop_version"`
	ProtectionVersion int64     `json:"protection_version"` // assets, never-block ranges
	SettingsVersion   int64     `json:"settings_version"`
}

// Asset is a host, device, user or network of a tenant.
type Asset struct {
	ID        uuid.UUID `json:"id"`
	TenantID  uuid.UUID `json:"tenant_id"`
	Kind      string    `json:"kind"` // host, device, user, network
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"` // addresses and prefixes, canonical
	Managed   bool      `json:"managed"`   // an agent runs on it
	Role      AssetRole `json:"role"`
	Evidence  string    `json:"evidence"` // why the role is believed: "told by administrator", or what was seen
	Protected bool      `json:"protected"`
	Tags      []string  `json:"tags"`
}

// AssetRole says what an asset is for.
type AssetRole string

const (
	RoleWorkstation      AssetRole = "workstation"
	RoleServer           AssetRole = "server"
	RoleDomainController AssetRole = "domain_controller"
	RoleHypervisor       AssetRole = "hypervisor"
	RoleVPN              AssetRole = "vpn"
	RoleDNS              AssetRole = "dns"
	RoleBackup           AssetRole = "backup"
	RoleRelay            AssetRole = "relay"
	RoleUnknownAsset     AssetRole = "unknown"
)

// AssetRoles lists every role an asset can have.
var AssetRoles = []AssetRole{RoleWorkstation, RoleServer, RoleDomainController, RoleHypervisor, RoleVPN, RoleDNS,
	RoleBackup, RoleRelay, RoleUnknownAsset}

// Connection is one configured product of one tenant.
type Connection struct {
	ID          uuid.UUID         `json:"id"`
	TenantID    uuid.UUID         `json:"tenant_id"`
	Adapter     string            `json:"adapter"` // a name in the registry: feed, nftables, smtp, pagerduty, crowdsec, suricata
	Name        string            `json:"name"`
	Settings    map[string]string `json:"settings"`     // address and options; never a secret
	SecretRef   string            `json:"secret_ref"`   // names a credential in internal/secret; may be empty
	ReachedFrom string            `json:"reached_from"` // "server", or "relay:<id>"
	Enabled     bool              `json:"enabled"`
	CreatedAt   time.Time         `json:"created_at"`
}

// ReachedFromServer is the ReachedFrom of a connection that this process can dial itself.
const ReachedFromServer = "server"
