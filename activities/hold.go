package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// renew asks for the right to put a later end to the device's own time-out: when half of its life is over and the hold goes
// on beyond it. The device's end is a dead man's switch, so what fails here is told and tried again, and nothing else.
func (s *Response) renew(ctx context.Context, v view, h threat.Holder, t *todo) error {
	c, there := v.claim(threat.ClaimRenew, h.EffectID, h.Effect.Generation)
	if there && c.ResultAt == nil {
		if c.Sends == 0 {
			return s.unsent(ctx, v, h.ConnectionID, c, TaskRenew, t)
		}
		if v.now.Before(c.LeaseUntil) { // setting an end twice is no harm, but not while somebody does
			t.WakeAt = earliest(t.WakeAt, c.LeaseUntil)
			return nil
		}
	}
	due := v.renewal(h)
	if due.IsZero() {
		return nil
	}
	if there && c.ResultAt != nil && c.Outcome != threat.OutcomeSuccess { // the last one failed
		due = latest(due, c.ResultAt.Add(v.set.Reverify.Duration()/5))
	}
	due = latest(due, latest(s.memory.noted(leaveAlone(h.EffectID)), s.memory.noted(renewLater(h.EffectID))))
	if v.now.Before(due) {
		t.WakeAt = earliest(t.WakeAt, due)
		return nil
	}
	a, err := s.Store.Claim(ctx, threat.ClaimRequest{ResponseID: v.r.ID, ConnectionID: h.ConnectionID, Kind: threat.ClaimRenew,
		Ours: s.Ours, Resolved: s.leads(ctx, v), Until: v.until(), Settle: v.settle(h.ConnectionID)})
	if err != nil {
		return err
	}
	s.claimed(ctx, v.r, h.ConnectionID, threat.ClaimRenew, a)
	switch a.Verdict {
	case threat.ClaimGranted:
		if a.Claim.ResultAt == nil && a.Claim.Sends == 0 {
			return s.unsent(ctx, v, h.ConnectionID, a.Claim, TaskRenew, t)
		}
	case threat.ClaimRefused:
		s.page(ctx, v.r, "renew", fmt.Sprintf("%s cannot be renewed, and the device lets go by itself at %s: %s", what(v.r),
			h.Effect.DeviceEnds.Format(time.RFC3339), threat.Inert(a.Why, 200)))
	}
	wake := v.now.Add(max(v.set.Reverify.Duration()/5, time.Second))
	s.memory.note(renewLater(h.EffectID), wake)
	t.WakeAt = earliest(t.WakeAt, wake)
	return nil
}

func renewLater(effect uuid.UUID) string { return "renew:" + effect.String() }

// renewal is when an effect's own end has to be put off; zero when it lasts long enough.
func (v view) renewal(h threat.Holder) time.Time {
	e := h.Effect
	if e.DeviceEnds == nil || e.Adopted || !v.able[h.ConnectionID].DeviceEnds {
		return time.Time{}
	}
	if !v.until().After(e.DeviceEnds.Add(-threat.ClaimMargin(v.r.Duration) / 2)) {
		return time.Time{}
	}
	var from time.Time // when the device was last told its end
	for _, c := range v.claims {
		worked := c.Kind != threat.ClaimRelease && c.Outcome == threat.OutcomeSuccess
		if worked && c.EffectID == e.ID && c.Generation == e.Generation {
			from = latest(from, c.At)
		}
	}
	if from.IsZero() { // another response did: what is left is halved
		from = v.now
		if e.VerifiedAt != nil {
			from = *e.VerifiedAt
		}
	}
	return from.Add(e.DeviceEnds.Sub(from) / 2)
}

// timeUp does what policy chose for the end of a containment. Nobody is freed unattended while the case is active.
func (s *Response) timeUp(ctx context.Context, v view, until time.Time) (Next, error) {
	c, err := s.Store.Case(ctx, v.r.CaseID)
	if err != nil {
		return Next{}, err
	}
	over := !c.Open() || c.Threat == threat.ThreatContained || c.Threat == threat.ThreatResolved
	switch end := v.r.End; {
	case verb.Once(v.r.Verb):
		return s.letGo(ctx, v.r, "it was not seen to be done on every device in "+verb.Window(v.r.Action).String())
	case !v.holds():
		return s.letGo(ctx, v.r, "its time is up, and no device has it")
	case v.r.HoldUntil == nil && end != threat.EndRelease && !over && v.now.Before(until.Add(threat.ClaimMargin(v.r.Duration))):
		if next, err := s.lookFirst(ctx, v); err != nil || next.Again || len(next.Tasks) > 0 || !next.WakeAt.IsZero() {
			return next, err
		}
		fallthrough
	case v.r.HoldUntil == nil:
		return s.letGo(ctx, v.r, "its time is up, and no device was ever seen to enforce it")
	case end == threat.EndRelease:
		return s.letGo(ctx, v.r, "its time is up")
	case (end == threat.EndReleaseWhenContained || end == threat.EndExtend) && over:
		return s.letGo(ctx, v.r, "its time is up and the threat is "+string(c.Threat))
	case end == threat.EndExtend:
		again := until.Add(v.r.Duration)
		if !again.After(v.now) {
			again = v.now.Add(v.r.Duration)
		}
		return s.holdOn(ctx, v.r, again, "the threat is "+string(c.Threat)+": it is held for as long again")
	}
	return s.holdAndAsk(ctx, v)
}

// lookFirst has the devices read that were told to act and never looked at since: we may have been away for the whole time,
// and what they enforce is not let go unattended. Nothing is planned when there is none.
func (s *Response) lookFirst(ctx context.Context, v view) (Next, error) {
	var t todo
	for _, h := range v.r.Holders {
		unclear := h.Effect != nil && (h.Effect.State == threat.EffectClaimed || h.Effect.State == threat.EffectUnknown)
		if h.State != threat.HolderHolding || !unclear || h.Effect.Published {
			continue
		}
		if err := s.tendOne(ctx, v, h, &t); err != nil || t.Again {
			return Next{Again: t.Again}, err
		}
	}
	return t.Next, nil
}

func (s *Response) letGo(ctx context.Context, r threat.Response, why string) (Next, error) {
	if _, err := s.Store.EndHold(ctx, r.ID, why, threat.SystemActor); err != nil && !threat.Is(err, threat.Conflict) {
		return Next{}, err
	}
	s.aboutResponse(r).InfoContext(ctx, "a response is let go", "why", why)
	return Next{Again: true}, nil
}

func (s *Response) holdOn(ctx context.Context, r threat.Response, until time.Time, why string) (Next, error) {
	if _, err := s.Store.ExtendHold(ctx, r.ID, until, why, threat.SystemActor); err != nil {
		return Next{}, err
	}
	s.aboutResponse(r).InfoContext(ctx, "a response is held on", "until", until, "why", why)
	return Next{Again: true}, nil
}

// endApprovers may say whether a containment whose time is up is let go.
var endApprovers = threat.Approvers{Roles: []threat.Role{threat.Contact, threat.Analyst, threat.ShiftLead}, Needed: 1}

const (
	endSilence = "it is held until somebody decides"
	askedEnd   = "its time is up: people are asked whether to let go"
	endLater   = 2 * time.Second // how much longer than the question the hold lasts
)

// holdAndAsk holds on for as long as a question stays open, and has people decide. A question that nobody answered is put
// again, and the provider is called.
func (s *Response) holdAndAsk(ctx context.Context, v view) (Next, error) {
	q, there, err := s.endRequest(ctx, v.r)
	if err != nil {
		return Next{}, err
	}
	if there && v.now.Before(q.ExpiresAt) { // the hold's end lies after the question's, but for a clock that was set
		return Next{WakeAt: q.ExpiresAt}, nil
	}
	if there {
		if _, err := s.Store.ExpireRequest(ctx, q.ID); err != nil && !threat.Is(err, threat.Conflict) {
			return Next{}, err
		}
		s.Page(ctx, fmt.Sprintf("%s: its time is up, and nobody says whether to let go; it is held on (response %s)",
			what(v.r), v.r.ID))
	}
	return s.holdOn(ctx, v.r, v.now.Add(v.set.RequestOpen.Duration()+endLater), askedEnd)
}

// askEnd opens the question about a response's end, unless it is open; it reports whether it did.
func (s *Response) askEnd(ctx context.Context, v view) (bool, error) {
	if _, there, err := s.endRequest(ctx, v.r); err != nil || there {
		return false, err
	}
	q, err := s.Store.OpenEndRequest(ctx, v.r.ID, endApprovers, v.set.RequestOpen.Duration(), v.r.DecisionID.UUID, endSilence)
	if threat.Is(err, threat.Conflict) { // there is no hold any more
		return false, nil
	}
	if err == nil {
		s.aboutResponse(v.r).InfoContext(ctx, "people are asked about an end", "request", q.ID)
	}
	return err == nil, err
}

// endRequest gives the question about a response's end that is open.
func (s *Response) endRequest(ctx context.Context, r threat.Response) (threat.Request, bool, error) {
	list, err := s.Store.RequestsOf(ctx, r.ID)
	if err != nil {
		return threat.Request{}, false, err
	}
	for _, q := range list {
		if q.Body.Kind == threat.RequestEnd && q.State == threat.RequestOpen {
			return q, true, nil
		}
	}
	return threat.Request{}, false, nil
}

// release takes a response's effects away, one after the other's fate is known or side by side, until each is gone. A
// release that fails is tried again for ever.
func (s *Response) release(ctx context.Context, v view) (Next, error) {
	var t todo
	for _, h := range v.r.Holders {
		if h.State != threat.HolderHolding {
			continue
		}
		if err := s.releaseOne(ctx, v, h, &t); err != nil {
			return Next{}, err
		}
		if t.Again {
			return Next{Again: true}, nil
		}
	}
	if len(t.Tasks) == 0 && t.WakeAt.IsZero() { // nothing is held, and the store has not said that it is over
		return Next{WakeAt: v.now.Add(v.set.Reverify.Duration())}, nil
	}
	return t.Next, nil
}

func (s *Response) releaseOne(ctx context.Context, v view, h threat.Holder, t *todo) error {
	c, there := v.claim(threat.ClaimRelease, h.EffectID, h.Effect.Generation)
	switch {
	case !there:
	case c.ResultAt == nil && c.Sends == 0:
		return s.unsent(ctx, v, h.ConnectionID, c, TaskRelease, t)
	case c.ResultAt != nil && refusal(c.Outcome):
		if due := v.releaseAgain(h, c, s.memory.noted(leaveAlone(h.EffectID))); v.now.Before(due) {
			t.WakeAt = earliest(t.WakeAt, due)
			return nil
		}
	case h.Effect.State == threat.EffectReleasing || h.Effect.State == threat.EffectUnknown:
		// It may be gone. A read says so; one that still shows it there, after the product's time, has it released again.
		from, err := s.believable(ctx, c)
		if err != nil {
			return err
		}
		if c.ReadAt == nil || c.ReadAt.Before(from) {
			s.pace(ctx, v, h.ConnectionID, pacing{kind: TaskRead, claim: c.ID, from: from, seen: seen(*h.Effect, c),
				least: time.Second, most: v.set.Reverify.Duration()}, t)
			return nil
		}
		if due := v.releaseAgain(h, c, time.Time{}); v.now.Before(due) {
			t.WakeAt = earliest(t.WakeAt, due)
			return nil
		}
	}
	if n := v.releases(h); n >= pageAfter {
		s.page(ctx, v.r, "release", fmt.Sprintf("%s cannot be taken back on a device after %d tries; it is tried on", what(v.r), n))
	}
	a, err := s.Store.ClaimRelease(ctx, v.r.ID, h.ConnectionID)
	if err != nil {
		return err
	}
	s.claimed(ctx, v.r, h.ConnectionID, threat.ClaimRelease, a)
	switch a.Verdict {
	case threat.ClaimGranted:
		if a.Claim.Sends == 0 && a.Claim.ResultAt == nil {
			return s.unsent(ctx, v, h.ConnectionID, a.Claim, TaskRelease, t)
		}
		t.WakeAt = earliest(t.WakeAt, v.now.Add(time.Second))
	case threat.ClaimJoined:
		t.Again = true // it is somebody else's too, or was never ours: we are out
	case threat.ClaimWait:
		return s.await(ctx, v, h.ConnectionID, a, t)
	default:
		return threat.Faultf(threat.Internal, "a release was answered with %q", string(a.Verdict))
	}
	return nil
}

// refusal reports whether an outcome says that nothing was changed.
func refusal(o threat.Outcome) bool {
	return o == threat.OutcomeFailure || o == threat.OutcomeError || o == threat.OutcomeUnsupported
}

// releases counts the releases of an effect's generation that were tried.
func (v view) releases(h threat.Holder) int {
	n := 0
	for _, c := range v.claims {
		if c.Kind == threat.ClaimRelease && c.EffectID == h.EffectID && c.Generation == h.Effect.Generation && c.ResultAt != nil {
			n++
		}
	}
	return n
}

// releaseAgain is when a release that did not do it is tried again: a little later each time.
func (v view) releaseAgain(h threat.Holder, last threat.Claim, notBefore time.Time) time.Time {
	wait := min(firstRetry<<min(max(v.releases(h)-1, 0), 16), max(v.set.Reverify.Duration(), firstRetry))
	at := last.At
	for _, seen := range []*time.Time{last.ResultAt, last.ReadAt} {
		if seen != nil {
			at = latest(at, *seen)
		}
	}
	return latest(at.Add(wait), notBefore)
}
