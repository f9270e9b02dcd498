package activities

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/message"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Store is where the three workflows' subjects lie. Every write is idempotent where a step may be taken again. Faults are
// NotFound for what is not there, Conflict when the state moved on, Stale when a decision rested on other facts, and
// Unavailable; the last comes back from a step, which is then taken again.
type Store interface {
	CaseStore
	EscalationStore
	ResponseStore
	EffectStore
}

// CaseStore is what the three share about cases, and what a case's step writes.
type CaseStore interface {
	Case(ctx context.Context, id uuid.UUID) (threat.Case, error)
	EffectiveSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error)
	TenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error)
	Connections(ctx context.Context, tenant uuid.UUID) ([]threat.Connection, error)
	Assets(ctx context.Context, tenant uuid.UUID) ([]threat.Asset, error)
	// DetectionsOfCase gives up to limit detections after a place in the case, in order.
	DetectionsOfCase(ctx context.Context, caseID uuid.UUID, afterSeq int64, limit int) ([]threat.Detection, error)
	Responses(ctx context.Context, caseID uuid.UUID) ([]threat.Response, error)
	// ProposeResponses adds those whose ids are new.
	ProposeResponses(ctx context.Context, caseID uuid.UUID, list []threat.Response) ([]threat.Response, error)
	AdvanceCursor(ctx context.Context, caseID uuid.UUID, seq int64) error
	SetThreat(ctx context.Context, caseID uuid.UUID, to threat.ThreatState, why, by string) (threat.Case, error)
	SetContact(ctx context.Context, caseID uuid.UUID, to threat.ContactState, why string) (threat.Case, error)
	CloseCase(ctx context.Context, caseID uuid.UUID, reason, by string) (threat.Case, error)
}

// EscalationStore is what is kept of the attempts to reach people.
type EscalationStore interface {
	Escalations(ctx context.Context, caseID uuid.UUID) ([]threat.Escalation, error)
	Escalation(ctx context.Context, id uuid.UUID) (threat.Escalation, error)
	// StartEscalation gives the one that runs already, if one does.
	StartEscalation(ctx context.Context, caseID uuid.UUID, a threat.EscalateAnswer, subject string) (threat.Escalation, error)
	EndEscalation(ctx context.Context, id uuid.UUID, state threat.EscalationState) (threat.Escalation, error)
	Reach(ctx context.Context, escalationID uuid.UUID) (threat.Reach, error)
	Attempts(ctx context.Context, escalationID uuid.UUID) ([]threat.Attempt, error)
	Attempt(ctx context.Context, id uuid.UUID) (threat.Attempt, error)
	// PlanAttempts adds those whose ids are new.
	PlanAttempts(ctx context.Context, escalationID uuid.UUID, list []threat.Attempt) error
	// BeginAttempt is true for the one who may send it now.
	BeginAttempt(ctx context.Context, id uuid.UUID) (threat.Attempt, bool, error)
	FinishAttempt(ctx context.Context, id uuid.UUID, state threat.AttemptState, providerID, errText string) error
	SkipAttempts(ctx context.Context, escalationID uuid.UUID, why string) error
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)
	Organisation(ctx context.Context, idOrSlug string) (threat.Organisation, error)
}

// ResponseStore is what is kept of an action's life, and of the questions to people about it.
type ResponseStore interface {
	Response(ctx context.Context, id uuid.UUID) (threat.Response, error)
	// ApplyDecision answers Conflict when the response's version differs, and Stale when a fact does.
	ApplyDecision(ctx context.Context, responseID uuid.UUID, version int64, d threat.RespondDecision) (threat.Response, error)
	MarkStale(ctx context.Context, responseID uuid.UUID, why string) (threat.Response, error)
	// FailResponse answers Conflict while something may be on a device.
	FailResponse(ctx context.Context, id uuid.UUID, why string) (threat.Response, error)
	EndHold(ctx context.Context, id uuid.UUID, why, by string) (threat.Response, error)
	// ExtendHold takes back whatever people are asked about the response's end.
	ExtendHold(ctx context.Context, id uuid.UUID, until time.Time, why, by string) (threat.Response, error)
	Request(ctx context.Context, id uuid.UUID) (threat.Request, error)
	RequestsOf(ctx context.Context, responseID uuid.UUID) ([]threat.Request, error)
	OpenEndRequest(ctx context.Context, responseID uuid.UUID, who threat.Approvers, askFor time.Duration, decision uuid.UUID,
		silence string) (threat.Request, error)
	ExpireRequest(ctx context.Context, requestID uuid.UUID) (threat.Request, error)
}

// EffectStore is what is kept of effects, and of the rights to change them.
type EffectStore interface {
	Claim(ctx context.Context, q threat.ClaimRequest) (threat.ClaimAnswer, error)
	ClaimRelease(ctx context.Context, responseID, connectionID uuid.UUID) (threat.ClaimAnswer, error)
	// BeginSend is true exactly once a claim, for the one who may send now.
	BeginSend(ctx context.Context, claimID uuid.UUID, call time.Duration) (threat.Claim, bool, error)
	// FinishClaim keeps the first result.
	FinishClaim(ctx context.Context, claimID uuid.UUID, r threat.ClaimResult) error
	// LapseClaim answers Conflict while the claim may still be sent, or was.
	LapseClaim(ctx context.Context, claimID uuid.UUID) error
	// SettleUntil is from when on a read that shows nothing is believed about what was sent under a claim.
	SettleUntil(ctx context.Context, claimID uuid.UUID) (time.Time, error)
	RecordSighting(ctx context.Context, s threat.Sighting) (threat.Effect, error)
	ClaimByID(ctx context.Context, id uuid.UUID) (threat.Claim, error)
	ClaimsOf(ctx context.Context, responseID uuid.UUID) ([]threat.Claim, error)
	Effect(ctx context.Context, id uuid.UUID) (threat.Effect, error)
	// AssetsTouched gives the tenant's assets that a target is, or is on, and those that it would reach.
	AssetsTouched(ctx context.Context, tenant uuid.UUID, t threat.Target) ([]threat.Asset, error)
}

// Decider puts questions to policy: *decide.Service. Faults are the store's, and Unsupported for an unknown verb.
type Decider interface {
	Respond(ctx context.Context, r threat.Response) (threat.RespondDecision, error)
	Escalate(ctx context.Context, c threat.Case) (threat.EscalateAnswer, error)
}

// Devices opens connections. Faults are NotFound, Unsupported for one that is disabled or cannot do this, and Unavailable.
type Devices interface {
	Device(ctx context.Context, connectionID uuid.UUID) (*adapters.Device, error)
	Speaker(ctx context.Context, connectionID uuid.UUID) (*adapters.Speaker, error)
	// Able gives what a product can do with a verb.
	Able(adapter, verb string) (adapters.Ability, bool)
}

// Messages writes what people read; resolve is the message that takes back what was sent.
type Messages interface {
	Attempt(f message.Facts, resolve bool) (adapters.Message, error)
}

// letters are the house's own words.
type letters struct{}

func (letters) Attempt(f message.Facts, resolve bool) (adapters.Message, error) {
	m := message.Attempt(f)
	if resolve {
		m = message.Resolve(f)
	}
	return adapters.Message{Subject: m.Subject, Text: m.Text, HTML: m.HTML, Link: m.Link, Severity: m.Severity}, nil
}

// Links makes the address under which the receiver of an attempt acknowledges the case.
type Links interface {
	AckLink(ctx context.Context, a threat.Attempt) (string, error)
}

// Metrics counts what is done to devices.
type Metrics interface {
	Claimed(verb string, kind threat.ClaimKind, verdict threat.ClaimVerdict)
	// Sent counts one request to a device; took is the time from the right to it until its answer.
	Sent(verb string, kind threat.ClaimKind, outcome threat.Outcome, took time.Duration)
	// Read counts one look at a device; presence is "failed" when it could not be read.
	Read(verb string, presence adapters.Presence)
}

// readFailed is the presence that Metrics.Read is told of a device that could not be read.
const readFailed adapters.Presence = "failed"

// Deps are what the activities are made of. Store, Decide and Devices must be there.
type Deps struct {
	Store    Store
	Decide   Decider
	Devices  Devices
	Messages Messages                               // nil: the house's own words, of package message
	Links    Links                                  // nil: messages carry no link to acknowledge
	CaseLink func(caseID uuid.UUID) string          // the address of a case's page; nil: none
	Page     func(ctx context.Context, what string) // calls the provider's people
	Ours     []string                               // Firebreak's own addresses and names, which no action may cut off
	// Resolve looks up where a name leads now, within a second or so. What leads to an untouchable address is not blocked, and
	// what cannot be looked up leads nowhere. Nil: no name is looked up.
	Resolve func(ctx context.Context, name string) []string
	Build   string // of this program
	Now     func() time.Time
	// Wait passes a short while within a task, until ctx ends at most. Nil waits by the machine's clock.
	Wait    func(ctx context.Context, d time.Duration) error
	Log     *slog.Logger
	Metrics Metrics
}

func (d Deps) filled() Deps {
	if d.Page == nil {
		d.Page = func(context.Context, string) {}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Wait == nil {
		d.Wait = wait
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Messages == nil {
		d.Messages = letters{}
	}
	if d.CaseLink == nil {
		d.CaseLink = func(uuid.UUID) string { return "" }
	}
	if d.Metrics == nil {
		d.Metrics = uncounted{}
	}
	return d
}

// The log's lines about a case, an escalation's attempt and a response carry the ids by which they are found.

func (d Deps) aboutCase(c threat.Case) *slog.Logger {
	return d.Log.With("tenant", c.TenantID, "case", c.ID)
}

func (d Deps) aboutEscalation(e threat.Escalation) *slog.Logger {
	return d.Log.With("tenant", e.TenantID, "case", e.CaseID, "escalation", e.ID)
}

func (d Deps) aboutAttempt(a threat.Attempt) *slog.Logger {
	return d.Log.With("tenant", a.TenantID, "case", a.CaseID, "escalation", a.EscalationID, "attempt", a.ID,
		"channel", a.Channel)
}

func (d Deps) aboutResponse(r threat.Response) *slog.Logger {
	return d.Log.With("tenant", r.TenantID, "case", r.CaseID, "response", r.ID)
}

// what names an action for people: "block_ip of ip:203.0.113.9".
func what(r threat.Response) string { return r.Verb + " of " + threat.Inert(r.Target.String(), 120) }

// now is the time, UTC.
func (d Deps) now() time.Time { return d.Now().UTC() }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type uncounted struct{}

func (uncounted) Claimed(string, threat.ClaimKind, threat.ClaimVerdict)        {}
func (uncounted) Sent(string, threat.ClaimKind, threat.Outcome, time.Duration) {}
func (uncounted) Read(string, adapters.Presence)                               {}

// recordWithin bounds the writing down of what came of a call, when the call's own time is over.
const recordWithin = 5 * time.Second

// lasting gives a context in which a result is still recorded though the task's own has ended: what went out is never left
// unsaid for want of time.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
}

// earliest gives the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// backoff is how long to wait before the next look at what began some time ago: half of that time, within bounds. So the
// waits grow by half each, whoever looks and whatever was forgotten meanwhile.
func backoff(age, least, most time.Duration) time.Duration {
	return min(max(age/2, least), max(least, most))
}

// taskMargin is what a task may take beyond its call and the product's settle time: the writes around them.
const taskMargin = 10 * time.Second

// callGrace is how long after a call's deadline nobody can be in it any more.
const callGrace = time.Second

// callOf is how long one call to a device or a provider may take. It is always well below a claim's lease, whatever the
// settings say, since nothing goes out under a claim whose lease does not outlast the call.
func callOf(set tenant.Settings) time.Duration {
	return min(set.Call.Duration(), set.Lease.Duration()/2)
}

// nullID gives an id that may be none.
func nullID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
