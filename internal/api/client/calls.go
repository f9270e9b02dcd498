package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

func items[T any](l wire.List[T], err error) ([]T, error) { return l.Items, err }

// SignIn uses a one-time sign-in link up.
func (c *Client) SignIn(ctx context.Context, link string) (wire.Session, error) {
	return call[wire.Session](ctx, c, post, in("session"), nil, wire.SignIn{Link: link})
}

// SignOut ends the caller's session.
func (c *Client) SignOut(ctx context.Context) error {
	_, err := call[wire.Done](ctx, c, remove, in("session"), nil, nil)
	return err
}

// Whoami gives the caller as the server sees them.
func (c *Client) Whoami(ctx context.Context) (wire.Whoami, error) {
	return call[wire.Whoami](ctx, c, get, in("whoami"), nil, nil)
}

// Version gives what the server runs.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return call[wire.Version](ctx, c, get, in("version"), nil, nil)
}

// Cases lists cases, the newest first. Open is "true", "false" or empty.
func (c *Client) Cases(ctx context.Context, tenant, open, cursor string, limit int) (wire.Page[wire.Case], error) {
	return call[wire.Page[wire.Case]](ctx, c, get, in("cases"),
		query("tenant", tenant, "open", open, "cursor", cursor, "limit", number(limit)), nil)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Case gives one by id, FB-12 or 12.
func (c *Client) Case(ctx context.Context, name string) (wire.Case, error) {
	return call[wire.Case](ctx, c, get, in("cases", name), nil, nil)
}

// Detections lists a tenant's detections, the newest first; an empty state lists all.
func (c *Client) Detections(ctx context.Context, tenant string, state threat.DetectionState, limit int) ([]threat.Detection, error) {
	return items(call[wire.List[threat.Detection]](ctx, c, get, in("tenants", tenant, "detections"),
		query("state", string(state), "limit", number(limit)), nil))
}

// Detection gives one by id, with what its product sent.
func (c *Client) Detection(ctx context.Context, id uuid.UUID) (wire.Detection, error) {
	return call[wire.Detection](ctx, c, get, in("detections", id.String()), nil, nil)
}

// Timeline gives what happened in a case.
func (c *Client) Timeline(ctx context.Context, name string) ([]threat.TimelineRow, error) {
	return items(call[wire.List[threat.TimelineRow]](ctx, c, get, in("cases", name, "timeline"), nil, nil))
}

// Responses gives a case's responses.
func (c *Client) Responses(ctx context.Context, name string) ([]wire.Response, error) {
	return items(call[wire.List[wire.Response]](ctx, c, get, in("cases", name, "responses"), nil, nil))
}

// Plan gives what a case wants done, through what, and what has come of it.
func (c *Client) Plan(ctx context.Context, name string) ([]wire.PlanStep, error) {
	return items(call[wire.List[wire.PlanStep]](ctx, c, get, in("cases", name, "plan"), nil, nil))
}

// CloseCase closes a case.
func (c *Client) CloseCase(ctx context.Context, name, reason string) (wire.Case, error) {
	return call[wire.Case](ctx, c, post, in("cases", name, "close"), nil, wire.CloseCase{Reason: reason})
}

// Note writes into a case's timeline.
func (c *Client) Note(ctx context.Context, name, text string) error {
	_, err := call[wire.Done](ctx, c, post, in("cases", name, "notes"), nil, wire.Note{Text: text})
	return err
}

// Acknowledge says that the caller is on a case.
func (c *Client) Acknowledge(ctx context.Context, name string) (wire.Case, error) {
	return call[wire.Case](ctx, c, post, in("cases", name, "acknowledge"), nil, wire.Acknowledge{})
}

// Action is a response with its claims.
type Action struct {
	Response wire.Response  `json:"response"`
	Claims   []threat.Claim `json:"claims"`
}

// Action gives one action's life.
func (c *Client) Action(ctx context.Context, id string) (Action, error) {
	return call[Action](ctx, c, get, in("actions", id), nil, nil)
}

// Propose asks for an action by hand.
func (c *Client) Propose(ctx context.Context, caseName string, p wire.Propose) (wire.Response, error) {
	return call[wire.Response](ctx, c, post, in("cases", caseName, "actions"), nil, p)
}

// Release lets an action go.
func (c *Client) Release(ctx context.Context, id, why string) (wire.Response, error) {
	return call[wire.Response](ctx, c, post, in("actions", id, "release"), nil, wire.Why{Why: why})
}

// Verbs gives the table of verbs.
func (c *Client) Verbs(ctx context.Context) ([]wire.Verb, error) {
	return items(call[wire.List[wire.Verb]](ctx, c, get, in("verbs"), nil, nil))
}

// Requests gives the open questions.
func (c *Client) Requests(ctx context.Context, tenant string) ([]wire.Request, error) {
	return items(call[wire.List[wire.Request]](ctx, c, get, in("requests"), query("tenant", tenant, "limit", "200"), nil))
}

// Request gives one.
func (c *Client) Request(ctx context.Context, id string) (wire.Request, error) {
	return call[wire.Request](ctx, c, get, in("requests", id), nil, nil)
}

// Decide says a verdict. A click that the door did not accept is a *Refused.
func (c *Client) Decide(ctx context.Context, id string, v wire.Verdict) (threat.ClickAnswer, error) {
	return call[threat.ClickAnswer](ctx, c, post, in("requests", id, "verdicts"), nil, v)
}

// Organisations gives those that the caller may see.
func (c *Client) Organisations(ctx context.Context) ([]threat.Organisation, error) {
	return items(call[wire.List[threat.Organisation]](ctx, c, get, in("organisations"), nil, nil))
}

// CreateOrganisation adds one.
func (c *Client) CreateOrganisation(ctx context.Context, o wire.NewOrganisation) (threat.Organisation, error) {
	return call[threat.Organisation](ctx, c, post, in("organisations"), nil, o)
}

// Tenant gives an organisation with its state.
func (c *Client) Tenant(ctx context.Context, t string) (wire.Tenant, error) {
	return call[wire.Tenant](ctx, c, get, in("tenants", t), nil, nil)
}

// Settings gives what an organisation sets, and what holds for it.
func (c *Client) Settings(ctx context.Context, t string) (wire.Settings, error) {
	return call[wire.Settings](ctx, c, get, in("tenants", t, "settings"), nil, nil)
}

// SetSettings replaces what an organisation sets itself.
func (c *Client) SetSettings(ctx context.Context, t string, s tenant.Settings) (wire.Settings, error) {
	return call[wire.Settings](ctx, c, put, in("tenants", t, "settings"), nil, s)
}

// Mode gives a tenant's mode and its consents.
func (c *Client) Mode(ctx context.Context, t string) (wire.Mode, error) {
	return call[wire.Mode](ctx, c, get, in("tenants", t, "mode"), nil, nil)
}

// SetMode consents to a mode.
func (c *Client) SetMode(ctx context.Context, t string, m wire.SetMode) (wire.Mode, error) {
	return call[wire.Mode](ctx, c, post, in("tenants", t, "mode"), nil, m)
}

// PreviewMode tells what a mode would let go.
func (c *Client) PreviewMode(ctx context.Context, t string, m threat.Mode, eradicate bool) (wire.ModePreview, error) {
	return call[wire.ModePreview](ctx, c, get, in("tenants", t, "mode", "preview"),
		query("mode", string(m), "eradicate", strconv.FormatBool(eradicate)), nil)
}

// Contacts gives a tenant's authorised contacts.
func (c *Client) Contacts(ctx context.Context, t string) ([]wire.Contact, error) {
	return items(call[wire.List[wire.Contact]](ctx, c, get, in("tenants", t, "contacts"), nil, nil))
}

// SetContacts replaces them.
func (c *Client) SetContacts(ctx context.Context, t string, list []wire.Contact) ([]wire.Contact, error) {
	return items(call[wire.List[wire.Contact]](ctx, c, put, in("tenants", t, "contacts"), nil, wire.SetContacts{Contacts: list}))
}

// Assets gives a tenant's assets.
func (c *Client) Assets(ctx context.Context, t string) ([]threat.Asset, error) {
	return items(call[wire.List[threat.Asset]](ctx, c, get, in("tenants", t, "assets"), nil, nil))
}

// AddAsset adds one.
func (c *Client) AddAsset(ctx context.Context, t string, a wire.NewAsset) (threat.Asset, error) {
	return call[threat.Asset](ctx, c, post, in("tenants", t, "assets"), nil, a)
}

// RemoveAsset removes one.
func (c *Client) RemoveAsset(ctx context.Context, t string, id uuid.UUID) error {
	_, err := call[wire.Done](ctx, c, remove, in("tenants", t, "assets", id.String()), nil, nil)
	return err
}

// Protect sets whether an asset is protected.
func (c *Client) Protect(ctx context.Context, t string, id uuid.UUID, on bool) (threat.Asset, error) {
	return call[threat.Asset](ctx, c, post, in("tenants", t, "assets", id.String(), "protect"), nil, wire.Protect{Protected: on})
}

// SetStop turns a stop switch.
func (c *Client) SetStop(ctx context.Context, t string, on bool, why string) (wire.Stopped, error) {
	return call[wire.Stopped](ctx, c, post, in("tenants", t, "stop"), nil, wire.SetStop{On: on, Why: why})
}

// Connections gives an organisation's configured products.
func (c *Client) Connections(ctx context.Context, t string) ([]threat.Connection, error) {
	return items(call[wire.List[threat.Connection]](ctx, c, get, in("tenants", t, "connections"), nil, nil))
}

// AddConnection configures one.
func (c *Client) AddConnection(ctx context.Context, t string, n wire.NewConnection) (threat.Connection, error) {
	return call[threat.Connection](ctx, c, post, in("tenants", t, "connections"), nil, n)
}

// ChangeConnection changes one.
func (c *Client) ChangeConnection(ctx context.Context, t string, id uuid.UUID, n wire.ChangeConnection) (threat.Connection, error) {
	return call[threat.Connection](ctx, c, patch, in("tenants", t, "connections", id.String()), nil, n)
}

// TestConnection tries one.
func (c *Client) TestConnection(ctx context.Context, t string, id uuid.UUID) error {
	_, err := call[wire.Done](ctx, c, post, in("tenants", t, "connections", id.String(), "test"), nil, nil)
	return err
}

// SetSecret sets a connection's credential.
func (c *Client) SetSecret(ctx context.Context, t string, id uuid.UUID, value string) error {
	_, err := call[threat.Connection](ctx, c, put, in("tenants", t, "connections", id.String(), "secret"), nil,
		wire.Secret{Value: value})
	return err
}

// Adapters gives the products that the server knows.
func (c *Client) Adapters(ctx context.Context) ([]wire.Adapter, error) {
	return items(call[wire.List[wire.Adapter]](ctx, c, get, in("adapters"), nil, nil))
}

// Feed gives how a connection's lists stand.
func (c *Client) Feed(ctx context.Context, connection string) (wire.Feed, error) {
	return call[wire.Feed](ctx, c, get, in("feeds", connection), nil, nil)
}

// People gives people with their roles.
func (c *Client) People(ctx context.Context, org string) ([]wire.Person, error) {
	return items(call[wire.List[wire.Person]](ctx, c, get, in("people"), query("org", org), nil))
}

// AddPerson adds one.
func (c *Client) AddPerson(ctx context.Context, p wire.NewPerson) (wire.Person, error) {
	return call[wire.Person](ctx, c, post, in("people"), nil, p)
}

// DisablePerson ends a person's rights.
func (c *Client) DisablePerson(ctx context.Context, id uuid.UUID) (wire.Person, error) {
	return call[wire.Person](ctx, c, post, in("people", id.String(), "disable"), nil, nil)
}

// SetGrants replaces a person's roles.
func (c *Client) SetGrants(ctx context.Context, id uuid.UUID, list []wire.Grant) (wire.Person, error) {
	return call[wire.Person](ctx, c, put, in("people", id.String(), "grants"), nil, wire.SetGrants{Grants: list})
}

// LinkPerson makes a one-time sign-in link. Zero seconds takes the usual lifetime.
func (c *Client) LinkPerson(ctx context.Context, id uuid.UUID, seconds int64) (wire.Link, error) {
	return call[wire.Link](ctx, c, post, in("people", id.String(), "signin-link"), nil, wire.NewLink{LifetimeSeconds: seconds})
}

// Tokens gives programs' tokens.
func (c *Client) Tokens(ctx context.Context, org string) ([]threat.Token, error) {
	return items(call[wire.List[threat.Token]](ctx, c, get, in("tokens"), query("org", org), nil))
}

// CreateToken makes one.
func (c *Client) CreateToken(ctx context.Context, t wire.NewToken) (wire.MintedToken, error) {
	return call[wire.MintedToken](ctx, c, post, in("tokens"), nil, t)
}

// RevokeToken ends one.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := call[wire.Done](ctx, c, remove, in("tokens", id), nil, nil)
	return err
}

// Policy gives the rules in force.
func (c *Client) Policy(ctx context.Context) (wire.Policy, error) {
	return call[wire.Policy](ctx, c, get, in("policy"), nil, nil)
}

// Evaluate asks the rules in force for a trial.
func (c *Client) Evaluate(ctx context.Context, q threat.Question, input json.RawMessage) (wire.Trial, error) {
	return call[wire.Trial](ctx, c, post, in("policy", "evaluate"), nil, wire.Evaluate{Question: q, Input: input})
}

// Journal gives a part of an organisation's journal.
func (c *Client) Journal(ctx context.Context, org string, after int64, limit int) (wire.JournalPage, error) {
	return call[wire.JournalPage](ctx, c, get, in("journal", org),
		query("after", strconv.FormatInt(after, 10), "limit", number(limit)), nil)
}

// Post sends detections as OCSF, or in a product's own format when one is named.
func (c *Client) Post(ctx context.Context, t, product string, body []byte) (ingest.Receipt, error) {
	if product == "" {
		return call[ingest.Receipt](ctx, c, post, in("tenants", t, "detections"), nil, body)
	}
	return call[ingest.Receipt](ctx, c, post, in("tenants", t, "sensors", product), nil, body)
}
