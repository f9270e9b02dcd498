package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// claimed is a claim with what it is about, read under the tenant's lock.
type claimed struct {
	claimRow
	e deviceEffect
	r threat.Response
	c threat.Case
}

// live reports whether the claim is about the effect as it stands: a later generation, or an effect that moved on, is not
// touched by an old claim's result.
func (k claimed) live() bool {
	if k.Generation != k.e.Generation {
		return false
	}
	switch k.Kind {
	case threat.ClaimAct:
		return in(k.e.State, threat.EffectClaimed, threat.EffectUnknown)
	case threat.ClaimRelease:
		return in(k.e.State, threat.EffectReleasing, threat.EffectUnknown)
	}
	return k.e.State == threat.EffectInForce
}

func (t *tx) claimed(ctx context.Context, id uuid.UUID) (k claimed, err error) {
	if k.claimRow, err = t.claimRow(ctx, id); err != nil {
		return k, err
	}
	if k.e, err = t.effectRow(ctx, k.EffectID); err != nil {
		return k, err
	}
	k.r, k.c, err = t.withCase(ctx, k.ResponseID)
	return k, err
}

// BeginSend takes the one sending that a claim allows: it is true exactly once, and then the request may go out, with a
// deadline of call from now. It is false when the claim was sent before, has a result, is not about the effect as it stands
// any more, or its lease does not outlast the call; and, for what is not a release, when the stop switch is on, the response is
// being released, or a fact moved since it was decided, which end the claim. The claim tells which: without a result and with
// Sends at 1 it may have happened, and the device is read; with Sends at 0 nothing went out, and LapseClaim ends it.
func (s *Store) BeginSend(ctx context.Context, claimID uuid.UUID, call time.Duration) (out threat.Claim, send bool,
	err error) {
	err = s.underLockOf(ctx, "claims", "claim", claimID, func(ctx context.Context, t *tx) error {
		send = false
		k, err := t.claimed(ctx, claimID)
		if err != nil {
			return err
		}
		out = k.Claim
		deadline := t.now.Add(call).Truncate(time.Microsecond)
		if k.Sends > 0 || k.ResultAt != nil || !k.live() || !k.LeaseUntil.After(deadline) {
			return nil
		}
		if k.Kind != threat.ClaimRelease {
			st, err := t.tenantState(ctx, k.TenantID)
			if err != nil {
				return err
			}
			if why := barred(st, k); why != "" {
				if err := t.lapse(ctx, k, why); err != nil {
					return err
				}
				c, err := t.claimRow(ctx, claimID)
				out = c.Claim
				return err
			}
		}
		k.Sends, k.SentAt, k.quietAt = 1, &t.now, &deadline
		if err := t.saveClaim(ctx, k.claimRow); err != nil {
			return err
		}
		out, send = k.Claim, true
		return nil
	})
	return out, send && err == nil, err
}

// barred gives what stands against sending what was claimed before, or "". It was claimed, but nothing has gone out.
func barred(st threat.TenantState, k claimed) string {
	switch {
	case st.Stopped:
		return "the stop switch was turned on before it was sent"
	case k.r.Ending != "" || k.r.EndedAt != nil:
		return "it was ended before it was sent"
	case k.Kind != threat.ClaimAct:
		return ""
	case decidable(k.r.State):
		return "it was to be decided anew before it was sent"
	}
	return staleFacts(k.r.Facts, st, k.c, k.r.Basis)
}

// FinishClaim records what came of a claim's request. The first result stays, and a repetition changes nothing. An unknown
// one is no result yet: the claim stays in flight until the device is read. A result about a generation that is gone is
// kept with its claim and changes no effect. Conflict for a success or an unknown outcome of what was never sent.
func (s *Store) FinishClaim(ctx context.Context, claimID uuid.UUID, res threat.ClaimResult) error {
	return s.underLockOf(ctx, "claims", "claim", claimID, func(ctx context.Context, t *tx) error {
		k, err := t.claimed(ctx, claimID)
		if err != nil || k.ResultAt != nil {
			return err
		}
		if res.Outcome == threat.OutcomeNone {
			return &threat.Fault{Kind: threat.Invalid, What: "a result names its outcome", Place: "/outcome"}
		}
		if k.Sends == 0 && in(res.Outcome, threat.OutcomeSuccess, threat.OutcomePartial, threat.OutcomeUnknown) {
			return threat.Faultf(threat.Conflict, "nothing was sent under this claim")
		}
		live := k.live()
		if in(res.Outcome, threat.OutcomeUnknown, threat.OutcomePartial) {
			return t.finishUnknown(ctx, k, live, res)
		}
		if err := t.endClaim(ctx, k.claimRow, res.Outcome, res.Detail); err != nil || !live {
			return err
		}
		switch k.Kind {
		case threat.ClaimAct:
			return t.finishAct(ctx, k, res)
		case threat.ClaimRelease:
			return t.finishRelease(ctx, k, res)
		}
		if res.Outcome == threat.OutcomeSuccess && !res.Adopted {
			k.e.DeviceEnds = res.DeviceEnds
			_, err = t.saveEffect(ctx, k.e)
		}
		return err
	})
}

// finishUnknown keeps that a request may have taken effect, wholly or in part: only the device can tell. The journal has it
// with the response; a claim has one result.
func (t *tx) finishUnknown(ctx context.Context, k claimed, live bool, res threat.ClaimResult) error {
	if k.Outcome == threat.OutcomeUnknown {
		return nil
	}
	k.Outcome, k.Error = threat.OutcomeUnknown, threat.Inert(res.Detail, maxWhy)
	if k.quietAt == nil || k.quietAt.After(t.now) {
		k.quietAt = &t.now
	}
	if err := t.saveClaim(ctx, k.claimRow); err != nil {
		return err
	}
	if !live || k.Kind == threat.ClaimRenew {
		return nil
	}
	k.e.State = threat.EffectUnknown
	if res.Handle != "" {
		k.e.Handle = res.Handle
	}
	e, err := t.saveEffect(ctx, k.e)
	if err != nil {
		return err
	}
	if k.Kind == threat.ClaimRelease && k.r.EndedAt == nil {
		_, err := t.become(ctx, k.c, k.r, k.r.State, "it is not known whether it was released: the device is read",
			threat.SystemActor)
		return err
	}
	return t.settleEffect(ctx, e)
}

// finishAct keeps what a device answered about bringing the effect about. A success is believed when a read shows it.
func (t *tx) finishAct(ctx context.Context, k claimed, res threat.ClaimResult) error {
	none := res.Outcome == threat.OutcomeDoesNotExist && verb.Once(k.e.Verb) // there was nothing to do it to: a read says so
	if res.Outcome == threat.OutcomeSuccess || none {
		k.e.State, k.e.Adopted, k.e.DeviceEnds = threat.EffectClaimed, res.Adopted || none, res.DeviceEnds
		if res.Handle != "" {
			k.e.Handle = res.Handle
		}
		e, err := t.saveEffect(ctx, k.e)
		if err != nil {
			return err
		}
		return t.settleEffect(ctx, e)
	}
	return t.failAct(ctx, k.e, loss{outcome: res.Outcome, why: res.Detail})
}

// failAct ends a generation that did not come about.
func (t *tx) failAct(ctx context.Context, e deviceEffect, l loss) error {
	if err := t.lose(ctx, e, l); err != nil {
		return err
	}
	e, err := t.gone(ctx, e)
	if err != nil {
		return err
	}
	return t.settleEffect(ctx, e)
}

// finishRelease keeps what a device answered about taking the effect away. That it is gone is believed when a read shows it.
func (t *tx) finishRelease(ctx context.Context, k claimed, res threat.ClaimResult) error {
	if in(res.Outcome, threat.OutcomeSuccess, threat.OutcomeDoesNotExist) {
		k.e.State = threat.EffectReleasing
		e, err := t.saveEffect(ctx, k.e)
		if err != nil {
			return err
		}
		return t.settleEffect(ctx, e)
	}
	return t.failRelease(ctx, k, res.Detail)
}

// failRelease puts an effect that could not be taken away back in force: it is, and the response says that it should not be.
// One that no read ever showed stays releasing.
func (t *tx) failRelease(ctx context.Context, k claimed, why string) error {
	k.e.State = threat.EffectInForce
	if k.e.VerifiedAt == nil {
		k.e.State = threat.EffectReleasing
	}
	if _, err := t.saveEffect(ctx, k.e); err != nil {
		return err
	}
	if k.r.EndedAt != nil {
		return nil
	}
	_, err := t.become(ctx, k.c, k.r, k.r.State, "the release failed and is tried again: "+why, threat.SystemActor)
	return err
}

// LapseClaim ends a claim that was never sent. One that has a result already is left as it is. Conflict when it was sent, so
// that the device must be read, or while somebody may still send it.
func (s *Store) LapseClaim(ctx context.Context, claimID uuid.UUID) error {
	return s.underLockOf(ctx, "claims", "claim", claimID, func(ctx context.Context, t *tx) error {
		k, err := t.claimed(ctx, claimID)
		if err != nil || k.ResultAt != nil {
			return err
		}
		if k.Sends > 0 {
			return &threat.Fault{Kind: threat.Conflict, What: "the claim was sent: it may have happened", Next: "read the device"}
		}
		sendable, err := t.sendable(ctx, k)
		if err != nil {
			return err
		}
		if sendable {
			return threat.Faultf(threat.Conflict, "the claim may still be sent until %s", k.LeaseUntil.Format(time.RFC3339))
		}
		return t.lapse(ctx, k, lapsed)
	})
}

// sendable reports whether a claim that was not sent may still be: its lease outlasts a call of the usual length, and neither
// a stop nor an end stands against it.
func (t *tx) sendable(ctx context.Context, k claimed) (bool, error) {
	set, err := t.effectiveSettings(ctx, k.TenantID)
	if err != nil {
		return false, err
	}
	if !k.live() || !k.LeaseUntil.After(t.now.Add(set.Call.Duration())) {
		return false, nil
	}
	if k.Kind == threat.ClaimRelease {
		return true, nil
	}
	st, err := t.tenantState(ctx, k.TenantID)
	return barred(st, k) == "", err
}

// lapse ends a claim under which nothing went out.
func (t *tx) lapse(ctx context.Context, k claimed, why string) error {
	live := k.live()
	if err := t.endClaim(ctx, k.claimRow, threat.OutcomeFailure, why); err != nil || !live {
		return err
	}
	switch k.Kind {
	case threat.ClaimAct:
		return t.failAct(ctx, k.e, loss{outcome: threat.OutcomeFailure, why: why, anew: true})
	case threat.ClaimRelease:
		return t.failRelease(ctx, k, why)
	}
	return nil
}
