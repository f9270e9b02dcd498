package policies

import (
	"fmt"
	"sort"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/firebreak/firebreak/internal/threat"
)

// These are the few checks of style that matter for safety, made over the AST because Regal is not part of this program.
// Authors who have Regal should run it as well.

// speaking are the names of partial rules that put a label into an answer. Each such rule must bear METADATA.
var speaking = map[string]bool{"deny": true, "ask": true, "execute": true, "grant": true, "suppress": true, "active": true,
	"raise": true, "propose": true, "tell": true, "quiet": true, "leave_out": true, "undecided": true}

// lint refuses rules that compile and are yet unsafe:
//   - a question's package that does not name its input's schema, so that a typo would be undefined in silence;
//   - a default that allows or executes, and an unconditional allow or execute;
//   - a deny rule that does not rest on a negated helper, so that missing input would let something pass;
//   - a rule that speaks without an id and a title in its METADATA, or with an id that another has.
func lint(modules map[string]*ast.Module) error {
	var errs ast.Errors
	ids := map[string]*ast.Location{}
	named := schemasNamed(modules)
	for _, path := range sortedPaths(modules) {
		m := modules[path]
		pkg := m.Package.Path
		if len(pkg) < 3 || pkg[1].Value.Compare(ast.String("firebreak")) != 0 {
			errs = append(errs, at(m.Package.Location, "a package of a bundle lies below firebreak"))
			continue
		}
		q, isQuestion := questionOf(pkg)
		if isQuestion && !named[q] {
			named[q] = true // told once
			errs = append(errs, at(m.Package.Location,
				"the package's METADATA does not name its schema: write `schemas: [{input: schema.%s.input}]`", q))
		}
		for _, r := range m.Rules {
			name := ruleName(r)
			errs = append(errs, lintDefault(name, r)...)
			if name == "deny" && !r.Default {
				errs = append(errs, lintDeny(r)...)
			}
			if speaking[name] || callsMetadata(r) {
				errs = append(errs, lintLabel(r, q, isQuestion, ids)...)
			}
		}
	}
	if len(errs) > 0 {
		return compileFault(errs)
	}
	return nil
}

func at(l *ast.Location, format string, args ...any) *ast.Error {
	return ast.NewError("firebreak_check_error", l, format, args...)
}

func sortedPaths(modules map[string]*ast.Module) []string {
	var out []string
	for p := range modules {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

// questionOf gives the question whose package this is.
func questionOf(pkg ast.Ref) (threat.Question, bool) {
	if len(pkg) != 3 {
		return "", false
	}
	name, _ := pkg[2].Value.(ast.String)
	for _, q := range threat.Questions {
		if string(name) == string(q) {
			return q, true
		}
	}
	return "", false
}

// schemasNamed gives the questions whose package names its schema. One file does so for all of its package: OPA takes a
// package's METADATA once.
func schemasNamed(modules map[string]*ast.Module) map[threat.Question]bool {
	out := map[threat.Question]bool{}
	for _, m := range modules {
		if q, is := questionOf(m.Package.Path); is && namesSchema(m, q) {
			out[q] = true
		}
	}
	return out
}

func namesSchema(m *ast.Module, q threat.Question) bool {
	want := ast.MustParseRef("schema." + string(q) + ".input")
	for _, a := range m.Annotations {
		if a.Scope != "package" && a.Scope != "subpackages" {
			continue
		}
		for _, s := range a.Schemas {
			if s.Path.Equal(ast.MustParseRef("input")) && s.Schema.Equal(want) {
				return true
			}
		}
	}
	return false
}

func ruleName(r *ast.Rule) string {
	ref := r.Head.Ref()
	if len(ref) == 0 {
		return ""
	}
	v, _ := ref[0].Value.(ast.Var)
	return string(v)
}

// lintDefault refuses what would let something pass without a rule that says so.
func lintDefault(name string, r *ast.Rule) ast.Errors {
	wide := (name == "allow" && isTrue(r.Head.Value)) ||
		(name == "effect" && r.Head.Value != nil && r.Head.Value.Value.Compare(ast.String("execute")) == 0)
	if !wide {
		return nil
	}
	if r.Default {
		return ast.Errors{at(r.Location, "a default of %s that lets everything pass; the default is no, or ask", name)}
	}
	for _, e := range r.Body {
		if t, ok := e.Terms.(*ast.Term); !ok || !isTrue(t) || e.Negated {
			return nil
		}
	}
	return ast.Errors{at(r.Location, "%s without a condition", name)}
}

func isTrue(t *ast.Term) bool {
	if t == nil {
		return true // `allow if ...` is true
	}
	b, ok := t.Value.(ast.Boolean)
	return ok && bool(b)
}

// lintDeny wants every condition of a denial to be a negated helper: then whatever is missing denies. What stands beside
// them may not look into the input, for a missing property would make the rule undefined; the words of a denial come from
// a rule with a default, or from rule.told.
func lintDeny(r *ast.Rule) ast.Errors {
	negated := false
	var errs ast.Errors
	for _, e := range r.Body {
		if e.Negated {
			negated = true
			continue
		}
		if looksIntoInput(e) {
			errs = append(errs, at(e.Location, "a deny rule looks into the input outside a negation; negate a helper, so that "+
				"missing input still denies"))
		}
	}
	if !negated {
		errs = append(errs, at(r.Location, "a deny rule without a negated helper; missing input would let it pass"))
	}
	if r.Head.Key != nil && looksIntoInput(r.Head.Key) {
		errs = append(errs, at(r.Head.Location, "a deny rule's words look into the input; take them from rule.told, or from a "+
			"rule with a default"))
	}
	return errs
}

func looksIntoInput(node any) bool {
	found := false
	ast.WalkRefs(node, func(ref ast.Ref) bool {
		if v, ok := ref[0].Value.(ast.Var); ok && v == "input" && len(ref) > 1 {
			found = true
		}
		return found
	})
	return found
}

func callsMetadata(r *ast.Rule) bool {
	found := false
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		if ref.String() == "rego.metadata.rule" {
			found = true
		}
		return found
	})
	return found
}

// label reads the id and title of a rule's METADATA.
func label(r *ast.Rule) (threat.RuleLabel, bool) {
	for _, a := range r.Annotations {
		id, _ := a.Labels["id"].(string)
		if id != "" && a.Title != "" {
			return threat.RuleLabel{ID: id, Title: a.Title}, true
		}
	}
	return threat.RuleLabel{}, false
}

func lintLabel(r *ast.Rule, q threat.Question, isQuestion bool, ids map[string]*ast.Location) ast.Errors {
	l, ok := label(r)
	if !ok {
		return ast.Errors{at(r.Location, "a rule that takes part in an answer needs METADATA with a title and labels.id")}
	}
	if isQuestion && !strings.HasPrefix(l.ID, string(q)+".") {
		return ast.Errors{at(r.Location, "the id %q does not begin with %q", l.ID, string(q)+".")}
	}
	if first, twice := ids[l.ID]; twice {
		return ast.Errors{at(r.Location, "the id %q is that of %s", l.ID, place(first))}
	}
	ids[l.ID] = r.Location
	return nil
}

// labelsOf lists the labelled rules of a bundle.
func labelsOf(modules map[string]*ast.Module) map[threat.Question][]threat.RuleLabel {
	out := map[threat.Question][]threat.RuleLabel{}
	for _, path := range sortedPaths(modules) {
		q, ok := questionOf(modules[path].Package.Path)
		if !ok {
			continue
		}
		for _, r := range modules[path].Rules {
			if l, ok := label(r); ok {
				out[q] = append(out[q], l)
			}
		}
	}
	for _, list := range out {
		sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	}
	return out
}

// ruleAt names where a rule stands, for reports.
func ruleAt(l threat.RuleLabel, loc *ast.Location) string {
	return fmt.Sprintf("%s (%s)", l.ID, place(loc))
}
