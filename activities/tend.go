package activities

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Limits on what is tried again over one device, each try under a claim of its own.
const (
	failureLimit = 3 // the device refused, or did not do what it said
	errorLimit   = 6 // it could not be reached, or asked to be left alone: people are told, and it is tried on
	firstRetry   = 2 * time.Second
	pageAfter    = 3 // failed looks or releases in a row, before people are told
)

// tend looks after a response that may act: what it has not claimed is claimed, what is unclear is read, what stands is
// read again and renewed, and when its time is up policy's end is done.
func (s *Response) tend(ctx context.Context, v view) (Next, error) {
	if next, err := s.untouchable(ctx, v); err != nil || next.Again {
		return next, err
	}
	until := v.until()
	if !until.IsZero() && !v.now.Before(until) {
		return s.timeUp(ctx, v, until)
	}
	if v.r.Why == askedEnd { // and a step may have been cut off before they were
		if again, err := s.askEnd(ctx, v); err != nil || again {
			return Next{Again: again}, err
		}
	}
	t, err := s.tendAll(ctx, v)
	if err != nil || t.Again {
		return Next{Again: t.Again}, err
	}
	if len(t.lost) > 0 && len(t.lost) == v.wanted() {
		return s.fail(ctx, v.r, strings.Join(t.lost, "; "))
	}
	t.WakeAt = earliest(t.WakeAt, until)
	return t.Next, nil
}

// tendAll goes over a response's devices.
func (s *Response) tendAll(ctx context.Context, v view) (todo, error) {
	var t todo
	for _, h := range v.r.Holders {
		if err := s.tendOne(ctx, v, h, &t); err != nil {
			return todo{}, err
		}
		if t.Again {
			return todo{Next: Next{Again: true}}, nil
		}
	}
	return t, nil
}

// until is when a response's time is up: the hold's end, or that of its claims while no device has said yet that it stands.
func (v view) until() time.Time {
	if v.r.HoldUntil != nil {
		return *v.r.HoldUntil
	}
	var at time.Time
	for _, h := range v.r.Holders {
		if h.State == threat.HolderHolding && h.Until != nil {
			at = latest(at, *h.Until)
		}
	}
	return at
}

// wanted counts the connections over which a response acts.
func (v view) wanted() int {
	n := 0
	for _, h := range v.r.Holders {
		if h.State == threat.HolderHolding || v.acts(h.ConnectionID) {
			n++
		}
	}
	return n
}

// acts reports whether a connection is one of the response's, and was not narrowed away.
func (v view) acts(connection uuid.UUID) bool { return slices.Contains(v.r.Connections, connection) }

// holds reports whether a response holds anything that may be on a device.
func (v view) holds() bool {
	return slices.ContainsFunc(v.r.Holders, func(h threat.Holder) bool { return h.State == threat.HolderHolding })
}

func (s *Response) tendOne(ctx context.Context, v view, h threat.Holder, t *todo) error {
	switch {
	case h.State == threat.HolderHolding:
		switch h.Effect.State {
		case threat.EffectInForce:
			return s.standing(ctx, v, h, t)
		case threat.EffectClaimed, threat.EffectUnknown:
			c, ours := v.claim(threat.ClaimAct, h.EffectID, h.Effect.Generation)
			if !ours { // another response's: it is looked at, and that one settles it
				s.pace(ctx, v, h.ConnectionID, pacing{kind: TaskVerify, from: v.r.UpdatedAt, seen: seen(*h.Effect, c),
					least: time.Second, most: v.set.Reverify.Duration()}, t)
				return nil
			}
			return s.unclear(ctx, v, h, c, t)
		}
		t.WakeAt = earliest(t.WakeAt, v.now.Add(time.Second)) // somebody changes it just now
	case h.State == threat.HolderReleased || !v.acts(h.ConnectionID):
	case v.r.State == threat.ResponseActing:
		return s.claim(ctx, v, h, t)
	case h.State == threat.HolderFailed && v.holds():
		s.page(ctx, v.r, "partial", fmt.Sprintf("%s is in force on a part of its devices only: %s", what(v.r),
			threat.Inert(h.Error, 200)))
	}
	return nil
}

// claim asks for the right to act, and plans the sending.
func (s *Response) claim(ctx context.Context, v view, h threat.Holder, t *todo) error {
	due, lost := s.retry(ctx, v, h)
	if lost != "" {
		t.lost = append(t.lost, lost)
		return nil
	}
	if v.now.Before(due) {
		t.WakeAt = earliest(t.WakeAt, due)
		return nil
	}
	a, err := s.Store.Claim(ctx, threat.ClaimRequest{ResponseID: v.r.ID, ConnectionID: h.ConnectionID, Kind: threat.ClaimAct,
		Ours: s.Ours, Resolved: s.leads(ctx, v), Settle: v.settle(h.ConnectionID)})
	if err != nil {
		return err
	}
	s.claimed(ctx, v.r, h.ConnectionID, threat.ClaimAct, a)
	switch a.Verdict {
	case threat.ClaimGranted:
		return s.unclear(ctx, v, h, a.Claim, t)
	case threat.ClaimJoined:
		if a.Effect.State == threat.EffectInForce { // we see for ourselves
			s.look(v, h.ConnectionID, TaskVerify, uuid.Nil, t)
			return nil
		}
		t.Again = true
	case threat.ClaimWait:
		return s.await(ctx, v, h.ConnectionID, a, t)
	case threat.ClaimStale:
		t.Again = true
	case threat.ClaimRefused:
		return s.refused(ctx, v, a, t)
	default:
		return threat.Faultf(threat.Internal, "a claim was answered with %q", string(a.Verdict))
	}
	return nil
}

func (s *Response) claimed(ctx context.Context, r threat.Response, connection uuid.UUID, kind threat.ClaimKind,
	a threat.ClaimAnswer) {
	s.Metrics.Claimed(r.Verb, kind, a.Verdict)
	s.aboutResponse(r).InfoContext(ctx, "a claim was answered", "connection", connection, "kind", kind,
		"verdict", a.Verdict, "claim", a.Claim.ID, "effect", a.Effect.ID, "generation", a.Effect.Generation, "guard", a.Guard,
		"why", threat.Inert(a.Why, 200))
}

// retry says when a device that failed may be tried again, or why it will not be. One that could not be reached is tried
// on for as long as the containment would have lasted, ever less often, since each try counts in the hour's budget.
func (s *Response) retry(ctx context.Context, v view, h threat.Holder) (due time.Time, lost string) {
	sp := v.spell(h)
	n := sp.failures + sp.errs
	if n+sp.lapses == 0 {
		return time.Time{}, ""
	}
	over := sp.errs > 0 && !v.now.Before(sp.first.Add(verb.Window(v.r.Action)))
	if over || sp.failures >= failureLimit || sp.last.Outcome == threat.OutcomeUnsupported {
		return time.Time{}, fmt.Sprintf("given up after %d tries: %s", n, cmp.Or(sp.last.Error, h.Error))
	}
	if sp.errs >= errorLimit {
		s.page(ctx, v.r, "away", fmt.Sprintf("%s: a device could not be reached %d times; it is tried on", what(v.r), errorLimit))
	}
	wait := firstRetry
	for range min(n+sp.lapses, 12) - 1 {
		wait *= 3
	}
	wait = min(wait, max(3*v.set.Reverify.Duration(), firstRetry))
	return latest(sp.last.ResultAt.Add(wait), s.memory.noted(leaveAlone(h.EffectID))), ""
}

// spell is what came of the claims on an effect since the last one that worked.
type spell struct {
	failures, errs, lapses int
	first                  time.Time
	last                   threat.Claim
}

func (v view) spell(h threat.Holder) spell {
	var sp spell
	for _, c := range v.claims {
		switch {
		case c.Kind != threat.ClaimAct || c.EffectID != h.EffectID || c.ResultAt == nil:
			continue
		case c.Outcome == threat.OutcomeSuccess:
			sp = spell{}
			continue
		case lapsed(c):
			sp.lapses++
		case c.Outcome == threat.OutcomeError:
			sp.errs++
		default:
			sp.failures++
		}
		if sp.last = c; sp.first.IsZero() {
			sp.first = c.At
		}
	}
	return sp
}

// lapsed reports whether nothing went out under a claim, and that was nobody's refusal.
func lapsed(c threat.Claim) bool { return c.Sends == 0 && c.Outcome == threat.OutcomeFailure }

func leaveAlone(effect uuid.UUID) string { return "leave-alone:" + effect.String() }

// refused says what follows when a guard said no under the lock. Nothing is given up of what stands already.
func (s *Response) refused(ctx context.Context, v view, a threat.ClaimAnswer, t *todo) error {
	why := a.Why
	if a.Narrower != "" {
		why += "; instead: " + a.Narrower
	}
	why = threat.Inert(why, 300)
	if v.holds() {
		s.page(ctx, v.r, "refused", fmt.Sprintf("%s is done on a part of its devices only: %s", what(v.r), why))
		t.WakeAt = earliest(t.WakeAt, v.now.Add(v.set.Reverify.Duration()))
		return nil
	}
	next, err := s.fail(ctx, v.r, why)
	t.Again = next.Again
	return err
}

// unclear settles a claim of ours of which no read has shown yet what it did: it is sent, or waited for, or read.
func (s *Response) unclear(ctx context.Context, v view, h threat.Holder, c threat.Claim, t *todo) error {
	if c.ResultAt == nil && c.Sends == 0 {
		return s.unsent(ctx, v, h.ConnectionID, c, TaskAct, t)
	}
	kind := TaskRead
	since, err := s.believable(ctx, c)
	if err != nil {
		return err
	}
	polled := v.able[h.ConnectionID].Polled
	if c.ResultAt != nil && c.Outcome == threat.OutcomeSuccess {
		kind = TaskVerify
	}
	most := v.set.Reverify.Duration()
	if !polled || kind == TaskRead {
		if slow := max(10*v.settle(h.ConnectionID), v.set.Lease.Duration()); v.now.Sub(since) > slow {
			s.page(ctx, v.r, "unclear", fmt.Sprintf("%s: it is still not known whether it is in force", what(v.r)))
		}
	}
	least := min(v.settle(h.ConnectionID), most)
	if polled {
		least = min(5*time.Second, most)
	}
	s.pace(ctx, v, h.ConnectionID, pacing{kind: kind, claim: c.ID, from: since, seen: seen(*h.Effect, c), least: least,
		most: most, eager: polled}, t)
	return nil
}

// unsent plans the sending under a claim that nothing went out under, or lets the claim go when its lease is over.
func (s *Response) unsent(ctx context.Context, v view, connection uuid.UUID, c threat.Claim, kind string, t *todo) error {
	if v.now.Add(callOf(v.set)).Before(c.LeaseUntil) {
		t.Tasks = append(t.Tasks, s.task(v, kind, connection, c))
		return nil
	}
	return s.lapse(ctx, v, c, t)
}

// lapse ends a claim that nobody sent anything under, unless somebody still may.
func (s *Response) lapse(ctx context.Context, v view, c threat.Claim, t *todo) error {
	err := s.Store.LapseClaim(ctx, c.ID)
	if threat.Is(err, threat.Conflict) {
		t.WakeAt = earliest(t.WakeAt, v.now.Add(time.Second))
		return nil
	}
	t.Again = err == nil
	return err
}

// await waits for somebody else's claim on an effect. One whose time is over is settled here: its owner may be gone.
func (s *Response) await(ctx context.Context, v view, connection uuid.UUID, a threat.ClaimAnswer, t *todo) error {
	c := a.Claim
	var over time.Time
	if c.ID != uuid.Nil {
		at, err := s.believable(ctx, c)
		if err != nil {
			return err
		}
		over = latest(c.LeaseUntil, at)
	}
	switch {
	case c.ID == uuid.Nil || v.now.Before(over):
	case c.ResultAt == nil && c.Sends == 0:
		return s.lapse(ctx, v, c, t)
	default:
		s.pace(ctx, v, connection, pacing{kind: TaskRead, claim: c.ID, from: over, seen: seen(a.Effect, c), least: time.Second,
			most: v.set.Reverify.Duration()}, t)
		if len(t.Tasks) > 0 {
			return nil
		}
	}
	at := c.At
	if at.IsZero() {
		at = v.r.UpdatedAt
	}
	t.WakeAt = earliest(t.WakeAt, v.now.Add(backoff(v.now.Sub(at), time.Second, 15*time.Second)))
	return nil
}

// believable is from when on a read can be believed about a claim: nobody can be sending under it any more, and the product
// has had its time.
func (s *Response) believable(ctx context.Context, c threat.Claim) (time.Time, error) {
	if c.Sends == 0 {
		return c.At, nil
	}
	at, err := s.Store.SettleUntil(ctx, c.ID)
	if c.Outcome == threat.OutcomeNone { // the sender has not come back: it may be in its last moment
		at = at.Add(callGrace)
	}
	return at, err
}

// seen is when the device was last read about an effect.
func seen(e threat.Effect, c threat.Claim) time.Time {
	var at time.Time
	if e.VerifiedAt != nil {
		at = *e.VerifiedAt
	}
	if c.ReadAt != nil {
		at = latest(at, *c.ReadAt)
	}
	return at
}

// pacing says how often a device is looked at.
type pacing struct {
	kind        string
	claim       uuid.UUID
	from        time.Time // not before this
	seen        time.Time // the last look that the store knows of
	least, most time.Duration
	eager       bool // a step that nobody planned is a reason to look: a firewall may have fetched
}

// pace plans a look at a device when one is due. Looks that keep failing come less often, and are told of.
func (s *Response) pace(ctx context.Context, v view, connection uuid.UUID, p pacing, t *todo) {
	last := s.memory.lookedAt(v.r.ID, connection, p.seen)
	due := p.from
	switch {
	case last.failures > 0:
		due = latest(due, last.at.Add(lookAgain(last.failures, v.set.Reverify.Duration())))
	case !last.at.Before(p.from) && (last.fresh || !p.eager):
		due = last.at.Add(backoff(last.at.Sub(p.from), p.least, p.most))
	}
	s.unread(ctx, v, last)
	if v.now.Before(due) {
		t.WakeAt = earliest(t.WakeAt, due)
		return
	}
	s.look(v, connection, p.kind, p.claim, t)
}

// unread tells people of a device that could not be read several times in a row.
func (s *Response) unread(ctx context.Context, v view, last look) {
	if last.failures >= pageAfter {
		s.page(ctx, v.r, "unread", fmt.Sprintf("%s: a device cannot be read, so nobody knows whether it is in force", what(v.r)))
	}
}

// lookAgain is the wait after the n-th failed look in a row: a second, then twice as long each time.
func lookAgain(n int, most time.Duration) time.Duration {
	return min(time.Second<<min(n-1, 16), max(most, time.Second))
}

// look plans one look at a device.
func (s *Response) look(v view, connection uuid.UUID, kind string, claim uuid.UUID, t *todo) {
	t.Tasks = append(t.Tasks, s.task(v, kind, connection, threat.Claim{ID: claim}))
}

func (s *Response) task(v view, kind string, connection uuid.UUID, c threat.Claim) Task {
	return Task{Kind: kind, TenantID: v.r.TenantID, ResponseID: v.r.ID, ConnectionID: connection, ClaimID: c.ID,
		Generation: c.Generation, Timeout: callOf(v.set) + v.settle(connection) + taskMargin}
}

// standing reads again what is in force, and renews the device's own end where the hold goes on beyond it.
func (s *Response) standing(ctx context.Context, v view, h threat.Holder, t *todo) error {
	if verb.Once(v.r.Verb) { // what is done is done: the response's other devices are waited for
		return nil
	}
	var at time.Time
	if h.Effect.VerifiedAt != nil {
		at = *h.Effect.VerifiedAt
	}
	for _, c := range v.claims {
		if c.EffectID == h.EffectID && c.Generation == h.Effect.Generation {
			at = seen(threat.Effect{VerifiedAt: &at}, c)
		}
	}
	last := s.memory.lookedAt(v.r.ID, h.ConnectionID, at)
	due := last.at.Add(jittered(v.set.Reverify.Duration(), v.r.ID, h.ConnectionID, at))
	if last.failures > 0 {
		due = last.at.Add(lookAgain(last.failures, v.set.Reverify.Duration()))
		s.unread(ctx, v, last)
	}
	if v.now.Before(due) {
		t.WakeAt = earliest(t.WakeAt, due)
	} else {
		s.look(v, h.ConnectionID, TaskVerify, uuid.Nil, t)
	}
	return s.renew(ctx, v, h, t)
}

// jittered spreads a wait by up to a fifth either way. It is the same whenever it is asked for the same look.
func jittered(d time.Duration, response, connection uuid.UUID, last time.Time) time.Duration {
	id := threat.DerivedID("look", response.String(), connection.String(), last.UTC().Format(time.RFC3339Nano))
	n := int64(binary.BigEndian.Uint16(id[10:12])) - 1<<15 // -32768 to 32767
	return d + time.Duration(n*int64(d/5)/(1<<15))
}
