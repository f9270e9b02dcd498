package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// ableFor tells the planner what the products can do.
func ableFor(d Devices) plan.Able {
	return func(adapter, verb string) (polled, ok bool) {
		a, ok := d.Able(adapter, verb)
		return a.Polled, ok
	}
}

// onAssets plans what triage would have done to a host, or to what is on one: the first way that there is for each host that it
// names. The ways that follow are taken when one fails; see otherWays.
func (s *Case) onAssets(ctx context.Context, c threat.Case, p threat.Proposal, received time.Time, among []threat.Response,
	list []threat.Connection, set tenant.Settings) ([]threat.Response, error) {
	assets, err := s.Store.Assets(ctx, c.TenantID)
	if err != nil {
		return nil, err
	}
	each, err := plan.Expand(p, assets)
	if err != nil {
		s.cannot(ctx, c, p, err)
		return nil, nil
	}
	var out []threat.Response
	for _, one := range each {
		t, err := one.Target.Canonical()
		if err != nil {
			s.cannot(ctx, c, p, err)
			continue
		}
		ways, left := plan.Ways(one.Verb, t, assets, list, ableFor(s.Devices))
		if plan.UnderWay(one.Step, one.Verb, t, append(among, out...)) {
			s.aboutCase(c).DebugContext(ctx, "a proposal adds nothing", "why", "it is under way already")
			continue
		}
		way := plan.Way{Parts: []plan.Part{{Verb: one.Verb, Target: t}}} // nothing can: the response says so
		if len(ways) > 0 {
			way = ways[0]
		}
		made, err := s.way(ctx, c, plan.WayStep(one.Step, one.Verb, 1), way, left, one.Required, received, append(among, out...), set)
		if err != nil {
			return nil, err
		}
		out = append(out, made...)
	}
	return out, nil
}

// cannot says aloud that policy proposed what cannot be done. The rest goes on.
func (s *Case) cannot(ctx context.Context, c threat.Case, p threat.Proposal, err error) {
	s.aboutCase(c).ErrorContext(ctx, "a proposal cannot be planned", "error", err)
	s.Page(ctx, fmt.Sprintf("%s: policy proposed what cannot be done (%s): %v", c.Name(), threat.Inert(p.Verb, 32), err))
}

// way makes the responses of a way's parts that may act now.
func (s *Case) way(ctx context.Context, c threat.Case, step string, w plan.Way, left []plan.LeftOut, required bool,
	received time.Time, among []threat.Response, set tenant.Settings) ([]threat.Response, error) {
	var out []threat.Response
	for _, part := range w.Parts {
		a, err := plan.Complete(threat.Action{TenantID: c.TenantID, CaseID: c.ID, Step: step, Verb: part.Verb, Target: part.Target,
			Connections: part.Connections})
		if err != nil {
			s.cannot(ctx, c, threat.Proposal{Verb: part.Verb}, err)
			continue
		}
		round, why := plan.Round(a.Step, a.Target, received, among, set.AckFor.Duration())
		if round == 0 {
			s.aboutCase(c).DebugContext(ctx, "a proposal adds nothing", "why", why)
			continue
		}
		a.Round, a.ID = round, threat.ActionID(a.CaseID, a.Step, a.Target, round)
		r := threat.Response{Action: a, State: threat.ResponseProposed, Required: required, AskedBy: threat.SystemActor, Why: w.Why}
		if told := plan.Told(left); told != "" {
			r.Why += "; " + told
		}
		out = append(out, r)
	}
	return out, nil
}

// otherWays proposes the next way of what failed, and reports whether it did. When there is none left the failure stands.
func (s *Case) otherWays(ctx context.Context, c threat.Case, responses []threat.Response, set tenant.Settings) (bool, error) {
	var out []threat.Response
	var assets []threat.Asset
	var list []threat.Connection
	for _, r := range plan.LastRounds(responses) {
		n, ok := plan.Next(r, append(responses, out...))
		if !ok || r.EndedAt == nil {
			continue
		}
		if assets == nil {
			var err error
			if assets, err = s.Store.Assets(ctx, c.TenantID); err != nil {
				return false, err
			}
			if list, err = s.Store.Connections(ctx, c.TenantID); err != nil {
				return false, err
			}
		}
		step, name, _, _ := plan.ParseWay(r.Step)
		target := plan.Wanted(name, r.Target)
		ways, left := plan.Ways(name, target, assets, list, ableFor(s.Devices))
		if n > len(ways) {
			continue
		}
		w := ways[n-1]
		w.Why = fmt.Sprintf("another way failed (%s); %s", threat.Inert(r.Why, 100), w.Why)
		made, err := s.way(ctx, c, plan.WayStep(step, name, n), w, left, r.Required, s.now(), responses, set)
		if err != nil {
			return false, err
		}
		for i := range made {
			made[i].CreatedAt = s.now() // as the store will have it
		}
		out = append(out, made...)
	}
	if len(out) == 0 {
		return false, nil
	}
	if _, err := s.Store.ProposeResponses(ctx, c.ID, out); err != nil {
		return false, err
	}
	s.aboutCase(c).InfoContext(ctx, "other ways are taken", "proposed", len(out))
	return true, nil
}
