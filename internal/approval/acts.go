package approval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Acknowledge keeps a contact's word that they are on a case. It authorises nothing. Only an authorised contact of the
// tenant who is not a subject of the case acknowledges for the customer: everybody else is Forbidden, the provider's
// analysts too, and that is journalled. Conflict for a closed case, NotFound for one that is not there.
func (d *Door) Acknowledge(ctx context.Context, caller threat.Caller, caseID uuid.UUID, attempt uuid.NullUUID) (threat.Case, error) {
	const action = "case.acknowledge"
	c, err := d.deps.Store.Case(ctx, caseID)
	if err != nil {
		return threat.Case{}, err
	}
	if !caller.IsPerson() {
		return threat.Case{}, d.forbid(ctx, caller, action, c, "only a person acknowledges a case", "sign in as a contact of the customer")
	}
	contacts, err := d.deps.Store.Contacts(ctx, c.TenantID)
	if err != nil {
		return threat.Case{}, err
	}
	if !slices.ContainsFunc(contacts, func(e threat.ContactEntry) bool { return e.PersonID == caller.PersonID.UUID }) {
		return threat.Case{}, d.forbid(ctx, caller, action, c, "only an authorised contact of the customer acknowledges a case",
			"write a note that you took it; the contacts are called all the same")
	}
	if err := d.notSubject(ctx, caller, action, c); err != nil {
		return threat.Case{}, err
	}
	return d.deps.Store.Acknowledge(ctx, threat.Acknowledgement{CaseID: caseID, AttemptID: attempt, PersonID: caller.PersonID.UUID,
		Name: caller.Name, Via: caller.Surface})
}

// Release has a containment let go now. It takes the right action.release, a reason, and that the caller is not a subject of
// the case. Forbidden without them, Conflict when it has ended, NotFound when it is not there.
func (d *Door) Release(ctx context.Context, caller threat.Caller, responseID uuid.UUID, why string) (threat.Response, error) {
	why = line(why, maxWhy)
	if why == "" {
		return threat.Response{}, &threat.Fault{Kind: threat.Invalid, What: "a release says why", Place: "/why"}
	}
	r, err := d.deps.Store.Response(ctx, responseID)
	if err != nil {
		return threat.Response{}, err
	}
	c, err := d.deps.Store.Case(ctx, r.CaseID)
	if err != nil {
		return threat.Response{}, err
	}
	if err := d.may(ctx, caller, "action.release", c); err != nil {
		return threat.Response{}, err
	}
	return d.deps.Store.EndHold(ctx, responseID, why, caller.Actor())
}

// Proposal is an action that somebody asks for by hand.
type Proposal struct {
	CaseID      uuid.UUID
	Verb        string
	Target      threat.Target
	Params      map[string]string
	Duration    time.Duration // zero takes what policy gives
	Connections []uuid.UUID   // none takes all that can do it
	End         threat.End    // empty takes what policy gives
	Required    bool          // the case is contained only when this is verified
}

// ByHand is the step of actions that people and programs ask for themselves.
const ByHand = "manual"

// Propose asks for an action by hand. It decides nothing: policy does, and where it asks for four eyes, whoever proposed
// does not approve. It takes the right action.propose and that the caller is not a subject of the case. Faults: Forbidden
// without them, Invalid and Unsupported with the place for what the verb, its target or the tenant's connections do not
// allow, Conflict for a closed case and for the same action that is under way already.
func (d *Door) Propose(ctx context.Context, caller threat.Caller, p Proposal) (threat.Response, error) {
	c, err := d.deps.Store.Case(ctx, p.CaseID)
	if err != nil {
		return threat.Response{}, err
	}
	if err := d.may(ctx, caller, "action.propose", c); err != nil {
		return threat.Response{}, err
	}
	if !c.Open() {
		return threat.Response{}, threat.Faultf(threat.Conflict, "the case is closed")
	}
	a, err := action(c, p)
	if err != nil {
		return threat.Response{}, err
	}
	if a.Connections, err = d.through(ctx, c, a, p.Connections); err != nil {
		return threat.Response{}, err
	}
	if a.Round, err = d.round(ctx, a); err != nil {
		return threat.Response{}, err
	}
	a.ID = threat.ActionID(c.ID, a.Step, a.Target, a.Round)
	made, err := d.deps.Store.ProposeResponses(ctx, c.ID, []threat.Response{{Action: a, Required: p.Required, AskedBy: caller.Actor(),
		State: threat.ResponseProposed, Why: "asked for by " + threat.Inert(caller.Name, 80)}})
	if err != nil {
		return threat.Response{}, err
	}
	i := slices.IndexFunc(made, func(r threat.Response) bool { return r.ID == a.ID })
	if i < 0 {
		return threat.Response{}, threat.Faultf(threat.Internal, "a proposed action was not kept")
	}
	if r := made[i]; r.Verb != a.Verb || r.AskedBy != caller.Actor() {
		return threat.Response{}, underWay(r)
	}
	return made[i], nil
}

// action makes the action of a proposal, with its target canonical and its parameters complete.
func action(c threat.Case, p Proposal) (threat.Action, error) {
	a := threat.Action{TenantID: c.TenantID, CaseID: c.ID, Step: ByHand, Verb: p.Verb, Target: p.Target, Params: p.Params,
		Duration: p.Duration, End: p.End}
	if p.End != "" && !slices.Contains(threat.Ends, p.End) {
		return a, &threat.Fault{Kind: threat.Invalid, What: "unknown end of a containment", Place: "/end",
			Next: "give release, release_when_contained, ask or extend"}
	}
	if a.Duration < 0 {
		return a, &threat.Fault{Kind: threat.Invalid, What: "a duration below zero", Place: "/duration_seconds"}
	}
	if v, ok := verb.Find(a.Verb); ok && a.Duration == 0 {
		a.Duration = v.MinDuration // only for the check: policy says how long
	}
	a, err := verb.Check(a)
	if p.Duration == 0 {
		a.Duration = 0
	}
	return a, err
}

// through gives the connections that an action goes through: those that were asked for, or all that can do it.
func (d *Door) through(ctx context.Context, c threat.Case, a threat.Action, asked []uuid.UUID) ([]uuid.UUID, error) {
	if d.deps.Plan == nil {
		return nil, threat.Faultf(threat.Unsupported, "nothing can be proposed by hand here")
	}
	able, left, err := d.deps.Plan(ctx, c.TenantID, a.Verb, a.Target)
	if err != nil {
		return nil, err
	}
	none := &threat.Fault{Kind: threat.Unsupported, What: "no connection of the tenant can " + a.Verb, Place: "/connections",
		Next: "add a connection that can, or enable it"}
	if left != "" {
		none.What += ": " + threat.Inert(left, 300)
	}
	if len(able) == 0 {
		return nil, none
	}
	if len(asked) == 0 {
		return able, nil
	}
	out := slices.DeleteFunc(slices.Clone(able), func(id uuid.UUID) bool { return !slices.Contains(asked, id) })
	for i, id := range asked {
		if !slices.Contains(able, id) {
			none.Place = fmt.Sprintf("/connections/%d", i)
			none.What = "this connection is not one of the tenant's that can " + a.Verb
			return nil, none
		}
	}
	return out, nil
}

// round gives the next round of an action by hand; Conflict while the last one is under way.
func (d *Door) round(ctx context.Context, a threat.Action) (int, error) {
	all, err := d.deps.Store.Responses(ctx, a.CaseID)
	if err != nil {
		return 0, err
	}
	round := 0
	for _, r := range all {
		if r.Target.String() != a.Target.String() {
			continue
		}
		if r.Verb == a.Verb && r.EndedAt == nil && !r.State.Terminal() {
			return 0, underWay(r)
		}
		if r.Step == a.Step {
			round = max(round, r.Round)
		}
	}
	return round + 1, nil
}

func underWay(r threat.Response) error {
	return &threat.Fault{Kind: threat.Conflict, What: fmt.Sprintf("action %d of this case does this already; it is %s", r.Number,
		strings.ReplaceAll(string(r.State), "_", " ")), Next: "wait for it, or release it first"}
}
