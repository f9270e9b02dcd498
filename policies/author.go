package policies

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown/print"

	"github.com/firebreak/firebreak/internal/threat"
)

// filesOf reads a bundle's directory; empty is the one built in.
func filesOf(dir string) ([]file, error) {
	if dir == "" {
		return readFiles(builtIn)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, &threat.Fault{Kind: threat.NotFound, What: "there is no such directory", Place: dir, Err: err}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "the policy directory cannot be read", Place: dir, Err: err}
	}
	defer func() { _ = root.Close() }() // closing what was only read loses nothing
	return readFiles(root.FS())
}

// Check compiles the bundle of a directory (empty: the one built in) and makes our own checks, without putting it in
// force. A fault is Invalid with the first place as file:row:col, and lists up to ten errors.
func Check(dir string) error {
	files, err := filesOf(dir)
	if err != nil {
		return err
	}
	_, err = compile(files, revisionOf(files), false)
	return err
}

// TestResult is one test rule's result.
type TestResult struct {
	Name     string        `json:"name"`  // data.firebreak.respond_test.test_...
	Place    string        `json:"place"` // file:row:col
	Pass     bool          `json:"pass"`
	Skipped  bool          `json:"skipped,omitempty"`
	Error    string        `json:"error,omitempty"`
	Output   string        `json:"output,omitempty"` // what print said
	Duration time.Duration `json:"duration_ns"`
}

// TestReport is what OPA's tester found.
type TestReport struct {
	Revision string       `json:"revision"`
	Results  []TestResult `json:"results"`
	Passed   int          `json:"passed"`
	Failed   int          `json:"failed"`
	Skipped  int          `json:"skipped"`
	Coverage float64      `json:"coverage"`  // per cent of the rules' expressions
	NotFired []string     `json:"not_fired"` // labelled rules that no test made true, with their place
}

// OK reports whether every test passed and there was at least one.
func (r TestReport) OK() bool { return r.Failed == 0 && r.Passed > 0 }

// Test runs every test_ rule of the bundle of a directory (empty: the one built in) with OPA's tester, and tells which
// labelled rules no test made true. Faults are as Check's.
func Test(ctx context.Context, dir string) (TestReport, error) {
	files, err := filesOf(dir)
	if err != nil {
		return TestReport{}, err
	}
	report := TestReport{Revision: revisionOf(files)}
	if _, err := compile(files, report.Revision, false); err != nil {
		return report, err
	}
	modules, err := parse(files, true)
	if err != nil {
		return report, err
	}
	cov := cover.New()
	runner := tester.NewRunner().SetCompiler(newCompiler().WithEnablePrintStatements(true)).SetStore(inmem.New()).
		SetModules(modules).CapturePrintOutput(true).RaiseBuiltinErrors(true).SetTimeout(5 * time.Second).
		SetCoverageQueryTracer(cov)
	ch, err := runner.RunTests(ctx, nil)
	if err != nil {
		return report, compileFault(err)
	}
	for r := range ch {
		t := TestResult{Name: r.Package + "." + r.Name, Place: place(r.Location), Pass: r.Pass(), Skipped: r.Skip,
			Output: string(r.Output), Duration: r.Duration}
		if r.Error != nil {
			t.Error = r.Error.Error()
		}
		switch {
		case t.Pass:
			report.Passed++
		case t.Skipped:
			report.Skipped++
		default:
			report.Failed++
		}
		report.Results = append(report.Results, t)
	}
	sort.Slice(report.Results, func(i, j int) bool { return report.Results[i].Name < report.Results[j].Name })
	rules := map[string]*ast.Module{}
	for path, m := range modules {
		if !strings.HasSuffix(path, "_test.rego") {
			rules[path] = m
		}
	}
	c := cov.Report(rules)
	report.Coverage = c.Coverage
	report.NotFired = notFired(rules, c)
	return report, nil
}

// notFired lists the labelled rules whose head was never reached.
func notFired(modules map[string]*ast.Module, c cover.Report) []string {
	var out []string
	for _, path := range sortedPaths(modules) {
		for _, r := range modules[path].Rules {
			if l, ok := label(r); ok && !c.IsCovered(path, r.Head.Location.Row) {
				out = append(out, ruleAt(l, r.Location))
			}
		}
	}
	return out
}

// Trial is the answer to one question, with what its author wants to see.
type Trial struct {
	Answer
	Output string `json:"output"` // what print said
}

// EvalOnce asks one question of the bundle of a directory (empty: the one built in) without putting it in force. The
// input is checked against its schema first: an Invalid fault says where it does not fit. Print statements speak.
func EvalOnce(ctx context.Context, dir string, q threat.Question, input []byte) (Trial, error) {
	files, err := filesOf(dir)
	if err != nil {
		return Trial{}, err
	}
	return evalFiles(ctx, files, q, input)
}

// EvalOnce asks the rules in force, as their author does.
func (e *Engine) EvalOnce(ctx context.Context, q threat.Question, input []byte) (Trial, error) {
	return evalFiles(ctx, e.active.Load().files, q, input)
}

func evalFiles(ctx context.Context, files []file, q threat.Question, input []byte) (Trial, error) {
	doc, err := Encode(input)
	if err != nil {
		return Trial{}, &threat.Fault{Kind: threat.Invalid, What: err.Error(), Place: "/"}
	}
	s, ok := shapes[q]
	if !ok {
		return Trial{}, &threat.Fault{Kind: threat.NotFound, What: fmt.Sprintf("there is no question %q", threat.Inert(string(q), 32))}
	}
	if _, m := s.input.write(nil, doc.Value, ""); m != nil {
		return Trial{}, &threat.Fault{Kind: threat.Invalid, What: "the input does not fit its schema: " + m.what, Place: m.where}
	}
	b, err := compile(files, revisionOf(files), true)
	if err != nil {
		return Trial{}, err
	}
	var out strings.Builder
	t := Trial{Answer: Answer{Revision: b.revision, Input: doc.JSON}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rs, err := b.queries[q].Eval(ctx, rego.EvalParsedInput(doc.Value), rego.EvalPrintHook(printHook{&out}))
	finish(q, outcome{rs, err}, &t.Answer)
	t.Output = out.String()
	return t, nil
}

type printHook struct{ to *strings.Builder }

func (h printHook) Print(c print.Context, msg string) error {
	_, err := fmt.Fprintf(h.to, "%s: %s\n", place(c.Location), msg)
	return err
}

// Modules gives the built-in rules' texts by path, tests left out: for those who compile them by themselves.
func Modules() (map[string]string, error) {
	files, err := readFiles(builtIn)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, f := range files {
		if !f.test() {
			out[f.path] = f.text
		}
	}
	return out, nil
}
