package deptest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/firebreak/firebreak"

// maxLines is how long a file may be before it is two things.
const maxLines = 700

// refused are names that say nothing.
var refused = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "types"}

// room is one folder of the house as the source has it. Build tags are passed over: every file counts.
type room struct {
	path    string
	imports map[string][]string // by path as in the table: the files that import it
	files   map[string]*ast.File
	names   map[string]bool // of the package
}

// files calls fn with every file of Go in the tree, by its path below the module.
func files(t *testing.T, fn func(rel string, text []byte) error) {
	t.Helper()
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return fn(rel, text)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// house reads the tree, without tests.
func house(t *testing.T) (map[string]*room, *token.FileSet) {
	t.Helper()
	found, set := map[string]*room{}, token.NewFileSet()
	files(t, func(rel string, text []byte) error {
		if strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(set, rel, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		where := path.Dir(rel)
		r := found[where]
		if r == nil {
			r = &room{path: where, imports: map[string][]string{}, files: map[string]*ast.File{}, names: map[string]bool{}}
			found[where] = r
		}
		r.files[rel] = f
		r.names[f.Name.Name] = true
		for _, i := range f.Imports {
			what, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if inner, ok := strings.CutPrefix(what, module+"/"); ok {
				what = inner
			}
			r.imports[what] = append(r.imports[what], path.Base(rel))
		}
		return nil
	})
	return found, set
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("go.mod was not found above the test")
		}
		dir = up
	}
}

// standard reports whether an import is of Go's own library: its first element has no dot, and it is no room.
func standard(found map[string]*room, what string) bool {
	first, _, _ := strings.Cut(what, "/")
	return found[what] == nil && !strings.Contains(first, ".")
}

// under reports whether a path is another one or lies below it.
func under(what, prefix string) bool { return what == prefix || strings.HasPrefix(what, prefix+"/") }

// allowed gives what the table says of a room, and whether it says anything.
func allowed(where string) (reasons, bool) {
	own, listed := rooms[where]
	if productOf(where) == "" || slices.Contains(forTests, where) {
		return own, listed
	}
	all := reasons{}
	for k, v := range product {
		all[k] = v
	}
	for k, v := range own {
		all[k] = v
	}
	return all, true
}

// productOf gives the product whose folder below adapters a path is in; "" for anything else.
func productOf(where string) string {
	rest, ok := strings.CutPrefix(where, "adapters/")
	if !ok || under(where, "adapters/adaptertest") {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func permits(list reasons, what string, own bool) bool {
	for k := range list {
		if k == everything || k == what || !own && under(what, k) {
			return true
		}
	}
	return false
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// TestRoomsImportWhatTheyMay holds the table.
func TestRoomsImportWhatTheyMay(t *testing.T) {
	found, _ := house(t)
	if len(found) < 10 {
		t.Fatalf("only %d rooms were found", len(found))
	}
	for _, where := range sorted(found) {
		list, listed := allowed(where)
		if !listed {
			t.Errorf("%s is a room without a line in internal/deptest/rooms.go", where)
			continue
		}
		for _, what := range sorted(found[where].imports) {
			if standard(found, what) || permits(list, what, found[what] != nil) {
				continue
			}
			t.Errorf("%s imports %s (%s): not in its list. Is the wall wrong, or the import?", where, what,
				strings.Join(found[where].imports[what], ", "))
		}
	}
}

// TestEveryReasonIsGiven holds the table itself.
func TestEveryReasonIsGiven(t *testing.T) {
	for where, list := range rooms {
		for what, why := range list {
			if len(why) < 3 {
				t.Errorf("%s may import %s, without a reason", where, what)
			}
		}
	}
	for what, why := range product {
		if len(why) < 3 {
			t.Errorf("every product may import %s, without a reason", what)
		}
	}
}

func TestProductsAreReachedByAppAlone(t *testing.T) {
	found, _ := house(t)
	for _, where := range sorted(found) {
		for _, what := range sorted(found[where].imports) {
			p := productOf(what)
			if p == "" || found[what] == nil || p == productOf(where) || where == "internal/app" || slices.Contains(forTests, where) {
				continue
			}
			t.Errorf("%s imports the product %s: only internal/app knows products", where, what)
		}
	}
}

func TestWhatShipsImportsNoTestRoom(t *testing.T) {
	found, _ := house(t)
	for _, where := range sorted(found) {
		if slices.Contains(forTests, where) {
			continue
		}
		for _, what := range append(slices.Clone(forTests), "testing", "net/http/httptest") {
			if files := found[where].imports[what]; len(files) > 0 {
				t.Errorf("%s imports %s (%s), which is for tests", where, what, strings.Join(files, ", "))
			}
		}
	}
}

func TestSomeImportsHaveFewHolders(t *testing.T) {
	found, _ := house(t)
	for _, where := range sorted(found) {
		for _, h := range holders {
			for _, what := range sorted(found[where].imports) {
				if under(what, h.what) && !slices.Contains(h.rooms, where) && where != "bench" {
					t.Errorf("%s imports %s: %s", where, what, h.why)
				}
			}
		}
	}
}

// TestWorkflowsReachNoVendor follows imports through the house.
func TestWorkflowsReachNoVendor(t *testing.T) {
	found, _ := house(t)
	if found["workflows"] == nil {
		t.Fatal("there are no workflows")
	}
	from := map[string]string{"workflows": ""}
	for queue := []string{"workflows"}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, what := range sorted(found[at].imports) {
			bad := productOf(what) != "" && found[what] != nil
			for _, u := range unreached {
				bad = bad || under(what, u)
			}
			if bad {
				t.Errorf("workflows reach %s by way of %s", what, way(from, at))
			}
			if _, seen := from[what]; !seen && found[what] != nil {
				from[what] = at
				queue = append(queue, what)
			}
		}
	}
}

func way(from map[string]string, at string) string {
	if from[at] == "" {
		return at
	}
	return way(from, from[at]) + ", " + at
}

// impure are packages that a pure room has no use for, and impureCalls functions: each reads a clock, draws at random, or
// reaches outside.
var (
	impure = []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "io/ioutil",
		"log", "log/slog", "plugin", "unsafe", "golang.org/x/sys"}
	impureCalls = map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
		uuid:   {"New", "NewString", "NewRandom", "NewV6", "NewV7", "NewUUID", "NewDCEGroup", "NewDCEPerson", "NewDCESecurity"},
	}
)

func TestPureRoomsArePure(t *testing.T) {
	found, set := house(t)
	seen := 0
	for _, where := range pure {
		r := found[where]
		if r == nil {
			continue // its issue has not come yet
		}
		seen++
		for _, what := range sorted(r.imports) {
			if slices.Contains(impure, what) {
				t.Errorf("%s is pure and imports %s (%s)", where, what, strings.Join(r.imports[what], ", "))
			}
			if found[what] != nil && !slices.Contains(pure, what) {
				t.Errorf("%s is pure and imports %s, which is not", where, what)
			}
		}
		for _, file := range sorted(r.files) {
			f := r.files[file]
			called := map[string][]string{}
			for _, i := range f.Imports {
				what, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				name := path.Base(what)
				if i.Name != nil {
					name = i.Name.Name
				}
				if calls := impureCalls[what]; calls != nil {
					called[name] = calls
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s: a pure room starts a goroutine", set.Position(g.Pos()))
				}
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && slices.Contains(called[x.Name], s.Sel.Name) {
					t.Errorf("%s: a pure room uses %s.%s", set.Position(s.Pos()), x.Name, s.Sel.Name)
				}
				return true
			})
		}
	}
	if seen < 4 {
		t.Fatalf("only %d pure rooms were found", seen)
	}
}

func TestFilesAreOneThing(t *testing.T) {
	files(t, func(rel string, text []byte) error {
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, and %d at most are one thing: split it by what it is", rel, n, maxLines)
		}
		return nil
	})
}

func TestNamesSaySomething(t *testing.T) {
	found, _ := house(t)
	for _, where := range sorted(found) {
		for _, n := range slices.Compact(append(sorted(found[where].names), path.Base(where))) {
			if slices.Contains(refused, n) {
				t.Errorf("%s: a package called %s says nothing of what is in it", where, n)
			}
		}
		if len(found[where].names) > 1 {
			t.Errorf("%s holds the packages %v", where, sorted(found[where].names))
		}
	}
}

// TestTheWallsHold shows that the checks find what they are for.
func TestTheWallsHold(t *testing.T) {
	for _, c := range []struct {
		what, prefix string
		want         bool
	}{
		{"go.temporal.io/sdk/client", "go.temporal.io/sdk", true}, {"database/sql", "database/sql", true},
		{"internal/storeroom", "internal/store", false}, {"internal/store/storetest", "internal/store", true},
		{"github.com/jackc/pgx/v5/pgconn", "github.com/jackc/pgx", true},
	} {
		if got := under(c.what, c.prefix); got != c.want {
			t.Errorf("%s under %s: %v", c.what, c.prefix, got)
		}
	}
	if permits(reasons{"internal/store": "x"}, "internal/store/storetest", true) {
		t.Error("a room's own sub-rooms come with it")
	}
	if !permits(reasons{"go.temporal.io/sdk": "x"}, "go.temporal.io/sdk/workflow", false) || permits(reasons{uuid: ids}, "github.com/x", false) {
		t.Error("another module's packages do not come with it")
	}
	if l, ok := allowed("adapters/somethingnew"); !ok || !permits(l, "internal/ocsf", true) || permits(l, "internal/store", true) ||
		permits(l, "adapters/feed", true) {
		t.Error("a new product is not held to the products' list")
	}
	for _, where := range forTests {
		if _, ok := rooms[where]; !ok {
			t.Errorf("%s has no line", where)
		}
	}
	for where, want := range map[string]string{"adapters/nftables/nftsim": "nftables", "adapters/feed": "feed", "adapters/adaptertest": "",
		"adapters": "", "internal/feed": ""} {
		if got := productOf(where); got != want {
			t.Errorf("%s is of the product %q", where, got)
		}
	}
}
