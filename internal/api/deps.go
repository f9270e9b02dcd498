package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/approval"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// Access knows callers and their rights.
type Access interface {
	// Authenticate gives who calls, by a token or a session. Unauthenticated when that is nobody.
	Authenticate(r *http.Request, surface string) (threat.Caller, error)
	// Allow is nil when the caller may do the action there. Forbidden when not, NotFound when they may not know of it.
	Allow(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) error
	// CheckOrigin refuses what another site's page makes a signed-in browser send: Forbidden.
	CheckOrigin(r *http.Request) error
	// Reach gives the organisations in which the caller may do an action, each after its parent.
	Reach(ctx context.Context, caller threat.Caller, action string) ([]threat.Organisation, error)
	// Resolve gives an organisation by id or slug when the caller may do the action there. Faults are Allow's.
	Resolve(ctx context.Context, caller threat.Caller, idOrSlug, action string) (threat.Organisation, error)
	// MintToken makes a token and gives its secret, which is kept nowhere.
	MintToken(ctx context.Context, by threat.Caller, k threat.Token) (secret string, token threat.Token, err error)
	// RevokeToken ends a token at once. NotFound when it is not there, or not in the caller's reach.
	RevokeToken(ctx context.Context, caller threat.Caller, id uuid.UUID) error
	// FollowLink uses a one-time sign-in link up, and gives the session with its secret.
	FollowLink(ctx context.Context, secret, address, agent string) (threat.Session, string, error)
	// SignInLink makes a one-time link for a person. Zero takes the usual lifetime.
	SignInLink(ctx context.Context, person uuid.UUID, lifetime time.Duration) (url string, err error)
	// LastAdministrator reports whether nobody would administer the provider any more if a person kept these roles only.
	LastAdministrator(ctx context.Context, person uuid.UUID, kept []threat.Grant) (bool, error)
	// SignOut ends a session.
	SignOut(ctx context.Context, session uuid.UUID) error
}

// Rights tells whether a caller may do an action, without a word in the journal: for what is only left out when they may
// not. *decide.Service is one.
type Rights interface {
	Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (allowed bool, why string, err error)
}

// Door decides clicks, and takes what people ask for by hand: *approval.Door. A refused click is an answer, not a fault.
type Door interface {
	Decide(ctx context.Context, click threat.Click) (threat.ClickAnswer, error)
	Acknowledge(ctx context.Context, caller threat.Caller, caseID uuid.UUID, attempt uuid.NullUUID) (threat.Case, error)
	Release(ctx context.Context, caller threat.Caller, responseID uuid.UUID, why string) (threat.Response, error)
	Propose(ctx context.Context, caller threat.Caller, p approval.Proposal) (threat.Response, error)
}

// Ingest takes detections in. When it gives no fault, everything is durable.
type Ingest interface {
	AcceptOCSF(ctx context.Context, tenant uuid.UUID, sensor string, body []byte) (ingest.Receipt, error)
	AcceptProduct(ctx context.Context, tenant uuid.UUID, sensor, product string, body []byte) (ingest.Receipt, error)
}

// Store is what is read, and what is administered. Faults are NotFound, Conflict, Invalid with the place, Unavailable.
type Store interface {
	CaseStore
	TenantStore
	PeopleStore
	EventStore
}

// CaseStore holds cases and what belongs to them.
type CaseStore interface {
	Case(ctx context.Context, id uuid.UUID) (threat.Case, error)
	CaseByNumber(ctx context.Context, n int64) (threat.Case, error)
	Cases(ctx context.Context, q threat.CaseQuery) ([]threat.Case, error)
	Timeline(ctx context.Context, caseID uuid.UUID) ([]threat.TimelineRow, error)
	CloseCase(ctx context.Context, caseID uuid.UUID, reason, by string) (threat.Case, error)
	Note(ctx context.Context, caseID uuid.UUID, text, by string) error
	Detection(ctx context.Context, id uuid.UUID) (threat.Detection, error)
	DetectionsOfCase(ctx context.Context, caseID uuid.UUID, afterSeq int64, limit int) ([]threat.Detection, error)
	Detections(ctx context.Context, tenant uuid.UUID, state threat.DetectionState, limit int) ([]threat.Detection, error)
	Decision(ctx context.Context, id uuid.UUID) (threat.Decision, error)
	DecisionsOfCase(ctx context.Context, caseID uuid.UUID) ([]threat.Decision, error)
	Response(ctx context.Context, id uuid.UUID) (threat.Response, error)
	Responses(ctx context.Context, caseID uuid.UUID) ([]threat.Response, error)
	ResponsesOf(ctx context.Context, tenants []uuid.UUID, openOnly bool, limit int) ([]threat.Response, error)
	Request(ctx context.Context, id uuid.UUID) (threat.Request, error)
	OpenRequests(ctx context.Context, tenants []uuid.UUID, limit int) ([]threat.Request, error)
	ClaimsOf(ctx context.Context, responseID uuid.UUID) ([]threat.Claim, error)
	InFlight(ctx context.Context, tenant uuid.UUID) ([]threat.Claim, error)
}

// TenantStore holds organisations and what they set.
type TenantStore interface {
	Organisation(ctx context.Context, idOrSlug string) (threat.Organisation, error)
	CreateOrganisation(ctx context.Context, by string, o threat.Organisation) (threat.Organisation, error)
	TenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error)
	OwnSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error)
	EffectiveSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error)
	SetSettings(ctx context.Context, org uuid.UUID, set tenant.Settings, by string) error
	SetMode(ctx context.Context, by string, c threat.Consent) (threat.TenantState, error)
	Consents(ctx context.Context, tenant uuid.UUID) ([]threat.Consent, error)
	SetStop(ctx context.Context, org uuid.UUID, on bool, why, by string) (inFlight []threat.Claim, err error)
	Contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error)
	SetContacts(ctx context.Context, tenant uuid.UUID, list []threat.ContactEntry, by string) error
	Assets(ctx context.Context, tenant uuid.UUID) ([]threat.Asset, error)
	PutAsset(ctx context.Context, by string, a threat.Asset) (threat.Asset, error)
	DeleteAsset(ctx context.Context, tenant, id uuid.UUID, by string) error
	Connection(ctx context.Context, id uuid.UUID) (threat.Connection, error)
	Connections(ctx context.Context, tenant uuid.UUID) ([]threat.Connection, error)
	PutConnection(ctx context.Context, by string, c threat.Connection) (threat.Connection, error)
	PutSecret(ctx context.Context, org uuid.UUID, ref string, value []byte, by string) error
	FeedLists(ctx context.Context, connection uuid.UUID) ([]threat.FeedList, error)
	Fetches(ctx context.Context, connection uuid.UUID, list string) ([]threat.FeedFetch, error)
}

// PeopleStore holds people and tokens.
type PeopleStore interface {
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)
	PersonByEmail(ctx context.Context, email string) (threat.Person, error)
	Persons(ctx context.Context, org uuid.UUID) ([]threat.Person, error)
	PutPerson(ctx context.Context, by string, p threat.Person) (threat.Person, error)
	DisablePerson(ctx context.Context, id uuid.UUID, by string) error
	Grants(ctx context.Context, person uuid.UUID) ([]threat.Grant, error)
	SetGrants(ctx context.Context, person uuid.UUID, list []threat.Grant, by string) error
	Tokens(ctx context.Context, org uuid.UUID) ([]threat.Token, error)
}

// EventStore holds the journal.
type EventStore interface {
	// Entries gives entries after a number, in order, with their payloads.
	Entries(ctx context.Context, org uuid.UUID, after int64, limit int) ([]threat.Entry, error)
	// EventsAfter gives entries of several organisations after a number each, those of one in order, without payloads.
	EventsAfter(ctx context.Context, orgs []uuid.UUID, after map[uuid.UUID]int64, limit int) ([]threat.Entry, error)
	// Heads gives the newest number of each organisation.
	Heads(ctx context.Context, orgs []uuid.UUID) (map[uuid.UUID]int64, error)
	// OnWake has hook called after commits that left work. It must not block.
	OnWake(hook func(kind string))
}

// Policy is the rules in force: *policies.Engine.
type Policy interface {
	Active() policies.Status
	Labels() map[threat.Question][]threat.RuleLabel
	EvalOnce(ctx context.Context, q threat.Question, input []byte) (policies.Trial, error)
}

// Registry is the list of products: *adapters.Registry.
type Registry interface {
	All() []adapters.Product
	With(verb string) []adapters.Product
	Check(c threat.Connection) error
}

// Webhooks are calls of other programs, which sign them by their own rules.
type Webhooks interface {
	// PagerDuty takes what PagerDuty sends to a connection. Unauthenticated when its signature is not right, NotFound for
	// an unknown connection.
	PagerDuty(ctx context.Context, connectionID uuid.UUID, header http.Header, body []byte) error
}

// Metrics counts calls. Implementations are safe for use by several goroutines.
type Metrics interface {
	// Request notes one call by its route's pattern, never by its path.
	Request(method, route string, status int, took time.Duration)
	// Streams notes how many event streams are open.
	Streams(n int)
}

// Deps are what an API works with. Those without a word about nil are required.
type Deps struct {
	Access   Access
	Rights   Rights
	Door     Door
	Ingest   Ingest
	Store    Store
	Policy   Policy
	Registry Registry
	Webhooks Webhooks // nil: there are none, and their routes answer NotFound
	// StopOf gives an organisation's own stop switch.
	StopOf func(ctx context.Context, org uuid.UUID) (on bool, why, by string, err error)
	// Involved reports whether a person is a subject of a case, and so neither sees nor touches it. Nil: nobody is.
	Involved func(ctx context.Context, caller threat.Caller, tenant, caseID uuid.UUID) (bool, error)
	// TestConnection tries a connection without changing anything. Unsupported when its product cannot be tried; nil: none can.
	TestConnection func(ctx context.Context, connection uuid.UUID) error
	// Checks asks each part whether it works, by name; nil has no part. A Stale fault is told by /readyz, which answers that
	// the server is ready all the same.
	Checks  func(ctx context.Context) map[string]error
	Version wire.Version
	Now     func() time.Time // nil takes time.Now
	Log     *slog.Logger     // nil drops
	Metrics Metrics          // nil counts nothing

	Heartbeat time.Duration // of an event stream; zero takes 15 s
	Recheck   time.Duration // how often a stream's caller is looked at anew; zero takes a minute
	Poll      time.Duration // how often events are looked for without a wake; zero takes 2 s
	Streams   int           // event streams at once, of which a caller has a tenth; zero takes 200
}
