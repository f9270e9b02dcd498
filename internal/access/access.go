// Package access says who is calling and what they may do: bearer tokens, sessions, one-time links, and the access
// question of policy, asked for every call. It keeps no secret, only SHA-256 of secrets, and remembers no right: what is
// revoked binds with the next call. It knows no route and writes no page.
package access

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Store is what access needs of the store. Faults: NotFound for what is not there, Unavailable when the database is away,
// and those that each method names.
type Store interface {
	// TokenByHash gives Unauthenticated for a token that was revoked or is over.
	TokenByHash(ctx context.Context, hash []byte) (threat.Token, error)
	PutToken(ctx context.Context, by string, k threat.Token) (threat.Token, error)
	RevokeToken(ctx context.Context, id uuid.UUID, by string) error
	Tokens(ctx context.Context, org uuid.UUID) ([]threat.Token, error)

	// PutSession gives Forbidden for a disabled person.
	PutSession(ctx context.Context, ses threat.Session) (threat.Session, error)
	// SessionByHash gives Unauthenticated for one that has ended.
	SessionByHash(ctx context.Context, hash []byte) (threat.Session, error)
	EndSession(ctx context.Context, id uuid.UUID) error

	PutLink(ctx context.Context, l threat.Link) (threat.Link, error)
	LinkByHash(ctx context.Context, hash []byte) (threat.Link, error)
	// UseLink gives Conflict the second time, Expired when it is late, Forbidden when its person is disabled.
	UseLink(ctx context.Context, hash []byte) (threat.Link, error)

	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)
	PersonByEmail(ctx context.Context, email string) (threat.Person, error)
	Persons(ctx context.Context, org uuid.UUID) ([]threat.Person, error)
	PutPerson(ctx context.Context, by string, p threat.Person) (threat.Person, error)
	// Grants gives none for a disabled person.
	Grants(ctx context.Context, person uuid.UUID) ([]threat.Grant, error)
	SetGrants(ctx context.Context, person uuid.UUID, list []threat.Grant, by string) error

	Root(ctx context.Context) (threat.Organisation, error)
	Organisation(ctx context.Context, idOrSlug string) (threat.Organisation, error)
	Organisations(ctx context.Context, under uuid.UUID) ([]threat.Organisation, error)
	Lineage(ctx context.Context, id uuid.UUID) ([]threat.Organisation, error)
	Connection(ctx context.Context, id uuid.UUID) (threat.Connection, error)

	// Append gives the first entry when its key stands already.
	Append(ctx context.Context, e threat.Entry) (threat.Entry, error)
	Entries(ctx context.Context, org uuid.UUID, after int64, limit int) ([]threat.Entry, error)
}

// Decider asks the access question. Its answer is no when policy gave none; an error means that there is no answer at all.
type Decider interface {
	Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (bool, string, error)
}

// Deps are what a Service is made of.
type Deps struct {
	Store   Store
	Decide  Decider
	Now     func() time.Time // nil is time.Now
	BaseURL string           // of the console, as people reach it: links begin with it
	Log     *slog.Logger     // nil discards
}

// How long credentials hold.
const (
	SessionLife    = 12 * time.Hour
	SignInLinkLife = 15 * time.Minute
	AckLinkLife    = 12 * time.Hour // as long as an escalation may still matter to whoever wakes up
)

// Service authenticates and allows. It is safe for use by many at once.
type Service struct {
	deps   Deps
	base   *url.URL
	origin *http.CrossOriginProtection

	mu     sync.Mutex
	denied map[denial]time.Time // when a denial was last journalled
}

// New makes a Service. Invalid, with the place, for a base URL that links cannot begin with.
func New(d Deps) (*Service, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(d.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, &threat.Fault{Kind: threat.Invalid, Place: "--base-url",
			What: "the base URL is not an http or https URL without credentials, query and fragment"}
	}
	u.Path = strings.TrimRight(u.Path, "/")
	s := &Service{deps: d, base: u, origin: http.NewCrossOriginProtection(), denied: map[denial]time.Time{}}
	if err := s.origin.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, Place: "--base-url", What: "the base URL has no origin", Err: err}
	}
	return s, nil
}

// person gives the caller that a signed-in person is. Unauthenticated for one who is disabled or gone.
func (s *Service) person(ctx context.Context, id uuid.UUID, surface string) (threat.Caller, error) {
	p, err := s.deps.Store.Person(ctx, id)
	if threat.Is(err, threat.NotFound) || err == nil && p.DisabledAt != nil {
		return threat.Caller{}, threat.Faultf(threat.Unauthenticated, "this person may no longer sign in")
	}
	if err != nil {
		return threat.Caller{}, err
	}
	grants, err := s.deps.Store.Grants(ctx, id)
	if err != nil {
		return threat.Caller{}, err
	}
	return threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, OrgID: p.OrgID, Name: p.Name, Grants: grants,
		Surface: surface}, nil
}

// CheckOrigin refuses what another site's page makes a signed-in browser send: Forbidden. Reads pass, and so do programs,
// which send neither Origin nor Sec-Fetch-Site.
func (s *Service) CheckOrigin(r *http.Request) error {
	if err := s.origin.Check(r); err != nil {
		return &threat.Fault{Kind: threat.Forbidden, What: "the request comes from another site's page", Err: err,
			Next: "open Firebreak's own page and do it there"}
	}
	return nil
}
