package console

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// Surface is what clicks of these pages carry in the journal.
const Surface = "console"

// Access knows who calls and what they may do.
type Access interface {
	// Authenticate gives who calls. Unauthenticated when nobody is signed in.
	Authenticate(r *http.Request, surface string) (threat.Caller, error)
	// Allow asks for a right and journals a refusal. Forbidden without it; NotFound for an organisation that the caller
	// may not see.
	Allow(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) error
	// CheckOrigin refuses what another site's page makes a signed-in browser send: Forbidden.
	CheckOrigin(r *http.Request) error
	// Visible gives the organisations at and below the caller's grants, each after its parent.
	Visible(ctx context.Context, caller threat.Caller) ([]threat.Organisation, error)
	// Resolve gives an organisation by its id or slug and asks for a right over it. NotFound for what is not theirs to see.
	Resolve(ctx context.Context, caller threat.Caller, idOrSlug, action string) (threat.Organisation, error)
	// PeekLink looks at a link without using it. NotFound for one that there is not, Conflict for a used one, Expired for a
	// late one, Forbidden when its person is disabled.
	PeekLink(ctx context.Context, secret string) (threat.Link, error)
	// NotForwarded refuses a link that was sent to somebody else than who is signed in: Forbidden.
	NotForwarded(l threat.Link, signed threat.Caller) error
	// FollowLink uses a sign-in link up and gives the session with its cookie. Faults as PeekLink's.
	FollowLink(ctx context.Context, secret, address, agent string) (threat.Session, string, error)
	// FollowAck uses an acknowledgement link up and gives the person whom it was sent to. Faults as PeekLink's.
	FollowAck(ctx context.Context, secret string) (threat.Caller, threat.Link, error)
	// SetCookie has a browser keep a session until it expires; ClearCookie has it forget.
	SetCookie(w http.ResponseWriter, secret string, ses threat.Session)
	ClearCookie(w http.ResponseWriter)
	// SignOut ends a session. One that has ended stays ended.
	SignOut(ctx context.Context, session uuid.UUID) error
}

// Rights tells, without a trace in the journal, what a caller may do, so that a page offers only that.
type Rights interface {
	Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (bool, string, error)
}

// Door decides. A click that it refuses comes back as an answer with a Refusal, not as a fault.
type Door interface {
	Decide(ctx context.Context, click threat.Click) (threat.ClickAnswer, error)
	// Acknowledge is for authorised contacts of the tenant. Forbidden for others, Conflict when the case is closed.
	Acknowledge(ctx context.Context, caller threat.Caller, caseID uuid.UUID, attempt uuid.NullUUID) (threat.Case, error)
	// Release lets go of a containment. Forbidden without the right, Conflict when it has ended.
	Release(ctx context.Context, caller threat.Caller, responseID uuid.UUID, why string) (threat.Response, error)
}

// Store is what the pages read, and the few facts that they write. Reads of one thing are NotFound when it is not there.
type Store interface {
	Root(ctx context.Context) (threat.Organisation, error)
	Lineage(ctx context.Context, id uuid.UUID) ([]threat.Organisation, error) // root first
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)

	Case(ctx context.Context, id uuid.UUID) (threat.Case, error)
	CaseByNumber(ctx context.Context, n int64) (threat.Case, error)
	Cases(ctx context.Context, q threat.CaseQuery) ([]threat.Case, error)
	Timeline(ctx context.Context, caseID uuid.UUID) ([]threat.TimelineRow, error)
	DetectionsOfCase(ctx context.Context, caseID uuid.UUID, afterSeq int64, limit int) ([]threat.Detection, error)
	DecisionsOfCase(ctx context.Context, caseID uuid.UUID) ([]threat.Decision, error)
	Escalations(ctx context.Context, caseID uuid.UUID) ([]threat.Escalation, error)
	Attempts(ctx context.Context, escalationID uuid.UUID) ([]threat.Attempt, error)
	Note(ctx context.Context, caseID uuid.UUID, text, by string) error
	// CloseCase is a Conflict when the case is closed already.
	CloseCase(ctx context.Context, caseID uuid.UUID, reason, by string) (threat.Case, error)

	Response(ctx context.Context, id uuid.UUID) (threat.Response, error)
	Responses(ctx context.Context, caseID uuid.UUID) ([]threat.Response, error)
	ResponsesOf(ctx context.Context, tenants []uuid.UUID, openOnly bool, limit int) ([]threat.Response, error)
	Request(ctx context.Context, id uuid.UUID) (threat.Request, error)
	OpenRequests(ctx context.Context, tenants []uuid.UUID, limit int) ([]threat.Request, error)
	InFlight(ctx context.Context, tenant uuid.UUID) ([]threat.Claim, error)

	TenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error)
	Consents(ctx context.Context, tenant uuid.UUID) ([]threat.Consent, error) // the first one first
	EffectiveSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error)
	Contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error)
	Assets(ctx context.Context, tenant uuid.UUID) ([]threat.Asset, error)
	AssetsTouched(ctx context.Context, tenant uuid.UUID, t threat.Target) ([]threat.Asset, error)
	Connections(ctx context.Context, tenant uuid.UUID) ([]threat.Connection, error)
	SetMode(ctx context.Context, by string, c threat.Consent) (threat.TenantState, error)
	SetStop(ctx context.Context, org uuid.UUID, on bool, why, by string) ([]threat.Claim, error)
	PutAsset(ctx context.Context, by string, a threat.Asset) (threat.Asset, error)

	FeedLists(ctx context.Context, connection uuid.UUID) ([]threat.FeedList, error)
	FeedEntries(ctx context.Context, connection uuid.UUID, list string, now time.Time) ([]threat.FeedEntry, int64, time.Time,
		error)
	Fetches(ctx context.Context, connection uuid.UUID, list string) ([]threat.FeedFetch, error)

	Entries(ctx context.Context, org uuid.UUID, after int64, limit int) ([]threat.Entry, error)
	Heads(ctx context.Context, orgs []uuid.UUID) (map[uuid.UUID]int64, error)
}

// Stop is where an organisation's own switch stands.
type Stop struct {
	On  bool
	Why string
	By  string // an actor
}

// PolicyStatus is what is told of the rules in force; policies.Status converts to it.
type PolicyStatus struct {
	Revision string
	Source   string
	LoadedAt time.Time
	Age      time.Duration
	Stale    bool
	Error    string
	ErrorAt  time.Time
	Reloads  int64
	Stuck    int64
}

// Policy tells which rules are in force.
type Policy interface {
	Active() PolicyStatus
	Labels() map[threat.Question][]threat.RuleLabel
}

// Alarm is something that the provider's people were paged about.
type Alarm struct {
	At   time.Time
	What string
}

// Deps are what a Console is made of. Lab, Involved and Alarms may be nil.
type Deps struct {
	Access Access
	Rights Rights
	Door   Door
	Store  Store
	// StopOf gives an organisation's own switch, and not those above it.
	StopOf func(ctx context.Context, org uuid.UUID) (Stop, error)
	Policy Policy
	Lab    Lab
	// Involved reports whether a caller is a subject of a case, and so neither sees nor decides it. Nil: nobody is.
	Involved func(ctx context.Context, caller threat.Caller, caseID uuid.UUID) (bool, error)
	// Alarms gives what the provider's people were paged about lately, the newest first. Nil: nothing is shown.
	Alarms  func(ctx context.Context) []Alarm
	Now     func() time.Time
	Version string
	// Secure marks the console's own cookies for HTTPS only, as SetCookie marks the session's. It is true when people reach
	// the console by an https address.
	Secure bool
	Log    *slog.Logger
}

// Console serves the pages. It is safe for use by many at once.
type Console struct {
	deps    Deps
	pages   map[string]*template.Template
	assets  map[string]asset
	handler http.Handler
}

// New parses every template and makes the pages. An error names the template that cannot be parsed, or the dependency that
// is missing.
func New(d Deps) (*Console, error) {
	switch {
	case d.Access == nil, d.Rights == nil, d.Door == nil, d.Store == nil, d.StopOf == nil, d.Policy == nil:
		return nil, threat.Faultf(threat.Invalid, "the console needs access, rights, door, store, stops and policy")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Involved == nil {
		d.Involved = func(context.Context, threat.Caller, uuid.UUID) (bool, error) { return false, nil }
	}
	c := &Console{deps: d}
	var err error
	if c.assets, err = readAssets(); err != nil {
		return nil, err
	}
	if c.pages, err = parsePages(templateFiles); err != nil {
		return nil, err
	}
	c.handler = c.routes()
	return c, nil
}

// ServeHTTP serves a page, or a static file under /static/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// routes lists every page. A pattern that no page has is the not-found page.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{file}", c.static)
	mux.Handle("GET /{$}", c.signedIn(queue))
	mux.Handle("GET /cases", c.signedIn(listCases))
	mux.Handle("GET /cases/{case}", c.signedIn(showCase))
	mux.Handle("POST /cases/{case}/notes", c.signedIn(noteCase))
	mux.Handle("POST /cases/{case}/acknowledge", c.signedIn(acknowledgeCase))
	mux.Handle("POST /cases/{case}/close", c.signedIn(closeCase))
	mux.Handle("POST /responses/{response}/release", c.signedIn(releaseResponse))
	mux.Handle("GET /requests/{request}", c.signedIn(showRequest))
	mux.Handle("POST /requests/{request}/verdict", c.signedIn(decideRequest))
	mux.Handle("GET /requests/{request}/verdict", c.signedIn(backToRequest))
	mux.Handle("GET /signin", c.open(showSignIn))
	mux.Handle("GET /signin/{secret}", c.open(showSignInLink))
	mux.Handle("POST /signin/{secret}", c.open(followSignInLink))
	mux.Handle("POST /signout", c.open(signOut))
	mux.Handle("GET /ack/{secret}", c.open(showAckLink))
	mux.Handle("POST /ack/{secret}", c.open(followAckLink))
	mux.Handle("GET /tenants", c.signedIn(listTenants))
	mux.Handle("GET /tenants/{tenant}", c.signedIn(showTenant))
	mux.Handle("GET /tenants/{tenant}/mode", c.signedIn(previewMode))
	mux.Handle("POST /tenants/{tenant}/mode", c.signedIn(changeMode))
	mux.Handle("GET /tenants/{tenant}/stop", c.signedIn(showStop))
	mux.Handle("POST /tenants/{tenant}/stop", c.signedIn(changeStop))
	mux.Handle("POST /tenants/{tenant}/assets/{asset}/protect", c.signedIn(protectAsset))
	mux.Handle("GET /policy", c.signedIn(showPolicy))
	mux.Handle("GET /feeds", c.signedIn(showFeeds))
	mux.Handle("GET /journal", c.signedIn(showJournal))
	if c.deps.Lab != nil {
		mux.Handle("GET /lab", c.open(showLab))
		mux.Handle("POST /lab/play/{scenario}", c.open(playScenario))
		mux.Handle("POST /lab/signin/{person}", c.open(signInAs))
	}
	mux.Handle("/", c.open(notFound))
	return c.guarded(mux)
}

// asset is one static file with its tag.
type asset struct {
	body []byte
	kind string
	tag  string // of its content; part of the address, so that a new version is fetched at once
}

var assetKinds = map[string]string{"console.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
	"firebreak.svg": "image/svg+xml"}

func readAssets() (map[string]asset, error) {
	out := map[string]asset{}
	for name, kind := range assetKinds {
		b, err := fs.ReadFile(staticFiles, "static/"+name)
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		sum := sha256.Sum256(b)
		out[name] = asset{body: b, kind: kind, tag: hex.EncodeToString(sum[:8])}
	}
	return out, nil
}

// static serves one file. With its tag in the address it may be kept for a year.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets[r.PathValue("file")]
	if !ok {
		c.open(notFound).ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", `"`+a.tag+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == `"`+a.tag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.body) // the reader may have gone away
}
