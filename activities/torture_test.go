package activities_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// killer is a store under which the process dies now and then, before a write or after it.
type killer struct {
	*store.Store
	rng   *rand.Rand
	one   int // in so many writes
	left  int // kills
	kills int
}

func (k *killer) die() error {
	if k.left > 0 && k.rng.IntN(k.one) == 0 {
		k.left--
		k.kills++
		return errCrash
	}
	return nil
}

func around[T any](k *killer, fn func() (T, error)) (T, error) {
	var zero T
	if err := k.die(); err != nil {
		return zero, err
	}
	v, err := fn()
	if err != nil {
		return v, err
	}
	return v, k.die()
}

func (k *killer) only(fn func() error) error {
	_, err := around(k, func() (struct{}, error) { return struct{}{}, fn() })
	return err
}

func (k *killer) ProposeResponses(ctx context.Context, id uuid.UUID, l []threat.Response) ([]threat.Response, error) {
	return around(k, func() ([]threat.Response, error) { return k.Store.ProposeResponses(ctx, id, l) })
}
func (k *killer) AdvanceCursor(ctx context.Context, id uuid.UUID, seq int64) error {
	return k.only(func() error { return k.Store.AdvanceCursor(ctx, id, seq) })
}
func (k *killer) SetThreat(ctx context.Context, id uuid.UUID, to threat.ThreatState, why, by string) (threat.Case, error) {
	return around(k, func() (threat.Case, error) { return k.Store.SetThreat(ctx, id, to, why, by) })
}
func (k *killer) SetContact(ctx context.Context, id uuid.UUID, to threat.ContactState, why string) (threat.Case, error) {
	return around(k, func() (threat.Case, error) { return k.Store.SetContact(ctx, id, to, why) })
}
func (k *killer) StartEscalation(ctx context.Context, id uuid.UUID, a threat.EscalateAnswer, s string) (threat.Escalation, error) {
	return around(k, func() (threat.Escalation, error) { return k.Store.StartEscalation(ctx, id, a, s) })
}
func (k *killer) EndEscalation(ctx context.Context, id uuid.UUID, s threat.EscalationState) (threat.Escalation, error) {
	return around(k, func() (threat.Escalation, error) { return k.Store.EndEscalation(ctx, id, s) })
}
func (k *killer) PlanAttempts(ctx context.Context, id uuid.UUID, l []threat.Attempt) error {
	return k.only(func() error { return k.Store.PlanAttempts(ctx, id, l) })
}
func (k *killer) BeginAttempt(ctx context.Context, id uuid.UUID) (a threat.Attempt, ok bool, err error) {
	a, err = around(k, func() (threat.Attempt, error) { a, ok, err = k.Store.BeginAttempt(ctx, id); return a, err })
	return a, ok, err
}
func (k *killer) FinishAttempt(ctx context.Context, id uuid.UUID, s threat.AttemptState, p, e string) error {
	return k.only(func() error { return k.Store.FinishAttempt(ctx, id, s, p, e) })
}
func (k *killer) ApplyDecision(ctx context.Context, id uuid.UUID, v int64, d threat.RespondDecision) (threat.Response, error) {
	return around(k, func() (threat.Response, error) { return k.Store.ApplyDecision(ctx, id, v, d) })
}
func (k *killer) EndHold(ctx context.Context, id uuid.UUID, why, by string) (threat.Response, error) {
	return around(k, func() (threat.Response, error) { return k.Store.EndHold(ctx, id, why, by) })
}
func (k *killer) Claim(ctx context.Context, q threat.ClaimRequest) (threat.ClaimAnswer, error) {
	return around(k, func() (threat.ClaimAnswer, error) { return k.Store.Claim(ctx, q) })
}
func (k *killer) ClaimRelease(ctx context.Context, r, c uuid.UUID) (threat.ClaimAnswer, error) {
	return around(k, func() (threat.ClaimAnswer, error) { return k.Store.ClaimRelease(ctx, r, c) })
}
func (k *killer) BeginSend(ctx context.Context, id uuid.UUID, call time.Duration) (c threat.Claim, ok bool, err error) {
	c, err = around(k, func() (threat.Claim, error) { c, ok, err = k.Store.BeginSend(ctx, id, call); return c, err })
	return c, ok, err
}
func (k *killer) FinishClaim(ctx context.Context, id uuid.UUID, r threat.ClaimResult) error {
	return k.only(func() error { return k.Store.FinishClaim(ctx, id, r) })
}
func (k *killer) RecordSighting(ctx context.Context, s threat.Sighting) (threat.Effect, error) {
	return around(k, func() (threat.Effect, error) { return k.Store.RecordSighting(ctx, s) })
}

// TestKills runs a case from its detection to its releases while the process dies at random points, and devices and
// providers fail at others. Whatever happens: each generation comes about at most once, nothing is stuck, what was let go is
// gone, and the journal is whole.
func TestKills(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	kills := 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 17))
			k := &killer{rng: rng, one: 6, left: 12}
			mode, basis := threat.ModeCollaborateUnreachable, threat.BasisUnreachable
			if seed%3 > 0 { // no escalation comes before, so that the kills fall on responses
				mode, basis = threat.ModeAuthorize, threat.BasisMode
			}
			h := newHouse(t, mode, func(s *store.Store) activities.Store { k.Store = s; return k })
			h.killed = true
			h.settings(tenant.Settings{BlockFor: tenant.In(time.Hour), BlockEnd: endOf(threat.EndRelease)})
			one, two := h.wall("wall"), h.wall("slow")
			for _, w := range []*wall{one, two} {
				w.apply = func() error {
					if rng.IntN(8) == 0 {
						return unknown()
					}
					return nil
				}
				w.read = func() error {
					if rng.IntN(8) == 0 {
						return threat.Faultf(threat.Unavailable, "nobody answers")
					}
					return nil
				}
			}
			pager := h.phone("pager", true)
			h.contacts([]*phone{pager}, []*phone{pager})
			c := h.detect()
			if seed%2 == 0 {
				h.detectAnd([]func(*threat.Triage){propose(attacker)}, storetest.Observing("198.51.100.9"))
			}
			h.play(50 * time.Minute)
			r := h.responses(c)[0]
			require.Contains(t, []threat.ResponseState{threat.ResponseHeld, threat.ResponseReleased}, r.State, r.Why)
			require.Equal(t, basis, r.Basis)
			h.play(3 * time.Hour)
			for _, r := range h.responses(c) {
				require.Equal(t, threat.ResponseReleased, r.State, r.Why)
			}
			require.Empty(t, one.holds(attacker))
			require.Empty(t, two.holds(attacker))
			h.sound()
			kills += k.kills
		})
	}
	t.Logf("%d kills", kills)
	require.Greater(t, kills, seeds*8)
}

func endOf(e threat.End) *threat.End { return &e }
