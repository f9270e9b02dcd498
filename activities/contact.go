package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// newestEscalation gives a case's escalation of the highest number.
func newestEscalation(list []threat.Escalation) (newest threat.Escalation, there bool) {
	for _, e := range list {
		if !there || e.Number > newest.Number {
			newest, there = e, true
		}
	}
	return newest, there
}

// tellAgain says why the customer has to be told, "" for not now. Whoever was never told is told when policy says so. After
// that only new adversary activity, or an acknowledgement that ran out while the threat is active, begins anew: an
// escalation that came to its end is not repeated by itself.
func tellAgain(c threat.Case, last threat.Escalation, there bool, now time.Time) string {
	switch {
	case !there:
		return "nobody was told yet"
	case last.State == threat.EscalationRunning || last.EndedAt == nil || c.Acknowledged(now):
		return ""
	case c.LastAdversaryAt != nil && c.LastAdversaryAt.After(*last.EndedAt):
		return "new adversary activity"
	case c.AckUntil != nil && c.AckUntil.After(*last.EndedAt) && c.Threat == threat.ThreatActive:
		return "the acknowledgement has expired and the threat is active"
	}
	return ""
}

// escalate begins to tell the customer when that is due and policy says so. It gives the case as it stands afterwards.
func (s *Case) escalate(ctx context.Context, c threat.Case, now time.Time) (threat.Case, error) {
	list, err := s.Store.Escalations(ctx, c.ID)
	if err != nil {
		return c, err
	}
	last, there := newestEscalation(list)
	reason := tellAgain(c, last, there, now)
	if reason == "" {
		if there {
			return s.settleContact(ctx, c, last)
		}
		return c, nil
	}
	a, err := s.Decide.Escalate(ctx, c)
	if err != nil || !a.Escalate {
		return c, err
	}
	if !reachable(a.Chain) {
		return s.nobody(ctx, c, now)
	}
	e, err := s.Store.StartEscalation(ctx, c.ID, a, subject(c))
	if err != nil {
		return c, err
	}
	s.aboutCase(c).InfoContext(ctx, "an escalation begins", "escalation", e.ID, "number", e.Number, "why", reason)
	return s.Store.Case(ctx, c.ID)
}

// reachable reports whether there is anybody to try, over anything.
func reachable(chain []threat.ChainStep) bool {
	for _, step := range chain {
		if len(step.Methods) > 0 {
			return true
		}
	}
	return false
}

// nobody raises the alarm at once: silence is no answer, and never a consent.
func (s *Case) nobody(ctx context.Context, c threat.Case, now time.Time) (threat.Case, error) {
	if c.Contact == threat.ContactUndeliverable {
		return c, nil
	}
	s.Page(ctx, c.Name()+": the customer has to be told, and no authorised contact can be reached over anything; call them")
	s.aboutCase(c).ErrorContext(ctx, "nobody can be told about a case")
	return s.Store.SetContact(ctx, c.ID, threat.ContactUndeliverable, "no authorised contact can be reached over any channel")
}

// subject is what an escalation is about, in a line. The title may be an attacker's.
func subject(c threat.Case) string {
	return fmt.Sprintf("%s (%s): %s", c.Name(), c.Severity, threat.Inert(c.Title, 120))
}

// settleContact writes into the case what an escalation that ran to its end came to. It is done by the escalation's step,
// and again by the case's, should the first have been lost in between; where the contact stands elsewhere already nothing
// is changed.
func (d Deps) settleContact(ctx context.Context, c threat.Case, e threat.Escalation) (threat.Case, error) {
	if e.State != threat.EscalationExhausted || c.Contact != threat.ContactTrying || !c.Open() {
		return c, nil
	}
	r, err := d.Store.Reach(ctx, e.ID)
	if err != nil {
		return c, err
	}
	to, why := outcome(r)
	if to == threat.ContactNone {
		return c, nil
	}
	if to != threat.ContactUnreachable {
		d.Page(ctx, c.Name()+": "+why)
	}
	d.aboutEscalation(e).WarnContext(ctx, "an escalation came to its end", "contact", to,
		"accepted", r.Accepted, "undelivered", r.Undelivered, "interrupted", r.Interrupted, "contacts", r.Contacts)
	return d.Store.SetContact(ctx, c.ID, to, why)
}

// outcome says what an escalation that ran to its end means for the case. ContactNone: nothing, somebody acknowledged.
func outcome(r threat.Reach) (threat.ContactState, string) {
	switch {
	case r.Acknowledged || !r.Over:
		return threat.ContactNone, ""
	case r.Unreachable():
		return threat.ContactUnreachable,
			fmt.Sprintf("all %d authorised contacts were tried to the end, and nobody answered", r.Contacts)
	case r.Accepted == 0:
		return threat.ContactUndeliverable, "no message to any authorised contact could be sent"
	}
	return threat.ContactExhausted, fmt.Sprintf(
		"nobody answered; of %d authorised contacts %d were tried to the end and %d over a channel that rings and can answer",
		r.Contacts, r.TriedToEnd, r.Interrupted)
}
