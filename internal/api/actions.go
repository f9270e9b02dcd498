package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/approval"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// maxDuration is longer than any verb's longest.
const maxDuration = 366 * 24 * time.Hour

// action is a response with its claims.
type action struct {
	Response wire.Response  `json:"response"`
	Claims   []threat.Claim `json:"claims"`
}

func (a *API) actionRoutes() {
	handle(a, post("/v1/cases/{case}/actions", "propose-action", "actions",
		"Propose an action by hand; policy decides on it").answers(http.StatusAccepted), a.propose)
	handle(a, get("/v1/actions/{id}", "get-action", "actions", "One action's life, with the claims under which requests went out"),
		func(ctx context.Context, c *call, p *byID, _ none) (action, error) {
			r, err := a.responseOf(ctx, c, p.ID, "case.read")
			if err != nil {
				return action{}, err
			}
			claims, err := a.d.Store.ClaimsOf(ctx, r.ID)
			return action{Response: responseView(r), Claims: list(claims).Items}, err
		})
	handle(a, post("/v1/actions/{id}/release", "release-action", "actions", "Let go before the time is up").answers(http.StatusAccepted),
		func(ctx context.Context, c *call, p *byID, b wire.Why) (wire.Response, error) {
			r, err := a.responseOf(ctx, c, p.ID, "action.release")
			if err != nil {
				return wire.Response{}, err
			}
			why, err := text(b.Why, "/why")
			if err != nil {
				return wire.Response{}, err
			}
			r, err = a.d.Door.Release(ctx, c.caller, r.ID, why)
			return responseView(r), err
		})
}

// responseOf gives the response of a path when the caller may do the action in its tenant.
func (a *API) responseOf(ctx context.Context, c *call, text, action string) (threat.Response, error) {
	id, err := pathID(text, "action")
	if err != nil {
		return threat.Response{}, err
	}
	r, err := a.d.Store.Response(ctx, id)
	if err != nil {
		return threat.Response{}, noSuch(err, "action")
	}
	if err := a.may(ctx, c, action, r.TenantID, "action"); err != nil {
		return threat.Response{}, err
	}
	return r, a.uninvolved(ctx, c, r.TenantID, valid(r.CaseID), "action")
}

// propose hands an action by hand to the door. Nothing is decided by it: policy is asked about it like about any other.
func (a *API) propose(ctx context.Context, c *call, p *inCase, b wire.Propose) (wire.Response, error) {
	k, err := a.caseOf(ctx, c, p.Case, "action.propose")
	if err != nil {
		return wire.Response{}, err
	}
	if b.DurationSeconds < 0 || b.DurationSeconds > int64(maxDuration/time.Second) {
		return wire.Response{}, &threat.Fault{Kind: threat.Invalid, What: "this is no duration", Place: "/duration_seconds"}
	}
	target, err := a.named(ctx, k.TenantID, threat.Target{Kind: b.Target.Kind, Value: b.Target.Value})
	if err != nil {
		return wire.Response{}, err
	}
	r, err := a.d.Door.Propose(ctx, c.caller, approval.Proposal{CaseID: k.ID, Verb: b.Verb, Target: target, Params: b.Params,
		Duration: time.Duration(b.DurationSeconds) * time.Second, Connections: b.Connections, End: b.End, Required: b.Required})
	return responseView(r), err
}

func responseView(r threat.Response) wire.Response {
	v, _ := verb.Find(r.Verb)
	out := wire.Response{ID: r.ID, TenantID: r.TenantID, CaseID: r.CaseID, Number: r.Number, Step: r.Step, Round: r.Round,
		Verb: r.Verb, Title: v.Title, Class: v.Class, Target: r.Target, Params: r.Params, DurationSeconds: r.Duration.Seconds(),
		End: r.End, Connections: r.Connections, State: r.State, Why: r.Why, Required: r.Required, AskedBy: r.AskedBy,
		DecisionID: r.DecisionID, RequestID: r.RequestID, Basis: r.Basis, Facts: r.Facts, Stales: r.Stales, Version: r.Version,
		HoldFrom: r.HoldFrom, HoldUntil: r.HoldUntil, Ending: r.Ending, EndingBy: r.EndingBy, Extended: r.Extended,
		Holders: r.Holders, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, EndedAt: r.EndedAt}
	if out.Connections == nil {
		out.Connections = []uuid.UUID{}
	}
	if out.Holders == nil {
		out.Holders = []threat.Holder{}
	}
	return out
}
