package activities

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Escalation is the step of the workflow that tries a case's contacts in turn, and its task, which sends one message.
//
// The chain is the snapshot that was taken when the escalation began. A step begins when the one before it is over, and
// lasts for its wait from its first message on; so a process that was away finds everybody's time to answer still whole. A
// step of which the providers refused everything reached nobody, and the next one begins at once.
type Escalation struct {
	Deps
	memory *memory
}

// NewEscalation makes an Escalation.
func NewEscalation(d Deps) *Escalation { return &Escalation{d.filled(), newMemory()} }

// Step says what is next for an escalation.
func (s *Escalation) Step(ctx context.Context, subject Subject) (Next, error) {
	next, err := s.step(ctx, subject)
	next.Build = s.Build
	return next, err
}

func (s *Escalation) step(ctx context.Context, subject Subject) (Next, error) {
	e, err := s.Store.Escalation(ctx, subject.ID)
	if threat.Is(err, threat.NotFound) {
		return Next{Done: true}, nil
	}
	if err != nil {
		return Next{}, err
	}
	c, err := s.Store.Case(ctx, e.CaseID)
	if err != nil {
		return Next{}, err
	}
	set, err := s.Store.EffectiveSettings(ctx, e.TenantID)
	if err != nil {
		return Next{}, err
	}
	now := s.now()
	if e.State == threat.EscalationRunning {
		if !c.Open() || c.Acknowledged(now) { // both end it as they happen; this is for one that came in between
			if e, err = s.end(ctx, e, threat.EscalationCancelled); err != nil {
				return Next{}, err
			}
		}
	}
	if e.State != threat.EscalationRunning {
		return s.over(ctx, c, e, set)
	}
	attempts, err := s.Store.Attempts(ctx, e.ID)
	if err != nil {
		return Next{}, err
	}
	w := s.walk(ctx, e, attempts, now)
	if len(w.missing) > 0 { // the facts of the channels are written down before anything goes out
		if err := s.Store.PlanAttempts(ctx, e.ID, w.missing); err != nil {
			return Next{}, err
		}
		return Next{Again: true}, nil
	}
	if w.silent {
		s.silent(ctx, c, e, now)
	}
	next, err := s.tasks(ctx, attempts, set, now)
	if err != nil || len(next.Tasks) > 0 || next.Again {
		return next, err
	}
	if next.WakeAt.IsZero() && !w.until.After(now) {
		if _, err := s.end(ctx, e, threat.EscalationExhausted); err != nil {
			return Next{}, err
		}
		return Next{Again: true}, nil
	}
	if w.until.After(now) {
		next.WakeAt = earliest(next.WakeAt, w.until)
	}
	return next, nil
}

func (s *Escalation) end(ctx context.Context, e threat.Escalation, state threat.EscalationState) (threat.Escalation, error) {
	s.aboutEscalation(e).InfoContext(ctx, "an escalation ends", "state", state)
	return s.Store.EndEscalation(ctx, e.ID, state)
}

// walk is how far an escalation has got along its chain.
type walk struct {
	missing []threat.Attempt // of the steps that have begun, not written down yet
	until   time.Time        // when the next step begins, or the last one is over
	silent  bool             // a whole round reached nobody
}

// walk goes along the chain, round by round, and stops at the step that runs now.
func (s *Escalation) walk(ctx context.Context, e threat.Escalation, attempts []threat.Attempt, now time.Time) walk {
	byID := map[uuid.UUID]threat.Attempt{}
	for _, a := range attempts {
		byID[a.ID] = a
	}
	w := walk{until: e.StartedAt}
	late := e.StartedAt // when the last message that came after its step has had its time
	for round := 1; round <= e.Rounds; round++ {
		refused := true
		for i, step := range e.Chain {
			begin := w.until
			if begin.After(now) {
				return w
			}
			var sent []threat.Attempt
			for m := range step.Methods {
				a, there := byID[attemptID(e, round, i, m)]
				if !there {
					w.missing = append(w.missing, s.attempt(ctx, e, round, i, m, begin))
					continue
				}
				sent = append(sent, a)
				if step.Methods[m].Delay >= step.Wait && a.SentAt != nil {
					late = latest(late, a.SentAt.Add(step.Wait))
				}
			}
			if len(w.missing) > 0 {
				return w
			}
			var reached bool
			w.until, reached = over(step, sent, begin, now)
			refused = refused && !reached
			if w.until.After(now) {
				return w
			}
		}
		if refused && len(attempts) > 0 {
			w.silent = true
			if round < e.Rounds && len(e.Chain) > 0 { // another round at once would find the same providers
				w.until = w.until.Add(e.Chain[len(e.Chain)-1].Wait)
			}
		}
	}
	w.until = latest(w.until, late)
	return w
}

// over says when a step that began is over, and whether it may have reached anybody. While one of its messages is still to
// go out now, that is not before now and its wait.
func over(step threat.ChainStep, attempts []threat.Attempt, begin, now time.Time) (at time.Time, reached bool) {
	first, last := time.Time{}, begin
	waiting := false
	for _, a := range attempts {
		switch a.State {
		case threat.AttemptRefused, threat.AttemptSkipped:
		case threat.AttemptPlanned:
			reached = true
			waiting = waiting || a.DueAt.Before(begin.Add(step.Wait))
		default:
			reached = true
		}
		if a.SentAt != nil {
			first, last = earliest(first, *a.SentAt), latest(last, *a.SentAt)
		}
	}
	switch {
	case !reached: // refused all of it, or there was nothing to try: on at once
		return last, false
	case first.IsZero() && waiting:
		return latest(begin, now).Add(step.Wait), true
	}
	return latest(begin, first).Add(step.Wait), true
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func attemptID(e threat.Escalation, round, step, method int) uuid.UUID {
	return threat.AttemptID(e.ID, strconv.Itoa(round), strconv.Itoa(step), strconv.Itoa(method))
}

// attempt plans one message. What the channel can do is a fact of the moment in which it is planned; one that cannot be
// asked counts for nothing.
func (s *Escalation) attempt(ctx context.Context, e threat.Escalation, round, i, m int, begin time.Time) threat.Attempt {
	step, method := e.Chain[i], e.Chain[i].Methods[m]
	a := threat.Attempt{ID: attemptID(e, round, i, m), TenantID: e.TenantID, CaseID: e.CaseID, EscalationID: e.ID, Round: round,
		Position: step.Position, PersonID: step.PersonID, Channel: method.Channel, ConnectionID: method.ConnectionID,
		Address: method.Address, State: threat.AttemptPlanned, DueAt: begin.Add(method.Delay)}
	ch, err := s.channel(ctx, method.ConnectionID)
	if err != nil {
		s.aboutEscalation(e).WarnContext(ctx, "a channel cannot be opened; it counts for nothing",
			"connection", method.ConnectionID, "error", err)
		return a
	}
	a.Interruptive, a.TwoWay = ch.Interruptive, ch.TwoWay
	return a
}

func (s *Escalation) channel(ctx context.Context, connection uuid.UUID) (adapters.Channel, error) {
	sp, err := s.Devices.Speaker(ctx, connection)
	if err != nil {
		return adapters.Channel{}, err
	}
	return sp.Channel(), nil
}

// silent calls the provider's people when a whole round reached nobody, without waiting for the end.
func (s *Escalation) silent(ctx context.Context, c threat.Case, e threat.Escalation, now time.Time) {
	if s.memory.first("silent:"+e.ID.String(), now) {
		s.Page(ctx, c.Name()+": the providers refused every message to the customer's contacts; call them")
	}
}

// resendFor is how long a message whose fate is not known is handed in again under its key.
const resendFor = 10 * time.Minute

// tasks gives what is to be sent now, and settles what was cut off while it was sent.
func (s *Escalation) tasks(ctx context.Context, attempts []threat.Attempt, set tenant.Settings, now time.Time) (Next, error) {
	var next Next
	for _, a := range attempts {
		switch a.State {
		case threat.AttemptPlanned:
			if a.DueAt.After(now) {
				next.WakeAt = earliest(next.WakeAt, a.DueAt)
				continue
			}
			next.Tasks = append(next.Tasks, s.task(TaskAttempt, a, set))
		case threat.AttemptSending:
			again, at, err := s.cutOff(ctx, a, set, now)
			switch {
			case err != nil:
				return Next{}, err
			case again:
				next.Tasks = append(next.Tasks, s.task(TaskAttempt, a, set))
			case at.IsZero():
				next.Again = true // it was settled
			default:
				next.WakeAt = earliest(next.WakeAt, at)
			}
		}
	}
	return next, nil
}

func (s *Escalation) task(kind string, a threat.Attempt, set tenant.Settings) Task {
	return Task{Kind: kind, TenantID: a.TenantID, AttemptID: a.ID, EscalationID: a.EscalationID, ConnectionID: a.ConnectionID,
		Timeout: callOf(set) + taskMargin}
}

// cutOff says what becomes of a message that is being sent: it is waited for; or, when nobody can be sending it any more,
// handed in again where the provider drops a repetition, and unknown for ever where it does not.
func (s *Escalation) cutOff(ctx context.Context, a threat.Attempt, set tenant.Settings, now time.Time) (
	again bool, wake time.Time, err error) {
	over := sendingOver(a, set)
	if at := s.memory.noted(holdOff(a.ID)); at.After(over) {
		over = at
	}
	if now.Before(over) {
		return false, over, nil
	}
	ch, err := s.channel(ctx, a.ConnectionID)
	if err == nil && ch.Keyed && a.SentAt != nil && now.Before(a.SentAt.Add(resendFor)) {
		return true, time.Time{}, nil
	}
	return false, time.Time{}, s.Store.FinishAttempt(ctx, a.ID, threat.AttemptUnknown, "",
		"no answer was recorded; it may have gone out")
}

// sendingOver is when nobody can be sending an attempt any more.
func sendingOver(a threat.Attempt, set tenant.Settings) time.Time {
	if a.SentAt == nil {
		return a.DueAt
	}
	return a.SentAt.Add(callOf(set) + callGrace)
}

func holdOff(attempt uuid.UUID) string { return "hold-off:" + attempt.String() }

// cancelWithin is how long after its end an escalation's messages are still taken back.
const cancelWithin = time.Hour

// over does what is left when an escalation has ended: what was planned is skipped, a page that still rings is taken back,
// and what it came to is written into the case.
func (s *Escalation) over(ctx context.Context, c threat.Case, e threat.Escalation, set tenant.Settings) (Next, error) {
	if err := s.Store.SkipAttempts(ctx, e.ID, "the escalation is "+string(e.State)); err != nil {
		return Next{}, err
	}
	if e.State == threat.EscalationExhausted { // whoever answers late still finds the page
		list, err := s.Store.Escalations(ctx, c.ID)
		if err != nil {
			return Next{}, err
		}
		if last, _ := newestEscalation(list); last.ID == e.ID {
			_, err = s.settleContact(ctx, c, e)
		}
		return Next{Done: err == nil}, err
	}
	attempts, err := s.Store.Attempts(ctx, e.ID)
	if err != nil {
		return Next{}, err
	}
	now := s.now()
	var next Next
	for _, a := range attempts {
		wentOut := a.State == threat.AttemptAccepted || a.State == threat.AttemptUnknown
		if !wentOut || e.EndedAt == nil || now.After(e.EndedAt.Add(cancelWithin)) {
			continue
		}
		// Each is planned once by this process; a repetition by another changes nothing at the provider.
		if ch, err := s.channel(ctx, a.ConnectionID); err == nil && ch.Keyed && s.memory.first("cancel:"+a.ID.String(), now) {
			next.Tasks = append(next.Tasks, s.task(TaskCancel, a, set))
		}
	}
	next.Done = len(next.Tasks) == 0
	return next, nil
}
