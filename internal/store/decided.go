package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// staleFacts says which fact differs from what a decision rested on, or gives "". Contact and threat count only where
// nobody was asked.
func staleFacts(had threat.Revisions, st threat.TenantState, c threat.Case, basis threat.Basis) string {
	switch {
	case had.Mode != st.ModeVersion:
		return "the response mode changed since it was decided"
	case had.Stop != st.StopVersion:
		return "the stop switch was turned since it was decided"
	case had.Protection != st.ProtectionVersion:
		return "what is protected changed since it was decided"
	case had.Settings != st.SettingsVersion:
		return "the settings changed since it was decided"
	case basis != threat.BasisUnreachable:
		return ""
	case had.Contact != c.ContactVersion:
		return "who was reached changed since it was decided"
	case had.Threat != c.ThreatVersion:
		return "the threat changed since it was decided"
	}
	return ""
}

// decidable are the states in which a decision is waited for.
func decidable(s threat.ResponseState) bool {
	switch s {
	case threat.ResponseProposed, threat.ResponseAsked, threat.ResponseStale:
		return true
	}
	return false
}

// ApplyDecision brings a response to what policy said about it: it acts, asks, or is denied. Conflict when its version is
// not the one that was decided on or nothing is to be decided about it, Stale when a fact differs from what the decision
// rested on (nothing is changed then), Invalid for an execution without a duration or an end.
//
// A question that was asked already with the same body is not asked twice: an open request is kept, and an approved one
// stands, as long as the new decision asks for no more approvers than answered.
func (s *Store) ApplyDecision(ctx context.Context, responseID uuid.UUID, version int64,
	d threat.RespondDecision) (out threat.Response, err error) {
	err = s.underLockOf(ctx, "responses", "response", responseID, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, responseID)
		if err != nil {
			return err
		}
		once := verb.Once(r.Verb)
		if d.Effect != threat.Deny && (d.End == "" || once != (d.Duration <= 0)) {
			return &threat.Fault{Kind: threat.Invalid, What: "a containment has a duration and an end, and what is done once no duration",
				Place: "/duration"}
		}
		if r.Version != version {
			return threat.Faultf(threat.Conflict, "the response moved on while it was decided about")
		}
		if !decidable(r.State) {
			return threat.Faultf(threat.Conflict, "the response is %s: nothing is to be decided about it", r.State)
		}
		st, err := t.tenantState(ctx, r.TenantID)
		if err != nil {
			return err
		}
		if why := staleFacts(d.Facts, st, c, d.Basis); why != "" {
			return threat.Faultf(threat.Stale, "%s", why)
		}
		out, err = t.applyDecision(ctx, c, r, d)
		return err
	})
	return out, err
}

func (t *tx) applyDecision(ctx context.Context, c threat.Case, r threat.Response,
	d threat.RespondDecision) (threat.Response, error) {
	old := r
	r.DecisionID, r.Facts, r.Why = uuid.NullUUID{UUID: d.DecisionID, Valid: d.DecisionID != uuid.Nil}, d.Facts,
		strings.Join(d.Reasons, "; ")
	if d.Effect != threat.Deny {
		r.Duration, r.End = d.Duration.Truncate(time.Microsecond), d.End
	}
	switch d.Effect {
	case threat.Execute:
		if err := t.closeRequests(ctx, c, r.ID, threat.RequestSuperseded, "a new decision lets it go without asking",
			threat.SystemActor); err != nil {
			return r, err
		}
		r.State, r.Basis = threat.ResponseActing, d.Basis
		return t.saveActing(ctx, c, old, r, threat.SystemActor)
	case threat.Ask:
		return t.askAbout(ctx, c, old, r, d)
	case threat.Deny:
		if err := t.closeRequests(ctx, c, r.ID, threat.RequestSuperseded, "a new decision denies it",
			threat.SystemActor); err != nil {
			return r, err
		}
		return t.endOrKeep(ctx, c, old, r, threat.ResponseDenied, r.Why, threat.SystemActor)
	}
	return r, threat.Faultf(threat.Invalid, "policy answered neither execute, ask nor deny")
}

// saveActing has a response act, and settles it where some of its devices hold already.
func (t *tx) saveActing(ctx context.Context, c threat.Case, old, r threat.Response, by string) (threat.Response, error) {
	r.State = threat.ResponseActing
	r, err := t.saveResponse(ctx, c, old, r, by)
	if err != nil || !holding(r) {
		return r, err
	}
	return t.settle(ctx, r.ID)
}

// endOrKeep ends a response that was decided against. What it holds already on some devices stays until its own end: a
// decision about the rest frees nobody.
func (t *tx) endOrKeep(ctx context.Context, c threat.Case, old, r threat.Response, to threat.ResponseState, why,
	by string) (threat.Response, error) {
	if !holding(r) {
		r.State, r.Why = to, why
		return t.saveResponse(ctx, c, old, r, by)
	}
	for _, h := range r.Holders {
		if h.State == threat.HolderHolding || !hasConnection(r, h.ConnectionID) {
			continue
		}
		h.State, h.Error = threat.HolderFailed, string(to)+": "+why
		if h.Outcome == threat.OutcomeNone {
			h.Outcome = threat.OutcomeFailure
		}
		if err := t.keepFailed(ctx, r, h); err != nil {
			return r, err
		}
	}
	return t.saveActing(ctx, c, old, r, by)
}

// keepFailed writes a failed holder, also for a connection over which nothing was claimed.
func (t *tx) keepFailed(ctx context.Context, r threat.Response, h threat.Holder) error {
	if _, err := t.makeEffect(ctx, effectKey(r.Action, h.ConnectionID)); err != nil {
		return err
	}
	return t.putHolder(ctx, h, false)
}

// MarkStale has a response decided anew, and counts it. Conflict when it is held, is being released or has ended.
func (s *Store) MarkStale(ctx context.Context, responseID uuid.UUID, why string) (out threat.Response, err error) {
	err = s.underLockOf(ctx, "responses", "response", responseID, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, responseID)
		if err != nil {
			return err
		}
		if r.Ending != "" || !r.State.MayBecome(threat.ResponseStale) {
			return threat.Faultf(threat.Conflict, "the response is %s: it is not decided anew", r.State)
		}
		out, err = t.staleResponse(ctx, c, r, why)
		return err
	})
	return out, err
}

func (t *tx) staleResponse(ctx context.Context, c threat.Case, r threat.Response, why string) (threat.Response, error) {
	old := r
	r.State, r.Why, r.Stales = threat.ResponseStale, why, r.Stales+1
	return t.saveResponse(ctx, c, old, r, threat.SystemActor)
}
