package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// readClaim looks at what a claim may have done. It does not look before anybody who may be sending under it has had their
// time: a read that comes first would prove nothing.
func (s *Response) readClaim(ctx context.Context, t Task) error {
	j, err := s.job(ctx, t.ClaimID)
	if err != nil || j.effect.Generation != j.claim.Generation {
		return err
	}
	if at, err := s.believable(ctx, j.claim); err != nil || s.now().Before(at) {
		return err
	}
	if err := s.open(ctx, &j); err != nil {
		return s.blind(ctx, j, err)
	}
	return s.see(ctx, j, nullID(j.claim.ID))
}

// verify looks whether a response's effect stands on one device, whatever the sender was told.
func (s *Response) verify(ctx context.Context, t Task) error {
	var j job
	var err error
	if j.response, err = s.Store.Response(ctx, t.ResponseID); err != nil {
		return err
	}
	if j.set, err = s.Store.EffectiveSettings(ctx, j.response.TenantID); err != nil {
		return err
	}
	for _, h := range j.response.Holders {
		if h.ConnectionID != t.ConnectionID || h.Effect == nil || h.Effect.Generation < 1 {
			continue
		}
		j.effect = *h.Effect
		if h.Until != nil {
			j.claim.Until = *h.Until
		}
		if err := s.open(ctx, &j); err != nil {
			return s.blind(ctx, j, err)
		}
		return s.see(ctx, j, nullID(t.ClaimID))
	}
	return nil
}

// see reads a device and records what it showed. A device that cannot be read leaves everything as it stands.
func (s *Response) see(ctx context.Context, j job, claim uuid.NullUUID) error {
	call, cancel := context.WithTimeout(ctx, callOf(j.set))
	r, err := j.device.Read(call, j.order())
	cancel()
	if err != nil {
		return s.blind(ctx, j, err)
	}
	s.Metrics.Read(j.effect.Verb, r.Presence)
	record, done := lasting(ctx)
	defer done()
	e, err := s.Store.RecordSighting(record, sighting(j, r, claim))
	if err != nil {
		return err
	}
	s.memory.looked(j.response.ID, j.effect.ConnectionID, s.now())
	s.aboutResponse(j.response).InfoContext(ctx, "a device was read", "claim", claim.UUID, "effect", e.ID,
		"generation", j.effect.Generation, "connection", j.effect.ConnectionID, "presence", r.Presence, "in_force", r.InForce,
		"state", e.State, "detail", r.Detail)
	return nil
}

func sighting(j job, r adapters.Reading, claim uuid.NullUUID) threat.Sighting {
	return threat.Sighting{EffectID: j.effect.ID, Generation: j.effect.Generation, ClaimID: claim, ResponseID: j.response.ID,
		Ours:    r.Presence == adapters.Ours || r.Presence == adapters.Published,
		Foreign: r.Presence == adapters.Foreign, Pending: r.Presence == adapters.Pending, InForce: r.InForce, Handle: r.Handle,
		DeviceEnds: r.DeviceEnds, Detail: r.Detail, Prior: r.Prior, At: r.At.UTC()}
}

// blind notes that a device could not be read. The next step waits before it is tried again.
func (s *Response) blind(ctx context.Context, j job, err error) error {
	s.Metrics.Read(j.effect.Verb, readFailed)
	s.aboutResponse(j.response).WarnContext(ctx, "a device could not be read", "effect", j.effect.ID,
		"connection", j.effect.ConnectionID, "error", err)
	return nil
}
