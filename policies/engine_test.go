package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/firebreak/firebreak/internal/threat"
)

// accessInput is the smallest of the inputs.
const accessInput = `{"action":"case.read","at":"2026-03-02T02:10:00Z","caller":{"change_mode":false,"grants":[{"org":"o",` +
	`"role":"analyst"}],"kind":"person"},"lineage":["o"]}`

// bundleDir writes the built-in bundle into a directory, with changes by path. An empty text removes a file.
func bundleDir(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	err := fs.WalkDir(builtIn, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(builtIn, path)
		if err != nil {
			return err
		}
		write(t, dir, path, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range changes {
		write(t, dir, path, text)
	}
	return dir
}

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(path))
	if text == "" {
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func engine(t *testing.T, o Options) *Engine {
	t.Helper()
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

const accessHead = `# METADATA
# schemas:
#   - input: schema.access.input
package firebreak.access

`

// TestFaults holds that whatever goes wrong in a rule is a fault, never an answer and never a crash.
func TestFaults(t *testing.T) {
	tests := []struct{ name, rego, want string }{
		{"division by zero", `answer := {"allow": 1 / (count(input.lineage) - 1) == 1, "said": []}`, "error: builtin_error at access/access.rego:6:"},
		{"undefined", `answer := {"allow": true, "said": []} if input.action == "another"`, "undefined"},
		{"a missing part", "answer := {\"allow\": missing, \"said\": []}\n\nmissing if input.action == \"another\"", "undefined"},
		{"two values", "answer := {\"allow\": true, \"said\": []}\n\nanswer := {\"allow\": false, \"said\": []}", "error: conflict_error at access/access.rego:"},
		{"a loop", `answer := {"allow": count([1 | some a in numbers.range(1, 5000); some b in numbers.range(1, 5000); a * b == 7]) > 0, "said": []}`, "timeout"},
		{"a text for a boolean", `answer := {"allow": "yes", "said": []}`, "shape: /allow"},
		{"a property too few", `answer := {"allow": true}`, "shape: /"},
		{"a property too many", `answer := {"allow": true, "said": [], "more": 1}`, "shape: /"},
		{"no object", `answer := true`, "shape: /"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, Options{Timeout: 30 * time.Millisecond,
				Dir: bundleDir(t, map[string]string{"access/access.rego": accessHead + tt.rego + "\n"})})
			start := time.Now()
			a := e.Evaluate(t.Context(), threat.AskAccess, []byte(accessInput))
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			if a.OK() || !strings.HasPrefix(a.Fault, tt.want) {
				t.Fatalf("fault %q (%s), want %q", a.Fault, a.Detail, tt.want)
			}
			if a.JSON != nil || a.Revision == "" || len(a.Input) == 0 {
				t.Errorf("a fault keeps its revision and input, and no answer: %+v", a)
			}
			if strings.Contains(a.Fault, "case.read") {
				t.Errorf("the fault quotes the input: %s", a.Fault)
			}
		})
	}
}

func TestUncancellableEvaluationsDoNotHoldCallersAndAreBounded(t *testing.T) {
	e := engine(t, Options{Timeout: time.Second})
	e.stuck.Store(maxStuck)
	if a := e.Evaluate(t.Context(), threat.AskAccess, []byte(accessInput)); a.Fault != FaultBusy {
		t.Fatalf("fault %q, want %q", a.Fault, FaultBusy)
	}
	e.stuck.Store(0)
	if a := e.Evaluate(t.Context(), threat.AskAccess, []byte(accessInput)); !a.OK() {
		t.Fatal(a.Fault, a.Detail)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := strings.Replace(accessInput, "case.read", "case.write", 1)
	if a := e.Evaluate(ctx, threat.AskAccess, []byte(other)); a.Fault != "" && a.Fault != FaultTimeout {
		t.Fatalf("a cancelled caller got %q", a.Fault)
	}
}

func TestInputs(t *testing.T) {
	e := engine(t, Options{})
	long := strings.Replace(accessInput, `"lineage":["o"]`, `"lineage":["`+strings.Repeat("x", MaxInput)+`"]`, 1)
	for name, in := range map[string]string{"no JSON": "{", "no object": "[1]", "too large": long} {
		if a := e.Evaluate(t.Context(), threat.AskAccess, []byte(in)); !strings.HasPrefix(a.Fault, FaultInput) {
			t.Errorf("%s: fault %q", name, a.Fault)
		}
	}
	if a := e.Evaluate(t.Context(), threat.Question("nonsense"), []byte(accessInput)); !strings.HasPrefix(a.Fault, FaultUndefined) {
		t.Errorf("an unknown question: fault %q", a.Fault)
	}
	if a := e.Evaluate(t.Context(), threat.AskAccess, struct {
		M map[string]string `json:"m"`
	}{}); !strings.HasPrefix(a.Fault, FaultInput) {
		t.Errorf("a map: fault %q", a.Fault)
	}
}

func TestBannedBuiltins(t *testing.T) {
	for _, call := range []string{
		`http.send({"method": "get", "url": "http://127.0.0.1"})`, `net.lookup_ip_addr("example.org")`,
		`net.cidr_contains("10.0.0.0/8", "10.0.0.1")`, `opa.runtime()`, `rego.parse_module("a.rego", "package a")`,
		`time.now_ns()`, `rand.intn("a", 7)`, `uuid.rfc4122("a")`, `io.jwt.decode("a")`,
	} {
		dir := bundleDir(t, map[string]string{"access/access.rego": accessHead +
			"answer := {\"allow\": false, \"said\": [x | x := " + call + "]}\n"})
		err := Check(dir)
		if !threat.Is(err, threat.Invalid) || !strings.Contains(err.Error(), "undefined function") {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// TestCheckSpeaksWithThePlace holds what authors are told.
func TestCheckSpeaksWithThePlace(t *testing.T) {
	const labelled = "# METADATA\n# title: A rule\n# labels:\n#   id: access.x\n"
	const rest = "answer := {\"allow\": false, \"said\": []}\n\n"
	tests := []struct{ name, rego, want, place string }{
		{"a typo of a property", accessHead + rest + "x if input.acton == 1\n", "acton", "access/access.rego:8:6"},
		{"a typo through a variable", accessHead + rest + "x if {\n\tc := input.caller\n\tc.knd == \"person\"\n}\n", "knd", "access/access.rego:10:"},
		{"a syntax error", accessHead + rest + "x if {\n", "rego_parse_error", "access/access.rego:9:"},
		{"an unused variable", accessHead + rest + "x if {\n\ty := 1\n}\n", "unused", "access/access.rego:9:"},
		{"no schema", "package firebreak.access\n\n" + rest, "does not name its schema", "access/access.rego:1:"},
		{"another package", "package elsewhere\n\n" + rest, "below firebreak", "access/access.rego:1:"},
		{"allow by default", accessHead + rest + "default allow := true\n", "lets everything pass", "access/access.rego:8:"},
		{"execute by default", accessHead + rest + "default effect := \"execute\"\n", "lets everything pass", "access/access.rego:8:"},
		{"allow without a condition", accessHead + rest + "allow := true\n", "without a condition", "access/access.rego:8:"},
		{"deny without negation", accessHead + rest + labelled + "deny contains {} if input.action == \"x\"\n", "negate", "access/access.rego:12:"},
		{"deny that looks beside its negation", accessHead + rest + labelled +
			"deny contains {} if {\n\tinput.action == \"x\"\n\tnot y\n}\n\ny if input.action == \"y\"\n", "outside a negation", "access/access.rego:13:"},
		{"deny whose words may be missing", accessHead + rest + labelled + "deny contains input.action if not y\n\ny if input.action == \"y\"\n",
			"words look into the input", "access/access.rego:12:"},
		{"a rule without a label", accessHead + rest + "deny contains {} if not y\n\ny if input.action == \"y\"\n", "needs METADATA", "access/access.rego:8:"},
		{"an id of another question", accessHead + rest + "# METADATA\n# title: A rule\n# labels:\n#   id: respond.x\ngrant contains {} if input.action == \"y\"\n",
			"does not begin", "access/access.rego:12:"},
		{"an id twice", accessHead + rest + labelled + "grant contains 1 if input.action == \"x\"\n\n" + labelled + "grant contains 2 if input.action == \"y\"\n",
			"is that of", "access/access.rego:18:"},
		{"no answer", accessHead + "x := 1\n", "does not define data.firebreak.access.answer", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := bundleDir(t, map[string]string{"access/access.rego": tt.rego, "access/access_test.rego": ""})
			err := Check(dir)
			var f *threat.Fault
			if !errors.As(err, &f) || f.Kind != threat.Invalid {
				t.Fatalf("got %v, want a fault", err)
			}
			if !strings.Contains(f.What, tt.want) || !strings.HasPrefix(f.Place, tt.place) {
				t.Errorf("%q at %q, want %q at %q", f.What, f.Place, tt.want, tt.place)
			}
		})
	}
	if err := Check(bundleDir(t, map[string]string{"data.json": "{}"})); !threat.Is(err, threat.Invalid) {
		t.Errorf("a data file: %v", err)
	}
	if err := Check(t.TempDir()); !threat.Is(err, threat.Invalid) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := Check(filepath.Join(t.TempDir(), "none")); !threat.Is(err, threat.NotFound) {
		t.Errorf("no directory: %v", err)
	}
}

// TestRulesInAFileOfTheirOwn holds that an author adds rules without touching the files that came with the program, and that
// the schema that one file of a package names is held against all of them.
func TestRulesInAFileOfTheirOwn(t *testing.T) {
	const mine = "package firebreak.access\n\nimport data.firebreak.rule\n\n# METADATA\n# title: Nobody reads at night\n# labels:\n" +
		"#   id: access.deny.night\ndeny contains rule.label(rego.metadata.rule(), \"it is night\") if not day\n\nday if input.action == \"case.read\"\n"
	if err := Check(bundleDir(t, map[string]string{"access/mine.rego": mine})); err != nil {
		t.Errorf("a second file is not taken: %v", err)
	}
	err := Check(bundleDir(t, map[string]string{"access/mine.rego": strings.Replace(mine, "input.action", "input.acton", 1)}))
	var f *threat.Fault
	if !errors.As(err, &f) || !strings.Contains(f.What, "acton") || !strings.HasPrefix(f.Place, "access/mine.rego:11:") {
		t.Errorf("a typo in the second file: %v", err)
	}
}

func TestReportTellsOfRulesThatNoTestFires(t *testing.T) {
	text, err := fs.ReadFile(builtIn, "access/access.rego")
	if err != nil {
		t.Fatal(err)
	}
	more := string(text) + "\n# METADATA\n# title: Never\n# labels:\n#   id: access.grant.never\n" +
		"grant contains rule.label(rego.metadata.rule(), \"never\") if input.action == \"never.said\"\n"
	dir := bundleDir(t, map[string]string{"access/access.rego": more, "access/failing_test.rego": "package firebreak.access_test\n\n" +
		"test_fails if {\n\tprint(\"here\")\n\tcount(data.firebreak.access.by_hand) == 7\n}\n"})
	r, err := Test(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.NotFired) != 1 || !strings.HasPrefix(r.NotFired[0], "access.grant.never (access/access.rego:") {
		t.Errorf("not fired: %v", r.NotFired)
	}
	if r.OK() || r.Failed != 1 || r.Passed < 70 {
		t.Errorf("passed %d, failed %d", r.Passed, r.Failed)
	}
	for _, one := range r.Results {
		if !one.Pass && !strings.Contains(one.Output, "here") {
			t.Errorf("the failing test's print is lost: %+v", one)
		}
	}
}

func TestHotReload(t *testing.T) {
	dir := bundleDir(t, nil)
	var mu sync.Mutex
	var told []Status
	e := engine(t, Options{Dir: dir, Debounce: 20 * time.Millisecond, Rescan: 100 * time.Millisecond})
	e.OnLoad(func(s Status) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	})
	first := e.Active()
	if first.Stale || first.Source != dir || first.Revision != engine(t, Options{}).Revision() {
		t.Fatalf("%+v", first)
	}
	until := func(what string, ok func(Status) bool) Status {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if s := e.Active(); ok(s) {
				return s
			}
		}
		t.Fatalf("%s did not come: %+v", what, e.Active())
		return Status{}
	}
	ask := func() Answer { return e.Evaluate(context.Background(), threat.AskAccess, []byte(accessInput)) }
	if a := ask(); !bytes.Contains(a.JSON, []byte(`"allow":true`)) {
		t.Fatalf("%s %s", a.JSON, a.Fault)
	}

	good, err := os.ReadFile(filepath.Join(dir, "access/access.rego"))
	if err != nil {
		t.Fatal(err)
	}
	// A bad bundle leaves the last good one in force, and says so.
	write(t, dir, "access/access.rego", string(good)+"\nx if input.nonsense\n")
	s := until("the bad bundle", func(s Status) bool { return s.Stale })
	if s.Revision != first.Revision || !strings.Contains(s.Error, "access/access.rego:") || s.ErrorAt.IsZero() {
		t.Errorf("%+v", s)
	}
	if a := ask(); !bytes.Contains(a.JSON, []byte(`"allow":true`)) {
		t.Errorf("the last good bundle does not answer: %s", a.Fault)
	}
	// A good one takes over, though access answers are remembered.
	write(t, dir, "access/access.rego", accessHead+"answer := {\"allow\": false, \"said\": []}\n")
	s = until("the good bundle", func(s Status) bool { return !s.Stale && s.Revision != first.Revision })
	if s.Reloads != 1 {
		t.Errorf("%+v", s)
	}
	if a := ask(); !bytes.Contains(a.JSON, []byte(`"allow":false`)) || a.Revision != s.Revision {
		t.Errorf("%s %s", a.JSON, a.Fault)
	}
	// Back again: the same files have the same revision.
	write(t, dir, "access/access.rego", string(good))
	until("the first bundle", func(s Status) bool { return s.Revision == first.Revision })
	// A directory that goes away is bad, too.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	until("the directory's end", func(s Status) bool { return s.Stale && s.Revision == first.Revision })
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 4 {
		t.Errorf("the hook heard %d changes", len(told))
	}
}

func TestACompileThatDoesNotEndLeavesTheActiveBundle(t *testing.T) {
	dir := bundleDir(t, nil)
	e := engine(t, Options{Dir: dir, CompileLimit: 10 * time.Second, Rescan: time.Hour, Debounce: time.Hour})
	e.compile <- struct{}{} // as if an earlier one still ran
	write(t, dir, "access/more.rego", "package firebreak.more\n\nx := 1\n")
	s := e.Reload(t.Context())
	if !s.Stale || !strings.Contains(s.Error, "has not ended") {
		t.Fatalf("%+v", s)
	}
	if a := e.Evaluate(t.Context(), threat.AskAccess, []byte(accessInput)); !a.OK() {
		t.Error(a.Fault)
	}
	<-e.compile
	if s = e.Reload(t.Context()); s.Stale || s.Reloads != 1 {
		t.Fatalf("%+v", s)
	}
	e.opts.CompileLimit = time.Nanosecond
	write(t, dir, "access/more.rego", "package firebreak.more\n\nx := 2\n")
	if s = e.Reload(t.Context()); !s.Stale || !strings.Contains(s.Error, "took longer") {
		t.Fatalf("%+v", s)
	}
}

func TestRevisionLeavesTestsOut(t *testing.T) {
	a := revisionOf([]file{{"a.rego", "x"}, {"a_test.rego", "y"}})
	if a != revisionOf([]file{{"a.rego", "x"}}) || a == revisionOf([]file{{"a.rego", "y"}}) || a == revisionOf([]file{{"b.rego", "x"}}) {
		t.Error("the revision is that of the files that decide")
	}
}

func TestEvalOnce(t *testing.T) {
	text, err := fs.ReadFile(builtIn, "access/access.rego")
	if err != nil {
		t.Fatal(err)
	}
	dir := bundleDir(t, map[string]string{"access/access.rego": strings.Replace(string(text), "default allow := false",
		"default allow := false\n\nallow if {\n\tprint(\"asked for\", input.action)\n\tinput.action == \"nothing\"\n}", 1)})
	got, err := EvalOnce(t.Context(), dir, threat.AskAccess, []byte(accessInput))
	if err != nil || !got.OK() {
		t.Fatal(err, got.Fault, got.Detail)
	}
	if !strings.Contains(got.Output, "asked for case.read") || len(got.Rules) != 1 || got.Rules[0].ID != "access.grant.role" {
		t.Errorf("%+v", got)
	}
	_, err = EvalOnce(t.Context(), dir, threat.AskAccess, []byte(strings.Replace(accessInput, "lineage", "linage", 1)))
	var f *threat.Fault
	if !errors.As(err, &f) || f.Kind != threat.Invalid || !strings.Contains(f.What, "linage") {
		t.Errorf("a typo in the input: %v", err)
	}
}

func TestEncode(t *testing.T) {
	type inner struct {
		B []string `json:"b"`
		A bool     `json:"a"`
	}
	in := struct {
		Z  string    `json:"z"`
		At time.Time `json:"at"`
		N  int64     `json:"n"`
		In []inner   `json:"in"`
		S  inner2    `json:"s" encode:"shared"`
	}{Z: "q\"\\\n\x01\u2028<é" + string([]byte{0xff}), At: time.Date(2026, 3, 2, 2, 10, 0, 5000, time.FixedZone("x", 3600)), N: -7,
		In: []inner{{}, {B: []string{"x"}, A: true}}, S: inner2{"v"}}
	for range 2 { // the second time, what is shared is remembered
		doc, err := Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := jcs.Transform(doc.JSON)
		if err != nil || !bytes.Equal(canonical, doc.JSON) {
			t.Fatalf("not canonical (%v):\n%s\n%s", err, doc.JSON, canonical)
		}
		again, err := Encode(doc.JSON)
		if err != nil || again.Value.Compare(doc.Value) != 0 || !bytes.Equal(again.JSON, doc.JSON) {
			t.Fatalf("its JSON is not what rules are asked: %v\n%v\n%v", err, doc.Value, again.Value)
		}
		if at := string(doc.JSON[doc.At[0]:doc.At[1]]); at != `"at":"2026-03-02T01:10:00.000005Z"` {
			t.Errorf("the time stands at %q", at)
		}
	}
}

type inner2 struct {
	V string `json:"v"`
}

// TestShapesAgreeWithASchemaValidator holds that our one-pass check reads the schemas as a validator does.
func TestShapesAgreeWithASchemaValidator(t *testing.T) {
	good := `{"allow":true,"said":[{"id":"a","title":"b","why":"c"}]}`
	respond := `{"approvers":{"four_eyes":true,"needed":1,"roles":["contact"]},"ask_seconds":1800,"basis":"","duration_seconds":60,` +
		`"effect":"ask","end":"ask","guard":"","narrower":"","said":[],"silence":""}`
	for _, c := range []struct {
		q    threat.Question
		docs []string
	}{
		{threat.AskAccess, []string{good, `{}`, `[]`, `null`, `1`, strings.Replace(good, "true", "1", 1), strings.Replace(good, `"a"`, `""`, 1),
			strings.Replace(good, `"b"`, `null`, 1), strings.Replace(good, `"c"`, `"`+strings.Repeat("é", 1999)+`"`, 1),
			strings.Replace(good, `"c"`, `"`+strings.Repeat("é", 2001)+`"`, 1), strings.Replace(good, `"why"`, `"wy"`, 1)}},
		{threat.AskRespond, []string{respond, strings.Replace(respond, `"ask",`, `"maybe",`, 1), strings.Replace(respond, "1800", "0", 1),
			strings.Replace(respond, "1800", "1.5", 1), strings.Replace(respond, "1800", "99999999", 1), strings.Replace(respond, `"contact"`, `"auditor"`, 1),
			strings.Replace(respond, `["contact"]`, `["contact","contact","contact","contact"]`, 1), strings.Replace(respond, `,"said":[]`, "", 1)}},
	} {
		raw, err := Schema(c.q, "answer")
		if err != nil {
			t.Fatal(err)
		}
		schema := validator(t, raw)
		for _, doc := range c.docs {
			parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
			if err != nil {
				t.Fatal(err)
			}
			want := schema.Validate(parsed) == nil
			e, err := Encode(json.RawMessage(`{"x":` + doc + `}`))
			if err != nil {
				t.Fatal(err)
			}
			v, err := e.Value.Find(pathX)
			if err != nil {
				t.Fatal(err)
			}
			_, m := shapes[c.q].answer.write(nil, v, "")
			if (m == nil) != want {
				t.Errorf("%s of %s: ours says %v, the validator %t", c.q, doc, m, want)
			}
		}
	}
}
