// Package approval is the door: every verdict of a person, from whatever surface, is decided here. It asks policy whether
// this person may decide this request now, hands the click with that answer to the store, which counts or refuses it in one
// transaction and journals it, and tells the person in plain words what came of it. It holds no lock and no state, and
// knows no surface.
package approval

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Store is what the door needs of the store. Reads give NotFound for what is not there; every method gives Unavailable when
// the database is away.
type Store interface {
	Request(ctx context.Context, id uuid.UUID) (threat.Request, error)
	RequestsOf(ctx context.Context, responseID uuid.UUID) ([]threat.Request, error)
	Response(ctx context.Context, id uuid.UUID) (threat.Response, error)
	Responses(ctx context.Context, caseID uuid.UUID) ([]threat.Response, error)
	Case(ctx context.Context, id uuid.UUID) (threat.Case, error)
	Contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error)
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)

	// CastVote counts a click or refuses it, and journals it either way. A refusal is an answer, not a fault.
	CastVote(ctx context.Context, b threat.Ballot) (threat.ClickAnswer, error)
	// Acknowledge gives Forbidden for a disabled person and Conflict for a closed case.
	Acknowledge(ctx context.Context, a threat.Acknowledgement) (threat.Case, error)
	// EndHold has a response released, once. Conflict when it has ended.
	EndHold(ctx context.Context, responseID uuid.UUID, why, by string) (threat.Response, error)
	// ProposeResponses gives those that stand already back as they stand.
	ProposeResponses(ctx context.Context, caseID uuid.UUID, list []threat.Response) ([]threat.Response, error)
	// Append gives the first entry when its key stands already.
	Append(ctx context.Context, e threat.Entry) (threat.Entry, error)
}

// Decider asks policy. Its answers are the safe ones where policy gave none; an error means that there is no answer at all.
type Decider interface {
	Approve(ctx context.Context, req threat.Request, caller threat.Caller, verdict threat.VerdictKind) (threat.ApproveFact, error)
	Respond(ctx context.Context, r threat.Response) (threat.RespondDecision, error)
	Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (bool, string, error)
	// Subject reports whether a case names a person as its subject: such a one neither decides nor acknowledges.
	Subject(ctx context.Context, caseID uuid.UUID, p threat.Person) (bool, error)
}

// Planner gives the connections of a tenant through which a verb reaches a target, sorted, and in words those that it left
// out. Unsupported when the verb or the target is none.
type Planner func(ctx context.Context, tenant uuid.UUID, verb string, target threat.Target) (connections []uuid.UUID,
	leftOut string, err error)

// Metrics counts clicks. Implementations are safe for use by several goroutines.
type Metrics interface {
	// Click notes one verdict from a surface, what came of it ("" is accepted) and how long the door took.
	Click(surface string, verdict threat.VerdictKind, refusal threat.Refusal, took time.Duration)
}

// Deps are what a Door is made of.
type Deps struct {
	Store   Store
	Decide  Decider
	Plan    Planner          // nil: nothing can be proposed by hand
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger     // nil discards
	Metrics Metrics          // nil counts nothing
}

// Door decides. It is safe for use by many at once.
type Door struct{ deps Deps }

// New makes a Door.
func New(d Deps) *Door {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{deps: d}
}

// Bounds of what people write, in runes.
const (
	maxReason = 1000
	maxWhy    = 500
)

// line makes one inert line of what a person wrote.
func line(s string, most int) string { return threat.Inert(strings.Join(strings.Fields(s), " "), most) }

// tries is how often policy is asked anew when facts moved between its answer and the store's transaction.
const tries = 3

// forbid journals that somebody without the right tried, at most once a minute, and gives the fault. That it could not be
// journalled does not let them in: it is told in the log.
func (d *Door) forbid(ctx context.Context, caller threat.Caller, action string, c threat.Case, what, next string) error {
	now := d.deps.Now().UTC()
	body, err := json.Marshal(map[string]any{"action": action, "why": what, "surface": caller.Surface})
	if err == nil {
		_, err = d.deps.Store.Append(ctx, threat.Entry{OrgID: c.TenantID, Kind: threat.EntryAccessDenied, Actor: caller.Actor(),
			Key:     fmt.Sprintf("door.denied:%s:%s:%s:%d", caller.Actor(), action, c.ID, now.Unix()/60),
			CaseID:  uuid.NullUUID{UUID: c.ID, Valid: true},
			Subject: "case:" + c.ID.String(), Payload: body})
	}
	if err != nil {
		d.deps.Log.ErrorContext(ctx, "a denial could not be journalled", "actor", caller.Actor(), "action", action, "case", c.ID,
			"kind", threat.KindOf(err))
	}
	return &threat.Fault{Kind: threat.Forbidden, What: what, Place: action, Next: next}
}

// may asks for a right over a case, and that the caller is not what the case is about.
func (d *Door) may(ctx context.Context, caller threat.Caller, action string, c threat.Case) error {
	ok, why, err := d.deps.Decide.Access(ctx, caller, action, c.TenantID)
	if err != nil {
		return err
	}
	if !ok {
		return d.forbid(ctx, caller, action, c, "not allowed: "+threat.Inert(why, 200), "ask somebody who has this right")
	}
	return d.notSubject(ctx, caller, action, c)
}

// notSubject refuses a person whom the case is about: their account may be in the attacker's hands.
func (d *Door) notSubject(ctx context.Context, caller threat.Caller, action string, c threat.Case) error {
	if !caller.IsPerson() {
		return nil
	}
	p, err := d.deps.Store.Person(ctx, caller.PersonID.UUID)
	if err != nil {
		return err
	}
	subject, err := d.deps.Decide.Subject(ctx, c.ID, p)
	if err != nil || !subject {
		return err
	}
	return d.forbid(ctx, caller, action, c, "this is not yours to do; somebody else has to", "call the provider")
}
