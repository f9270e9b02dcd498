package threat

import (
	"time"

	"github.com/google/uuid"
)

// TokenKind says what kind of program a token is for.
type TokenKind string

const (
	TokenAPI      TokenKind = "api"
	TokenSensor   TokenKind = "sensor"   // posts detections
	TokenFirewall TokenKind = "firewall" // fetches feeds
	TokenRelay    TokenKind = "relay"
)

// TokenKinds lists every kind of token.
var TokenKinds = []TokenKind{TokenAPI, TokenSensor, TokenFirewall, TokenRelay}

// Token is a program's right: one role over one organisation and what is below it. Only its hash is kept; the token
// itself is shown once, when it is made.
type Token struct {
	ID           uuid.UUID     `json:"id"`
	OrgID        uuid.UUID     `json:"org_id"`
	Role         Role          `json:"role"`
	Kind         TokenKind     `json:"kind"`
	Name         string        `json:"name"`
	Hash         []byte        `json:"-"` // SHA-256 of the token
	CreatedAt    time.Time     `json:"created_at"`
	ExpiresAt    *time.Time    `json:"expires_at,omitempty"`
	RevokedAt    *time.Time    `json:"revoked_at,omitempty"`
	ConnectionID uuid.NullUUID `json:"connection_id"` // the one connection it serves, of a firewall, relay or sensor
}

// Usable reports whether the token may be used at t.
func (k Token) Usable(t time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || t.Before(*k.ExpiresAt))
}

// Session is a signed-in person's browser or terminal.
type Session struct {
	ID        uuid.UUID  `json:"id"`
	PersonID  uuid.UUID  `json:"person_id"`
	Hash      []byte     `json:"-"` // SHA-256 of the cookie
	Address   string     `json:"address"`
	Agent     string     `json:"agent"` // what the browser calls itself, inert
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// Usable reports whether the session holds at t.
func (s Session) Usable(t time.Time) bool { return s.EndedAt == nil && t.Before(s.ExpiresAt) }

// LinkPurpose says what following a link does.
type LinkPurpose string

const (
	LinkSignIn LinkPurpose = "signin"
	LinkAck    LinkPurpose = "ack" // acknowledges a case; authorises nothing
)

// Link is a one-time link sent to a person. Only its hash is kept.
type Link struct {
	ID        uuid.UUID     `json:"id"`
	Hash      []byte        `json:"-"` // SHA-256 of the link's secret
	PersonID  uuid.UUID     `json:"person_id"`
	Purpose   LinkPurpose   `json:"purpose"`
	AttemptID uuid.NullUUID `json:"attempt_id"` // the message that carried it
	CaseID    uuid.NullUUID `json:"case_id"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	UsedAt    *time.Time    `json:"used_at,omitempty"`
}
