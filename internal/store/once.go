package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// settleOnce ends a response whose verb is done once: every device has said what became of it, and nothing is held. What
// was done on a part of its devices only is told so.
func (t *tx) settleOnce(ctx context.Context, c threat.Case, old, r threat.Response, s sum) (threat.Response, error) {
	r.Why, r.HoldUntil = verb.Done, nil
	if s.failed > 0 {
		r.Why = fmt.Sprintf("partial: done on %d of %d; %s", s.up, s.all, strings.Join(s.why, "; "))
	}
	if r.State != threat.ResponseVerified {
		r.State = threat.ResponseVerified
		saved, err := t.saveResponse(ctx, c, old, r, threat.SystemActor)
		if err != nil {
			return saved, err
		}
		old, r = saved, saved
	}
	for i, h := range r.Holders {
		if h.State != threat.HolderHolding {
			continue
		}
		if err := t.leave(ctx, h); err != nil {
			return r, err
		}
		r.Holders[i].State = threat.HolderReleased
	}
	r.State = threat.ResponseReleased
	return t.saveResponse(ctx, c, old, r, threat.SystemActor)
}

// leave lets go of what was done once. The generation is over when nobody else waits for it to be told.
func (t *tx) leave(ctx context.Context, h threat.Holder) error {
	if err := t.letGo(ctx, h); err != nil {
		return err
	}
	e, err := t.effectRow(ctx, h.EffectID)
	if err != nil || e.Generation != h.Generation {
		return err
	}
	held, err := t.holdersOf(ctx, e)
	if err != nil {
		return err
	}
	for _, other := range held {
		if other.Holder.State == threat.HolderHolding {
			return nil
		}
	}
	_, err = t.gone(ctx, e)
	return err
}

// ended is where a response that is being let go comes to. What is done once and was never seen to be done has failed,
// unless a person ended it.
func ended(r threat.Response) threat.ResponseState {
	if verb.Once(r.Verb) && r.HoldFrom == nil && r.EndingBy == threat.SystemActor && r.State.MayBecome(threat.ResponseFailed) {
		return threat.ResponseFailed
	}
	return threat.ResponseReleased
}
