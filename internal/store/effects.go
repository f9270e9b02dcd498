package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// deviceEffect is an effect with what its verb was given: an effect in force with other parameters is another one, though
// it has the same key.
type deviceEffect struct {
	threat.Effect
	params string
}

const effectColumns = `e.id, e.tenant_id, e.connection_id, e.verb, e.target_kind, e.target_value, e.asset_id, e.generation, e.state,
	e.adopted, e.handle, e.prior, e.params, e.published, e.verified_at, e.device_ends, e.version`

// effectScan gives where effectColumns go, and what to do afterwards.
func effectScan(e *deviceEffect) (dst []any, done func()) {
	var prior string
	var verified, ends sql.NullInt64
	return []any{&e.ID, &e.TenantID, &e.ConnectionID, &e.Verb, &e.Target.Kind, &e.Target.Value, &e.Target.AssetID,
			&e.Generation,
			&e.State, &e.Adopted, &e.Handle, &prior, &e.params, &e.Published, &verified, &ends, &e.Version}, func() {
			if prior != "" {
				e.Prior = json.RawMessage(prior)
			}
			e.VerifiedAt, e.DeviceEnds = fromNullMicros(verified), fromNullMicros(ends)
		}
}

func scanEffect(r *sql.Rows) (e deviceEffect, err error) {
	dst, done := effectScan(&e)
	err = r.Scan(dst...)
	done()
	return e, err
}

// effectRow reads one; NotFound when it is not there.
func (t *tx) effectRow(ctx context.Context, id uuid.UUID) (deviceEffect, error) {
	return one[deviceEffect](t.query(ctx, `SELECT `+effectColumns+` FROM effects e WHERE e.id = ?1`, id))(scanEffect, "effect")
}

// Effect gives one by its id. NotFound when nothing was ever claimed under it.
func (s *Store) Effect(ctx context.Context, id uuid.UUID) (out threat.Effect, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		e, err := t.effectRow(ctx, id)
		out = e.Effect
		return err
	})
	return out, err
}

// EffectsStanding gives a tenant's effects that are not absent, by id: what may be on its devices.
func (s *Store) EffectsStanding(ctx context.Context, tenant uuid.UUID) (out []threat.Effect, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		found, err := collect[deviceEffect](t.query(ctx, `SELECT `+effectColumns+` FROM effects e
			WHERE e.tenant_id = ?1 AND e.state <> 'absent' ORDER BY e.id`, tenant))(scanEffect)
		out = nil
		for _, e := range found {
			out = append(out, e.Effect)
		}
		return err
	})
	return out, err
}

// effectOf gives the effect of a key: as its row has it, or absent when nothing was claimed under it yet.
func (t *tx) effectOf(ctx context.Context, key threat.EffectKey) (deviceEffect, error) {
	e, err := t.effectRow(ctx, key.ID())
	if threat.Is(err, threat.NotFound) {
		return deviceEffect{Effect: threat.Effect{ID: key.ID(), EffectKey: key, State: threat.EffectAbsent}}, nil
	}
	return e, err
}

// makeEffect is effectOf, and makes the row.
func (t *tx) makeEffect(ctx context.Context, key threat.EffectKey) (e deviceEffect, err error) {
	id := key.ID()
	if _, err := t.exec(ctx,
		`INSERT INTO effects (id, tenant_id, connection_id, verb, target_kind, target_value, asset_id, generation,
		state, adopted, handle, prior, params, published, version)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 'absent', ?8, '', '', '', ?8, 1) ON CONFLICT DO NOTHING`, id, key.TenantID,
		key.ConnectionID, key.Verb, string(key.Target.Kind), key.Target.Value, key.Target.AssetID, false); err != nil {
		return e, err
	}
	return t.effectRow(ctx, id)
}

// saveEffect keeps an effect and raises its version.
func (t *tx) saveEffect(ctx context.Context, e deviceEffect) (deviceEffect, error) {
	e.Version++
	e.Handle = threat.Inert(e.Handle, maxWhy)
	return e, t.execOne(ctx, "effect", `UPDATE effects SET generation = ?2, state = ?3, adopted = ?4, handle = ?5, prior = ?6,
		params = ?7, published = ?8, verified_at = ?9, device_ends = ?10, version = ?11 WHERE id = ?1`, e.ID, e.Generation,
		string(e.State), e.Adopted, e.Handle, string(e.Prior), e.params, e.Published, nullMicros(e.VerifiedAt),
		nullMicros(e.DeviceEnds), e.Version)
}

// gone makes an effect absent. Its generation stays used, and what is still open under it ends: a late result of it changes
// nothing.
func (t *tx) gone(ctx context.Context, e deviceEffect) (deviceEffect, error) {
	open, err := collect[claimRow](t.query(ctx,
		claimSelect+`effect_id = ?1 AND generation = ?2 AND result_at IS NULL ORDER BY number`,
		e.ID, e.Generation))(scanClaim)
	if err != nil {
		return e, err
	}
	for _, c := range open {
		outcome := threat.OutcomeUnknown
		if c.Sends == 0 {
			outcome = threat.OutcomeFailure
		}
		if err := t.endClaim(ctx, c, outcome, "the effect is gone"); err != nil {
			return e, err
		}
	}
	e.State, e.Published, e.DeviceEnds = threat.EffectAbsent, false, nil
	if e, err = t.saveEffect(ctx, e); err != nil {
		return e, err
	}
	return e, t.nudgeWanting(ctx, e)
}

// nudgeWanting tells the responses that may wait for an effect that it moved.
func (t *tx) nudgeWanting(ctx context.Context, e deviceEffect) error {
	ids, err := collect[uuid.UUID](t.query(ctx,
		`SELECT id FROM responses WHERE tenant_id = ?1 AND ended_at IS NULL AND state = 'acting'
		AND verb = ?2 AND target_kind = ?3 AND target_value = ?4 ORDER BY id`, e.TenantID, e.Verb, string(e.Target.Kind),
		e.Target.Value))(func(r *sql.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.nudge(ctx, nudgeResponse, e.TenantID, id); err != nil {
			return err
		}
	}
	return nil
}

// effectKey names what an action brings about over one of its connections.
func effectKey(a threat.Action, connection uuid.UUID) threat.EffectKey {
	return threat.EffectKey{TenantID: a.TenantID, ConnectionID: connection, Verb: a.Verb, Target: a.Target}
}

// heldEffect is a holder as its row has it, with its effect.
type heldEffect struct {
	threat.Holder
	anew   bool
	effect deviceEffect
}

func scanHeld(r *sql.Rows) (h heldEffect, err error) {
	var until sql.NullInt64
	dst, done := effectScan(&h.effect)
	err = r.Scan(append([]any{&h.ResponseID, &h.EffectID, &h.ConnectionID, &h.Holder.Generation, &h.Holder.State, &until,
		&h.Outcome,
		&h.Error, &h.anew}, dst...)...)
	done()
	h.Until = fromNullMicros(until)
	return h, err
}

const heldSelect = `SELECT h.response_id, h.effect_id, h.connection_id, h.generation, h.state, h.until, h.outcome, h.error, h.anew, ` +
	effectColumns + ` FROM holders h JOIN effects e ON e.id = h.effect_id WHERE `

// fillHolders gives responses a holder for each connection: those that have a row, and wanted ones for the rest.
func (t *tx) fillHolders(ctx context.Context, rs []threat.Response) error {
	held := map[uuid.UUID][]heldEffect{}
	missing := map[uuid.UUID]*threat.Effect{}
	ids := make([]uuid.UUID, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
	}
	for chunk := range padded(anys(ids)) {
		found, err := collect[heldEffect](t.query(ctx, heldSelect+`h.response_id IN `+places(1,
			len(chunk))+` ORDER BY h.connection_id`,
			chunk...))(scanHeld)
		if err != nil {
			return err
		}
		for _, h := range found {
			held[h.ResponseID] = append(held[h.ResponseID], h)
		}
	}
	for i := range rs {
		r := &rs[i]
		r.Holders = make([]threat.Holder, 0, len(r.Connections))
		for _, h := range held[r.ID] {
			h.Effect = &h.effect.Effect
			r.Holders = append(r.Holders, h.Holder)
		}
		for _, id := range r.Connections {
			if _, ok := holderOf(*r, id); ok {
				continue
			}
			key := effectKey(r.Action, id)
			e := &threat.Effect{ID: key.ID(), EffectKey: key, State: threat.EffectAbsent}
			missing[e.ID] = e
			r.Holders = append(r.Holders, threat.Holder{ResponseID: r.ID, ConnectionID: id, EffectID: e.ID,
				State: threat.HolderWanted})
		}
		slices.SortFunc(r.Holders, func(a, b threat.Holder) int { return compareIDs(a.ConnectionID, b.ConnectionID) })
	}
	return t.fillWanted(ctx, rs, missing)
}

// fillWanted shows how the effects stand that responses want and do not hold: somebody else may.
func (t *tx) fillWanted(ctx context.Context, rs []threat.Response, missing map[uuid.UUID]*threat.Effect) error {
	if len(missing) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(missing))
	for id := range missing {
		ids = append(ids, id)
	}
	for chunk := range padded(anys(sortedIDs(ids))) {
		found, err := collect[deviceEffect](t.query(ctx, `SELECT `+effectColumns+` FROM effects e WHERE e.id IN `+
			places(1, len(chunk)), chunk...))(scanEffect)
		if err != nil {
			return err
		}
		for _, e := range found {
			missing[e.ID] = &e.Effect
		}
	}
	for i := range rs {
		for j := range rs[i].Holders {
			if h := &rs[i].Holders[j]; h.Effect == nil {
				e := *missing[h.EffectID]
				h.Effect = &e
			}
		}
	}
	return nil
}

// holdersOf reads who has a generation of an effect, in any state, by response.
func (t *tx) holdersOf(ctx context.Context, e deviceEffect) ([]heldEffect, error) {
	return collect[heldEffect](t.query(ctx, heldSelect+`h.effect_id = ?1 AND h.generation = ?2 ORDER BY h.response_id`, e.ID,
		e.Generation))(scanHeld)
}

// hold makes a response a holder of an effect's generation until a time.
func (t *tx) hold(ctx context.Context, r threat.Response, e deviceEffect, until time.Time) error {
	return t.putHolder(ctx, threat.Holder{ResponseID: r.ID, ConnectionID: e.ConnectionID, EffectID: e.ID,
		Generation: e.Generation,
		State:      threat.HolderHolding, Until: &until}, false)
}

// putHolder keeps a holder. anew marks one that failed and is claimed again.
func (t *tx) putHolder(ctx context.Context, h threat.Holder, anew bool) error {
	_, err := t.exec(ctx,
		`INSERT INTO holders (response_id, effect_id, connection_id, generation, state, until, outcome, error, anew)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (response_id, effect_id) DO UPDATE SET
		generation = excluded.generation, state = excluded.state, until = excluded.until, outcome = excluded.outcome,
		error = excluded.error, anew = excluded.anew`, h.ResponseID, h.EffectID, h.ConnectionID, h.Generation, string(h.State),
		nullMicros(h.Until), string(h.Outcome), threat.Inert(h.Error, maxWhy), anew)
	return err
}

// letGo ends one holder's hold.
func (t *tx) letGo(ctx context.Context, h threat.Holder) error {
	h.State = threat.HolderReleased
	return t.putHolder(ctx, h, false)
}

// loss is why holders lose an effect that is not there.
type loss struct {
	outcome threat.Outcome
	why     string
	anew    bool // the device did not refuse it: it stood before, or was never sent
}

// lose ends every hold on an effect's generation. Who was letting go has what they wanted; for the others it failed.
func (t *tx) lose(ctx context.Context, e deviceEffect, l loss) error {
	held, err := t.holdersOf(ctx, e)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Holder.State != threat.HolderHolding {
			continue
		}
		r, err := t.responseRow(ctx, h.ResponseID)
		if err != nil {
			return err
		}
		if r.Ending != "" {
			if err := t.letGo(ctx, h.Holder); err != nil {
				return err
			}
			continue
		}
		h.Holder.State, h.Outcome, h.Error = threat.HolderFailed, l.outcome, l.why
		if err := t.putHolder(ctx, h.Holder, l.anew); err != nil {
			return err
		}
	}
	return nil
}
