package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// pull is how many detections a case takes in at a time.
const pull = 200

// Case is the step of the workflow that looks after a case: it takes in detections, proposes responses, has the customer
// told, and says when the threat is contained and when the case is over. It touches nothing outside.
type Case struct{ Deps }

// NewCase makes a Case.
func NewCase(d Deps) *Case { return &Case{d.filled()} }

// Step says what is next for a case.
func (s *Case) Step(ctx context.Context, subject Subject) (Next, error) {
	next, err := s.step(ctx, subject)
	next.Build = s.Build
	return next, err
}

func (s *Case) step(ctx context.Context, subject Subject) (Next, error) {
	c, err := s.Store.Case(ctx, subject.ID)
	if threat.Is(err, threat.NotFound) || err == nil && !c.Open() {
		return Next{Done: true}, nil
	}
	if err != nil {
		return Next{}, err
	}
	set, err := s.Store.EffectiveSettings(ctx, c.TenantID)
	if err != nil {
		return Next{}, err
	}
	if err := s.takeIn(ctx, c, set); err != nil {
		return Next{}, err
	}
	// From here on everything is read anew: the case as it is now, with what was just proposed for it.
	if c, err = s.Store.Case(ctx, c.ID); err != nil {
		return Next{}, err
	}
	now := s.now()
	if c, err = s.escalate(ctx, c, now); err != nil {
		return Next{}, err
	}
	responses, err := s.Store.Responses(ctx, c.ID)
	if err != nil {
		return Next{}, err
	}
	if again, err := s.otherWays(ctx, c, responses, set); err != nil || again {
		return Next{Again: again}, err
	}
	if c, err = s.threat(ctx, c, responses); err != nil {
		return Next{}, err
	}
	quiet, err := s.quiet(ctx, c, responses, set)
	if err != nil {
		return Next{}, err
	}
	if !quiet.IsZero() && !now.Before(quiet) {
		return s.close(ctx, c, set)
	}
	next := Next{WakeAt: quiet}
	if c.Acknowledged(now) {
		next.WakeAt = earliest(next.WakeAt, *c.AckUntil)
	}
	return next, nil
}

// takeIn proposes what triage would have done about each new detection. The cursor moves last: a step that was cut off is
// taken again, and finds what it proposed the first time.
func (s *Case) takeIn(ctx context.Context, c threat.Case, set tenant.Settings) error {
	for cursor := c.Cursor; ; {
		page, err := s.Store.DetectionsOfCase(ctx, c.ID, cursor, pull)
		if err != nil || len(page) == 0 {
			return err
		}
		responses, err := s.proposals(ctx, c, page, set)
		if err != nil {
			return err
		}
		if len(responses) > 0 {
			if _, err := s.Store.ProposeResponses(ctx, c.ID, responses); err != nil {
				return err
			}
		}
		cursor = page[len(page)-1].Seq
		if err := s.Store.AdvanceCursor(ctx, c.ID, cursor); err != nil {
			return err
		}
		s.aboutCase(c).InfoContext(ctx, "detections were taken in", "detections", len(page), "until", cursor,
			"proposed", len(responses))
		if len(page) < pull {
			return nil
		}
	}
}

// proposals plans one response for each step and target that may act now.
func (s *Case) proposals(ctx context.Context, c threat.Case, page []threat.Detection, set tenant.Settings) (
	[]threat.Response, error) {
	var among []threat.Response // those of the case, and those that this page adds
	var list []threat.Connection
	var out []threat.Response
	for _, d := range page {
		if len(d.Proposals) == 0 {
			continue
		}
		if among == nil {
			var err error
			if among, err = s.Store.Responses(ctx, c.ID); err != nil {
				return nil, err
			}
			if list, err = s.Store.Connections(ctx, c.TenantID); err != nil {
				return nil, err
			}
		}
		for _, p := range d.Proposals {
			if plan.NeedsAssets(p.Target) {
				made, err := s.onAssets(ctx, c, p, d.ReceivedAt, among, list, set)
				if err != nil {
					return nil, err
				}
				among, out = append(among, made...), append(out, made...)
				continue
			}
			a, err := plan.Complete(threat.Action{TenantID: c.TenantID, CaseID: c.ID, Step: p.Step, Verb: p.Verb, Target: p.Target})
			if err != nil { // policy proposed what cannot be done: said aloud, and the rest goes on
				s.aboutCase(c).ErrorContext(ctx, "a proposal cannot be planned", "detection", d.ID, "error", err)
				s.Page(ctx, fmt.Sprintf("%s: policy proposed what cannot be done (%s): %v", c.Name(), threat.Inert(p.Verb, 32), err))
				continue
			}
			round, why := plan.Round(a.Step, a.Target, d.ReceivedAt, among, set.AckFor.Duration())
			if round == 0 {
				s.aboutCase(c).DebugContext(ctx, "a proposal adds nothing", "detection", d.ID, "why", why)
				continue
			}
			r := s.response(a, round, p.Required, list)
			among, out = append(among, r), append(out, r)
		}
	}
	return out, nil
}

func (s *Case) response(a threat.Action, round int, required bool, list []threat.Connection) threat.Response {
	a.Round = round
	a.ID = threat.ActionID(a.CaseID, a.Step, a.Target, round)
	ids, left := plan.Connections(a.Verb, a.Target, list, func(adapter, verb string) bool {
		_, ok := s.Devices.Able(adapter, verb)
		return ok
	})
	a.Connections = ids
	if a.Connections == nil {
		a.Connections = []uuid.UUID{}
	}
	return threat.Response{Action: a, State: threat.ResponseProposed, Required: required, AskedBy: threat.SystemActor,
		Why: plan.Told(left)}
}

// threat says that a case is contained when the devices said so of every required response, and takes it back when a new
// one is required.
func (s *Case) threat(ctx context.Context, c threat.Case, responses []threat.Response) (threat.Case, error) {
	held, open := standing(responses)
	switch {
	case c.Cursor < c.LastDetection: // there is more than these responses answer
		return c, nil
	case held > 0 && open == 0 && (c.Threat == threat.ThreatActive || c.Threat == threat.ThreatSuspected):
		return s.Store.SetThreat(ctx, c.ID, threat.ThreatContained, fmt.Sprintf("all that was required is verified (%d)", held),
			threat.SystemActor)
	case open > 0 && c.Threat == threat.ThreatContained:
		return s.Store.SetThreat(ctx, c.ID, threat.ThreatActive, "not all that is required is in force", threat.SystemActor)
	}
	return c, nil
}

// standing counts the required responses that are in force on every device of theirs, and those that are not. What was let
// go, is being let go or was taken back by a decision is required no longer: the end of a containment is no new activity of
// the adversary's.
func standing(responses []threat.Response) (held, open int) {
	for _, r := range plan.LastRounds(responses) {
		switch {
		case plan.Overtaken(r, responses): // another way is taken
		case r.Required && verb.Once(r.Verb) && r.State == threat.ResponseReleased && r.Ending == "":
			if r.Why == verb.Done {
				held++ // it lasts by itself
			} else {
				open++ // done on a part of its devices
			}
		case !r.Required, r.Ending != "", r.State == threat.ResponseReleased, r.State == threat.ResponseSuperseded:
		case r.State == threat.ResponseHeld && whole(r):
			held++
		default:
			open++
		}
	}
	return held, open
}

// whole reports whether a response is in force over every connection that it names.
func whole(r threat.Response) bool {
	n := 0
	for _, h := range r.Holders {
		if h.State == threat.HolderHolding && h.Effect != nil && h.Effect.State == threat.EffectInForce {
			n++
		}
	}
	return n > 0 && n == len(r.Connections)
}

// quiet gives the time from which a case counts as over, as long as nothing happens; zero when it cannot be over yet.
func (s *Case) quiet(ctx context.Context, c threat.Case, responses []threat.Response, set tenant.Settings) (
	time.Time, error) {
	if c.Cursor < c.LastDetection {
		return time.Time{}, nil
	}
	since := c.OpenedAt
	later := func(t *time.Time) {
		if t != nil && t.After(since) {
			since = *t
		}
	}
	for _, r := range responses {
		if r.EndedAt == nil && c.Threat == threat.ThreatSuspected {
			return time.Time{}, nil
		}
		later(r.HoldFrom)
		later(r.EndedAt)
	}
	if c.Threat == threat.ThreatActive {
		return time.Time{}, nil
	}
	if c.LastDetection > 0 {
		last, err := s.Store.DetectionsOfCase(ctx, c.ID, c.LastDetection-1, 1)
		if err != nil {
			return time.Time{}, err
		}
		for _, d := range last {
			later(&d.ReceivedAt)
		}
	}
	return since.Add(set.QuietClose.Duration()), nil
}

func (s *Case) close(ctx context.Context, c threat.Case, set tenant.Settings) (Next, error) {
	reason := "no detection for " + set.QuietClose.Duration().String()
	if _, err := s.Store.SetThreat(ctx, c.ID, threat.ThreatResolved, reason, threat.SystemActor); err != nil {
		return Next{}, err
	}
	if _, err := s.Store.CloseCase(ctx, c.ID, reason, threat.SystemActor); err != nil && !threat.Is(err, threat.Conflict) {
		return Next{}, err
	}
	s.aboutCase(c).InfoContext(ctx, "a quiet case is closed", "was", c.Threat)
	return Next{Done: true}, nil
}
