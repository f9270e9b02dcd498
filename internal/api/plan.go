package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

func (a *API) planRoutes() {
	handle(a, get("/v1/cases/{case}/plan", "get-plan", "cases",
		"What a case would have done, to what, through what, decided how and why"), a.planOf)
}

func (a *API) planOf(ctx context.Context, c *call, p *inCase, _ none) (wire.List[wire.PlanStep], error) {
	var out wire.List[wire.PlanStep]
	k, err := a.caseOf(ctx, c, p.Case, "case.read")
	if err != nil {
		return out, err
	}
	responses, err := a.d.Store.Responses(ctx, k.ID)
	if err != nil {
		return out, err
	}
	assets, err := a.d.Store.Assets(ctx, k.TenantID)
	if err != nil {
		return out, err
	}
	connections, err := a.d.Store.Connections(ctx, k.TenantID)
	if err != nil {
		return out, err
	}
	v := planView{assets: map[uuid.UUID]string{}, connections: map[uuid.UUID]threat.Connection{}}
	for _, x := range assets {
		v.assets[x.ID] = x.Name
	}
	for _, x := range connections {
		v.connections[x.ID] = x
	}
	return list(each(plan.Outline(responses, assets, connections, a.able()), v.step)), nil
}

// able tells the planner what the products can do.
func (a *API) able() plan.Able {
	type key struct{ adapter, verb string }
	can := map[key]bool{}
	for _, p := range a.d.Registry.All() {
		for _, v := range p.Info.Verbs {
			can[key{p.Info.Name, v.Verb}] = v.Polled
		}
	}
	return func(adapter, verb string) (polled, ok bool) {
		polled, ok = can[key{adapter, verb}]
		return polled, ok
	}
}

// named gives a proposed target with its asset's id in the place of its name.
func (a *API) named(ctx context.Context, tenant uuid.UUID, t threat.Target) (threat.Target, error) {
	if !plan.NeedsAssets(t) {
		return t, nil
	}
	assets, err := a.d.Store.Assets(ctx, tenant)
	if err != nil {
		return t, err
	}
	return plan.Resolve(t, assets)
}

// planView names what a plan holds by id.
type planView struct {
	assets      map[uuid.UUID]string
	connections map[uuid.UUID]threat.Connection
}

func (v planView) step(s plan.Step) wire.PlanStep {
	row, _ := verb.Find(s.Verb)
	out := wire.PlanStep{Step: s.Name, Verb: s.Verb, Title: row.Title, Class: row.Class, Target: s.Target, Required: s.Required,
		Taken: s.Taken, Ways: each(s.Ways, v.way), Actions: each(s.Actions, responseView), LeftOut: plan.Told(s.Left)}
	if s.Target.AssetID.Valid {
		out.Asset = threat.Inert(v.assets[s.Target.AssetID.UUID], 100)
	}
	return out
}

func (v planView) way(w plan.Way) wire.PlanWay {
	return wire.PlanWay{Place: string(w.Place), Why: w.Why, Parts: each(w.Parts, func(p plan.Part) wire.PlanPart {
		return wire.PlanPart{Verb: p.Verb, Target: p.Target, Connections: each(p.Connections, func(id uuid.UUID) wire.PlanConnection {
			c := v.connections[id]
			return wire.PlanConnection{ID: id, Name: threat.Inert(c.Name, 100), Adapter: c.Adapter}
		})}
	})}
}
