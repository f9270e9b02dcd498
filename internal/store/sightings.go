package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// sightRecord is what the journal keeps of a read that changed something.
type sightRecord struct {
	Effect     uuid.UUID     `json:"effect_id"`
	Generation int64         `json:"generation"`
	Connection uuid.UUID     `json:"connection_id"`
	Verb       string        `json:"verb"`
	Target     threat.Target `json:"target"`
	Response   uuid.UUID     `json:"response_id"`
	Adopted    bool          `json:"adopted,omitempty"`
	Left       bool          `json:"left,omitempty"` // what stood there before us was left standing
	Detail     string        `json:"detail,omitempty"`
	At         time.Time     `json:"read_at"`
}

func effectSubject(id uuid.UUID) string { return "effect:" + id.String() }

// sightEntry journals what became of a generation of an effect, once for each kind, with the case of the response that it
// was read for or claimed by.
func (t *tx) sightEntry(ctx context.Context, c threat.Case, kind threat.EntryKind, key string, e deviceEffect,
	s threat.Sighting, left bool) error {
	return t.caseEntry(ctx, c, kind, fmt.Sprintf("%s:%s:%d", key, e.ID, e.Generation), threat.SystemActor, effectSubject(e.ID),
		sightRecord{e.ID, e.Generation, e.ConnectionID, e.Verb, e.Target, s.ResponseID, e.Adopted, left, threat.Inert(s.Detail,
			maxWhy), s.At})
}

// RecordSighting takes in what an independent read of a device showed of an effect, and brings the effect and the responses
// that hold it to where the device stands. A read of another generation, or one that is older than what is known, changes
// nothing. That nothing is there is believed only when the request's answer, or its deadline, lies the product's settle time
// back; see SettleUntil. NotFound for an effect that nothing was claimed under.
func (s *Store) RecordSighting(ctx context.Context, sight threat.Sighting) (out threat.Effect, err error) {
	err = s.underLockOf(ctx, "effects", "effect", sight.EffectID, func(ctx context.Context, t *tx) error {
		e, err := t.effectRow(ctx, sight.EffectID)
		if err != nil {
			return err
		}
		out = e.Effect
		if e.Generation != sight.Generation || e.State == threat.EffectAbsent {
			return nil
		}
		g := sight
		if g.At = g.At.UTC().Truncate(time.Microsecond); g.At.IsZero() || g.At.After(t.now) {
			g.At = t.now
		}
		if err := t.sighted(ctx, e, g); err != nil {
			return err
		}
		e, err = t.effectRow(ctx, sight.EffectID)
		out = e.Effect
		return err
	})
	return out, err
}

// sighted takes in a read of the generation that stands.
func (t *tx) sighted(ctx context.Context, e deviceEffect, s threat.Sighting) error {
	c, ok, err := t.newestClaim(ctx, e, threat.ClaimAct, threat.ClaimRelease)
	if err != nil {
		return err
	}
	if !ok {
		return threat.Faultf(threat.Internal, "an effect stands without a claim")
	}
	if err := t.readUnder(ctx, e, c.ID, s); err != nil {
		return err
	}
	if c, err = t.claimRow(ctx, c.ID); err != nil {
		return err
	}
	if s.Pending {
		return nil
	}
	k := claimed{claimRow: c, e: e}
	if k.r, k.c, err = t.sightedFor(ctx, e, s, c); err != nil {
		return err
	}
	switch {
	case e.State == threat.EffectInForce:
		return t.sightedInForce(ctx, k, s)
	case c.Kind == threat.ClaimRelease:
		return t.sightedReleasing(ctx, k, s)
	}
	return t.sightedClaimed(ctx, k, s)
}

// readUnder notes a read with the claim that the effect stands under, and with the one that it was made for.
func (t *tx) readUnder(ctx context.Context, e deviceEffect, newest uuid.UUID, s threat.Sighting) error {
	_, err := t.exec(ctx, `UPDATE claims SET read_at = ?3 WHERE effect_id = ?1 AND generation = ?2 AND (id = ?4 OR id = ?5)
		AND (read_at IS NULL OR read_at < ?3)`, e.ID, e.Generation, micros(s.At), newest, s.ClaimID)
	return err
}

// sightedFor gives the response and case with which a read is journalled: the one it was read for when it holds the effect,
// else the one that claimed it.
func (t *tx) sightedFor(ctx context.Context, e deviceEffect, s threat.Sighting, c claimRow) (threat.Response, threat.Case,
	error) {
	if s.ResponseID != uuid.Nil {
		r, cs, err := t.withCase(ctx, s.ResponseID)
		if err == nil {
			if h, ok := holderOf(r, e.ConnectionID); ok && h.EffectID == e.ID && h.State == threat.HolderHolding {
				return r, cs, nil
			}
		} else if !threat.Is(err, threat.NotFound) {
			return r, cs, err
		}
	}
	return t.withCase(ctx, c.ResponseID)
}

// sightedClaimed settles an intent to bring an effect about.
func (t *tx) sightedClaimed(ctx context.Context, k claimed, s threat.Sighting) error {
	e := k.e
	if !s.Present() {
		if k.Sends == 0 || !k.settled(s.At) {
			return nil
		}
		if err := t.unshown(ctx, k.claimRow); err != nil {
			return err
		}
		return t.failAct(ctx, e, loss{outcome: threat.OutcomeFailure, why: notShown})
	}
	e = noted(e, s)
	e.Adopted = e.Adopted || !s.Ours
	e.Published = !s.InForce
	if !s.InForce {
		e, err := t.saveEffect(ctx, e)
		if err != nil {
			return err
		}
		return t.settleEffect(ctx, e)
	}
	if err := t.endClaim(ctx, k.claimRow, threat.OutcomeSuccess, "the device shows it"); err != nil {
		return err
	}
	e.State, e.VerifiedAt = threat.EffectInForce, &s.At
	e, err := t.saveEffect(ctx, e)
	if err != nil {
		return err
	}
	if err := t.sightEntry(ctx, k.c, threat.EntryEffectVerified, "verified", e, s, false); err != nil {
		return err
	}
	if err := t.settleEffect(ctx, e); err != nil {
		return err
	}
	return t.nudgeWanting(ctx, e)
}

const notShown = "the device does not show it"

// unshown ends a claim whose effect a read does not show. A device that answered with a success before was wrong: its answer
// stays in the journal, and the response's next step tells the rest.
func (t *tx) unshown(ctx context.Context, c claimRow) error {
	if c.ResultAt == nil {
		return t.endClaim(ctx, c, threat.OutcomeFailure, notShown)
	}
	c.Outcome, c.Error, c.ResultAt = threat.OutcomeFailure, notShown, &t.now
	return t.saveClaim(ctx, c)
}

// noted takes over what a read tells about an effect that is there.
func noted(e deviceEffect, s threat.Sighting) deviceEffect {
	if s.Handle != "" {
		e.Handle = s.Handle
	}
	if s.DeviceEnds != nil {
		e.DeviceEnds = s.DeviceEnds
	}
	if len(s.Prior) > 0 {
		e.Prior = s.Prior
	}
	return e
}

// sightedInForce checks again what was in force.
func (t *tx) sightedInForce(ctx context.Context, k claimed, s threat.Sighting) error {
	e := k.e
	if older(e, s) || verb.Once(e.Verb) { // what is done is done, whatever is started anew
		return nil
	}
	if s.Present() {
		e = noted(e, s)
		e.Published = !s.InForce // some device does not enforce it now; it stays ours to take away
		if s.InForce {
			e.VerifiedAt = &s.At
		}
		if _, err := t.saveEffect(ctx, e); err != nil {
			return err
		}
		return t.sightedRenewal(ctx, e, s)
	}
	return t.drift(ctx, k, s)
}

// sightedRenewal settles a renewal without a result: the device's own end tells.
func (t *tx) sightedRenewal(ctx context.Context, e deviceEffect, s threat.Sighting) error {
	c, ok, err := t.newestClaim(ctx, e, threat.ClaimRenew)
	if err != nil || !ok || c.ResultAt != nil || c.Sends == 0 {
		return err
	}
	switch {
	case s.DeviceEnds != nil && s.DeviceEnds.After(c.Until):
		return t.endClaim(ctx, c, threat.OutcomeSuccess, "the device shows the later end")
	case c.settled(s.At):
		return t.endClaim(ctx, c, threat.OutcomeFailure, "the device does not show the later end")
	}
	return nil
}

// older reports whether a read tells less than what is known: the device showed the effect after it, or, where the read shows
// nothing, in the same instant.
func older(e deviceEffect, s threat.Sighting) bool {
	if e.VerifiedAt == nil {
		return false
	}
	return s.At.Before(*e.VerifiedAt) || !s.Present() && s.At.Equal(*e.VerifiedAt)
}

// drift takes in that a device lost what it had. Who still wants it claims it anew; a case that was contained by it is active.
func (t *tx) drift(ctx context.Context, k claimed, s threat.Sighting) error {
	held, err := t.holdersOf(ctx, k.e)
	if err != nil {
		return err
	}
	why := "drift: the device does not show it any more"
	if err := t.lose(ctx, k.e, loss{outcome: threat.OutcomeDoesNotExist, why: why, anew: true}); err != nil {
		return err
	}
	e, err := t.gone(ctx, k.e)
	if err != nil {
		return err
	}
	wanted := false
	for _, h := range held {
		if h.Holder.State != threat.HolderHolding {
			continue
		}
		r, c, err := t.withCase(ctx, h.ResponseID)
		if err != nil {
			return err
		}
		if r.Ending == "" {
			wanted = true
			if r.Required && c.Threat == threat.ThreatContained {
				if _, err := t.setThreat(ctx, c, threat.ThreatActive, why, threat.SystemActor); err != nil {
					return err
				}
			}
		}
	}
	kind, key := threat.EntryEffectReleased, "released" // everybody was letting go of it
	if wanted {
		kind, key = threat.EntryEffectDrift, "drift"
	}
	if err := t.sightEntry(ctx, k.c, kind, key, e, s, false); err != nil {
		return err
	}
	return t.settleEffect(ctx, e)
}

// sightedReleasing settles an intent to take an effect away. What somebody else put there does not count: ours is gone.
func (t *tx) sightedReleasing(ctx context.Context, k claimed, s threat.Sighting) error {
	if older(k.e, s) || s.At.Before(k.At) {
		return nil
	}
	if !s.Ours {
		if early, err := t.tooEarly(ctx, k.e, s); err != nil || early {
			return err
		}
		if err := t.endClaim(ctx, k.claimRow, threat.OutcomeSuccess, "the device does not show it any more"); err != nil {
			return err
		}
		return t.released(ctx, k, s, s.Foreign)
	}
	if k.ResultAt == nil && k.Sends > 0 && k.settled(s.At) {
		if err := t.endClaim(ctx, k.claimRow, threat.OutcomeFailure, "the device still shows it"); err != nil {
			return err
		}
	}
	if k.e.State == threat.EffectUnknown && k.settled(s.At) {
		k.e.State = threat.EffectReleasing
		_, err := t.saveEffect(ctx, k.e)
		return err
	}
	return nil
}

// tooEarly reports whether a read that shows nothing may have come before what was sent to bring the effect about took hold:
// nothing was ever seen, and the product has not had its time.
func (t *tx) tooEarly(ctx context.Context, e deviceEffect, s threat.Sighting) (bool, error) {
	act, ok, err := t.newestClaim(ctx, e, threat.ClaimAct)
	return ok && e.VerifiedAt == nil && act.Sends > 0 && !act.settled(s.At), err
}

// released ends a generation that was taken away, or whose last holder let go of what was never ours to undo.
func (t *tx) released(ctx context.Context, k claimed, s threat.Sighting, left bool) error {
	held, err := t.holdersOf(ctx, k.e)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Holder.State != threat.HolderHolding {
			continue
		}
		if err := t.letGo(ctx, h.Holder); err != nil {
			return err
		}
	}
	e, err := t.gone(ctx, k.e)
	if err != nil {
		return err
	}
	if err := t.sightEntry(ctx, k.c, threat.EntryEffectReleased, "released", e, s, left); err != nil {
		return err
	}
	return t.settleEffect(ctx, e)
}
