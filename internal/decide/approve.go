package decide

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

type approveAnswer struct {
	Allow   bool           `json:"allow"`
	Role    threat.Role    `json:"role"`
	Refusal threat.Refusal `json:"refusal"`
	Said    []saidAnswer   `json:"said"`
}

// Approve asks whether a caller may give this verdict on a request now. Without an answer it is no. What is not a matter of
// judgement (digest, expiry, single use, quorum) is the store's. Faults are the store's too.
func (s *Service) Approve(ctx context.Context, req threat.Request, caller threat.Caller, verdict threat.VerdictKind) (threat.ApproveFact, error) {
	state, err := s.deps.Store.TenantState(ctx, req.TenantID)
	if err != nil {
		return threat.ApproveFact{}, err
	}
	c, err := s.deps.Store.Case(ctx, req.CaseID)
	if err != nil {
		return threat.ApproveFact{}, err
	}
	set, err := s.deps.Store.EffectiveSettings(ctx, req.TenantID)
	if err != nil {
		return threat.ApproveFact{}, err
	}
	at, err := s.place(ctx, req.TenantID)
	if err != nil {
		return threat.ApproveFact{}, err
	}
	who, err := s.approver(ctx, req, caller, at)
	if err != nil {
		return threat.ApproveFact{}, err
	}
	now := s.deps.Now().UTC()
	in := approveInput{At: now, Caller: who, Verdict: verdict,
		Case: approveCase{ID: c.ID.String(), Severity: c.Severity, Threat: c.Threat},
		Request: approveRequest{ID: req.ID.String(), Kind: req.Body.Kind, Verb: req.Body.Verb, State: req.State,
			Roles: append([]threat.Role{}, req.Approvers.Roles...), Needed: req.Approvers.Needed, FourEyes: req.Approvers.FourEyes,
			AskedByCaller: req.AskedBy == caller.Actor(), Targets: len(req.Body.Targets), Duration: req.Body.Seconds},
		Tenant: approveTenant{ID: req.TenantID.String(), Mode: state.Mode, Stopped: state.Stopped,
			BusinessHours: s.businessHours(usable(set), now)}}
	var out approveAnswer
	dec, err := s.settle(ctx, threat.AskApprove, about{tenant: req.TenantID, caseID: valid(req.CaseID), subject: req.ID},
		s.deps.Policies.Evaluate(ctx, threat.AskApprove, in), now, &out, func() {
			out = approveAnswer{Refusal: threat.RefusedPolicy, Said: noAnswer()}
		})
	if err != nil {
		return threat.ApproveFact{}, err
	}
	fact := threat.ApproveFact{Allowed: out.Allow, Role: out.Role, Refusal: out.Refusal, Why: whys(out.Said), DecisionID: valid(dec.ID),
		Facts: revisions(state, c, dec.Revision)}
	return hold(fact, req, caller, who), nil
}

// hold keeps what no rule lifts: an approval names a person, and counts in a role that the request names and they have.
func hold(f threat.ApproveFact, req threat.Request, caller threat.Caller, who approveCaller) threat.ApproveFact {
	if !f.Allowed {
		f.Role = ""
		if f.Refusal == threat.RefusedNone {
			f.Refusal = threat.RefusedPolicy
		}
		return f
	}
	switch {
	case !caller.IsPerson():
		f.Refusal, f.Why = threat.RefusedNotAPerson, "only a signed-in person can decide"
	case !slices.Contains(req.Approvers.Roles, f.Role) || !slices.Contains(who.Roles, f.Role):
		f.Refusal, f.Why = threat.RefusedWrongPerson, "the request does not name a role that they have here"
	default:
		f.Refusal = threat.RefusedNone
		return f
	}
	f.Allowed, f.Role = false, ""
	return f
}

// approver gathers who is asking to decide.
func (s *Service) approver(ctx context.Context, req threat.Request, caller threat.Caller, at place) (approveCaller, error) {
	who := approveCaller{Person: caller.IsPerson(), Roles: rolesOver(caller, at), Surface: caller.Surface}
	if !who.Person {
		return who, nil
	}
	who.ID = caller.PersonID.UUID.String()
	p, err := s.deps.Store.Person(ctx, caller.PersonID.UUID)
	switch {
	case threat.Is(err, threat.NotFound):
		who.Disabled = true
	case err != nil:
		return who, err
	default:
		who.Disabled = p.DisabledAt != nil
		sub, err := s.subjectsOf(ctx, req.CaseID)
		if err != nil {
			return who, err
		}
		who.Subject = sub.person(p)
	}
	entry, listed, err := s.contact(ctx, req.TenantID, caller.PersonID.UUID)
	if err != nil {
		return who, err
	}
	who.Listed, who.MayAuthorise = listed, listed && entry.MayAuthorise(req.Body.Verb)
	return who, nil
}

// contact finds a person in a tenant's list of authorised contacts.
func (s *Service) contact(ctx context.Context, tenant, person uuid.UUID) (threat.ContactEntry, bool, error) {
	entries, err := s.deps.Store.Contacts(ctx, tenant)
	if err != nil {
		return threat.ContactEntry{}, false, err
	}
	for _, e := range entries {
		if e.PersonID == person {
			return e, true, nil
		}
	}
	return threat.ContactEntry{}, false, nil
}

// rolesOver gives the roles that a caller holds over an organisation, each once, in the order of their grants.
func rolesOver(caller threat.Caller, at place) []threat.Role {
	out := []threat.Role{}
	for _, g := range caller.Grants {
		if slices.Contains(at.ids, g.OrgID.String()) && !slices.Contains(out, g.Role) {
			out = append(out, g.Role)
		}
	}
	return out
}
