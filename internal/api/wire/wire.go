// Package wire holds the bodies that go over the line between the API and its clients. Times are RFC 3339 in UTC, and
// durations are seconds. A field that may be left out says omitempty; the API refuses a body that lacks another, and one
// with a field that is not here. It does nothing by itself.
package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// SessionCookie names the cookie of a signed-in person.
const SessionCookie = "firebreak_session"

// AgentCLI begins what our own command line calls itself (User-Agent).
const AgentCLI = "firebreak-cli/"

// Problem is the body of every refusal, as RFC 9457 has it, with what this program knows beyond it.
type Problem struct {
	Type       string              `json:"type" doc:"urn:firebreak:problem:<kind>"`
	Title      string              `json:"title"`
	Status     int                 `json:"status"`
	Detail     string              `json:"detail" doc:"what went wrong, in a sentence"`
	Kind       threat.FaultKind    `json:"kind" doc:"what its reader can do about it; stable"`
	Place      string              `json:"place,omitempty" doc:"where in the body, as a JSON pointer, or which parameter"`
	Next       string              `json:"next,omitempty" doc:"what to do next"`
	RetryAfter int64               `json:"retry_after,omitempty" doc:"seconds"`
	Refusal    threat.Refusal      `json:"refusal,omitempty" doc:"of a click that the door did not accept"`
	Answer     *threat.ClickAnswer `json:"answer,omitempty" doc:"the door's whole answer to that click"`
	RequestID  string              `json:"request_id,omitempty" doc:"names the call in the log"`
}

// Page is a part of a list; Next, when there is more, is the cursor of the next one.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// List is a whole list.
type List[T any] struct {
	Items []T `json:"items"`
}

// Case is a case with its name and whose it is.
type Case struct {
	threat.Case
	Name   string `json:"name" doc:"how people call it: FB-1042"`
	Tenant string `json:"tenant" doc:"slug"`
}

// Detection is a detection with what the product sent: Raw when that is text, else RawBase64.
type Detection struct {
	threat.Detection
	Raw       string `json:"raw,omitempty"`
	RawBase64 []byte `json:"raw_base64,omitempty"`
}

// Response is an action's life. Its duration is in seconds.
type Response struct {
	ID              uuid.UUID            `json:"id"`
	TenantID        uuid.UUID            `json:"tenant_id"`
	CaseID          uuid.UUID            `json:"case_id"`
	Number          int64                `json:"number" doc:"of the case's responses, from 1"`
	Step            string               `json:"step"`
	Round           int                  `json:"round"`
	Verb            string               `json:"verb"`
	Title           string               `json:"title" doc:"the verb in words"`
	Class           threat.Class         `json:"class"`
	Target          threat.Target        `json:"target"`
	Params          map[string]string    `json:"params,omitempty"`
	DurationSeconds float64              `json:"duration_seconds"`
	End             threat.End           `json:"end"`
	Connections     []uuid.UUID          `json:"connections"`
	State           threat.ResponseState `json:"state"`
	Why             string               `json:"why"`
	Required        bool                 `json:"required"`
	AskedBy         string               `json:"asked_by"`
	DecisionID      uuid.NullUUID        `json:"decision_id"`
	RequestID       uuid.NullUUID        `json:"request_id"`
	Basis           threat.Basis         `json:"basis"`
	Facts           threat.Revisions     `json:"facts"`
	Stales          int                  `json:"stales"`
	Version         int64                `json:"version"`
	HoldFrom        *time.Time           `json:"hold_from,omitempty"`
	HoldUntil       *time.Time           `json:"hold_until,omitempty"`
	Ending          string               `json:"ending,omitempty"`
	EndingBy        string               `json:"ending_by,omitempty"`
	Extended        int                  `json:"extended"`
	Holders         []threat.Holder      `json:"holders"`
	CreatedAt       time.Time            `json:"created_at"`
	UpdatedAt       time.Time            `json:"updated_at"`
	EndedAt         *time.Time           `json:"ended_at,omitempty"`
}

// Request is one question to people, with what they need to place it.
type Request struct {
	threat.Request
	Case   string `json:"case" doc:"the name of its case"`
	Tenant string `json:"tenant" doc:"slug"`
	Title  string `json:"title" doc:"the verb in words"`
	Undo   string `json:"undo" doc:"how it is taken back"`
	Loss   string `json:"loss" doc:"what the loss of Firebreak does to it"`
}

// Decision is one answer of policy with its input and answer whole.
type Decision struct {
	threat.Decision
	Input  json.RawMessage `json:"input"`
	Answer json.RawMessage `json:"answer"`
}

// CloseCase ends a case. Its responses keep running.
type CloseCase struct {
	Reason string `json:"reason"`
}

// Note is a person's word in a case's timeline.
type Note struct {
	Text string `json:"text"`
}

// Acknowledge says that the caller is on a case. Attempt names the message that they answer, when it was one.
type Acknowledge struct {
	Attempt *uuid.UUID `json:"attempt,omitempty"`
}

// Propose asks for an action by hand.
type Propose struct {
	Verb            string            `json:"verb"`
	Target          Target            `json:"target"`
	Params          map[string]string `json:"params,omitempty"`
	DurationSeconds int64             `json:"duration_seconds,omitempty" doc:"left out: the tenant's setting"`
	Connections     []uuid.UUID       `json:"connections,omitempty" doc:"left out: every enabled one that can do the verb"`
	End             threat.End        `json:"end,omitempty" doc:"left out: the tenant's setting"`
	Required        bool              `json:"required,omitempty" doc:"the case is contained only when this is verified"`
}

// Target is what an action acts on.
type Target struct {
	Kind  threat.TargetKind `json:"kind"`
	Value string            `json:"value"`
}

// Why carries a reason.
type Why struct {
	Why string `json:"why"`
}

// Verdict is what a person says to a request. Digest is that of the request as they were shown it.
type Verdict struct {
	Verdict  threat.VerdictKind `json:"verdict"`
	Digest   string             `json:"digest"`
	Reason   string             `json:"reason,omitempty"`
	Narrower *threat.Narrowing  `json:"narrower,omitempty"`
}

// NewOrganisation adds a node below Parent, an id or a slug. A customer and a sub-estate are tenants unless Tenant says
// otherwise.
type NewOrganisation struct {
	Parent   string                  `json:"parent"`
	Kind     threat.OrganisationKind `json:"kind"`
	Slug     string                  `json:"slug"`
	Name     string                  `json:"name"`
	Language string                  `json:"language,omitempty"`
	Zone     string                  `json:"zone,omitempty"`
	Tenant   *bool                   `json:"tenant,omitempty"`
}

// Tenant is an organisation with what decisions compare.
type Tenant struct {
	Organisation threat.Organisation `json:"organisation"`
	State        *threat.TenantState `json:"state,omitempty" doc:"of a tenant"`
	Stop         Stop                `json:"stop"`
}

// Stop is where an organisation's own stop switch stands.
type Stop struct {
	On  bool   `json:"on"`
	Why string `json:"why,omitempty"`
	By  string `json:"by,omitempty"`
}

// SetStop turns the stop switch.
type SetStop struct {
	On  bool   `json:"on"`
	Why string `json:"why"`
}

// Stopped is the switch, and the claims that were granted before it and have no result yet.
type Stopped struct {
	Stop     Stop           `json:"stop"`
	InFlight []threat.Claim `json:"in_flight"`
}

// Settings are what an organisation sets itself, and what holds for it.
type Settings struct {
	Own       tenant.Settings `json:"own"`
	Effective tenant.Settings `json:"effective"`
}

// SetMode is a consent: Words are what the person agreed to, as they were shown.
type SetMode struct {
	Mode      threat.Mode `json:"mode"`
	Eradicate bool        `json:"eradicate,omitempty" doc:"grants with authorize what cannot be undone"`
	Words     string      `json:"words"`
	Language  string      `json:"language,omitempty" doc:"of the words, BCP 47"`
}

// Mode is a tenant's response mode with every consent that led to it, the newest first.
type Mode struct {
	State    threat.TenantState `json:"state"`
	Consents []threat.Consent   `json:"consents"`
}

// ModePreview tells what a mode would do with what waits now. Policy decides each anew after the change.
type ModePreview struct {
	Mode    threat.Mode  `json:"mode"`
	Now     threat.Mode  `json:"now"`
	Stopped bool         `json:"stopped" doc:"while the stop switch is on nothing is let go"`
	Waiting []PreviewRow `json:"waiting"`
	LetGo   int          `json:"let_go" doc:"how many of them would be let go"`
}

// PreviewRow is one response that waits.
type PreviewRow struct {
	Response Response     `json:"response"`
	Case     string       `json:"case"`
	LetGo    bool         `json:"let_go"`
	Basis    threat.Basis `json:"basis" doc:"on which it would rest; approval means that people are asked"`
	Why      string       `json:"why"`
}

// Contact is an authorised contact of a tenant. In a change, PersonID or Email says who.
type Contact struct {
	PersonID   *uuid.UUID      `json:"person_id,omitempty"`
	Name       string          `json:"name,omitempty" doc:"in answers"`
	Email      string          `json:"email,omitempty"`
	Position   int             `json:"position,omitempty" doc:"1 is asked first; left out: the list's order"`
	Authorise  []string        `json:"authorise,omitempty" doc:"verbs; * means all, none means none"`
	ChangeMode bool            `json:"change_mode,omitempty"`
	Methods    []ContactMethod `json:"methods,omitempty"`
}

// ContactMethod is one way to reach a contact.
type ContactMethod struct {
	Channel      string     `json:"channel" doc:"smtp, pagerduty or console"`
	ConnectionID *uuid.UUID `json:"connection_id,omitempty" doc:"of the channel; the console has none"`
	Address      string     `json:"address,omitempty"`
	DelaySeconds float64    `json:"delay_seconds,omitempty"`
	Verified     bool       `json:"verified,omitempty"`
}

// SetContacts replaces a tenant's contacts.
type SetContacts struct {
	Contacts []Contact `json:"contacts"`
}

// NewAsset adds an asset.
type NewAsset struct {
	Kind      string           `json:"kind" doc:"host, device, user or network"`
	Name      string           `json:"name"`
	Addresses []string         `json:"addresses,omitempty"`
	Managed   bool             `json:"managed,omitempty"`
	Role      threat.AssetRole `json:"role,omitempty"`
	Evidence  string           `json:"evidence,omitempty" doc:"why the role is believed"`
	Protected bool             `json:"protected,omitempty"`
	Tags      []string         `json:"tags,omitempty"`
}

// Protect sets whether an asset is protected.
type Protect struct {
	Protected bool `json:"protected"`
}

// NewConnection adds a connection. It is enabled unless Enabled says otherwise.
type NewConnection struct {
	Adapter     string            `json:"adapter"`
	Name        string            `json:"name"`
	Settings    map[string]string `json:"settings,omitempty" doc:"address and options; never a secret"`
	ReachedFrom string            `json:"reached_from,omitempty"`
	Enabled     *bool             `json:"enabled,omitempty"`
}

// ChangeConnection changes what is not left out.
type ChangeConnection struct {
	Name     *string           `json:"name,omitempty"`
	Settings map[string]string `json:"settings,omitempty" doc:"replaces all of them"`
	Enabled  *bool             `json:"enabled,omitempty"`
}

// Secret is a credential's value. It is never given back.
type Secret struct {
	Value string `json:"value"`
}

// NewToken makes a program's token over Org, an id or a slug.
type NewToken struct {
	Org              string           `json:"org"`
	Role             threat.Role      `json:"role"`
	Kind             threat.TokenKind `json:"kind,omitempty" doc:"left out: api, or what the role of a machine needs"`
	Name             string           `json:"name"`
	ExpiresInSeconds int64            `json:"expires_in_seconds,omitempty" doc:"left out: it does not expire"`
	ConnectionID     *uuid.UUID       `json:"connection_id,omitempty" doc:"the one connection that it serves"`
}

// MintedToken is a new token. Secret is shown this once.
type MintedToken struct {
	threat.Token
	Secret string `json:"secret"`
}

// Person is a person with their roles.
type Person struct {
	threat.Person
	Org    string         `json:"org" doc:"slug"`
	Grants []threat.Grant `json:"grants"`
}

// Grant is a role over Org, an id or a slug, and everything below it.
type Grant struct {
	Org  string      `json:"org"`
	Role threat.Role `json:"role"`
}

// NewPerson adds a person to Org, an id or a slug.
type NewPerson struct {
	Org      string  `json:"org"`
	Name     string  `json:"name"`
	Email    string  `json:"email"`
	Language string  `json:"language,omitempty"`
	Zone     string  `json:"zone,omitempty"`
	Grants   []Grant `json:"grants,omitempty"`
}

// SetGrants replaces a person's roles, as far as the caller may set them.
type SetGrants struct {
	Grants []Grant `json:"grants"`
}

// NewLink asks for a one-time sign-in link.
type NewLink struct {
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty" doc:"left out: 15 minutes; at most a day"`
}

// Link is a one-time link. Whoever holds it signs in as its person.
type Link struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// SignIn uses a one-time sign-in link up. Link is the whole of it, or its last part.
type SignIn struct {
	Link string `json:"link"`
}

// Session is a signed-in terminal. Secret is sent as a bearer token, and is shown this once.
type Session struct {
	Secret    string    `json:"secret"`
	PersonID  uuid.UUID `json:"person_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Policy is what operators see of the rules in force.
type Policy struct {
	Revision   string                                 `json:"revision"`
	Source     string                                 `json:"source"`
	LoadedAt   time.Time                              `json:"loaded_at"`
	AgeSeconds float64                                `json:"age_seconds"`
	Stale      bool                                   `json:"stale" doc:"the directory holds something else, which could not be taken"`
	Error      string                                 `json:"error,omitempty"`
	ErrorAt    *time.Time                             `json:"error_at,omitempty"`
	Reloads    int64                                  `json:"reloads"`
	Stuck      int64                                  `json:"stuck"`
	Labels     map[threat.Question][]threat.RuleLabel `json:"labels"`
}

// Evaluate asks the rules in force one question, as their author does.
type Evaluate struct {
	Question threat.Question `json:"question"`
	Input    json.RawMessage `json:"input"`
}

// Trial is what they said.
type Trial struct {
	Revision string             `json:"revision"`
	Answer   json.RawMessage    `json:"answer,omitempty"`
	Rules    []threat.RuleLabel `json:"rules"`
	Reasons  []string           `json:"reasons"`
	Fault    string             `json:"fault,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	Output   string             `json:"output,omitempty" doc:"what print said"`
}

// JournalPage is a part of a journal; Next is the after of the next one, and zero at its end.
type JournalPage struct {
	Items []threat.Entry `json:"items"`
	Next  int64          `json:"next,omitempty"`
}

// Event tells that something was journalled. It carries no payload: read what it names.
type Event struct {
	Org     uuid.UUID        `json:"org"`
	Seq     int64            `json:"seq"`
	Kind    threat.EntryKind `json:"kind"`
	At      time.Time        `json:"at"`
	Case    *uuid.UUID       `json:"case,omitempty"`
	Subject string           `json:"subject,omitempty"`
	Actor   string           `json:"actor,omitempty"`
}

// Whoami is the caller as the API sees them.
type Whoami struct {
	threat.Caller
	Organisation string  `json:"organisation" doc:"slug of their organisation"`
	Roles        []Grant `json:"roles" doc:"their roles, by slug"`
}

// Version is what runs.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// Verb is one row of the table of verbs.
type Verb struct {
	Name               string              `json:"name"`
	Title              string              `json:"title"`
	Class              threat.Class        `json:"class"`
	Targets            []threat.TargetKind `json:"targets"`
	Params             []VerbParam         `json:"params"`
	Undo               string              `json:"undo"`
	UndoText           string              `json:"undo_text"`
	VerifyText         string              `json:"verify_text"`
	LossText           string              `json:"loss_text"`
	MinDurationSeconds float64             `json:"min_duration_seconds"`
	MaxDurationSeconds float64             `json:"max_duration_seconds"`
	Once               bool                `json:"once" doc:"it is done once and holds nothing: it has no duration"`
	WithinSeconds      float64             `json:"within_seconds" doc:"how long what is done once may take"`
	Cuts               bool                `json:"cuts" doc:"it cuts an asset or a person off; one case may do so to a part of each class only"`
	Shared             bool                `json:"shared" doc:"one listing of a device shows every target"`
	OpenC2             string              `json:"openc2"`
	D3FEND             string              `json:"d3fend"`
	OCSFClass          int                 `json:"ocsf_class_uid"`
	OCSFActivity       int                 `json:"ocsf_activity_id"`
	Adapters           []string            `json:"adapters" doc:"those that can do it"`
}

// VerbParam is one parameter of a verb; the first of an enum's values is the default.
type VerbParam struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind" doc:"enum, sha256, path, process, text, ips, domains, duration or time"`
	Meaning  string   `json:"meaning"`
	Values   []string `json:"values"`
	Unit     string   `json:"unit,omitempty"`
	Max      int      `json:"max,omitempty" doc:"bytes of a text, entries of a list, seconds of a duration"`
	Required bool     `json:"required"`
}

// Adapter describes one product that this program knows.
type Adapter struct {
	Name     string           `json:"name"`
	Title    string           `json:"title"`
	Verbs    []AdapterVerb    `json:"verbs"`
	Settings []AdapterSetting `json:"settings"`
	Secret   string           `json:"secret,omitempty" doc:"what its credential is"`
	Local    bool             `json:"local"`
}

// AdapterVerb is what an adapter can do with one verb.
type AdapterVerb struct {
	Verb          string  `json:"verb"`
	Sending       string  `json:"sending" doc:"natural, keyed, findable or blind"`
	SettleSeconds float64 `json:"settle_seconds"`
	DeviceEnds    bool    `json:"device_ends"`
	Polled        bool    `json:"polled"`
}

// AdapterSetting is one configuration value of a connection.
type AdapterSetting struct {
	Name     string `json:"name"`
	Meaning  string `json:"meaning"`
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required"`
}

// Feed is how the lists of one connection stand, and who fetched which revision.
type Feed struct {
	Connection uuid.UUID         `json:"connection"`
	Name       string            `json:"name"`
	Lists      []threat.FeedList `json:"lists"`
	Fetches    []FeedFetch       `json:"fetches"`
}

// FeedFetch is the last time that one firewall fetched one list.
type FeedFetch struct {
	List            string    `json:"list"`
	Firewall        string    `json:"firewall"`
	Revision        int64     `json:"revision"`
	At              time.Time `json:"at"`
	IntervalSeconds float64   `json:"interval_seconds"`
}

// Ready tells which parts answer.
type Ready struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks" doc:"ok, or what is wrong"`
}

// Done is the answer to a call that has nothing more to tell.
type Done struct {
	Done bool `json:"done"`
}
