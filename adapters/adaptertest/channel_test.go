package adaptertest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryChannelRanTheSuite looks at the adapters' sources: a folder with a Notify that takes a message has a test that
// runs the suite of channels.
func TestEveryChannelRanTheSuite(t *testing.T) {
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	channels := 0
	for _, d := range folders {
		if !d.IsDir() || d.Name() == "adaptertest" {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", d.Name(), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		speaks, ran := false, false
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			test := strings.HasSuffix(file, "_test.go")
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					speaks = speaks || !test && n.Recv != nil && n.Name.Name == "Notify"
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					ran = ran || test && ok && x.Name == "adaptertest" && n.Sel.Name == "RunChannel"
				}
				return true
			})
		}
		if speaks {
			channels++
		}
		if speaks && !ran {
			t.Errorf("adapters/%s speaks to people, and no test of it runs adaptertest.RunChannel", d.Name())
		}
	}
	if channels < 3 {
		t.Errorf("only %d channels were found: this test no longer looks where they are", channels)
	}
}
