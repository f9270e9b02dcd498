package decide

import (
	"context"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Bounds of what respond is shown of assets.
const (
	maxAssets = 50
	maxTags   = 50
)

type respondAnswer struct {
	Effect    threat.Effectuate `json:"effect"`
	Basis     threat.Basis      `json:"basis"`
	Approvers approversAnswer   `json:"approvers"`
	AskFor    int64             `json:"ask_seconds"`
	Duration  int64             `json:"duration_seconds"`
	End       threat.End        `json:"end"`
	Silence   string            `json:"silence"`
	Guard     string            `json:"guard"`
	Narrower  string            `json:"narrower"`
	Said      []saidAnswer      `json:"said"`
}

type approversAnswer struct {
	Roles    []threat.Role `json:"roles"`
	Needed   int           `json:"needed"`
	FourEyes bool          `json:"four_eyes"`
}

// respondFacts are a response's facts, read in the order in which a change between two reads can only make the decision
// stale, never wrong: the versions first.
type respondFacts struct {
	at       place
	state    threat.TenantState
	c        threat.Case
	set      tenant.Settings
	assets   []threat.Asset
	reach    threat.Reach
	byClass  int
	byVerb   int
	shares   guard.Shares
	verb     verb.Verb
	response threat.Response
}

// Respond asks whether an action is executed, asked about or denied. Without an answer people are asked. The answer bears
// the revisions of the facts that it rests on; Claim compares them. Faults are the store's, and Unsupported for a verb
// that is not in the table.
func (s *Service) Respond(ctx context.Context, r threat.Response) (threat.RespondDecision, error) {
	now := s.deps.Now().UTC()
	f, err := s.gather(ctx, r, now)
	if err != nil {
		return threat.RespondDecision{}, err
	}
	in := s.respondInput(f, now)
	a := s.deps.Policies.Evaluate(ctx, threat.AskRespond, in)
	var out respondAnswer
	dec, err := s.settle(ctx, threat.AskRespond, about{tenant: r.TenantID, caseID: valid(r.CaseID), subject: r.ID}, a, now,
		&out, func() { out = askPeople(in) })
	if err != nil {
		return threat.RespondDecision{}, err
	}
	duration := time.Duration(out.Duration) * time.Second
	switch whole := f.set.BlockFor.Duration(); {
	case f.verb.Once: // it holds nothing
		duration = 0
	case in.Action.Duration == 0 && r.Duration == 0 && out.Duration == in.Settings.Block:
		duration = whole // a setting of a fraction of a second, as an accelerated run has it
	case r.Duration > 0 && out.Duration == in.Action.Duration:
		duration = r.Duration
	}
	return threat.RespondDecision{DecisionID: dec.ID, Effect: out.Effect, Basis: out.Basis,
		Approvers: threat.Approvers{Roles: out.Approvers.Roles, Needed: out.Approvers.Needed, FourEyes: out.Approvers.FourEyes},
		AskFor:    inSeconds(int(out.AskFor), int(in.Settings.Request), f.set.RequestOpen.Duration()),
		Duration:  duration, End: out.End, Silence: out.Silence, Guard: out.Guard, Narrower: out.Narrower,
		Rules: dec.Rules, Reasons: dec.Reasons, Facts: revisions(f.state, f.c, dec.Revision)}, nil
}

func revisions(st threat.TenantState, c threat.Case, policy string) threat.Revisions {
	return threat.Revisions{Mode: st.ModeVersion, Stop: st.StopVersion, Protection: st.ProtectionVersion,
		Settings: st.SettingsVersion, Contact: c.ContactVersion, Threat: c.ThreatVersion, Policy: policy}
}

func (s *Service) gather(ctx context.Context, r threat.Response, now time.Time) (respondFacts, error) {
	f := respondFacts{response: r}
	v, ok := verb.Find(r.Verb)
	if !ok {
		return f, &threat.Fault{Kind: threat.Unsupported, What: "unknown verb \"" + threat.Inert(r.Verb, 64) + "\"", Place: "/verb"}
	}
	f.verb = v
	var err error
	if f.state, err = s.deps.Store.TenantState(ctx, r.TenantID); err != nil {
		return f, err
	}
	if f.c, err = s.deps.Store.Case(ctx, r.CaseID); err != nil {
		return f, err
	}
	if f.at, err = s.place(ctx, r.TenantID); err != nil {
		return f, err
	}
	if f.set, err = s.deps.Store.EffectiveSettings(ctx, r.TenantID); err != nil {
		return f, err
	}
	f.set = usable(f.set)
	if f.assets, err = s.deps.Store.AssetsTouched(ctx, r.TenantID, r.Target); err != nil {
		return f, err
	}
	// Who was reached matters to one mode only.
	if f.state.Mode == threat.ModeCollaborateUnreachable {
		if f.reach, err = s.reach(ctx, f.c); err != nil {
			return f, err
		}
	}
	if s.shares != nil {
		if f.shares, err = s.shares.Shares(ctx, r); err != nil {
			return f, err
		}
	}
	if s.budget != nil {
		f.byClass, f.byVerb, err = s.budget.Used(ctx, r.TenantID, v.Class, r.Verb, now.Add(-time.Hour))
	}
	return f, err
}

// reach sums up the newest escalation of a case; the zero Reach when there was none.
func (s *Service) reach(ctx context.Context, c threat.Case) (threat.Reach, error) {
	list, err := s.deps.Store.Escalations(ctx, c.ID)
	if err != nil || len(list) == 0 {
		return threat.Reach{}, err
	}
	newest := list[0]
	for _, e := range list {
		if e.Number > newest.Number {
			newest = e
		}
	}
	return s.deps.Store.Reach(ctx, newest.ID)
}

// basis is the right on which an execution of this action would rest. Everything that the mode does not let go by itself
// needs an approval.
func basis(f respondFacts, now time.Time) threat.Basis {
	switch {
	case f.state.Mode == threat.ModeAuthorize && (f.verb.Class != threat.Eradicate || f.state.Eradicate):
		return threat.BasisMode
	case f.state.Mode == threat.ModeCollaborateUnreachable && f.reach.Unreachable() && !f.c.Acknowledged(now) &&
		f.c.Threat == threat.ThreatActive && (f.verb.Class != threat.Eradicate || f.state.Eradicate):
		return threat.BasisUnreachable
	}
	return threat.BasisApproval
}

// checked asks the guards about the action as policy would let it go: without a duration it takes the setting's, and one
// that is too long is cut, as policy does.
func (s *Service) checked(f respondFacts, right threat.Basis) guard.Verdict {
	a := f.response.Action
	if a.Duration <= 0 {
		a.Duration = f.set.BlockFor.Duration()
	}
	a.Duration = min(a.Duration, f.set.BlockMax.Duration(), f.verb.MaxDuration) // of what is done once: none
	return guard.Check(guard.Facts{Kind: threat.ClaimAct, Action: a, State: f.state, Basis: right, Reach: f.reach,
		Threat: f.c.Threat, Severity: f.c.Severity, Settings: f.set, Assets: f.assets, Ours: s.deps.Ours, Shares: f.shares,
		UsedClass: f.byClass, UsedVerb: f.byVerb})
}

func (s *Service) respondInput(f respondFacts, now time.Time) respondInput {
	r, right := f.response, basis(f, now)
	v := s.checked(f, right)
	if v.Guard == guard.SensorPart { // a person's word is a second one: they are asked
		why := v.Why
		right = threat.BasisApproval
		if v = s.checked(f, right); v.OK() {
			v.Why = why
		}
	}
	in := respondInput{At: now,
		Action: actionFacts{ID: r.ID.String(), Verb: r.Verb, Class: f.verb.Class, Step: r.Step, Round: r.Round,
			Target: targetFacts{Kind: r.Target.Kind, Value: r.Target.Value,
				Public: r.Target.Kind == threat.TargetDomain || r.Target.Kind == threat.TargetURL || public(r.Target.Value, f.set.OwnNetworks)},
			Longest: int64(max(f.verb.MaxDuration, f.verb.Within) / time.Second), End: r.End, Required: r.Required, AskedBy: kindOf(r.AskedBy),
			Connections: len(r.Connections), Stales: r.Stales},
		Assets: make([]assetFacts, 0, min(len(f.assets), maxAssets)), LeftOut: max(0, len(f.assets)-maxAssets),
		Case: respondCase{ID: f.c.ID.String(), Number: f.c.Number, Severity: f.c.Severity, Threat: f.c.Threat,
			Contact: f.c.Contact, Acknowledged: f.c.Acknowledged(now), Open: f.c.Open(), Simulated: f.c.Simulated},
		Guard: guardFacts{Basis: right, Name: v.Guard, Why: v.Why, Narrower: v.Narrower},
		Reach: reachFacts{Contacts: f.reach.Contacts, TriedToEnd: f.reach.TriedToEnd, Interrupted: f.reach.Interrupted,
			Accepted: f.reach.Accepted, Undelivered: f.reach.Undelivered, Acknowledged: f.reach.Acknowledged,
			Over: f.reach.Over, Unreachable: f.reach.Unreachable() && !f.c.Acknowledged(now), Undeliverable: f.reach.Undeliverable()},
		Settings: respondSettings{Block: atLeastOne(f.set.BlockFor), BlockMax: atLeastOne(f.set.BlockMax),
			BlockEnd: *f.set.BlockEnd, Request: atLeastOne(f.set.RequestOpen)},
		Tenant: tenantFacts{ID: r.TenantID.String(), Mode: f.state.Mode, Eradicate: f.state.Eradicate, Stopped: f.state.Stopped,
			Simulated: f.at.simulated, BusinessHours: s.businessHours(f.set, now)}}
	if r.Duration > 0 {
		in.Action.Duration = max(1, int64(r.Duration/time.Second))
	}
	for i, a := range f.assets {
		if i == maxAssets {
			break
		}
		role := a.Role
		if role == "" {
			role = threat.RoleUnknownAsset
		}
		in.Assets = append(in.Assets, assetFacts{ID: a.ID.String(), Name: threat.Inert(a.Name, 100), Kind: a.Kind, Role: role,
			Managed: a.Managed, Protected: a.Protected, Tags: words(a.Tags[:min(len(a.Tags), maxTags)])})
	}
	return in
}

// kindOf gives what kind of actor asked.
func kindOf(actor string) string {
	kind, _, _ := strings.Cut(actor, ":")
	if kind == "person" || kind == "token" {
		return kind
	}
	return "system"
}

// askPeople is the safe answer: an authorised contact of the customer decides.
func askPeople(in respondInput) respondAnswer {
	d := in.Action.Duration
	if d == 0 {
		d = in.Settings.Block
	}
	end := in.Action.End
	if end == "" {
		end = in.Settings.BlockEnd
	}
	return respondAnswer{Effect: threat.Ask,
		Approvers: approversAnswer{Roles: []threat.Role{threat.Contact}, Needed: 1, FourEyes: true},
		AskFor:    in.Settings.Request, Duration: min(d, in.Settings.BlockMax, in.Action.Longest), End: end,
		Silence: "nothing is done if nobody answers", Guard: in.Guard.Name, Narrower: in.Guard.Narrower}
}
