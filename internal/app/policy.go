package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// journalWithin bounds the writing of one entry about the rules.
const journalWithin = 10 * time.Second

// followPolicy journals which rules are in force, now and after each change, and calls the provider's people when a
// directory's rules cannot be taken.
func (a *App) followPolicy(ctx context.Context) error {
	if err := a.journalPolicy(ctx, a.policy.Active()); err != nil {
		return err
	}
	a.policy.OnLoad(func(s policies.Status) {
		ctx, cancel := context.WithTimeout(context.Background(), journalWithin)
		defer cancel()
		if s.Stale {
			a.pager.Page(ctx, fmt.Sprintf("the rules in %s cannot be taken; revision %.12s decides on: %s", s.Source, s.Revision, s.Error))
		}
		if err := a.journalPolicy(ctx, s); err != nil {
			a.log.ErrorContext(ctx, "a change of the rules could not be journalled", "revision", s.Revision, "error", err)
		}
	})
	return nil
}

// journalPolicy says once which rules are in force since when, and what stands against newer ones.
func (a *App) journalPolicy(ctx context.Context, s policies.Status) error {
	payload, err := json.Marshal(struct {
		Revision string    `json:"revision"`
		Source   string    `json:"source"`
		LoadedAt time.Time `json:"loaded_at"`
		Stale    bool      `json:"stale"`
		Error    string    `json:"error,omitempty"`
	}{s.Revision, s.Source, s.LoadedAt, s.Stale, threat.Inert(s.Error, 500)})
	if err != nil {
		return err
	}
	at := s.LoadedAt
	if s.Stale {
		at = s.ErrorAt
	}
	_, err = a.store.Append(ctx, threat.Entry{OrgID: a.root.ID, Key: fmt.Sprintf("policy:%s:%t:%d", s.Revision, s.Stale, at.UnixMicro()),
		Kind: threat.EntryPolicy, Actor: threat.SystemActor, Subject: "policy:" + s.Revision, Payload: payload})
	return err
}
