package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/firebreak/firebreak/bench/figure"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// facts are a store whose facts are in memory, so that building an input and evaluating it is all that a question costs. It
// keeps the last decision.
type facts struct {
	decide.Store // what respond does not read is not there
	state        threat.TenantState
	c            threat.Case
	set          tenant.Settings
	last         threat.Decision
	key          string
}

func (f *facts) TenantState(context.Context, uuid.UUID) (threat.TenantState, error) {
	return f.state, nil
}

func (f *facts) EffectiveSettings(context.Context, uuid.UUID) (tenant.Settings, error) {
	return f.set, nil
}

func (f *facts) Case(context.Context, uuid.UUID) (threat.Case, error) { return f.c, nil }

func (f *facts) Lineage(context.Context, uuid.UUID) ([]threat.Organisation, error) {
	return []threat.Organisation{{ID: uuid.Max}, {ID: f.state.TenantID}}, nil
}

func (f *facts) AssetsTouched(context.Context, uuid.UUID, threat.Target) ([]threat.Asset, error) {
	return nil, nil
}

func (f *facts) RecordDecision(_ context.Context, d threat.Decision, key string) (threat.Decision, error) {
	d.ID = uuid.Must(uuid.NewV7())
	f.last, f.key = d, key
	return d, nil
}

// clocked is policy that notes when it has answered.
type clocked struct {
	*policies.Engine
	at time.Time
}

func (c *clocked) Evaluate(ctx context.Context, q threat.Question, input any) policies.Answer {
	a := c.Engine.Evaluate(ctx, q, input)
	c.at = time.Now()
	return a
}

// decided measures building the input of respond and evaluating it, beside a bare prepared query on the parsed input, and
// apart from that what recording a decision costs.
func decided(ctx context.Context, dir string, log *slog.Logger, rounds int) (out []figure.Figure, err error) {
	engine, err := policies.New(ctx, policies.Options{Log: log})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	kept, err := openStore(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	defer kept.Close()
	root, err := kept.CreateOrganisation(ctx, threat.SystemActor, threat.Organisation{Kind: threat.Provider, Slug: "provider", Name: "Provider"})
	if err != nil {
		return nil, err
	}
	bare, err := bareQuery(ctx, threat.AskRespond)
	if err != nil {
		return nil, err
	}
	for _, mode := range []threat.Mode{threat.ModeCollaborate, threat.ModeAuthorize} {
		asked, floor, recorded, err := decidedIn(ctx, mode, engine, bare, kept, root.ID, rounds)
		if err != nil {
			return nil, err
		}
		out = append(out,
			figure.Against("input built and evaluated, "+string(mode)+", p50", "us", micros(asked, 0.5), micros(floor, 0.5), figure.AtMost(1.2)),
			figure.Against("input built and evaluated, "+string(mode)+", p99", "us", micros(asked, 0.99), micros(floor, 0.99), nil),
			figure.Plain("the decision recorded, p50", "us", micros(recorded, 0.5), nil))
	}
	return out, nil
}

func micros(ds []time.Duration, q float64) float64 {
	return figure.Quantile(ds, q) / float64(time.Microsecond)
}

func openStore(ctx context.Context, dir string, log *slog.Logger) (*store.Store, error) {
	keys, err := secret.Open(filepath.Join(dir, "policy.key"), filepath.Join(dir, "policy"))
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "policy", "firebreak.db"), Keys: keys, Log: log})
}

func decidedIn(ctx context.Context, mode threat.Mode, engine *policies.Engine, bare rego.PreparedEvalQuery, kept *store.Store, org uuid.UUID,
	rounds int) (asked, floor, recorded []time.Duration, err error) {
	id := uuid.Must(uuid.NewV7())
	f := &facts{state: threat.TenantState{TenantID: id, Mode: mode, ModeVersion: 1}, set: tenant.Effective(),
		c: threat.Case{ID: uuid.Must(uuid.NewV7()), TenantID: id, Number: 7, Title: "Traffic to a controller", Severity: threat.SeverityCritical,
			Threat: threat.ThreatActive, OpenedAt: time.Now()}}
	p := &clocked{Engine: engine}
	s := decide.New(decide.Deps{Store: f, Policies: p})
	const group = 50 // of one side, before the other has its turn
	for i := range rounds {
		for j := range group {
			a := threat.Action{TenantID: id, CaseID: f.c.ID, Step: "block-adversary-address", Round: 1, Verb: "block_ip",
				Target:      threat.Target{Kind: threat.TargetIP, Value: fmt.Sprintf("45.7.%d.%d", i%250, 1+j)},
				Connections: []uuid.UUID{org}}
			a.ID = threat.ActionID(a.CaseID, a.Step, a.Target, a.Round)
			began := time.Now()
			if _, err := s.Respond(ctx, threat.Response{Action: a, State: threat.ResponseProposed, Required: true,
				AskedBy: threat.SystemActor}); err != nil {
				return nil, nil, nil, err
			}
			asked = append(asked, p.at.Sub(began))
		}
		input, err := ast.ValueFromReader(bytes.NewReader(f.last.Input))
		if err != nil {
			return nil, nil, nil, err
		}
		for range group {
			began := time.Now()
			rs, err := bare.Eval(ctx, rego.EvalParsedInput(input))
			if err != nil || len(rs) != 1 {
				return nil, nil, nil, fmt.Errorf("the bare query gives %d results: %w", len(rs), err)
			}
			floor = append(floor, time.Since(began))
		}
		d := f.last
		d.TenantID, d.CaseID, d.ID = org, uuid.NullUUID{}, uuid.Nil
		began := time.Now()
		if _, err := kept.RecordDecision(ctx, d, f.key+string(mode)); err != nil {
			return nil, nil, nil, err
		}
		recorded = append(recorded, time.Since(began))
		if i == 0 { // what was the first of its kind does not count
			asked, floor, recorded = nil, nil, nil
		}
	}
	return asked, floor, recorded, nil
}

// bareQuery prepares a question as a program without any of ours would: the same rules, OPA's own defaults.
func bareQuery(ctx context.Context, q threat.Question) (rego.PreparedEvalQuery, error) {
	modules, err := policies.Modules()
	if err != nil {
		return rego.PreparedEvalQuery{}, err
	}
	parsed := map[string]*ast.Module{}
	for name, text := range modules {
		if parsed[name], err = ast.ParseModuleWithOpts(name, text, ast.ParserOptions{ProcessAnnotation: true}); err != nil {
			return rego.PreparedEvalQuery{}, err
		}
	}
	c := ast.NewCompiler()
	if c.Compile(parsed); c.Failed() {
		return rego.PreparedEvalQuery{}, c.Errors
	}
	return rego.New(rego.Query("data.firebreak."+string(q)+".answer"), rego.Compiler(c), rego.Store(inmem.New()),
		rego.StrictBuiltinErrors(true)).PrepareForEval(ctx)
}
