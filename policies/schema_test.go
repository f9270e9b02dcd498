package policies

import (
	"bytes"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

var pathX = ast.Ref{ast.StringTerm("x")}

func validator(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemas holds that each question has both schemas, that they are valid, and that every object in them is closed with
// every property required: rules and Go then know what is there.
func TestSchemas(t *testing.T) {
	for _, q := range threat.Questions {
		for _, side := range []string{"input", "answer"} {
			raw, err := Schema(q, side)
			if err != nil {
				t.Fatal(err)
			}
			validator(t, raw)
		}
		closed(t, string(q)+".input", shapes[q].input)
		closed(t, string(q)+".answer", shapes[q].answer)
	}
	if _, err := Schema("nonsense", "input"); !threat.Is(err, threat.NotFound) {
		t.Errorf("an unknown question: %v", err)
	}
}

func closed(t *testing.T, where string, s *shape) {
	t.Helper()
	switch s.kind {
	case "object":
		if !s.closed || len(s.required) != len(s.properties) {
			t.Errorf("%s is open, or a property of it may be missing", where)
		}
		for name, p := range s.properties {
			closed(t, where+"/"+name, p)
		}
	case "array":
		if s.items == nil || s.maxItems == 0 {
			t.Errorf("%s has no bound", where)
			return
		}
		closed(t, where+"/*", s.items)
	case "string", "integer", "boolean":
	default:
		t.Errorf("%s has the type %q", where, s.kind)
	}
}

// TestSchemasHoldTheTable holds that the schemas name every verb and every kind of target that there is, and no other: a rule
// with a typo in one does not compile into silence.
func TestSchemasHoldTheTable(t *testing.T) {
	kinds := make([]string, len(threat.TargetKinds))
	for i, k := range threat.TargetKinds {
		kinds[i] = string(k)
	}
	found := 0
	check := func(where string, got *shape, want []string) {
		t.Helper()
		if got == nil {
			t.Errorf("%s is not there", where)
			return
		}
		found++
		if !slices.Equal(got.enum, want) {
			t.Errorf("%s names %v; want %v", where, got.enum, want)
		}
	}
	at := func(s *shape, names ...string) *shape {
		for _, n := range names {
			if s == nil {
				return nil
			}
			if s = s.properties[n]; s != nil && s.items != nil {
				s = s.items
			}
		}
		return s
	}
	check("respond.input/action/verb", at(shapes[threat.AskRespond].input, "action", "verb"), verb.Names())
	check("respond.input/action/target/kind", at(shapes[threat.AskRespond].input, "action", "target", "kind"), kinds)
	check("triage.answer/proposals/verb", at(shapes[threat.AskTriage].answer, "proposals", "verb"), verb.Names())
	check("triage.answer/proposals/target/kind", at(shapes[threat.AskTriage].answer, "proposals", "target", "kind"), kinds)
	check("approve.input/request/verb", at(shapes[threat.AskApprove].input, "request", "verb"), verb.Names())
	check("escalate.input/responses/verb", at(shapes[threat.AskEscalate].input, "responses", "verb"), verb.Names())
	if found != 6 {
		t.Errorf("%d of 6 places were found", found)
	}
}
