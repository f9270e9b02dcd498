package decide

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// maxResponses bounds how many of a case's responses escalate is shown, the newest first.
const maxResponses = 200

type escalateAnswer struct {
	Escalate bool          `json:"escalate"`
	Why      string        `json:"why"`
	Rounds   int           `json:"rounds"`
	StepWait int           `json:"step_wait_seconds"`
	AckFor   int           `json:"ack_seconds"`
	Chain    []chainAnswer `json:"chain"`
	Said     []saidAnswer  `json:"said"`
}

type chainAnswer struct {
	PersonID string `json:"person_id"`
	Methods  []int  `json:"methods"`
}

// reachable is a contact with the person behind it.
type reachable struct {
	entry   threat.ContactEntry
	person  threat.Person
	facts   contactFacts
	missing bool // the person is gone from the store
}

// Escalate asks whom to tell about a case. Without an answer the default chain is taken: every contact in order, but for
// subjects of the case and channels that may be compromised. Faults are the store's.
func (s *Service) Escalate(ctx context.Context, c threat.Case) (threat.EscalateAnswer, error) {
	at, err := s.place(ctx, c.TenantID)
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	state, err := s.deps.Store.TenantState(ctx, c.TenantID)
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	set, err := s.deps.Store.EffectiveSettings(ctx, c.TenantID)
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	set = usable(set)
	people, err := s.reachable(ctx, c)
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	responses, err := s.deps.Store.Responses(ctx, c.ID)
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	now := s.deps.Now().UTC()
	in := escalateInput{At: now,
		Case: escalateCase{ID: c.ID.String(), Number: c.Number, Severity: c.Severity, Threat: c.Threat, Contact: c.Contact,
			Acknowledged: c.Acknowledged(now), Simulated: c.Simulated},
		Contacts: []contactFacts{}, Responses: []responseFacts{},
		Settings: escalateSettings{Rounds: *set.Rounds, StepWait: int(atLeastOne(set.StepWait)), AckFor: int(atLeastOne(set.AckFor))},
		Tenant: escalateTenant{ID: c.TenantID.String(), Mode: state.Mode, Simulated: at.simulated,
			BusinessHours: s.businessHours(set, now)}}
	for _, p := range people {
		in.Contacts = append(in.Contacts, p.facts)
	}
	for i := len(responses) - 1; i >= 0; i-- {
		if len(in.Responses) == maxResponses {
			in.LeftOut = i + 1
			break
		}
		r := responses[i]
		in.Responses = append(in.Responses, responseFacts{ID: r.ID.String(), Verb: r.Verb, State: r.State, Required: r.Required})
	}
	var out escalateAnswer
	dec, err := s.settle(ctx, threat.AskEscalate, about{tenant: c.TenantID, caseID: valid(c.ID), subject: c.ID},
		s.deps.Policies.Evaluate(ctx, threat.AskEscalate, in), now, &out, func() { out = defaultChain(in) })
	if err != nil {
		return threat.EscalateAnswer{}, err
	}
	// A wait of a fraction of a second, as an accelerated run sets it, is kept as long as policy says what the setting says.
	answer := threat.EscalateAnswer{DecisionID: dec.ID, Escalate: out.Escalate, Why: out.Why, Rounds: out.Rounds,
		StepWait: inSeconds(out.StepWait, in.Settings.StepWait, set.StepWait.Duration()),
		AckFor:   inSeconds(out.AckFor, in.Settings.AckFor, set.AckFor.Duration())}
	answer.Chain = chain(out, people, answer.StepWait)
	return answer, nil
}

// inSeconds gives policy's number of seconds, or the setting itself where policy kept it.
func inSeconds(said, shown int, setting time.Duration) time.Duration {
	if said == shown {
		return setting
	}
	return time.Duration(said) * time.Second
}

// reachable gives the contacts in order, each with what policy is shown of them.
func (s *Service) reachable(ctx context.Context, c threat.Case) ([]reachable, error) {
	entries, err := s.deps.Store.Contacts(ctx, c.TenantID)
	if err != nil {
		return nil, err
	}
	byID, err := s.channels(ctx, c.TenantID)
	if err != nil {
		return nil, err
	}
	sub, err := s.subjectsOf(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	var out []reachable
	for _, e := range entries {
		p, err := s.deps.Store.Person(ctx, e.PersonID)
		if err != nil && !threat.Is(err, threat.NotFound) {
			return nil, err
		}
		r := reachable{entry: e, person: p, missing: err != nil, facts: contactFacts{PersonID: e.PersonID.String(),
			Position: e.Position, Language: p.Language, Disabled: err != nil || p.DisabledAt != nil, Subject: sub.person(p),
			Methods: []methodFacts{}}}
		for _, m := range e.Methods {
			r.facts.Methods = append(r.facts.Methods, methodFacts{Channel: m.Channel, DelaySeconds: int(m.Delay / time.Second),
				Verified: m.Verified, Compromised: sub.compromised(m, byID)})
		}
		out = append(out, r)
	}
	return out, nil
}

// channels gives the connections over which a tenant's contacts may be reached: its own and those of every organisation above
// it.
func (s *Service) channels(ctx context.Context, tenant uuid.UUID) (map[uuid.UUID]threat.Connection, error) {
	at, err := s.place(ctx, tenant)
	if err != nil {
		return nil, err
	}
	byID := map[uuid.UUID]threat.Connection{}
	for _, text := range at.ids {
		org, err := uuid.Parse(text)
		if err != nil {
			return nil, threat.Faultf(threat.Internal, "an organisation's id does not read")
		}
		list, err := s.deps.Store.Connections(ctx, org)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			byID[c.ID] = c
		}
	}
	return byID, nil
}

// defaultChain is the safe answer: everybody who may be told, over every way that may be used.
func defaultChain(in escalateInput) escalateAnswer {
	out := escalateAnswer{Escalate: true, Why: "policy gave no answer: the default chain is taken", Rounds: in.Settings.Rounds,
		StepWait: in.Settings.StepWait, AckFor: in.Settings.AckFor, Chain: []chainAnswer{}}
	for _, c := range in.Contacts {
		if c.Subject || c.Disabled {
			continue
		}
		step := chainAnswer{PersonID: c.PersonID, Methods: []int{}}
		for i, m := range c.Methods {
			if !m.Compromised {
				step.Methods = append(step.Methods, i)
			}
		}
		out.Chain = append(out.Chain, step)
	}
	return out
}

// chain makes steps of policy's answer. Whoever is not a contact of the tenant is not tried, whatever policy says; and
// whoever could be tried and is not stands at the end without a way to be reached, so that nobody takes the customer to have
// been tried to the end. A subject of the case does not: they must not be asked.
func chain(out escalateAnswer, people []reachable, wait time.Duration) []threat.ChainStep {
	byID := map[string]reachable{}
	for _, p := range people {
		byID[p.entry.PersonID.String()] = p
	}
	tried := map[string]bool{}
	var steps []threat.ChainStep
	for _, c := range out.Chain {
		p, ok := byID[c.PersonID]
		if !ok || p.missing {
			continue
		}
		step := threat.ChainStep{Position: p.entry.Position, PersonID: p.entry.PersonID, Name: p.person.Name, Wait: wait}
		for _, i := range c.Methods {
			if i < len(p.entry.Methods) {
				step.Methods = append(step.Methods, p.entry.Methods[i])
			}
		}
		steps = append(steps, step)
		tried[c.PersonID] = true
	}
	for _, p := range people {
		if !tried[p.facts.PersonID] && !p.facts.Disabled && !p.facts.Subject {
			steps = append(steps, threat.ChainStep{Position: p.entry.Position, PersonID: p.entry.PersonID, Name: p.person.Name, Wait: wait})
		}
	}
	return steps
}

func valid(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
