package api

import (
	"context"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (a *API) policyRoutes() {
	handle(a, get("/v1/policy", "get-policy", "policy", "The rules in force, and what stands against newer ones"),
		func(ctx context.Context, c *call, _ *none, _ none) (wire.Policy, error) {
			if err := a.anywhere(ctx, c, "policy.read"); err != nil {
				return wire.Policy{}, err
			}
			s := a.d.Policy.Active()
			out := wire.Policy{Revision: s.Revision, Source: s.Source, LoadedAt: s.LoadedAt, AgeSeconds: s.Age.Seconds(), Stale: s.Stale,
				Error: s.Error, Reloads: s.Reloads, Stuck: s.Stuck, Labels: a.d.Policy.Labels()}
			if !s.ErrorAt.IsZero() {
				out.ErrorAt = &s.ErrorAt
			}
			return out, nil
		})
	handle(a, post("/v1/policy/evaluate", "evaluate-policy", "policy",
		"Ask the rules in force one question for a trial; nothing is recorded or done"),
		func(ctx context.Context, c *call, _ *none, b wire.Evaluate) (wire.Trial, error) {
			if err := a.anywhere(ctx, c, "policy.write"); err != nil {
				return wire.Trial{}, err
			}
			t, err := a.d.Policy.EvalOnce(ctx, b.Question, b.Input)
			if threat.Is(err, threat.NotFound) {
				err = &threat.Fault{Kind: threat.Invalid, What: "there is no such question", Place: "/question",
					Next: "give triage, escalate, respond, approve or access"}
			}
			if err != nil {
				return wire.Trial{}, err
			}
			return wire.Trial{Revision: t.Revision, Answer: t.JSON, Rules: list(t.Rules).Items, Reasons: list(t.Reasons).Items,
				Fault: t.Fault, Detail: t.Detail, Output: t.Output}, nil
		})
}

// anywhere is nil when the caller may do an action in one of the organisations of their grants: for what is no
// organisation's own.
func (a *API) anywhere(ctx context.Context, c *call, action string) error {
	for _, g := range c.caller.Grants {
		ok, _, err := a.d.Rights.Access(ctx, c.caller, action, g.OrgID)
		if ok || err != nil {
			return err
		}
	}
	return a.nowhere(ctx, c, action)
}
