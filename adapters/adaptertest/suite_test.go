package adaptertest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// flawEnv makes the test binary, run anew, put a flawed adapter through the suite.
const flawEnv = "FIREBREAK_ADAPTERTEST_FLAW"

// TestSuiteAcceptsAGoodAdapter runs the whole suite over HTTP, with real sockets and real cuts.
func TestSuiteAcceptsAGoodAdapter(t *testing.T) { conform(t, none) }

// TestFlawed is what TestSuiteNoticesEachFlaw runs; alone it has no flaw to look at, and looks at none.
func TestFlawed(t *testing.T) {
	if f := flaw(os.Getenv(flawEnv)); f != none {
		conform(t, f)
	}
}

// noticed are the tests that have to fail for each flaw.
var noticed = map[flaw]string{
	leaks:         "redaction",
	steals:        "what_stood_there_is_adopted",
	trusts:        "success_without_the_effect",
	forgets:       "500/read",
	deaf:          "deadline",
	dryWrites:     "dry_run_changes_nothing",
	rounds:        "apply,_read,_remove,_read",
	boasts:        "apply,_read,_remove,_read",
	repeats:       "removing_what_is_not_there",
	certain:       "time-out_after_the_effect/apply",
	resurrects:    "renewal",
	unfenced:      "a_later_generation",
	accepts:       "validation",
	deafToRetries: "429_with_Retry-After/apply",
}

// TestSuiteNoticesEachFlaw proves that the suite is no rubber stamp.
func TestSuiteNoticesEachFlaw(t *testing.T) {
	if testing.Short() {
		t.Log("short: the flaws are left out")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flaws {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			test := noticed[f]
			if test == "" {
				t.Fatal("no test is named that notices it")
			}
			pattern := "^TestFlawed$/^block_ip$/" + strings.Split(test, "/")[0]
			if i := strings.IndexByte(test, '/'); i >= 0 || f == trusts { // a row of the matrix
				pattern = "^TestFlawed$/^block_ip$/^faults$/" + test
			}
			cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern, "-test.v")
			cmd.Env = append(os.Environ(), flawEnv+"="+string(f))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFlawed/") {
				t.Fatalf("the suite did not notice (%v):\n%s", err, out)
			}
			if strings.Contains(string(out), "panic:") {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
		})
	}
}

// TestEveryActorRanTheSuite looks at the adapters' sources: a folder with an Apply that takes an order has a test that runs
// the suite.
func TestEveryActorRanTheSuite(t *testing.T) {
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	actors := 0
	for _, d := range folders {
		if !d.IsDir() || d.Name() == "adaptertest" {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", d.Name(), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		acts, ran := false, false
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			test := strings.HasSuffix(file, "_test.go")
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					acts = acts || !test && n.Recv != nil && n.Name.Name == "Apply" && takesOrder(n)
				case *ast.CallExpr:
					ran = ran || test && isRun(n)
				}
				return true
			})
		}
		if acts {
			actors++
		}
		if acts && !ran {
			t.Errorf("adapters/%s can act, and no test of it runs adaptertest.Run", d.Name())
		}
	}
	if actors < 2 {
		t.Errorf("only %d actors were found: this test no longer looks where they are", actors)
	}
}

func takesOrder(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		if s, ok := p.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Order" {
			return true
		}
	}
	return false
}

func isRun(c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Run" {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "adaptertest"
}
