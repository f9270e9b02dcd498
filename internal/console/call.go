package console

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// maxForm bounds a form's body, in bytes.
const maxForm = 64 << 10

// policyHeader lets a page load what this server serves and nothing else, and run no script in its text.
const policyHeader = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// call is one request of a browser, with what has been learnt for it.
type call struct {
	*Console
	w      http.ResponseWriter
	r      *http.Request
	id     string // of the request, for the log and the error page
	now    time.Time
	caller threat.Caller
	known  bool // somebody is signed in

	visible []threat.Organisation
	byID    map[uuid.UUID]threat.Organisation
	lines   map[uuid.UUID][]threat.Organisation
	chains  map[uuid.UUID][]threat.ContactEntry
	links   map[uuid.UUID]map[uuid.UUID]threat.Connection
	names   map[uuid.UUID]string
	rights  map[right]bool
}

type right struct {
	action string
	org    uuid.UUID
}

// page is one handler. A fault becomes the error page.
type page func(k *call) error

// open is a page that needs nobody signed in; who is signed in is known all the same.
func (c *Console) open(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := c.call(w, r)
		caller, err := c.deps.Access.Authenticate(r, Surface)
		switch {
		case err == nil:
			k.caller, k.known = caller, true
		case !threat.Is(err, threat.Unauthenticated):
			k.fail(err)
			return
		}
		k.run(p)
	})
}

// signedIn is a page for people only. Others are sent to sign in, and come back to the page when they read one.
func (c *Console) signedIn(p page) http.Handler {
	return c.open(func(k *call) error {
		switch {
		case k.known && k.caller.IsPerson():
			return p(k)
		case k.known:
			return &threat.Fault{Kind: threat.Forbidden, What: "the console is for people, and a token is none",
				Next: "use the API under /v1"}
		case k.r.Method != http.MethodGet || k.fragment():
			return &threat.Fault{Kind: threat.Unauthenticated, What: "nobody is signed in, or the session has ended",
				Next: "sign in, and do it again: nothing was changed"}
		}
		k.cookie(nextCookie, k.r.URL.RequestURI(), nextLifetime, "/signin")
		return k.redirect("/signin")
	})
}

func (c *Console) call(w http.ResponseWriter, r *http.Request) *call {
	return &call{Console: c, w: w, r: r, id: w.Header().Get("X-Request-Id"), now: c.deps.Now().UTC(),
		byID: map[uuid.UUID]threat.Organisation{}, lines: map[uuid.UUID][]threat.Organisation{},
		chains: map[uuid.UUID][]threat.ContactEntry{}, links: map[uuid.UUID]map[uuid.UUID]threat.Connection{},
		names: map[uuid.UUID]string{}, rights: map[right]bool{}}
}

func (k *call) run(p page) {
	if err := p(k); err != nil {
		k.fail(err)
	}
}

// guarded sets the headers of every answer, refuses posts from other sites and keeps a panic to its request.
func (c *Console) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if h.Get("X-Request-Id") == "" {
			h.Set("X-Request-Id", requestID())
		}
		h.Set("Content-Security-Policy", policyHeader)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "X-Fragment")
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				c.deps.Log.ErrorContext(r.Context(), "a page panicked", "request", h.Get("X-Request-Id"), "path", r.Pattern,
					"stack", string(debug.Stack()))
				c.call(w, r).fail(threat.Faultf(threat.Internal, "a defect of ours"))
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := c.deps.Access.CheckOrigin(r); err != nil {
			c.call(w, r).fail(err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (k *call) ctx() context.Context { return k.r.Context() }

// fragment reports whether the script asks for the page's live parts only.
func (k *call) fragment() bool {
	return k.r.Header.Get("X-Fragment") != "" || k.r.URL.Query().Has("fragment")
}

// redirect sends the browser on with a GET, so that a reload repeats nothing.
func (k *call) redirect(to string) error {
	http.Redirect(k.w, k.r, to, http.StatusSeeOther)
	return nil
}

// form gives the posted fields. TooLarge over maxForm, Invalid when it cannot be read.
func (k *call) form() error {
	err := k.r.ParseForm()
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return threat.Faultf(threat.TooLarge, "the form holds more than %d bytes", maxForm)
	case err != nil:
		return threat.Faultf(threat.Invalid, "the form cannot be read: %w", err)
	}
	return nil
}

// field gives a posted field without the blanks around it. Invalid when it is longer than max characters.
func (k *call) field(name string, max int) (string, error) {
	v := strings.TrimSpace(strings.ToValidUTF8(k.r.PostForm.Get(name), "\uFFFD"))
	if len([]rune(v)) > max {
		return "", &threat.Fault{Kind: threat.Invalid, What: "the text is longer than it may be", Place: name, Next: "shorten it"}
	}
	return v, nil
}

// required reads the form and gives a field that must not be empty; missing and next say what is wrong without it, and what
// to do. Faults are form's and field's, and Invalid for an empty one.
func (k *call) required(name string, max int, missing, next string) (string, error) {
	if err := k.form(); err != nil {
		return "", err
	}
	v, err := k.field(name, max)
	if err == nil && v == "" {
		err = &threat.Fault{Kind: threat.Invalid, What: missing, Place: name, Next: next}
	}
	return v, err
}

// pathID reads a UUID of the path. NotFound for anything else.
func (k *call) pathID(name, noun string) (uuid.UUID, error) {
	id, err := uuid.Parse(k.r.PathValue(name))
	if err != nil {
		return uuid.Nil, threat.Faultf(threat.NotFound, "there is no such %s", noun)
	}
	return id, nil
}

// remote is the caller's address without its port.
func (k *call) remote() string {
	host, _, err := net.SplitHostPort(k.r.RemoteAddr)
	if err != nil {
		return k.r.RemoteAddr
	}
	return host
}

// may reports whether the caller has a right over an organisation. What cannot be told is no.
func (k *call) may(action string, org uuid.UUID) bool {
	key := right{action, org}
	if v, ok := k.rights[key]; ok {
		return v
	}
	ok, _, err := k.deps.Rights.Access(k.ctx(), k.caller, action, org)
	if err != nil {
		k.deps.Log.WarnContext(k.ctx(), "a right could not be told", "request", k.id, "action", action, "error", err)
		ok = false
	}
	k.rights[key] = ok
	return ok
}

// mayAnywhere reports whether the caller has a right over any organisation that a grant names.
func (k *call) mayAnywhere(action string) bool {
	for _, g := range k.caller.Grants {
		if k.may(action, g.OrgID) {
			return true
		}
	}
	return false
}

// orgs gives the organisations that the caller may see.
func (k *call) orgs() ([]threat.Organisation, error) {
	if k.visible != nil {
		return k.visible, nil
	}
	list, err := k.deps.Access.Visible(k.ctx(), k.caller)
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		k.byID[o.ID] = o
	}
	k.visible = append([]threat.Organisation{}, list...)
	return k.visible, nil
}

// tenants gives the visible tenants over which the caller has a right.
func (k *call) tenants(action string) ([]threat.Organisation, []uuid.UUID, error) {
	all, err := k.orgs()
	if err != nil {
		return nil, nil, err
	}
	var out []threat.Organisation
	var ids []uuid.UUID
	for _, o := range all {
		if o.Tenant && k.may(action, o.ID) {
			out, ids = append(out, o), append(ids, o.ID)
		}
	}
	return out, ids, nil
}

// org gives a visible organisation; what is not visible has its id for a name.
func (k *call) org(id uuid.UUID) (threat.Organisation, error) {
	if _, err := k.orgs(); err != nil {
		return threat.Organisation{}, err
	}
	if o, ok := k.byID[id]; ok {
		return o, nil
	}
	return threat.Organisation{ID: id, Slug: id.String(), Name: id.String()}, nil
}

// lineage gives an organisation's way down from the root. What is visible is not read again.
func (k *call) lineage(id uuid.UUID) ([]threat.Organisation, error) {
	if l, ok := k.lines[id]; ok {
		return l, nil
	}
	if _, err := k.orgs(); err != nil {
		return nil, err
	}
	o, seen := k.byID[id]
	var l []threat.Organisation
	var err error
	switch {
	case !seen:
		l, err = k.deps.Store.Lineage(k.ctx(), id)
	case o.ParentID.Valid:
		l, err = k.lineage(o.ParentID.UUID)
		l = append(slices.Clone(l), o)
	default:
		l = []threat.Organisation{o}
	}
	if err == nil {
		k.lines[id] = l
	}
	return l, err
}

func (k *call) contacts(tenant uuid.UUID) ([]threat.ContactEntry, error) {
	if l, ok := k.chains[tenant]; ok {
		return l, nil
	}
	l, err := k.deps.Store.Contacts(k.ctx(), tenant)
	if err == nil {
		k.chains[tenant] = l
	}
	return l, err
}

// connections gives a tenant's connections by id.
func (k *call) connections(tenant uuid.UUID) (map[uuid.UUID]threat.Connection, error) {
	if m, ok := k.links[tenant]; ok {
		return m, nil
	}
	list, err := k.deps.Store.Connections(k.ctx(), tenant)
	if err != nil {
		return nil, err
	}
	m := map[uuid.UUID]threat.Connection{}
	for _, c := range list {
		m[c.ID] = c
	}
	k.links[tenant] = m
	return m, nil
}

// roles are those that the caller holds over an organisation.
func (k *call) roles(org uuid.UUID) ([]threat.Role, error) {
	line, err := k.lineage(org)
	if err != nil {
		return nil, err
	}
	var out []threat.Role
	for _, g := range k.caller.Grants {
		at := slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == g.OrgID })
		if at && !slices.Contains(out, g.Role) {
			out = append(out, g.Role)
		}
	}
	return out, nil
}

// involved reports whether the caller is a subject of a case. The provider's own people and auditors are none.
func (k *call) involved(c threat.Case) (bool, error) {
	roles, err := k.roles(c.TenantID)
	if err != nil {
		return false, err
	}
	for _, r := range roles {
		switch r {
		case threat.Analyst, threat.ShiftLead, threat.Auditor, threat.Administrator:
			return false, nil
		}
	}
	return k.deps.Involved(k.ctx(), k.caller, c.ID)
}

// caseName gives how a case is called; nothing when the caller is a subject of it.
func (k *call) caseName(id uuid.UUID) (string, error) {
	c, err := k.deps.Store.Case(k.ctx(), id)
	if err != nil {
		return "", err
	}
	if in, err := k.involved(c); err != nil || in {
		return "", err
	}
	return c.Name(), nil
}

// name gives a person's name, inert.
func (k *call) name(person uuid.UUID) string {
	if n, ok := k.names[person]; ok {
		return n
	}
	n := "person " + person.String()
	if p, err := k.deps.Store.Person(k.ctx(), person); err == nil && p.Name != "" {
		n = threat.Inert(p.Name, maxName)
		if p.Simulated && !strings.HasSuffix(n, "(simulated)") {
			n += " (simulated)"
		}
	}
	k.names[person] = n
	return n
}

// actor gives the name of who a journal's actor is.
func (k *call) actor(actor string) string {
	kind, rest, _ := strings.Cut(actor, ":")
	id, err := uuid.Parse(rest)
	switch {
	case actor == "", actor == threat.SystemActor:
		return "Firebreak"
	case kind == "person" && err == nil:
		return k.name(id)
	case kind == "token" && err == nil:
		return "token " + id.String()
	}
	return threat.Inert(actor, maxName)
}
