package activities_test

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// cut is a store with faults: a function that is set answers instead of, or after, the store's.
type cut struct {
	*store.Store
	applyDecision func() error
	advance       func() error
	begin         func() error // after the store's own
	finish        func() error
	finishAttempt func() error
	setContact    func() error
}

func (c *cut) ApplyDecision(ctx context.Context, id uuid.UUID, v int64, d threat.RespondDecision) (threat.Response, error) {
	if c.applyDecision != nil {
		if err := c.applyDecision(); err != nil {
			return threat.Response{}, err
		}
	}
	return c.Store.ApplyDecision(ctx, id, v, d)
}

func (c *cut) AdvanceCursor(ctx context.Context, id uuid.UUID, seq int64) error {
	if c.advance != nil {
		if err := c.advance(); err != nil {
			return err
		}
	}
	return c.Store.AdvanceCursor(ctx, id, seq)
}

func (c *cut) BeginSend(ctx context.Context, id uuid.UUID, call time.Duration) (threat.Claim, bool, error) {
	claim, ok, err := c.Store.BeginSend(ctx, id, call)
	if err == nil && c.begin != nil {
		err = c.begin()
	}
	return claim, ok && err == nil, err
}

func (c *cut) FinishClaim(ctx context.Context, id uuid.UUID, r threat.ClaimResult) error {
	if c.finish != nil {
		if err := c.finish(); err != nil {
			return err
		}
	}
	return c.Store.FinishClaim(ctx, id, r)
}

func (c *cut) FinishAttempt(ctx context.Context, id uuid.UUID, s threat.AttemptState, provider, text string) error {
	if c.finishAttempt != nil {
		if err := c.finishAttempt(); err != nil {
			return err
		}
	}
	return c.Store.FinishAttempt(ctx, id, s, provider, text)
}

func (c *cut) SetContact(ctx context.Context, id uuid.UUID, to threat.ContactState, why string) (threat.Case, error) {
	if c.setContact != nil {
		if err := c.setContact(); err != nil {
			return threat.Case{}, err
		}
	}
	return c.Store.SetContact(ctx, id, to, why)
}

func (c *cut) wrap(s *store.Store) activities.Store { c.Store = s; return c }

// times answers an error a number of times, then nothing.
func times(n int, err error) func() error {
	return func() error {
		if n <= 0 {
			return nil
		}
		n--
		return err
	}
}

var errCrash = errors.New("the process was killed here")

func unknown() error { return threat.Faultf(threat.Unknown, "no answer came") }
