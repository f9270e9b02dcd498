package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/message"
	"github.com/firebreak/firebreak/internal/threat"
)

// patience is how long a message waits for a part of ours that is down, before it counts as one that could not be sent.
const patience = time.Minute

// Perform sends one message, or takes one back. What came of it is recorded; an error means that it could not be.
func (s *Escalation) Perform(ctx context.Context, t Task) error {
	switch t.Kind {
	case TaskAttempt:
		return s.send(ctx, t)
	case TaskCancel:
		return s.cancel(ctx, t)
	}
	return threat.Faultf(threat.Internal, "an escalation has no task %q", t.Kind)
}

func (s *Escalation) send(ctx context.Context, t Task) error {
	e, err := s.Store.Escalation(ctx, t.EscalationID)
	if err != nil {
		return err
	}
	set, err := s.Store.EffectiveSettings(ctx, e.TenantID)
	if err != nil {
		return err
	}
	a, err := s.Store.Attempt(ctx, t.AttemptID)
	if err != nil {
		return err
	}
	if a.State != threat.AttemptPlanned && a.State != threat.AttemptSending {
		return nil
	}
	// All that the message is made of is read before it is begun: what is begun goes out, or was refused.
	speaker, refusal := s.Devices.Speaker(ctx, a.ConnectionID)
	var m adapters.Message
	if refusal == nil {
		m, refusal = s.message(ctx, a, speaker.Channel(), false)
	}
	if threat.Is(refusal, threat.Unavailable) && s.now().Before(a.DueAt.Add(patience)) {
		return refusal
	}
	a, mine, err := s.Store.BeginAttempt(ctx, a.ID)
	if err != nil {
		return err
	}
	if !mine {
		// Whoever began it is gone, or it is not to be sent any more.
		if a.State != threat.AttemptSending || refusal != nil || !speaker.Channel().Keyed || s.now().Before(sendingOver(a, set)) {
			return nil
		}
		if c, err := s.Store.Case(ctx, a.CaseID); err != nil || !c.Open() || c.Acknowledged(s.now()) {
			return err
		}
	}
	state, provider, text := threat.AttemptRefused, "", ""
	keep := false
	if refusal == nil {
		call, cancel := context.WithTimeout(ctx, callOf(set))
		var d adapters.Delivery
		d, refusal = speaker.Notify(call, m)
		cancel()
		switch {
		case refusal == nil && d.Accepted:
			state, provider = threat.AttemptAccepted, d.ProviderID
		case refusal == nil:
			text = d.Detail
		case threat.Is(refusal, threat.Unknown):
			state = threat.AttemptUnknown
		case threat.Is(refusal, threat.RateLimited):
			keep = s.later(a, speaker.Channel(), refusal)
		}
	}
	if refusal != nil {
		text = refusal.Error()
		s.aboutAttempt(a).WarnContext(ctx, "a message was not accepted", "state", state, "again", keep, "error", refusal)
	}
	if keep { // it stays what it is, being sent, and is handed in again under the same key
		return nil
	}
	record, done := lasting(ctx)
	defer done()
	return s.Store.FinishAttempt(record, a.ID, state, provider, text)
}

// later notes until when a provider wants to be left alone, and reports whether the message can wait for that.
func (s *Escalation) later(a threat.Attempt, ch adapters.Channel, err error) bool {
	var f *threat.Fault
	if !ch.Keyed || !errors.As(err, &f) {
		return false
	}
	now := s.now()
	at := now.Add(max(f.RetryAfter, time.Second))
	if a.SentAt == nil || !at.Before(a.SentAt.Add(resendFor)) {
		return false
	}
	s.memory.note(holdOff(a.ID), at)
	return true
}

// message writes what a contact reads. A link by which they acknowledge stands in it only where nobody else reads it: it
// works for whoever has it.
func (s *Escalation) message(ctx context.Context, a threat.Attempt, ch adapters.Channel, resolve bool) (adapters.Message, error) {
	n := message.Facts{Now: s.now(), CaseLink: s.CaseLink(a.CaseID)}
	var err error
	if n.Case, err = s.Store.Case(ctx, a.CaseID); err != nil {
		return adapters.Message{}, err
	}
	if n.Tenant, err = s.Store.Organisation(ctx, a.TenantID.String()); err != nil {
		return adapters.Message{}, err
	}
	st, err := s.Store.TenantState(ctx, a.TenantID)
	if err != nil {
		return adapters.Message{}, err
	}
	n.Mode = st.Mode
	if n.Person, err = s.Store.Person(ctx, a.PersonID); err != nil {
		return adapters.Message{}, err
	}
	if n.Responses, err = s.Store.Responses(ctx, a.CaseID); err != nil {
		return adapters.Message{}, err
	}
	if slices.ContainsFunc(n.Responses, func(r threat.Response) bool { return r.Target.AssetID.Valid }) {
		if n.Assets, err = s.Store.Assets(ctx, a.TenantID); err != nil {
			return adapters.Message{}, err
		}
	}
	for _, r := range n.Responses {
		if r.EndedAt != nil || !r.RequestID.Valid || resolve {
			continue
		}
		q, err := s.Store.Request(ctx, r.RequestID.UUID)
		if err != nil {
			return adapters.Message{}, err
		}
		if q.State == threat.RequestOpen {
			n.Requests = append(n.Requests, q)
		}
	}
	if s.Links != nil && !resolve && !ch.Shared {
		if n.AckLink, err = s.Links.AckLink(ctx, a); err != nil {
			return adapters.Message{}, err
		}
	}
	m, err := s.Messages.Attempt(n, resolve)
	if err != nil {
		return adapters.Message{}, err
	}
	m.AttemptID, m.CaseID, m.To, m.Resolve = a.ID, a.CaseID, a.Address, resolve
	return m, nil
}

// cancel takes a message back at its channel. One that cannot be taken back now is tried again by the workflow.
func (s *Escalation) cancel(ctx context.Context, t Task) error {
	a, err := s.Store.Attempt(ctx, t.AttemptID)
	if err != nil {
		return err
	}
	e, err := s.Store.Escalation(ctx, a.EscalationID)
	if err != nil {
		return err
	}
	if e.State == threat.EscalationRunning || e.State == threat.EscalationExhausted {
		return nil
	}
	set, err := s.Store.EffectiveSettings(ctx, a.TenantID)
	if err != nil {
		return err
	}
	speaker, err := s.Devices.Speaker(ctx, a.ConnectionID)
	if err == nil {
		var m adapters.Message
		if m, err = s.message(ctx, a, speaker.Channel(), true); err == nil {
			call, cancel := context.WithTimeout(ctx, callOf(set))
			defer cancel()
			_, err = speaker.Notify(call, m)
		}
	}
	switch threat.KindOf(err) {
	case "":
		return nil
	case threat.Unavailable, threat.RateLimited, threat.Unknown:
		return err
	}
	s.aboutAttempt(a).WarnContext(ctx, "a message could not be taken back", "error", err)
	return nil
}
