package decide

import (
	"context"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// bare prepares a question as a program without any of ours would: the same rules, OPA's own defaults.
func bare(b *testing.B, q threat.Question) rego.PreparedEvalQuery {
	b.Helper()
	modules, err := policies.Modules()
	if err != nil {
		b.Fatal(err)
	}
	parsed := map[string]*ast.Module{}
	for name, text := range modules {
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			b.Fatal(err)
		}
		parsed[name] = m
	}
	c := ast.NewCompiler()
	if c.Compile(parsed); c.Failed() {
		b.Fatal(c.Errors)
	}
	pq, err := rego.New(rego.Query("data.firebreak."+string(q)+".answer"), rego.Compiler(c), rego.Store(inmem.New()),
		rego.StrictBuiltinErrors(true)).PrepareForEval(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return pq
}

// BenchmarkRespond measures building a decision's input and evaluating it, beside its floor: a bare prepared query on the
// parsed input.
func BenchmarkRespond(b *testing.B) {
	for _, mode := range []threat.Mode{threat.ModeCollaborate, threat.ModeAuthorize} {
		w := newWorld()
		w.state.Mode = mode
		s, _ := newService(b, w, builtIn(b))
		f, err := s.gather(b.Context(), w.response("block_ip", "ip", "203.0.113.9"), monday)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(mode)+"/build+evaluate", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := s.deps.Policies.Evaluate(b.Context(), threat.AskRespond, s.respondInput(f, monday)); !a.OK() {
					b.Fatal(a.Fault, a.Detail)
				}
			}
		})
		b.Run(string(mode)+"/bare", func(b *testing.B) {
			pq := bare(b, threat.AskRespond)
			doc, err := policies.Encode(s.respondInput(f, monday))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				rs, err := pq.Eval(b.Context(), rego.EvalParsedInput(doc.Value))
				if err != nil || len(rs) != 1 {
					b.Fatal(rs, err)
				}
			}
		})
		b.Run(string(mode)+"/build", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := policies.Encode(s.respondInput(f, monday)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAccess measures what every call of the API pays.
func BenchmarkAccess(b *testing.B) {
	w := newWorld()
	s, _ := newService(b, w, builtIn(b))
	ada := w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact)
	b.ReportAllocs()
	for b.Loop() {
		ok, why, err := s.Access(b.Context(), ada, "case.read", w.customer.ID)
		if err != nil || !ok {
			b.Fatal(ok, why, err)
		}
	}
}
