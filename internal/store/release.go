package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// FailResponse ends a response that could not be brought about. One that failed already is left as it is. Conflict when it
// has ended otherwise, or still holds an effect on some device: that is ended by EndHold first.
func (s *Store) FailResponse(ctx context.Context, id uuid.UUID, why string) (out threat.Response, err error) {
	err = s.underLockOf(ctx, "responses", "response", id, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, id)
		switch {
		case err != nil:
			return err
		case r.State == threat.ResponseFailed:
			out = r
			return nil
		case r.EndedAt != nil || !r.State.MayBecome(threat.ResponseFailed):
			return threat.Faultf(threat.Conflict, "the response is %s", r.State)
		case holding(r):
			return &threat.Fault{Kind: threat.Conflict, What: "the response holds an effect, or may", Next: "end its hold"}
		}
		if err := t.closeRequests(ctx, c, r.ID, threat.RequestSuperseded, "the response failed", threat.SystemActor); err != nil {
			return err
		}
		out, err = t.become(ctx, c, r, threat.ResponseFailed, why, threat.SystemActor)
		return err
	})
	return out, err
}

// EndHold has a response let go of everything that it holds, for a reason and by an actor that are set once: ending it again
// changes nothing. One that does not act yet is superseded, and one that holds nothing any more is released at once.
// Conflict when it has ended.
func (s *Store) EndHold(ctx context.Context, id uuid.UUID, why, by string) (out threat.Response, err error) {
	if why == "" {
		return out, &threat.Fault{Kind: threat.Invalid, What: "a reason is missing", Place: "/why"}
	}
	err = s.underLockOf(ctx, "responses", "response", id, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, id)
		if err != nil {
			return err
		}
		if r.EndedAt != nil {
			return threat.Faultf(threat.Conflict, "the response has ended: it is %s", r.State)
		}
		out, err = t.endHold(ctx, c, r, why, by)
		return err
	})
	return out, err
}

func (t *tx) endHold(ctx context.Context, c threat.Case, r threat.Response, why, by string) (threat.Response, error) {
	if r.Ending != "" {
		return r, nil
	}
	if err := t.closeRequests(ctx, c, r.ID, threat.RequestSuperseded, "it is ended: "+why, by); err != nil {
		return r, err
	}
	old := r
	if decidable(r.State) && !holding(r) {
		return t.become(ctx, c, r, threat.ResponseSuperseded, why, by)
	}
	r.Ending, r.EndingBy = threat.Inert(why, maxWhy), by
	if decidable(r.State) {
		r.State = threat.ResponseActing
	}
	r, err := t.saveResponse(ctx, c, old, r, by)
	if err != nil {
		return r, err
	}
	return t.settle(ctx, r.ID)
}

// ExtendHold holds on until a later time. An open question about its end stays open. Conflict when nothing is held or it is
// being released, Invalid for a time that is not later.
func (s *Store) ExtendHold(ctx context.Context, id uuid.UUID, until time.Time, why, by string) (out threat.Response,
	err error) {
	until = until.UTC().Truncate(time.Microsecond)
	err = s.underLockOf(ctx, "responses", "response", id, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, id)
		switch {
		case err != nil:
			return err
		case r.EndedAt != nil || r.Ending != "" || decidable(r.State) || endOf(r).IsZero():
			return threat.Faultf(threat.Conflict, "the response is %s: there is no hold to lengthen", r.State)
		case !until.After(endOf(r)):
			return &threat.Fault{Kind: threat.Invalid, What: "a hold is lengthened to a later time", Place: "/until"}
		}
		out, err = t.extend(ctx, c, r, until, why, by)
		return err
	})
	return out, err
}

// endOf is when a response's hold ends: as its devices have it while none of them was read yet, and zero when there is none.
func endOf(r threat.Response) (at time.Time) {
	if r.HoldUntil != nil {
		return *r.HoldUntil
	}
	for _, h := range r.Holders {
		if h.State == threat.HolderHolding && h.Until != nil && h.Until.After(at) {
			at = *h.Until
		}
	}
	return at
}

// extend sets the end of a hold and of what it holds.
func (t *tx) extend(ctx context.Context, c threat.Case, r threat.Response, until time.Time, why,
	by string) (threat.Response, error) {
	until = until.Truncate(time.Microsecond)
	if _, err := t.exec(ctx, `UPDATE holders SET until = ?2 WHERE response_id = ?1 AND state = 'holding'`, r.ID,
		micros(until)); err != nil {
		return r, err
	}
	old := r
	r.Extended, r.Why = r.Extended+1, why
	if r.HoldUntil != nil {
		r.HoldUntil = &until
	}
	if _, err := t.saveResponse(ctx, c, old, r, by); err != nil {
		return r, err
	}
	return t.responseRow(ctx, r.ID)
}

// ClaimRelease asks for the right to take one effect of a response away, or lets go of it where nothing is to be sent:
// somebody else holds it too, it stood there before us, or it never came about. No guard, stop, mode or budget stands
// against a release. The verdicts:
//
//   - granted: send, under BeginSend. Asking again before it was sent gives the same claim.
//   - joined: nothing is to be sent; this response has let go.
//   - wait: a request is under way on it; its claim is given, so that the device can be read under it.
//
// Conflict when the response is not being ended, NotFound for no response.
func (s *Store) ClaimRelease(ctx context.Context, responseID, connectionID uuid.UUID) (out threat.ClaimAnswer, err error) {
	err = s.underLockOf(ctx, "responses", "response", responseID, func(ctx context.Context, t *tx) (err error) {
		k := claiming{ClaimRequest: threat.ClaimRequest{ResponseID: responseID, ConnectionID: connectionID,
			Kind: threat.ClaimRelease}}
		if k.r, k.c, err = t.withCase(ctx, responseID); err != nil {
			return err
		}
		if k.r.Ending == "" && k.r.EndedAt == nil {
			return &threat.Fault{Kind: threat.Conflict, What: "the response is not being ended", Next: "end its hold first"}
		}
		var known bool
		if k.h, known = holderOf(k.r, connectionID); !known {
			return &threat.Fault{Kind: threat.Invalid, What: "the response does not act over this connection",
				Place: "/connection_id"}
		}
		if k.h.State != threat.HolderHolding {
			k.e.Effect = *k.h.Effect
			out = k.answer(threat.ClaimJoined, "it holds nothing there")
			return nil
		}
		if k.e, err = t.effectRow(ctx, k.h.EffectID); err != nil {
			return err
		}
		if k.set, err = t.effectiveSettings(ctx, k.r.TenantID); err != nil {
			return err
		}
		k.verb, _ = verb.Find(k.r.Verb)
		out, err = t.claimRelease(ctx, k)
		return err
	})
	return out, err
}

func (t *tx) claimRelease(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	if !k.ours() {
		return t.letGoOf(ctx, k, "it is not there any more")
	}
	held, err := t.holdersOf(ctx, k.e)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	for _, h := range held {
		if h.Holder.State == threat.HolderHolding && h.ResponseID != k.r.ID {
			return t.letGoOf(ctx, k, "another case holds it too")
		}
	}
	act, ok, err := t.newestClaim(ctx, k.e, threat.ClaimAct)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	if !ok {
		return threat.ClaimAnswer{}, threat.Faultf(threat.Internal, "an effect stands without a claim")
	}
	k.Settle = act.settle
	last, _, err := t.newestClaim(ctx, k.e, threat.ClaimAct, threat.ClaimRelease)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	switch {
	case last.Kind == threat.ClaimRelease && k.e.State != threat.EffectInForce:
		return t.releaseAgain(ctx, k, last)
	case k.e.State == threat.EffectInForce || act.ResultAt != nil:
		return t.releaseNow(ctx, k, act)
	case act.Sends == 0: // nothing went out, and under this lock nothing will
		if err := t.endClaim(ctx, act, threat.OutcomeFailure, "it was ended before it was sent"); err != nil {
			return threat.ClaimAnswer{}, err
		}
		err := t.failAct(ctx, k.e, loss{outcome: threat.OutcomeFailure, why: "it was ended before it was sent"})
		return k.answer(threat.ClaimJoined, "nothing was sent"), err
	case t.now.Before(act.LeaseUntil):
		a := k.answer(threat.ClaimWait, "the request to bring it about is under way")
		a.Claim = act.Claim
		return a, nil
	}
	if err := t.endClaim(ctx, act, threat.OutcomeUnknown, "it is released before a read settled it"); err != nil {
		return threat.ClaimAnswer{}, err
	}
	return t.releaseNow(ctx, k, act)
}

// letGoOf has a response let go of what is not taken away.
func (t *tx) letGoOf(ctx context.Context, k claiming, why string) (threat.ClaimAnswer, error) {
	if err := t.letGo(ctx, k.h); err != nil {
		return threat.ClaimAnswer{}, err
	}
	_, err := t.settle(ctx, k.r.ID)
	return k.answer(threat.ClaimJoined, why), err
}

// releaseNow claims the release of what stands, or may.
func (t *tx) releaseNow(ctx context.Context, k claiming, act claimRow) (threat.ClaimAnswer, error) {
	if k.e.Adopted || k.verb.Once {
		s := threat.Sighting{EffectID: k.e.ID, Generation: k.e.Generation, ResponseID: k.r.ID, At: t.now,
			Detail: "it stood there before us, and is left standing"}
		if k.verb.Once {
			s.Detail = "it is done once, and there is nothing to take back"
		}
		err := t.released(ctx, claimed{claimRow: act, e: k.e, r: k.r, c: k.c}, s, true)
		return k.answer(threat.ClaimJoined, s.Detail), err
	}
	var err error
	k.e.State = threat.EffectReleasing
	if k.e, err = t.saveEffect(ctx, k.e); err != nil {
		return threat.ClaimAnswer{}, err
	}
	return t.claimNext(ctx, k, t.now)
}

// releaseAgain goes on with a release that was claimed before.
func (t *tx) releaseAgain(ctx context.Context, k claiming, last claimRow) (threat.ClaimAnswer, error) {
	gone := in(last.Outcome, threat.OutcomeSuccess, threat.OutcomeDoesNotExist)
	if last.ResultAt != nil && gone && (last.ReadAt == nil || !last.settled(*last.ReadAt)) {
		a := k.answer(threat.ClaimWait, "the device says that it is gone: it is read")
		a.Claim = last.Claim
		return a, nil
	}
	var err error
	if last.ResultAt != nil || !t.now.Before(last.LeaseUntil) {
		k.e.State = threat.EffectReleasing
		if k.e, err = t.saveEffect(ctx, k.e); err != nil {
			return threat.ClaimAnswer{}, err
		}
	}
	return t.claimNext(ctx, k, t.now)
}
