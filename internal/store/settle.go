package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// sum is how a response's holders stand.
type sum struct {
	all     int
	pending int // wanted, claimed, or to be claimed anew
	unknown int // may be there
	up      int // read back from the device
	failed  int
	why     []string  // of what failed
	until   time.Time // of the holds, the latest
}

func (t *tx) sumUp(ctx context.Context, r threat.Response) (sum, error) {
	anew, err := t.anew(ctx, r.ID)
	if err != nil {
		return sum{}, err
	}
	var s sum
	for _, h := range r.Holders {
		if h.State != threat.HolderHolding && !hasConnection(r, h.ConnectionID) {
			continue // narrowed away
		}
		s.all++
		switch {
		case h.State == threat.HolderFailed && anew[h.EffectID]:
			s.pending++
			s.why = append(s.why, h.Error)
		case h.State == threat.HolderFailed:
			s.failed++
			s.why = append(s.why, h.Error)
		case h.State != threat.HolderHolding:
			s.pending++
		case h.Effect.State == threat.EffectInForce, h.Effect.State == threat.EffectReleasing:
			s.up++
		case h.Effect.State == threat.EffectUnknown:
			s.unknown++
		default:
			s.pending++
		}
		if h.State == threat.HolderHolding && h.Until != nil && h.Until.After(s.until) {
			s.until = *h.Until
		}
	}
	return s, nil
}

// anew gives the effects that a response lost, or never sent for, and has not claimed again.
func (t *tx) anew(ctx context.Context, response uuid.UUID) (map[uuid.UUID]bool, error) {
	out := map[uuid.UUID]bool{}
	_, err := collect[struct{}](t.query(ctx, `SELECT effect_id FROM holders WHERE response_id = ?1 AND anew`, response))(
		func(r *sql.Rows) (struct{}, error) {
			var id uuid.UUID
			err := r.Scan(&id)
			out[id] = true
			return struct{}{}, err
		})
	return out, err
}

// settleEffect settles every response that has a generation of an effect.
func (t *tx) settleEffect(ctx context.Context, e deviceEffect) error {
	held, err := t.holdersOf(ctx, e)
	if err != nil {
		return err
	}
	for _, h := range held {
		if _, err := t.settle(ctx, h.ResponseID); err != nil {
			return err
		}
	}
	return nil
}

// settle brings a response to where its holders stand. One that is being decided stays where it is; a hold's clock runs from
// the first device that said so.
func (t *tx) settle(ctx context.Context, id uuid.UUID) (threat.Response, error) {
	r, c, err := t.withCase(ctx, id)
	if err != nil || r.EndedAt != nil {
		return r, err
	}
	if r.Ending != "" {
		if holding(r) {
			return r, nil
		}
		return t.become(ctx, c, r, ended(r), r.Ending, r.EndingBy)
	}
	s, err := t.sumUp(ctx, r)
	if err != nil {
		return r, err
	}
	old := r
	if s.up > 0 && r.HoldFrom == nil {
		r.HoldFrom, r.HoldUntil = &t.now, &s.until
		if verb.Once(r.Verb) {
			r.HoldUntil = nil
		}
	}
	switch r.State {
	case threat.ResponseActing, threat.ResponseUnknown, threat.ResponseVerified, threat.ResponseHeld:
		return t.settleActing(ctx, c, old, r, s)
	}
	if old.HoldFrom == nil && r.HoldFrom != nil {
		return t.saveResponse(ctx, c, old, r, threat.SystemActor)
	}
	return r, nil
}

func (t *tx) settleActing(ctx context.Context, c threat.Case, old, r threat.Response, s sum) (threat.Response, error) {
	switch {
	case s.all > 0 && s.pending+s.unknown == 0 && s.up > 0 && verb.Once(r.Verb):
		return t.settleOnce(ctx, c, old, r, s)
	case s.all > 0 && s.pending+s.unknown == 0 && s.up > 0:
		r.Why = ""
		if s.failed > 0 {
			r.Why = fmt.Sprintf("partial: %d of %d in force; %s", s.up, s.all, strings.Join(s.why, "; "))
		}
		if r.State == threat.ResponseActing || r.State == threat.ResponseUnknown {
			r.State = threat.ResponseVerified
			saved, err := t.saveResponse(ctx, c, old, r, threat.SystemActor)
			if err != nil {
				return saved, err
			}
			old, r = saved, saved
		}
		r.State = threat.ResponseHeld
	case s.all > 0 && s.failed == s.all:
		r.State, r.Why = threat.ResponseActing, fmt.Sprintf("failed on every device: %s", strings.Join(s.why, "; "))
	case r.State == threat.ResponseHeld && s.pending == 0:
		r.Why = "it may not be in force any more: the device is read"
	case s.unknown > 0:
		r.Why = fmt.Sprintf("it may have happened on %d of %d devices: they are read", s.unknown, s.all)
	case len(s.why) > 0:
		r.Why = strings.Join(s.why, "; ")
	}
	if r.State == threat.ResponseHeld && s.pending > 0 {
		r.State = threat.ResponseActing
	}
	if old.State == r.State && old.Why == r.Why && (old.HoldFrom == nil) == (r.HoldFrom == nil) {
		return r, nil
	}
	return t.saveResponse(ctx, c, old, r, threat.SystemActor)
}
