package activities

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// readAtOnce is the longest settle time that a task waits out before it reads; a longer one is left to a later task.
const readAtOnce = 2 * time.Second

// Perform makes one call to a device, or a look at it. What came of it is recorded; an error means that it could not be.
func (s *Response) Perform(ctx context.Context, t Task) error {
	switch t.Kind {
	case TaskAct, TaskRenew, TaskRelease:
		return s.change(ctx, t)
	case TaskRead:
		return s.readClaim(ctx, t)
	case TaskVerify:
		return s.verify(ctx, t)
	}
	return threat.Faultf(threat.Internal, "a response has no task %q", t.Kind)
}

// job is what a call to a device needs to know.
type job struct {
	claim    threat.Claim
	response threat.Response
	effect   threat.Effect
	set      tenant.Settings
	asset    threat.Asset // that the target is, or is on
	device   *adapters.Device
	ability  adapters.Ability
}

// job reads all that a claim's call is made of, but for the device.
func (s *Response) job(ctx context.Context, claim uuid.UUID) (job, error) {
	var j job
	var err error
	if j.claim, err = s.Store.ClaimByID(ctx, claim); err != nil {
		return j, err
	}
	if j.response, err = s.Store.Response(ctx, j.claim.ResponseID); err != nil {
		return j, err
	}
	if j.effect, err = s.Store.Effect(ctx, j.claim.EffectID); err != nil {
		return j, err
	}
	j.set, err = s.Store.EffectiveSettings(ctx, j.claim.TenantID)
	return j, err
}

// open opens the device of a job, and tells which machine the target is. One that is not the tenant's asset any more keeps
// its id: what is on it is still to be read and taken back.
func (s *Response) open(ctx context.Context, j *job) error {
	if on := j.effect.Target.AssetID; on.Valid {
		list, err := s.Store.AssetsTouched(ctx, j.effect.TenantID, j.effect.Target)
		if err != nil {
			return err
		}
		j.asset = threat.Asset{ID: on.UUID, TenantID: j.effect.TenantID}
		for _, a := range list {
			if a.ID == on.UUID {
				j.asset = a
			}
		}
	}
	d, err := s.Devices.Device(ctx, j.effect.ConnectionID)
	if err != nil {
		return err
	}
	j.device = d
	j.ability, _ = d.Ability(j.effect.Verb)
	return nil
}

func (j job) settle() time.Duration {
	if j.ability.Settle > 0 {
		return j.ability.Settle
	}
	return j.set.Settle.Duration()
}

// order is the effect as the device is told of it.
func (j job) order() adapters.Order {
	e := j.effect
	o := adapters.Order{EffectID: e.ID, Generation: e.Generation, TenantID: e.TenantID, Verb: e.Verb, Target: e.Target, Asset: j.asset,
		Params: j.response.Params, Until: j.claim.Until, Key: e.ID.String() + ":" + strconv.FormatInt(e.Generation, 10),
		Mark: adapters.MarkFor(e.ID, e.Generation), Handle: e.Handle}
	if j.ability.DeviceEnds && !o.Until.IsZero() {
		o.DeviceEnds = o.Until.Add(threat.ClaimMargin(j.response.Duration))
	}
	return o
}

// change sends one request under a claim, records what came of it, and, when the product is quick, looks whether it is so.
func (s *Response) change(ctx context.Context, t Task) error {
	j, err := s.job(ctx, t.ClaimID)
	if err != nil || j.claim.ResultAt != nil || j.effect.Generation != j.claim.Generation {
		return err
	}
	log := s.Log.With("tenant", j.claim.TenantID, "case", j.claim.CaseID, "response", j.claim.ResponseID, "claim", j.claim.ID,
		"effect", j.effect.ID, "generation", j.claim.Generation, "connection", j.effect.ConnectionID, "kind", j.claim.Kind)
	if err := s.open(ctx, &j); threat.Is(err, threat.Unavailable) {
		return err
	} else if err != nil { // nothing was sent, and nothing will be
		log.ErrorContext(ctx, "a device cannot be opened", "error", err)
		res := threat.ClaimResult{Outcome: threat.OutcomeUnsupported, Detail: err.Error()}
		return s.Store.FinishClaim(ctx, j.claim.ID, res)
	}
	call := callOf(j.set)
	claim, mine, err := s.Store.BeginSend(ctx, j.claim.ID, call)
	switch {
	case err != nil:
		return err
	case !mine && claim.Sends == 0 && claim.ResultAt == nil: // a stop, an end, or too late: nothing goes out
		if err := s.Store.LapseClaim(ctx, claim.ID); !threat.Is(err, threat.Conflict) {
			return err
		}
		return nil
	case !mine: // the next step reads how it stands
		return nil
	}
	j.claim = claim
	log.InfoContext(ctx, "a request goes out")
	within, cancel := context.WithTimeout(ctx, call)
	receipt, err := s.call(within, j)
	cancel()
	res := s.result(j, receipt, err)
	s.Metrics.Sent(j.effect.Verb, claim.Kind, res.Outcome, s.now().Sub(claim.At))
	log.InfoContext(ctx, "a request was answered", "outcome", res.Outcome, "detail", res.Detail, "adopted", res.Adopted)
	record, done := lasting(ctx)
	defer done()
	if err := s.Store.FinishClaim(record, claim.ID, res); err != nil {
		return err
	}
	drifted := claim.Kind == threat.ClaimRenew && threat.Is(err, threat.NotFound)
	worked := res.Outcome == threat.OutcomeSuccess || res.Outcome == threat.OutcomeDoesNotExist &&
		(claim.Kind == threat.ClaimRelease || verb.Once(j.effect.Verb)) // there is nothing there any more
	if !worked && !drifted || j.settle() > readAtOnce {
		return nil
	}
	if err := s.Wait(ctx, j.settle()); err != nil {
		return nil // the next step looks
	}
	return s.see(ctx, j, nullID(claim.ID))
}

func (s *Response) call(ctx context.Context, j job) (adapters.Receipt, error) {
	switch j.claim.Kind {
	case threat.ClaimRelease:
		return j.device.Remove(ctx, j.order())
	case threat.ClaimRenew:
		return j.device.Renew(ctx, j.order())
	}
	return j.device.Apply(ctx, j.order())
}

// result classes what a device answered. Unknown is what may have happened; error is what changed nothing and may be tried
// again; failure is an answer.
func (s *Response) result(j job, receipt adapters.Receipt, err error) threat.ClaimResult {
	if err == nil {
		res := threat.ClaimResult{Outcome: receipt.Outcome, Handle: receipt.Handle, Adopted: receipt.Adopted,
			Detail: receipt.Detail}
		told := j.claim.Kind != threat.ClaimRelease && j.ability.DeviceEnds && !receipt.Adopted
		if told && receipt.Outcome == threat.OutcomeSuccess {
			ends := j.order().DeviceEnds
			res.DeviceEnds = &ends
		}
		return res
	}
	res := threat.ClaimResult{Outcome: threat.OutcomeFailure, Detail: err.Error()}
	switch threat.KindOf(err) {
	case threat.Unknown:
		res.Outcome = threat.OutcomeUnknown
	case threat.Unsupported:
		res.Outcome = threat.OutcomeUnsupported
	case threat.RateLimited, threat.Unavailable, threat.Internal:
		res.Outcome = threat.OutcomeError
		var f *threat.Fault
		if errors.As(err, &f) && f.RetryAfter > 0 {
			s.memory.note(leaveAlone(j.effect.ID), s.now().Add(f.RetryAfter))
		}
	}
	return res
}
