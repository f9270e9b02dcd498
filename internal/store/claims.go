package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// claiming is what one call of Claim looks at, read under the tenant's lock.
type claiming struct {
	threat.ClaimRequest
	r    threat.Response
	c    threat.Case
	st   threat.TenantState
	set  tenant.Settings
	verb verb.Verb
	e    deviceEffect
	h    threat.Holder // ours on the effect; its State is wanted when there is none
	asks uuid.NullUUID // the approved request that an approval rests on
}

// Claim asks for the right to send one request to one device, which is the only way to act. Everything that decides is read
// under the tenant's lock, so that a mode, a stop or a protection binds from its commit on. The verdicts:
//
//   - granted: send, under BeginSend. Asking again while the claim has no result gives the same claim.
//   - joined: the effect stands already, and the response holds it.
//   - wait: another claim is under way on the effect; it is given, so that the device can be read under it.
//   - stale: a fact differs from what the decision rested on, or the consent is missing; the response is decided anew.
//     Nothing is changed when it is not acting or its time is over.
//   - refused: a guard stands against it; the response is left as it is.
//
// Invalid for a release, or a connection that is not the response's; NotFound for no response.
func (s *Store) Claim(ctx context.Context, q threat.ClaimRequest) (out threat.ClaimAnswer, err error) {
	if q.Kind == "" {
		q.Kind = threat.ClaimAct
	}
	if q.Kind != threat.ClaimAct && q.Kind != threat.ClaimRenew {
		return out, &threat.Fault{Kind: threat.Invalid, What: "a release is claimed by ClaimRelease", Place: "/kind"}
	}
	err = s.underLockOf(ctx, "responses", "response", q.ResponseID, func(ctx context.Context, t *tx) (err error) {
		k := claiming{ClaimRequest: q}
		if k.r, k.c, err = t.withCase(ctx, q.ResponseID); err != nil {
			return err
		}
		if !hasConnection(k.r, q.ConnectionID) {
			return &threat.Fault{Kind: threat.Invalid, What: "the response does not act over this connection",
				Place: "/connection_id"}
		}
		var known bool
		if k.verb, known = verb.Find(k.r.Verb); !known {
			return threat.Faultf(threat.Unsupported, "unknown verb %q", threat.Inert(k.r.Verb, 64))
		}
		if k.st, err = t.tenantState(ctx, k.r.TenantID); err != nil {
			return err
		}
		if k.set, err = t.effectiveSettings(ctx, k.r.TenantID); err != nil {
			return err
		}
		if k.e, err = t.effectOf(ctx, effectKey(k.r.Action, q.ConnectionID)); err != nil {
			return err
		}
		k.h, _ = holderOf(k.r, q.ConnectionID)
		if q.Kind == threat.ClaimRenew {
			out, err = t.claimRenew(ctx, k)
		} else {
			out, err = t.claimAct(ctx, k)
		}
		return err
	})
	return out, err
}

// answer is a verdict about the effect as it stands.
func (k claiming) answer(v threat.ClaimVerdict, why string) threat.ClaimAnswer {
	return threat.ClaimAnswer{Verdict: v, Effect: k.e.Effect, Why: why}
}

// ours reports whether the response holds the effect's generation of now.
func (k claiming) ours() bool {
	return k.h.State == threat.HolderHolding && k.h.Generation == k.e.Generation && k.e.State != threat.EffectAbsent
}

func (t *tx) claimAct(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	switch {
	case k.r.Ending != "":
		return k.answer(threat.ClaimStale, "it is being released: "+k.r.Ending), nil
	case k.r.State != threat.ResponseActing:
		return k.answer(threat.ClaimStale, "the response is "+string(k.r.State)), nil
	case k.ours():
		return t.claimAgain(ctx, k)
	case k.r.HoldUntil != nil && !k.r.HoldUntil.After(t.now):
		return k.answer(threat.ClaimStale, "its time is over"), nil
	}
	why := staleFacts(k.r.Facts, k.st, k.c, k.r.Basis)
	if why == "" && k.r.Basis == threat.BasisApproval {
		var err error
		if k.asks, why, err = t.approvedBy(ctx, k.r); err != nil {
			return threat.ClaimAnswer{}, err
		}
	}
	if why != "" {
		_, err := t.staleResponse(ctx, k.c, k.r, why)
		return k.answer(threat.ClaimStale, why), err
	}
	v, err := t.guarded(ctx, k)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	if v.OK() && k.e.State == threat.EffectInForce {
		v = k.joinable()
	}
	if !v.OK() {
		return t.claimRefused(ctx, k, v)
	}
	switch k.e.State {
	case threat.EffectAbsent:
		return t.claimNew(ctx, k)
	case threat.EffectInForce:
		return t.join(ctx, k)
	}
	return t.claimWait(ctx, k)
}

// claimAgain answers who has the effect already.
func (t *tx) claimAgain(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	if k.e.State == threat.EffectReleasing {
		return t.claimWait(ctx, k)
	}
	c, ok, err := t.newestClaim(ctx, k.e, threat.ClaimAct)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	a := k.answer(threat.ClaimJoined, "")
	if ok {
		a.Claim = c.Claim
		if c.ResponseID == k.r.ID && c.ResultAt == nil && k.e.State != threat.EffectInForce {
			a.Verdict = threat.ClaimGranted
		}
	}
	return a, nil
}

// approvedBy gives the approved request that a response rests on, and what is missing of the consent, or "".
func (t *tx) approvedBy(ctx context.Context, r threat.Response) (id uuid.NullUUID, missing string, err error) {
	q, ok, err := t.newestRequest(ctx, r.ID, threat.RequestAct)
	if err != nil {
		return id, "", err
	}
	if !ok || q.State != threat.RequestApproved {
		return id, "nobody has approved it", nil
	}
	same, err := sameBody(q.Body, bodyOf(r, threat.RequestAct))
	if err == nil && !same {
		return id, "what was approved is not what would be done", nil
	}
	return uuid.NullUUID{UUID: q.ID, Valid: true}, "", err
}

// guarded asks the guards with the facts of now.
func (t *tx) guarded(ctx context.Context, k claiming) (guard.Verdict, error) {
	conn, err := t.connection(ctx, k.ConnectionID)
	if err != nil {
		return guard.Verdict{}, err
	}
	if !conn.Enabled {
		return guard.Verdict{Guard: guard.Shape, Why: "the connection is disabled", Narrower: "act over the other connections"},
			nil
	}
	f := guard.Facts{Kind: k.Kind, Action: k.r.Action, State: k.st, Basis: k.r.Basis, Threat: k.c.Threat,
		Severity: k.c.Severity,
		Settings: k.set, Ours: k.Ours, Resolved: k.Resolved}
	if f.Assets, err = t.assetsTouched(ctx, k.r.TenantID, k.r.Target); err != nil {
		return guard.Verdict{}, err
	}
	if k.Kind == threat.ClaimAct && k.e.State == threat.EffectAbsent {
		if f.Shares, err = t.shares(ctx, k.r, f.Assets); err != nil {
			return guard.Verdict{}, err
		}
	}
	if k.r.Basis == threat.BasisUnreachable {
		if f.Reach, err = t.newestReach(ctx, k.c); err != nil {
			return guard.Verdict{}, err
		}
	}
	if k.Kind == threat.ClaimAct && k.e.State == threat.EffectAbsent { // joining what stands sends nothing
		if f.UsedClass, f.UsedVerb, err = t.used(ctx, k.r.TenantID, k.verb.Class, k.r.Verb, t.now.Add(-time.Hour)); err != nil {
			return guard.Verdict{}, err
		}
	}
	return guard.Check(f), nil
}

// newestReach sums up the newest escalation of a case; the zero Reach, which is not unreachable, when there was none.
func (t *tx) newestReach(ctx context.Context, c threat.Case) (threat.Reach, error) {
	ids, err := collect[uuid.UUID](t.query(ctx, `SELECT id FROM escalations WHERE case_id = ?1 ORDER BY number DESC LIMIT 1`,
		c.ID))(
		func(r *sql.Rows) (id uuid.UUID, err error) {
			err = r.Scan(&id)
			return id, err
		})
	if err != nil || len(ids) == 0 {
		return threat.Reach{}, err
	}
	r, err := t.reach(ctx, ids[0], t.now)
	r.Acknowledged = r.Acknowledged || c.Acknowledged(t.now)
	return r, err
}

// joinable refuses to count an effect as ours that was brought about with other parameters.
func (k claiming) joinable() guard.Verdict {
	if mine, err := jsonText(k.r.Params); err != nil || mine != k.e.params {
		return guard.Verdict{Guard: guard.Shape, Why: "it stands there already with other parameters, for another case",
			Narrower: "ask for it with the parameters " + k.e.params}
	}
	return guard.Verdict{}
}

// claimRefusal is what the journal keeps of a guard's no.
type claimRefusal struct {
	Response   uuid.UUID        `json:"response_id"`
	Connection uuid.UUID        `json:"connection_id"`
	Kind       threat.ClaimKind `json:"kind"`
	Verb       string           `json:"verb"`
	Target     threat.Target    `json:"target"`
	Guard      string           `json:"guard"`
	Why        string           `json:"why"`
	Narrower   string           `json:"narrower,omitempty"`
}

// claimRefused journals a guard's no, once for each version of the response.
func (t *tx) claimRefused(ctx context.Context, k claiming, v guard.Verdict) (threat.ClaimAnswer, error) {
	a := k.answer(threat.ClaimRefused, v.Why)
	a.Guard, a.Narrower = v.Guard, v.Narrower
	key := fmt.Sprintf("refused:%s:%s:%s:%d:%s", k.r.ID, k.ConnectionID, k.Kind, k.r.Version, v.Guard)
	return a, t.caseEntry(ctx, k.c, threat.EntryClaimRefused, key, threat.SystemActor, responseSubject(k.r.ID),
		claimRefusal{k.r.ID,
			k.ConnectionID, k.Kind, k.r.Verb, k.r.Target, v.Guard, v.Why, v.Narrower})
}

// claimWait answers that another claim is under way.
func (t *tx) claimWait(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	c, _, err := t.newestClaim(ctx, k.e, threat.ClaimAct, threat.ClaimRelease)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	a := k.answer(threat.ClaimWait, "another claim is under way on it")
	if k.e.State == threat.EffectReleasing || c.Kind == threat.ClaimRelease {
		a.Why = "it is being released: the next generation is waited for"
	}
	a.Claim = c.Claim
	return a, nil
}

// until gives when a claim that is granted now ends: with what the response holds already, so that one action has one end.
func (t *tx) until(r threat.Response) time.Time {
	if end := endOf(r); end.After(t.now) {
		return end
	}
	return guard.Until(t.now, r.Action)
}

// claimNew begins the effect's next generation.
func (t *tx) claimNew(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	params, err := jsonText(k.r.Params)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	until := t.until(k.r)
	e, err := t.makeEffect(ctx, k.e.EffectKey)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	e.Generation, e.State, e.Adopted, e.Handle, e.Prior, e.params = e.Generation+1, threat.EffectClaimed, false, "", nil, params
	e.Published, e.VerifiedAt, e.DeviceEnds = false, nil, nil
	if k.e, err = t.saveEffect(ctx, e); err != nil {
		return threat.ClaimAnswer{}, err
	}
	if err := t.hold(ctx, k.r, k.e, until); err != nil {
		return threat.ClaimAnswer{}, err
	}
	c, err := t.grant(ctx, k, 1, until, "claim:"+k.e.ID.String()+":"+strconv.FormatInt(k.e.Generation, 10))
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	if k.h.State == threat.HolderFailed && k.r.Why != "" { // it is tried anew: why it failed is in the journal
		if _, err := t.become(ctx, k.c, k.r, k.r.State, "", threat.SystemActor); err != nil {
			return threat.ClaimAnswer{}, err
		}
	}
	a := k.answer(threat.ClaimGranted, "")
	a.Claim = c.Claim
	return a, nil
}

// grant writes a claim and journals it.
func (t *tx) grant(ctx context.Context, k claiming, number int64, until time.Time, key string) (claimRow, error) {
	settle := k.Settle
	if settle <= 0 {
		settle = k.set.Settle.Duration()
	}
	c := claimRow{Claim: threat.Claim{ID: threat.DerivedID("claim", k.e.ID.String(), strconv.FormatInt(k.e.Generation, 10),
		strconv.FormatInt(number, 10)), TenantID: k.r.TenantID, CaseID: k.r.CaseID, ResponseID: k.r.ID, DecisionID: k.r.DecisionID,
		EffectID: k.e.ID, Generation: k.e.Generation, Kind: k.Kind, Class: k.verb.Class, Severity: k.c.Severity,
		Until: until.Truncate(time.Microsecond), At: t.now,
		LeaseUntil: t.now.Add(k.set.Lease.Duration()).Truncate(time.Microsecond)},
		number: number, request: k.asks, verb: k.r.Verb, settle: settle}
	if _, err := t.exec(ctx,
		`INSERT INTO claims (id, tenant_id, case_id, response_id, decision_id, request_id, effect_id, generation,
		number, kind, class, verb, severity, until, at, lease_until, settle, sends, outcome, error)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 0, '', '')`, c.ID, c.TenantID, c.CaseID,
		c.ResponseID, c.DecisionID, c.request, c.EffectID, c.Generation, c.number, string(c.Kind), string(c.Class), c.verb,
		int64(c.Severity), micros(c.Until), micros(c.At), micros(c.LeaseUntil), c.settle.Microseconds()); err != nil {
		return c, err
	}
	return c, t.caseEntry(ctx, k.c, threat.EntryClaimGranted, key, threat.SystemActor, claimSubject(c.ID),
		claimRecord{Claim: c.Claim,
			Number: k.r.Number, Connection: k.e.ConnectionID, Verb: k.r.Verb, Target: k.r.Target, Request: c.request})
}

// joinRecord is what the journal keeps of a second holder.
type joinRecord struct {
	Response   uuid.UUID     `json:"response_id"`
	Effect     uuid.UUID     `json:"effect_id"`
	Generation int64         `json:"generation"`
	Connection uuid.UUID     `json:"connection_id"`
	Verb       string        `json:"verb"`
	Target     threat.Target `json:"target"`
	Until      time.Time     `json:"until"`
	Adopted    bool          `json:"adopted,omitempty"`
}

// join has a response hold what stands for another one already.
func (t *tx) join(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	until := t.until(k.r)
	if err := t.hold(ctx, k.r, k.e, until); err != nil {
		return threat.ClaimAnswer{}, err
	}
	key := fmt.Sprintf("joined:%s:%s:%d:%d", k.r.ID, k.e.ID, k.e.Generation, k.r.Version)
	if err := t.caseEntry(ctx, k.c, threat.EntryClaimJoined, key, threat.SystemActor, responseSubject(k.r.ID),
		joinRecord{k.r.ID, k.e.ID,
			k.e.Generation, k.e.ConnectionID, k.r.Verb, k.r.Target, until, k.e.Adopted}); err != nil {
		return threat.ClaimAnswer{}, err
	}
	if _, err := t.settle(ctx, k.r.ID); err != nil {
		return threat.ClaimAnswer{}, err
	}
	return k.answer(threat.ClaimJoined, "it stands there already, for another case"), nil
}

// claimRenew asks for the right to set the device's own time-out of what stands anew.
func (t *tx) claimRenew(ctx context.Context, k claiming) (threat.ClaimAnswer, error) {
	switch {
	case !k.ours() || k.e.State != threat.EffectInForce:
		return k.answer(threat.ClaimStale, "it is not in force for this response"), nil
	case k.e.Adopted:
		return k.answer(threat.ClaimStale, "it stood there before us, and is not ours to change"), nil
	}
	held, err := t.holdersOf(ctx, k.e)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	until, wanted := k.Until, false // the longest of those that hold it
	for _, h := range held {
		if h.Holder.State != threat.HolderHolding {
			continue
		}
		if h.Until != nil && h.Until.After(until) {
			until = *h.Until
		}
		r, err := t.responseRow(ctx, h.ResponseID)
		if err != nil {
			return threat.ClaimAnswer{}, err
		}
		wanted = wanted || r.Ending == ""
	}
	if !wanted {
		return k.answer(threat.ClaimStale, "it is being released"), nil
	}
	v, err := t.guarded(ctx, k)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	if !v.OK() {
		return t.claimRefused(ctx, k, v)
	}
	return t.claimNext(ctx, k, until)
}

// claimNext grants the next claim of a kind on a generation, unless one of the kind is under way.
func (t *tx) claimNext(ctx context.Context, k claiming, until time.Time) (threat.ClaimAnswer, error) {
	same, ok, err := t.newestClaim(ctx, k.e, k.Kind)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	if ok && same.ResultAt == nil {
		a, under, err := t.underWay(ctx, k, same)
		if err != nil || under {
			return a, err
		}
	}
	last, _, err := t.newestClaim(ctx, k.e, threat.ClaimAct, threat.ClaimRelease, threat.ClaimRenew)
	if err != nil {
		return threat.ClaimAnswer{}, err
	}
	c, err := t.grant(ctx, k, last.number+1, until, claimKey(k.e, last.number+1))
	a := k.answer(threat.ClaimGranted, "")
	a.Claim = c.Claim
	return a, err
}

// claimKey is the journal's key of a claim that is not the first of its generation.
func claimKey(e deviceEffect, number int64) string {
	return fmt.Sprintf("claim:%s:%d:%d", e.ID, e.Generation, number)
}

// underWay answers about a claim of the same kind that has no result. When its lease is over it is ended, and the next one
// may be granted.
func (t *tx) underWay(ctx context.Context, k claiming, c claimRow) (a threat.ClaimAnswer, under bool, err error) {
	if t.now.Before(c.LeaseUntil) {
		a = k.answer(threat.ClaimGranted, "")
		if c.Sends > 0 || c.ResponseID != k.r.ID {
			a = k.answer(threat.ClaimWait, "the same request is under way already")
		}
		a.Claim = c.Claim
		return a, true, nil
	}
	if c.Sends == 0 {
		return a, false, t.endClaim(ctx, c, threat.OutcomeFailure, lapsed)
	}
	return a, false, t.endClaim(ctx, c, threat.OutcomeUnknown, "its lease ended without an answer")
}

const lapsed = "lapsed: its lease ended before it was sent"

// in reports whether a value is one of a list.
func in[T comparable](v T, list ...T) bool { return slices.Contains(list, v) }
