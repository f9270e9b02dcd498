package policies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/firebreak/firebreak/internal/threat"
)

// Limits of a bundle. They keep a wrong directory from being read whole.
const (
	maxFiles     = 500
	maxFileBytes = 1 << 20
	maxBytes     = 8 << 20
)

// file is one rule file of a bundle.
type file struct {
	path string // with slashes, relative to the bundle
	text string
}

func (f file) test() bool { return strings.HasSuffix(f.path, "_test.rego") }

// bundle is a compiled set of rules.
type bundle struct {
	revision string
	loadedAt time.Time
	queries  map[threat.Question]rego.PreparedEvalQuery
	labels   map[threat.Question][]threat.RuleLabel
	compiler *ast.Compiler
	files    []file
	access   memory
}

// readFiles reads every .rego file of a bundle, sorted by path. Hidden files and folders are left out. Data files are
// refused by name, because leaving them out would change what the rules say.
func readFiles(src fs.FS) ([]file, error) {
	var out []file
	total := 0
	err := fs.WalkDir(src, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if path != "." && strings.HasPrefix(name, ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if name == "data.json" || name == "data.yaml" || name == "data.yml" {
			return &threat.Fault{Kind: threat.Invalid, What: "a bundle holds no data files", Place: path,
				Next: "write constants as rules"}
		}
		if !strings.HasSuffix(name, ".rego") {
			return nil
		}
		info, err := fs.Stat(src, path)
		if err != nil {
			return err
		}
		if info.Size() > maxFileBytes || total+int(info.Size()) > maxBytes || len(out) == maxFiles {
			return &threat.Fault{Kind: threat.TooLarge, What: fmt.Sprintf(
				"a bundle has at most %d files, %d bytes each and %d in all", maxFiles, maxFileBytes, maxBytes), Place: path}
		}
		text, err := fs.ReadFile(src, path)
		if err != nil {
			return err
		}
		total += len(text)
		out = append(out, file{path: path, text: string(text)})
		return nil
	})
	var f *threat.Fault
	if errors.As(err, &f) {
		return nil, f
	}
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "the policy files cannot be read", Err: err}
	}
	if len(out) == 0 {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "there is no .rego file in the bundle"}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out, nil
}

// revisionOf is the SHA-256 of the files that decide, in their order: tests are left out, so that a test that is added
// does not look like a change of the rules.
func revisionOf(files []file) string {
	h := sha256.New()
	for _, f := range files {
		if f.test() {
			continue
		}
		fmt.Fprintf(h, "%d:%s%d:", len(f.path), f.path, len(f.text))
		h.Write([]byte(f.text))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parse reads modules, with their METADATA.
func parse(files []file, tests bool) (map[string]*ast.Module, error) {
	modules := map[string]*ast.Module{}
	for _, f := range files {
		if f.test() && !tests {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.path, f.text, ast.ParserOptions{ProcessAnnotation: true,
			Capabilities: capabilities()})
		if err != nil {
			return nil, compileFault(err)
		}
		if m == nil {
			continue // an empty file
		}
		modules[f.path] = m
	}
	return modules, nil
}

func newCompiler() *ast.Compiler {
	return ast.NewCompiler().WithCapabilities(capabilities()).WithStrict(true).WithSchemas(schemaSet()).
		WithUseTypeCheckAnnotations(true)
}

// compile parses, checks and compiles rules, and prepares the five queries.
func compile(files []file, revision string, prints bool) (*bundle, error) {
	modules, err := parse(files, false)
	if err != nil {
		return nil, err
	}
	if err := lint(modules); err != nil {
		return nil, err
	}
	c := newCompiler().WithEnablePrintStatements(prints)
	if c.Compile(modules); c.Failed() {
		return nil, compileFault(c.Errors)
	}
	b := &bundle{revision: revision, compiler: c, files: files, queries: map[threat.Question]rego.PreparedEvalQuery{},
		labels: labelsOf(modules)}
	store := inmem.New()
	for _, q := range threat.Questions {
		path := "data.firebreak." + string(q) + ".answer"
		if len(c.GetRulesExact(ast.MustParseRef(path))) == 0 {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "the bundle does not define " + path,
				Next: "every question needs an answer; start from the rules built in"}
		}
		pq, err := rego.New(rego.Query(path), rego.Compiler(c), rego.Store(store), rego.StrictBuiltinErrors(true),
			rego.EnablePrintStatements(prints), rego.GenerateJSON(keepTerm)).PrepareForEval(context.Background())
		if err != nil {
			return nil, compileFault(err)
		}
		b.queries[q] = pq
	}
	return b, nil
}

// keepTerm hands the answer over as OPA has it, so that it is written once, canonically.
func keepTerm(t *ast.Term, _ *rego.EvalContext) (any, error) { return t, nil }

// compileFault turns OPA's errors into one fault: its place is that of the first, and its text lists up to ten. The text
// quotes rules, never an input.
func compileFault(err error) error {
	var list ast.Errors
	var one *ast.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = ast.Errors{one}
	default:
		return &threat.Fault{Kind: threat.Invalid, What: "the rules do not compile: " + oneLine(err), Err: err}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Location.Compare(list[j].Location) < 0 })
	var lines []string
	for i, e := range list {
		if i == 10 {
			lines = append(lines, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		lines = append(lines, oneLine(e))
	}
	f := &threat.Fault{Kind: threat.Invalid, What: "the rules do not compile: " + strings.Join(lines, "; "), Err: err}
	if len(list) > 0 {
		f.Place = place(list[0].Location)
	}
	return f
}

// oneLine gives what OPA says without the lines in which it points at the place with a caret.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.TrimRight(err.Error(), "^ \t\n")), " ")
}

// place gives file:row:col.
func place(l *ast.Location) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", l.File, l.Row, l.Col)
}
