package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Response is the step of the workflow that looks after one action's life, and its tasks, which call devices. Every change
// on a device goes out under a claim, and is believed when an independent read shows it.
type Response struct {
	Deps
	memory *memory
}

// NewResponse makes a Response.
func NewResponse(d Deps) *Response { return &Response{d.filled(), newMemory()} }

// staleLimit is how often the facts may move under a decision before people are asked, whatever policy says.
const staleLimit = 3

// view is what a step sees of a response.
type view struct {
	r      threat.Response
	set    tenant.Settings
	claims []threat.Claim // the newest last
	able   map[uuid.UUID]adapters.Ability
	now    time.Time
}

// todo is what a step gathers over the response's devices.
type todo struct {
	Next
	lost []string // why a device will not be tried again
}

// Step says what is next for a response.
func (s *Response) Step(ctx context.Context, subject Subject) (Next, error) {
	next, err := s.step(ctx, subject)
	next.Build = s.Build
	if err == nil {
		for _, t := range next.Tasks {
			if t.Kind == TaskRead || t.Kind == TaskVerify {
				s.memory.looking(t.ResponseID, t.ConnectionID, s.now())
			}
		}
	}
	return next, err
}

func (s *Response) step(ctx context.Context, subject Subject) (Next, error) {
	r, err := s.Store.Response(ctx, subject.ID)
	if threat.Is(err, threat.NotFound) {
		return Next{Done: true}, nil
	}
	if err != nil {
		return Next{}, err
	}
	if r.EndedAt != nil || r.State.Terminal() {
		s.memory.forget(r)
		return Next{Done: true}, nil
	}
	v := view{r: r, now: s.now()}
	if v.set, err = s.Store.EffectiveSettings(ctx, r.TenantID); err != nil {
		return Next{}, err
	}
	asked := r.State == threat.ResponseAsked
	switch {
	case r.Ending != "":
	case r.State == threat.ResponseProposed, r.State == threat.ResponseStale:
		return s.decide(ctx, v)
	case asked && !v.holds():
		return s.asked(ctx, v)
	}
	if v, err = s.fill(ctx, v); err != nil {
		return Next{}, err
	}
	switch {
	case r.Ending != "":
		return s.release(ctx, v)
	case asked:
		return s.askedHolding(ctx, v)
	}
	return s.tend(ctx, v)
}

// askedHolding looks after a response about which people are asked anew while some of its devices hold already.
func (s *Response) askedHolding(ctx context.Context, v view) (Next, error) {
	next, err := s.asked(ctx, v)
	if err != nil || next.Again {
		return next, err
	}
	if until := v.until(); v.r.HoldUntil != nil && !v.now.Before(until) {
		return s.holdOn(ctx, v.r, v.now.Add(v.set.RequestOpen.Duration()), "it is held on while people decide")
	}
	t, err := s.tendAll(ctx, v)
	t.WakeAt = earliest(t.WakeAt, next.WakeAt)
	return t.Next, err
}

// fill reads what is known of a response's claims and devices.
func (s *Response) fill(ctx context.Context, v view) (view, error) {
	var err error
	if v.claims, err = s.Store.ClaimsOf(ctx, v.r.ID); err != nil {
		return v, err
	}
	slices.SortStableFunc(v.claims, func(a, b threat.Claim) int { return a.At.Compare(b.At) })
	list, err := s.Store.Connections(ctx, v.r.TenantID)
	if err != nil {
		return v, err
	}
	v.able = map[uuid.UUID]adapters.Ability{}
	for _, c := range list {
		v.able[c.ID], _ = s.Devices.Able(c.Adapter, v.r.Verb)
	}
	return v, nil
}

// settle is how long after a call a read of a device can be believed.
func (v view) settle(connection uuid.UUID) time.Duration {
	if d := v.able[connection].Settle; d > 0 {
		return d
	}
	return v.set.Settle.Duration()
}

// claim gives the response's newest claim of a kind on a generation of an effect.
func (v view) claim(kind threat.ClaimKind, effect uuid.UUID, generation int64) (threat.Claim, bool) {
	for _, c := range slices.Backward(v.claims) {
		if c.Kind == kind && c.EffectID == effect && c.Generation == generation {
			return c, true
		}
	}
	return threat.Claim{}, false
}

// decide asks policy and does what it says. When a fact moved meanwhile the response is stale, and asked about anew. While
// the stop switch is on nothing is denied for its sake: what waits goes on waiting, and is nudged when the switch is lifted.
// Nor is it for want of a budget: that comes back with the hour, or with whoever is called for it.
func (s *Response) decide(ctx context.Context, v view) (Next, error) {
	r := v.r
	d, err := s.Decide.Respond(ctx, r)
	if threat.Is(err, threat.Unsupported) || threat.Is(err, threat.Invalid) {
		return s.fail(ctx, r, err.Error())
	}
	if err != nil {
		return Next{}, err
	}
	if d.Effect == threat.Execute && r.Stales >= staleLimit {
		d = unsettledFacts(d, v.set)
	}
	if d.Effect == threat.Deny {
		st, err := s.Store.TenantState(ctx, r.TenantID)
		if err != nil {
			return Next{}, err
		}
		if st.Stopped {
			s.aboutResponse(r).InfoContext(ctx, "a response waits for the stop switch", "decision", d.DecisionID, "state", r.State)
			return Next{}, nil
		}
		if d.Guard == guard.Budget || d.Guard == guard.Reserve {
			return s.outOfBudget(ctx, v, d)
		}
	}
	after, err := s.Store.ApplyDecision(ctx, r.ID, r.Version, d)
	switch threat.KindOf(err) {
	case "":
		s.aboutResponse(r).InfoContext(ctx, "a response was decided", "decision", d.DecisionID, "effect", d.Effect,
			"basis", d.Basis, "state", after.State)
	case threat.Conflict: // the response itself moved on
	case threat.Stale:
		if r.State == threat.ResponseAsked { // the question stands until there is a decision to put in its place
			return Next{Again: true}, nil
		}
		if _, err := s.Store.MarkStale(ctx, r.ID, threat.Inert(err.Error(), 200)); err != nil && !threat.Is(err, threat.Conflict) {
			return Next{}, err
		}
	default:
		return Next{}, err
	}
	return Next{Again: true}, nil
}

// budgetAgain is how long a response waits for a budget that is spent before it is decided about anew.
const budgetAgain = 5 * time.Minute

// outOfBudget calls the provider's people for a tenant whose budget is spent, and has the response wait.
func (s *Response) outOfBudget(ctx context.Context, v view, d threat.RespondDecision) (Next, error) {
	o, err := s.Store.Organisation(ctx, v.r.TenantID.String())
	if err != nil {
		return Next{}, err
	}
	why := threat.Inert(strings.Join(d.Reasons, "; "), 300)
	s.Page(ctx, threat.Inert(o.Name, 80)+": "+why+"; what is decided meanwhile waits until the hour is over, or until you raise "+
		"the budget with `firebreak tenant settings set`")
	s.aboutResponse(v.r).WarnContext(ctx, "a response waits for its tenant's budget", "decision", d.DecisionID, "why", why)
	return Next{WakeAt: v.now.Add(budgetAgain)}, nil
}

// unsettledFacts makes a question of an execution whose facts would not stand still.
func unsettledFacts(d threat.RespondDecision, set tenant.Settings) threat.RespondDecision {
	d.Effect, d.Basis = threat.Ask, threat.BasisNone
	d.Approvers = threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1, FourEyes: true}
	if d.AskFor <= 0 {
		d.AskFor = set.RequestOpen.Duration()
	}
	d.Silence = "nothing is done if nobody answers"
	d.Reasons = append(slices.Clone(d.Reasons),
		fmt.Sprintf("the facts moved %d times under the decision: people decide", staleLimit))
	return d
}

// asked waits for people. What the question rests on may move meanwhile; then it is decided anew, and the question stays as
// it is where the answer is the same.
func (s *Response) asked(ctx context.Context, v view) (Next, error) {
	if !v.r.RequestID.Valid {
		return s.decide(ctx, v)
	}
	q, err := s.Store.Request(ctx, v.r.RequestID.UUID)
	if err != nil {
		return Next{}, err
	}
	moved, waits, err := s.moved(ctx, v.r)
	if err != nil {
		return Next{}, err
	}
	if moved || q.State != threat.RequestOpen {
		return s.decide(ctx, v)
	}
	if v.now.Before(q.ExpiresAt) {
		return Next{WakeAt: q.ExpiresAt}, nil
	}
	if waits { // nobody answered this; but whether nobody can be reached is not known yet, and that decides
		return Next{WakeAt: v.now.Add(backoff(v.now.Sub(q.ExpiresAt), time.Second, v.set.StepWait.Duration()))}, nil
	}
	if _, err := s.Store.ExpireRequest(ctx, q.ID); err != nil && !threat.Is(err, threat.Conflict) {
		return Next{}, err
	}
	s.aboutResponse(v.r).InfoContext(ctx, "a request expired", "request", q.ID)
	return Next{Again: true}, nil
}

// moved reports whether a fact differs from what a response's decision rested on; and whether its mode waits for an
// escalation that still runs.
func (s *Response) moved(ctx context.Context, r threat.Response) (moved, waits bool, err error) {
	st, err := s.Store.TenantState(ctx, r.TenantID)
	if err != nil {
		return false, false, err
	}
	f := r.Facts
	if st.ModeVersion != f.Mode || st.StopVersion != f.Stop || st.ProtectionVersion != f.Protection ||
		st.SettingsVersion != f.Settings {
		return true, false, nil
	}
	if st.Mode != threat.ModeCollaborateUnreachable {
		return false, false, nil
	}
	c, err := s.Store.Case(ctx, r.CaseID)
	if err != nil {
		return false, false, err
	}
	if c.ContactVersion != f.Contact || c.ThreatVersion != f.Threat {
		return true, false, nil
	}
	list, err := s.Store.Escalations(ctx, r.CaseID)
	last, there := newestEscalation(list)
	return false, there && last.State == threat.EscalationRunning, err
}

// fail ends a response that cannot be done, and calls the provider's people: the customer wanted it.
func (s *Response) fail(ctx context.Context, r threat.Response, why string) (Next, error) {
	why = threat.Inert(why, 300)
	s.aboutResponse(r).ErrorContext(ctx, "a response failed", "why", why)
	s.page(ctx, r, "failed", fmt.Sprintf("%s failed: %s", what(r), why))
	if _, err := s.Store.FailResponse(ctx, r.ID, why); err != nil {
		return Next{}, err
	}
	return Next{Again: true}, nil
}

// page calls the provider's people once for each response and reason.
func (s *Response) page(ctx context.Context, r threat.Response, reason, text string) {
	if s.memory.first("page:"+r.ID.String()+":"+reason, s.now()) {
		s.Page(ctx, text+" (response "+r.ID.String()+")")
	}
}
